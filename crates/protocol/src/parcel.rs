//! Parcels: what members of a partition hand to each other, and what the ledger says of it.
//!
//! ```text
//! payload     [2, [transaction…], [height, [[row's key, row or null]…]], blinding]     CBOR
//! padded      length of the payload, 4 bytes ‖ payload ‖ zeros             2^class bytes in all, the least that fits
//! parcel      what X25519 encapsulated, 32 bytes ‖ padded, encrypted ‖ tag, 16 bytes
//!             RFC 9180: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20Poly1305, base mode
//!             info  "tallystick parcel 1" ‖ network ‖ partition
//!             aad   commitment ‖ class
//! commitment  m·G + r·H, as that of a sealed value: r the blinding, and
//!             m  SHA-512(CBOR ["tallystick private payload 2", network, partition, hash, SHA-256(evidence)])
//!                hash  SHA-256 of the transactions' SHA-256, one after another
//! ```
//!
//! The **evidence** is what executing the transactions reads of the public state, as it was at one height: who their signers are, which
//! policies hold. It is committed to with them, so that every member executes with the same rows whenever it does. One payload holds what
//! was handed in together: committing, encrypting and storing cost once for them all, and how long each is is told less.
//!
//! A payload is kept for ever, so what opens sealed values in it never is part of it: openings travel [`Beside`] parcels.
//!
//! INVARIANTS: the ledger holds the commitment and the class, and neither says anything of the payload but about how long it is; a
//! payload opens one commitment, in one partition of one network; nothing of a payload is in an error, in `Debug` or in a log.

mod openings;

pub use openings::Beside;

use crate::{
    cbor::{self, CborError},
    fields::FieldPlace,
    hash::Hash,
    limits::{
        EVIDENCE_BYTES_MAX, EVIDENCE_ROWS_MAX, PARCEL_CLASS_MAX, PARCEL_CLASS_MIN, PAYLOAD_TRANSACTIONS_MAX,
        STATE_VALUE_BYTES_MAX, TRANSACTION_BYTES_MAX,
    },
    network::NetworkId,
    node::SealingKey,
    seal::{self, Blinding, SealError},
    state_key::StateKey,
};
use bytes::Bytes;
use hpke::{
    Deserializable as _, Kem as _, OpModeR, OpModeS, Serializable as _, aead::ChaCha20Poly1305, kdf::HkdfSha256,
    kem::X25519HkdfSha256, single_shot_open, single_shot_seal_with_rng,
};
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};
use rand_core::CryptoRng;
use std::{collections::BTreeMap, fmt};
use zeroize::Zeroizing;

/// What separates these messages from all others; a change of what is committed to changes its number.
const DOMAIN: &str = "tallystick private payload 2";
/// What parcels are encrypted for.
const INFO: &[u8] = b"tallystick parcel 1";
/// What the salts of fields begin with.
const SALT: &[u8] = b"tallystick field salt 1";
/// What the secret of the rows begins with that it writes.
const ROWS: &[u8] = b"tallystick payload rows 1";
/// The version of a payload.
const VERSION: u32 = 2;
/// Bytes of what X25519 encapsulates.
const ENCAPSULATED_BYTES: usize = 32;
/// Bytes of the tag that authenticates.
const TAG_BYTES: usize = 16;
/// Bytes of the length before a payload.
const LENGTH_BYTES: usize = 4;

type Key = <X25519HkdfSha256 as hpke::Kem>::PublicKey;
type Secret = <X25519HkdfSha256 as hpke::Kem>::PrivateKey;

