//! What happens in a story, in words for who reads it: the lines of `--spoken`.
//!
//! Octets are cut, or told by their length and CRC-32, so that each event is a line that a person can read. No hash depends on these words.

use crate::disk::Moods;
use crate::network::{Arrival, Link, NodeId};
use crate::world::{Fault, Word};
use hickory_proto::op::{Message, MessageType};
use postrider_core::queue::{DiskError, Done, Op};

/// Characters of octets that are shown.
const SHOWN_MAX: usize = 240;
/// Characters of a line, but for what says how many there were.
const LINE_MAX: usize = 440;

/// A line of a sensible length: where it is cut, it says how long it was.
#[must_use]
pub fn cut(line: String) -> String {
    match line.char_indices().nth(LINE_MAX) {
        Some((end, _)) => format!("{}… {} characters", &line[..end], line.chars().count()),
        None => line,
    }
}

/// Octets as text; where there are many, the first and how many.
#[must_use]
pub fn octets(octets: &[u8]) -> String {
    let start = octets.get(..SHOWN_MAX).unwrap_or(octets);
    let mut text = String::new();
    let mut all = start.len() == octets.len();
    for char in String::from_utf8_lossy(start).chars() {
        if text.len() >= SHOWN_MAX {
            all = false;
            break;
        }
        text.extend(char.escape_debug());
    }
    if all { text } else { format!("{text}… {} octets", octets.len()) }
}

/// What reached a machine.
#[must_use]
pub fn arrival(arrival: &Arrival) -> String {
    match arrival {
        Arrival::Accepted { socket, port, peer } => {
            format!("accepted {} on port {port} from {peer}", socket.0)
        }
        Arrival::Connected(socket) => format!("connected {}", socket.0),
        Arrival::NotConnected(socket, true) => format!("not connected {}: refused", socket.0),
        Arrival::NotConnected(socket, false) => format!("not connected {}: no answer", socket.0),
        Arrival::Octets(socket, heard) => format!("heard {} {}", socket.0, octets(heard)),
        Arrival::End(socket) => format!("end of {}", socket.0),
        Arrival::Gone(socket, true) => format!("reset {}", socket.0),
        Arrival::Gone(socket, false) => format!("given up {}: no answer", socket.0),
        Arrival::Drained(socket) => format!("drained {}", socket.0),
        Arrival::Datagram { port, from, octets } => {
            format!("datagram from {from} to port {port}: {}", datagram(octets))
        }
        Arrival::Unreachable(port) => format!("nobody is bound where the datagram from port {port} went"),
    }
}

/// A question to a name server, or what it says.
fn datagram(octets: &[u8]) -> String {
    let Ok(message) = Message::from_vec(octets) else {
        return format!("{} octets that are no DNS message", octets.len());
    };
    let mut text = format!("id {:04x}", message.metadata.id);
    for question in &message.queries {
        text += &format!(" {} {}", question.name.to_ascii(), question.query_type);
    }
    if message.metadata.message_type == MessageType::Query {
        return text + "?";
    }
    let lifetimes = message.answers.iter().map(|record| record.ttl);
    text += &format!(": {:?}, {} records", message.metadata.response_code, message.answers.len());
    if let (Some(least), Some(most)) = (lifetimes.clone().min(), lifetimes.max()) {
        text += &if least == most { format!(", TTL {least}") } else { format!(", TTL {least} to {most}") };
    }
    if message.metadata.truncation {
        text += ", TC";
    }
    let records: Vec<String> = message
        .answers
        .iter()
        .map(|record| format!("{} {} {}", record.name.to_ascii(), record.record_type(), record.data))
        .collect();
    if records.is_empty() { text } else { format!("{text}: {}", records.join("; ")) }
}

