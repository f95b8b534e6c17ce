//! Post what a node has to say by itself: signed by its own principal, again until it is final, and less and less often when it is refused.

use super::{Runtime, Service, TransactionState};
use crate::{application::now_ms, holder::Holder};
use tallystick_protocol::{Hash, Intent, Operation, Outcome};

/// Seconds after which what is not final, or was turned away by this node itself, is posted again.
pub(crate) const AGAIN_SECONDS: u64 = 30;
/// Seconds after which what was refused is, at the longest: the wait doubles each time.
const REFUSED_SECONDS: u64 = 86_400;

/// Something that was posted and is not settled.
#[derive(Debug, Default)]
pub(crate) struct Posted {
    /// Its transaction, until that is known to be refused.
    transaction: Option<Hash>,
    /// Until when it is not posted again, in Unix seconds.
    until_s: u64,
    /// How long is waited after another refusal.
    wait_s: u64,
    /// Why it is not taken, as it was last told.
    told: Option<String>,
}

impl Posted {
    /// Whether it matters still: it is on its way, or waits, or was refused, which is remembered for longer than it takes to come back to it.
    pub const fn matters(&self, now_s: u64) -> bool {
        let remembered_s = if self.wait_s > 0 { REFUSED_SECONDS } else { 0 };
        now_s <= self.until_s.saturating_add(remembered_s)
    }

    /// Whether it is on its way, as far as is known.
    pub const fn is_on_its_way(&self) -> bool {
        self.transaction.is_some()
    }

    /// Whether the ledger refused it, and it has not been posted again since.
    pub const fn is_refused(&self) -> bool {
        self.transaction.is_none() && self.wait_s > 0
    }

    /// Whether it is to be posted, now; if so, it is on its way until then.
    pub const fn begin(&mut self, now_s: u64, until_s: u64) -> bool {
        let is_due = now_s > self.until_s;
        if is_due {
            self.until_s = until_s;
        }
        is_due
    }

    /// The ledger refused it: each time it is, that is in the log for ever, so it waits twice as long as the last time.
    pub fn refused(&mut self, subject: &str, now_s: u64, why: String) {
        self.wait_s = self.wait_s.max(AGAIN_SECONDS).saturating_mul(2).min(REFUSED_SECONDS);
        self.put_off(subject, now_s.saturating_add(self.wait_s), why);
    }

    /// Waits, and says why, unless that was said.
    pub fn put_off(&mut self, subject: &str, until_s: u64, why: String) {
        (self.transaction, self.until_s) = (None, until_s);
        if self.told.as_ref() != Some(&why) {
            tracing::warn!(subject, "what this node says is not taken: {why}");
            self.told = Some(why);
        }
    }
}

impl<E: Runtime> Service<E> {
    /// Now, in Unix seconds: by the newest block, or this node's clock when that is ahead.
    pub(super) fn now_s(&self) -> u64 {
        self.tip().header.time_ms.max(now_ms(&self.0.runtime)) / 1_000
    }

    /// Posts an operation as the node's own principal, unless it is on its way or waits; whether it did.
    pub(super) async fn post(
        &self,
        holder: &Holder<E>,
        subject: String,
        operation: Operation,
        posted: &mut Posted,
    ) -> bool {
        let now_s = self.now_s();
        if let Some(transaction) = posted.transaction
            && let Some(TransactionState::Finalised(finalised)) = self.transaction(&transaction).await
            && let Outcome::Refused(refusal) = finalised.outcome
        {
            posted.refused(&subject, now_s, format!("{}: {}", refusal.code, refusal.code.advice()));
        }
        if now_s <= posted.until_s {
            return false;
        }
        let keys = holder.keys();
        let not_after = now_s + AGAIN_SECONDS;
        // What is ordered and what is said to be done may be of one subject, in one second.
        let name = operation.name();
        let Hash(key) = Hash::of(&[name.as_str().as_bytes(), &[0], subject.as_bytes(), &[0], &not_after.to_be_bytes()]);
        let intent = Intent {
            not_after,
            idempotency_key: key.into_iter().take(16).collect(),
            ..Intent::new(self.network(), keys.principal.clone(), subject.clone(), vec![operation])
        };
        match intent.sign(&keys.key) {
            Ok(transaction) => match self.submit(vec![transaction.bytes().clone()]).await.pop() {
                Some(Ok(id)) => (posted.transaction, posted.until_s) = (Some(id), not_after),
                Some(Err(rejection)) => posted.put_off(&subject, not_after, rejection.to_string()),
                None => {}
            },
            Err(error) => posted.put_off(&subject, not_after, error.to_string()),
        }
        posted.transaction.is_some()
    }
}