/// What is wrong with a parcel. It says nothing of what is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParcelError {
    /// It is too long for any class.
    #[error("a payload of {0} bytes fits into no parcel: send less at once")]
    TooLong(usize),
    /// It holds no transaction, or too many.
    #[error("a payload holds 1 to {PAYLOAD_TRANSACTIONS_MAX} transactions, not {0}")]
    Count(usize),
    /// It reads more of the public state than may be committed to.
    #[error(
        "it relies on {rows} rows and {bytes} bytes of the public state, and at most {EVIDENCE_ROWS_MAX} rows and {EVIDENCE_BYTES_MAX} bytes may be: have fewer sign it, or ask for less at once"
    )]
    Evidence {
        /// How many rows.
        rows: usize,
        /// Bytes of them all.
        bytes: usize,
    },
    /// It is encrypted to another, for another partition, or damaged.
    #[error("the parcel does not open: it is for another, of another partition, or damaged")]
    Closed,
    /// It opens, and is no payload.
    #[error("the parcel holds no payload: {0}")]
    Payload(CborError),
    /// It opens, and is not what was committed to.
    #[error("the parcel holds another payload than the one that was committed to")]
    Commitment,
    /// Its blinding is none.
    #[error(transparent)]
    Seal(#[from] SealError),
}

/// What the ledger says of a payload: the encoding of its commitment. That it is a point of the group is not checked; whoever has the
/// payload sees that it is the one that it opens.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ParcelId(pub [u8; 32]);

/// A payload that was ordered, as everybody sees it. In CBOR: `[commitment, class]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderedParcel {
    /// Its commitment.
    pub id: ParcelId,
    /// The binary logarithm of its padded length in bytes.
    pub class: u8,
}

/// Rows of the public state as they were at one height; of some it says that they are absent. In CBOR: `[height, [[key, row]…]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The height of the block after which they stood so.
    pub height: u64,
    /// Them, by their keys.
    pub rows: BTreeMap<StateKey, Option<Vec<u8>>>,
}

/// Private transactions with their evidence, and what makes the commitment to them hide.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload {
    transactions: Vec<Bytes>,
    evidence: Evidence,
    blinding: Blinding,
}

/// An X25519 secret key, to whose public key parcels are encrypted. Never shown, and cleared when it is dropped.
pub struct ParcelSecret(Secret);

impl ParcelSecret {
    /// The key with these secret bytes: 32 that nobody else has, uniform.
    ///
    /// # Errors
    /// When they are not 32 usable bytes.
    pub fn from_bytes(bytes: &Zeroizing<[u8; 32]>) -> Result<Self, ParcelError> {
        Secret::from_bytes(bytes.as_slice()).map(Self).map_err(|_| ParcelError::Closed)
    }

    /// Its public key.
    ///
    /// # Errors
    /// Never for 32 uniform bytes.
    pub fn public(&self) -> Result<SealingKey, ParcelError> {
        let public = X25519HkdfSha256::sk_to_pk(&self.0).to_bytes();
        SealingKey::from_bytes(public.into()).map_err(|_| ParcelError::Closed)
    }
}

impl fmt::Debug for ParcelSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ParcelSecret(…)")
    }
}

impl Evidence {
    /// SHA-256 of its encoding.
    pub fn hash(&self) -> Hash {
        Hash::of(&[&cbor::encode(self)])
    }
}

impl Payload {
    /// A payload of these transactions, with a blinding drawn for it. `rng` must be the operating system's randomness, or as good.
    ///
    /// # Errors
    /// When there is none, they or their evidence are too long, or the randomness is broken.
    pub fn new(transactions: Vec<Bytes>, evidence: Evidence, rng: &mut impl CryptoRng) -> Result<Self, ParcelError> {
        if !(1..=PAYLOAD_TRANSACTIONS_MAX).contains(&transactions.len()) {
            return Err(ParcelError::Count(transactions.len()));
        }
        let rows = evidence.rows.len();
        let bytes = evidence.rows.values().flatten().map(Vec::len).sum();
        // Nobody could read it again.
        if rows > EVIDENCE_ROWS_MAX || bytes > EVIDENCE_BYTES_MAX {
            return Err(ParcelError::Evidence { rows, bytes });
        }
        let payload = Self { transactions, evidence, blinding: Blinding::draw(rng)? };
        payload.class().map(|_| payload)
    }

