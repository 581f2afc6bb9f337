//! Octets as a server sends them.

use super::octets::however_cut;
use postrider_core::limits::{REPLY_LINES_MAX, REPLY_TEXT_MAX};
use postrider_core::wire::{BadReply, EnhancedStatus, Reply, ReplyReader, Wire};

/// Reads all replies in the octets.
///
/// # Panics
/// When a law is broken.
pub fn reply(octets: &[u8]) {
    for reply in however_cut(octets, read).into_iter().flatten() {
        assert!((200..=599).contains(&reply.code));
        assert!((1..=REPLY_LINES_MAX + 1).contains(&reply.lines.len()));
        let kept: usize = reply.lines.iter().map(String::len).sum();
        assert!(kept <= 4 * REPLY_TEXT_MAX, "{kept}");
        let hidden = |line: &String| line.chars().any(char::is_control);
        assert!(!reply.lines.iter().any(hidden) && !reply.text().chars().any(char::is_control));
        let status = reply.effective_status();
        assert_eq!(status.class, reply.class());
        if status.class != 3 {
            let written = status.to_string();
            assert_eq!(EnhancedStatus::split_from(&written), Some((status, "")));
        }
        let mut out = Vec::new();
        reply.emit(&mut out);
        assert_eq!(Reply::parse(&out).as_ref(), Ok(&reply), "{:?}", String::from_utf8_lossy(&out));
    }
}

fn read(pieces: &[&[u8]]) -> Vec<Result<Reply, BadReply>> {
    let (mut reader, mut all) = (ReplyReader::new(), Vec::new());
    for piece in pieces {
        let mut at = 0;
        while at < piece.len() {
            let (used, reply) = reader.read(&piece[at..]);
            assert!(used > 0 && at + used <= piece.len());
            at += used;
            let dead = matches!(reply, Some(Err(_)));
            all.extend(reply);
            if dead {
                return all;
            }
        }
    }
    all
}
