//! The certificate of an erasure: where an order stood at a height, with the receipt of each holder.
//!
//! An order is complete by the receipt of its last holder, and each receipt is a transaction of its own: a bundle of those would say who
//! destroyed, but not that these are all who had to. The order's row says both, and which leaf of the log each receipt is.
//!
//! Of an order in a partition the row is under a root that its members certify, as a record that is disclosed is: see `partition.rs`.

use super::{
    Claim, Finality, Reason, Step,
    partition::{certified_root, under_certified},
    row, state_proof,
};
use crate::{
    blind::BlindRow, cbor, erasure::ErasureRow, header::BlockHeader, limits::NAME_BYTES_MAX, network::NetworkId,
    partition::CertifiedRoot, proof, state_key::StateKey,
};
use bytes::Bytes;
use minicbor::{Decoder, Encoder, decode, encode};

/// First element of an erasure's certificate.
pub(super) const ERASURE_CERTIFICATE: &str = "tallystick-erasure-certificate-1";

/// Proves where an order of erasure stands. In CBOR: `["tallystick-erasure-certificate-1", network, id, row, proof, [hand-over…],
/// [header…], certificate]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErasureCertificate {
    /// The network.
    pub network: NetworkId,
    /// The order that was asked for.
    pub order: String,
    /// Its row ([`ErasureRow`]).
    pub row: Bytes,
    /// That the row is current ([`crate::proof`]).
    pub proof: Bytes,
    /// How the state root of the first header is final.
    pub finality: Finality,
}

impl ErasureCertificate {
    pub(super) fn check_claim(&self, header: &BlockHeader) -> Result<Claim, (Step, Reason)> {
        let row = ErasureRow::decode(&self.row).map_err(|error| (Step::Row, error.into()))?;
        if row.order != self.order {
            return Err((Step::Row, Reason::Other(row.order)));
        }
        let place = StateKey::erasure(&self.order);
        let proven = proof::verify_current(&place, &self.row, &self.proof, &header.state.root);
        proven.map_err(|error| (Step::State, error.into()))?;
        Ok(Claim::Erasure { order: Box::new(row) })
    }

    pub(super) fn encode<W: encode::Write>(&self, e: &mut Encoder<W>) -> Result<(), encode::Error<W::Error>> {
        e.str(ERASURE_CERTIFICATE)?.encode(self.network)?.str(&self.order)?.bytes(&self.row)?.bytes(&self.proof)?;
        self.finality.encode(e)
    }

    pub(super) fn decode(d: &mut Decoder<'_>) -> Result<Self, decode::Error> {
        Ok(Self {
            network: d.decode()?,
            order: cbor::text(d, 1..=NAME_BYTES_MAX, "an order's id")?.to_owned(),
            row: row(d)?,
            proof: state_proof(d)?,
            finality: Finality::decode(d)?,
        })
    }
}

/// First element of the certificate of an erasure in a partition.
pub(super) const PARTITION_ERASURE: &str = "tallystick-partition-erasure-certificate-2";

/// Proves where an order of erasure in a partition stands. In CBOR: `["tallystick-partition-erasure-certificate-2", network, partition, id,
/// row, blind, proof, roots row, its proof, [hand-over…], [header…], certificate]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionErasure {
    /// The network.
    pub network: NetworkId,
    /// The partition.
    pub partition: String,
    /// The order that was asked for.
    pub order: String,
    /// Its row ([`ErasureRow`]).
    pub row: BlindRow,
    /// That the row is under the root that the partition's members certified.
    pub proof: Bytes,
    /// The row of the partition's roots ([`crate::PartitionRootsRow`]).
    pub roots: Bytes,
    /// That this row is current in the public state.
    pub roots_proof: Bytes,
    /// How the state root of the first header is final.
    pub finality: Finality,
}

/// An order of erasure in a partition, as a certificate proves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedErasure {
    /// The partition.
    pub partition: String,
    /// The root that its members certified: the order stood so at this height.
    pub certified: CertifiedRoot,
    /// The order's row.
    pub order: ErasureRow,
}

impl Step {
    /// The steps of the certificate of an erasure in a partition.
    pub const PARTITION_ERASURE: &'static [Self] =
        &[Self::Network, Self::Headers, Self::HandOvers, Self::Certificate, Self::Row, Self::State, Self::Partition];
}

impl PartitionErasure {
    pub(super) fn check_claim(&self, header: &BlockHeader) -> Result<Claim, (Step, Reason)> {
        let order = ErasureRow::decode(&self.row.row).map_err(|error| (Step::Row, error.into()))?;
        if order.order != self.order {
            return Err((Step::Row, Reason::Other(order.order)));
        }
        let certified = certified_root(&self.partition, (&self.roots, &self.roots_proof), header)?;
        under_certified(&StateKey::erasure(&self.order), (&self.row, &self.proof), &certified)?;
        Ok(Claim::SharedErasure(Box::new(SharedErasure { partition: self.partition.clone(), certified, order })))
    }

    pub(super) fn encode<W: encode::Write>(&self, e: &mut Encoder<W>) -> Result<(), encode::Error<W::Error>> {
        e.str(PARTITION_ERASURE)?.encode(self.network)?.str(&self.partition)?.str(&self.order)?;
        self.row.encode(e)?;
        e.bytes(&self.proof)?.bytes(&self.roots)?.bytes(&self.roots_proof)?;
        self.finality.encode(e)
    }

    pub(super) fn decode(d: &mut Decoder<'_>) -> Result<Self, decode::Error> {
        Ok(Self {
            network: d.decode()?,
            partition: cbor::text(d, 1..=NAME_BYTES_MAX, "a partition's name")?.to_owned(),
            order: cbor::text(d, 1..=NAME_BYTES_MAX, "an order's id")?.to_owned(),
            row: BlindRow::decode(d)?,
            proof: state_proof(d)?,
            roots: row(d)?,
            roots_proof: state_proof(d)?,
            finality: Finality::decode(d)?,
        })
    }
}
