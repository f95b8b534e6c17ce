//! Deterministic CBOR (RFC 8949 section 4.2): encode, decode within a bound, and refuse every other spelling.
//!
//! A structure is an array of its fields in their order; an enumeration is its published name; an absent value is
//! null. Decoding never recurses on the input: the nesting is that of the types.

use minicbor::{Decode, Decoder, Encode, Encoder, encode::Write};
use std::ops::RangeInclusive;

/// Why bytes are not the value they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CborError {
    /// Longer than the limit; nothing was read.
    #[error("{bytes} bytes, more than the limit of {bytes_max}: send less at once")]
    TooLong {
        /// Bytes received.
        bytes: usize,
        /// Bytes allowed.
        bytes_max: usize,
    },
    /// Not CBOR, not of this shape, or beyond a limit of its shape.
    #[error("malformed: {0}")]
    Malformed(String),
    /// The value ends before the bytes do.
    #[error("{bytes} bytes follow the value: send exactly one value")]
    Trailing {
        /// Bytes left over.
        bytes: usize,
    },
    /// The same value has another, shorter or differently ordered encoding, which is the only one accepted.
    #[error("not deterministic CBOR (RFC 8949 section 4.2): encode with shortest lengths, definite sizes, sorted keys")]
    NotCanonical,
}

impl From<minicbor::decode::Error> for CborError {
    fn from(error: minicbor::decode::Error) -> Self {
        let said = error.to_string();
        // What this crate's own readers say names the thing and its limit: that comes first, and where it stands after it.
        Self::Malformed(match (error.is_message(), said.split_once(": "), error.position()) {
            (true, Some((_, what)), Some(at)) => format!("{what}, at byte {at}"),
            (true, Some((_, what)), None) => what.to_owned(),
            _ => said,
        })
    }
}

/// The deterministic encoding of `value`.
pub fn encode<T: Encode<()> + ?Sized>(value: &T) -> Vec<u8> {
    encode_about(value, 128)
}

/// As [`encode`], of a value of about `length` bytes.
pub fn encode_about<T: Encode<()> + ?Sized>(value: &T, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length);
    match value.encode(&mut Encoder::new(&mut bytes), &mut ()) {
        Ok(()) => bytes,
        // A vector cannot refuse bytes and our encoders raise nothing of their own.
        Err(error) => unreachable!("encoding into memory failed: {error}"),
    }
}

/// Decodes exactly one value from all of `bytes`, and refuses any encoding but the deterministic one.
///
/// # Errors
/// When `bytes` exceeds `bytes_max`, is malformed, has a tail, or is not deterministic.
pub fn decode<'b, T: Decode<'b, ()> + Encode<()>>(bytes: &'b [u8], bytes_max: usize) -> Result<T, CborError> {
    if bytes.len() > bytes_max {
        return Err(CborError::TooLong { bytes: bytes.len(), bytes_max });
    }
    let mut decoder = Decoder::new(bytes);
    let value = T::decode(&mut decoder, &mut ())?;
    if decoder.position() != bytes.len() {
        return Err(CborError::Trailing { bytes: bytes.len().saturating_sub(decoder.position()) });
    }
    if is_encoding_of(bytes, |encoder| value.encode(encoder, &mut ())) {
        Ok(value)
    } else {
        Err(CborError::NotCanonical)
    }
}

/// Whether `bytes` is exactly what `encode` writes; compares while encoding, so that nothing is allocated.
pub(crate) fn is_encoding_of<'b, F>(bytes: &'b [u8], encode: F) -> bool
where
    F: FnOnce(&mut Encoder<Expected<'b>>) -> Result<(), minicbor::encode::Error<Differs>>,
{
    let mut encoder = Encoder::new(Expected(bytes));
    encode(&mut encoder).is_ok() && encoder.into_writer().0.is_empty()
}

/// A writer that accepts only the bytes it expects.
pub(crate) struct Expected<'b>(&'b [u8]);

/// The encoding differs from what was expected.
#[derive(Debug)]
pub(crate) struct Differs;

impl Write for Expected<'_> {
    type Error = Differs;

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Differs> {
        self.0 = self.0.strip_prefix(bytes).ok_or(Differs)?;
        Ok(())
    }
}

