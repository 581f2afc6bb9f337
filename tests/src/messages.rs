//! Messages as they are seen in the wild, made from a seed.
//!
//! Each has a From, a Date and a Message-Id, so that nothing need be added to it on its way; lines end in CRLF and have at
//! most 998 octets, as every MTA must take them (RFC 5321 4.5.3.1.6).

use postrider_core::prng::Prng;

/// A line's octets, without CRLF.
const LINE_MAX: usize = 998;
/// How deep parts lie in parts.
const NESTING_MAX: u64 = 6;

/// One message of about so many octets, for a number that it carries in a field of its own.
#[must_use]
pub fn message(seed: u64, number: u64, size: usize) -> Vec<u8> {
    let mut maker =
        Maker { chance: Prng::new(seed.wrapping_mul(0x9E37_79B9).wrapping_add(number)), out: Vec::new() };
    maker.header(number);
    match maker.chance.below(10) {
        0 => maker.line(""),
        1 => {
            maker.line("Content-Type: text/plain; charset=iso-8859-1");
            maker.line("Content-Transfer-Encoding: 8bit");
            maker.line("");
            maker.eight_bit(size);
        }
        2 => {
            maker.line("");
            maker.dots(size);
        }
        3 => {
            maker.line("");
            maker.long_lines(size);
        }
        4..=6 => maker.part(size),
        _ => {
            maker.line("MIME-Version: 1.0");
            let depth = maker.chance.below(NESTING_MAX) + 1;
            maker.multipart(size, depth);
        }
    }
    maker.out
}

/// Sizes as they are on a mail server: mostly a few kilobytes, some large, very few huge.
#[must_use]
pub fn size(seed: u64, number: u64) -> usize {
    let mut chance = Prng::new(seed ^ number.wrapping_mul(0xD134_2543));
    let (base, spread) = match chance.below(1000) {
        0..700 => (100, 4_000),
        700..950 => (4_000, 30_000),
        950..998 => (30_000, 250_000),
        _ => (1_000_000, 2_000_000),
    };
    usize::try_from(base + chance.below(spread)).unwrap_or(base as usize)
}

struct Maker {
    chance: Prng,
    out: Vec<u8>,
}

impl Maker {
    fn line(&mut self, text: &str) {
        self.octets(text.as_bytes());
    }

