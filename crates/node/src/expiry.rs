//! Warn before keys, authorities and revocation lists of the node's own organisation end: in its answers, its metrics and its log.
//!
//! INVARIANT: an end stops nothing here: whoever asks is told, and that is all.

use crate::{application::Shared, engine::Runtime};
use futures::future::{Either, select};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tallystick_api::ExpiryView;
use tallystick_ledger::{
    KeyRow,
    expiry::{Ending, EndingKind, Subject, subjects},
};
use tallystick_protocol::{
    Genesis, LogEntry, SignedTransaction, StateKey,
    limits::{EXPIRIES_TOLD_MAX, EXPIRIES_WATCHED_MAX, EXPIRY_WARNING_DAYS},
};
use tallystick_storage::read::{ReadError, Reader};
use tokio::sync::Notify;

/// Pause between two looks: nobody needs to know sooner of an end that is days away.
const LOOK_PAUSE: Duration = Duration::from_secs(60);
/// Places of the log read at a time, for the same reason as rows.
const LOG_PLACES_READ: u64 = 4_096;
/// Pause before a look at what was just certified: others may be certified beside it.
const NOTED_PAUSE: Duration = Duration::from_secs(2);
/// Rows read at a time, so that blocks need not wait for a look.
const ROWS_READ: usize = 256;
const DAY_MS: u64 = 86_400_000;

/// What the node watches, and what it found.
#[derive(Default)]
pub struct Expiries {
    watch: Mutex<Watch>,
    /// Told when there is something new to look at.
    noted: Notify,
}

#[derive(Default)]
struct Watch {
    /// Whose ends are watched; nobody's by a node without one.
    organisation: Option<String>,
    subjects: BTreeSet<Subject>,
    found: Arc<Vec<Ending>>,
}

impl Expiries {
    /// Says whose ends are watched, before the log is read.
    pub fn watch(&self, organisation: Option<String>) {
        self.lock().organisation = organisation;
    }

    /// Whose ends are watched: the node's own organisation, if it has one.
    pub fn organisation(&self) -> Option<String> {
        self.lock().organisation.clone()
    }

    /// Whether somebody's ends are watched.
    fn is_watching(&self) -> bool {
        self.lock().organisation.is_some()
    }

    /// Notes what an accepted transaction speaks of.
    pub fn note(&self, entry: &LogEntry, transaction: &SignedTransaction) {
        let mut watch = self.lock();
        let Some(organisation) = watch.organisation.as_deref() else { return };
        if !entry.outcome.is_accepted() {
            return;
        }
        for subject in subjects(transaction, organisation) {
            if watch.subjects.len() >= EXPIRIES_WATCHED_MAX {
                return;
            }
            watch.subjects.insert(subject);
            self.noted.notify_one();
        }
    }

    /// What ends within the longest warning of `now_ms`, or has ended, the nearest first.
    pub fn told(&self, now_ms: u64) -> Vec<ExpiryView> {
        let found = self.lock().found.clone();
        found.iter().filter_map(|ending| view(ending, now_ms)).take(EXPIRIES_TOLD_MAX).collect()
    }

    /// How many end within each of the warnings, and how many have ended.
    pub fn counts(&self, now_ms: u64) -> ([u64; EXPIRY_WARNING_DAYS.len()], u64) {
        let found = self.lock().found.clone();
        let within = |days: u64| found.iter().filter(|ending| ends_within(ending, now_ms, days)).count() as u64;
        (EXPIRY_WARNING_DAYS.map(within), within(0))
    }