    /// The signed transactions, as bytes, in the order in which they are executed.
    pub fn transactions(&self) -> &[Bytes] {
        &self.transactions
    }

    /// What they read of the public state.
    pub const fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    /// How the ledger knows it in this partition of this network.
    ///
    /// # Errors
    /// When it is too long, or its commitment were the identity, which no honest draw gives.
    pub fn ordered(&self, network: &NetworkId, partition: &str) -> Result<OrderedParcel, ParcelError> {
        let message = cbor::encode(&Message { network, partition, payload: self });
        Ok(OrderedParcel { id: ParcelId(seal::commit(&message, &self.blinding)?), class: self.class()? })
    }

    /// Its encoding, which is as secret as what it holds.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(cbor::encode_about(self, self.transactions.iter().map(Bytes::len).sum::<usize>() + 4_096))
    }

    /// Reads its encoding.
    ///
    /// # Errors
    /// When `bytes` are anything else, or another spelling.
    pub fn decode(bytes: &[u8]) -> Result<Self, ParcelError> {
        cbor::decode(bytes, 1 << PARCEL_CLASS_MAX).map_err(ParcelError::Payload)
    }

    /// What hides the value of a field that a transaction of it appended. Whoever has the payload can derive it, and nobody else; one tells
    /// nothing of another: no place's encoding is the beginning of another's, so that this is SHA-256 as a function with a secret key.
    pub fn field_salt(&self, place: &FieldPlace<'_>) -> Hash {
        Hash::of(&[SALT, self.blinding.reveal(), &cbor::encode(place)])
    }

    /// Its share in what hides the rows that are written when it is executed.
    pub(crate) fn rows_secret(&self) -> Hash {
        Hash::of(&[ROWS, self.blinding.reveal()])
    }

    fn class(&self) -> Result<u8, ParcelError> {
        class_of(self.to_bytes().len())
    }

    /// Encrypts it to a node that may have it.
    ///
    /// # Errors
    /// When it is too long.
    pub fn seal(
        &self,
        network: &NetworkId,
        partition: &str,
        to: &SealingKey,
        rng: &mut impl CryptoRng,
    ) -> Result<Bytes, ParcelError> {
        self.padded(network, partition, self.ordered(network, partition)?)?.seal(to, rng)
    }

    /// It, ready to be encrypted to many nodes. `ordered` is what [`Payload::ordered`] gave.
    ///
    /// # Errors
    /// When it is of another class.
    pub fn padded(
        &self,
        network: &NetworkId,
        partition: &str,
        ordered: OrderedParcel,
    ) -> Result<PaddedPayload, ParcelError> {
        let bytes = self.to_bytes();
        if class_of(bytes.len())? != ordered.class {
            return Err(ParcelError::Commitment);
        }
        let size = 1 << ordered.class;
        let length = u32::try_from(bytes.len()).map_err(|_| ParcelError::TooLong(bytes.len()))?;
        let mut padded = Zeroizing::new(Vec::with_capacity(size));
        padded.extend_from_slice(&length.to_be_bytes());
        padded.extend_from_slice(&bytes);
        padded.resize(size, 0);
        Ok(PaddedPayload { info: info(network, partition), ordered, padded })
    }

    /// Opens a parcel that holds this payload, encrypted to `secret`.
    ///
    /// # Errors
    /// When it does not open, or holds anything else.
    pub fn open(
        network: &NetworkId,
        partition: &str,
        ordered: &OrderedParcel,
        parcel: &[u8],
        secret: &ParcelSecret,
    ) -> Result<Self, ParcelError> {
        if !(PARCEL_CLASS_MIN..=PARCEL_CLASS_MAX).contains(&ordered.class)
            || parcel.len() != parcel_bytes(ordered.class)
        {
            return Err(ParcelError::Closed);
        }
        let padded = decrypt(secret, (&info(network, partition), &aad(ordered)), parcel)?;
        let opened = Self::unpad(&padded)?;
        // The class too: else how long it really is could be told by it.
        if opened.ordered(network, partition)? == *ordered { Ok(opened) } else { Err(ParcelError::Commitment) }
    }

    fn unpad(padded: &[u8]) -> Result<Self, ParcelError> {
        let (length, rest) = padded.split_first_chunk::<LENGTH_BYTES>().ok_or(ParcelError::Closed)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| ParcelError::Closed)?;
        let (bytes, zeros) = rest.split_at_checked(length).ok_or(ParcelError::Closed)?;
        if zeros.iter().any(|byte| *byte != 0) {
            return Err(ParcelError::Closed);
        }
        Self::decode(bytes)
    }
}

