//! The pool: transactions admitted and not yet final, bounded, and fair to those who wait.
//!
//! A leader reads from the pool and takes nothing out: a transaction leaves when it is final or has expired. So a proposal that
//! came to nothing loses nothing, and every validator can propose what any of them admitted.
//!
//! INVARIANT: what stands here was verified, and stands here once.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use tallystick_protocol::{
    Hash, VerifiedTransaction,
    limits::{BLOCK_BYTES_MAX, BLOCK_TRANSACTIONS_MAX, POOL_BYTES_MAX, POOL_TRANSACTIONS_MAX},
};

/// Share of the pool that one organisation may fill: a half, so that no one organisation can shut out the rest.
const ORGANISATION_SHARE: usize = 2;
/// Share of the pool that one principal may fill: an eighth.
const PRINCIPAL_SHARE: usize = 8;

/// Why a transaction was not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// The pool is full.
    #[error("this node has as many transactions waiting as it can hold: try again shortly, or another node")]
    Pool,
    /// The organisation fills its share.
    #[error("your organisation has as many transactions waiting as it may: try again when some are final")]
    Organisation,
    /// Its issuer used the idempotency key for another one that waits.
    #[error("transaction {0} waits under the same idempotency key")]
    Conflict(Hash),
    /// The principal fills its share.
    #[error("this principal has as many transactions waiting as it may: try again when some are final")]
    Principal,
}

/// How much of something waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Load {
    transactions: usize,
    bytes: usize,
}

impl Load {
    fn add(&mut self, bytes: usize) {
        self.transactions += 1;
        self.bytes += bytes;
    }

    fn remove(&mut self, bytes: usize) {
        self.transactions = self.transactions.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Whether one more of `bytes` stays within a `share`th of the pool.
    fn fits(self, bytes: usize, share: usize) -> bool {
        self.transactions < POOL_TRANSACTIONS_MAX / share && self.bytes + bytes <= POOL_BYTES_MAX / share
    }
}

#[derive(Default)]
struct Organisation {
    load: Load,
    principals: BTreeMap<String, (Load, VecDeque<VerifiedTransaction>)>,
}

/// Transactions waiting to be ordered.
#[derive(Default)]
pub struct Pool {
    load: Load,
    by_id: HashMap<Hash, VerifiedTransaction>,
    by_tag: HashMap<[u8; 16], Hash>,
    organisations: BTreeMap<String, Organisation>,
}

impl Pool {
    /// How many wait.
    pub fn len(&self) -> usize {
        self.load.transactions
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.load.transactions == 0
    }

    /// Bytes of all that wait.
    pub fn bytes(&self) -> usize {
        self.load.bytes
    }

    /// The waiting transaction of this id.
    pub fn get(&self, id: &Hash) -> Option<&VerifiedTransaction> {
        self.by_id.get(id)
    }

    /// The waiting transaction that used this issuer's idempotency key.
    pub fn tagged(&self, tag: &[u8; 16]) -> Option<Hash> {
        self.by_tag.get(tag).copied()
    }

    /// Takes a transaction in. One that waits already is left as it is.
    pub fn insert(&mut self, transaction: VerifiedTransaction) -> Result<(), Full> {
        if self.by_id.contains_key(&transaction.id()) {
            return Ok(());
        }
        if let Some(other) = self.by_tag.get(&transaction.replay_tag()) {
            return Err(Full::Conflict(*other));
        }
        let bytes = transaction.bytes().len();
        if !self.load.fits(bytes, 1) {
            return Err(Full::Pool);
        }
        let (organisation_id, principal_id) = (transaction.principal().organisation(), transaction.principal().name());
        let organisation = self.organisations.entry(organisation_id.to_owned()).or_default();
        if !organisation.load.fits(bytes, ORGANISATION_SHARE) {
            return Err(Full::Organisation);
        }
        let (load, queue) = organisation.principals.entry(principal_id.to_owned()).or_default();
        if !load.fits(bytes, PRINCIPAL_SHARE) {
            return Err(Full::Principal);
        }
        load.add(bytes);
        queue.push_back(transaction.clone());
        organisation.load.add(bytes);
        self.load.add(bytes);
        self.by_tag.insert(transaction.replay_tag(), transaction.id());
        self.by_id.insert(transaction.id(), transaction);
        Ok(())
    }