    fn lock(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The organisation whose validator `me` is, as the state says, or as the genesis does before the state stands.
pub async fn organisation<E: Runtime>(reader: &Reader<E>, genesis: &Genesis, me: &[u8; 32]) -> Option<String> {
    let key = StateKey::key(&tallystick_protocol::PublicKey::Ed25519(*me));
    let row = reader.rows(&[key]).await.ok().and_then(|mut rows| rows.rows.pop()?);
    // One that a proposal keeps is nobody's yet, and may never be.
    let row = row.and_then(|row| KeyRow::decode(&row).ok()).filter(|row| row.proposals.is_empty());
    let holder = row.map(|row| row.holder);
    holder.or_else(|| Some(genesis.validators.iter().find(|validator| validator.key == *me)?.organisation.clone()))
}

/// Looks again and again, once the chain is ready. `me` is the node's key, which the ledger may come to know while it runs.
pub async fn look<E: Runtime>(runtime: E, shared: Arc<Shared>, reader: Reader<E>, me: [u8; 32]) {
    shared.chain.ready().await;
    let mut said = BTreeSet::new();
    loop {
        let expiries = shared.chain.expiries();
        if !expiries.is_watching()
            && let Some(organisation) = organisation(&reader, shared.chain.genesis(), &me).await
        {
            expiries.watch(Some(organisation));
            read_log(&reader, expiries).await;
        }
        // A look that fails leaves what was found: the disk's failure is told elsewhere.
        if let Ok(found) = find(&reader, expiries).await {
            expiries.lock().found = Arc::new(found);
        }
        let now_ms = crate::application::now_ms(&runtime);
        for expiry in expiries.told(now_ms) {
            if said.insert((expiry.id.clone(), expiry.until_ms, expiry.within_days)) {
                tracing::warn!(until_ms = expiry.until_ms, "{}", expiry.sentence(now_ms));
            }
        }
        // What is no longer told need not be remembered.
        let told = expiries.told(now_ms);
        said.retain(|(id, until_ms, _)| told.iter().any(|expiry| expiry.id == *id && expiry.until_ms == *until_ms));
        let pause = std::pin::pin!(runtime.sleep(LOOK_PAUSE));
        if let Either::Right(_) = select(pause, std::pin::pin!(expiries.noted.notified())).await {
            runtime.sleep(NOTED_PAUSE).await;
        }
    }
}

/// Notes what the log holds so far. What is applied meanwhile is noted by the chain.
async fn read_log<E: Runtime>(reader: &Reader<E>, expiries: &Expiries) {
    let note = |entries: &[LogEntry]| {
        for entry in entries {
            if let Ok(transaction) = SignedTransaction::decode(entry.transaction.clone()) {
                expiries.note(entry, &transaction);
            }
        }
    };
    let mut location = 1; // Location 0 is the empty database's own commit.
    // A read that fails leaves what was noted: the disk's failure is told elsewhere.
    while let Ok((next, false)) = reader.scan(location, LOG_PLACES_READ, note, |_| true).await {
        location = next;
    }
}

async fn find<E: Runtime>(reader: &Reader<E>, expiries: &Expiries) -> Result<Vec<Ending>, ReadError> {
    let subjects: Vec<Subject> = expiries.lock().subjects.iter().cloned().collect();
    let mut found = Vec::new();
    for some in subjects.chunks(ROWS_READ) {
        let keys: Vec<StateKey> = some.iter().map(Subject::row).collect();
        let rows = reader.rows(&keys).await?.rows;
        for (subject, row) in some.iter().zip(rows) {
            found.extend(row.map(|row| subject.endings(&row)).unwrap_or_default());
        }
    }
    found.sort();
    Ok(found)
}

fn ends_within(ending: &Ending, now_ms: u64, days: u64) -> bool {
    ending.until_ms <= now_ms.saturating_add(days.saturating_mul(DAY_MS))
}

/// What is told of an end; `None` while no warning is due.
fn view(ending: &Ending, now_ms: u64) -> Option<ExpiryView> {
    let due = |days: &u64| ends_within(ending, now_ms, *days);
    let within_days = if due(&0) { 0 } else { EXPIRY_WARNING_DAYS.into_iter().filter(due).min()? };
    let (what, remedy) = match ending.kind {
        EndingKind::Key => (
            "key",
            "have a new certificate issued for it, and tell the ledger with `tally key certify`, signed by the key itself",
        ),
        EndingKind::Authority => (
            "authority",
            "admit its successor with `tally ca admit`, and certify the keys anew with `tally key certify`",
        ),
        EndingKind::List => ("revocation-list", "post the issuer's next one with `tally ca revoke`"),
    };
    Some(ExpiryView {
        what: what.to_owned(),
        of: ending.of.clone(),
        id: ending.id.clone(),
        until_ms: ending.until_ms,
        within_days,
        remedy: remedy.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const NOW_MS: u64 = 1_800_000_000_000;

    fn ending(left_ms: i64) -> Ending {
        let until_ms = NOW_MS.saturating_add_signed(left_ms);
        Ending { until_ms, kind: EndingKind::Key, of: "fsa/clerk".into(), id: format!("{left_ms}") }
    }

    #[test]
    fn warnings_come_at_90_30_and_7_days_and_at_the_end() {
        let day = DAY_MS as i64;
        for (left_ms, within_days) in [
            (90 * day + 1, None),
            (90 * day, Some(90)),
            (30 * day + 1, Some(90)),
            (30 * day, Some(30)),
            (7 * day + 1, Some(30)),
            (7 * day, Some(7)),
            (1, Some(7)),
            (0, Some(0)),
            (-day, Some(0)),
        ] {
            assert_eq!(view(&ending(left_ms), NOW_MS).map(|view| view.within_days), within_days, "{left_ms} ms before");
        }
        let expiries = Expiries::default();
        expiries.lock().found = Arc::new([-1, day, 20 * day, 80 * day, 100 * day].map(ending).to_vec());
        assert_eq!(expiries.counts(NOW_MS), ([4, 3, 2], 1));
        let told = expiries.told(NOW_MS);
        assert_eq!(told.iter().map(|expiry| expiry.within_days).collect::<Vec<_>>(), [0, 7, 30, 90]);
        assert!(told.first().unwrap().sentence(NOW_MS).contains("has ended: have a new certificate issued"));
        assert!(told.get(1).unwrap().sentence(NOW_MS).contains("ends in 24 hours"));
        assert!(told.get(2).unwrap().sentence(NOW_MS).contains("ends in 20 days"));
        let of = |left_ms| view(&ending(left_ms), NOW_MS).unwrap().sentence(NOW_MS);
        assert!(of(3_600_000).contains("ends in 60 minutes") && of(35_000).contains("ends within a minute"));
    }

    #[test]
    fn what_is_told_is_bounded() {
        let expiries = Expiries::default();
        expiries.lock().found = Arc::new((0..1_000).map(ending).collect());
        assert_eq!(expiries.told(NOW_MS).len(), EXPIRIES_TOLD_MAX);
        assert_eq!(expiries.counts(NOW_MS).0, [1_000; 3]);
    }
}
