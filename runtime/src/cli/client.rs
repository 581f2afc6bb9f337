//! Talks to the running daemon over its control socket.

use super::{Failure, Setup};
use crate::control::{Reply, Request, SOCKET};
use crate::trouble::{told, words};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// EX_UNAVAILABLE.
const UNAVAILABLE: u8 = 69;
/// A daemon that says nothing for so long is stuck.
const PATIENCE: Duration = Duration::from_secs(120);

/// Asks, and hands each part of the answer to `take`.
///
/// # Errors
/// The daemon does not run, or says that it cannot.
pub fn ask(
    setup: &Setup,
    request: &Request,
    take: impl FnMut(Reply) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let stream = connect(setup, request)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(|error| broken(&error))?;
    hear(stream, take)
}

/// The same, and sends what `body` has behind the request. Nobody knows how long that takes.
///
/// # Errors
/// As [`ask`].
pub(super) fn ask_with_body(
    setup: &Setup,
    request: &Request,
    mut body: impl Read + Send + 'static,
    take: impl FnMut(Reply) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let stream = connect(setup, request)?;
    let mut sink = stream.try_clone().map_err(|error| broken(&error))?;
    // The daemon answers while it reads: who only writes, or only reads, would wait for ever. When it has said its last
    // word nobody waits for this thread.
    std::thread::spawn(move || {
        _ = std::io::copy(&mut body, &mut sink);
        _ = sink.shutdown(std::net::Shutdown::Write);
    });
    hear(stream, take)
}

fn broken(error: &std::io::Error) -> Failure {
    Failure::new(UNAVAILABLE, format!("the daemon's control socket: {}", told(error)))
}

fn connect(setup: &Setup, request: &Request) -> Result<UnixStream, Failure> {
    let path = setup.spool().join(SOCKET);
    let connect = UnixStream::connect(&path).map_err(|error| {
        let text = format!(
            "mail system is down ({}: {}); postrider start -c DIR starts it",
            path.display(),
            words(&error)
        );
        Failure::new(UNAVAILABLE, text)
    });
    let mut stream = connect?;
    let mut line =
        serde_json::to_vec(request).map_err(|error| Failure::new(UNAVAILABLE, error.to_string()))?;
    line.push(b'\n');
    stream.write_all(&line).map_err(|error| broken(&error))?;
    Ok(stream)
}

fn hear(stream: UnixStream, mut take: impl FnMut(Reply) -> Result<(), Failure>) -> Result<(), Failure> {
    for line in BufReader::new(stream).lines() {
        let line = line.map_err(|error| broken(&error))?;
        let reply = serde_json::from_str(&line);
        match reply
            .map_err(|error| Failure::new(UNAVAILABLE, format!("an answer of another version: {error}")))?
        {
            Reply::End => return Ok(()),
            Reply::Failed(why) => return Err(Failure::new(UNAVAILABLE, why)),
            reply => take(reply)?,
        }
    }
    Err(Failure::new(UNAVAILABLE, "the daemon hung up in the middle of its answer"))
}

/// Tells the daemon that mail lies in the maildrop; it looks by itself sooner or later.
pub fn wake(setup: &Setup) {
    _ = ask(setup, &Request::Wake, |_| Ok(()));
}