/// Reads the head of an array that must have `len` elements.
///
/// # Errors
/// When it is anything else.
pub fn array(d: &mut Decoder<'_>, len: u64, what: &str) -> Result<(), minicbor::decode::Error> {
    let at = d.position();
    match d.array()? {
        Some(n) if n == len => Ok(()),
        _ => Err(minicbor::decode::Error::message(format!("{what} must be an array of {len} elements")).at(at)),
    }
}

/// Reads the head of an array whose length lies in `len`.
///
/// # Errors
/// When it is anything else.
pub fn list(d: &mut Decoder<'_>, len: RangeInclusive<usize>, what: &str) -> Result<usize, minicbor::decode::Error> {
    let at = d.position();
    match d.array()?.and_then(|n| usize::try_from(n).ok()) {
        Some(n) if len.contains(&n) => Ok(n),
        _ => {
            let (min, max) = len.into_inner();
            Err(minicbor::decode::Error::message(format!("{what} must be an array of {min} to {max} elements")).at(at))
        }
    }
}

/// Reads a list, each element by `T`'s own decoder.
///
/// # Errors
/// When the length lies outside `len` or an element is malformed.
pub fn values<'b, T: Decode<'b, ()>>(
    d: &mut Decoder<'b>,
    len: RangeInclusive<usize>,
    what: &str,
) -> Result<Vec<T>, minicbor::decode::Error> {
    let n = list(d, len, what)?;
    let mut values = Vec::with_capacity(n);
    for _ in 0..n {
        values.push(T::decode(d, &mut ())?);
    }
    Ok(values)
}

/// Reads a text whose length in bytes lies in `len`, without copying it.
///
/// # Errors
/// When it is anything else.
pub fn text<'b>(
    d: &mut Decoder<'b>,
    len: RangeInclusive<usize>,
    what: &str,
) -> Result<&'b str, minicbor::decode::Error> {
    let at = d.position();
    let text = d.str()?;
    if len.contains(&text.len()) {
        return Ok(text);
    }
    let (min, max) = len.into_inner();
    Err(minicbor::decode::Error::message(format!("{what} must be a text of {min} to {max} bytes")).at(at))
}

/// Reads a text as [`text`] does, which says something: one of ASCII white space alone does not.
pub fn words<'b>(
    d: &mut Decoder<'b>,
    len: RangeInclusive<usize>,
    what: &str,
) -> Result<&'b str, minicbor::decode::Error> {
    let at = d.position();
    let text = text(d, len, what)?;
    if text.bytes().all(|byte| byte.is_ascii_whitespace()) {
        return Err(minicbor::decode::Error::message(format!("{what} is blank: say something")).at(at));
    }
    Ok(text)
}

/// Reads a byte string whose length lies in `len`, without copying it.
///
/// # Errors
/// When it is anything else.
pub fn bytes<'b>(
    d: &mut Decoder<'b>,
    len: RangeInclusive<usize>,
    what: &str,
) -> Result<&'b [u8], minicbor::decode::Error> {
    let at = d.position();
    let bytes = d.bytes()?;
    if len.contains(&bytes.len()) {
        return Ok(bytes);
    }
    let (min, max) = len.into_inner();
    Err(minicbor::decode::Error::message(format!("{what} must be {min} to {max} bytes")).at(at))
}

/// Reads a byte string of exactly `N` bytes.
///
/// # Errors
/// When it is anything else.
pub fn fixed<const N: usize>(d: &mut Decoder<'_>, what: &str) -> Result<[u8; N], minicbor::decode::Error> {
    let at = d.position();
    d.bytes()?.try_into().map_err(|_| minicbor::decode::Error::message(format!("{what} must be {N} bytes")).at(at))
}

/// Reads an optional value: null means none.
///
/// # Errors
/// When `read` fails.
pub fn optional<'b, T>(
    d: &mut Decoder<'b>,
    read: impl FnOnce(&mut Decoder<'b>) -> Result<T, minicbor::decode::Error>,
) -> Result<Option<T>, minicbor::decode::Error> {
    if d.datatype()? == minicbor::data::Type::Null {
        d.null()?;
        return Ok(None);
    }
    read(d).map(Some)
}

