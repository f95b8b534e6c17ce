//! Bytes read as an adversary's choices; when they run out, every further choice is zero.

/// What is left of the adversary's bytes.
pub struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    /// All of them.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// One byte.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// A number below `bound`, which must not be zero; small bounds take one byte.
    pub fn below(&mut self, bound: usize) -> usize {
        let number = if bound <= 256 {
            usize::from(self.byte())
        } else {
            usize::from(u16::from_be_bytes([self.byte(), self.byte()]))
        };
        number % bound
    }

    /// Thirty-two bytes, all equal to one choice: enough to be wrong.
    pub fn hash(&mut self) -> [u8; 32] {
        [self.byte(); 32]
    }

    /// Whatever is left.
    pub fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// Damages `bytes` as chosen: flips, cuts, repeats, swaps, overwrites; a handful of times, or not at all.
    pub fn damage(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..self.below(4) {
            if bytes.is_empty() {
                return;
            }
            let at = self.below(bytes.len());
            match self.below(6) {
                0 => bytes[at] ^= 1 << self.below(8),
                1 => bytes[at] = self.byte(),
                2 => bytes.truncate(at),
                3 => bytes.insert(at, self.byte()),
                4 => {
                    bytes.remove(at);
                }
                _ => {
                    let other = self.below(bytes.len());
                    bytes.swap(at, other);
                }
            }
        }
    }
}
