//! Erasure: what is to be destroyed, who must, and who has said that it did.
//!
//! ```text
//! order ─► open ──a receipt of each holder──► complete
//!           │ ▲ └─the others have left────────► incomplete
//!   hold placed  lifted, or over
//!           ▼ │
//!         on hold
//! ```
//!
//! An order is for one *controller*: the organisation whose nodes hold the values. Its holders are the nodes that were registered for
//! the controller when it was ordered, and no others: one that comes later was never given what is erased. One that was retired before is named,
//! unless its organisation said that what it held is destroyed. In a partition, where every
//! member's nodes hold what any member wrote, they are the nodes of all members, and what is erased stands in the registers of the
//! controller, which is their custodian.
//!
//! INVARIANTS:
//! - A subject that is erased stays erased: no order, hold or later entry takes that back.
//! - A row says of each holder whether it has given its receipt; it is complete when all have, and only then.
//! - In a partition an order waits for nobody who has left. It is over when all the others have given their receipts, and names who has not.
//! - Whoever may hold what an order is about, and is not asked, is named in it.

use crate::{
    cbor::{self, CborError},
    hold::SubjectHold,
    limits::{ERASURE_HOLDERS_MAX, ERASURE_UNASKED_MAX, ERASURE_VALUES_MAX, STATE_VALUE_BYTES_MAX},
    names::names,
    operation::PrincipalId,
    seal::{Commitment, Subject},
};
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

/// What of a subject an order is about. In CBOR: `"all"`, or the array of the commitments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErasureScope {
    /// All of it, now and for ever: the subject is not written or read any more.
    All,
    /// The values of these commitments, each once; the subject goes on.
    Values(Vec<Commitment>),
}

impl ErasureScope {
    /// The commitments it names; none when it is all of the subject.
    pub fn values(&self) -> Option<&[Commitment]> {
        match self {
            Self::All => None,
            Self::Values(values) => Some(values),
        }
    }
}

impl<C> Encode<C> for ErasureScope {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        match self {
            Self::All => e.str("all")?.ok(),
            Self::Values(values) => cbor::write_values(e, values),
        }
    }
}

impl<'b, C> Decode<'b, C> for ErasureScope {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let at = d.position();
        let refused = |message: &str| decode::Error::message(message).at(at);
        if d.datatype()? == minicbor::data::Type::String {
            return match d.str()? {
                "all" => Ok(Self::All),
                _ => Err(refused("a scope is `all`, or a list of commitments")),
            };
        }
        let values: Vec<Commitment> = cbor::values(d, 1..=ERASURE_VALUES_MAX, "the values of an erasure")?;
        // Sorted, so that one order has one spelling, and none is named twice.
        if values.is_sorted_by(|a, b| a < b) { Ok(Self::Values(values)) } else { Err(refused("sort the commitments")) }
    }
}

names! {
    /// Where an order stands.
    pub enum ErasureStatus, "status of an erasure" {
        /// Some holders have not given their receipt, and there is time.
        Open = "open",
        /// A hold suspends it.
        OnHold = "on-hold",
        /// Its deadline has gone by, and some holders have not given their receipt.
        Overdue = "overdue",
        /// Every holder has given its receipt.
        Complete = "complete",
        /// Every holder that is a member's still has, and the others have left: nobody is waited for.
        Incomplete = "incomplete",
    }
}