/// A payload as it is encrypted: what it costs to make it so is paid once, however many nodes have it.
pub struct PaddedPayload {
    info: Vec<u8>,
    ordered: OrderedParcel,
    padded: Zeroizing<Vec<u8>>,
}

impl PaddedPayload {
    /// How the ledger knows it.
    pub const fn ordered(&self) -> OrderedParcel {
        self.ordered
    }

    /// Encrypts it to a node that may have it.
    ///
    /// # Errors
    /// When its key is none.
    pub fn seal(&self, to: &SealingKey, rng: &mut impl CryptoRng) -> Result<Bytes, ParcelError> {
        encrypt(to, (&self.info, &aad(&self.ordered)), &self.padded, rng)
    }
}

/// Encrypts to a node, under this info and beside this.
fn encrypt(
    to: &SealingKey,
    (info, aad): (&[u8], &[u8]),
    clear: &[u8],
    rng: &mut impl CryptoRng,
) -> Result<Bytes, ParcelError> {
    let to = Key::from_bytes(to.as_bytes()).map_err(|_| ParcelError::Closed)?;
    let sealed = single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
        &OpModeS::Base,
        &to,
        info,
        clear,
        aad,
        rng,
    );
    let (encapsulated, ciphertext) = sealed.map_err(|_| ParcelError::Closed)?;
    Ok(Bytes::from([encapsulated.to_bytes().as_slice(), &ciphertext].concat()))
}

/// What was encrypted so.
fn decrypt(
    secret: &ParcelSecret,
    (info, aad): (&[u8], &[u8]),
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, ParcelError> {
    let (encapsulated, ciphertext) = sealed.split_at_checked(ENCAPSULATED_BYTES).ok_or(ParcelError::Closed)?;
    let encapsulated =
        <X25519HkdfSha256 as hpke::Kem>::EncappedKey::from_bytes(encapsulated).map_err(|_| ParcelError::Closed)?;
    let opened = single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
        &OpModeR::Base,
        &secret.0,
        &encapsulated,
        info,
        ciphertext,
        aad,
    );
    opened.map(Zeroizing::new).map_err(|_| ParcelError::Closed)
}

/// Bytes of a parcel of this class.
pub const fn parcel_bytes(class: u8) -> usize {
    ENCAPSULATED_BYTES + (1 << class) + TAG_BYTES
}

/// The least class into which a payload of so many bytes fits.
fn class_of(bytes: usize) -> Result<u8, ParcelError> {
    let needed = bytes.saturating_add(LENGTH_BYTES);
    let class = (PARCEL_CLASS_MIN..=PARCEL_CLASS_MAX).find(|class| needed <= 1 << class);
    class.ok_or(ParcelError::TooLong(bytes))
}

fn info(network: &NetworkId, partition: &str) -> Vec<u8> {
    [INFO, network.0.as_slice(), partition.as_bytes()].concat()
}

fn aad(ordered: &OrderedParcel) -> Vec<u8> {
    [ordered.id.0.as_slice(), &[ordered.class]].concat()
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Payload(…)")
    }
}

impl fmt::Display for ParcelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for ParcelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ParcelId({self})")
    }
}

struct Message<'a> {
    network: &'a NetworkId,
    partition: &'a str,
    payload: &'a Payload,
}