    /// Drops those that are final, and those for whom it is too late at `time_ms`. Returns the ids of the late ones.
    pub fn settle(&mut self, finalised: &[Hash], time_ms: u64) -> Vec<Hash> {
        let seconds = time_ms / 1000;
        let finalised: HashSet<&Hash> = finalised.iter().collect();
        let mut late = Vec::new();
        let (by_id, by_tag, total) = (&mut self.by_id, &mut self.by_tag, &mut self.load);
        self.organisations.retain(|_, organisation| {
            let load = &mut organisation.load;
            organisation.principals.retain(|_, (principal, queue)| {
                queue.retain(|transaction| {
                    let id = transaction.id();
                    let is_late = transaction.not_after() < seconds;
                    if !is_late && !finalised.contains(&id) {
                        return true;
                    }
                    if is_late && !finalised.contains(&id) {
                        late.push(id);
                    }
                    let bytes = transaction.bytes().len();
                    by_id.remove(&id);
                    by_tag.remove(&transaction.replay_tag());
                    principal.remove(bytes);
                    load.remove(bytes);
                    total.remove(bytes);
                    false
                });
                !queue.is_empty()
            });
            !organisation.principals.is_empty()
        });
        late
    }

    /// What a leader should order next: organisations in turn, and within one its principals in turn, oldest first, until a
    /// block is full. `turn` moves who is first; `fits` says what may stand in the block at all.
    pub fn select(&self, turn: u64, fits: impl Fn(&VerifiedTransaction) -> bool) -> Vec<VerifiedTransaction> {
        let mut lines: Vec<_> = self.organisations.values().map(|organisation| organisation.in_turn(&fits)).collect();
        if !lines.is_empty() {
            let first = usize::try_from(turn).unwrap_or(0) % lines.len();
            lines.rotate_left(first);
        }
        let (mut selected, mut bytes) = (Vec::new(), 0);
        while !lines.is_empty() {
            let mut full = false;
            lines.retain_mut(|line| {
                let Some(next) = line.next() else { return false };
                if full || selected.len() == BLOCK_TRANSACTIONS_MAX || bytes + next.bytes().len() > BLOCK_BYTES_MAX {
                    full = true;
                    return false;
                }
                bytes += next.bytes().len();
                selected.push(next.clone());
                true
            });
            if full {
                break;
            }
        }
        selected
    }

    /// Those of `all` that wait, for a block that names them.
    pub fn find(&self, all: &[Hash]) -> Vec<Option<VerifiedTransaction>> {
        all.iter().map(|id| self.by_id.get(id).cloned()).collect()
    }

