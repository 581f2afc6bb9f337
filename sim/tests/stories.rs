//! Stories told to their end: the oracle holds, sees what it must see, and a seed is one history.

use postrider_sim::faults::Fired;
use postrider_sim::peers::Tls;
use postrider_sim::plan::Plan;
use postrider_sim::story::{Crash, Ending, Trouble, Wish, draw, tell};
use postrider_sim::world::{Fault, Word};
use std::path::Path;
use std::process::Command;

/// The seed of the story that is swept, and longer than it takes.
const SWEPT: u64 = 7;
const LONG: u64 = 2 * 3_600;

fn told(seed: u64, wish: Wish) -> Ending {
    tell(&draw(seed, wish), false)
}

#[test]
fn mail_is_neither_lost_nor_doubled_whatever_happens() {
    let mut fired = Fired::default();
    for seed in 1_000..1_060 {
        let ending = told(seed, Wish::default());
        assert_eq!(ending.violations, [], "seed {seed}: {ending}");
        fired.add(&ending.fired);
    }
    // Sixty stories do not have everything; the swarm demands that a thousand do.
    assert!(fired.never().count() < 12, "{:?}", fired.never().collect::<Vec<_>>());
}

#[test]
fn a_calm_world_promises_all_and_doubles_nothing() {
    for seed in 2_000..2_010 {
        let ending = told(seed, Wish { calm: true, ..Wish::default() });
        assert_eq!(ending.violations, [], "seed {seed}: {ending}");
        assert_eq!((ending.duplicates, ending.crashes), (0, 0), "seed {seed}: {ending}");
        assert_eq!(ending.letters.0, ending.letters.1, "seed {seed}: {ending}");
    }
}

/// A story of three letters in which nothing else goes wrong, told with a crash at each place until there are no more; how many there were.
fn swept(how: Crash, safety: u64) -> u64 {
    let mut scenario = draw(SWEPT, Wish { calm: true, ..Wish::default() });
    scenario.shorten(3);
    scenario.safety = safety;
    assert_eq!(scenario.letters(), 3);
    // Who has no room until the world heals would be tried again until then: who is refused has a report made instead.
    let letters = scenario.clients.iter_mut().flat_map(|client| &mut client.letters);
    for recipient in letters.flat_map(|letter| &mut letter.recipients) {
        *recipient = recipient.replace("full", "bad");
    }
    for at in 0.. {
        let mut scenario = scenario.clone();
        scenario.crash(how, at);
        let ending = tell(&scenario, false);
        assert_eq!(ending.violations, [], "{how:?} at {at}: {ending}");
        if ending.fired.count(how.class()) == 0 {
            assert_eq!((ending.crashes, ending.letters), (0, (3, 3)), "nothing was left to try: {ending}");
            return at;
        }
        assert_eq!(ending.crashes, 1, "{how:?} at {at}: {ending}");
    }
    unreachable!("a story has an end")
}

#[test]
fn power_may_go_at_every_operation_of_the_spool() {
    let operations = swept(Crash::AtOperation, LONG);
    assert!(operations >= 15, "{operations} operations");
}

#[test]
fn a_process_may_end_and_power_may_go_behind_every_effect() {
    let effects = swept(Crash::Kill, LONG);
    assert!(effects >= 60, "{effects} effects");
    assert_eq!(swept(Crash::Power, 2 * LONG), effects, "nothing is left to do afterwards");
}

#[test]
fn a_host_goes_by_what_it_was_reloaded_with_also_after_a_crash() {
    let told = |reloads: bool| {
        let mut scenario = draw(7, Wish { calm: true, ..Wish::default() });
        scenario.servers.iter_mut().for_each(|server| server.tls = Tls::None);
        for host in scenario.host_nodes() {
            if reloads {
                let fault = Fault::Tell(host, Word::Reload(1));
                scenario.troubles.push(Trouble { at: 1, fault, end: None });
            }
            let fault = Fault::Crash(host, false);
            scenario.troubles.push(Trouble { at: 60_000_000, fault, end: None });
        }
        for host in &mut scenario.hosts {
            host.other = host.main.clone();
            host.other.retain(|line| !line.starts_with("smtp_tls_security_level"));
            host.other.push("smtp_tls_security_level = encrypt".to_owned());
        }
        tell(&scenario, false).violations
    };
    assert_eq!(told(false), []);
    // No server offers TLS: mail waits for ever, none goes in the clear, and what waits counts as lost where a story ends.
    let violations = told(true);
    assert!(violations.first().is_some_and(|first| first.0.starts_with("not settled: ")), "{violations:?}");
    assert!(!violations.iter().any(|one| one.0.contains("in the clear")), "{violations:?}");
}

#[test]
fn disks_that_lie_about_syncs_are_seen_by_the_oracle() {
    let seen = (0..40).any(|seed| {
        let ending = told(seed, Wish { lying_disks: true, ..Wish::default() });
        ending.violations.iter().any(|violation| violation.0.contains("LOST"))
    });
    assert!(seen);
}

#[test]
fn a_plan_that_was_written_and_read_again_tells_the_same_story() {
    let plan = Plan::of(5, draw(5, Wish::default()));
    let again = Plan::parse(&plan.to_string()).expect("what was written");
    assert_eq!(again, plan);
    assert_eq!(tell(&again.scenario, false), tell(&plan.scenario, false));
}

#[test]
fn the_plans_of_found_bugs_hold() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus/plans");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).expect("corpus/plans") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("a plan");
        let plan = Plan::parse(&text).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        let ending = tell(&plan.scenario, false);
        let name = path.display();
        assert_eq!(ending.violations, [], "{name}: {}", plan.about);
        // That it still shows it is seen where bugs can be planted (planted.rs).
        let both = !plan.about.is_empty() && plan.bug.is_some();
        assert!(both, "{name} says what it is about, and which switch brings that back");
        count += 1;
    }
    assert!(count > 0, "there are plans");
}

#[test]
fn one_seed_is_one_history_in_every_process() {
    let run = || {
        let output = Command::new(env!("CARGO_BIN_EXE_postrider-sim")).args(["run", "42"]).output();
        let output = output.expect("the simulator runs");
        assert!(output.status.success());
        String::from_utf8(output.stdout).expect("text")
    };
    let first = run();
    let last = first.lines().last().expect("a line");
    assert!(last.starts_with("trace "), "the last line is the hash of the trace: {last}");
    assert_eq!(first, run());
}