impl<C> Encode<C> for Message<'_> {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(5)?.str(DOMAIN)?.bytes(&self.network.0)?.str(self.partition)?;
        let all: Vec<Hash> = self.payload.transactions.iter().map(|one| Hash::of(&[one])).collect();
        let all: Vec<&[u8]> = all.iter().map(|Hash(one)| one.as_slice()).collect();
        e.encode(Hash::of(&all))?.encode(self.payload.evidence.hash())?.ok()
    }
}

impl<C> Encode<C> for OrderedParcel {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(2)?.bytes(&self.id.0)?.u8(self.class)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for OrderedParcel {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        cbor::array(d, 2, "a parcel that was ordered")?;
        let id = ParcelId(cbor::fixed(d, "the commitment of a parcel")?);
        let at = d.position();
        match d.u8()? {
            class @ PARCEL_CLASS_MIN..=PARCEL_CLASS_MAX => Ok(Self { id, class }),
            _ => {
                let message = format!("the class of a parcel must be {PARCEL_CLASS_MIN} to {PARCEL_CLASS_MAX}");
                Err(decode::Error::message(message).at(at))
            }
        }
    }
}

impl<C> Encode<C> for Evidence {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(2)?.u64(self.height)?.array(self.rows.len() as u64)?;
        for (key, row) in &self.rows {
            e.array(2)?.bytes(key.as_bytes())?;
            match row {
                Some(row) => e.bytes(row)?.ok()?,
                None => e.null()?.ok()?,
            }
        }
        Ok(())
    }
}

impl<'b, C> Decode<'b, C> for Evidence {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        cbor::array(d, 2, "evidence")?;
        let height = d.u64()?;
        let (at, mut bytes) = (d.position(), 0);
        let count = cbor::list(d, 0..=EVIDENCE_ROWS_MAX, "the rows of evidence")?;
        let mut rows = BTreeMap::new();
        for _ in 0..count {
            cbor::array(d, 2, "a row of evidence")?;
            let key = StateKey(cbor::fixed(d, "the key of a row")?);
            let row = cbor::optional(d, |d| cbor::bytes(d, 0..=STATE_VALUE_BYTES_MAX, "a row").map(<[u8]>::to_vec))?;
            bytes += row.as_ref().map_or(0, Vec::len);
            // One key twice, or out of order, is another spelling, which is refused when it is encoded again.
            rows.insert(key, row);
        }
        if bytes > EVIDENCE_BYTES_MAX {
            return Err(decode::Error::message(format!("evidence is at most {EVIDENCE_BYTES_MAX} bytes")).at(at));
        }
        Ok(Self { height, rows })
    }
}

