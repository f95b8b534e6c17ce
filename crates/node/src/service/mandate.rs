//! The mandates that somebody granted, or was granted: the log says which, the state how they stand.

use super::{Runtime, Service};
use tallystick_ledger::MandateRow;
use tallystick_protocol::{MandateId, Operation, OperationName, PrincipalId, Resource, StateKey};
use tallystick_storage::{
    history::{ActQuery, Outcomes},
    read::ReadError,
};

/// Which mandates are asked for; what is none is not asked.
#[derive(Debug, Default)]
pub struct MandateQuery {
    /// Who granted them.
    pub granted_by: Option<PrincipalId>,
    /// One of their agents.
    pub granted_to: Option<PrincipalId>,
}

impl MandateQuery {
    /// The acts that granted them, and perhaps others.
    pub fn acts(&self) -> ActQuery {
        ActQuery {
            principal: self.granted_by.clone(),
            action: Some(OperationName::MandateGrant),
            resources: self.granted_to.iter().map(Resource::principal).collect(),
            outcome: Some(Outcomes::Accepted),
            ..ActQuery::default()
        }
    }

    /// Whether a mandate is asked for.
    pub fn asks_for(&self, MandateRow { id, terms, .. }: &MandateRow) -> bool {
        let is_by = self.granted_by.as_ref().is_none_or(|grantor| *grantor == id.grantor());
        is_by && self.granted_to.as_ref().is_none_or(|agent| terms.agents.contains(agent))
    }

    /// The mandate that the operation of this signer grants, if it is asked for.
    fn granted(&self, signer: &PrincipalId, operation: &Operation) -> Option<MandateId> {
        let Operation::MandateGrant { name, terms } = operation else { return None };
        let is_by = self.granted_by.as_ref().is_none_or(|grantor| grantor == signer);
        let is_to = self.granted_to.as_ref().is_none_or(|agent| terms.agents.contains(agent));
        if is_by && is_to { MandateId::new(signer, name).ok() } else { None }
    }
}

impl<E: Runtime> Service<E> {
    /// The mandates asked for that were granted at these leaves, and how many of the leaves were read.
    pub async fn mandates(&self, asked: &MandateQuery, leaves: &[u64]) -> Result<(Vec<MandateRow>, usize), ReadError> {
        let (acts, read) = self.acts(&asked.acts(), leaves).await?;
        let ids = acts.iter().flat_map(|act| {
            let signer = act.transaction.principal();
            act.transaction.operations().iter().rev().filter_map(|each| asked.granted(signer, each))
        });
        let keys: Vec<StateKey> = ids.map(|id| StateKey::mandate(&id)).collect();
        let found = self.read(keys.iter().copied(), |sheet| sheet.rows(keys.iter().copied(), MandateRow::decode));
        let (_, rows) = found.await?;
        Ok((rows.into_iter().flatten().collect(), read))
    }
}
