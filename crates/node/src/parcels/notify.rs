//! Tell this organisation's people that what they read in a partition was wrong: with the next answer that they get there, whatever they ask.
//!
//! ```text
//! executed ─▶ corrections ─▶ reads of the wrong entries, found by the tags of their rows ─▶ owed ─▶ said with each answer to the reader
//!          └▶ who says that they know ────────────────────────────────────────────────────▶ owed no more
//! ```
//!
//! Nothing of it is kept on a disk: it follows from what is on record, and is put together anew when the node starts.
//!
//! INVARIANT: what is said of how many notices wait says whether all that was executed is looked through.

use super::{Parcels, Room, error::PrivateError, read::Told};
use crate::engine::Runtime;
use futures::future::{Either, select};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tallystick_protocol::{
    CorrectionRow, Operation, ParcelId, Payload, PrincipalId, Query, SignedTransaction,
    limits::{PRIVATE_NOTICES_MAX, PRIVATE_NOTICES_PER_READER_MAX},
};
use tallystick_storage::partition::{Done, NumberedRow, PrivateBlock, record_tag};
use tokio::sync::mpsc;

/// Rows that are looked at before others may use the partition.
const ROWS: u64 = 32;
/// And for how long they may.
const PAUSE: Duration = Duration::from_millis(1);
/// Wait before it is looked again whether a partition is executed as far as it is ordered.
const BEHIND: Duration = Duration::from_millis(200);
/// Wait before all is looked through once more, when something could not be read or there was no room for it: at first, and at most.
const AGAIN: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(3_600)];
/// The same at most after something was corrected, or somebody said that they know: there may be room now.
const SOON: Duration = Duration::from_secs(30);

/// An entry that was wrong, and of which somebody must know that.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Notice {
    register: String,
    key: String,
    /// The entry's number.
    corrects: u64,
    /// To whom the reader gave it.
    recipient: Option<String>,
}

/// Notices by who must know.
#[derive(Debug, Default)]
struct Owed {
    by_reader: BTreeMap<PrincipalId, BTreeSet<Notice>>,
    count: usize,
}

impl Owed {
    /// Adds one; says whether there was room for it.
    fn insert(&mut self, reader: &PrincipalId, notice: Notice) -> bool {
        let of = self.by_reader.entry(reader.clone()).or_default();
        if of.contains(&notice) {
            return true;
        }
        let has_room = of.len() < PRIVATE_NOTICES_PER_READER_MAX && self.count < PRIVATE_NOTICES_MAX;
        if has_room {
            of.insert(notice);
            self.count += 1;
        }
        has_room
    }

    fn remove(&mut self, reader: &PrincipalId, notice: &Notice) {
        if let Some(of) = self.by_reader.get_mut(reader)
            && of.remove(notice)
        {
            self.count -= 1;
        }
    }

    fn of(&self, reader: &PrincipalId) -> usize {
        self.by_reader.get(reader).map_or(0, BTreeSet::len)
    }
}

/// The notices that wait in a partition for people of this organisation.
pub(super) struct Notices {
    /// Numbers of transactions that were executed, and that correct something or say that somebody knows.
    news: mpsc::UnboundedSender<u64>,
    owed: Mutex<Owed>,
    /// Whether all that was executed but the news was looked through, and could be read, and had room.
    is_whole: AtomicBool,
    /// News that were not looked at yet.
    pending: AtomicUsize,
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
pub struct WaitingForAll {
    /// For whoever asks.
    pub own: usize,
    /// For all.
    pub organisation: usize,
    /// Whether these are all: else there may be more.
    pub is_whole: bool,
}

impl Notices {
    /// None yet; with where it is heard what is executed.
    pub fn new() -> (Self, mpsc::UnboundedReceiver<u64>) {
        let (news, heard) = mpsc::unbounded_channel();
        let (is_whole, pending) = (AtomicBool::new(false), AtomicUsize::new(0));
        (Self { news, owed: Mutex::default(), is_whole, pending }, heard)
    }

    /// Whether there are no others than those that are known.
    fn is_whole(&self) -> bool {
        self.is_whole.load(Ordering::Acquire) && self.pending.load(Ordering::Acquire) == 0
    }

    fn owed(&self) -> MutexGuard<'_, Owed> {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
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
            for (reader, notice) in transaction.operations().iter().filter_map(known) {
                self.owed().remove(reader, &notice);
            }
            self.pending.fetch_add(1, Ordering::AcqRel);
            // Who hears it ends with the node.
            let _ = self.news.send(*number);
        }
    }
}

const fn is_news(operation: &Operation) -> bool {
    matches!(operation, Operation::RecordCorrect { .. } | Operation::NoticeAcknowledge { .. })
}

