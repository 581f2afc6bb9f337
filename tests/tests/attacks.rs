//! The attacks and faults that Postrider is held against, row by row: where each is shown, or why it can not be shown yet.
//!
//! S: a client attacks the server. C: a server or name server attacks the client. D: disk, time, processes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A row: its name, what it is, and what shows it: dialogues below `corpus/dialogues`, or tests as `FILE::TEST`.
struct Row(&'static str, &'static str, &'static [&'static str]);

const SHOWN: &[Row] = &[
    Row(
        "S1",
        "SMTP smuggling: ends of data that are none",
        &[
            "tests/tests/smuggling.rs::no_end_of_data_but_the_true_one_ends_the_data",
            "tests/tests/smuggling.rs::no_cut_anywhere_makes_an_end_of_data",
            "tests/tests/smuggling.rs::a_true_end_of_data_is_found_by_the_same_judge",
            "tests/tests/under_tls.rs::no_end_of_data_but_the_true_one_ends_it_under_tls_either",
            "tests/tests/under_tls.rs::a_chunk_under_tls_is_its_count_and_no_line_in_it_is_a_command",
            "tests/tests/fuzzed.rs::what_chance_makes_of_it_breaks_no_law",
            "core/src/wire/content.rs::nothing_but_crlf_dot_crlf_ends_the_data",
            "smuggling/end-of-data-01.smtp",
        ],
    ),
    Row(
        "S2",
        "smuggling across the edges of buffers",
        &[
            "tests/tests/smuggling.rs::a_dot_at_the_edge_of_a_buffer_is_a_dot",
            "core/src/wire/content.rs::cuts_do_not_matter_and_the_model_agrees",
            "core/src/session/tests.rs::no_way_to_cut_the_end_of_data_changes_what_is_heard",
            "core/src/inbound/dialogues.rs::every_dialogue_goes_as_written_however_it_is_cut",
        ],
    ),
    Row(
        "S3",
        "BDAT: counts that lie, overflow, commands inside",
        &[
            "tests/tests/smuggling.rs::a_chunk_is_its_count_and_no_line_in_it_is_a_command",
            "bdat/smuggling.smtp",
            "bdat/bad-count-forms.smtp",
            "bdat/bad-count-negative.smtp",
            "bdat/bad-count-overflow.smtp",
            "bdat/bad-count-signed.smtp",
            "bdat/bad-count-wraps-to-nothing.smtp",
            "bdat/count-one-too-many.smtp",
            "bdat/count-one-too-few.smtp",
            "bdat/all-recipients-refused.smtp",
            "bdat/null-chunk.smtp",
            "bdat/mixed-with-data.smtp",
            "bdat/huge-chunk.smtp",
            "bdat/largest-chunk.smtp",
        ],
    ),
    Row(
        "S4",
        "pipelining that nobody authorised",
        &[
            "tests/tests/early_words.rs::who_speaks_before_the_greeting_is_not_greeted",
            "core/src/session/tests.rs::who_was_offered_no_pipelining_waits_for_every_verdict",
            "attacks/pipelined-data.smtp",
            "attacks/pipelined-ehlo.smtp",
            "core/src/session/tests.rs::octets_before_the_greeting_are_not_obeyed",
            "core/src/session/tests.rs::octets_behind_data_that_is_then_refused_are_no_commands",
        ],
    ),
    Row(
        "S5",
        "commands injected before STARTTLS",
        &[
            "tls/injection.smtp",
            "tls/state-is-forgotten.smtp",
            "tests/tests/under_tls.rs::commands_in_the_clear_behind_starttls_are_not_obeyed_under_tls",
            "tests/tests/under_tls.rs::an_envelope_that_began_in_the_clear_is_forgotten_under_tls",
        ],
    ),
    // sslyze is not packaged by Debian; testssl is, and openssl's client, told to be lax, tries what neither would.
    Row(
        "S6",
        "attacks on TLS itself",
        &[
            "tests/tests/testssl.rs::testssl_finds_no_weakness_behind_starttls",
            "tests/tests/testssl.rs::testssl_finds_no_weakness_where_tls_begins_at_once",
            "tests/tests/testssl.rs::testssl_finds_the_weaknesses_of_a_server_that_has_some",
            "tests/tests/under_tls.rs::only_tls_1_2_and_1_3_with_sound_ciphers_are_spoken",
            "tests/tests/under_tls.rs::a_client_can_not_have_the_handshake_again",
            "tests/tests/under_tls.rs::what_is_no_handshake_ends_one_session_and_no_other",
        ],
    ),
    Row(
        "S7",
        "HTTP inside TLS, led to us (ALPACA)",
        &[
            "tests/tests/under_tls.rs::http_inside_tls_ends_the_session_and_no_mail_in_it_is_taken",
            "tests/tests/under_tls.rs::a_client_that_names_another_protocol_in_the_handshake_is_refused_in_it",
        ],
    ),
    Row(
        "S8",
        "a browser speaks to us",
        &["attacks/browser-post.smtp", "attacks/tls-to-plain-port.smtp", "attacks/header-as-command.smtp"],
    ),
    Row(
        "S9",
        "lines without an end",
        &[
            "tests/tests/limits.rs::a_line_without_an_end_costs_no_memory",
            "tests/tests/limits.rs::a_message_beyond_the_limit_is_read_to_its_end_in_no_memory_and_refused",
            "tests/tests/limits.rs::a_message_of_any_size_that_is_taken_needs_no_memory_for_it",
            "attacks/endless-line.smtp",
            "attacks/long-line.smtp",
            "core/src/wire/line.rs::a_line_over_the_limit_is_dropped_whole_wherever_it_is_cut",
        ],
    ),
    Row(
        "S10",
        "NUL, 8 bits, broken UTF-8, characters that hide",
        &[
            "attacks/nul-and-controls.smtp",
            "attacks/invalid-utf8.smtp",
            "attacks/look-alikes.smtp",
            "attacks/smtputf8-off.smtp",
            "tests/tests/honest_log.rs::no_client_writes_a_line_of_the_log_or_hides_one",
            "tests/tests/honest_log.rs::no_client_writes_an_object_of_the_log_or_hides_one",
            "hello/control-characters.smtp",
            "core/src/event.rs::no_control_octet_reaches_the_log",
        ],
    ),
    Row(
        "S11",
        "lines injected into logs, queue and reports",
        &[
            "attacks/xtext-injection.smtp",
            "tests/tests/honest_log.rs::no_client_writes_a_line_of_the_log_or_hides_one",
            "core/src/wire/xtext.rs::what_would_forge_a_line_is_refused",
            "core/src/queue/tests/record.rs::what_is_emitted_parses_back",
            "core/src/report/tests.rs::no_text_of_a_peer_breaks_the_report",
        ],
    ),
    Row(
        "S12",
        "addresses that two programs read differently",
        &[
            "tests/tests/differential.rs::ten_thousand_addresses_are_read_as_postfix_reads_them_or_refused",
            "core/src/wire/path.rs::what_two_programs_could_read_differently_is_refused",
            "core/src/wire/path.rs::what_is_emitted_parses_back_to_the_same",
        ],
    ),
    Row(
        "S13",
        "addresses that a shell would obey",
        &[
            "attacks/shell-characters.smtp",
            "attacks/doubtful-addresses.smtp",
            "tests/tests/no_shell.rs::an_address_that_a_shell_would_obey_is_text_and_runs_nothing",
        ],
    ),
    Row(
        "S14",
        "open relay",
        &[
            "tests/tests/open_relay.rs::nothing_of_168_forms_leaves_for_a_stranger_and_a_friend_gets_through",
            "tests/tests/open_relay.rs::nothing_of_168_forms_leaves_in_one_session_or_under_tls_either",
            "attacks/relay-forms.smtp",
            "attacks/relay-forms-judged.smtp",
        ],
    ),
    Row(
        "S15",
        "parameters that lie",
        &[
            "mail/parameters.smtp",
            "data/too-big.smtp",
            "bdat/expansion-over-limit.smtp",
            "tests/tests/differential.rs::addresses_and_commands_are_read_alike",
        ],
    ),
    Row(
        "S16",
        "limits on what a client may ask for",
        &[
            "limits/thousand-recipients.smtp",
            "limits/hard-errors.smtp",
            "limits/junk-default.smtp",
            "tests/tests/relay_effects.rs::one_client_may_have_so_many_connections",
            "tests/tests/limits.rs::the_51st_connection_of_one_client_is_sent_away",
            "core/src/wire/address_list.rs::tokens_beyond_the_limit_are_not_looked_at",
            "core/src/cleanup/tests.rs::an_oversized_field_loses_its_excess",
            "core/src/wire/seven_bit.rs::nesting_and_headers_are_bounded",
        ],
    ),
    Row(
        "S17",
        "clients that are slow on purpose",
        &[
            "time/slow-command.smtp",
            "time/slow-content.smtp",
            "time/slow-content-without-deadline.smtp",
            "time/steady-content.smtp",
            "time/idle.smtp",
            "tls/handshake-hangs.smtp",
            "tests/tests/stalls.rs::slow_clients_do_not_fill_memory_either",
            "tests/tests/limits.rs::under_stress_new_clients_must_be_quick_and_those_who_are_there_keep_their_time",
            "tests/tests/limits.rs::a_slow_client_gives_its_seat_back_under_stress",
            "tests/tests/limits.rs::a_client_that_never_reads_costs_no_memory_and_is_sent_away",
            "core/src/session/clients.rs::stress_begins_when_three_quarters_are_taken_and_ends_at_half",
        ],
    ),
    Row(
        "S18",
        "floods, descriptors and memory used up",
        &[
            "tests/tests/surroundings.rs::without_file_descriptors_clients_are_turned_away_and_nothing_spins",
            "tests/tests/surroundings.rs::without_new_threads_mail_is_taken_and_delivered_by_those_that_are_there",
            "tests/tests/standing_still.rs::out_of_memory_it_refuses_or_ends_and_loses_nothing_that_it_answered",
            "tests/tests/stalls.rs::a_disk_that_stands_still_refuses_mail_before_memory_is_full",
            "tests/tests/limits.rs::the_51st_connection_of_one_client_is_sent_away",
        ],
    ),
    Row("S20", "who exists here?", &["other/vrfy-disabled.smtp", "other/vrfy.smtp"]),
    Row(
        "S21",
        "nesting and header bombs",
        &[
            "core/src/wire/header.rs::a_million_lines_are_read_in_one_pass",
            "tests/tests/linear.rs::ten_times_as_many_octets_are_ten_times_as_much_work",
            "tests/tests/limits.rs::a_message_of_any_size_that_is_taken_needs_no_memory_for_it",
            "tests/tests/limits.rs::a_gigabyte_of_line_ends_or_of_one_line_is_read_to_its_end_in_no_memory_and_refused",
            "core/src/wire/header.rs::a_header_beyond_the_bound_is_cut_before_a_field",
            "core/src/wire/seven_bit.rs::nesting_and_headers_are_bounded",
            "core/src/cleanup/tests.rs::a_header_beyond_the_bound_is_handed_on_unread",
        ],
    ),
    Row(
        "S22",
        "mail that goes round",
        &[
            "core/src/cleanup/tests.rs::a_message_that_went_round_too_often_is_refused",
            "core/src/cleanup/tests.rs::an_expansion_without_end_is_refused_for_now",
            "core/src/cleanup/tests.rs::virtual_aliases_that_lead_back_end_however_many_there_are",
            "core/src/local/tests.rs::loops_end",
            "core/src/local/tests.rs::aliases_that_lead_back_end_however_many_there_are",
            "core/src/local/tests.rs::files_that_include_one_another_end_however_many_there_are",
            "core/src/local/tests.rs::users_who_forward_to_one_another_end_however_many_there_are",
            "core/src/local/tests.rs::a_forward_file_that_names_its_own_user_is_no_loop",
            "client-loop-by-name.smtp",
            "client-loop-best-mx.smtp",
            "tests/tests/differential.rs::recipients_are_known_and_rewritten_alike",
        ],
    ),
    Row(
        "S23",
        "backscatter and double bounces",
        &[
            "core/src/report/tests.rs::null_sender_never_gets_a_report",
            "core/src/report/tests.rs::who_asked_for_nothing_is_told_nothing",
            "core/src/manager/tests/life.rs::mail_for_the_sender_of_double_bounces_is_thrown_away",
            "tests/tests/differential.rs::reports_differ_in_their_wording_only",
        ],
    ),
    Row(
        "S24",
        "a spool that somebody damaged",
        &[
            "tests/tests/damaged_spool/main.rs::the_daemon_starts_on_any_damaged_spool_and_delivers_what_is_whole",
            "tests/tests/damaged_spool/maildrop.rs::what_is_damaged_in_the_maildrop_is_set_aside_and_the_rest_arrives_once",
            "tests/tests/crash_states/damage.rs::every_flipped_bit_costs_one_message_at_most_and_that_one_is_set_aside",
            "tests/tests/crash_states/damage.rs::every_truncation_keeps_all_that_lies_before_it",
            "core/src/queue/tests/damage.rs::a_flipped_bit_touches_one_message_at_most_and_is_reported",
            "core/src/queue/tests/damage.rs::a_spool_that_was_cut_off_says_so_and_loses_only_what_was_cut",
            "core/src/queue/tests/damage.rs::the_content_of_a_message_whose_record_is_damaged_is_set_aside_too",
            "core/src/queue/tests/record.rs::damaged_records_never_panic_and_never_read_back_longer_than_they_were",
        ],
    ),
    Row(
        "C1",
        "smuggling out of us",
        &[
            "client-stray-octets.smtp",
            "client-long-line.smtp",
            "core/src/wire/content_out.rs::the_known_ends_of_data_of_others_do_not_leave_us",
            "core/src/wire/content_out.rs::whatever_is_stored_leaves_us_well_formed_and_independent_of_chunks",
            "tests/tests/smuggling.rs::a_chunk_is_its_count_and_no_line_in_it_is_a_command",
            "tests/tests/smuggling.rs::what_sendmail_takes_in_is_one_message_whatever_is_in_it",
        ],
    ),
    Row(
        "C2",
        "replies injected before STARTTLS",
        &[
            "client-starttls-injection.smtp",
            "tests/tests/under_tls.rs::replies_in_the_clear_behind_the_answer_to_starttls_are_not_believed_under_tls",
            "tests/tests/under_tls.rs::more_replies_in_the_clear_than_are_read_at_once_are_no_handshake_and_the_mail_waits",
        ],
    ),
    Row(
        "C3",
        "STARTTLS taken away, refused, broken",
        &[
            "client-starttls-fails.smtp",
            "client-starttls-refused.smtp",
            "client-tls-required-not-offered.smtp",
            "client-tls-required-refused.smtp",
            "client-tls-required-handshake-fails.smtp",
            "client-tls-unsupported-level.smtp",
        ],
    ),
    Row(
        "C4",
        "replies that are hostile",
        &[
            "core/src/wire/reply.rs::a_million_lines_and_an_endless_line_are_bounded",
            "core/src/wire/reply.rs::no_control_octet_gets_through",
            "core/src/wire/reply.rs::a_code_that_changes_is_two_replies_torn_into_each_other",
            "core/src/outbound/tests/hostile.rs::whatever_a_server_does_each_recipient_has_one_outcome_of_its_class",
            "client-pipelining-mail-refused-rest-granted.smtp",
            "tests/tests/differential.rs::next_hops_that_answer_oddly_are_understood_alike",
        ],
    ),
    Row(
        "C5",
        "servers that die at each point",
        &[
            "tests/tests/sink_faults.rs::every_fault_of_smtp_sink_has_its_outcome",
            "tests/tests/sink_faults.rs::whatever_the_manners_of_smtp_sink_a_message_is_sent_kept_or_returned",
            "core/src/outbound/tests/matrix.rs::each_step_and_each_way_to_go_wrong_with_pipelining",
            "core/src/outbound/tests/matrix.rs::each_step_and_each_way_to_go_wrong_without_pipelining",
            "tests/tests/dying_peers.rs::next_hop_dies_with_the_reply_unsaid",
        ],
    ),
    Row(
        "C6",
        "mail exchangers that are traps",
        &[
            "client-null-mx.smtp",
            "client-loop-backup-mx.smtp",
            "core/src/delivery/hosts/tests.rs::every_way_to_name_ourselves_is_a_loop",
            "core/src/delivery/hosts/tests.rs::a_thousand_exchangers_are_not_all_looked_up",
            "core/src/delivery/hosts/tests.rs::no_host_is_ours_or_worse_than_we_are",
            "tests/tests/differential.rs::mail_goes_the_same_way",
        ],
    ),
    Row(
        "C7",
        "name servers that fail or lie",
        &[
            "core/src/dns/tests.rs::what_does_not_answer_this_query_changes_nothing",
            "core/src/dns/message.rs::a_loop_of_compression_pointers_is_broken_not_endless",
            "core/src/dns/message.rs::names_that_wind_through_the_whole_answer_are_not_followed",
            "tests/tests/linear.rs::ten_times_as_many_octets_are_ten_times_as_much_work",
            "core/src/dns/tests.rs::guessing_drives_the_question_to_tcp",
            "core/src/dns/tests.rs::a_truncated_answer_is_fetched_by_tcp",
            "core/src/dns/tests.rs::a_server_without_edns_is_asked_without_it",
            "core/src/dns/tests.rs::servers_that_fail_are_passed_over_and_then_it_is_try_again",
            "core/src/dns/tests.rs::chains_that_loop_or_never_end_are_try_again",
            "core/src/dns/tests.rs::absence_is_told_apart_and_kept_by_the_minimum_of_the_soa",
            "core/src/outbound/tests/hostile.rs::a_resolver_that_fails_never_makes_mail_fail",
        ],
    ),
    Row(
        "D1",
        "power cuts",
        &[
            "tests/tests/crash_states/main.rs::no_power_failure_in_a_hundred_thousand_loses_or_invents_a_message",
            "tests/tests/crash_states/recorded.rs::no_power_failure_in_a_day_of_the_daemon_loses_or_invents_a_message",
            "core/src/queue/tests/crash.rs::nothing_promised_is_lost_whenever_the_power_fails",
        ],
    ),
    Row(
        "D2",
        "a sync that fails",
        &[
            "tests/tests/faults/main.rs::each_sync_fails_in_its_turn",
            "core/src/queue/tests/faults.rs::a_failed_sync_is_not_tried_again_and_what_it_held_is_refused",
            "core/src/queue/tests/faults.rs::outcomes_whose_sync_failed_are_written_again",
        ],
    ),
    Row(
        "D3",
        "disks that are full, broken or read-only",
        &[
            "tests/tests/faults/main.rs::each_write_fails_in_its_turn",
            "tests/tests/surroundings.rs::without_free_inodes_large_mail_is_refused_and_small_mail_goes_on",
            "tests/tests/surroundings.rs::a_spool_that_becomes_read_only_refuses_mail_and_takes_it_again_when_it_can",
            "core/src/queue/tests/faults.rs::a_full_disk_refuses_mail_and_can_still_be_drained",
            "tests/tests/crash.rs::a_full_disk_is_a_reason_to_wait",
        ],
    ),
    Row(
        "D4",
        "memory that runs out",
        &[
            "tests/tests/standing_still.rs::out_of_memory_it_refuses_or_ends_and_loses_nothing_that_it_answered",
            "tests/tests/kills.rs::memory_that_runs_out_at_each_request_for_more_loses_nothing",
            "tests/tests/stalls.rs::a_disk_that_stands_still_refuses_mail_before_memory_is_full",
        ],
    ),
    Row(
        "D5",
        "processes that are killed",
        &[
            "tests/tests/kills.rs::a_kill_at_each_call_under_load_and_compaction_loses_nothing",
            "tests/tests/kills.rs::a_kill_at_each_call_of_a_recovery_loses_nothing",
            "tests/tests/failing_starts.rs::a_hangup_or_an_end_while_mail_is_moved_is_obeyed_and_loses_nothing",
            "tests/tests/kills.rs::a_kill_of_who_delivers_at_each_of_its_calls_loses_nothing",
            "tests/tests/faults/main.rs::a_kill_of_sendmail_at_each_of_its_calls_leaves_a_whole_message_or_none",
            "tests/tests/mailbox_rights.rs::a_daemon_whose_helper_has_ended_stops_and_says_so",
            "tests/tests/crash.rs::what_was_accepted_survives_every_kill",
            "tests/tests/kills.rs::a_stop_at_each_call_costs_nobody_a_session_and_loses_nothing",
            "tests/tests/standing_still.rs::sessions_go_on_where_they_were_and_what_is_answered_arrives",
            "tests/tests/standing_still.rs::timers_that_ran_out_while_it_was_stopped_do_not_make_up_for_lost_time",
        ],
    ),
    Row(
        "D6",
        "clocks that jump",
        &[
            "tests/tests/surroundings.rs::a_clock_that_jumps_while_the_daemon_runs_bounces_nothing_and_stops_nothing",
            "tests/tests/surroundings.rs::a_clock_that_jumped_while_the_daemon_was_down_returns_nothing_untried",
            "tests/tests/surroundings.rs::summer_time_that_begins_or_ends_bounces_nothing_and_stops_nothing",
            "core/src/mail/ids.rs::a_clock_set_back_repeats_no_id",
        ],
    ),
    Row(
        "D7",
        "descriptors used up",
        &[
            "tests/tests/surroundings.rs::without_file_descriptors_clients_are_turned_away_and_nothing_spins",
            "tests/tests/surroundings.rs::while_accepting_fails_clients_and_commands_wait_and_nothing_spins",
        ],
    ),
];

