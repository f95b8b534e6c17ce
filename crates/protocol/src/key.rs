//! Keys and signatures: Ed25519 by ZIP-215 rules, ECDSA P-256 with the low half of `s`.
//!
//! INVARIANT: whether a signature is valid is the same on every node, alone and in a batch. Ed25519 therefore follows
//! ZIP-215 (cofactored equation, canonical `s`), and ES256 takes only `s ≤ n/2`: of the two equivalent signatures
//! (r, s) and (r, n − s) one is refused, so that nobody but the signer can make a second byte string of one meaning.
//! A COSE library that does not normalise must replace `s` by `n − s` when `s` is above `n/2`.

use crate::{hash::from_hex, names::serde_as_text};
use aws_lc_rs::{
    agreement,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey},
};
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};
use rand_core::CryptoRng;
use std::{fmt, str::FromStr, sync::Arc};
use zeroize::{Zeroize, Zeroizing};

/// A signature: Ed25519's R ‖ s, or ECDSA's r ‖ s (RFC 9053 section 2.1).
pub type Signature = [u8; 64];

/// How a key signs. The numbers are those of the IANA COSE Algorithms registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// Ed25519 as COSE `EdDSA`, -8.
    EdDsa,
    /// ECDSA over P-256 with SHA-256 as COSE `ES256`, -7.
    Es256,
}

impl Algorithm {
    /// The COSE algorithm number.
    pub const fn cose(self) -> i64 {
        match self {
            Self::EdDsa => -8,
            Self::Es256 => -7,
        }
    }

    /// The algorithm of a COSE number.
    pub const fn from_cose(number: i64) -> Option<Self> {
        match number {
            -8 => Some(Self::EdDsa),
            -7 => Some(Self::Es256),
            _ => None,
        }
    }

    /// The word before the colon in a key's text form.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EdDsa => "ed25519",
            Self::Es256 => "p256",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Algorithm {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        match text {
            "ed25519" => Ok(Self::EdDsa),
            "p256" => Ok(Self::Es256),
            _ => Err(KeyError::Text(text.chars().take(80).collect())),
        }
    }
}

/// Why a key or a signature cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not the text form of a public key.
    #[error("`{0}` is not a public key: write `ed25519:` and 64, or `p256:` and 66 lower-case hexadecimal digits")]
    Text(String),
    /// The length belongs to no kind of key.
    #[error("a public key of {0} bytes: use 32 bytes for Ed25519 or a compressed point of 33 bytes for P-256")]
    Length(usize),
    /// The bytes are no point of the curve.
    #[error("the public key is not a point of its curve: make the key again")]
    NotAPoint,
    /// Anyone can sign for such a key.
    #[error("the public key is of small order, so that anyone can sign for it: make the key again")]
    SmallOrder,
    /// The signature is not this key's over this message.
    #[error("the signature does not match the key and the message: sign exactly the bytes that are sent")]
    Signature,
    /// ES256 with the upper half of `s`.
    #[error("the ES256 signature has a high `s`: replace it by the curve's order minus `s`")]
    HighS,
    /// Not a private key of a kind in use.
    #[error("not a PKCS#8 private key of Ed25519 or P-256: export it as unencrypted PKCS#8 DER")]
    Pkcs8,
    /// The cryptographic library refused to make or use the key.
    #[error("the {0} key could not be used: make it again")]
    Library(Algorithm),
    /// What holds the key did not sign, in its own words.
    #[error("{0}")]
    Elsewhere(String),
}

/// A public key. Text form `ed25519:<hex>` or `p256:<hex>`; in CBOR a byte string, told apart by its length.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PublicKey {
    /// RFC 8032: 32 bytes.
    Ed25519([u8; 32]),
    /// SEC 1 compressed point: 33 bytes.
    P256([u8; 33]),
}

