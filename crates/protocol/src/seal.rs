//! Sealed values: the ledger holds a commitment that says nothing, and whoever keeps the opening can show what it was made to.
//!
//! ```text
//! C = m·G + r·H                    a Pedersen commitment in the group ristretto255 (RFC 9496)
//!
//! G   the group's generator
//! H   the group's one-way map of SHA-512("tallystick sealed value 1: the generator of the blinding")
//! r   the blinding: a scalar, uniform over all of them
//! m   SHA-512(CBOR ["tallystick sealed value 2", partition or null, register, key, field, subject, value]), reduced to a scalar
//! ```
//!
//! In an item a commitment is a text of 93 characters:
//!
//! ```text
//! sealed:pedersen-ristretto255:fa723f324e1b1b7635404949c433d221157b032499371ae96098d29cb291596e
//! ```
//!
//! INVARIANTS:
//! - *Hiding*, whatever anybody can compute: `r` is exactly uniform, so `C` is a uniform point whatever the value was. Once the
//!   opening is destroyed every value fits equally well.
//! - *Binding*, as long as nobody knows the discrete logarithm of `H`: nobody chose `H`, and two openings of one commitment would give
//!   it away. The place is part of `m`, so a commitment that is copied to another record, or to a register of the same name in another
//!   partition, opens for nobody there.
//! - A value and a blinding are never in an error, in `Debug` or in a log, and are cleared from memory when they are dropped.

use crate::{
    cbor::{self, CborError},
    hash::from_hex,
    identifier::{NameError, shown, validate_key, validate_name},
    limits::{SEAL_OPENING_BYTES_MAX, SEALED_VALUE_BYTES_MAX},
    names::{names, serde_as_text},
    operation::EntryKind,
};
use curve25519_dalek::{
    RistrettoPoint, Scalar,
    ristretto::{CompressedRistretto, RistrettoBasepointTable},
    traits::IsIdentity,
};
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};
use rand_core::CryptoRng;
use sha2::{Digest, Sha512};
use std::{fmt, str::FromStr, sync::LazyLock};
use zeroize::Zeroizing;

/// What separates these hashes from all others; a change of what is committed to changes its number.
const DOMAIN: &str = "tallystick sealed value 2";
/// What the generator of the blinding comes from: it says nothing of what is committed to, and stays.
const GENERATOR: &str = "tallystick sealed value 1: the generator of the blinding";

/// `H`, with its multiples: nobody knows its discrete logarithm, because nobody chose it.
static BLINDING_GENERATOR: LazyLock<RistrettoBasepointTable> = LazyLock::new(|| {
    let digest = Sha512::digest(GENERATOR);
    RistrettoBasepointTable::create(&RistrettoPoint::from_uniform_bytes(&digest.into()))
});

names! {
    /// How a value is sealed.
    pub enum SealScheme, "scheme of sealing" {
        /// A Pedersen commitment in ristretto255.
        PedersenRistretto255 = "pedersen-ristretto255",
    }
}

/// What is wrong with a sealed value. It never repeats what it was given: that may be the very value that should have been sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Not the text of a commitment.
    #[error("not a sealed value: write `sealed:pedersen-ristretto255:` and 64 lower-case hexadecimal digits")]
    Form,
    /// 32 bytes that are no point, another spelling of one, or the identity.
    #[error("not a sealed value: no point of ristretto255, or the identity")]
    Point,
    /// A value of no bytes, or of too many.
    #[error("a value of {0} bytes cannot be sealed: 1 to {SEALED_VALUE_BYTES_MAX} can")]
    Length(usize),
    /// The randomness gives the same again and again.
    #[error("no blinding can be drawn: the randomness of this machine is broken")]
    Randomness,
}

/// What stands on the ledger in place of a sealed value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Commitment([u8; 32]);

impl Commitment {
    /// The commitment with this encoding: that of a point (RFC 9496 section 4.3.2), which is not the identity.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, SealError> {
        match CompressedRistretto(bytes).decompress() {
            Some(point) if !point.is_identity() => Ok(Self(bytes)),
            _ => Err(SealError::Point),
        }
    }

    /// The encoding of its point.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// How it was made.
    pub const fn scheme(&self) -> SealScheme {
        SealScheme::PedersenRistretto255
    }
}

impl fmt::Display for Commitment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sealed:{}:{}", self.scheme(), hex::encode(self.0))
    }
}

