//! Tell this organisation's people that what they read in a partition was wrong: with the next answer that they get there, whatever they ask.
//!
//! ```text
//! executed ─▶ a correction ─▶ reads of the wrong entry, found by the tags of their rows ─▶ owed ─▶ said with each answer to the reader
//!          └▶ who says that they know ─────────────────────────────────────────────────▶ owed no more
//! ```
//!
//! Nothing of it is kept on a disk: it follows from what is on record, and is put together anew when the node starts.

use super::{Parcels, Room, error::PrivateError, read::Told};
use crate::engine::Runtime;
use futures::future::{Either, select};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tallystick_protocol::{
    CorrectionRow, Operation, Outcome, ParcelId, Payload, PrincipalId, Query, SignedTransaction,
    limits::PRIVATE_NOTICES_MAX,
};
use tallystick_storage::partition::{Done, NumberedRow, PrivateBlock, record_tag};
use tokio::sync::mpsc;

/// Rows that are looked at before others may use the partition.
const ROWS: u64 = 32;
/// And for how long they may.
const PAUSE: Duration = Duration::from_millis(1);
/// Wait before all is looked at once more, when something could not be read or there was no room for it.
const AGAIN: Duration = Duration::from_secs(600);

/// That somebody must know of a correction.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Notice {
    reader: PrincipalId,
    register: String,
    key: String,
    /// The number of the entry that was wrong.
    corrects: u64,
    /// To whom the reader gave it.
    recipient: Option<String>,
}

/// The notices that wait in a partition for people of this organisation.
pub(super) struct Notices {
    /// Numbers of transactions that were executed, and that correct something or say that somebody knows.
    news: mpsc::UnboundedSender<u64>,
    owed: Mutex<BTreeSet<Notice>>,
}

/// How many notices wait for somebody in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The partition.
    pub partition: String,
    /// How many.
    pub count: usize,
}

/// How many notices wait in a partition for whoever asks, and for all people of their organisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owed {
    /// For whoever asks.
    pub own: usize,
    /// For all.
    pub organisation: usize,
}

impl Notices {
    /// None yet; with where it is heard what is executed.
    pub fn new() -> (Self, mpsc::UnboundedReceiver<u64>) {
        let (news, heard) = mpsc::unbounded_channel();
        (Self { news, owed: Mutex::default() }, heard)
    }

    fn owed(&self) -> MutexGuard<'_, BTreeSet<Notice>> {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many wait for a reader.
    fn of(&self, reader: &PrincipalId) -> usize {
        let owed = self.owed();
        if owed.is_empty() {
            return 0;
        }
        let (register, key) = (String::new(), String::new());
        let first = Notice { reader: reader.clone(), register, key, corrects: 0, recipient: None };
        owed.range(first..).take_while(|notice| notice.reader == *reader).count()
    }

    /// Takes note of what was executed: what somebody says that they know of waits no more, and of corrections it is looked up who read what was
    /// wrong.
    pub fn note(&self, block: &PrivateBlock, done: &[Done]) {
        let transactions = block.payloads.iter().flat_map(|placed| placed.opened.transactions());
        for (transaction, Done { number, outcome, .. }) in transactions.zip(done) {
            let Ok(transaction) = transaction else { continue };
            if !outcome.is_accepted() || !transaction.operations().iter().any(is_news) {
                continue;
            }
            let known = transaction.operations().iter().filter_map(known);
            for notice in known {
                self.owed().remove(&notice);
            }
            // Who hears it ends with the node.
            let _ = self.news.send(*number);
        }
    }
}

const fn is_news(operation: &Operation) -> bool {
    matches!(operation, Operation::RecordCorrect { .. } | Operation::NoticeAcknowledge { .. })
}

/// The notice of which an operation says that it is known.
fn known(operation: &Operation) -> Option<Notice> {
    let Operation::NoticeAcknowledge { register, key, corrects, reader, recipient } = operation else { return None };
    Some(Notice {
        reader: reader.clone(),
        register: register.clone(),
        key: key.clone(),
        corrects: *corrects,
        recipient: recipient.clone(),
    })
}

/// An entry that was wrong.
struct Wrong {
    register: String,
    key: String,
    corrects: u64,
    /// The number of the transaction that corrects it.
    by: u64,
    /// The height of the block that brought it.
    since: u64,
}

