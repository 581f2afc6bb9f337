//! What is in a file, of which most may be blank: only what was written is there in memory.

/// Octets for which there is room from the first write on, as far as the size allows.
const ROOM: usize = 32 * 1024;

/// Octets, and blank ones behind them up to a size.
#[derive(Debug, Clone, Default)]
pub(super) struct Image {
    /// At most `size`.
    octets: Vec<u8>,
    size: usize,
}

impl Image {
    /// Octets in all.
    pub(super) const fn size(&self) -> usize {
        self.size
    }

    /// Those at the beginning; what follows is blank.
    pub(super) fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// Cuts it, or makes it longer by blank octets.
    pub(super) fn resize(&mut self, size: usize) {
        self.octets.truncate(size);
        self.size = size;
    }

    /// The octets of a range, as far as it lies within the size.
    pub(super) fn read(&self, from: usize, to: usize) -> Vec<u8> {
        let to = to.min(self.size);
        let length = to.saturating_sub(from);
        let mut octets = Vec::with_capacity(length);
        octets.extend_from_slice(self.there(from, to));
        octets.resize(length, 0);
        octets
    }

    /// Writes octets at a place; it becomes as long as that takes.
    pub(super) fn write(&mut self, at: usize, octets: &[u8]) {
        let end = at + octets.len();
        self.size = self.size.max(end);
        if end > self.octets.capacity() {
            let more = self.size.min(ROOM).max(end) - self.octets.len();
            self.octets.reserve(more);
        }
        if self.octets.len() < at {
            self.octets.resize(at, 0);
        }
        let (over, behind) = octets.split_at((self.octets.len() - at).min(octets.len()));
        self.octets[at..at + over.len()].copy_from_slice(over);
        self.octets.extend_from_slice(behind);
    }

    /// Changes bits of the octet at a place, if it is that long.
    pub(super) fn flip(&mut self, at: usize, bits: u8) {
        if at < self.size {
            let octet = self.octets.get(at).copied().unwrap_or(0);
            self.write(at, &[octet ^ bits]);
        }
    }

    /// Takes the octets of a range from another, and becomes as long as that takes.
    pub(super) fn copy(&mut self, other: &Self, from: usize, to: usize) {
        self.size = self.size.max(to);
        let there = other.there(from, to);
        if !there.is_empty() {
            self.write(from, there);
        }
        let end = to.min(self.octets.len());
        if let Some(blank) = self.octets.get_mut(from + there.len()..end) {
            blank.fill(0);
        }
    }

    /// The octets of a range that are not blank for being behind all that was written.
    fn there(&self, from: usize, to: usize) -> &[u8] {
        let end = to.min(self.octets.len());
        self.octets.get(from..end).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use postrider_core::prng::Prng;

    #[test]
    fn it_is_what_a_vector_of_all_octets_would_be() {
        let mut prng = Prng::new(1);
        let (mut images, mut vectors) = ([Image::default(), Image::default()], [vec![], vec![]]);
        for _ in 0..5_000 {
            let which = prng.below(2) as usize;
            let size = vectors[which].len();
            let from = prng.below(size as u64 + 1) as usize;
            let to = from + prng.below((size - from) as u64 + 1) as usize;
            match prng.below(4) {
                0 => {
                    let size = prng.below(60) as usize;
                    images[which].resize(size);
                    vectors[which].resize(size, 0);
                }
                1 if from < to => {
                    let octets = vec![prng.below(3) as u8; to + 3 - from];
                    images[which].write(from, &octets);
                    images[which].flip(from, 4);
                    vectors[which].resize(size.max(to + 3), 0);
                    vectors[which][from..to + 3].copy_from_slice(&octets);
                    vectors[which][from] ^= 4;
                }
                2 => {
                    let source = images[which].clone();
                    images[1 - which].copy(&source, from, to);
                    let octets = vectors[which][from..to].to_vec();
                    let other: &mut Vec<u8> = &mut vectors[1 - which];
                    other.resize(other.len().max(to), 0);
                    other[from..to].copy_from_slice(&octets);
                }
                _ => assert_eq!(images[which].read(from, to + 3), vectors[which][from..(to + 3).min(size)]),
            }
            assert_eq!(images[which].size(), vectors[which].len());
            assert_eq!(images[which].read(0, usize::MAX), vectors[which]);
        }
    }
}