impl FromStr for Commitment {
    type Err = SealError;

    fn from_str(text: &str) -> Result<Self, SealError> {
        let (scheme, point) =
            text.strip_prefix("sealed:").and_then(|rest| rest.split_once(':')).ok_or(SealError::Form)?;
        match scheme.parse() {
            Ok(SealScheme::PedersenRistretto255) => Self::from_bytes(from_hex(point).map_err(|_| SealError::Form)?),
            Err(_) => Err(SealError::Form),
        }
    }
}

serde_as_text!(Commitment);

impl<C> Encode<C> for Commitment {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.bytes(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Commitment {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let at = d.position();
        let bytes = cbor::fixed(d, "a commitment")?;
        Self::from_bytes(bytes).map_err(|error| decode::Error::message(error).at(at))
    }
}

/// Whom a sealed value is about: the record of a register under a key that is a pseudonym. As text `register:key`.
///
/// Values are kept, and erased, by subject.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject {
    register: String,
    key: String,
}

impl Subject {
    /// The record `key` of `register`.
    ///
    /// # Errors
    /// When one of them breaks its grammar.
    pub fn new(register: impl Into<String>, key: impl Into<String>) -> Result<Self, NameError> {
        let (register, key) = (register.into(), key.into());
        validate_name(&register)?;
        validate_key(EntryKind::User, &key)?;
        Ok(Self { register, key })
    }

    /// The register in which it is a record.
    pub fn register(&self) -> &str {
        &self.register
    }

    /// Its key there.
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.register, self.key)
    }
}

impl FromStr for Subject {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (register, key) = text.split_once(':').ok_or_else(|| NameError::Subject(shown(text)))?;
        Self::new(register, key)
    }
}

serde_as_text!(Subject);

impl<C> Encode<C> for Subject {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(2)?.str(&self.register)?.str(&self.key)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Subject {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let at = d.position();
        cbor::array(d, 2, "a subject")?;
        Self::new(d.str()?, d.str()?).map_err(|error| decode::Error::message(error).at(at))
    }
}

/// Elements of an array that a place takes.
pub const PLACE_PARTS: u64 = 6;

/// Where a sealed value stands, and whom it is about: part of what is committed to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    partition: Option<String>,
    register: String,
    key: String,
    field: String,
    subject: Subject,
}

impl Place {
    /// The `field` of the record `key` of `register`, about `subject`, in the public partition.
    ///
    /// # Errors
    /// When one of them breaks its grammar.
    pub fn new(
        register: impl Into<String>,
        key: impl Into<String>,
        field: impl Into<String>,
        subject: Subject,
    ) -> Result<Self, NameError> {
        let (register, key, field) = (register.into(), key.into(), field.into());
        validate_name(&register)?;
        validate_key(EntryKind::User, &key)?;
        validate_name(&field)?;
        Ok(Self { partition: None, register, key, field, subject })
    }

    /// The same in a partition; in the public one for none.
    ///
    /// # Errors
    /// When the partition's name breaks its grammar.
    pub fn within(self, partition: Option<&str>) -> Result<Self, NameError> {
        partition.map_or(Ok(()), validate_name)?;
        Ok(Self { partition: partition.map(str::to_owned), ..self })
    }

    /// The partition whose register it is; none for the public one.
    pub fn partition(&self) -> Option<&str> {
        self.partition.as_deref()
    }

    /// The register.
    pub fn register(&self) -> &str {
        &self.register
    }

    /// The key of the record.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The field of its item.
    pub fn field(&self) -> &str {
        &self.field
    }

    /// Whom the value is about.
    pub const fn subject(&self) -> &Subject {
        &self.subject
    }

    /// Its parts, one after another, as they stand in an array: [`PLACE_PARTS`] of them.
    ///
    /// # Errors
    /// What the encoder fails with.
    pub fn write<W: encode::Write>(&self, e: &mut Encoder<W>) -> Result<(), encode::Error<W::Error>> {
        e.encode(self.partition.as_deref())?
            .str(&self.register)?
            .str(&self.key)?
            .str(&self.field)?
            .str(&self.subject.register)?
            .str(&self.subject.key)?
            .ok()
    }