    /// Up to `count` that have waited longest in their principal's line: sent again to peers that may have missed them.
    pub fn oldest(&self, count: usize) -> Vec<VerifiedTransaction> {
        self.organisations
            .values()
            .flat_map(|organisation| organisation.principals.values())
            .filter_map(|(_, queue)| queue.front().cloned())
            .take(count)
            .collect()
    }
}

impl Organisation {
    /// This organisation's transactions, one of each principal in turn.
    fn in_turn<'a>(
        &'a self,
        fits: &'a impl Fn(&VerifiedTransaction) -> bool,
    ) -> impl Iterator<Item = &'a VerifiedTransaction> {
        let mut queues: VecDeque<_> = self.principals.values().map(|(_, queue)| queue.iter()).collect();
        std::iter::from_fn(move || {
            while let Some(mut queue) = queues.pop_front() {
                let next = queue.find(|transaction| fits(transaction));
                if next.is_some() {
                    queues.push_back(queue);
                    return next;
                }
            }
            None
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;
    use tallystick_protocol::{Intent, NetworkId, Operation, Phase, PrincipalId, SigningKey};

    fn transaction(principal: &str, number: u64, not_after: u64) -> VerifiedTransaction {
        tagged(principal, number, not_after, "vineyard")
    }

    fn tagged(principal: &str, number: u64, not_after: u64, subject: &str) -> VerifiedTransaction {
        let (organisation, name) = principal.split_once('/').unwrap();
        Intent {
            not_after,
            idempotency_key: number.to_be_bytes().to_vec(),
            ..Intent::new(
                NetworkId([1; 16]),
                PrincipalId::new(organisation, name).unwrap(),
                subject,
                vec![Operation::RegisterPhase {
                    register: "vineyard".to_owned(),
                    phase: Phase::Closed,
                    successor: None,
                }],
            )
        }
        .sign(&SigningKey::from_ed25519_seed(&[7; 32]))
        .unwrap()
        .verify()
        .unwrap()
    }

    fn names(selected: &[VerifiedTransaction]) -> Vec<String> {
        selected.iter().map(|t| t.principal().to_string()).collect()
    }

    #[test]
    fn a_loud_principal_does_not_silence_the_others() {
        let mut pool = Pool::default();
        for number in 0..50 {
            pool.insert(transaction("hmrc/loud", number, 100)).unwrap();
        }
        pool.insert(transaction("hmrc/quiet", 50, 100)).unwrap();
        pool.insert(transaction("fsa/other", 51, 100)).unwrap();

        let first = names(&pool.select(0, |_| true)[..3]);
        assert_eq!(first, ["fsa/other", "hmrc/loud", "hmrc/quiet"], "organisations in turn, then their principals");
        let turned = names(&pool.select(1, |_| true)[..2]);
        assert_eq!(turned, ["hmrc/loud", "fsa/other"], "the next block begins with the next organisation");
    }

    #[test]
    fn selecting_takes_nothing_out_and_settling_does() {
        let mut pool = Pool::default();
        let (first, second) = (transaction("fsa/a", 1, 100), transaction("fsa/a", 2, 50));
        pool.insert(first.clone()).unwrap();
        pool.insert(second.clone()).unwrap();
        assert_eq!(pool.select(0, |_| true).len(), 2);
        assert_eq!(pool.select(0, |t| t.id() != first.id()), vec![second.clone()]);
        assert_eq!(pool.len(), 2);

        assert_eq!(pool.settle(&[first.id()], 60_000), [second.id()], "the late one is told, the final one is not");
        assert!(pool.is_empty());
        assert_eq!((pool.bytes(), pool.tagged(&first.replay_tag())), (0, None));
    }

    #[test]
    fn one_idempotency_key_has_one_transaction() {
        let mut pool = Pool::default();
        let first = transaction("fsa/a", 1, 100);
        pool.insert(first.clone()).unwrap();
        assert_eq!(pool.insert(first.clone()), Ok(()), "the same one again is no conflict");
        assert_eq!(pool.insert(tagged("fsa/a", 1, 100, "other")), Err(Full::Conflict(first.id())));
        assert_eq!(pool.len(), 1);
    }

    #[test]
    fn each_has_a_share_and_the_pool_an_end() {
        let mut pool = Pool::default();
        let share = POOL_TRANSACTIONS_MAX / PRINCIPAL_SHARE;
        for number in 0..share as u64 {
            pool.insert(transaction("fsa/a", number, 100)).unwrap();
        }
        assert_eq!(pool.insert(transaction("fsa/a", u64::MAX, 100)), Err(Full::Principal));
        assert_eq!(pool.insert(transaction("fsa/b", u64::MAX, 100)), Ok(()), "another principal still finds room");
    }
}