/// What a disk is asked for.
#[must_use]
pub fn operation(op: &Op) -> String {
    match op {
        Op::List => "list".to_owned(),
        Op::Create { file, size } => format!("create {} of {size} octets", file.path()),
        Op::Write { file, offset, octets } => {
            format!("write {} at {offset}, {}", file.path(), sum(octets.iter().map(Vec::as_slice)))
        }
        Op::Sync(file) => format!("sync {}", file.path()),
        Op::SyncDirectory => "sync the directories".to_owned(),
        Op::Unlink(file) => format!("unlink {}", file.path()),
        Op::Read { file, offset, length } => {
            format!("read {} at {offset}, {length} octets", file.path())
        }
    }
}

/// What it comes to.
#[must_use]
pub fn result(result: &Result<Done, DiskError>) -> String {
    match result {
        Ok(Done::Nothing) => "done".to_owned(),
        Ok(Done::Files(files)) => format!("{} files", files.len()),
        Ok(Done::Octets(octets)) => sum(std::iter::once(octets.as_slice())),
        Err(DiskError::Full) => "FAILED: no space is left".to_owned(),
        Err(DiskError::Missing) => "FAILED: there is no such file".to_owned(),
        Err(DiskError::Failed(why)) => format!("FAILED: {why}"),
    }
}

/// How many octets, and a sum by which the same can be found again.
fn sum<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> String {
    let mut sum = crc32fast::Hasher::new();
    let length = chunks.fold(0, |length, chunk| {
        sum.update(chunk);
        length + chunk.len()
    });
    format!("{length} octets, CRC-32 {:08x}", sum.finalize())
}

/// What goes wrong or right again; `name` says how a machine is called.
#[must_use]
pub fn fault(fault: &Fault, name: impl Fn(NodeId) -> String) -> String {
    match *fault {
        Fault::Crash(node, true) => format!("{} loses power", name(node)),
        Fault::Crash(node, false) => format!("the process of {} is killed", name(node)),
        Fault::Off(node) => format!("{} loses power for good", name(node)),
        Fault::Boot(node) => format!("{} starts", name(node)),
        Fault::CrashAtOperation(node, count) => {
            format!("{} is to lose power in disk operation {count} from now on", name(node))
        }
        Fault::CrashAtEffect(node, count, true) => {
            format!("{} is to lose power behind effect {count} from now on", name(node))
        }
        Fault::CrashAtEffect(node, count, false) => {
            format!("the process of {} is to be killed behind effect {count} from now on", name(node))
        }
        Fault::Disarm(node) => format!("no operation or effect of {} is its last any more", name(node)),
        Fault::Cut(from, to, true) => format!("{} and {} no longer reach one another", name(from), name(to)),
        Fault::Cut(from, to, false) => format!("{} no longer reaches {}", name(from), name(to)),
        Fault::Sever(from, to) => format!("{} no longer reaches {}, for good", name(from), name(to)),
        Fault::Usual(link) => format!("the usual path for good: {}", path(link)),
        Fault::Mend(one, other) => format!("{} and {} reach one another again", name(one), name(other)),
        Fault::Heal => "all paths are whole again".to_owned(),
        Fault::Reset(choice) => format!("a connection is to be reset, chosen by {choice}"),
        Fault::Moods(node, moods) => format!("the disk of {}: {}", name(node), odds(moods)),
        Fault::Capacity(node, octets) => format!("the disk of {} has {octets} octets", name(node)),
        Fault::Rot(node, choice) => {
            format!("a bit on the disk of {} changes, chosen by {choice}", name(node))
        }
        Fault::Skew(node, micros) => {
            format!("the wall clock of {} is {:+.3} s off", name(node), micros as f64 / 1e6)
        }
        Fault::Tell(node, word) => told(&name(node), word),
    }
}

