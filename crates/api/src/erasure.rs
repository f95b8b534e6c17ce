//! Orders of erasure with the receipts of their holders, legal holds, and what is noted of an entry that was wrong.

use serde::{Deserialize, Serialize};
use tallystick_protocol::{Commitment, CorrectionRow, ErasureRow, ErasureStatus, HoldRow, PrincipalId, Subject};
use utoipa::ToSchema;

/// An order of erasure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErasureView {
    /// Its id.
    pub order: String,
    /// The organisation whose nodes must destroy; in a partition the one from whose registers all members' nodes must.
    pub controller: String,
    /// Whom the values are about: `register:key`.
    #[schema(value_type = String)]
    pub subject: Subject,
    /// The commitments of the values; absent when all of the subject is erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub values: Option<Vec<Commitment>>,
    /// `open`, `on-hold`, `overdue` or `complete`, by the blocks' time; in a partition `incomplete` once all have destroyed but those who left.
    #[schema(value_type = String)]
    pub status: ErasureStatus,
    /// The holds that suspend it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holds: Vec<String>,
    /// Who demands it.
    pub authority: String,
    /// The law that it rests on.
    pub legal_basis: String,
    /// Why.
    pub reason: String,
    /// Who ordered it here.
    pub principal: String,
    /// The place of that transaction in the log; in a partition its number among the private transactions.
    pub index: u64,
    /// The height of its block.
    pub height: u64,
    /// When: milliseconds since 1970.
    pub ordered_ms: u64,
    /// By when every holder must have given its receipt: milliseconds since 1970.
    pub deadline_ms: u64,
    /// The nodes that must destroy, and what each said.
    pub holders: Vec<HolderView>,
    /// When the last of them gave its receipt, in a partition the last that has not left: milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_ms: Option<u64>,
    /// Who may hold what it is about, and is not asked: nodes (`ORGANISATION/NAME`) that were retired before it was ordered or, in a partition,
    /// stood where it allows none; and organisations that had left the partition.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unasked: Vec<String>,
}

/// A node that must destroy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HolderView {
    /// Its principal.
    pub node: String,
    /// Its receipt; absent until it has given it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<DestroyedView>,
    /// In a partition: its organisation has left, so that it can give none, unless it comes back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub left: bool,
}

/// What a holder said that it destroyed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DestroyedView {
    /// How many values it held.
    pub values: u32,
    /// The place of its receipt in the log.
    pub index: u64,
    /// The height of its block.
    pub height: u64,
    /// When: milliseconds since 1970.
    pub time_ms: u64,
}

/// Orders, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErasureList {
    /// The orders.
    pub erasures: Vec<ErasureView>,
    /// The `cursor` of the next page, of older ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A legal hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HoldView {
    /// Its id.
    pub hold: String,
    /// The organisation whose nodes must keep.
    pub controller: String,
    /// Whom the values are about: `register:key`.
    #[schema(value_type = String)]
    pub subject: Subject,
    /// `in-force`, `lifted` or `over`, by the blocks' time.
    pub status: String,
    /// Who demands it.
    pub authority: String,
    /// Why.
    pub reason: String,
    /// When it ends by itself: milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
    /// Who placed it here.
    pub principal: String,
    /// The place of that transaction in the log.
    pub index: u64,
    /// When: milliseconds since 1970.
    pub placed_ms: u64,
    /// How it was lifted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifted: Option<LiftedView>,
}

/// How a hold was lifted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LiftedView {
    /// By whom.
    pub principal: String,
    /// Why.
    pub reason: String,
    /// The place of that transaction in the log.
    pub index: u64,
    /// When: milliseconds since 1970.
    pub time_ms: u64,
}

/// Holds, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HoldList {
    /// The holds.
    pub holds: Vec<HoldView>,
    /// The `cursor` of the next page, of older ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Which orders of erasure in a partition are asked for. It is asked in a body, as all that its members alone may know.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PrivateErasures {
    /// This one alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<String>,
    /// Only those of this organisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controller: Option<String>,
    /// Only those that are not over. A page may then hold none and not be the last: only the absence of `next` says that.
    #[serde(default)]
    pub open: bool,
    /// `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<u64>,
    /// Orders on a page: 100 by default, 200 at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// Which legal holds in a partition are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PrivateHolds {
    /// Only those of this organisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controller: Option<String>,
    /// `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<u64>,
    /// Holds on a page: 100 by default, 200 at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// Which order of erasure in a partition is to be certified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PrivateCertificate {
    /// Its id.
    pub order: String,
}

