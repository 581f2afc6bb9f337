//! The hosts file as it is now: read when first asked, and again when it has changed.

use crate::env::Environment;
use crate::trouble::words;
use postrider_core::dns::Hosts;
use postrider_core::time::{Duration, Instant};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

const PATH: &str = "/etc/hosts";
/// How long it is used before the file is looked at again: each session asks for the name of its client.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The file, and what it said.
#[derive(Debug, Default)]
pub struct HostsFile {
    last: Mutex<Option<Look>>,
}

#[derive(Debug)]
struct Look {
    stamp: Option<u64>,
    at: Instant,
    hosts: Arc<Hosts>,
}

impl HostsFile {
    /// What it says; a file that is not there says nothing.
    ///
    /// # Errors
    /// It can not be read now: why. That is never "not there".
    pub fn read<E: Environment>(&self, env: &E) -> Result<Arc<Hosts>, String> {
        let now = env.now().mono;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(look) = last.as_ref().filter(|look| now.since(look.at) < LOOK_AGAIN) {
            return Ok(Arc::clone(&look.hosts));
        }
        let path = Path::new(PATH);
        // The stamp first: a change between the two is seen the next time.
        let stamp = env.files().stamp(path);
        if let Some(look) = last.as_mut().filter(|look| look.stamp == stamp) {
            look.at = now;
            return Ok(Arc::clone(&look.hosts));
        }
        let hosts = match env.files().read(path) {
            Ok(octets) => Hosts::read(&String::from_utf8_lossy(&octets)),
            Err(error) if error.kind() == ErrorKind::NotFound => Hosts::default(),
            Err(error) => return Err(format!("{PATH}: {}", words(&error))),
        };
        let hosts = Arc::new(hosts);
        *last = Some(Look { stamp, at: now, hosts: Arc::clone(&hosts) });
        Ok(hosts)
    }
}
