//! A disclosure out of a partition: one record that its members share, for a stranger who sees the public chain alone.
//!
//! ```text
//! record row ─items' hashes─ items ─commitments─ openings of what is sealed in them, as far as it is shown
//!      │ state proof
//! root of the partition's state ─ certified by more than half of its members' nodes ─ row of the partition's roots
//!                                                                                          │ state proof
//!                                                                                     state root of the first header
//! ```
//!
//! What it rests on is the word of the members: no validator has seen what is in a partition. The receipt's quorum proves that they gave it.

use super::{Finality, Reason, Step, check_items, disclosure::check_openings_of, items, row, state_proof};
use crate::{
    blind::BlindRow,
    cbor,
    header::BlockHeader,
    limits::{DISCLOSED_VALUES_MAX, KEY_BYTES_MAX, NAME_BYTES_MAX, REGISTER_NUMBER_MAX},
    network::NetworkId,
    operation::EntryKind,
    partition::{CertifiedRoot, PartitionRootsRow},
    proof,
    row::RecordRow,
    seal::Opening,
    state_key::StateKey,
};
use bytes::Bytes;
use minicbor::{Decoder, Encoder, decode, encode};

/// First element of a disclosure out of a partition.
pub(super) const PARTITION_DISCLOSURE: &str = "tallystick-partition-disclosure-3";

/// Shows a record of a partition. In CBOR: `["tallystick-partition-disclosure-3", network, partition, register, key, register number,
/// row, blind, [item…], [opening…], proof, roots row, its proof, [hand-over…], [header…], certificate]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionDisclosure {
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
    /// The record's row ([`RecordRow`]).
    pub row: BlindRow,
    /// Its items, canonical JSON.
    pub items: Vec<String>,
    /// Of the values sealed in them that are shown: what is not opened stays hidden.
    pub openings: Vec<Opening>,
    /// That the row is under the root that the partition's members certified.
    pub proof: Bytes,
    /// The row of the partition's roots ([`PartitionRootsRow`]).
    pub roots: Bytes,
    /// That this row is current in the public state.
    pub roots_proof: Bytes,
    /// How the state root of the first header is final.
    pub finality: Finality,
}

/// A record that the members of a partition hold, as a disclosure proves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedRecord {
    /// The partition.
    pub partition: String,
    /// The root that its members certified: the record is as it was at this height.
    pub certified: CertifiedRoot,
    /// The record.
    pub record: RecordRow,
    /// Its items, canonical JSON.
    pub items: Vec<String>,
    /// What opens the values sealed in them that are shown.
    pub openings: Vec<Opening>,
}

impl Step {
    /// The steps of a disclosure out of a partition.
    pub const PARTITION_DISCLOSURE: &'static [Self] = &[
        Self::Network,
        Self::Headers,
        Self::HandOvers,
        Self::Certificate,
        Self::Row,
        Self::State,
        Self::Partition,
        Self::Items,
        Self::Openings,
    ];
}

impl PartitionDisclosure {
    pub(super) fn check_shared(&self, header: &BlockHeader) -> Result<SharedRecord, (Step, Reason)> {
        let record = RecordRow::decode(&self.row.row).map_err(|error| (Step::Row, error.into()))?;
        if (&record.register, &record.key, record.kind) != (&self.register, &self.key, EntryKind::User) {
            let of = format!("{} {}:{}", record.kind, record.register, record.key);
            return Err((Step::Row, Reason::Other(of)));
        }
        let certified = certified_root(&self.partition, (&self.roots, &self.roots_proof), header)?;
        let place = StateKey::record(self.number, EntryKind::User, &self.key);
        under_certified(&place, (&self.row, &self.proof), &certified)?;
        check_items(&record, &self.items).map_err(|reason| (Step::Items, reason))?;
        let opened = check_openings_of(Some(&self.partition), (&record, &self.items), &self.openings);
        opened.map_err(|fault| (Step::Openings, Reason::Opening(fault)))?;
        let (partition, items, openings) = (self.partition.clone(), self.items.clone(), self.openings.clone());
        Ok(SharedRecord { partition, certified, record, items, openings })
    }

    pub(super) fn encode<W: encode::Write>(&self, e: &mut Encoder<W>) -> Result<(), encode::Error<W::Error>> {
        let Self { network, partition, register, key, number, .. } = self;
        e.str(PARTITION_DISCLOSURE)?;
        Head::write(e, (*network, partition, register, key, *number))?;
        self.row.encode(e)?;
        cbor::write_values(e, &self.items)?;
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
            items: items(d)?,
            openings: cbor::values(d, 0..=DISCLOSED_VALUES_MAX, "the openings of a disclosure")?,
            proof: state_proof(d)?,
            roots: row(d)?,
            roots_proof: state_proof(d)?,
            finality: Finality::decode(d)?,
        })
    }
}

/// What a disclosure out of a partition is of. In CBOR: its fields, in place.
pub(super) struct Head {
    pub network: NetworkId,
    pub partition: String,
    pub register: String,
    pub key: String,
    pub number: u32,
}

impl Head {
    pub fn write<W: encode::Write>(
        e: &mut Encoder<W>,
        (network, partition, register, key, number): (NetworkId, &str, &str, &str, u32),
    ) -> Result<(), encode::Error<W::Error>> {
        e.encode(network)?.str(partition)?.str(register)?.str(key)?.u32(number)?.ok()
    }

    pub fn read(d: &mut Decoder<'_>) -> Result<Self, decode::Error> {
        let network = d.decode()?;
        let partition = cbor::text(d, 1..=NAME_BYTES_MAX, "a partition's name")?.to_owned();
        let register = cbor::text(d, 1..=NAME_BYTES_MAX, "a register's name")?.to_owned();
        let key = cbor::text(d, 1..=KEY_BYTES_MAX, "a key")?.to_owned();
        let at = d.position();
        let number = d.u32()?;
        if number > REGISTER_NUMBER_MAX {
            return Err(decode::Error::message("a register's number must be below 2^24").at(at));
        }
        Ok(Self { network, partition, register, key, number })
    }
}

/// The root that a partition's members certified, by the row of its roots, if that is in the public state of this header.
pub(super) fn certified_root(
    partition: &str,
    (roots, roots_proof): (&[u8], &[u8]),
    header: &BlockHeader,
) -> Result<CertifiedRoot, (Step, Reason)> {
    let row = PartitionRootsRow::decode(roots).map_err(|error| (Step::Row, error.into()))?;
    let place = StateKey::partition_roots(partition);
    let proven = proof::verify_current(&place, roots, roots_proof, &header.state.root);
    proven.map_err(|error| (Step::State, error.into()))?;
    row.certified.ok_or((Step::Partition, Reason::Uncertified))
}

/// Goes on if a row is under the root that a partition's members certified.
pub(super) fn under_certified(
    place: &StateKey,
    (row, proof): (&BlindRow, &[u8]),
    certified: &CertifiedRoot,
) -> Result<(), (Step, Reason)> {
    proof::verify_current(place, &row.stored(), proof, &certified.root).map_err(|error| (Step::Partition, error.into()))
}