    fn octets(&mut self, octets: &[u8]) {
        self.out.extend_from_slice(octets);
        self.out.extend_from_slice(b"\r\n");
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.chance.below(bound as u64)).unwrap_or(0)
    }

    fn word(&mut self) -> String {
        let length = self.below(11) + 1;
        (0..length).map(|_| char::from(b'a' + u8::try_from(self.below(26)).unwrap_or(0))).collect()
    }

    fn words(&mut self, length: usize) -> String {
        let mut text = self.word();
        while text.len() < length {
            text.push(' ');
            text.push_str(&self.word());
        }
        text.truncate(length.max(1));
        text
    }

    fn header(&mut self, number: u64) {
        // What other hosts put on top, and odd fields that must pass untouched.
        for hop in 0..self.below(6) {
            self.line(&format!("Received: from hop{hop}.test (hop{hop}.test [192.0.2.{hop}])"));
            let id = self.chance.next_u64();
            self.line(&format!("\tby hop{}.test (Mailer) with ESMTPS id {id}", hop + 1));
            self.line("\tfor <someone@elsewhere.test>; Thu, 21 Nov 2024 10:00:00 +0000");
        }
        self.line("From: =?utf-8?Q?J=C3=BCrgen?= <sender@origin.test>");
        self.line(&format!("To: \"Doe, John\" <reader{number}@elsewhere.test> (home)"));
        self.line("Date: Thu, 21 Nov 2024 10:00:00 +0000");
        let id = self.chance.next_u64();
        self.line(&format!("Message-Id: <{number}.{id}@origin.test>"));
        self.line(&format!("X-Number: {number}"));
        match self.below(8) {
            0 => self.line("Subject:"),
            1 => {
                let mut text = b"Subject: ".to_vec();
                text.extend((0..40).map(|_| 0x80 | (self.chance.next_u64() & 0x7f) as u8));
                self.octets(&text);
            }
            2 => self.line("subject:no space here   "),
            3 => {
                let text = self.words(LINE_MAX - 9);
                self.line(&format!("Subject: {text}"));
            }
            _ => {
                let text = self.words(60);
                self.line(&format!("Subject: {text}"));
                for _ in 0..self.below(4) {
                    let text = self.words(70);
                    self.line(&format!("\t {text}"));
                }
            }
        }
        if self.chance.chance(1, 20) {
            for field in 0..self.below(300) {
                let text = self.words(50);
                self.line(&format!("X-Field-{field}: {text}"));
            }
        }
    }

    fn body(&mut self, size: usize, mut each: impl FnMut(&mut Self)) {
        let start = self.out.len();
        while self.out.len() - start < size {
            each(self);
        }
    }

    fn text(&mut self, size: usize) {
        self.body(size, |maker| {
            let length = maker.below(76);
            let text = if length == 0 { String::new() } else { maker.words(length) };
            maker.line(&text);
        });
    }

    fn eight_bit(&mut self, size: usize) {
        self.body(size, |maker| {
            let length = maker.below(200);
            let octets: Vec<u8> = (0..length)
                .map(|_| match maker.chance.next_u64() as u8 {
                    0 | b'\r' | b'\n' => b'.',
                    other => other,
                })
                .collect();
            maker.octets(&octets);
        });
    }

    fn dots(&mut self, size: usize) {
        self.body(size, |maker| {
            let line = [".", "..", "...", ". ", ".x", "", "x.", " .", "From the start", ">From", ".\t"]
                [maker.below(11)];
            maker.line(line);
        });
    }

    fn long_lines(&mut self, size: usize) {
        self.body(size, |maker| {
            let length = LINE_MAX - maker.below(3);
            let text = maker.words(length);
            maker.line(&text);
        });
    }

    fn base64(&mut self, size: usize) {
        const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        self.body(size, |maker| {
            let mut bits = 0;
            let line: Vec<u8> = (0..76)
                .map(|column| {
                    if column % 10 == 0 {
                        bits = maker.chance.next_u64();
                    }
                    bits >>= 6;
                    LETTERS[(bits & 63) as usize]
                })
                .collect();
            maker.octets(&line);
        });
    }

    fn quoted_printable(&mut self, size: usize) {
        self.body(size, |maker| {
            let text = maker.words(60);
            let octet = maker.chance.next_u64() as u8;
            maker.line(&format!("{text}={octet:02X}=2E="));
        });
    }

    /// The rest of a header, and a body of one kind.
    fn part(&mut self, size: usize) {
        match self.below(4) {
            0 => {
                self.line("Content-Type: application/octet-stream; name=\"a b.bin\"");
                self.line("Content-Transfer-Encoding: base64");
                self.line("");
                self.base64(size);
            }
            1 => {
                self.line("Content-Type: text/html;");
                self.line("  charset=\"utf-8\"");
                self.line("Content-Transfer-Encoding: quoted-printable");
                self.line("");
                self.quoted_printable(size);
            }
            2 => {
                self.line("Content-Type: text/plain; charset=utf-8; format=flowed");
                self.line("");
                self.text(size);
            }
            _ => {
                self.line("Content-Type: text/plain; charset=koi8-r");
                self.line("Content-Transfer-Encoding: 8bit");
                self.line("");
                self.eight_bit(size);
            }
        }
    }

    fn multipart(&mut self, size: usize, depth: u64) {
        let boundary = format!("=_{:x}_{depth}", self.chance.next_u64());
        let kind = ["mixed", "alternative", "related", "report; report-type=delivery-status"][self.below(4)];
        self.line(&format!("Content-Type: multipart/{kind};"));
        self.line(&format!("\tboundary=\"{boundary}\""));
        self.line("");
        if self.chance.chance(1, 2) {
            self.line("This is a multi-part message in MIME format.");
        }
        let parts = self.below(4) + 1;
        for _ in 0..parts {
            self.line(&format!("--{boundary}"));
            match self.below(5) {
                0 if depth > 0 => self.multipart(size / parts, depth - 1),
                1 if depth > 0 => {
                    self.line("Content-Type: message/rfc822");
                    self.line("");
                    self.line("From: inner@origin.test");
                    self.line("Subject: inside");
                    self.multipart(size / parts, depth - 1);
                }
                _ => self.part(size / parts),
            }
        }
        // Some mailers forget the last boundary.
        if self.chance.chance(9, 10) {
            self.line(&format!("--{boundary}--"));
        }
    }
}
