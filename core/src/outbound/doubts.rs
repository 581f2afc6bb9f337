//! What a configuration asks of its transports that does not work yet, beyond whole parameters: levels of TLS.

use super::Config;
use crate::delivery::TlsLevel;
use crate::params::master_cf::Role;
use crate::params::{self, Problem};
use std::collections::BTreeSet;

/// What an operator should know of the transports that a configuration made.
#[must_use]
pub fn doubts<'a>(
    config: &params::Config,
    transports: impl Iterator<Item = &'a Config>,
) -> BTreeSet<Problem> {
    let mut found = BTreeSet::new();
    for transport in transports {
        let TlsLevel::Unsupported(level) = &transport.params.tls else { continue };
        let program = transport.params.protocol.program();
        // An older name asks for the level where the newer one is not set.
        let names = ["tls_security_level", "enforce_tls"].map(|name| format!("{program}_{name}"));
        let [level_name, older] = &names;
        let parameter = if is_set(config, level_name) || !is_set(config, older) { level_name } else { older };
        let text = format!("not working yet: {level}");
        found.insert(config.doubt(parameter, &text, "its mail waits in the queue, nothing is sent"));
    }
    for parameter in ["smtp_tls_security_level", "lmtp_tls_security_level"] {
        let services = config.services().iter().filter(|service| matches!(service.role, Role::Transport(_)));
        let mut levels =
            services.map(|service| config.settings(Some(&service.key())).text(parameter) == "dane");
        if levels.any(|dane| dane) {
            let remedy = "it acts as may: encrypted where that is offered, and never authenticated";
            found.insert(config.doubt(parameter, "not working yet: dane", remedy));
        }
    }
    found
}

/// Whether main.cf or a service sets a parameter.
fn is_set(config: &params::Config, name: &str) -> bool {
    let services = config.services().iter().map(Some);
    std::iter::once(None).chain(services).any(|service| config.set_at(name, service).is_some())
}
