//! The rows of the state that a receipt proves; the ledger writes them.

use crate::{
    cbor::{self, CborError},
    hash::Hash,
    limits::{
        FIELDS_MAX, ITEMS_PER_ENTRY_MAX, KEY_BYTES_MAX, NAME_BYTES_MAX, REGISTER_NUMBER_MAX, STATE_VALUE_BYTES_MAX,
        TEXT_BYTES_MAX,
    },
    operation::{EntryKind, Field, Phase},
};
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

/// A record: the latest entry for a key. In CBOR: an array of its fields in this order.
///
/// It names its register and key, so that a proof of the row needs no proof of the register's number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordRow {
    /// The register.
    pub register: String,
    /// The key.
    pub key: String,
    /// Whose entry it is.
    pub kind: EntryKind,
    /// The entry's number, from 1.
    pub number: u64,
    /// The entry's timestamp, in Unix seconds.
    pub timestamp: u64,
    /// SHA-256 of each item.
    pub items: Vec<Hash>,
    /// The log leaf of the transaction that appended it.
    pub leaf: u64,
    /// The height of that transaction's block.
    pub height: u64,
}

/// A register's definition. In CBOR: an array of its fields in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisterRow {
    /// Its name.
    pub register: String,
    /// Its number, which its rows' keys hold; below 2^24, from 1.
    pub number: u32,
    /// The organisation that alone writes it.
    pub custodian: String,
    /// Where it stands in its life.
    pub phase: Phase,
    /// What replaces it.
    pub successor: Option<String>,
    /// Its schema.
    pub fields: Vec<Field>,
    /// What it lists.
    pub text: String,
    /// The log leaf of the transaction that created it.
    pub created: u64,
}

impl RecordRow {
    /// The row's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Decodes a row.
    ///
    /// # Errors
    /// When it is too long, malformed or not deterministic.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        cbor::decode(bytes, STATE_VALUE_BYTES_MAX)
    }
}

impl RegisterRow {
    /// The row's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Decodes a row.
    ///
    /// # Errors
    /// When it is too long, malformed or not deterministic.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        cbor::decode(bytes, STATE_VALUE_BYTES_MAX)
    }
}

fn name(d: &mut Decoder<'_>) -> Result<String, decode::Error> {
    cbor::text(d, 1..=NAME_BYTES_MAX, "a name").map(str::to_owned)
}

impl<C> Encode<C> for RecordRow {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(8)?.str(&self.register)?.str(&self.key)?.encode(self.kind)?.u64(self.number)?.u64(self.timestamp)?;
        cbor::write_values(e, &self.items)?;
        e.u64(self.leaf)?.u64(self.height)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for RecordRow {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        cbor::array(d, 8, "a record row")?;
        Ok(Self {
            register: name(d)?,
            key: cbor::text(d, 1..=KEY_BYTES_MAX, "a key")?.to_owned(),
            kind: d.decode()?,
            number: d.u64()?,
            timestamp: d.u64()?,
            items: cbor::values(d, 1..=ITEMS_PER_ENTRY_MAX, "the items of a record")?,
            leaf: d.u64()?,
            height: d.u64()?,
        })
    }
}

impl<C> Encode<C> for RegisterRow {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(8)?.str(&self.register)?.u32(self.number)?.str(&self.custodian)?.encode(self.phase)?;
        e.encode(self.successor.as_deref())?;
        cbor::write_values(e, &self.fields)?;
        e.str(&self.text)?.u64(self.created)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for RegisterRow {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        cbor::array(d, 8, "a register row")?;
        let register = name(d)?;
        let at = d.position();
        let number = d.u32()?;
        if number > REGISTER_NUMBER_MAX {
            return Err(decode::Error::message("a register's number must be below 2^24").at(at));
        }
        Ok(Self {
            register,
            number,
            custodian: name(d)?,
            phase: d.decode()?,
            successor: cbor::optional(d, name)?,
            fields: cbor::values(d, 0..=FIELDS_MAX, "the fields of a register")?,
            text: cbor::text(d, 0..=TEXT_BYTES_MAX, "a description")?.to_owned(),
            created: d.u64()?,
        })
    }
}