impl<C> Encode<C> for Payload {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(4)?.u32(VERSION)?.array(self.transactions.len() as u64)?;
        for transaction in &self.transactions {
            e.bytes(transaction)?;
        }
        e.encode(&self.evidence)?;
        e.bytes(self.blinding.reveal())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Payload {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        cbor::array(d, 4, "a payload")?;
        let at = d.position();
        if d.u32()? != VERSION {
            return Err(decode::Error::message(format!("the version of a payload must be {VERSION}")).at(at));
        }
        let count = cbor::list(d, 1..=PAYLOAD_TRANSACTIONS_MAX, "the transactions of a payload")?;
        let mut transactions = Vec::new();
        for _ in 0..count {
            let transaction = cbor::bytes(d, 1..=TRANSACTION_BYTES_MAX, "a private transaction")?;
            transactions.push(Bytes::copy_from_slice(transaction));
        }
        let evidence = d.decode()?;
        let at = d.position();
        let blinding = Blinding::from_bytes(Zeroizing::new(cbor::fixed(d, "a blinding")?));
        let blinding = blinding.map_err(|error| decode::Error::message(error).at(at))?;
        Ok(Self { transactions, evidence, blinding })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;
    use rand::{SeedableRng as _, rngs::StdRng};

    const NETWORK: NetworkId = NetworkId([7; 16]);

    fn secret(n: u8) -> ParcelSecret {
        ParcelSecret::from_bytes(&Zeroizing::new([n; 32])).unwrap()
    }

    fn payload(bytes: usize) -> Payload {
        let rows = [(StateKey::organisation("a"), Some(vec![1, 2, 3])), (StateKey::organisation("b"), None)].into();
        let evidence = Evidence { height: 7, rows };
        Payload::new(vec![vec![0xab; bytes].into()], evidence, &mut StdRng::seed_from_u64(bytes as u64)).unwrap()
    }

    /// RFC 9180, appendix A.2.1: base mode, the first encryption.
    #[test]
    fn the_cipher_is_that_of_the_standard() {
        let bytes = |text: &str| hex::decode(text).unwrap();
        let secret = Secret::from_bytes(&bytes("8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb"));
        let encapsulated = <X25519HkdfSha256 as hpke::Kem>::EncappedKey::from_bytes(&bytes(
            "1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a",
        ));
        let (info, aad) = (bytes("4f6465206f6e2061204772656369616e2055726e"), bytes("436f756e742d30"));
        let ciphertext =
            bytes("1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28");
        let opened = single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeR::Base,
            &secret.unwrap(),
            &encapsulated.unwrap(),
            &info,
            &ciphertext,
            &aad,
        );
        assert_eq!(opened.unwrap(), b"Beauty is truth, truth beauty");
    }

    #[test]
    fn a_parcel_opens_for_whom_it_is_and_nobody_else() {
        let mut rng = StdRng::seed_from_u64(1);
        let payload = payload(300);
        let ordered = payload.ordered(&NETWORK, "health").unwrap();
        let to = secret(1).public().unwrap();
        let parcel = payload.seal(&NETWORK, "health", &to, &mut rng).unwrap();
        assert_eq!((ordered.class, parcel.len()), (10, parcel_bytes(10)));
        let open = |network: &NetworkId, partition: &str, ordered: &OrderedParcel, parcel: &[u8], n: u8| {
            Payload::open(network, partition, ordered, parcel, &secret(n))
        };
        assert_eq!(open(&NETWORK, "health", &ordered, &parcel, 1).unwrap(), payload);
        let mut other = ordered;
        other.id.0[0] ^= 1;
        let mut damaged = parcel.to_vec();
        damaged[40] ^= 1;
        for spoilt in [
            open(&NETWORK, "health", &ordered, &parcel, 2),
            open(&NETWORK, "tax", &ordered, &parcel, 1),
            open(&NetworkId([8; 16]), "health", &ordered, &parcel, 1),
            open(&NETWORK, "health", &other, &parcel, 1),
            open(&NETWORK, "health", &OrderedParcel { class: 11, ..ordered }, &parcel, 1),
            open(&NETWORK, "health", &ordered, &damaged, 1),
            open(&NETWORK, "health", &ordered, &parcel[1..], 1),
            open(&NETWORK, "health", &ordered, &[], 1),
        ] {
            assert_eq!(spoilt.unwrap_err(), ParcelError::Closed);
        }
        // Never the same twice, and nothing of it in what is shown.
        assert_ne!(payload.seal(&NETWORK, "health", &to, &mut rng).unwrap(), parcel);
        assert_eq!(format!("{payload:?} {:?}", secret(1)), "Payload(…) ParcelSecret(…)");
    }

    /// Payloads of many lengths are of few.
    #[test]
    fn how_long_it_is_is_told_in_classes() {
        let class = |bytes| payload(bytes).ordered(&NETWORK, "health").unwrap().class;
        assert_eq!([1, 800, 900, 1_000, 2_000, 65_536].map(class), [10, 10, 10, 11, 12, 17]);
        let evidence = Evidence { height: 1, rows: BTreeMap::new() };
        let long = Payload::new(vec![vec![1; 131_072].into()], evidence, &mut StdRng::seed_from_u64(1));
        assert!(matches!(long.unwrap_err(), ParcelError::TooLong(_)));
    }

