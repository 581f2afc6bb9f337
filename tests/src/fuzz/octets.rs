//! Octets taken apart: numbers and pieces from the front of what a fuzzer gives.

/// What is left of an input.
#[derive(Debug, Clone, Copy)]
pub(super) struct Octets<'a>(pub(super) &'a [u8]);

impl<'a> Octets<'a> {
    /// The next octet; 0 behind the last.
    pub(super) fn octet(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// So many octets, or what there is.
    pub(super) fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// A piece with its length in front, in two octets.
    pub(super) fn piece(&mut self) -> &'a [u8] {
        let length = usize::from(self.octet()) << 8 | usize::from(self.octet());
        self.take(length)
    }
}

/// What `read` makes of the octets whole, one at a time, and seven at a time: always the same.
#[track_caller]
pub(super) fn however_cut<T: PartialEq + std::fmt::Debug>(octets: &[u8], read: impl Fn(&[&[u8]]) -> T) -> T {
    let whole = read(&[octets]);
    for size in [1, 7] {
        let pieces: Vec<&[u8]> = octets.chunks(size).collect();
        assert_eq!(read(&pieces), whole, "cut into pieces of {size}");
    }
    whole
}