    /// Reads what [`Place::write`] wrote.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn read(d: &mut Decoder<'_>) -> Result<Self, decode::Error> {
        let at = d.position();
        let partition = cbor::optional(d, |d| d.str().map(str::to_owned))?;
        let (register, key, field) = (d.str()?, d.str()?, d.str()?);
        let subject = Subject::new(d.str()?, d.str()?);
        subject
            .and_then(|subject| Self::new(register, key, field, subject)?.within(partition.as_deref()))
            .map_err(|error| decode::Error::message(error).at(at))
    }
}

/// A text that is never shown, and is cleared when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Keeps `text` from being shown.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text, for those who may see it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What makes a commitment hide: a scalar, uniform over all of them. Never shown, and cleared when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Blinding(Zeroizing<[u8; 32]>);

impl Blinding {
    /// Exactly uniform: what is drawn and is no scalar is drawn again, about every second time.
    pub(crate) fn draw(rng: &mut impl CryptoRng) -> Result<Self, SealError> {
        for _ in 0..128 {
            let mut bytes = Zeroizing::new([0; 32]);
            rng.fill_bytes(bytes.as_mut_slice());
            let [.., top] = &mut *bytes;
            // Scalars are below 2^253.
            *top &= 0x1f;
            if let Ok(blinding) = Self::from_bytes(bytes) {
                return Ok(blinding);
            }
        }
        Err(SealError::Randomness)
    }

    /// The blinding with this encoding: a scalar, little-endian, below the group's order.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn from_bytes(bytes: Zeroizing<[u8; 32]>) -> Result<Self, SealError> {
        let scalar: Option<Scalar> = Scalar::from_canonical_bytes(*bytes).into();
        scalar.map(Zeroizing::new).ok_or(SealError::Point)?;
        Ok(Self(bytes))
    }

    /// Its encoding, for those who may see it.
    pub fn reveal(&self) -> &[u8; 32] {
        &self.0
    }

    fn scalar(&self) -> Zeroizing<Scalar> {
        // Canonical, so that nothing is reduced.
        Zeroizing::new(Scalar::from_bytes_mod_order(*self.0))
    }
}

impl fmt::Debug for Blinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Blinding(…)")
    }
}

/// A sealed value with all that shows what its commitment was made to. Whoever destroys every copy of it has erased the value.
///
/// In CBOR: `[scheme, partition or null, register, key, field, subject's register, subject's key, value, blinding]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    place: Place,
    value: Secret,
    blinding: Blinding,
    /// What the others give: two multiplications in the group, done once.
    commitment: Commitment,
}

impl Opening {
    /// Seals a value: draws a blinding for it. `rng` must be the operating system's randomness, or as good.
    ///
    /// # Errors
    /// When the value is empty or too long, or the randomness is broken.
    pub fn seal(place: Place, value: Secret, rng: &mut impl CryptoRng) -> Result<Self, SealError> {
        Self::new(place, value, Blinding::draw(rng)?)
    }

    /// The opening of these parts.
    ///
    /// # Errors
    /// When the value is empty or too long, or the parts give the identity, which no honest draw does.
    pub fn new(place: Place, value: Secret, blinding: Blinding) -> Result<Self, SealError> {
        let length = value.reveal().len();
        if !(1..=SEALED_VALUE_BYTES_MAX).contains(&length) {
            return Err(SealError::Length(length));
        }
        let message = message(&place, &value);
        let point = RistrettoPoint::mul_base(&message) + &*BLINDING_GENERATOR * &*blinding.scalar();
        if point.is_identity() {
            return Err(SealError::Point);
        }
        Ok(Self { place, value, blinding, commitment: Commitment(point.compress().to_bytes()) })
    }

    /// Reads its encoding.
    ///
    /// # Errors
    /// When `bytes` are anything else, or another spelling.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        cbor::decode(bytes, SEAL_OPENING_BYTES_MAX)
    }

    /// Its encoding, which is as secret as the value.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        // Long enough that writing does not move it and leave a copy behind.
        Zeroizing::new(cbor::encode_about(self, SEAL_OPENING_BYTES_MAX))
    }

    /// Where the value stands, and whom it is about.
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// The value.
    pub const fn value(&self) -> &Secret {
        &self.value
    }

    /// The blinding.
    pub const fn blinding(&self) -> &Blinding {
        &self.blinding
    }

    /// The commitment that it opens: that one, and no other.
    pub const fn commitment(&self) -> Commitment {
        self.commitment
    }
}

