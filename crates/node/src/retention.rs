//! What registers keep no longer: how far it was looked for, and the orders that erase it. In the public partition a register's entries are
//! looked at, in another its private transactions.
//!
//! ```text
//! the register says N days ─▶ an entry is so old ─▶ its values are not erased yet ─▶ order, signed by the node's own principal ─▶ as any other
//! ```
//!
//! INVARIANTS:
//! - What is due follows from what is ordered alone, so that any node of the custodian that may hold it can say it, whether it keeps the
//!   values or not; the others say nothing unless the first one does not.
//! - An entry is passed over for good only when each of its values that is due is erased, or about to be, by an order that is final.
//! - What waits keeps nothing behind it: about whom a hold lasts no order is raised, and neither that, nor an order that is refused, nor what
//!   cannot be read, stops the look at what comes after. Once all that is due was looked at, it begins again with the first that waits.
//! - What is done in one pass is bounded, whatever is due.

use crate::service::posting::Posted;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tallystick_protocol::{
    Commitment, ErasureScope, Field, Hash, NodeRow, Operation, Place, PrincipalId, Protection, RegisterRow, Subject,
    SubjectRow,
    limits::{CONTROLLER_ERASURES_OPEN_MAX, ERASURE_VALUES_MAX, SUBJECT_ERASURES_OPEN_MAX},
};

/// Registers looked at in a pass.
pub(crate) const REGISTERS: usize = 64;
/// Entries of a register, or private transactions of a partition, looked at in a pass.
pub(crate) const NUMBERS: u64 = 32;
/// Between two passes.
pub(crate) const PAUSE: Duration = Duration::from_secs(1);
/// Orders raised in a pass.
const ORDERS: usize = 8;
/// With so many of the organisation's orders that are not complete, and wait for no hold, none is raised: there is room for those that
/// people give.
const OPEN: usize = CONTROLLER_ERASURES_OPEN_MAX / 2;
/// With so many, none is, whatever they wait for.
const OPEN_HELD: usize = CONTROLLER_ERASURES_OPEN_MAX / 8 * 7;
/// With so many about one subject none is raised about that one.
const SUBJECT_OPEN: usize = SUBJECT_ERASURES_OPEN_MAX / 2;
/// With so many in one register that the ledger refused, those are tried again, and no others raised: each refusal is in the log for ever.
const REFUSED: usize = 4;
/// How much longer each further node waits before it says what the one before it has not.
pub(crate) const TURN_MS: u64 = 60_000;
const DAY_MS: u64 = 86_400_000;
/// Within how many seconds the holders must have destroyed what is due.
const DEADLINE_SECONDS: u64 = 30 * 86_400;

/// A value of an entry, with the number at which that is looked at.
pub(crate) type Value = (u64, (Place, Commitment));

/// Somebody, and a register that has values about them.
pub(crate) type Concern = (String, Subject);

fn concern((_, (place, _)): &Value) -> Concern {
    (place.register().to_owned(), place.subject().clone())
}

/// When it is this node's turn, by the time of the newest block: the first of the custodian's nodes says what is due at once. None if it is
/// none of them.
pub(crate) fn turn<'n>(mut nodes: impl Iterator<Item = &'n NodeRow>, me: &PrincipalId, now_ms: u64) -> Option<u64> {
    let turn = nodes.position(|node| node.node == *me)?;
    Some(now_ms.saturating_sub(TURN_MS.saturating_mul(turn as u64)))
}

/// Since when what is due was kept, at this time.
pub(crate) const fn kept_since(now_ms: u64, days: u32) -> u64 {
    now_ms.saturating_sub(DAY_MS.saturating_mul(days as u64))
}

/// How many orders may be raised with so many of the controller's open. If `busy` must be known for that, those that wait for no hold: none.
pub(crate) fn room(open: usize, busy: Option<usize>) -> Option<usize> {
    if open + ORDERS <= OPEN {
        return Some(ORDERS);
    }
    Some(ORDERS.min(OPEN.saturating_sub(busy?)).min(OPEN_HELD.saturating_sub(open)))
}

