//! The receipt of a proposal: where it stood at a height, with its polls.
//!
//! A proposal takes effect at the beginning of a block, and no transaction says so; its row in the state does. The row also says
//! which leaf submitted it and how many votes of each kind were cast, so that the receipts of the submission, which holds the
//! changes, and of the ballots make the rest of the evidence: no ballot can be left out unseen.

use super::{Claim, Finality, Reason, Step, row, state_proof};
use crate::{
    cbor, header::BlockHeader, limits::NAME_BYTES_MAX, network::NetworkId, proof, proposal::ProposalRow,
    state_key::StateKey,
};
use bytes::Bytes;
use minicbor::{Decoder, Encoder, decode, encode};

/// First element of a proposal's receipt.
pub(super) const PROPOSAL_RECEIPT: &str = "tallystick-proposal-receipt-1";

/// Proves where a proposal stands. In CBOR: `["tallystick-proposal-receipt-1", network, id, row, proof, [hand-over…],
/// [header…], certificate]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProposalReceipt {
    /// The network.
    pub network: NetworkId,
    /// The proposal that was asked for.
    pub proposal: String,
    /// Its row ([`ProposalRow`]).
    pub row: Bytes,
    /// That the row is current ([`crate::proof`]).
    pub proof: Bytes,
    /// How the state root of the first header is final.
    pub finality: Finality,
}

impl ProposalReceipt {
    pub(super) fn check_claim(&self, header: &BlockHeader) -> Result<Claim, (Step, Reason)> {
        let row = ProposalRow::decode(&self.row).map_err(|error| (Step::Row, error.into()))?;
        if row.id != self.proposal {
            return Err((Step::Row, Reason::Other(row.id)));
        }
        let place = StateKey::proposal(&self.proposal);
        let proven = proof::verify_current(&place, &self.row, &self.proof, &header.state.root);
        proven.map_err(|error| (Step::State, error.into()))?;
        Ok(Claim::Proposal { proposal: Box::new(row) })
    }

    pub(super) fn encode<W: encode::Write>(&self, e: &mut Encoder<W>) -> Result<(), encode::Error<W::Error>> {
        e.str(PROPOSAL_RECEIPT)?.encode(self.network)?.str(&self.proposal)?.bytes(&self.row)?.bytes(&self.proof)?;
        self.finality.encode(e)
    }

    pub(super) fn decode(d: &mut Decoder<'_>) -> Result<Self, decode::Error> {
        Ok(Self {
            network: d.decode()?,
            proposal: cbor::text(d, 1..=NAME_BYTES_MAX, "a proposal's id")?.to_owned(),
            row: row(d)?,
            proof: state_proof(d)?,
            finality: Finality::decode(d)?,
        })
    }
}
