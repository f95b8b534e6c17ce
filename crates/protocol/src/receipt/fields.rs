//! A disclosure of fields alone: some fields of one record that the members of a partition share, and nothing of its others.
//!
//! ```text
//! root of the partition's state ─ state proof ─ row of the record's fields ─ root over salted leaves ─ path ─ a field that is shown
//! ```
//!
//! INVARIANT: nothing in it depends on the value of a field that is not shown, but through a salt that nobody outside can derive: the
//! record's own row, which names SHA-256 of whole items, is no part of it, and what the state proof holds of it is hidden by its blind.

use super::{
    Finality, Reason, Step,
    disclosure::check_openings,
    partition::{Head, certified_root, under_certified},
    row, state_proof,
};
use crate::{
    blind::BlindRow,
    cbor,
    fields::{FieldsRow, ShownField},
    header::BlockHeader,
    limits::{DISCLOSED_FIELDS_MAX, DISCLOSED_VALUES_MAX},
    network::NetworkId,
    partition::CertifiedRoot,
    seal::Opening,
    state_key::StateKey,
};
use bytes::Bytes;
use minicbor::{Decoder, Encoder, decode, encode};
use serde_json::Value;

/// First element of a disclosure of fields alone.
pub(super) const FIELD_DISCLOSURE: &str = "tallystick-field-disclosure-1";

/// Shows fields of a record of a partition. In CBOR: `["tallystick-field-disclosure-1", network, partition, register, key, register number,
/// row, blind, [field…], [opening…], proof, roots row, its proof, [hand-over…], [header…], certificate]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldDisclosure {
    /// The network.
    pub network: NetworkId,
    /// The partition.
    pub partition: String,
    /// The register in it.
    pub register: String,
    /// The record's key.
    pub key: String,
    /// The register's number in the partition, which leads to the row.
    pub number: u32,
    /// What the record's fields are under ([`FieldsRow`]).
    pub row: BlindRow,
    /// Those that are shown, in the order of their leaves.
    pub fields: Vec<ShownField>,
    /// Of the values sealed in them.
    pub openings: Vec<Opening>,
    /// That the row is under the root that the partition's members certified.
    pub proof: Bytes,
    /// The row of the partition's roots ([`crate::PartitionRootsRow`]).
    pub roots: Bytes,
    /// That this row is current in the public state.
    pub roots_proof: Bytes,
    /// How the state root of the first header is final.
    pub finality: Finality,
}

/// Fields of a record that the members of a partition hold, as a disclosure proves them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedFields {
    /// The partition.
    pub partition: String,
    /// The root that its members certified: the record is as it was at this height.
    pub certified: CertifiedRoot,
    /// What they are under.
    pub row: FieldsRow,
    /// Them.
    pub fields: Vec<ShownField>,
    /// What opens the values sealed in them.
    pub openings: Vec<Opening>,
}

impl Step {
    /// The steps of a disclosure of fields alone.
    pub const FIELD_DISCLOSURE: &'static [Self] = &[
        Self::Network,
        Self::Headers,
        Self::HandOvers,
        Self::Certificate,
        Self::Row,
        Self::State,
        Self::Partition,
        Self::Fields,
        Self::Openings,
    ];
}

impl FieldDisclosure {
    pub(super) fn check_shared(&self, header: &BlockHeader) -> Result<SharedFields, (Step, Reason)> {
        let row = FieldsRow::decode(&self.row.row).map_err(|error| (Step::Row, error.into()))?;
        if (&row.register, &row.key) != (&self.register, &self.key) {
            return Err((Step::Row, Reason::Other(format!("{}:{}", row.register, row.key))));
        }
        let certified = certified_root(&self.partition, (&self.roots, &self.roots_proof), header)?;
        let place = StateKey::private_fields(self.number, &self.key);
        under_certified(&place, (&self.row, &self.proof), &certified)?;
        let values = self.check_fields(&row).map_err(|reason| (Step::Fields, reason))?;
        let shown = self.fields.iter().zip(&values).map(|(field, value)| (field.leaf.field.as_str(), value));
        let opened = check_openings(Some(&self.partition), (&self.register, &self.key), shown, &self.openings);
        opened.map_err(|fault| (Step::Openings, Reason::Opening(fault)))?;
        let (partition, fields, openings) = (self.partition.clone(), self.fields.clone(), self.openings.clone());
        Ok(SharedFields { partition, certified, row, fields, openings })
    }

    /// The values, if each field is under the row's root, once, and after the one before.
    fn check_fields(&self, row: &FieldsRow) -> Result<Vec<Value>, Reason> {
        let mut next = 0;
        let check = |(place, field): (usize, &ShownField)| {
            if field.index < next {
                return Err(Reason::FieldOrder(place));
            }
            next = field.index.saturating_add(1);
            field.check(row).map_err(|error| Reason::Field { place, error })?;
            field.leaf.json().ok_or(Reason::FieldValue(place))
        };
        self.fields.iter().enumerate().map(check).collect()
    }

    pub(super) fn encode<W: encode::Write>(&self, e: &mut Encoder<W>) -> Result<(), encode::Error<W::Error>> {
        let Self { network, partition, register, key, number, .. } = self;
        e.str(FIELD_DISCLOSURE)?;
        Head::write(e, (*network, partition, register, key, *number))?;
        self.row.encode(e)?;
        cbor::write_values(e, &self.fields)?;
        cbor::write_values(e, &self.openings)?;
        e.bytes(&self.proof)?.bytes(&self.roots)?.bytes(&self.roots_proof)?;
        self.finality.encode(e)
    }

    pub(super) fn decode(d: &mut Decoder<'_>) -> Result<Self, decode::Error> {
        let Head { network, partition, register, key, number } = Head::read(d)?;
        Ok(Self {
            network,
            partition,
            register,
            key,
            number,
            row: BlindRow::decode(d)?,
            fields: cbor::values(d, 1..=DISCLOSED_FIELDS_MAX, "the fields of a disclosure")?,
            openings: cbor::values(d, 0..=DISCLOSED_VALUES_MAX, "the openings of a disclosure")?,
            proof: state_proof(d)?,
            roots: row(d)?,
            roots_proof: state_proof(d)?,
            finality: Finality::decode(d)?,
        })
    }
}