/// Whether no order is raised now about a subject: a hold lasts, or enough orders are open.
pub(crate) fn waits(subject: &SubjectRow, now_ms: u64) -> bool {
    subject.is_held(now_ms) || subject.orders.len() >= SUBJECT_OPEN
}

/// For how many days the register keeps personal values, as it says itself: each period once, and none where it says nothing of one.
pub(crate) fn periods(row: &RegisterRow) -> BTreeSet<Option<u32>> {
    row.fields.iter().filter_map(own_days).collect()
}

/// What a register says of a field, if that is personal.
fn own_days(field: &Field) -> Option<Option<u32>> {
    match field.protection.as_ref()? {
        Protection::Personal { days, .. } => Some(*days),
        Protection::Restricted => None,
    }
}

/// For how many days values are kept of which the register says so many: no longer than was agreed, where something was.
pub(crate) fn kept_days(own: Option<u32>, agreed: Option<u32>) -> Option<u32> {
    own.into_iter().chain(agreed).min()
}

/// Whether what stands there is kept for so many days.
pub(crate) fn is_kept(row: &RegisterRow, place: &Place, days: u32, agreed: Option<u32>) -> bool {
    let field = row.fields.iter().find(|field| field.name == place.field());
    field.and_then(own_days).and_then(|own| kept_days(own, agreed)) == Some(days)
}

/// What this process has looked at, beside what the vault notes.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// How far it has come, by register, or by who says so in a partition, and days.
    scans: BTreeMap<(String, u32), Scan>,
    /// Orders that are on their way or were refused, each with its register.
    raised: BTreeMap<String, (String, Posted)>,
    /// Whether too many of the organisation's orders are open.
    is_full: bool,
    /// How many entries wait, as it was last told.
    told: u64,
}

impl Watch {
    /// How far was looked, if this process did.
    pub fn scan(&self, key: &(String, u32)) -> Option<Scan> {
        self.scans.get(key).copied()
    }

    /// Notes how far.
    pub fn note(&mut self, key: (String, u32), scan: Scan) {
        self.scans.insert(key, scan);
    }

    /// Forgets how far all else was looked at.
    pub fn keep(&mut self, keys: &BTreeSet<(String, u32)>) {
        self.scans.retain(|key, _| keys.contains(key));
    }

    /// What has become of this order so far; none when it waits, for as many of its register's are refused as may be.
    pub fn posted(&mut self, due: &Due, now_s: u64) -> Option<&mut Posted> {
        self.raised.retain(|_, (_, posted)| posted.matters(now_s));
        if !self.raised.contains_key(&due.order) && self.refused(&due.register) >= REFUSED {
            return None;
        }
        let new = || (due.register.clone(), Posted::default());
        Some(&mut self.raised.entry(due.order.clone()).or_insert_with(new).1)
    }

    /// Orders in a register that the ledger refused and that are not on their way again.
    fn refused(&self, register: &str) -> usize {
        self.raised.values().filter(|(of, posted)| of == register && posted.is_refused()).count()
    }

    /// Says what has changed for an operator to know, of a partition or of the public one; and how many entries waited before, and do now.
    pub fn tell(&mut self, partition: Option<&str>, is_full: bool) -> (u64, u64) {
        if is_full && !self.is_full {
            tracing::warn!(
                partition,
                "too many orders of erasure are open: none is raised for what was kept as long as it may be"
            );
        }
        let waiting = self.scans.values().map(Scan::waiting).sum();
        if (waiting == 0) != (self.told == 0) {
            tracing::warn!(
                partition,
                entries = waiting,
                "entries whose time is over wait: for a hold, or their orders are not taken, or they cannot be read here"
            );
        }
        self.is_full = is_full;
        (std::mem::replace(&mut self.told, waiting), waiting)
    }

    /// Forgets all: how many entries waited before, and none now.
    pub fn forget(&mut self) -> (u64, u64) {
        (std::mem::take(self).told, 0)
    }
}

/// How far what has numbers, from 1, was looked at, round after round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scan {
    /// The last one that is passed over for good.
    pub passed: u64,
    /// The last one looked at in this round.
    pub looked: u64,
    /// How many entries were found waiting in this round.
    found: u64,
    /// And in the one before.
    found_before: u64,
}