/// What was found among a partition's transactions, from the latest back.
struct Search<'a> {
    own: &'a str,
    /// By the tags of their records.
    wrong: BTreeMap<u32, Vec<Wrong>>,
    known: BTreeSet<Notice>,
    owed: BTreeSet<Notice>,
    /// Whether all was read, and had room.
    is_whole: bool,
}

impl<'a> Search<'a> {
    const fn new(own: &'a str) -> Self {
        Self { own, wrong: BTreeMap::new(), known: BTreeSet::new(), owed: BTreeSet::new(), is_whole: true }
    }

    /// Whether the transaction of a row must be read: it may correct something, say that somebody knows, or read what was wrong.
    fn needs(&self, row: &NumberedRow) -> bool {
        let is_accepted = row.told.as_ref().is_some_and(Outcome::is_accepted);
        let may_be = |tags: &Vec<u32>| tags.iter().any(|tag| self.wrong.contains_key(tag));
        is_accepted && row.reads.as_ref().is_none_or(may_be)
    }

    /// Takes what an accepted transaction says, and which entries it corrects, each with the height of the block that brought it.
    fn take(
        &mut self,
        (number, height): (u64, u64),
        transaction: &SignedTransaction,
        corrections: Vec<(CorrectionRow, u64)>,
    ) {
        for operation in transaction.operations() {
            self.known.extend(known(operation).filter(|notice| notice.reader.organisation() == self.own));
            let Operation::RecordRead { register, key, recipient, .. } = operation else { continue };
            if transaction.principal().organisation() != self.own {
                continue;
            }
            for wrong in self.wrong.get(&record_tag(register, key)).into_iter().flatten() {
                // What is read is read as it is after the block.
                let was_wrong = number < wrong.by && height >= wrong.since;
                if !was_wrong || (register, key) != (&wrong.register, &wrong.key) {
                    continue;
                }
                let notice = Notice {
                    reader: transaction.principal().clone(),
                    register: register.clone(),
                    key: key.clone(),
                    corrects: wrong.corrects,
                    recipient: recipient.as_ref().map(|to| to.name.clone()),
                };
                if self.known.contains(&notice) || self.owed.contains(&notice) {
                    continue;
                }
                self.is_whole &= self.owed.len() < PRIVATE_NOTICES_MAX;
                if self.owed.len() < PRIVATE_NOTICES_MAX {
                    self.owed.insert(notice);
                }
            }
        }
        for (CorrectionRow { register, key, corrects, .. }, since) in corrections {
            let tag = record_tag(&register, &key);
            self.wrong.entry(tag).or_default().push(Wrong { register, key, corrects, by: number, since });
        }
    }

    /// The height below which nobody can have read what was wrong.
    fn since(&self) -> u64 {
        self.wrong.values().flatten().map(|wrong| wrong.since).min().unwrap_or(u64::MAX)
    }
}

impl<E: Runtime> Room<E> {
    /// The marks of the entries that the transaction of a number corrects, each with the height of the block that brought it.
    async fn wrong(&self, number: u64, transaction: &SignedTransaction) -> Vec<(CorrectionRow, u64)> {
        let corrections = self.corrections(number, transaction).await.into_iter();
        corrections.map(|(mark, since, _)| (mark, since.map_or(0, |row| row.height))).collect()
    }

    /// How many notices wait for somebody of this organisation; none is said where there are none.
    pub(super) fn waiting_for(&self, reader: &PrincipalId) -> Option<Waiting> {
        let count = self.notices.of(reader);
        (count > 0).then(|| Waiting { partition: self.name.clone(), count })
    }
}

impl<E: Runtime> Parcels<E> {
    /// How many notices wait in a partition for somebody of this node's organisation; none is said where there are none.
    pub fn waiting_for(&self, partition: &str, reader: &PrincipalId) -> Option<Waiting> {
        self.room(partition)?.waiting_for(reader)
    }

    /// How many notices wait in a partition for whoever asks, and for all people of their organisation.
    ///
    /// # Errors
    /// As [`Parcels::registers`].
    pub async fn owed(&self, partition: &str, (query, path): (&Query, &str)) -> Result<Told<Owed>, PrivateError> {
        let room = self.asked_by_own(partition, query, path).await?;
        let value = Owed { own: room.notices.of(&query.principal), organisation: room.notices.owed().len() };
        Ok(Told { height: room.standing().height, value })
    }

