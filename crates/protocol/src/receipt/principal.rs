//! The receipt of a principal: which keys are its own at a height. With it whatever a key has signed is somebody's, to a stranger too.

use super::{Finality, Reason, Step, row, state_proof};
use crate::{
    header::BlockHeader, network::NetworkId, operation::PrincipalId, proof, row::PrincipalRow, state_key::StateKey,
};
use bytes::Bytes;
use minicbor::{Decoder, Encoder, decode, encode};

/// First element of a principal's receipt.
pub(super) const PRINCIPAL_RECEIPT: &str = "tallystick-principal-receipt-1";

/// Proves which keys a principal has. In CBOR: `["tallystick-principal-receipt-1", network, principal, row, proof, [hand-over…],
/// [header…], certificate]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrincipalReceipt {
    /// The network.
    pub network: NetworkId,
    /// The principal that was asked for.
    pub principal: PrincipalId,
    /// Its row ([`PrincipalRow`]).
    pub row: Bytes,
    /// That the row is current ([`crate::proof`]).
    pub proof: Bytes,
    /// How the state root of the first header is final.
    pub finality: Finality,
}

impl PrincipalReceipt {
    pub(super) fn check_row(&self, header: &BlockHeader) -> Result<PrincipalRow, (Step, Reason)> {
        let row = PrincipalRow::decode(&self.row).map_err(|error| (Step::Row, error.into()))?;
        if row.id != self.principal {
            return Err((Step::Row, Reason::Other(row.id.to_string())));
        }
        let place = StateKey::principal(&self.principal);
        let proven = proof::verify_current(&place, &self.row, &self.proof, &header.state.root);
        proven.map_err(|error| (Step::State, error.into()))?;
        Ok(row)
    }

    pub(super) fn encode<W: encode::Write>(&self, e: &mut Encoder<W>) -> Result<(), encode::Error<W::Error>> {
        e.str(PRINCIPAL_RECEIPT)?
            .encode(self.network)?
            .encode(&self.principal)?
            .bytes(&self.row)?
            .bytes(&self.proof)?;
        self.finality.encode(e)
    }

    pub(super) fn decode(d: &mut Decoder<'_>) -> Result<Self, decode::Error> {
        Ok(Self {
            network: d.decode()?,
            principal: d.decode()?,
            row: row(d)?,
            proof: state_proof(d)?,
            finality: Finality::decode(d)?,
        })
    }
}
