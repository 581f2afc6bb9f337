//! Situations without a client: users of the system run commands, as `sendmail`.

use super::corpus::{Situation, Step};
use super::normal;
use super::observe::{Observation, texts};
use super::play::octets;
use super::site::Running;
use crate::wait_for;
use nix::unistd::User;
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};

/// Runs the commands of a situation, each when the mail of the one before has left the maildrop.
///
/// # Panics
/// When a user is not there, a step is no command, or mail stays in the maildrop.
pub fn play(situation: &Situation, running: &Running<'_>, played: &mut Observation) {
    for step in &situation.steps {
        let Step::Run { user, command, input } = step else { panic!("{step:?} where commands are run") };
        let before = picked_up(running);
        let input: Vec<u8> = input.iter().flat_map(|line| [octets(line), b"\n".to_vec()].concat()).collect();
        let output = run(running, user, command, &input);
        let mut add = |line: String| played.add(situation.number, format!("client   {command} {line}"));
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        for line in text(&output.stdout).lines() {
            // The id of a file in the maildrop is nobody's but the command's.
            let line = line.split(" queued as ").next().unwrap_or_default();
            add(format!("=> {}", normal::visible(&normal::line(line.trim_end()))));
        }
        for line in text(&output.stderr).lines() {
            add(format!("warns {}", normal::visible(line.trim_end())));
        }
        add(format!("=> exit status {:?}", output.status.code()));
        let maildrop = running.maildrop();
        wait_for("the maildrop to be emptied", || {
            fs::read_dir(&maildrop).expect("both have a maildrop").next().is_none().then_some(())
        });
        // A message may leave the maildrop before the log says who took it.
        let count = if command.contains("-bs") {
            text(&output.stdout).matches(" Ok: queued as ").count()
        } else {
            usize::from(output.status.success())
        };
        let ids = wait_for(&format!("{count} messages of {command:?} to be taken in"), || {
            let ids: Vec<String> = picked_up(running).difference(&before).cloned().collect();
            (ids.len() >= count).then_some(ids)
        });
        ids.into_iter().for_each(|id| played.own(situation.number, id));
    }
}

/// Ids of all messages that have come out of the maildrop.
fn picked_up(running: &Running<'_>) -> BTreeSet<String> {
    let log = running.log();
    let ids = texts(&log).filter_map(|text| {
        let (id, rest) = text.strip_prefix("pickup: ")?.split_once(": ")?;
        rest.starts_with("uid=").then(|| id.to_owned())
    });
    ids.collect()
}

/// Runs a command as a user, with the server's programs in its path.
fn run(running: &Running<'_>, user: &str, command: &str, input: &[u8]) -> Output {
    let user = User::from_name(user).ok().flatten().unwrap_or_else(|| panic!("there is no user {user}"));
    let programs = running.state().join("bin");
    let mut child = Command::new("/bin/sh")
        .args(["-c", command])
        .env_clear()
        .env("PATH", format!("{}:/usr/bin:/bin", programs.display()))
        .uid(user.uid.as_raw())
        .gid(user.gid.as_raw())
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a shell runs");
    // A command that has refused its options reads nothing.
    _ = child.stdin.take().expect("a pipe").write_all(input);
    child.wait_with_output().expect("it ends")
}