/// What was found of the entries behind those looked at.
#[derive(Clone, Copy, Debug)]
struct Found {
    /// The last number whose time is over.
    last: u64,
    /// Whether none behind it is to be looked at yet.
    is_end: bool,
    /// The first of which something is not erased, nor about to be.
    first: Option<u64>,
    /// How many entries have something that waits.
    waiting: u64,
    /// Whether there is something that does not: an order that is on its way, or will be raised.
    moves: bool,
}

impl Scan {
    pub const fn after(passed: u64) -> Self {
        Self { passed, looked: passed, found: 0, found_before: 0 }
    }

    /// How many entries wait.
    fn waiting(&self) -> u64 {
        self.found.max(self.found_before)
    }

    fn take(&mut self, found: &Found) {
        if self.looked == self.passed {
            self.passed = found.first.map_or(found.last, |first| first.saturating_sub(1));
            self.looked = self.passed;
        }
        if found.moves {
            return;
        }
        self.found += found.waiting;
        self.looked = found.last;
        if found.is_end {
            *self = Self { found_before: self.found, ..Self::after(self.passed) };
        }
    }

    /// Goes on behind what was seen, of which these wait; or stays there while something moves.
    pub fn go_on(&mut self, seen: &Seen, waiting: &BTreeSet<Concern>, moves: bool) {
        let waits = seen.values.iter().filter(|value| waiting.contains(&concern(value)));
        let entries: BTreeSet<(u64, &str, &str)> =
            waits.map(|(number, (place, _))| (*number, place.register(), place.key())).collect();
        let first = seen.values.iter().map(|(number, _)| number).chain(&seen.unread).min().copied();
        let waiting = (entries.len() + seen.unread.len()) as u64;
        self.take(&Found { last: seen.last, is_end: seen.is_end, first, waiting, moves });
    }
}

/// What was seen of what comes next.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The last number whose time is over.
    pub last: u64,
    /// Whether none behind it is to be looked at yet.
    pub is_end: bool,
    /// The values that are due.
    pub values: Vec<Value>,
    /// Numbers of what cannot be read here.
    pub unread: BTreeSet<u64>,
}

impl Seen {
    /// What is to be ordered: all values but those of whom it waits. By the agreement of the partition that is named, or by what the register says.
    pub fn due(&self, days: u32, agreement: Option<&str>, waiting: &BTreeSet<Concern>) -> Vec<Due> {
        let mut due: BTreeMap<Concern, BTreeSet<Commitment>> = BTreeMap::new();
        for value in &self.values {
            let concern = concern(value);
            if waiting.contains(&concern) {
                continue;
            }
            let found = due.entry(concern).or_default();
            if found.len() < ERASURE_VALUES_MAX {
                found.insert(value.1.1);
            }
        }
        let new = |((register, about), values): (Concern, BTreeSet<Commitment>)| {
            let values: Vec<Commitment> = values.into_iter().collect();
            let authority = match agreement {
                Some(partition) => format!("The agreement of partition {partition}"),
                None => format!("The definition of register {register}"),
            };
            Due { order: order_of(&about, &values), register, days, authority, about, values }
        };
        due.into_iter().map(new).collect()
    }

    /// Those whom these values are about, by register, of whom this is so.
    pub fn concerns(&self, waits: impl Fn(&Subject) -> bool) -> BTreeSet<Concern> {
        self.values.iter().map(concern).filter(|(_, subject)| waits(subject)).collect()
    }
}

/// An order that is to be raised.
#[derive(Debug)]
pub(crate) struct Due {
    /// What it is called.
    order: String,
    /// The register that has kept the values as long as it may.
    register: String,
    days: u32,
    /// What says for how long.
    authority: String,
    /// Whom they are about.
    about: Subject,
    values: Vec<Commitment>,
}

impl Due {
    pub fn concern(&self) -> Concern {
        (self.register.clone(), self.about.clone())
    }

    /// What the intent of who raises it is about.
    pub fn subject(&self) -> String {
        format!("erasure {}", self.order)
    }