/// Rows that can not be shown yet, and what they wait for.
const WAITING: &[(&str, &str)] = &[
    ("S19", "SASL does not work yet"),
    ("C8", "DANE does not work yet"),
    ("C9", "MTA-STS does not work yet"),
    ("C10", "the level verify and above do not work yet"),
    ("C11", "levels and credentials by destination do not work yet"),
    ("N1", "milters do not work yet"),
    ("N2", "policy servers do not work yet"),
    ("N3", "SASL does not work yet"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace").to_owned()
}

/// Why this is no evidence, if it is none.
fn fault(shown: &str) -> Option<String> {
    let Some((file, test)) = shown.split_once("::") else {
        let dialogue = root().join("corpus/dialogues").join(shown);
        return (!dialogue.exists()).then(|| format!("{shown} is not there"));
    };
    let Ok(text) = std::fs::read_to_string(root().join(file)) else {
        return Some(format!("{file} is not there"));
    };
    let Some(at) = text.find(&format!("fn {test}(")) else {
        return Some(format!("{file} has no test {test}"));
    };
    // What stands above it, up to an empty line, a closing brace or a macro around it.
    let above = text[..at].lines().rev().skip(usize::from(!text[..at].ends_with('\n')));
    let attributes: Vec<&str> =
        above.map(str::trim).take_while(|line| line.starts_with("#[") || line.starts_with("//")).collect();
    // Within a macro that is not closed yet.
    let is_law =
        ["quickcheck! {", "proptest! {"].into_iter().filter_map(|word| text[..at].rfind(word)).any(|begin| {
            let indent = begin - text[..begin].rfind('\n').map_or(0, |end| end + 1);
            !text[begin..at].contains(&format!("\n{}}}\n", " ".repeat(indent)))
        });
    if !attributes.contains(&"#[test]") && !is_law {
        return Some(format!("{file}: {test} is no test"));
    }
    attributes
        .iter()
        .any(|line| line.starts_with(concat!("#[", "ignore")))
        .then(|| format!("{file}: {test} does not run"))
}

#[test]
fn what_shows_an_attack_exists() {
    let faults: Vec<String> = SHOWN
        .iter()
        .flat_map(|Row(name, _, shown)| {
            shown.iter().filter_map(move |one| fault(one).map(|f| format!("{name}: {f}")))
        })
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_row_is_shown_or_waits_for_something() {
    let mut wanted: BTreeSet<String> = (1..=24).map(|number| format!("S{number}")).collect();
    wanted.extend((1..=11).map(|number| format!("C{number}")));
    wanted.extend((1..=3).map(|number| format!("N{number}")));
    wanted.extend((1..=7).map(|number| format!("D{number}")));
    let rows = SHOWN.iter().map(|Row(name, ..)| *name).chain(WAITING.iter().map(|(name, _)| *name));
    let names: Vec<String> = rows.map(str::to_owned).collect();
    let listed: BTreeSet<String> = names.iter().cloned().collect();
    assert_eq!(listed.len(), names.len(), "a row stands twice");
    assert_eq!(listed, wanted);
    for Row(name, about, shown) in SHOWN {
        assert!(!about.is_empty() && !shown.is_empty(), "{name}");
    }
}
