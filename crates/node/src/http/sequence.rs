//! Split a CBOR sequence (RFC 8742) into its items, without reading what they say.

use bytes::Bytes;

/// Why bytes are no sequence that is taken here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SequenceError {
    /// Not one item.
    #[error("the body is empty: send one transaction or more")]
    Empty,
    /// Too many items.
    #[error("the body holds more than {0} transactions: send fewer at once")]
    TooMany(usize),
    /// Not well-formed, or of indefinite length, which no deterministic encoding has.
    #[error(
        "the body is no sequence of CBOR items from byte {0} on: send transactions one directly after another, in deterministic CBOR"
    )]
    Malformed(usize),
}

/// The items of `body`, at most `items_max`. Whether an item is a transaction is for its decoder to say.
///
/// # Errors
/// When there is none, there are too many, or the framing is broken: then nothing after it can be found.
pub fn split(body: &Bytes, items_max: usize) -> Result<Vec<Bytes>, SequenceError> {
    let mut items = Vec::new();
    let mut offset = 0;
    while let Some(rest) = body.get(offset..).filter(|rest| !rest.is_empty()) {
        if items.len() == items_max {
            return Err(SequenceError::TooMany(items_max));
        }
        let len = item_len(rest).ok_or(SequenceError::Malformed(offset))?;
        // Copied, so that one that is kept does not keep the whole body.
        items.push(Bytes::copy_from_slice(rest.get(..len).unwrap_or(rest)));
        offset += len;
    }
    if items.is_empty() { Err(SequenceError::Empty) } else { Ok(items) }
}

/// Length of the CBOR item at the start of `bytes`. Does not recurse: counts the items that are still to come, of which
/// each needs a byte at least.
fn item_len(bytes: &[u8]) -> Option<usize> {
    let mut offset = 0usize;
    let mut pending = 1u64;
    while pending > 0 {
        let rest = bytes.get(offset..)?;
        let (major, argument, head) = item_head(rest)?;
        offset = offset.checked_add(head)?;
        pending -= 1;
        match major {
            2 | 3 => offset = offset.checked_add(usize::try_from(argument).ok()?)?,
            4 => pending = pending.checked_add(argument)?,
            5 => pending = pending.checked_add(argument.checked_mul(2)?)?,
            6 => pending += 1,
            _ => {}
        }
        if offset > bytes.len() || pending > (bytes.len() - offset) as u64 {
            return None;
        }
    }
    Some(offset)
}

/// Major type, argument and length of an item's head (RFC 8949 section 3).
fn item_head(bytes: &[u8]) -> Option<(u8, u64, usize)> {
    let (first, rest) = bytes.split_first()?;
    let extra = match first & 0x1f {
        direct @ 0..=23 => return Some((first >> 5, u64::from(direct), 1)),
        24 => 1,
        25 => 2,
        26 => 4,
        27 => 8,
        // Reserved, or of indefinite length.
        _ => return None,
    };
    let argument = rest.get(..extra)?.iter().fold(0, |argument, byte| argument << 8 | u64::from(*byte));
    Some((first >> 5, argument, 1 + extra))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    /// The shape of a COSE_Sign1: tag 18, four elements.
    const SIGN1: &[u8] = &[0xd2, 0x84, 0x43, 1, 2, 3, 0xa0, 0x42, 4, 5, 0x41, 6];

    fn joined(parts: &[&[u8]]) -> Bytes {
        Bytes::from(parts.concat())
    }

    #[test]
    fn items_come_out_as_they_went_in() {
        let map: &[u8] = &[0xa1, 0x01, 0x82, 0x02, 0xf6];
        let long = [&[0x59, 0x01, 0x00][..], &[7; 256]].concat();
        let body = joined(&[SIGN1, map, &long, SIGN1]);
        let items = split(&body, 4).unwrap();
        assert_eq!(
            items,
            [Bytes::from_static(SIGN1), Bytes::from_static(map), Bytes::from(long), Bytes::from_static(SIGN1)]
        );
    }

    #[test]
    fn the_count_is_bounded() {
        let body = joined(&[SIGN1; 3]);
        assert_eq!(split(&body, 2), Err(SequenceError::TooMany(2)));
        assert_eq!(split(&body, 3).unwrap().len(), 3);
        assert_eq!(split(&Bytes::new(), 3), Err(SequenceError::Empty));
    }

    #[test]
    fn broken_framing_is_named_by_its_place() {
        for broken in [
            &SIGN1[..11],
            &[0x9f, 0xff],
            &[0x5f, 0xff],
            &[0x1c],
            // Arrays and strings that claim what the body cannot hold.
            &[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[0xd2],
        ] {
            let body = joined(&[SIGN1, broken]);
            assert_eq!(split(&body, 9), Err(SequenceError::Malformed(SIGN1.len())), "{broken:02x?}");
        }
        // Nesting costs no stack.
        let deep = Bytes::from([vec![0x81; 1_000_000], vec![0x00]].concat());
        assert_eq!(split(&deep, 1).unwrap().len(), 1);
    }
}