/// An order, with what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct ErasureRow {
    /// Its id: a slug.
    #[n(0)]
    pub order: String,
    /// The organisation whose nodes must destroy; in a partition the one from whose registers all members' nodes must.
    #[n(1)]
    pub controller: String,
    /// How many orders the controller had before; in a partition how many all controllers together had.
    #[n(2)]
    pub number: u64,
    /// Whom the values are about.
    #[n(3)]
    pub subject: Subject,
    /// Which values.
    #[n(4)]
    pub scope: ErasureScope,
    /// Who demands it: a court, a regulator, the person, the controller's own rule.
    #[n(5)]
    pub authority: String,
    /// The law that it rests on.
    #[n(6)]
    pub legal_basis: String,
    /// Why.
    #[n(7)]
    pub reason: String,
    /// Who ordered it here.
    #[n(8)]
    pub principal: PrincipalId,
    /// The log leaf of the transaction that ordered it.
    #[n(9)]
    pub leaf: u64,
    /// The height of that transaction's block.
    #[n(10)]
    pub height: u64,
    /// The time of that block, in Unix milliseconds.
    #[n(11)]
    pub ordered_ms: u64,
    /// By when every holder must have given its receipt, in Unix milliseconds of ledger time.
    #[n(12)]
    pub deadline_ms: u64,
    /// The nodes that must destroy, by name.
    #[cbor(n(13), with = "holders")]
    pub holders: Vec<Holder>,
    /// When the last of those who are waited for gave its receipt.
    #[n(14)]
    pub completed: Option<Completed>,
    /// Who may hold what it is about, and is not asked: nodes that were retired before or, in a partition, stood where it allows none; and of a
    /// partition the organisations that had left it. By id, ascending.
    #[cbor(n(15), with = "unasked")]
    pub unasked: Vec<String>,
}

/// A node that holds, and must destroy.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Holder {
    /// The node's principal.
    #[n(0)]
    pub node: PrincipalId,
    /// What it said once it had.
    #[n(1)]
    pub receipt: Option<Destroyed>,
}

/// What a holder said it did. Its word is a signed transaction, which is the leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Destroyed {
    /// How many values it held, and destroyed.
    #[n(0)]
    pub values: u32,
    /// The log leaf of the receipt.
    #[n(1)]
    pub leaf: u64,
    /// The height of its block.
    #[n(2)]
    pub height: u64,
    /// The time of that block, in Unix milliseconds.
    #[n(3)]
    pub time_ms: u64,
}

/// When an order was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Completed {
    /// The height of the block.
    #[n(0)]
    pub height: u64,
    /// The time of that block, in Unix milliseconds.
    #[n(1)]
    pub time_ms: u64,
}

mod holders {
    use super::{ERASURE_HOLDERS_MAX, Holder, cbor};
    use minicbor::{Decoder, Encoder};

    pub fn encode<C, W: minicbor::encode::Write>(
        holders: &[Holder],
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        cbor::write_values(e, holders)
    }

    pub fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<Vec<Holder>, minicbor::decode::Error> {
        cbor::values(d, 1..=ERASURE_HOLDERS_MAX, "the holders of an erasure")
    }
}

mod unasked {
    use super::{ERASURE_UNASKED_MAX, cbor};
    use minicbor::{Decoder, Encoder};

    pub fn encode<C, W: minicbor::encode::Write>(
        unasked: &[String],
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        cbor::write_values(e, unasked)
    }

    pub fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<Vec<String>, minicbor::decode::Error> {
        cbor::values(d, 0..=ERASURE_UNASKED_MAX, "those whom an erasure does not ask")
    }
}

/// What holds of a subject under one controller: all that an entry or a read of it must ask.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct SubjectRow {
    /// Under whom.
    #[n(0)]
    pub controller: String,
    /// Who.
    #[n(1)]
    pub subject: Subject,
    /// The order by which all of it is erased.
    #[n(2)]
    pub erased: Option<String>,
    /// The orders that are not over.
    #[n(3)]
    pub orders: Vec<String>,
    /// The holds that were placed and not lifted; some may be over.
    #[n(4)]
    pub holds: Vec<SubjectHold>,
}

/// What a controller has: how many orders and holds, and which orders are not over. For the empty name: of all controllers
/// together, without the list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct ControllerRow {
    /// Orders so far.
    #[n(0)]
    pub orders: u64,
    /// Of these, how many are over.
    #[n(1)]
    pub complete: u64,
    /// Holds so far.
    #[n(2)]
    pub holds: u64,
    /// The orders that are not over, in the order of their numbers.
    #[n(3)]
    pub open: Vec<OpenErasure>,
}

/// An order that is not over.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct OpenErasure {
    /// Its id.
    #[n(0)]
    pub order: String,
    /// By when it should be, in Unix milliseconds of ledger time.
    #[n(1)]
    pub deadline_ms: u64,
}