/// The notice of which an operation says that its reader knows.
fn known(operation: &Operation) -> Option<(&PrincipalId, Notice)> {
    let Operation::NoticeAcknowledge { register, key, corrects, reader, recipient } = operation else { return None };
    let (register, key, recipient) = (register.clone(), key.clone(), recipient.clone());
    Some((reader, Notice { register, key, corrects: *corrects, recipient }))
}

/// An entry that was wrong.
struct Wrong {
    register: String,
    key: String,
    corrects: u64,
    /// The height of the block that brought it.
    since: u64,
    /// The height of the block that corrects it.
    until: u64,
}

/// What is looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum For {
    /// Whatever corrects, and who read what it corrects.
    All,
    /// Who read what is known to be wrong.
    Readers,
}

/// What is found among a partition's transactions, from the latest back.
struct Search<'a> {
    own: &'a str,
    /// By the tags of their records.
    wrong: BTreeMap<u32, Vec<Wrong>>,
    /// Their tags, by since when they are.
    since: BTreeMap<u64, Vec<u32>>,
    /// And who knows.
    known: BTreeMap<Notice, BTreeSet<PrincipalId>>,
    owed: Owed,
    /// Whether all was read, and had room.
    is_whole: bool,
}

impl<'a> Search<'a> {
    fn new(own: &'a str) -> Self {
        Self {
            own,
            wrong: BTreeMap::new(),
            since: BTreeMap::new(),
            known: BTreeMap::new(),
            owed: Owed::default(),
            is_whole: true,
        }
    }

    /// Whether the transaction of a row must be read: it may have read what was wrong; or it corrects, or says that somebody knows, where that is
    /// looked for.
    fn needs(&self, row: &NumberedRow, looks: For) -> bool {
        row.told.as_ref().is_some_and(|told| {
            let is_it =
                (looks == For::All && told.corrects) || told.reads.iter().any(|tag| self.wrong.contains_key(tag));
            is_it && told.outcome.is_accepted()
        })
    }

    /// Takes what an accepted transaction says that a block of this height ordered, and which entries it corrects, each with the height of the
    /// block that brought it.
    fn take(&mut self, height: u64, transaction: &SignedTransaction, corrections: Vec<(CorrectionRow, u64)>) {
        for operation in transaction.operations() {
            if let Some((reader, notice)) = known(operation).filter(|(reader, _)| reader.organisation() == self.own) {
                self.known.entry(notice).or_default().insert(reader.clone());
            }
            let Operation::RecordRead { register, key, recipient, .. } = operation else { continue };
            let reader = transaction.principal();
            if reader.organisation() != self.own {
                continue;
            }
            for wrong in self.wrong.get(&record_tag(register, key)).into_iter().flatten() {
                // What is read is read as it is after the block.
                let was_wrong = (wrong.since..wrong.until).contains(&height);
                if !was_wrong || (register, key) != (&wrong.register, &wrong.key) {
                    continue;
                }
                let (register, key, corrects) = (register.clone(), key.clone(), wrong.corrects);
                let recipient = recipient.as_ref().map(|to| to.name.clone());
                let notice = Notice { register, key, corrects, recipient };
                if !self.known.get(&notice).is_some_and(|knows| knows.contains(reader)) {
                    self.is_whole &= self.owed.insert(reader, notice);
                }
            }
        }
        for (CorrectionRow { register, key, corrects, .. }, since) in corrections {
            let tag = record_tag(&register, &key);
            self.wrong.entry(tag).or_default().push(Wrong { register, key, corrects, since, until: height });
            self.since.entry(since).or_default().push(tag);
        }
    }