    /// One row so many rows of so many bytes, and whether a payload may rely on them: the greatest ones are read back.
    #[test]
    fn evidence_is_bounded_before_anybody_relies_on_it() {
        for (rows, bytes, is_allowed) in [
            (EVIDENCE_ROWS_MAX, EVIDENCE_BYTES_MAX / EVIDENCE_ROWS_MAX, true),
            (EVIDENCE_ROWS_MAX + 1, 0, false),
            (EVIDENCE_ROWS_MAX, EVIDENCE_BYTES_MAX / EVIDENCE_ROWS_MAX + 1, false),
            (3, STATE_VALUE_BYTES_MAX, true),
            (4, STATE_VALUE_BYTES_MAX, false),
        ] {
            let rows = (0..u32::try_from(rows).unwrap()).map(|n| (StateKey::tree(n), Some(vec![0; bytes]))).collect();
            let evidence = Evidence { height: 1, rows };
            let transactions = vec![vec![1; TRANSACTION_BYTES_MAX].into()];
            let made = Payload::new(transactions, evidence, &mut StdRng::seed_from_u64(1));
            match made {
                Ok(payload) => assert!(is_allowed && Payload::decode(&payload.to_bytes()).unwrap() == payload),
                Err(error) => assert!(!is_allowed && matches!(error, ParcelError::Evidence { .. }), "{error}"),
            }
        }
    }

    /// Another transaction, evidence, partition or blinding is another commitment; the same ones give the same.
    #[test]
    fn the_commitment_is_to_all_of_it() {
        let id = |payload: &Payload, partition: &str| payload.ordered(&NETWORK, partition).unwrap().id;
        let first = payload(10);
        let mut evidence = first.evidence.clone();
        evidence.height += 1;
        let ids = [
            id(&first, "health"),
            id(&first, "tax"),
            id(&Payload { evidence, ..first.clone() }, "health"),
            id(&Payload { transactions: vec![vec![0xab; 11].into()], ..first.clone() }, "health"),
            id(&Payload { transactions: vec![vec![0xab; 10].into(); 2], ..first.clone() }, "health"),
            id(&Payload { transactions: vec![vec![0xab; 5].into(); 2], ..first.clone() }, "health"),
            id(&Payload { blinding: payload(11).blinding, ..first.clone() }, "health"),
        ];
        let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
        assert_eq!(id(&first.clone(), "health"), ids[0]);
        let decoded = Payload::decode(&first.to_bytes()).unwrap();
        assert_eq!((id(&decoded, "health"), decoded), (ids[0], first));
    }

    #[test]
    fn a_payload_holds_some_transactions_and_not_too_many() {
        let made = |count: usize| {
            let evidence = Evidence { height: 1, rows: BTreeMap::new() };
            Payload::new(vec![vec![1].into(); count], evidence, &mut StdRng::seed_from_u64(1))
        };
        for count in [0, PAYLOAD_TRANSACTIONS_MAX + 1] {
            assert_eq!(made(count).unwrap_err(), ParcelError::Count(count));
        }
        for count in [1, PAYLOAD_TRANSACTIONS_MAX] {
            let payload = made(count).unwrap();
            assert_eq!(Payload::decode(&payload.to_bytes()).unwrap().transactions().len(), count);
        }
    }

    /// One row a spelling that is refused.
    #[test]
    fn one_meaning_has_one_spelling() {
        let good = payload(10).to_bytes().to_vec();
        let mut versioned = good.clone();
        versioned[1] = 1;
        let mut blinding = good.clone();
        let end = blinding.len() - 32;
        blinding[end..].fill(0xff);
        for bytes in [versioned, blinding, good[1..].to_vec(), [good.as_slice(), &[0]].concat(), Vec::new()] {
            assert!(matches!(Payload::decode(&bytes), Err(ParcelError::Payload(_))));
        }
        assert!(Payload::decode(&good).is_ok());
    }
}
