//! What a server makes of the octets of a client.

/// Where the first line ends.
pub(super) fn line_end(octets: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'\n', octets)
        .map(|end| end.wrapping_sub(1))
        .find(|&end| octets.get(end) == Some(&b'\r'))
}

/// What stands between the angle brackets.
pub(super) fn address(line: &str) -> String {
    let inner =
        line.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map_or("", |(inner, _)| inner);
    inner.to_ascii_lowercase()
}

/// Appends whole lines of content, without the dots that were put before their own; says how many octets that were, and whether the last line was the end.
pub(super) fn content(octets: &[u8], content: &mut Vec<u8>) -> (usize, bool) {
    content.reserve(octets.len());
    // Lines go over together up to the next that begins with a dot.
    let (mut from, mut start) = (0, 0);
    for end in memchr::memchr_iter(b'\n', octets) {
        if octets[start] == b'.' {
            content.extend_from_slice(&octets[from..start]);
            if &octets[start..=end] == b".\r\n" {
                return (end + 1, true);
            }
            from = start + 1;
        }
        start = end + 1;
    }
    content.extend_from_slice(&octets[from..start]);
    (start, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ends_with_its_dot_and_loses_one_of_two() {
        let mut found = Vec::new();
        assert_eq!(content(b"a\r\n..b\r\n.c\r\nd", &mut found), (12, false));
        assert_eq!(content(b"d\r\n.\r\nQUIT\r\n", &mut found), (6, true));
        assert_eq!(found, b"a\r\n.b\r\nc\r\nd\r\n");
    }

    #[test]
    fn a_line_ends_with_both() {
        assert_eq!(line_end(b"a\nb\r\nc"), Some(3));
        assert_eq!((line_end(b"a\n"), line_end(b"")), (None, None));
    }
}