impl PublicKey {
    /// The key of these bytes, told apart by their length; whether it is a point is not checked.
    ///
    /// # Errors
    /// When the length is neither 32 nor 33.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        if let Ok(key) = bytes.try_into() {
            return Ok(Self::Ed25519(key));
        }
        bytes.try_into().map(Self::P256).map_err(|_| KeyError::Length(bytes.len()))
    }

    /// The key's bytes.
    pub const fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Ed25519(key) => key,
            Self::P256(key) => key,
        }
    }

    /// How this key signs.
    pub const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Ed25519(_) => Algorithm::EdDsa,
            Self::P256(_) => Algorithm::Es256,
        }
    }

    /// Checks that the key is a point that only the holder of a secret can sign for. Ask this once, on enrolment.
    ///
    /// # Errors
    /// When it is no point of its curve, or one of small order.
    pub fn validate(&self) -> Result<(), KeyError> {
        match self {
            Self::Ed25519(key) => {
                if is_small_order(key) {
                    return Err(KeyError::SmallOrder);
                }
                ed25519_zebra::VerificationKey::try_from(*key).map_err(|_| KeyError::NotAPoint)?;
                Ok(())
            }
            Self::P256(key) => {
                if !matches!(key, [2 | 3, ..]) {
                    return Err(KeyError::NotAPoint);
                }
                let point = agreement::UnparsedPublicKey::new(&agreement::ECDH_P256, key);
                agreement::ParsedPublicKey::try_from(&point).map_err(|_| KeyError::NotAPoint)?;
                Ok(())
            }
        }
    }

    /// Checks one signature. Batches of transactions go through [`crate::verify_batch`], which agrees with this.
    ///
    /// # Errors
    /// When the signature is not this key's over `message`, or is the malleable twin of one.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), KeyError> {
        match self {
            Self::Ed25519(key) => ed25519_zebra::VerificationKey::try_from(*key)
                .and_then(|key| key.verify(&ed25519_zebra::Signature::from_bytes(signature), message))
                .map_err(|_| KeyError::Signature),
            Self::P256(key) => {
                if !is_low_s(signature) {
                    return Err(KeyError::HighS);
                }
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key)
                    .verify(message, signature)
                    .map_err(|_| KeyError::Signature)
            }
        }
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm(), hex::encode(self.as_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let error = || KeyError::Text(text.chars().take(80).collect());
        let (algorithm, digits) = text.split_once(':').ok_or_else(error)?;
        match algorithm.parse().map_err(|_| error())? {
            Algorithm::EdDsa => from_hex(digits).map(Self::Ed25519).map_err(|_| error()),
            Algorithm::Es256 => from_hex(digits).map(Self::P256).map_err(|_| error()),
        }
    }
}

serde_as_text!(PublicKey);

impl<C> Encode<C> for PublicKey {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.bytes(self.as_bytes())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for PublicKey {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let at = d.position();
        Self::from_bytes(d.bytes()?).map_err(|error| decode::Error::message(error).at(at))
    }
}

/// A private key. It is wiped from memory when dropped, and no formatting shows it.
#[derive(Clone)]
pub enum SigningKey {
    /// Ed25519.
    Ed25519(Ed25519Key),
    /// ECDSA P-256; the library holds and wipes the secret.
    P256(P256Key),
    /// Of either kind, held where its secret cannot be read, such as in an HSM.
    Elsewhere(KeyElsewhere),
}

/// Signs a message with a key that is held elsewhere, or says why not.
type SignElsewhere = dyn Fn(&[u8]) -> Result<Signature, String> + Send + Sync;

/// A key whose secret is not in this process.
#[derive(Clone)]
pub struct KeyElsewhere {
    public: PublicKey,
    sign: Arc<SignElsewhere>,
}

impl KeyElsewhere {
    /// A device may give the high `s`, or, when it is broken, anything: neither leaves here.
    fn sign(&self, message: &[u8]) -> Result<Signature, KeyError> {
        let signature = (self.sign)(message).map_err(KeyError::Elsewhere)?;
        let signature = match self.public {
            PublicKey::Ed25519(_) => signature,
            PublicKey::P256(_) => with_low_s(signature),
        };
        self.public.verify(message, &signature)?;
        Ok(signature)
    }
}

/// The secret half of an Ed25519 key; boxed, so that moving the key leaves no copy behind.
#[derive(Clone)]
pub struct Ed25519Key(Box<ed25519_zebra::SigningKey>);

