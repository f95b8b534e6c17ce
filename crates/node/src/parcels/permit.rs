//! Look at what policies say before anything is ordered: who orders does, and who acknowledges. It is what they say of the partition as far as
//! this node has executed it; what counts is what they say when it is executed, in its place in the order.
//!
//! INVARIANT: a read is ordered whatever they say: who tried to is to be on record.

use super::{Parcels, Room, error::PrivateError, message::Reason, order::Submission, read::reads};
use crate::engine::Runtime;
use std::{sync::Arc, time::Duration};
use tallystick_protocol::{Code, Outcome, Refusal, SignedTransaction, VerifiedTransaction};
use tallystick_storage::partition::{Placed, PrivateBlock};

/// Times that policies are looked at before it is said that they do not permit something: what lets it be may be on its way.
const LOOKS: u32 = 4;
/// Wait between two looks.
const APART: Duration = Duration::from_millis(300);

impl<E: Runtime> Parcels<E> {
    /// Gathers again, a little later, what policies did not permit; or answers it so, once that was often enough.
    pub(super) fn look_again(&self, room: &Arc<Room<E>>, mut one: Submission, error: PrivateError) {
        one.looks += 1;
        if one.looks >= LOOKS {
            let by = one.transaction.principal();
            let asks: Vec<&str> = one.transaction.operations().iter().map(|asked| asked.name().as_str()).collect();
            tracing::warn!(partition = room.name, %by, asks = asks.join(" "), "did not order what policies do not permit");
            let _ = one.answer.send(Err(error));
            return;
        }
        let room = room.clone();
        self.0.runtime.child("look_again").spawn(move |runtime| async move {
            runtime.sleep(APART).await;
            room.gather_again(one);
        });
    }

    /// Goes on if policies permit what others ask this node to acknowledge; looked at some times, for this node may be behind.
    pub(super) async fn permitted(&self, runtime: &E, room: &Room<E>, payloads: Vec<Placed>) -> Result<(), Reason> {
        let mut looks = 0;
        let tip = self.0.shared.chain.tip();
        let (height, time_ms) = (tip.header.height, tip.header.time_ms);
        let mut block = PrivateBlock { height, time_ms, location: 0, payloads };
        loop {
            let outcomes = {
                let partition = room.partition.lock().await;
                block.height = block.height.max(partition.position().height + 1);
                partition.rehearse(&block).await
            };
            let transactions = block.payloads.iter().flat_map(|placed| placed.opened.transactions());
            let is_permitted = |(one, outcome): (&Result<VerifiedTransaction, Code>, &Outcome)| match one {
                Ok(transaction) => refused_by_policy(transaction, outcome).is_none(),
                Err(_) => true,
            };
            if transactions.zip(&outcomes).all(is_permitted) {
                return Ok(());
            }
            looks += 1;
            if looks >= LOOKS {
                return Err(Reason::Policy);
            }
            runtime.sleep(APART).await;
        }
    }
}

/// What policies say against a transaction that would come to this, if that keeps it from being ordered.
fn refused_by_policy<'a>(transaction: &SignedTransaction, outcome: &'a Outcome) -> Option<&'a Refusal> {
    match outcome {
        Outcome::Refused(refusal) if refusal.code == Code::NotPermitted && !reads(transaction) => Some(refusal),
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