fn told(name: &str, word: Word) -> String {
    match word {
        Word::Behave => format!("{name} behaves well from now on"),
        Word::Persist => format!("{name} stays as it is"),
        Word::Refuse => format!("{name} refuses all for now"),
        Word::Flush => format!("the operator of {name} wants all mail tried now"),
        Word::Requeue => format!("the operator of {name} has all mail go through cleanup anew"),
        Word::Hold => format!("the operator of {name} puts all mail on hold"),
        Word::Release => format!("the operator of {name} releases what is on hold"),
        Word::Delete(choice) => format!("the operator of {name} deletes a message, chosen by {choice}"),
        Word::Tables(true) => format!("lookup tables of {name} fail"),
        Word::Tables(false) => format!("lookup tables of {name} work"),
        Word::Reload(number) => format!("the operator of {name} reloads configuration {number}"),
    }
}

fn path(link: Link) -> String {
    let (least, most) = link.latency;
    let rate = if link.rate == 0 { String::new() } else { format!(", {} octets a second", link.rate) };
    format!("{least} to {most} µs, {} of 1000 lost{rate}", link.loss)
}

fn odds(moods: Moods) -> String {
    let Moods { full, fails, reads_fail, sync_fails, careless } = moods;
    let odds =
        [(full, "find it full"), (fails, "fail"), (reads_fail, "reads fail"), (sync_fails, "syncs fail")];
    let mut words: Vec<String> = odds
        .into_iter()
        .filter(|(of_thousand, _)| *of_thousand > 0)
        .map(|(of_thousand, what)| format!("{of_thousand} of 1000 {what}"))
        .collect();
    words.extend(careless.then(|| "after a crash it shows old octets".to_owned()));
    if words.is_empty() { "nothing goes wrong".to_owned() } else { words.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::op::{OpCode, ResponseCode};
    use postrider_core::queue::File;

    #[test]
    fn octets_are_text_and_many_are_cut() {
        assert_eq!(octets(b"250 Ok\r\n"), "250 Ok\\r\\n");
        assert_eq!(octets(&[b'x'; SHOWN_MAX]), "x".repeat(SHOWN_MAX));
        assert_eq!(octets(&[b'x'; 9_000]), format!("{}… 9000 octets", "x".repeat(SHOWN_MAX)));
        let ugly = octets(&[1; 239]);
        assert!(ugly.len() < SHOWN_MAX + 40 && ugly.ends_with("… 239 octets"), "{ugly}");
        assert_eq!(cut("é".repeat(441)), format!("{}… 441 characters", "é".repeat(440)));
        assert_eq!(cut("é".repeat(440)), "é".repeat(440));
    }

    #[test]
    fn operations_are_told_by_file_place_and_length() {
        let write =
            Op::Write { file: File::Segment(1), offset: 512, octets: vec![vec![b'a'], vec![b'b', b'c']] };
        let words = "write log/0000000000000001 at 512, 3 octets, CRC-32 352441c2";
        assert_eq!(operation(&write), words);
        assert_eq!(result(&Ok(Done::Octets(b"abc".to_vec()))), "3 octets, CRC-32 352441c2");
        assert_eq!(result(&Err(DiskError::Failed("sync failed".to_owned()))), "FAILED: sync failed");
    }

    #[test]
    fn datagrams_are_told_as_question_and_answer() {
        let mut message = Message::new(0x1f, MessageType::Response, OpCode::Query);
        message.metadata.truncation = true;
        message.metadata.response_code = ResponseCode::ServFail;
        assert_eq!(datagram(&message.to_vec().expect("octets")), "id 001f: ServFail, 0 records, TC");
        assert_eq!(datagram(b"abc"), "3 octets that are no DNS message");
    }

    #[test]
    fn faults_name_their_machines() {
        let name = |node: NodeId| format!("host{}.sim", node.0);
        assert_eq!(fault(&Fault::Crash(NodeId(1), true), name), "host1.sim loses power");
        assert_eq!(
            fault(&Fault::Skew(NodeId(0), -1_500_000), name),
            "the wall clock of host0.sim is -1.500 s off"
        );
        let moods = Moods { full: 3, careless: true, ..Moods::default() };
        let words = "the disk of host2.sim: 3 of 1000 find it full, after a crash it shows old octets";
        assert_eq!(fault(&Fault::Moods(NodeId(2), moods), name), words);
    }
}
