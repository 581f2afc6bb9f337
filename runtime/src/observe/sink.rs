//! Where lines go, from the thread of the log: a file, standard output, or the system's logger.

use super::Target;
use postrider_core::event::Severity;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

/// Until a pipe that does not let us wait is tried again: it is full, and shared with somebody who has made it so.
const AGAIN: Duration = Duration::from_millis(20);

/// Lines that could not be written, and why.
#[derive(Debug)]
pub(super) struct Unwritten {
    pub(super) lines: u64,
    pub(super) why: io::Error,
}

/// A stream of lines.
#[derive(Debug)]
pub(super) struct Stream<W> {
    out: W,
    buffer: Vec<u8>,
    /// What was written last has no end of line, because the rest of its line could not be written.
    torn: bool,
}

impl<W: Write> Stream<W> {
    const fn new(out: W) -> Self {
        Self { out, buffer: Vec::new(), torn: false }
    }

    fn put(&mut self, line: &str) {
        if self.torn && self.buffer.is_empty() {
            self.buffer.push(b'\n');
        }
        self.buffer.extend_from_slice(line.as_bytes());
        self.buffer.push(b'\n');
    }

    fn flush(&mut self) -> Result<(), Unwritten> {
        let mut done = 0;
        let mut ended = Ok(());
        while ended.is_ok() && done < self.buffer.len() {
            match self.out.write(&self.buffer[done..]) {
                Ok(0) => ended = Err(ErrorKind::WriteZero.into()),
                Ok(written) => done += written,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(AGAIN),
                Err(error) => ended = Err(error),
            }
        }
        let left = self.buffer[done..].iter().filter(|octet| **octet == b'\n').count() as u64;
        // The end of the line that was torn before is no line.
        let lines = left - u64::from(self.torn && done == 0 && left > 0);
        if done > 0 {
            self.torn = self.buffer[done - 1] != b'\n';
        }
        self.buffer.clear();
        ended.map_err(|why| Unwritten { lines, why })
    }
}

/// Where lines go.
pub(super) enum Sink {
    Stream(Stream<File>),
    Syslog(Option<UnixDatagram>, u8),
}

impl Sink {
    pub(super) fn open(target: &Target) -> io::Result<Self> {
        let file = match target {
            // Not through std's handle: it keeps octets back, and its lock would be held for as long as nobody reads.
            Target::Stdout => File::from(io::stdout().as_fd().try_clone_to_owned()?),
            Target::File(path) => OpenOptions::new().create(true).append(true).open(path)?,
            Target::Syslog(facility) => return Ok(Self::Syslog(connect_syslog(), *facility)),
        };
        Ok(Self::Stream(Stream::new(file)))
    }

    /// `elsewhere` makes of a line for the system's logger one for people.
    pub(super) fn put(&mut self, severity: Severity, line: &str, elsewhere: impl Fn(&str) -> String) {
        match self {
            Self::Stream(stream) => stream.put(line),
            Self::Syslog(socket, facility) => {
                let level = match severity {
                    Severity::Info => 6,
                    Severity::Warning => 4,
                    Severity::Error => 3,
                };
                let packet = format!("<{}>{line}", u32::from(*facility) * 8 + level);
                if socket.as_ref().is_none_or(|socket| socket.send(packet.as_bytes()).is_err()) {
                    // The logger was restarted: one more try on a fresh socket.
                    *socket = connect_syslog();
                    let sent = socket.as_ref().is_some_and(|socket| socket.send(packet.as_bytes()).is_ok());
                    // Nobody takes it: better on standard error than nowhere.
                    if !sent {
                        _ = writeln!(io::stderr(), "{}", elsewhere(line));
                    }
                }
            }
        }
    }

    pub(super) fn flush(&mut self) -> Result<(), Unwritten> {
        match self {
            Self::Stream(stream) => stream.flush(),
            Self::Syslog(..) => Ok(()),
        }
    }
}

fn connect_syslog() -> Option<UnixDatagram> {
    let socket = UnixDatagram::unbound().ok()?;
    socket.connect("/dev/log").ok()?;
    Some(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many octets, and then fails.
    #[derive(Default)]
    struct Disk {
        room: usize,
        octets: Vec<u8>,
        /// Says once that it would block.
        busy: bool,
    }

    impl Write for Disk {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            if std::mem::take(&mut self.busy) {
                return Err(ErrorKind::WouldBlock.into());
            }
            let some = octets.len().min(self.room);
            self.room -= some;
            self.octets.extend_from_slice(&octets[..some]);
            if some == 0 { Err(ErrorKind::StorageFull.into()) } else { Ok(some) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_a_full_disk_does_not_take_are_counted_and_the_next_one_begins_anew() {
        let mut stream = Stream::new(Disk { room: 6, ..Disk::default() });
        ["one", "two", "three"].into_iter().for_each(|line| stream.put(line));
        assert_eq!(stream.flush().expect_err("it is full").lines, 2);
        stream.put("four");
        assert_eq!(stream.flush().expect_err("it is full").lines, 1);
        stream.out.room = 100;
        stream.put("five");
        assert!(stream.flush().is_ok());
        assert_eq!(stream.out.octets, b"one\ntw\nfive\n");
    }

    #[test]
    fn a_pipe_that_is_full_for_a_moment_loses_nothing() {
        let mut stream = Stream::new(Disk { room: 100, busy: true, ..Disk::default() });
        stream.put("one");
        assert!(stream.flush().is_ok());
        assert_eq!(stream.out.octets, b"one\n");
    }
}
