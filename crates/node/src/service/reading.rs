//! Give sealed values to whoever may read them: for an act that is on record, once it is final, and once.
//!
//! ```text
//! signed read ─ new? says whom it is about? ─▶ pool ─▶ final ─ accepted ─▶ vault ─▶ the values of the latest entry
//!                                                             └ refused: nothing
//! ```
//!
//! INVARIANT: values are given only by the node that the read names, and only to the request that handed it in there first. Everybody can
//! see a transaction once it waits to be ordered, and could hand it in again, there or elsewhere; that gives nothing.

use super::{Runtime, Service, WaitError, sealed::SealedError};
use crate::{holder::Holder, rejection::Rejection};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tallystick_ledger::schema::Schema;
use tallystick_protocol::{
    Commitment, Opening, Operation, Outcome, Place, PrincipalId, Reading, SignedTransaction, Subject,
    limits::SEALED_PER_TRANSACTION_MAX,
};
use tallystick_storage::vault::Drawer;

/// One read, as its operation says it.
struct Asked<'a> {
    register: &'a str,
    key: &'a str,
    fields: &'a [String],
    subjects: &'a [Subject],
    node: &'a PrincipalId,
}

impl<'a> Asked<'a> {
    fn of(operation: &'a Operation) -> Option<Self> {
        match operation {
            Operation::RecordRead { register, key, fields, subjects, node, .. } => {
                Some(Self { register, key, fields, subjects, node })
            }
            _ => None,
        }
    }
}

impl<E: Runtime> Service<E> {
    /// Hands in a transaction that reads sealed values, waits at most `patience` until it is final, and gives them if it was accepted.
    ///
    /// # Errors
    /// When it holds anything but reads, was handed in before, is not admitted, not final in time, or refused; or a value is not here.
    pub async fn read_sealed(&self, bytes: Bytes, patience: Duration) -> Result<Reading, SealedError> {
        if !self.is_ready() {
            return Err(Rejection::unavailable("this node is starting or joining: try again shortly").into());
        }
        // Nothing is looked up, and no vault opened, for what nobody signed who may act.
        let transaction = self.0.admission.judge(bytes.clone()).await?.transaction.into_signed();
        let asked: Vec<Asked<'_>> = transaction.operations().iter().filter_map(Asked::of).collect();
        if asked.len() != transaction.operations().len() {
            return Err(SealedError::NotReads);
        }
        let registers: BTreeSet<&str> = asked.iter().map(|one| one.register).collect();
        let (holder, schemas) = self.holder_of(&registers).await?;
        let me = &holder.keys().principal;
        if let Some(other) = asked.iter().find(|one| one.node != me) {
            return Err(SealedError::OtherHolder { asked: other.node.clone(), me: me.clone() });
        }
        self.look_up(&asked, &schemas).await?;
        let id = transaction.id();
        let Some(_claim) = holder.claim(id).filter(|_| !self.knows(&transaction)) else {
            return Err(SealedError::ReadKnown);
        };
        let taken = self.submit(vec![bytes]).await.pop();
        taken.unwrap_or_else(|| Err(Rejection::stopping()))?;
        let finalised = self.finalised(&id, patience).await.map_err(SealedError::from)?;
        if let Outcome::Refused(refusal) = &finalised.outcome {
            return Err(SealedError::Refused(refusal.code));
        }
        // What was ordered to be erased before the read is gone first.
        holder.erased_to(finalised.height).await;
        let values = self.look_up(&asked, &schemas).await?;
        let openings = self.open(holder, &values).await;
        let erased = self.erased_among(holder.keys().principal.organisation(), &values).await?;
        if let Some(((place, _), _)) = erased.iter().find(|(_, is_held)| !is_held) {
            return Err(SealedError::ReadErased(Box::new(place.clone())));
        }
        Ok(Reading { transaction: id, leaf: finalised.index, openings: openings? })
    }

    /// Where the values stand that this node keeps about somebody, each with whether its record has it now; and who this is. What is
    /// erased and not held is left out.
    ///
    /// # Errors
    /// When this node keeps nothing, or the disk fails.
    pub async fn held(&self, subject: &Subject) -> Result<(PrincipalId, Vec<(Place, Commitment, bool)>), SealedError> {
        let holder = self.0.holder.as_ref().ok_or_else(|| SealedError::NotHolder(subject.register().to_owned()))?;
        let me = &holder.keys().principal;
        let kept = holder.openings(&Drawer::public(subject.clone())).await?;
        let kept: BTreeSet<(Place, Commitment)> =
            kept.iter().map(|opening| (opening.place().clone(), opening.commitment())).collect();
        let mut held: Vec<(Place, Commitment)> = kept.into_iter().collect();
        let erased = self.erased_among(me.organisation(), &held).await?;
        let gone: BTreeSet<(Place, Commitment)> =
            erased.into_iter().filter(|(_, is_held)| !is_held).map(|(value, _)| value.clone()).collect();
        held.retain(|value| !gone.contains(value));
        let names: BTreeSet<&str> = held.iter().map(|(place, _)| place.register()).collect();
        let (_, rows) = self.registers(&names.into_iter().collect::<Vec<_>>()).await?;
        let mut current = BTreeSet::new();
        for (row, _) in &rows {
            let schema = Schema::new(&row.register, &row.fields);
            let here = held.iter().filter(|(place, _)| place.register() == row.register);
            for key in here.map(|(place, _)| place.key()).collect::<BTreeSet<_>>() {
                current.extend(self.sealed_values(&schema, &row.register, key).await?.unwrap_or_default());
            }
        }
        let held = held.into_iter().map(|value| {
            let is_current = current.contains(&value);
            (value.0, value.1, is_current)
        });
        Ok((me.clone(), held.collect()))
    }

    /// Whether the transaction waits or is final.
    pub(super) fn knows(&self, transaction: &SignedTransaction) -> bool {
        let id = transaction.id();
        let is_final = self.history().index_of(&id).is_some();
        is_final || self.0.shared.pool().get(&id).is_some()
    }

    /// Where the values that are asked for stand now, each with its commitment.
    async fn look_up(
        &self,
        asked: &[Asked<'_>],
        schemas: &BTreeMap<String, Arc<Schema>>,
    ) -> Result<Vec<(Place, Commitment)>, SealedError> {
        let mut found = Vec::new();
        for one in asked {
            let Some(schema) = schemas.get(one.register) else { continue };
            // The ledger says that there is no such record, and that somebody tried.
            let Some(values) = self.sealed_values(schema, one.register, one.key).await? else { continue };
            for (place, commitment) in values {
                if !one.fields.iter().any(|field| field == place.field()) {
                    continue;
                }
                if !one.subjects.contains(place.subject()) {
                    return Err(SealedError::Subject(Box::new(place)));
                }
                found.push((place, commitment));
            }
        }
        if found.len() > SEALED_PER_TRANSACTION_MAX { Err(SealedError::NotReads) } else { Ok(found) }
    }

    async fn open(&self, holder: &Holder<E>, values: &[(Place, Commitment)]) -> Result<Vec<Opening>, SealedError> {
        let mut kept = holder.openings_at(values.iter()).await?;
        let open = |(place, commitment): &(Place, Commitment)| {
            kept.remove(&(place.clone(), *commitment)).ok_or_else(|| SealedError::Absent(Box::new(place.clone())))
        };
        values.iter().map(open).collect()
    }
}

impl From<WaitError> for SealedError {
    fn from(error: WaitError) -> Self {
        Self::Unsettled(error)
    }
}
