//! The embedded default: what `start` runs when no configuration is named.

use super::{Failure, Setup, print};
use crate::trouble::{Cause, Fault, told};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Below the directory that it is started in.
const BESIDE: &str = "postrider-data";
/// For root in a directory that the user whom the daemon becomes can not enter, as /root often is.
const ELSEWHERE: &str = "/var/lib/postrider-data";
/// Where it listens, on loopback.
const PORT: u16 = 2525;

/// The folder of everything (configuration, queue and mail), and whether it is beside whoever asks.
///
/// # Errors
/// The current directory is gone.
pub(super) fn root() -> io::Result<(PathBuf, bool)> {
    let here = std::env::current_dir()?;
    let (_, uid, gid) = owner();
    // Who is not root runs it as himself, and knows where he may go.
    let is_beside = !nix::unistd::Uid::effective().is_root() || may_enter(&here, uid, gid);
    Ok((if is_beside { here.join(BESIDE) } else { PathBuf::from(ELSEWHERE) }, is_beside))
}

/// What somebody else has prepared, root would run.
fn must_be_roots(folder: &Path) -> Result<(), Failure> {
    let Ok(data) = fs::symlink_metadata(folder) else { return Ok(()) };
    if data.is_dir() && data.uid() == 0 && data.mode() & 0o002 == 0 {
        return Ok(());
    }
    let text = format!("{}: others can write there; remove it, or start elsewhere", folder.display());
    Err(Fault::new(Cause::Permission, text).into())
}

/// Whether somebody can use the names in a directory, by the modes of it and of those above it.
fn may_enter(directory: &Path, uid: u32, gid: u32) -> bool {
    directory.ancestors().filter_map(|path| fs::metadata(path).ok()).all(|data| {
        let bit = match (data.uid() == uid, data.gid() == gid) {
            (true, _) => 0o100,
            (false, true) => 0o010,
            (false, false) => 0o001,
        };
        data.mode() & bit != 0
    })
}

/// Writes the embedded default on its first start; the directory of main.cf.
///
/// # Errors
/// It can not be written.
pub(super) fn write() -> Result<PathBuf, Failure> {
    let (root, _) =
        root().map_err(|error| Fault::new(Cause::System, format!("current directory: {}", told(&error))))?;
    let directory = root.join("config");
    if nix::unistd::Uid::effective().is_root() {
        for folder in [&root, &directory] {
            must_be_roots(folder)?;
        }
    }
    let make = || -> std::io::Result<()> {
        fs::create_dir_all(&directory)?;
        fs::create_dir_all(root.join("mail"))?;
        let main_cf = directory.join("main.cf");
        if !main_cf.exists() {
            let (owner, uid, gid) = owner();
            fs::write(main_cf, main_cf_text(&root, &owner, uid, gid))?;
            std::os::unix::fs::lchown(root.join("mail"), Some(uid), Some(gid))?;
        }
        let master_cf = directory.join("master.cf");
        if !master_cf.exists() {
            fs::write(master_cf, MASTER_CF)?;
        }
        Ok(())
    };
    let fail = |error| Fault::new(Cause::of_path(&error), format!("{}: {}", root.display(), told(&error)));
    make().map_err(fail)?;
    Ok(directory)
}

const MASTER_CF: &str = "\
# service   type  private unpriv chroot wakeup maxproc command
127.0.0.1:2525 inet n     -      n      -      -       smtpd
smtp        unix  -       -      n      -      -       smtp
relay       unix  -       -      n      -      -       smtp
lmtp        unix  -       -      n      -      -       lmtp
error       unix  -       -      n      -      -       error
discard     unix  -       -      n      -      -       discard
virtual     unix  -       n      n      -      -       virtual
local       unix  -       n      n      -      -       local
";

/// Whom the embedded default runs and delivers as: whoever starts it; for root somebody who owns nothing.
fn owner() -> (String, u32, u32) {
    let find = |name| nix::unistd::User::from_name(name).ok().flatten();
    let uid = nix::unistd::Uid::effective();
    let owner = match uid.is_root() {
        true => find("postfix").or_else(|| find("nobody")),
        false => nix::unistd::User::from_uid(uid).ok().flatten(),
    };
    match owner {
        Some(user) => (user.name, user.uid.as_raw(), user.gid.as_raw()),
        None => ("nobody".to_owned(), uid.as_raw(), nix::unistd::Gid::effective().as_raw()),
    }
}

fn main_cf_text(root: &Path, owner: &str, uid: u32, gid: u32) -> String {
    let root = root.display();
    // Where there is nobody better to become, at least nothing else of ours runs as the same user.
    let privileges = if owner == "nobody" { "default_privs = daemon\n" } else { "" };
    format!(
        "# Written by `postrider start` at its first start without -c. It is yours now.\n\
         compatibility_level = 3.6\n\
         queue_directory = {root}/spool\n\
         mail_owner = {owner}\n{privileges}\
         inet_interfaces = loopback-only\n\
         mynetworks_style = host\n\
         \n\
         # Mail for any local part at these names goes to a Maildir below mail/.\n\
         mydestination = $myhostname, localhost.$mydomain, localhost\n\
         local_recipient_maps =\n\
         local_transport = virtual\n\
         virtual_mailbox_base = {root}/mail\n\
         virtual_mailbox_maps = localpart:/\n\
         virtual_uid_maps = static:{uid}\n\
         virtual_gid_maps = static:{gid}\n\
         virtual_minimum_uid = 1\n"
    )
}

/// Says where everything is, and how to send the first message.
///
/// # Errors
/// Standard output is closed.
pub(super) fn welcome(setup: &Setup) -> Result<(), Failure> {
    let root = setup.directory.parent().unwrap_or(&setup.directory).display().to_string();
    print(&format!(
        "Postrider {} listens on 127.0.0.1:{PORT}; everything lies below {root}\n\
         \n\
         Send the first message from another terminal:\n\
         \n    swaks --server 127.0.0.1:{PORT} --from you@localhost --to me@localhost\n\
         \nor, with nothing but Python:\n\
         \n    python3 -c 'import smtplib; smtplib.SMTP(\"127.0.0.1\", {PORT}).sendmail(\"you@localhost\", \
         [\"me@localhost\"], \"Subject: hello\\n\\nIt flows.\\n\")'\n\
         \nIt is then in {root}/mail/me/new/. Ctrl-C stops the daemon.\n\
         From another directory, say where it is: postrider queue list -c {}\n\n",
        env!("CARGO_PKG_VERSION"),
        setup.directory.display()
    ))
}