impl Drop for Ed25519Key {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// The secret half of a P-256 key.
#[derive(Clone)]
pub struct P256Key(Arc<EcdsaKeyPair>, [u8; 33]);

/// PKCS#8 (RFC 8410 section 7) of an Ed25519 key, up to its 32 secret bytes: version 1.
const ED25519_PKCS8_V1: &[u8] = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
/// The same for version 2 (RFC 5958), which repeats the public key behind [`ED25519_PKCS8_V2_PUBLIC`].
const ED25519_PKCS8_V2: &[u8] = b"\x30\x51\x02\x01\x01\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
/// What stands between the secret and the public key in version 2.
const ED25519_PKCS8_V2_PUBLIC: &[u8] = b"\x81\x21\x00";

impl SigningKey {
    /// A new key, from the caller's randomness alone.
    ///
    /// # Errors
    /// When the library refuses a P-256 key, which happens only out of memory.
    pub fn generate(algorithm: Algorithm, rng: &mut impl CryptoRng) -> Result<Self, KeyError> {
        match algorithm {
            Algorithm::EdDsa => {
                let mut seed = Zeroizing::new([0; 32]);
                rng.fill_bytes(seed.as_mut_slice());
                Ok(Self::from_ed25519_seed(&seed))
            }
            Algorithm::Es256 => {
                // A uniform 32-byte string is a valid scalar with probability above 1 - 2^-32.
                for _ in 0..8 {
                    let mut scalar = Zeroizing::new([0; 32]);
                    rng.fill_bytes(scalar.as_mut_slice());
                    if let Ok(key) = Self::from_p256_scalar(&scalar) {
                        return Ok(key);
                    }
                }
                Err(KeyError::Library(algorithm))
            }
        }
    }

    /// The Ed25519 key of a seed (RFC 8032 section 5.1.5).
    pub fn from_ed25519_seed(seed: &[u8; 32]) -> Self {
        Self::Ed25519(Ed25519Key(Box::new(ed25519_zebra::SigningKey::from(*seed))))
    }

    /// The private half of `public`, held elsewhere: `sign` gives Ed25519's R ‖ s, or ECDSA's r ‖ s over SHA-256.
    pub fn elsewhere(
        public: PublicKey,
        sign: impl Fn(&[u8]) -> Result<Signature, String> + Send + Sync + 'static,
    ) -> Self {
        Self::Elsewhere(KeyElsewhere { public, sign: Arc::new(sign) })
    }

    /// The Ed25519 seed; `None` for a P-256 key and for one that is held elsewhere.
    pub fn ed25519_seed(&self) -> Option<Zeroizing<[u8; 32]>> {
        match self {
            Self::Ed25519(key) => (*key.0).as_ref().try_into().ok().map(Zeroizing::new),
            Self::P256(_) | Self::Elsewhere(_) => None,
        }
    }

    /// The P-256 key of a big-endian scalar.
    ///
    /// # Errors
    /// When the scalar is zero or not below the curve's order.
    pub fn from_p256_scalar(scalar: &[u8; 32]) -> Result<Self, KeyError> {
        let refused = |_| KeyError::Library(Algorithm::Es256);
        let public = agreement::PrivateKey::from_private_key(&agreement::ECDH_P256, scalar)
            .map_err(|_| KeyError::Library(Algorithm::Es256))?
            .compute_public_key()
            .map_err(|_| KeyError::Library(Algorithm::Es256))?;
        EcdsaKeyPair::from_private_key_and_public_key(&ECDSA_P256_SHA256_FIXED_SIGNING, scalar, public.as_ref())
            .map_err(refused)
            .and_then(Self::from_pair)
    }

    fn from_pair(pair: EcdsaKeyPair) -> Result<Self, KeyError> {
        let public = compress(pair.public_key().as_ref()).ok_or(KeyError::Library(Algorithm::Es256))?;
        Ok(Self::P256(P256Key(Arc::new(pair), public)))
    }

    /// The key of a PKCS#8 document (RFC 5958), unencrypted DER, of either kind.
    ///
    /// # Errors
    /// When it is anything else, or its public half does not belong to its secret half.
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, KeyError> {
        if let Some(seed) = der.strip_prefix(ED25519_PKCS8_V1) {
            let seed = Zeroizing::new(<[u8; 32]>::try_from(seed).map_err(|_| KeyError::Pkcs8)?);
            return Ok(Self::from_ed25519_seed(&seed));
        }
        if let Some((seed, rest)) = der.strip_prefix(ED25519_PKCS8_V2).and_then(|d| d.split_first_chunk::<32>()) {
            let key = Self::from_ed25519_seed(seed);
            let public = rest.strip_prefix(ED25519_PKCS8_V2_PUBLIC).ok_or(KeyError::Pkcs8)?;
            return if public == key.public().as_bytes() { Ok(key) } else { Err(KeyError::Pkcs8) };
        }
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der)
            .map_err(|_| KeyError::Pkcs8)
            .and_then(Self::from_pair)
    }

