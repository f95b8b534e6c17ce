//! CBOR as a tree (RFC 8949), so that a forger can put a part of one thing into another without breaking the whole. What this reads and
//! writes shares no code with the decoders.

use super::choices::Choices;

/// A part of something in CBOR.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// A number, a text, bytes or a map: as it is written.
    Leaf(Vec<u8>),
    /// An array.
    Array(Vec<Part>),
    /// Bytes that hold an array, or something tagged, as a row or a transaction is.
    Within(Box<Part>),
    /// Something under a tag.
    Tagged(u64, Box<Part>),
}

impl Part {
    /// All of some bytes as one part; nothing if they are none.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut left = bytes;
        let part = read(&mut left)?;
        left.is_empty().then_some(part)
    }

    /// The bytes, each length as short as it can be.
    pub fn write(&self) -> Vec<u8> {
        match self {
            Self::Leaf(bytes) => bytes.clone(),
            Self::Array(parts) => {
                parts.iter().fold(head(4, parts.len() as u64), |all, one| [all, one.write()].concat())
            }
            Self::Within(part) => {
                let bytes = part.write();
                [head(2, bytes.len() as u64), bytes].concat()
            }
            Self::Tagged(tag, part) => [head(6, *tag), part.write()].concat(),
        }
    }

    /// It and all parts within it, outermost first.
    pub fn all(&self) -> Vec<&Self> {
        let mut all = vec![self];
        let within = match self {
            Self::Leaf(_) => &[],
            Self::Array(parts) => parts.as_slice(),
            Self::Within(part) | Self::Tagged(_, part) => std::slice::from_ref(&**part),
        };
        all.extend(within.iter().flat_map(Self::all));
        all
    }

    /// The part that [`Part::all`] has in this place.
    fn nth(&mut self, at: &mut usize) -> Option<&mut Self> {
        if *at == 0 {
            return Some(self);
        }
        *at -= 1;
        let within = match self {
            Self::Leaf(_) => &mut [],
            Self::Array(parts) => parts.as_mut_slice(),
            Self::Within(part) | Self::Tagged(_, part) => std::slice::from_mut(&mut **part),
        };
        within.iter_mut().find_map(|part| part.nth(at))
    }

    /// Whether the one can stand where the other does, as far as its shape goes.
    fn resembles(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Leaf(one), Self::Leaf(other)) => {
                one.first().map(|head| head >> 5) == other.first().map(|head| head >> 5)
            }
            (one, other) => std::mem::discriminant(one) == std::mem::discriminant(other),
        }
    }

    /// Changes one part of it: puts one of `others` in its place, or leaves out, repeats or swaps what is in it, or alters it.
    pub fn change(&mut self, choices: &mut Choices, others: &[&Self]) {
        let mut at = choices.below(self.all().len());
        let Some(part) = self.nth(&mut at) else { return };
        match (choices.below(5), part) {
            (0 | 1, part) => {
                let fitting: Vec<_> = others.iter().filter(|other| other.resembles(part) && *other != &part).collect();
                if !fitting.is_empty() {
                    *part = (*fitting[choices.below(fitting.len())]).clone();
                }
            }
            (2, Self::Array(parts)) if !parts.is_empty() => drop(parts.remove(choices.below(parts.len()))),
            (3, Self::Array(parts)) if !parts.is_empty() => parts.push(parts[choices.below(parts.len())].clone()),
            (_, Self::Array(parts)) if !parts.is_empty() => {
                let (one, other) = (choices.below(parts.len()), choices.below(parts.len()));
                parts.swap(one, other);
            }
            (_, Self::Leaf(bytes)) => {
                if let Some(last) = bytes.last_mut() {
                    *last ^= 1 << choices.below(8);
                }
            }
            (_, Self::Tagged(tag, _)) => *tag ^= 1,
            (..) => {}
        }
    }
}

/// The first byte or bytes of something of this major type.
fn head(major: u8, number: u64) -> Vec<u8> {
    let major = major << 5;
    match number {
        0..24 => vec![major | number as u8],
        24..0x100 => vec![major | 24, number as u8],
        0x100..0x1_0000 => [&[major | 25], &(number as u16).to_be_bytes()[..]].concat(),
        0x1_0000..0x1_0000_0000 => [&[major | 26], &(number as u32).to_be_bytes()[..]].concat(),
        _ => [&[major | 27], &number.to_be_bytes()[..]].concat(),
    }
}

/// The first part of what is left; none has an indefinite length.
fn read(left: &mut &[u8]) -> Option<Part> {
    let whole = *left;
    let first = take(left, 1)?[0];
    let argument = match first & 0x1f {
        short @ 0..24 => u64::from(short),
        length @ 24..28 => {
            take(left, 1 << (length - 24))?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
        }
        _ => return None,
    };
    let count = usize::try_from(argument).ok()?;
    let leaf = |left: &&[u8]| Part::Leaf(whole[..whole.len() - left.len()].to_vec());
    match first >> 5 {
        2 => {
            let held = take(left, count)?;
            match Part::read(held) {
                Some(part @ (Part::Array(_) | Part::Tagged(..))) => Some(Part::Within(Box::new(part))),
                _ => Some(leaf(left)),
            }
        }
        3 => take(left, count).map(|_| leaf(left)),
        4 => (0..count).map(|_| read(left)).collect::<Option<_>>().map(Part::Array),
        5 => {
            (0..count.checked_mul(2)?).try_for_each(|_| read(left).map(drop))?;
            Some(leaf(left))
        }
        6 => Some(Part::Tagged(argument, Box::new(read(left)?))),
        _ => Some(leaf(left)),
    }
}

fn take<'a>(left: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = left.split_at_checked(count)?;
    *left = rest;
    Some(taken)
}