    /// Lets go of what nobody can have read wrong before this height.
    fn let_go(&mut self, height: u64) {
        while let Some(last) = self.since.last_entry().filter(|last| *last.key() > height) {
            for tag in last.remove() {
                let Some(all) = self.wrong.get_mut(&tag) else { continue };
                for over in all.extract_if(.., |wrong| wrong.since > height) {
                    let is_of = |notice: &Notice| {
                        (&notice.register, &notice.key, notice.corrects) == (&over.register, &over.key, over.corrects)
                    };
                    let (register, key) = (over.register.clone(), over.key.clone());
                    let first = Notice { register, key, corrects: over.corrects, recipient: None };
                    let of = self.known.range(first..).map(|(notice, _)| notice).take_while(|notice| is_of(notice));
                    for notice in of.cloned().collect::<Vec<_>>() {
                        self.known.remove(&notice);
                    }
                }
                if all.is_empty() {
                    self.wrong.remove(&tag);
                }
            }
        }
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
        let count = self.notices.owed().of(reader);
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
    pub async fn waiting_for_all(
        &self,
        partition: &str,
        (query, path): (&Query, &str),
    ) -> Result<Told<WaitingForAll>, PrivateError> {
        let room = self.asked_by_own(partition, query, path).await?;
        let height = room.standing().height;
        let is_whole = room.notices.is_whole();
        let owed = room.notices.owed();
        let value = WaitingForAll { own: owed.of(&query.principal), organisation: owed.count, is_whole };
        Ok(Told { height, value })
    }

    /// Finds whom corrections concern, those of before this node began and those that come, for as long as it runs.
    pub(super) async fn notify(self, runtime: E, room: Arc<Room<E>>, mut news: mpsc::UnboundedReceiver<u64>) {
        let [mut wait, longest] = AGAIN;
        loop {
            // One look at all, and not one for each correction that is executed late.
            while !room.is_abreast() {
                runtime.sleep(BEHIND).await;
            }
            // What is executed meanwhile is among the news.
            let executed = room.partition.lock().await.position().executed;
            let mut is_whole = self.find_all(&runtime, &room, executed).await;
            let mut again = Box::pin(runtime.sleep(wait));
            loop {
                room.notices.is_whole.store(is_whole, Ordering::Release);
                let heard = match select(again.as_mut(), std::pin::pin!(news.recv())).await {
                    Either::Left(_) => None,
                    Either::Right((heard, _)) => Some(heard),
                };
                match heard {
                    None if !is_whole => break,
                    None => {
                        wait = longest;
                        again = Box::pin(runtime.sleep(wait));
                    }
                    Some(None) => return,
                    Some(Some(first)) => {
                        let mut numbers = BTreeSet::from([first]);
                        while let Ok(number) = news.try_recv() {
                            numbers.insert(number);
                        }
                        let heard = numbers.len();
                        is_whole &= self.find_new(&runtime, &room, numbers.split_off(&executed)).await;
                        room.notices.is_whole.store(is_whole, Ordering::Release);
                        room.notices.pending.fetch_sub(heard, Ordering::AcqRel);
                        if !is_whole && wait > SOON {
                            wait = SOON;
                            again = Box::pin(runtime.sleep(wait));
                        }
                    }
                }
            }
            wait = longest.min(wait * 2);
        }
    }

    /// Looks through all that was executed before this number; says whether all could be read, and had room.
    async fn find_all(&self, runtime: &E, room: &Room<E>, executed: u64) -> bool {
        let mut search = Search::new(self.0.holder.principal.organisation());
        self.search(runtime, room, (&mut search, executed, For::All)).await;
        let Search { owed, is_whole, .. } = search;
        let before = std::mem::replace(&mut *room.notices.owed(), owed).count;
        tell_of(room, before);
        is_whole
    }

    /// The same of transactions that were executed: who read what they correct, but for whom they say to know.
    async fn find_new(&self, runtime: &E, room: &Room<E>, numbers: BTreeSet<u64>) -> bool {
        let mut search = Search::new(self.0.holder.principal.organisation());
        for number in numbers.iter().rev() {
            let Some(row) = room.partition.lock().await.numbered(*number).await else { continue };
            match self.next_transaction(room, &row, &mut None).await {
                Ok(transaction) => {
                    let wrong = room.wrong(*number, &transaction).await;
                    search.take(row.height, &transaction, wrong);
                }
                Err(_) => search.is_whole = false,
            }
        }
        let known = search.known.clone();
        if let Some(last) = numbers.last().filter(|_| !search.wrong.is_empty()) {
            self.search(runtime, room, (&mut search, *last, For::Readers)).await;
        }
        let before = {
            let mut owed = room.notices.owed();
            let before = owed.count;
            for (notice, readers) in &known {
                readers.iter().for_each(|reader| owed.remove(reader, notice));
            }
            for (reader, notices) in search.owed.by_reader {
                for notice in notices {
                    search.is_whole &= owed.insert(&reader, notice);
                }
            }
            before
        };
        tell_of(room, before);
        search.is_whole
    }

    /// Goes back from before a number to the first; or, where what corrects is known, to where nobody can have read what was wrong.
    async fn search(&self, runtime: &E, room: &Room<E>, (search, before, looks): (&mut Search<'_>, u64, For)) {
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
                search.let_go(row.height);
                if looks == For::Readers && search.wrong.is_empty() {
                    return;
                }
                if !search.needs(&row, looks) {
                    continue;
                }
                let Ok(transaction) = self.next_transaction(room, &row, &mut last).await else {
                    search.is_whole = false;
                    continue;
                };
                let wrong = if looks == For::All { room.wrong(number, &transaction).await } else { Vec::new() };
                search.take(row.height, &transaction, wrong);
            }
            end = begin;
            runtime.sleep(PAUSE).await;
        }
    }
}