    /// The PKCS#8 document (RFC 5958 version 1), unencrypted DER; wiped when dropped.
    ///
    /// # Errors
    /// When the library refuses, which happens only out of memory, or the key is held elsewhere.
    pub fn to_pkcs8_der(&self) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        match self {
            Self::Ed25519(key) => Ok(Zeroizing::new([ED25519_PKCS8_V1, (*key.0).as_ref()].concat())),
            Self::P256(key) => {
                let der = key.0.to_pkcs8v1().map_err(|_| KeyError::Library(Algorithm::Es256))?;
                Ok(Zeroizing::new(der.as_ref().to_vec()))
            }
            Self::Elsewhere(_) => Err(KeyError::Elsewhere("the key is held elsewhere and cannot be taken out".into())),
        }
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        match self {
            Self::Ed25519(key) => PublicKey::Ed25519(ed25519_zebra::VerificationKeyBytes::from(&*key.0).into()),
            Self::P256(key) => PublicKey::P256(key.1),
            Self::Elsewhere(key) => key.public,
        }
    }

    /// How this key signs.
    pub const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Ed25519(_) => Algorithm::EdDsa,
            Self::P256(_) => Algorithm::Es256,
            Self::Elsewhere(key) => key.public.algorithm(),
        }
    }

    /// Signs `message`. Ed25519 signatures are reproducible; ES256 signatures differ each time, always with low `s`.
    ///
    /// # Errors
    /// When the library refuses, which happens only out of memory, or what holds the key does not sign.
    pub fn sign(&self, message: &[u8]) -> Result<Signature, KeyError> {
        match self {
            Self::Ed25519(key) => Ok(key.0.sign(message).to_bytes()),
            Self::P256(key) => {
                let refused = KeyError::Library(Algorithm::Es256);
                let signature = key.0.sign(&SystemRandom::new(), message).map_err(|_| refused.clone())?;
                signature.as_ref().try_into().map(with_low_s).map_err(|_| refused)
            }
            Self::Elsewhere(key) => key.sign(message),
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey(secret of {})", self.public())
    }
}

/// A SEC 1 uncompressed point, compressed.
fn compress(point: &[u8]) -> Option<[u8; 33]> {
    let coordinates: &[u8; 64] = point.strip_prefix(&[4])?.try_into().ok()?;
    let (x, y) = coordinates.split_at(32);
    let mut compressed = [2 | (y.last()? & 1); 33];
    compressed.get_mut(1..)?.copy_from_slice(x);
    Some(compressed)
}

/// The order of P-256, big-endian (SEC 2 section 2.4.2).
const P256_ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa,
    0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];
/// Half of it, rounded down: the largest `s` accepted.
const P256_ORDER_HALF: [u8; 32] = [
    0x7f, 0xff, 0xff, 0xff, 0x80, 0x00, 0x00, 0x00, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xde, 0x73, 0x7d,
    0x56, 0xd3, 0x8b, 0xcf, 0x42, 0x79, 0xdc, 0xe5, 0x61, 0x7e, 0x31, 0x92, 0xa8,
];

/// Whether `s` lies in the lower half of the order. Big-endian arrays compare as numbers do.
fn is_low_s(signature: &Signature) -> bool {
    signature.last_chunk::<32>().is_some_and(|s| *s <= P256_ORDER_HALF)
}

/// The same signature with `s` in the lower half.
fn with_low_s(mut signature: Signature) -> Signature {
    if is_low_s(&signature) {
        return signature;
    }
    if let Some(s) = signature.last_chunk_mut::<32>() {
        let mut borrow = 0;
        for (digit, order) in s.iter_mut().zip(P256_ORDER).rev() {
            let difference = i16::from(order) - i16::from(*digit) - borrow;
            borrow = i16::from(difference < 0);
            *digit = difference.rem_euclid(256) as u8;
        }
    }
    signature
}