    /// Finds whom corrections concern, those of before this node began and those that come, for as long as it runs.
    pub(super) async fn notify(self, runtime: E, room: Arc<Room<E>>, mut news: mpsc::UnboundedReceiver<u64>) {
        loop {
            // What is executed meanwhile is among the news.
            let executed = room.partition.lock().await.position().executed;
            let mut is_whole = self.find_all(&runtime, &room, executed).await;
            let mut again = Box::pin(runtime.sleep(AGAIN));
            loop {
                let heard = std::pin::pin!(news.recv());
                match select(heard, again.as_mut()).await {
                    Either::Left((Some(number), _)) if number < executed => {}
                    Either::Left((Some(number), _)) => is_whole &= self.find_one(&runtime, &room, number).await,
                    Either::Left((None, _)) => return,
                    Either::Right(_) if !is_whole => break,
                    Either::Right(_) => again = Box::pin(runtime.sleep(AGAIN)),
                }
            }
        }
    }

    /// Looks through all that was executed before this number; says whether all could be read, and had room.
    async fn find_all(&self, runtime: &E, room: &Room<E>, executed: u64) -> bool {
        let mut search = Search::new(self.0.holder.principal.organisation());
        self.search(runtime, room, (&mut search, executed, false)).await;
        let Search { owed, is_whole, .. } = search;
        tell_of(room, owed.len());
        *room.notices.owed() = owed;
        is_whole
    }

    /// The same of one transaction that was executed: who read what it corrects, or whom it says to know.
    async fn find_one(&self, runtime: &E, room: &Room<E>, number: u64) -> bool {
        let Some(row) = room.partition.lock().await.numbered(number).await else { return true };
        let Ok(transaction) = self.next_transaction(room, &row, &mut None).await else { return false };
        let mut search = Search::new(self.0.holder.principal.organisation());
        search.take((number, row.height), &transaction, room.wrong(number, &transaction).await);
        if !search.wrong.is_empty() {
            self.search(runtime, room, (&mut search, number, true)).await;
        }
        tell_of(room, search.owed.len());
        let mut owed = room.notices.owed();
        owed.extend(search.owed);
        owed.retain(|notice| !search.known.contains(notice));
        search.is_whole && owed.len() <= PRIVATE_NOTICES_MAX
    }

