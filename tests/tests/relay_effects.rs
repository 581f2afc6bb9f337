//! Parameters whose effect only the whole daemon shows.

use postrider_tests::daemon::Daemon;
use postrider_tests::smtp::Client;

fn config(daemon: &Daemon, name: &str) -> String {
    String::from_utf8(daemon.command(&["config", "-x", name]).stdout).unwrap()
}

#[test]
fn the_queue_lies_where_queue_directory_says() {
    let daemon = Daemon::start("queue-directory", "");
    // queue_directory = FOLDER/spool, by the tools.
    assert!(daemon.path().join("spool/postrider").is_dir());
}

#[test]
fn values_may_refer_to_the_process_and_its_directory() {
    let lines = "smtpd_banner = $myhostname $config_directory $process_name $process_id";
    let daemon = Daemon::prepare("process", lines, "");
    let banner = config(&daemon, "smtpd_banner");
    let directory = daemon.config().canonicalize().unwrap();
    let wanted = format!("smtpd_banner = mail.here.test {} postrider ", directory.display());
    let id = banner.trim_end().strip_prefix(&wanted).unwrap_or_else(|| panic!("{banner}"));
    assert!(
        id.parse::<u32>().is_ok(),
        "process_id, process_name and config_directory are read-only: {banner}"
    );
}

#[test]
fn one_client_may_have_so_many_connections() {
    let limit = "smtpd_client_connection_count_limit = 1\n";
    let nobody = "smtpd_client_event_limit_exceptions =";
    let daemon = Daemon::start("connection-count", &format!("{limit}{nobody}"));
    let first = daemon.client();
    let second = Client::connect(daemon.port);
    assert!(first.greeting.starts_with("220 "), "{}", first.greeting);
    assert!(second.greeting.starts_with("421 4.7.0 "), "{}", second.greeting);

    let by_name = "smtpd_client_event_limit_exceptions = localhost";
    let daemon = Daemon::start("connection-count-excepted", &format!("{limit}{by_name}"));
    let both = [daemon.client(), daemon.client()];
    assert!(both.iter().all(|client| client.greeting.starts_with("220 ")), "{both:?}");
}

#[test]
fn the_log_has_the_name_that_is_set() {
    let daemon = Daemon::start("syslog-name", "syslog_name = letters");
    _ = daemon.client().say("QUIT");
    _ = daemon.wait_for_log("letters/smtpd");
}
