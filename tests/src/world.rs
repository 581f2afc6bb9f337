//! A network and a view of the file system of their own, for one thread and all that it starts.
//!
//! In there each of [`NETWORKS`] is this host, so that every address of theirs can be a peer or a client, ports 25 and 53 are free,
//! and 127.0.0.1 is the only name server. What the world does is seen by nobody else, and goes with its last process.

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Whose addresses are all this host's. The first three are for documentation (RFC 5737), the last is a private one.
pub const NETWORKS: [&str; 4] = ["192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "10.0.0.0/8"];

/// The server's own address.
pub const SERVER: &str = "192.0.2.1";

/// Moves the calling thread into a new world; threads and processes that it starts from now on live there too.
/// In it `here` is seen at `there`, which must exist.
///
/// # Panics
/// For anybody but root, or when a step fails; the text says which.
pub fn enter(here: &Path, there: &Path) {
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)
        .expect("only root can make a world: run this test as root");
    // Without this our mounts would appear outside.
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .expect("mounts become private");
    let services = fs::read_to_string("/etc/nsswitch.conf").unwrap_or_default();
    let others = services.lines().filter(|line| !line.starts_with("hosts:"));
    let services: String = others.chain(["hosts: files dns"]).map(|line| format!("{line}\n")).collect();
    cover(here, "resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n");
    cover(here, "hosts", "127.0.0.1 localhost\n");
    cover(here, "nsswitch.conf", &services);
    bind(here, there);
    ip("link set lo up");
    // A server looks for its own address among those of its interfaces.
    ip(&format!("address add {SERVER}/32 dev lo"));
    for network in NETWORKS {
        ip(&format!("route add local {network} dev lo"));
    }
}

/// Adds users to those of the system, each in a group of their own: lines of passwd(5). For worlds only.
///
/// # Panics
/// When the files cannot be read or covered.
pub fn add_users(here: &Path, users: &[String]) {
    let groups = users.iter().filter_map(|line| {
        let mut fields = line.split(':');
        Some(format!("{}:x:{}:", fields.next()?, fields.nth(2)?))
    });
    for (name, more) in [("passwd", users.to_vec()), ("group", groups.collect())] {
        let text = fs::read_to_string(Path::new("/etc").join(name)).expect("each system has one");
        let more: String = more.into_iter().map(|line| line + "\n").collect();
        cover(here, name, &format!("{text}{more}"));
    }
}

/// Puts a file of ours in the place of one in /etc.
fn cover(folder: &Path, name: &str, text: &str) {
    let own = folder.join(name);
    fs::write(&own, text).expect("a scratch folder");
    bind(&own, &Path::new("/etc").join(name));
}

/// Has `from` be seen at `to`. For worlds only.
///
/// # Panics
/// When either is not there.
pub fn bind(from: &Path, to: &Path) {
    mount(Some(from), to, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .unwrap_or_else(|error| panic!("{} at {}: {error}", from.display(), to.display()));
}

fn ip(words: &str) {
    let tool = crate::program("ip", "iproute2");
    crate::run(Command::new(tool).args(words.split(' ')));
}