/// What is committed to.
fn message(place: &Place, value: &Secret) -> Zeroizing<Scalar> {
    let bytes = Zeroizing::new(cbor::encode_about(&Message { place, value }, SEAL_OPENING_BYTES_MAX));
    let digest = Zeroizing::new(<[u8; 64]>::from(Sha512::digest(&*bytes)));
    Zeroizing::new(Scalar::from_bytes_mod_order_wide(&digest))
}

/// The commitment to a message, hidden by `blinding`: the encoding of its point.
pub(crate) fn commit(message: &[u8], blinding: &Blinding) -> Result<[u8; 32], SealError> {
    let digest = Zeroizing::new(<[u8; 64]>::from(Sha512::digest(message)));
    let scalar = Zeroizing::new(Scalar::from_bytes_mod_order_wide(&digest));
    let point = RistrettoPoint::mul_base(&scalar) + &*BLINDING_GENERATOR * &*blinding.scalar();
    if point.is_identity() { Err(SealError::Point) } else { Ok(point.compress().to_bytes()) }
}

struct Message<'a> {
    place: &'a Place,
    value: &'a Secret,
}

impl<C> Encode<C> for Message<'_> {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(PLACE_PARTS + 2)?.str(DOMAIN)?;
        self.place.write(e)?;
        e.str(self.value.reveal())?.ok()
    }
}