/// Gives a row its bytes, and reads them within the limit of a row.
macro_rules! row_bytes {
    ($($type:ty),+) => {$(
        impl $type {
            /// The row's bytes.
            pub fn to_bytes(&self) -> Vec<u8> {
                cbor::encode(self)
            }

            /// Decodes a row.
            ///
            /// # Errors
            /// When it is too long, malformed or not deterministic.
            pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
                cbor::decode(bytes, STATE_VALUE_BYTES_MAX)
            }
        }
    )+};
}

row_bytes!(ErasureRow, SubjectRow, ControllerRow);

impl ErasureRow {
    /// Whether every holder has given its receipt.
    pub fn is_complete(&self) -> bool {
        self.is_over() && self.outstanding().next().is_none()
    }

    /// Whether nobody is waited for any more: every holder has given its receipt, or has left the partition.
    pub const fn is_over(&self) -> bool {
        self.completed.is_some()
    }

    /// The holders that have not given their receipt.
    pub fn outstanding(&self) -> impl Iterator<Item = &PrincipalId> {
        self.holders.iter().filter(|holder| holder.receipt.is_none()).map(|holder| &holder.node)
    }

    /// Whether its row can hold the receipts of all its holders, and say that it is complete.
    pub fn has_room(&self) -> bool {
        let receipt = Some(Destroyed { values: u32::MAX, leaf: u64::MAX, height: u64::MAX, time_ms: u64::MAX });
        let holders = self.holders.iter().map(|holder| Holder { receipt, ..holder.clone() }).collect();
        let completed = Some(Completed { height: u64::MAX, time_ms: u64::MAX });
        let fullest = Self { holders, completed, ..self.clone() };
        let are_few = self.holders.len() <= ERASURE_HOLDERS_MAX && self.unasked.len() <= ERASURE_UNASKED_MAX;
        are_few && fullest.to_bytes().len() <= STATE_VALUE_BYTES_MAX
    }

    /// Where it stands at this time, when its subject is or is not on hold.
    pub fn status(&self, is_held: bool, now_ms: u64) -> ErasureStatus {
        match self.completed {
            Some(_) if self.is_complete() => ErasureStatus::Complete,
            Some(_) => ErasureStatus::Incomplete,
            None if is_held => ErasureStatus::OnHold,
            None if now_ms >= self.deadline_ms => ErasureStatus::Overdue,
            None => ErasureStatus::Open,
        }
    }
}

impl SubjectRow {
    /// Of a subject of which nothing is said yet.
    pub fn new(controller: &str, subject: &Subject) -> Self {
        let (controller, subject) = (controller.to_owned(), subject.clone());
        Self { controller, subject, erased: None, orders: Vec::new(), holds: Vec::new() }
    }

    /// Whether a hold suspends what is ordered, at this time.
    pub fn is_held(&self, now_ms: u64) -> bool {
        self.holds.iter().any(|hold| hold.is_in_force(now_ms))
    }