/// Whether an Ed25519 key has small order: the eight points of order dividing 8 in all their encodings, sign bit aside.
fn is_small_order(key: &[u8; 32]) -> bool {
    let mut y = *key;
    if let Some(last) = y.last_mut() {
        *last &= 0x7f;
    }
    SMALL_ORDER.contains(&y)
}

const fn ed25519_y(first: u8, middle: u8, last: u8) -> [u8; 32] {
    let mut y = [middle; 32];
    y[0] = first;
    y[31] = last;
    y
}

/// The y coordinates of the points of small order, little-endian: 0, 1, -1, the two of order 8, and p, p + 1.
const SMALL_ORDER: [[u8; 32]; 7] = [
    ed25519_y(0, 0, 0),
    ed25519_y(1, 0, 0),
    ed25519_y(0xec, 0xff, 0x7f),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
        0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
        0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
    ed25519_y(0xed, 0xff, 0x7f),
    ed25519_y(0xee, 0xff, 0x7f),
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;
    use rand::{SeedableRng, rngs::StdRng};

    fn keys() -> [SigningKey; 2] {
        let mut rng = StdRng::seed_from_u64(1);
        [Algorithm::EdDsa, Algorithm::Es256].map(|algorithm| SigningKey::generate(algorithm, &mut rng).unwrap())
    }

    #[test]
    fn signatures_hold_for_their_key_and_message_only() {
        let others = [SigningKey::from_ed25519_seed(&[7; 32]), SigningKey::from_p256_scalar(&[7; 32]).unwrap()];
        for (key, other) in keys().iter().zip(&others) {
            for n in 0..50u8 {
                let signature = key.sign(&[n; 100]).unwrap();
                assert_eq!(key.public().verify(&[n; 100], &signature), Ok(()), "{}", key.algorithm());
                assert_eq!(key.public().verify(&[n; 99], &signature), Err(KeyError::Signature));
                assert_eq!(other.public().verify(&[n; 100], &signature), Err(KeyError::Signature));
            }
        }
    }

    #[test]
    fn the_high_half_of_s_is_refused() {
        let [_, key] = keys();
        for n in 0..50u8 {
            let low = key.sign(&[n]).unwrap();
            assert!(is_low_s(&low));
            let mut high = low;
            // n - s, computed as with_low_s does for a high s: twice is the identity.
            let s: [u8; 32] = *low.last_chunk().unwrap();
            high[32..].copy_from_slice(&subtract(&P256_ORDER, &s));
            assert_eq!(key.public().verify(&[n], &high), Err(KeyError::HighS));
            assert_eq!(with_low_s(high), low);
        }
    }

    /// Plain subtraction of big-endian numbers through 128-bit halves.
    fn subtract(a: &[u8; 32], b: &[u8; 32]) -> [u8; 32] {
        let half = |n: &[u8; 32], i: usize| u128::from_be_bytes(n[16 * i..16 * i + 16].try_into().unwrap());
        let (low, borrow) = half(a, 1).overflowing_sub(half(b, 1));
        let high = half(a, 0) - half(b, 0) - u128::from(borrow);
        [high.to_be_bytes(), low.to_be_bytes()].concat().try_into().unwrap()
    }

    #[test]
    fn a_key_held_elsewhere_gives_its_own_signatures_with_a_low_s_and_no_others() {
        for key in keys() {
            let (public, held) = (key.public(), key.clone());
            let elsewhere = SigningKey::elsewhere(public, move |message| {
                let mut signature = held.sign(message).unwrap();
                if public.algorithm() == Algorithm::Es256 {
                    let s: [u8; 32] = *signature.last_chunk().unwrap();
                    signature[32..].copy_from_slice(&subtract(&P256_ORDER, &s));
                }
                Ok(signature)
            });
            assert_eq!((elsewhere.public(), elsewhere.algorithm()), (public, key.algorithm()));
            assert_eq!(public.verify(b"act", &elsewhere.sign(b"act").unwrap()), Ok(()));
            assert!(elsewhere.to_pkcs8_der().is_err() && elsewhere.ed25519_seed().is_none());
            let broken = SigningKey::elsewhere(public, |_| Ok([7; 64]));
            assert_eq!(broken.sign(b"act"), Err(KeyError::Signature));
            let absent = SigningKey::elsewhere(public, |_| Err("the token is gone".into()));
            assert_eq!(absent.sign(b"act").unwrap_err().to_string(), "the token is gone");
        }
    }

    #[test]
    fn half_of_the_order_is_half_of_the_order() {
        let mut one_more = P256_ORDER_HALF;
        *one_more.last_mut().unwrap() += 1;
        assert_eq!(subtract(&P256_ORDER, &P256_ORDER_HALF), one_more, "the order is odd: n - h = h + 1");
    }

    #[test]
    fn keys_of_small_order_sign_anything_and_are_refused() {
        // R the neutral element, s zero: holds for every message under a key of small order.
        let mut anything = [0; 64];
        anything[0] = 1;
        let mut forged = 0;
        for y in SMALL_ORDER {
            for sign in [0, 0x80] {
                let mut key = y;
                key[31] |= sign;
                let key = PublicKey::Ed25519(key);
                forged += u32::from(key.verify(b"pay me", &anything).is_ok());
                assert_eq!(key.validate(), Err(KeyError::SmallOrder));
            }
        }
        assert!(forged >= 12, "{forged} of the encodings decode and forge");
        for key in keys() {
            assert_eq!(key.public().validate(), Ok(()));
        }
    }

    #[test]
    fn keys_that_are_no_points_are_refused() {
        let mut y = [0; 32];
        y[0] = 2;
        assert_eq!(PublicKey::Ed25519(y).validate(), Err(KeyError::NotAPoint));
        let [_, key] = keys();
        let PublicKey::P256(point) = key.public() else { unreachable!() };
        for (first, bytes) in [(4, point), (0, point), (2, [0xff; 33])] {
            let mut bytes = bytes;
            bytes[0] = first;
            assert_eq!(PublicKey::P256(bytes).validate(), Err(KeyError::NotAPoint), "{first}");
        }
    }

    #[test]
    fn text_and_pkcs8_give_the_key_back() {
        for key in keys() {
            let public = key.public();
            assert_eq!(public.to_string().parse(), Ok(public));
            assert_eq!(PublicKey::from_bytes(public.as_bytes()), Ok(public));
            let der = key.to_pkcs8_der().unwrap();
            assert_eq!(SigningKey::from_pkcs8_der(&der).unwrap().public(), public);
            assert_eq!(SigningKey::from_pkcs8_der(&der[1..]).unwrap_err(), KeyError::Pkcs8);
        }
        for text in ["", "ed25519", "ed25519:00", "rsa:00", &format!("p256:{}", "0".repeat(64))] {
            assert!(matches!(text.parse::<PublicKey>(), Err(KeyError::Text(_))), "{text}");
        }
    }

    /// RFC 8410 section 10.3: the first example key; RFC 5958 version 2 with a public half.
    #[test]
    fn pkcs8_of_other_tools_is_read() {
        let v1 = "302e020100300506032b657004220420d4ee72dbf913584ad5b6d8f1f769f8ad3afe7c28cbf1d4fbe097a88f44755842";
        let public = "ed25519:19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1";
        let key = SigningKey::from_pkcs8_der(&hex::decode(v1).unwrap()).unwrap();
        assert_eq!(key.public().to_string(), public);
        let mut v2 = [ED25519_PKCS8_V2, key.ed25519_seed().unwrap().as_slice(), ED25519_PKCS8_V2_PUBLIC].concat();
        v2.extend_from_slice(key.public().as_bytes());
        assert_eq!(SigningKey::from_pkcs8_der(&v2).unwrap().public(), key.public());
        *v2.last_mut().unwrap() ^= 1;
        assert_eq!(SigningKey::from_pkcs8_der(&v2).unwrap_err(), KeyError::Pkcs8);
    }

    #[test]
    fn no_formatting_shows_the_secret() {
        for key in keys() {
            let shown = format!("{key:?} {key:#?}");
            let der = hex::encode(key.to_pkcs8_der().unwrap().as_slice());
            assert!(shown.starts_with("SigningKey(secret of PublicKey(") || shown.contains(&key.public().to_string()));
            for window in
                der.as_bytes().windows(24).filter(|w| !key.public().to_string().as_bytes().windows(24).any(|p| p == *w))
            {
                assert!(!shown.contains(std::str::from_utf8(window).unwrap()));
            }
        }
    }
}