impl<C> Encode<C> for Opening {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(PLACE_PARTS + 3)?.encode(SealScheme::PedersenRistretto255)?;
        self.place.write(e)?;
        e.str(self.value.reveal())?.bytes(self.blinding.reveal())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Opening {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        cbor::array(d, PLACE_PARTS + 3, "an opening")?;
        let SealScheme::PedersenRistretto255 = d.decode()?;
        let place = Place::read(d)?;
        let value = Secret::new(cbor::text(d, 1..=SEALED_VALUE_BYTES_MAX, "a sealed value")?);
        let at = d.position();
        let blinding = Zeroizing::new(cbor::fixed(d, "a blinding")?);
        Blinding::from_bytes(blinding)
            .and_then(|blinding| Self::new(place, value, blinding))
            .map_err(|error| decode::Error::message(error).at(at))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;
    use proptest::prelude::*;
    use rand::{SeedableRng as _, rngs::StdRng};

    fn place(key: &str, field: &str) -> Place {
        Place::new("patient", key, field, Subject::new("patient", key).unwrap()).unwrap()
    }

    fn sealed(value: &str, seed: u64) -> Opening {
        Opening::seal(place("p-17", "name"), Secret::new(value), &mut StdRng::seed_from_u64(seed)).unwrap()
    }

    #[test]
    fn the_generator_is_what_the_page_says() {
        // The one-way map of RFC 9496, appendix A.3, judges the library.
        let digest = Sha512::digest("Ristretto is traditionally a short shot of espresso coffee");
        let point = RistrettoPoint::from_uniform_bytes(&digest.into()).compress();
        assert_eq!(hex::encode(point.as_bytes()), "3066f82a1a747d45120d1740f14358531a8f04bbffe6a819f86dfe50f44a0a46");
        assert_eq!(
            hex::encode(BLINDING_GENERATOR.basepoint().compress().as_bytes()),
            "e2ca620dd293832e82bf02d3c968f11cd3fc86c41e9a722916d795adc5618474"
        );
    }

    #[test]
    fn what_is_not_a_commitment() {
        let good = sealed("Jane Doe", 1).commitment().to_string();
        assert_eq!((good.len(), good.parse::<Commitment>().unwrap().to_string()), (93, good.clone()));
        let hex = good.rsplit_once(':').unwrap().1;
        let of = |hex: &str| format!("sealed:pedersen-ristretto255:{hex}");
        // The encodings that RFC 9496, appendix A.2, says must be refused.
        let identity = of(&"0".repeat(64));
        let non_canonical = of("ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff");
        let negative = of("0100000000000000000000000000000000000000000000000000000000000000");
        let no_point = of("26948d35ca62e643e26a83177332e6b6afeb9d08e4268b650f1f5bbd8d81d371");
        for text in [identity, non_canonical, negative, no_point] {
            assert_eq!(text.parse::<Commitment>(), Err(SealError::Point), "{text}");
        }
        for text in [
            "",
            "Jane Doe",
            "sealed:",
            "sealed:pedersen-ristretto255:",
            hex,
            &of(&hex[1..]),
            &of(&format!("{hex}0")),
            &of(&hex.to_uppercase()),
            &good.replace("255", "448"),
            &good.replace("sealed", "Sealed"),
            &format!(" {good}"),
        ] {
            assert_eq!(text.parse::<Commitment>(), Err(SealError::Form), "{text}");
        }
    }

    #[test]
    fn nothing_shows_a_value_or_a_blinding() {
        let opening = sealed("Jane Doe", 1);
        let shown = format!("{opening:?} {:?} {:?}", opening.value(), opening.blinding());
        assert!(shown.contains("p-17") && shown.contains("…"), "{shown}");
        assert!(!shown.contains("Jane"), "{shown}");
        let blinding = opening.blinding().reveal();
        assert!(!shown.contains(&hex::encode(&blinding[..4])), "{shown}");
        assert!(!shown.contains(&format!("{}, {}", blinding[0], blinding[1])), "{shown}");
    }

    #[test]
    fn a_commitment_opens_only_where_it_was_made() {
        let opening = sealed("Jane Doe", 1);
        let elsewhere = |place: Place| {
            Opening::new(place, opening.value().clone(), opening.blinding().clone()).unwrap().commitment()
        };
        let other = Subject::new("patient", "p-18").unwrap();
        assert_eq!(elsewhere(place("p-17", "name")), opening.commitment());
        for place in [
            place("p-18", "name"),
            place("p-17", "alias"),
            Place::new("patient", "p-17", "name", other).unwrap(),
            Place::new("client", "p-17", "name", Subject::new("patient", "p-17").unwrap()).unwrap(),
            place("p-17", "name").within(Some("health")).unwrap(),
        ] {
            assert_ne!(elsewhere(place.clone()), opening.commitment(), "{place:?}");
        }
    }

    #[test]
    fn lengths_and_broken_randomness_are_refused() {
        struct Stuck;
        impl rand_core::TryRng for Stuck {
            type Error = std::convert::Infallible;
            fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
                Ok(u32::MAX)
            }
            fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
                Ok(u64::MAX)
            }
            fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
                bytes.fill(0xff);
                Ok(())
            }
        }
        impl rand_core::TryCryptoRng for Stuck {}
        let seal = |value: &str, rng: &mut StdRng| Opening::seal(place("p-17", "name"), Secret::new(value), rng);
        let mut rng = StdRng::seed_from_u64(1);
        assert_eq!(seal("", &mut rng).unwrap_err(), SealError::Length(0));
        let longest = "x".repeat(SEALED_VALUE_BYTES_MAX);
        let opening = seal(&longest, &mut rng).unwrap();
        assert_eq!(Opening::decode(&opening.to_bytes()).unwrap(), opening);
        assert!(seal(&format!("{longest}x"), &mut rng).is_err());
        let stuck = Opening::seal(place("p-17", "name"), Secret::new("x"), &mut Stuck);
        assert_eq!(stuck.unwrap_err(), SealError::Randomness);
    }

    #[test]
    fn the_longest_opening_fits() {
        let (name, key) = ("n".repeat(64), "k".repeat(128));
        let place = Place::new(&name, &key, &name, Subject::new(&name, &key).unwrap()).unwrap();
        let place = place.within(Some(&name)).unwrap();
        let value = Secret::new("x".repeat(SEALED_VALUE_BYTES_MAX));
        let opening = Opening::seal(place, value, &mut StdRng::seed_from_u64(1)).unwrap();
        assert!(opening.to_bytes().len() <= SEAL_OPENING_BYTES_MAX);
        assert_eq!(Opening::decode(&opening.to_bytes()).unwrap().commitment(), opening.commitment());
    }

    proptest! {
        #[test]
        fn two_commitments_to_one_value_differ(value in ".{1,40}", one: u64, two: u64) {
            prop_assume!(one != two);
            let (first, second) = (sealed(&value, one), sealed(&value, two));
            prop_assert_ne!(first.commitment(), second.commitment());
            prop_assert_ne!(first.blinding(), second.blinding());
        }

        #[test]
        fn an_opening_opens_its_own_commitment_and_no_other(value in ".{1,40}", other in ".{1,40}", seed: u64) {
            prop_assume!(value != other);
            let opening = sealed(&value, seed);
            let read = Opening::decode(&opening.to_bytes()).unwrap();
            prop_assert_eq!(read.commitment(), opening.commitment());
            let forged = Opening::new(read.place().clone(), Secret::new(other), read.blinding().clone()).unwrap();
            prop_assert_ne!(forged.commitment(), opening.commitment());
        }
    }
}