/// Writes a list: its length, then each element.
///
/// # Errors
/// Only those of the writer.
pub fn write_values<W: Write, T: Encode<()>>(
    e: &mut Encoder<W>,
    values: &[T],
) -> Result<(), minicbor::encode::Error<W::Error>> {
    e.array(values.len() as u64)?;
    values.iter().try_for_each(|value| value.encode(e, &mut ()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;
    use crate::hash::Hash;

    /// A text that may have four bytes.
    #[derive(Debug)]
    struct Short(String);

    impl<C> Encode<C> for Short {
        fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), minicbor::encode::Error<W::Error>> {
            e.str(&self.0)?;
            Ok(())
        }
    }

    impl<'b, C> Decode<'b, C> for Short {
        fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
            Ok(Self(text(d, 1..=4, "a note")?.to_owned()))
        }
    }

    #[test]
    fn white_space_alone_says_nothing() {
        let said = |said: &str| {
            let bytes = minicbor::to_vec(said).unwrap();
            words(&mut Decoder::new(&bytes), 1..=8, "a reason").map(str::to_owned).map_err(|error| error.to_string())
        };
        assert_eq!(said(" why ").unwrap(), " why ");
        for blank in [" ", "\t\n  "] {
            assert!(said(blank).unwrap_err().contains("a reason is blank"), "{blank:?}");
        }
        assert!(said("").unwrap_err().contains("1 to 8 bytes"));
    }

    #[test]
    fn what_is_too_long_is_named_with_its_limit() {
        let said = |bytes: &[u8]| decode::<Short>(bytes, 99).unwrap_err().to_string();
        assert_eq!(said(&encode("12345")), "malformed: a note must be a text of 1 to 4 bytes, at byte 0");
        assert_eq!(said(&encode(&7u8)), "malformed: unexpected type u8 at position 0: expected text (definite length)");
    }

    /// Every way to spell the list `[1, 24]` but the deterministic one.
    #[test]
    fn every_second_spelling_is_refused() {
        let check = |bytes: &[u8]| decode::<List>(bytes, 64);
        assert_eq!(check(&[0x82, 0x01, 0x18, 0x18]).unwrap().0, [1, 24]);
        for (bytes, why) in [
            (&[0x98, 0x02, 0x01, 0x18, 0x18][..], "long array head"),
            (&[0x82, 0x18, 0x01, 0x18, 0x18], "one in two bytes"),
            (&[0x82, 0x01, 0x19, 0x00, 0x18], "24 in three bytes"),
        ] {
            assert_eq!(check(bytes).map(|l| l.0), Err(CborError::NotCanonical), "{why}");
        }
        for (bytes, why) in [
            (&[][..], "nothing"),
            (&[0x82, 0x01], "truncated"),
            (&[0x9f, 0x01, 0x18, 0x18, 0xff], "indefinite"),
            (&[0x83, 0x01, 0x02, 0x03], "too many"),
            (&[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "a length beyond memory"),
            (&[0xa1, 0x01, 0x02], "a map"),
            (&[0xc1, 0x82, 0x01, 0x18, 0x18], "a tag"),
        ] {
            assert!(matches!(check(bytes), Err(CborError::Malformed(_))), "{why}");
        }
        assert_eq!(check(&[0x81, 0x01, 0x00]).map(|l| l.0), Err(CborError::Trailing { bytes: 1 }));
        assert_eq!(decode::<List>(&[0; 65], 64).map(|l| l.0), Err(CborError::TooLong { bytes: 65, bytes_max: 64 }));
    }

    #[test]
    fn nesting_deeper_than_the_type_is_refused_without_recursion() {
        let deep = vec![0x81; 100_000];
        assert!(matches!(decode::<List>(&deep, deep.len()), Err(CborError::Malformed(_))));
        assert!(matches!(decode::<Hash>(&deep, deep.len()), Err(CborError::Malformed(_))));
    }

    #[derive(Debug)]
    struct List(Vec<u64>);

    impl<C> Encode<C> for List {
        fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), minicbor::encode::Error<W::Error>> {
            write_values(e, &self.0)
        }
    }

    impl<'b, C> Decode<'b, C> for List {
        fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
            values(d, 0..=2, "a list").map(Self)
        }
    }
}
