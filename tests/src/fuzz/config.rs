//! The texts of main.cf and master.cf, with a line `---` between them.
//!
//! Judging a configuration takes a millisecond for each service: texts with many of them are parsed, and not judged.

use postrider_core::delivery::Protocol;
use postrider_core::params::master_cf::{self, Role};
use postrider_core::params::{Config, Host, Settings, Severity, main_cf};
use postrider_core::{cleanup, dns, inbound, local, manager, outbound, report, rewrite, submission};

/// Services of a master.cf that is judged, too.
const JUDGED_MAX: usize = 3;

/// Reads both, asks for the values of each service, and makes of them what the daemon makes at its start.
///
/// # Panics
/// When a law is broken.
pub fn config(octets: &[u8]) {
    let text = String::from_utf8_lossy(octets);
    let (main, master) = text.split_once("\n---\n").unwrap_or((&text, ""));
    is_printed_as_read(main);
    let (services, more) = master_cf::parse(master);
    if services.len() > JUDGED_MAX {
        return;
    }
    let (config, problems) = Config::read(main, master, Host::default());
    for problem in &problems {
        assert!(!problem.text.is_empty());
    }
    // All of these are asked for even when something is wrong: `check` and `config` go on.
    _ = (config.listeners(), config.table_names(), config.host_names(), config.own_addresses());
    use_settings(&config.settings(None));
    if let Some(service) = services.first() {
        use_settings(&config.settings_under_stress(Some(&service.key())));
    }
    let wrong = problems.iter().any(|problem| problem.severity == Severity::Error);
    assert!(wrong || more.iter().all(|problem| problem.severity != Severity::Error));
    for service in services {
        assert!(!service.name.is_empty() && !service.command.is_empty() || wrong, "{service:?}");
        if let Role::Listener { port, .. } = service.role {
            assert!(wrong || port > 0, "{service:?}");
        }
    }
}

/// What `config -n` prints reads as what was read.
fn is_printed_as_read(main: &str) {
    let printed = main_cf::print(&main_cf::parse(main).0);
    let (again, problems) = main_cf::parse(&printed);
    assert!(problems.is_empty(), "{printed:?}: {problems:?}");
    assert_eq!(main_cf::print(&again), printed);
}

fn use_settings(settings: &Settings) {
    _ = inbound::Config::new(settings, true);
    _ = cleanup::Params::new(settings);
    _ = rewrite::Rewrite::new(settings);
    _ = submission::Setup::new(settings);
    _ = local::Params::new(settings);
    _ = manager::Params::new(settings, &[("smtp".to_owned(), 20)]);
    _ = dns::Params::new(settings, settings.text("mydestination"));
    _ = report::Params::new(settings);
    _ = outbound::Config::new(settings, Protocol::Smtp, Vec::new());
    _ = outbound::Config::new(settings, Protocol::Lmtp, Vec::new());
}