/// Says in the log that more notices wait than did: not whose, nor of what.
fn tell_of<E: Runtime>(room: &Room<E>, before: usize) {
    let notices = room.notices.owed().count;
    if notices > before {
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
    use tallystick_protocol::{
        Code, Decision, Hash, Intent, NetworkId, OrderedParcel, Outcome, Recipient, SigningKey, Subject,
    };

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
        let mut take = |height, who: &str, operation: Operation| {
            let wrong = if who == "b/clerk" { vec![(mark(), 10)] } else { Vec::new() };
            search.take(height, &signed(who, vec![operation]), wrong);
        };
        take(14, "a/admin", knows("a/told", None));
        take(14, "a/late", read(KEY, None));
        take(13, "b/clerk", read("c-2", None));
        // What is read in a block is read as it is after that.
        take(13, "a/right", read(KEY, None));
        take(12, "a/clerk", read(KEY, Some("A court")));
        take(12, "a/clerk", read(KEY, None));
        take(12, "a/clerk", read(KEY, None));
        take(12, "a/told", read(KEY, None));
        take(11, "a/other", read("c-2", None));
        take(11, "b/nurse", read(KEY, None));
        take(10, "a/same", read(KEY, None));
        take(9, "a/early", read(KEY, None));
        let all = search.owed.by_reader.iter();
        let owed: Vec<_> =
            all.flat_map(|(reader, all)| all.iter().map(|one| (reader.as_str(), one.recipient.as_deref()))).collect();
        assert_eq!(owed, [("a/clerk", None), ("a/clerk", Some("A court")), ("a/same", None)]);
        assert!(search.is_whole);
        let counted = ["a/clerk", "a/same", "a/told", "a/b"].map(|who| search.owed.of(&who.parse().unwrap()));
        assert_eq!((counted, search.owed.count), ([2, 1, 0, 0], 3));
        search.let_go(10);
        assert!(!search.wrong.is_empty() && !search.known.is_empty(), "somebody may have read it");
        search.let_go(9);
        assert!(search.wrong.is_empty() && search.known.is_empty() && search.since.is_empty());
    }

    #[test]
    fn who_reads_much_that_is_wrong_takes_no_others_room() {
        let mut owed = Owed::default();
        let notice = |number: usize| Notice {
            register: "child".to_owned(),
            key: format!("c-{number}"),
            corrects: 1,
            recipient: None,
        };
        let (one, other): (PrincipalId, PrincipalId) = ("a/one".parse().unwrap(), "a/other".parse().unwrap());
        let most = PRIVATE_NOTICES_PER_READER_MAX;
        assert!((0..most).all(|number| owed.insert(&one, notice(number))));
        assert!(!owed.insert(&one, notice(most)) && owed.insert(&one, notice(0)), "one that is there");
        assert!(owed.insert(&other, notice(most)));
        owed.remove(&one, &notice(0));
        owed.remove(&one, &notice(0));
        assert_eq!((owed.of(&one), owed.of(&other), owed.count), (most - 1, 1, most));
        assert!(owed.insert(&one, notice(most)));
    }

    #[test]
    fn those_alone_are_opened_that_may_be_of_what_was_wrong() {
        let accepted = Outcome::Accepted { appended: Vec::new(), decision: Decision::default() };
        let row = |outcome: &Outcome, keys: &[&str], corrects| NumberedRow {
            parcel: OrderedParcel { id: ParcelId([1; 32]), class: 0 },
            transaction: Hash::default(),
            height: 9,
            time_ms: 9,
            told: Some(tallystick_storage::partition::Told {
                outcome: outcome.clone(),
                reads: keys.iter().map(|key| record_tag("child", key)).collect(),
                corrects,
            }),
            place: 0,
        };
        let (of_it, of_another) = (row(&accepted, &["c-2", KEY], false), row(&accepted, &["c-2"], false));
        let mut search = Search::new("a");
        assert!(!search.needs(&of_it, For::All), "nothing was wrong");
        assert!(
            search.needs(&row(&accepted, &[], true), For::All)
                && !search.needs(&row(&accepted, &[], true), For::Readers)
        );
        assert!(!search.needs(&NumberedRow { told: None, ..of_it.clone() }, For::All), "an entry");
        search.take(13, &signed("b/clerk", vec![read("c-2", None)]), vec![(mark(), 10)]);
        assert!([For::All, For::Readers].into_iter().all(|looks| search.needs(&of_it, looks)));
        assert!(!search.needs(&of_another, For::All));
        assert!(!search.needs(&row(&Outcome::refused(Code::NotPermitted, 0), &[KEY], true), For::All));
    }
}