    /// Whether nobody may read it any more. While a hold lasts it may be read: that is what a hold keeps it for.
    pub fn is_withheld(&self, now_ms: u64) -> bool {
        self.erased.is_some() && !self.is_held(now_ms)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::{
        limits::{
            CONTROLLER_ERASURES_OPEN_MAX, NAME_BYTES_MAX, NODES_PER_ORGANISATION_MAX, REASON_BYTES_MAX,
            SUBJECT_ERASURES_OPEN_MAX, SUBJECT_HOLDS_MAX,
        },
        seal::{Opening, Place, Secret},
    };
    use rand::{SeedableRng as _, rngs::StdRng};

    fn longest() -> (String, PrincipalId, Subject) {
        let name = "n".repeat(NAME_BYTES_MAX);
        let subject = Subject::new(&name, "k".repeat(128)).unwrap();
        (name.clone(), PrincipalId::new(&name, &name).unwrap(), subject)
    }

    fn commitments(count: usize) -> Vec<Commitment> {
        let mut rng = StdRng::seed_from_u64(1);
        let place = Place::new("patient", "p-1", "name", Subject::new("patient", "p-1").unwrap()).unwrap();
        let mut values: Vec<Commitment> = (0..count)
            .map(|_| Opening::seal(place.clone(), Secret::new("x"), &mut rng).unwrap().commitment())
            .collect();
        values.sort_unstable();
        values
    }

    #[test]
    fn the_longest_rows_fit() {
        let (name, node, subject) = longest();
        let words = "w".repeat(REASON_BYTES_MAX);
        let receipt = Some(Destroyed { values: u32::MAX, leaf: u64::MAX, height: u64::MAX, time_ms: u64::MAX });
        let row = ErasureRow {
            order: name.clone(),
            controller: name.clone(),
            number: u64::MAX,
            subject: subject.clone(),
            scope: ErasureScope::Values(commitments(ERASURE_VALUES_MAX)),
            authority: words.clone(),
            legal_basis: words.clone(),
            reason: words,
            principal: node.clone(),
            leaf: u64::MAX,
            height: u64::MAX,
            ordered_ms: u64::MAX,
            deadline_ms: u64::MAX,
            holders: vec![Holder { node, receipt }; NODES_PER_ORGANISATION_MAX],
            completed: Some(Completed { height: u64::MAX, time_ms: u64::MAX }),
            unasked: Vec::new(),
        };
        assert_eq!(ErasureRow::decode(&row.to_bytes()).unwrap(), row);
        let unasked = |count| vec!["organisation/node".to_owned(); count];
        let few = ErasureRow { scope: ErasureScope::All, unasked: unasked(ERASURE_UNASKED_MAX), ..row.clone() };
        assert!(few.has_room());
        assert!(!ErasureRow { unasked: unasked(ERASURE_UNASKED_MAX + 1), ..few.clone() }.has_room());
        assert_eq!(ErasureRow::decode(&few.to_bytes()).unwrap(), few);
        assert!(row.has_room());
        // In a partition: as many nodes as there may be when all is erased, fewer when each value is named.
        let [holder, ..] = row.holders.as_slice() else { unreachable!() };
        let of_all = |count, scope| ErasureRow { holders: vec![holder.clone(); count], scope, ..row.clone() };
        let all = of_all(ERASURE_HOLDERS_MAX, ErasureScope::All);
        assert!(all.has_room());
        assert_eq!(ErasureRow::decode(&all.to_bytes()).unwrap(), all);
        assert!(!of_all(ERASURE_HOLDERS_MAX + 1, ErasureScope::All).has_room());
        let named = of_all(ERASURE_HOLDERS_MAX, ErasureScope::Values(commitments(ERASURE_VALUES_MAX)));
        assert!(!named.has_room());
        assert!(of_all(ERASURE_HOLDERS_MAX, ErasureScope::Values(commitments(ERASURE_VALUES_MAX / 2 - 8))).has_room());
        let held = SubjectHold { hold: name.clone(), until_ms: Some(u64::MAX) };
        let row = SubjectRow {
            erased: Some(name.clone()),
            orders: vec![name.clone(); SUBJECT_ERASURES_OPEN_MAX],
            holds: vec![held; SUBJECT_HOLDS_MAX],
            ..SubjectRow::new(&name, &subject)
        };
        assert_eq!(SubjectRow::decode(&row.to_bytes()).unwrap(), row);
        let open = OpenErasure { order: name, deadline_ms: u64::MAX };
        let open = vec![open; CONTROLLER_ERASURES_OPEN_MAX];
        let row = ControllerRow { orders: u64::MAX, complete: u64::MAX, holds: u64::MAX, open };
        assert_eq!(ControllerRow::decode(&row.to_bytes()).unwrap(), row);
    }

    #[test]
    fn a_scope_has_one_spelling() {
        let decode = |bytes: &[u8]| cbor::decode::<ErasureScope>(bytes, STATE_VALUE_BYTES_MAX);
        let values = commitments(3);
        for scope in [ErasureScope::All, ErasureScope::Values(values.clone())] {
            assert_eq!(decode(&cbor::encode(&scope)).unwrap(), scope);
        }
        let [a, b, c] = values.as_slice() else { unreachable!() };
        for wrong in [vec![], vec![*b, *a, *c], vec![*a, *a], commitments(ERASURE_VALUES_MAX + 1)] {
            assert!(decode(&cbor::encode(&ErasureScope::Values(wrong))).is_err());
        }
        assert!(decode(&cbor::encode("some")).is_err());
        assert!(decode(&cbor::encode(&7u8)).is_err());
    }
}
