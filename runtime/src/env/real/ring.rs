//! A ring of files with a recording in them, written by a thread of its own.
//!
//! `record-NNNNNNNN.rec`, counted on over restarts; each begins with the configuration and, where it can be had, the manager, so that it
//! can be read when those before it are gone. A disk that fails ends the recording, with a line in the log, and nothing else.

use crate::observe;
use crate::record::{BUILT, Batch, Frame, Tape};
use crate::trouble::told;
use postrider_core::recording::{Begin, Kind, MAGIC, frame};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;

/// The number of a file of a ring, by its name.
#[must_use]
pub fn number(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("record-")?.strip_suffix(".rec")?;
    (digits.len() == 8).then(|| digits.parse().ok()).flatten()
}

/// Starts the writer of a recording.
///
/// # Errors
/// Its first file can not be made.
pub(super) fn start(tape: Arc<Tape>) -> io::Result<()> {
    super::make_directory(&tape.ring.directory, 0o700)?;
    let mut writer = Writer { number: 0, file: None, written: 0, asked: false, setting: None, tape };
    writer.number = writer.files()?.last().copied().unwrap_or(0);
    writer.open()?;
    std::thread::Builder::new().name("record".to_owned()).spawn(move || writer.run())?;
    Ok(())
}

struct Writer {
    tape: Arc<Tape>,
    number: u64,
    file: Option<BufWriter<File>>,
    written: u64,
    /// The manager has been asked to write itself down.
    asked: bool,
    /// The frame of the configuration of the moment.
    setting: Option<Vec<u8>>,
}

impl Writer {
    fn run(mut self) {
        loop {
            let batch = self.tape.shelf.take();
            let last = batch.last;
            if let Err(error) = self.write(&batch) {
                let directory = self.tape.ring.directory.display();
                observe::warn(format!(
                    "recording has ended, mail goes on: record_directory {directory}: {}; reload to record again",
                    told(&error)
                ));
                return self.tape.shelf.ended();
            }
            if last {
                return self.tape.shelf.ended();
            }
        }
    }

    fn write(&mut self, batch: &Batch) -> io::Result<()> {
        for frame in &batch.frames {
            match frame {
                Frame::Setting(octets) => self.setting = Some(octets.clone()),
                Frame::State(_) if self.written >= self.tape.ring.file_size => self.next()?,
                _ if self.written >= self.tape.ring.file_size.saturating_mul(2) => self.next()?,
                _ => {}
            }
            self.put(frame.octets())?;
        }
        if batch.lost > 0 {
            observe::warn(format!("the recording lacks records, its disk is too slow: {}", batch.lost));
            let octets = frame(Kind::Lost, &batch.lost).unwrap_or_default();
            self.put(&octets)?;
        }
        if self.written >= self.tape.ring.file_size && !std::mem::replace(&mut self.asked, true) {
            self.tape.wanted.notify_one();
        }
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }

    fn put(&mut self, octets: &[u8]) -> io::Result<()> {
        self.written += octets.len() as u64;
        self.file.as_mut().map_or(Ok(()), |file| file.write_all(octets))
    }

    /// Begins the next file.
    fn next(&mut self) -> io::Result<()> {
        if let Some(mut file) = self.file.take() {
            file.flush()?;
        }
        self.open()?;
        match self.setting.clone() {
            Some(setting) => self.put(&setting),
            None => Ok(()),
        }
    }

    fn open(&mut self) -> io::Result<()> {
        self.number += 1;
        self.asked = false;
        let file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(self.path(self.number))?;
        (self.file, self.written) = (Some(BufWriter::with_capacity(64 * 1024, file)), 0);
        let begin = Begin {
            version: BUILT.to_owned(),
            number: self.number,
            at: crate::env::wall_clock(),
            content: self.tape.ring.content,
        };
        self.put(MAGIC)?;
        self.put(&frame(Kind::Begin, &begin).unwrap_or_default())?;
        self.tape.began(self.number);
        let files = self.files()?;
        let most = usize::try_from(self.tape.ring.file_count).unwrap_or(usize::MAX);
        for old in files.iter().take(files.len().saturating_sub(most)) {
            fs::remove_file(self.path(*old))?;
        }
        Ok(())
    }

    fn path(&self, number: u64) -> PathBuf {
        self.tape.ring.directory.join(format!("record-{number:08}.rec"))
    }

    /// The numbers of the files that are there.
    fn files(&self) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.tape.ring.directory)? {
            numbers.extend(entry?.file_name().to_str().and_then(number));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }
}
