//! Look at what policies say before anything is ordered: who orders does, and who acknowledges. It is what they say of the partition as far as
//! this node has executed it; what counts is what they say when it is executed, in its place in the order.
//!
//! INVARIANT: a read is ordered whatever they say: who tried to is to be on record.

use super::{
    Parcels, Room,
    error::PrivateError,
    message::Reason,
    order::{Looks, Submission},
};
use crate::engine::Runtime;
use futures::future::{Either, select};
use std::{sync::Arc, time::Duration};
use tallystick_protocol::{Code, Operation, Outcome, Refusal, SignedTransaction};
use tallystick_storage::partition::{Placed, PrivateBlock};

/// Times that policies are looked at before it is said that they do not permit something: what lets it be may be on its way.
const LOOKS: u32 = 4;
/// Wait between two of these.
const BETWEEN_LOOKS: Duration = Duration::from_millis(300);
/// For how long a node that is to acknowledge something waits until it has executed what lets it be.
const PATIENCE: Duration = Duration::from_millis(800);

/// Who asks for something, and for what: for the log.
fn asked(transaction: &SignedTransaction) -> String {
    let names: Vec<&str> = transaction.operations().iter().map(|operation| operation.name().as_str()).collect();
    format!("{}: {}", transaction.principal(), names.join(" "))
}

impl<E: Runtime> Parcels<E> {
    /// Gathers these again a little later, in their order: the first of a signer, which policies did not permit, and what came after it of the
    /// same signer. One that they did not permit often enough is answered so.
    pub(super) fn look_again(&self, room: &Arc<Room<E>>, put_aside: Vec<(Submission, Option<PrivateError>)>) {
        let tip = self.0.shared.chain.tip().header.height;
        let mut again = Vec::with_capacity(put_aside.len());
        for (mut one, error) in put_aside {
            // What came with it is let go when its time is over: it may have been handed in once more, here or at another node.
            if one.answer.is_closed() {
                continue;
            }
            let Some(error) = error else {
                again.push(one);
                continue;
            };
            let looks = one.looks.get_or_insert(Looks { count: 0, first_height: tip });
            looks.count += 1;
            if looks.count < LOOKS {
                again.push(one);
                continue;
            }
            // What it had not executed by then it cannot judge by.
            let is_to_date = *room.executed.borrow() >= looks.first_height;
            let error = if is_to_date { error } else { room.behind() };
            tracing::warn!(partition = room.name, asked = asked(&one.transaction), %error, "not ordered");
            let _ = one.answer.send(Err(error));
        }
        if again.is_empty() {
            return;
        }
        let (parcels, room) = (self.clone(), room.clone());
        self.0.runtime.child("look_again").spawn(move |runtime| async move {
            runtime.sleep(BETWEEN_LOOKS).await;
            again.into_iter().for_each(|one| parcels.gather_again(&room, one));
        });
    }

    /// Goes on if policies permit what another asks this node to acknowledge: if not at once, then once this node has executed more, waited for a
    /// moment.
    pub(super) async fn permitted(&self, runtime: &E, room: &Room<E>, payloads: Vec<Placed>) -> Result<(), Reason> {
        let tip = self.0.shared.chain.tip();
        let (height, time_ms) = (tip.header.height, tip.header.time_ms);
        let mut block = PrivateBlock { height, time_ms, location: 0, payloads };
        let mut executed = room.executed.subscribe();
        let mut patience = std::pin::pin!(runtime.sleep(PATIENCE));
        loop {
            drop(executed.borrow_and_update());
            let (position, outcomes) = {
                let partition = room.partition.lock().await;
                block.height = block.height.max(partition.position().height + 1);
                (partition.position().height, partition.rehearse(&block).await)
            };
            let Err(reason) = judge(room, &block, &outcomes) else { return Ok(()) };
            // Nothing else comes of the same state.
            loop {
                let more = std::pin::pin!(executed.changed());
                match select(more, patience.as_mut()).await {
                    Either::Left((Ok(()), _)) if room.standing().height > position => break,
                    Either::Left((Ok(()), _)) => {}
                    Either::Left((Err(_), _)) | Either::Right(_) => return Err(reason),
                }
            }
        }
    }
}

/// Whether all that would become of these lets them be ordered.
fn judge<E: Runtime>(room: &Room<E>, block: &PrivateBlock, outcomes: &[Outcome]) -> Result<(), Reason> {
    let transactions = block.payloads.iter().flat_map(|placed| {
        let orderer = &placed.orderer;
        placed.opened.transactions().iter().map(move |transaction| (orderer, transaction))
    });
    for ((orderer, transaction), outcome) in transactions.zip(outcomes) {
        let Ok(transaction) = transaction else { continue };
        if refused_by_policy(transaction, outcome).is_some() {
            tracing::warn!(
                partition = room.name,
                orderer,
                asked = asked(transaction),
                "not permitted, and not acknowledged"
            );
            return Err(Reason::Policy);
        }
        // Evidence that lacks something hides what policies would say.
        if matches!(outcome, Outcome::Refused(refusal) if [Code::EvidenceMissing, Code::EvidenceInvalid].contains(&refusal.code))
        {
            return Err(Reason::Evidence);
        }
    }
    Ok(())
}

/// What policies say against a transaction that would come to this, if that keeps it from being ordered.
fn refused_by_policy<'a>(transaction: &SignedTransaction, outcome: &'a Outcome) -> Option<&'a Refusal> {
    let is_read = |operation: &Operation| matches!(operation, Operation::RecordRead { .. });
    match outcome {
        Outcome::Refused(refusal) if refusal.code == Code::NotPermitted => {
            (!transaction.operations().iter().all(is_read)).then_some(refusal)
        }
        _ => None,
    }
}

/// Goes on unless policies keep a transaction from being ordered, which would come to this in the partition as of this height.
///
/// # Errors
/// What they say.
pub(super) fn require_permitted(
    transaction: &SignedTransaction,
    outcome: Option<&Outcome>,
    height: u64,
) -> Result<(), PrivateError> {
    match outcome.and_then(|outcome| refused_by_policy(transaction, outcome)) {
        Some(refusal) => Err(PrivateError::NotPermitted { refusal: Box::new(refusal.clone()), height }),
        None => Ok(()),
    }
}