    /// Goes back from before a number to the first; or, for what is wrong `alone`, to where nobody can have read it.
    async fn search(&self, runtime: &E, room: &Room<E>, (search, before, alone): (&mut Search<'_>, u64, bool)) {
        let (mut end, mut last): (u64, Option<(ParcelId, Payload)>) = (before, None);
        while end > 0 {
            let begin = end.saturating_sub(ROWS);
            let mut rows = Vec::new();
            {
                let partition = room.partition.lock().await;
                for number in (begin..end).rev() {
                    rows.extend(partition.numbered(number).await.map(|row| (number, row)));
                }
            }
            for (number, row) in rows {
                if alone && row.height < search.since() {
                    return;
                }
                if !search.needs(&row) {
                    continue;
                }
                let Ok(transaction) = self.next_transaction(room, &row, &mut last).await else {
                    search.is_whole = false;
                    continue;
                };
                let wrong = if alone { Vec::new() } else { room.wrong(number, &transaction).await };
                search.take((number, row.height), &transaction, wrong);
            }
            end = begin;
            runtime.sleep(PAUSE).await;
        }
    }
}

/// Says in the log that notices wait: not whose, nor of what.
fn tell_of<E: Runtime>(room: &Room<E>, notices: usize) {
    if notices > 0 {
        tracing::warn!(
            partition = room.name,
            notices,
            "people of this organisation read what is corrected now: `tally notice list --partition … --open` says who must know"
        );
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tallystick_protocol::{Code, Decision, Hash, Intent, NetworkId, OrderedParcel, Recipient, SigningKey, Subject};

    const KEY: &str = "c-1";

    fn signed(who: &str, operations: Vec<Operation>) -> SignedTransaction {
        let intent = Intent {
            idempotency_key: vec![1; 16],
            ..Intent::new(NetworkId([1; 16]), who.parse().unwrap(), "Test", operations)
        };
        intent.sign(&SigningKey::from_ed25519_seed(&[7; 32])).unwrap()
    }

    fn read(key: &str, recipient: Option<&str>) -> Operation {
        Operation::RecordRead {
            register: "child".to_owned(),
            key: key.to_owned(),
            fields: vec!["name".to_owned()],
            subjects: vec![Subject::new("child", key).unwrap()],
            purpose: "care".to_owned(),
            legal_basis: "care".to_owned(),
            recipient: recipient.map(|name| Recipient { name: name.to_owned(), jurisdiction: None }),
            node: "a/vault".parse().unwrap(),
        }
    }

    fn knows(reader: &str, recipient: Option<&str>) -> Operation {
        Operation::NoticeAcknowledge {
            register: "child".to_owned(),
            key: KEY.to_owned(),
            corrects: 1,
            reader: reader.parse().unwrap(),
            recipient: recipient.map(str::to_owned),
        }
    }

    fn mark() -> CorrectionRow {
        CorrectionRow {
            register: "child".to_owned(),
            key: KEY.to_owned(),
            corrects: 1,
            entry: 2,
            reason: "Misspelt".to_owned(),
            authority: "The patient".to_owned(),
            legal_basis: "UK GDPR Article 16".to_owned(),
            principal: "b/clerk".parse().unwrap(),
            leaf: 8,
            time_ms: 13,
            since: 3,
        }
    }

    /// Entry 1 came with number 3, in block 10, and was corrected by number 8, in block 13. From the latest back.
    #[test]
    fn own_people_who_read_what_was_wrong_are_found_until_they_know() {
        let mut search = Search::new("a");
        let mut take = |number, height, who: &str, operation: Operation| {
            let wrong = if number == 8 { vec![(mark(), 10)] } else { Vec::new() };
            search.take((number, height), &signed(who, vec![operation]), wrong);
        };
        take(10, 14, "a/admin", knows("a/told", None));
        take(9, 13, "a/late", read(KEY, None));
        take(8, 13, "b/clerk", read("c-2", None));
        take(7, 12, "a/clerk", read(KEY, Some("A court")));
        take(6, 12, "a/clerk", read(KEY, None));
        take(5, 12, "a/told", read(KEY, None));
        take(4, 11, "a/other", read("c-2", None));
        take(4, 11, "b/nurse", read(KEY, None));
        // What is read in the block that brought it is read as it is after that.
        take(2, 10, "a/same", read(KEY, None));
        take(1, 9, "a/early", read(KEY, None));
        let owed: Vec<_> = search.owed.iter().map(|one| (one.reader.as_str(), one.recipient.as_deref())).collect();
        assert_eq!(owed, [("a/clerk", None), ("a/clerk", Some("A court")), ("a/same", None)]);
        assert!(search.is_whole && search.since() == 10);
        let (notices, _heard) = Notices::new();
        *notices.owed() = search.owed;
        let counted = ["a/clerk", "a/same", "a/told", "a/b"].map(|who| notices.of(&who.parse().unwrap()));
        assert_eq!(counted, [2, 1, 0, 0]);
    }

    #[test]
    fn of_reads_those_alone_are_opened_that_may_be_of_what_was_wrong() {
        let refused = Outcome::refused(Code::NotPermitted, 0);
        let accepted = || Some(Outcome::Accepted { appended: Vec::new(), decision: Decision::default() });
        let row = |told, reads: Option<&[&str]>| NumberedRow {
            parcel: OrderedParcel { id: ParcelId([1; 32]), class: 0 },
            transaction: Hash::default(),
            height: 9,
            time_ms: 9,
            told,
            place: 0,
            reads: reads.map(|keys| keys.iter().map(|key| record_tag("child", key)).collect()),
        };
        let mut search = Search::new("a");
        let of_it: Option<&[&str]> = Some(&["c-2", KEY]);
        assert!(!search.needs(&row(accepted(), of_it)), "nothing was wrong");
        assert!(search.needs(&row(accepted(), None)), "it may correct");
        assert!(!search.needs(&row(None, None)), "an entry");
        search.take((8, 13), &signed("b/clerk", vec![read("c-2", None)]), vec![(mark(), 10)]);
        assert!(search.needs(&row(accepted(), of_it)));
        assert!(!search.needs(&row(accepted(), Some(&["c-2"]))));
        assert!(!search.needs(&row(Some(refused), of_it)));
    }
}
