//! Which validators may certify which epochs, for whoever checks certificates: the engine, block by block, and a node that joins.
//!
//! INVARIANT: an epoch's set is known here only when the chain, or a chain of hand-overs from the genesis, has said so.

use crate::{NodeKey, Scheme, Validators, validators::ValidatorsError};
use commonware_consensus::types::Epoch;
use commonware_cryptography::certificate::{Provider, Scoped};
use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};
use tallystick_protocol::{NetworkId, ValidatorSet};

/// Epochs whose sets are remembered before the newest: a certificate of an older one is asked of nobody.
const EPOCHS_KEPT: u64 = 64;

/// The schemes of the epochs that are known. Clones share them.
#[derive(Clone)]
pub struct Epochs {
    network: NetworkId,
    signer: Option<NodeKey>,
    schemes: Arc<RwLock<BTreeMap<u64, Arc<Scheme>>>>,
}

impl Epochs {
    /// None yet. `signer` votes in every epoch whose set holds its key; without one this node only checks.
    pub fn new(network: NetworkId, signer: Option<NodeKey>) -> Self {
        Self { network, signer, schemes: Arc::default() }
    }

    /// These certify `epoch`. An epoch that is known stays as it is.
    pub fn know(&self, epoch: u64, set: &ValidatorSet) -> Result<(), ValidatorsError> {
        let validators = Validators::new(self.network, set)?;
        let scheme =
            self.signer.clone().and_then(|key| validators.signer(key)).unwrap_or_else(|| validators.observer());
        let mut schemes = self.schemes.write().unwrap_or_else(PoisonError::into_inner);
        schemes.entry(epoch).or_insert_with(|| Arc::new(scheme));
        let newest = schemes.last_key_value().map_or(epoch, |(newest, _)| *newest);
        let kept = schemes.split_off(&newest.saturating_sub(EPOCHS_KEPT));
        *schemes = kept;
        Ok(())
    }

    /// The scheme of an epoch, if it is known.
    pub fn scheme_of(&self, epoch: u64) -> Option<Arc<Scheme>> {
        self.schemes.read().unwrap_or_else(PoisonError::into_inner).get(&epoch).cloned()
    }

    /// The newest epoch that is known.
    pub fn newest(&self) -> Option<u64> {
        self.schemes.read().unwrap_or_else(PoisonError::into_inner).last_key_value().map(|(epoch, _)| *epoch)
    }
}

impl Provider for Epochs {
    type Scope = Epoch;
    type Scheme = Scheme;

    fn scoped(&self, epoch: Epoch) -> Option<Scoped<Scheme>> {
        self.scheme_of(epoch.get()).map(Scoped::scheme)
    }
}
