//! Fields of a record in a partition: each can be shown without the others.
//!
//! ```text
//! record  ─▶ for each field of each item a leaf: its value beside a salt of its own
//!                └─ root of the RFC 9162 tree over them ─ row of the fields, in the partition's own state
//! ```
//!
//! A record's own row names SHA-256 of its items, and whoever knows all of an item but one value can try that: what shows one field
//! alone shows this row instead.
//!
//! INVARIANT: salts come from the payload ([`crate::Payload::field_salt`]), so that members alone can derive them: a leaf whose salt is not
//! shown says nothing of its value.

use crate::{
    cbor::{self, CborError},
    hash::Hash,
    limits::{
        FIELDS_MAX, ITEM_BYTES_MAX, ITEMS_PER_ENTRY_MAX, KEY_BYTES_MAX, MERKLE_PATH_MAX, NAME_BYTES_MAX,
        STATE_VALUE_BYTES_MAX,
    },
    merkle::{self, MerkleError},
};
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};
use serde_json::Value;

/// What separates these leaves from all others.
const DOMAIN: &str = "tallystick field 1";

/// What the fields of a record's latest entry are under. In CBOR: an array of its fields in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldsRow {
    /// The register.
    pub register: String,
    /// The record's key.
    pub key: String,
    /// The entry's number, from 1.
    pub entry: u64,
    /// The root over their leaves, in the order of the items, and in each of its members.
    pub root: Hash,
    /// How many they are.
    pub count: u64,
}

/// Where a field stands in a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldPlace<'a> {
    /// Which transaction of the payload, from 0.
    pub transaction: u32,
    /// The register.
    pub register: &'a str,
    /// The record's key.
    pub key: &'a str,
    /// Which of the user entries of the transaction, from 0.
    pub entry: u32,
    /// Which of the entry's items, from 0.
    pub item: u32,
    /// The field's name.
    pub field: &'a str,
}

/// A field of an item, with what hides its value until it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldLeaf {
    /// The item, from 0.
    pub item: u32,
    /// The field's name.
    pub field: String,
    /// Its value, canonical JSON: a text, or a list of texts. What is sealed is its commitment.
    pub value: String,
    /// What hides it.
    pub salt: Hash,
}

/// A field that is shown, with its path to the root. In CBOR: `[item, field, value, salt, index, [hash…]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownField {
    /// It.
    pub leaf: FieldLeaf,
    /// Which of the leaves it is, from 0.
    pub index: u64,
    /// From the leaf to the root.
    pub path: Vec<Hash>,
}

impl FieldsRow {
    /// The row's bytes in the state.
    pub fn to_bytes(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Decodes a row.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        cbor::decode(bytes, STATE_VALUE_BYTES_MAX)
    }
}

impl FieldLeaf {
    /// The hash that stands for it in the tree.
    pub fn hash(&self) -> Hash {
        merkle::leaf_hash(&cbor::encode_about(self, self.value.len() + 128))
    }

    /// Its value, if that is a text, or a list of texts.
    pub fn json(&self) -> Option<Value> {
        let value: Value = serde_json::from_str(&self.value).ok()?;
        let is_value = match &value {
            Value::String(_) => true,
            Value::Array(texts) => texts.iter().all(Value::is_string),
            _ => false,
        };
        is_value.then_some(value)
    }
}

impl ShownField {
    /// Goes on if it is one of the fields under this row.
    ///
    /// # Errors
    /// When it is not, or its path has another length than it must.
    pub fn check(&self, row: &FieldsRow) -> Result<(), MerkleError> {
        merkle::verify_inclusion(&self.leaf.hash(), self.index, row.count, &self.path, &row.root)
    }
}

/// As the leaf's data.
impl<C> Encode<C> for FieldLeaf {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(5)?.str(DOMAIN)?.encode(self.salt)?.u32(self.item)?.str(&self.field)?.str(&self.value)?.ok()
    }
}

impl<C> Encode<C> for FieldPlace<'_> {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        let Self { transaction, register, key, entry, item, field } = *self;
        e.array(6)?.u32(transaction)?.str(register)?.str(key)?.u32(entry)?.u32(item)?.str(field)?.ok()
    }
}

impl<C> Encode<C> for FieldsRow {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        let Self { register, key, entry, root, count } = self;
        e.array(5)?.str(register)?.str(key)?.u64(*entry)?.encode(root)?.u64(*count)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for FieldsRow {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        cbor::array(d, 5, "the row of a record's fields")?;
        let register = cbor::text(d, 1..=NAME_BYTES_MAX, "a register's name")?.to_owned();
        let key = cbor::text(d, 1..=KEY_BYTES_MAX, "a key")?.to_owned();
        let (entry, root, at) = (d.u64()?, d.decode()?, d.position());
        let count = d.u64()?;
        let most = (ITEMS_PER_ENTRY_MAX * FIELDS_MAX) as u64;
        if count > most {
            return Err(decode::Error::message(format!("a record has at most {most} fields")).at(at));
        }
        Ok(Self { register, key, entry, root, count })
    }
}

impl<C> Encode<C> for ShownField {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        let FieldLeaf { item, field, value, salt } = &self.leaf;
        e.array(6)?.u32(*item)?.str(field)?.str(value)?.encode(salt)?.u64(self.index)?;
        cbor::write_values(e, &self.path)
    }
}

impl<'b, C> Decode<'b, C> for ShownField {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        cbor::array(d, 6, "a field that is shown")?;
        let leaf = FieldLeaf {
            item: d.u32()?,
            field: cbor::text(d, 1..=NAME_BYTES_MAX, "a field's name")?.to_owned(),
            value: cbor::text(d, 2..=ITEM_BYTES_MAX, "a field's value")?.to_owned(),
            salt: d.decode()?,
        };
        Ok(Self { leaf, index: d.u64()?, path: cbor::values(d, 0..=MERKLE_PATH_MAX, "an inclusion path")? })
    }
}