    /// What it says, under the custodian of the register.
    pub fn operation(&self, custodian: &str) -> Operation {
        Operation::ErasureOrder {
            order: self.order.clone(),
            controller: custodian.to_owned(),
            subject: self.about.clone(),
            scope: ErasureScope::Values(self.values.clone()),
            authority: self.authority.clone(),
            legal_basis: format!("Kept for {} day{}", self.days, if self.days == 1 { "" } else { "s" }),
            reason: "The time for which it is kept is over".to_owned(),
            deadline: DEADLINE_SECONDS,
        }
    }
}

/// The name of an order: the same whoever raises it.
fn order_of(subject: &Subject, values: &[Commitment]) -> String {
    let subject = subject.to_string();
    let parts: Vec<&[u8]> =
        std::iter::once(subject.as_bytes()).chain(values.iter().map(|value| value.as_bytes().as_slice())).collect();
    let Hash(hash) = Hash::of(&parts);
    format!("retention-{}", hex::encode(hash.first_chunk::<12>().unwrap_or(&[0; 12])))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use rand::{SeedableRng as _, rngs::StdRng};
    use tallystick_protocol::{Opening, SealingKey, Secret};

    /// A register of entries about somebody each, all of them due, of which orders erase what is not held.
    struct Register {
        entries: Vec<&'static str>,
        held: Vec<&'static str>,
        erased: BTreeSet<u64>,
    }

    impl Register {
        /// A pass over it: orders for what may be erased, which are final by the next one.
        fn pass(&mut self, scan: &mut Scan) {
            let numbers = (scan.looked + 1)..=(scan.looked + NUMBERS).min(self.entries.len() as u64);
            let last = (*numbers.end()).max(scan.looked);
            let rest: Vec<u64> = numbers.filter(|number| !self.erased.contains(number)).collect();
            let is_held =
                |number: &&u64| self.entries.get(**number as usize - 1).is_some_and(|who| self.held.contains(who));
            let waiting = rest.iter().filter(is_held).count();
            let (is_end, first, moves) = (last < scan.looked + NUMBERS, rest.first().copied(), waiting < rest.len());
            let raised: Vec<u64> = rest.iter().filter(|number| !is_held(number)).copied().collect();
            scan.take(&Found { last, is_end, first, waiting: waiting as u64, moves });
            self.erased.extend(raised);
        }
    }

    fn value(number: u64, register: &str, key: &str, seed: u64) -> Value {
        let place = Place::new(register, key, "name", Subject::new("person", key).unwrap()).unwrap();
        let opening = Opening::seal(place.clone(), Secret::new("Ada"), &mut StdRng::seed_from_u64(seed)).unwrap();
        (number, (place, opening.commitment()))
    }

    #[test]
    fn an_order_is_of_one_subject_and_of_one_register() {
        let values = vec![
            value(1, "visit", "a", 1),
            value(1, "visit", "b", 2),
            value(2, "letter", "a", 3),
            value(3, "visit", "a", 4),
        ];
        let seen = Seen { last: 3, values, ..Seen::default() };
        let said = |waiting: &BTreeSet<Concern>| -> Vec<(String, String, usize)> {
            let due = seen.due(30, None, waiting);
            due.iter().map(|due| (due.register.clone(), due.about.key().to_owned(), due.values.len())).collect()
        };
        let row = |register: &str, key: &str, values| (register.to_owned(), key.to_owned(), values);
        assert_eq!(said(&BTreeSet::new()), [row("letter", "a", 1), row("visit", "a", 2), row("visit", "b", 1)]);
        let waiting = seen.concerns(|subject| subject.key() == "a");
        assert_eq!(said(&waiting), [row("visit", "b", 1)]);
        let [one, other] = [30, 31].map(|days| seen.due(days, None, &waiting).remove(0));
        assert_eq!(one.order, other.order, "whoever raises it, and why");
    }

    #[test]
    fn what_cannot_be_read_waits_and_keeps_nothing_behind_it() {
        let mut scan = Scan::after(4);
        let values = vec![value(7, "visit", "a", 1), value(7, "visit", "b", 2), value(9, "visit", "a", 3)];
        let mut seen = Seen { last: 9, is_end: true, values, unread: [5, 8].into() };
        scan.go_on(&seen, &BTreeSet::new(), true);
        assert_eq!((scan.passed, scan.looked, scan.waiting()), (4, 4, 0), "it stays while something moves");
        let held = seen.concerns(|subject| subject.key() == "a");
        seen.values.retain(|(_, (place, _))| place.key() == "a");
        scan.go_on(&seen, &held, false);
        assert_eq!((scan.passed, scan.looked, scan.waiting()), (4, 4, 4), "two entries, and two that cannot be read");
        // Once they can be, and the hold is over, all of it is passed over.
        seen = Seen { last: 9, is_end: true, ..Seen::default() };
        scan.go_on(&seen, &BTreeSet::new(), false);
        assert_eq!((scan.passed, scan.waiting()), (9, 0));
    }

    #[test]
    fn the_custodians_nodes_speak_in_turn() {
        let node = |name: &str| NodeRow {
            node: PrincipalId::new("alpha", name).unwrap(),
            peer: [1; 32],
            sealing: SealingKey::from_bytes([9; 32]).unwrap(),
            jurisdiction: "GB".parse().unwrap(),
            since_ms: 0,
        };
        let nodes = [node("one"), node("two")];
        let turn_of = |name: &str| turn(nodes.iter(), &PrincipalId::new("alpha", name).unwrap(), 100_000);
        assert_eq!([turn_of("one"), turn_of("two"), turn_of("three")], [Some(100_000), Some(40_000), None]);
        assert_eq!(kept_since(3 * DAY_MS + 5, 2), DAY_MS + 5);
        assert_eq!(kept_since(DAY_MS, 2), 0);
    }

    #[test]
    fn people_have_room_for_their_own_orders() {
        let rows = [
            (0, None, Some(ORDERS)),
            (OPEN - ORDERS, None, Some(ORDERS)),
            (OPEN - ORDERS + 1, None, None),
            (OPEN, Some(OPEN - 3), Some(3)),
            (OPEN, Some(OPEN), Some(0)),
            (OPEN_HELD - 1, Some(0), Some(1)),
            (OPEN_HELD, Some(0), Some(0)),
        ];
        for (open, busy, expected) in rows {
            assert_eq!(room(open, busy), expected, "{open} {busy:?}");
        }
    }

    #[test]
    fn what_waits_is_told_by_how_it_changes() {
        let mut watch = Watch::default();
        watch.note(("charts".to_owned(), 1), Scan { found: 3, ..Scan::default() });
        watch.note(("charts".to_owned(), 30), Scan { found_before: 2, ..Scan::default() });
        assert_eq!(watch.tell(Some("charts"), false), (0, 5));
        watch.note(("charts".to_owned(), 1), Scan::default());
        assert_eq!(watch.tell(Some("charts"), false), (5, 2));
        assert_eq!((watch.forget(), watch.forget()), ((2, 0), (0, 0)));
    }

    #[test]
    fn nobody_who_is_held_keeps_what_is_of_others() {
        let mut entries = vec!["held"; 33];
        entries.extend(["free"; 40]);
        let (mut scan, mut register) =
            (Scan::default(), Register { entries, held: vec!["held"], erased: BTreeSet::new() });
        (0..7).for_each(|_| register.pass(&mut scan));
        assert_eq!(register.erased, (34..=73).collect());
        assert_eq!((scan.passed, scan.waiting()), (0, 33), "what waits is not passed over, and told");
        // What falls due later is found in the next round.
        register.entries.push("free");
        (0..7).for_each(|_| register.pass(&mut scan));
        assert_eq!(register.erased, (34..=74).collect());
        register.held.clear();
        (0..9).for_each(|_| register.pass(&mut scan));
        assert_eq!((register.erased.len(), scan.passed, scan.waiting()), (74, 74, 0));
    }

    #[test]
    fn nothing_is_looked_at_again_that_is_erased_without_a_gap() {
        let mut register = Register { entries: vec!["free"; 70], held: Vec::new(), erased: BTreeSet::new() };
        let (mut scan, mut passed) = (Scan::default(), Vec::new());
        for _ in 0..7 {
            register.pass(&mut scan);
            passed.push((scan.passed, scan.looked));
        }
        assert_eq!(passed, [(0, 0), (32, 32), (32, 32), (64, 64), (64, 64), (70, 70), (70, 70)]);
    }
}