/// What is noted of an entry that was wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CorrectionView {
    /// The register.
    pub register: String,
    /// The key of both entries.
    pub key: String,
    /// The number of the entry that was wrong.
    pub corrects: u64,
    /// The number of the entry that corrects it.
    pub entry: u64,
    /// Why.
    pub reason: String,
    /// Who demanded it, or found it.
    pub authority: String,
    /// The law that it rests on.
    pub legal_basis: String,
    /// Who corrected it here.
    pub principal: String,
    /// The place of that transaction in the log.
    pub index: u64,
    /// When: milliseconds since 1970.
    pub time_ms: u64,
}

/// The orders of the node's own organisation that are not complete; of those in partitions only how many are overdue, for anybody is told. It
/// never makes a node unready.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErasuresView {
    /// How many there are in the public partition.
    pub open: u64,
    /// Of these, how many a hold suspends.
    pub on_hold: u64,
    /// How many are past their deadline, and wait for no hold: of these, and of those in partitions that are the organisation's or wait for a node
    /// of it.
    pub overdue: u64,
    /// How many of all organisations are past it in the public partition: a regulator sees it on its own node.
    #[serde(default)]
    pub overdue_of_all: u64,
}

impl ErasuresView {
    /// Whether there is none.
    pub const fn is_none(&self) -> bool {
        self.open == 0 && self.overdue == 0 && self.overdue_of_all == 0
    }
}

impl ErasureView {
    /// The order, its subject under these holds, at this time.
    pub fn new(row: &ErasureRow, holds: Vec<String>, now_ms: u64) -> Self {
        Self {
            order: row.order.clone(),
            controller: row.controller.clone(),
            subject: row.subject.clone(),
            values: row.scope.values().map(<[Commitment]>::to_vec),
            status: row.status(!holds.is_empty(), now_ms),
            holds,
            authority: row.authority.clone(),
            legal_basis: row.legal_basis.clone(),
            reason: row.reason.clone(),
            principal: row.principal.to_string(),
            index: row.leaf,
            height: row.height,
            ordered_ms: row.ordered_ms,
            deadline_ms: row.deadline_ms,
            holders: row
                .holders
                .iter()
                .map(|holder| HolderView {
                    node: holder.node.to_string(),
                    receipt: holder.receipt.map(|said| DestroyedView {
                        values: said.values,
                        index: said.leaf,
                        height: said.height,
                        time_ms: said.time_ms,
                    }),
                    left: false,
                })
                .collect(),
            completed_ms: row.completed.map(|completed| completed.time_ms),
            unasked: row.unasked.clone(),
        }
    }

    /// The same with those holders marked that have left.
    #[must_use]
    pub fn with_left(mut self, left: &[PrincipalId]) -> Self {
        self.holders.iter_mut().for_each(|holder| holder.left = left.iter().any(|node| node.as_str() == holder.node));
        self
    }
}

impl HoldView {
    /// The hold at this time.
    pub fn new(row: HoldRow, now_ms: u64) -> Self {
        let status = match &row.lifted {
            Some(_) => "lifted",
            None if row.is_in_force(now_ms) => "in-force",
            None => "over",
        };
        Self {
            hold: row.hold,
            controller: row.controller,
            subject: row.subject,
            status: status.to_owned(),
            authority: row.authority,
            reason: row.reason,
            until_ms: row.until_ms,
            principal: row.principal.to_string(),
            index: row.leaf,
            placed_ms: row.placed_ms,
            lifted: row.lifted.map(|lifted| LiftedView {
                principal: lifted.principal.to_string(),
                reason: lifted.reason,
                index: lifted.leaf,
                time_ms: lifted.time_ms,
            }),
        }
    }
}

impl From<CorrectionRow> for CorrectionView {
    fn from(row: CorrectionRow) -> Self {
        Self {
            register: row.register,
            key: row.key,
            corrects: row.corrects,
            entry: row.entry,
            reason: row.reason,
            authority: row.authority,
            legal_basis: row.legal_basis,
            principal: row.principal.to_string(),
            index: row.leaf,
            time_ms: row.time_ms,
        }
    }
}
