//! The node and its network.

use serde::{Deserialize, Serialize};
use tallystick_protocol::{Genesis, Hash, PrincipalId};
use utoipa::ToSchema;

use crate::{ErasuresView, PostedRootView};

/// What is served here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Index {
    /// `Tallystick`.
    pub name: String,
    /// The program's version.
    pub version: String,
    /// The network's id.
    pub network: String,
    /// Where to look next: a word and its path.
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    pub links: std::collections::BTreeMap<String, String>,
}

/// The network: its id and genesis. Take a trust anchor from someone you trust, not from the node you would check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NetworkView {
    /// The network's id: the first 16 bytes of the SHA-256 of the genesis, hexadecimal.
    pub id: String,
    /// How many validators must sign.
    pub quorum: u64,
    /// The genesis, as `network.json` holds it.
    #[schema(value_type = Object)]
    pub genesis: Genesis,
}

/// How this node is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeStatus {
    /// The program's version.
    pub version: String,
    /// The network's id.
    pub network: String,
    /// The network's name.
    pub network_name: String,
    /// Whether it serves.
    pub ready: bool,
    /// Why it does not.
    pub reasons: Vec<String>,
    /// The newest finalised block it has applied.
    pub height: u64,
    /// That block's time: milliseconds since 1970.
    pub time_ms: u64,
    /// That block's digest.
    #[schema(value_type = String)]
    pub digest: Hash,
    /// Leaves in the log.
    pub log_size: u64,
    /// The log's root.
    #[schema(value_type = String)]
    pub log_root: Hash,
    /// The state's root.
    #[schema(value_type = String)]
    pub state_root: Hash,
    /// Milliseconds since that time, by this node's clock.
    pub age_ms: u64,
    /// Transactions waiting here to be ordered.
    pub pool: u64,
    /// Validators of the network.
    pub validators: u64,
    /// As whom it holds what only some may see: `organisation/name`; absent when it holds nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub holder: Option<PrincipalId>,
    /// Whether its key is one of these validators': if not, it follows them, and has nothing to vote on.
    pub validator: bool,
    /// Whether it votes.
    pub voting: bool,
    /// The last blocks before the network was recovered, each time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recovered: Vec<u64>,
    /// Registers on the ledger.
    pub registers: u64,
    /// What of the node's organisation ends within 90 days, or has ended, the nearest end first. It stops no node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expiries: Vec<ExpiryView>,
    /// Orders of erasure of the node's organisation that are not complete.
    #[serde(default, skip_serializing_if = "ErasuresView::is_none")]
    pub erasures: ErasuresView,
    /// Partitions of which the node is a member's, and that stand still on it, cannot be opened, or have an alarm.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partitions: Vec<PartitionTroubleView>,
}

/// What is amiss with a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PartitionTroubleView {
    /// The partition.
    pub partition: String,
    /// The height of the last block of which something was executed here.
    pub height: u64,
    /// Payloads that nobody has given for a while: without them it does not go on. 0 where it goes on.
    pub missing: u64,
    /// Whether the node cannot open it: then nothing is executed, and nobody is answered about it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shut: bool,
    /// The nodes that posted different roots of one height, each with its own; empty where none did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alarm: Vec<PostedRootView>,
}

impl PartitionTroubleView {
    /// Of one that cannot be opened.
    pub const fn of_shut(partition: String) -> Self {
        Self { partition, height: 0, missing: 0, shut: true, alarm: Vec::new() }
    }

    /// That it stands still, and the remedy, for people; none where it goes on.
    pub fn stall_sentence(&self) -> Option<String> {
        let Self { partition, height, missing, shut, .. } = self;
        if *shut {
            return Some(format!(
                "partition {partition} cannot be opened, and nobody is answered about it: the node's log says why: look at the disk under its data \
                 directory; it is tried again until it opens"
            ));
        }
        let missing = match missing {
            0 => return None,
            1 => "1 payload is missing, which".to_owned(),
            many => format!("{many} payloads are missing, which"),
        };
        let place = if *height == 0 { "at its beginning".to_owned() } else { format!("after block {height}") };
        Some(format!(
            "partition {partition} stands still {place}: {missing} no member's node gives: see that the nodes of its other \
             members run and reach this one (`tally partition show {partition}` names the members)"
        ))
    }

    /// That its members' nodes disagree, and the remedy, for people; none where they do not.
    pub fn alarm_sentence(&self) -> Option<String> {
        let Self { partition, alarm, .. } = self;
        let height = alarm.first()?.height;
        let roots: Vec<String> = alarm.iter().map(|one| format!("{} has {}", one.node, one.root)).collect();
        Some(format!(
            "alarm: partition {partition}: its members' nodes have different roots after block {height}: {}: nothing of it is certified or \
             disclosed from now on: find out which is wrong, then amend the agreement (`tally proposal draft FILE --kind partition-amend`)",
            roots.join(", ")
        ))
    }

    /// What is amiss, for people.
    pub fn sentences(&self) -> impl Iterator<Item = String> {
        self.stall_sentence().into_iter().chain(self.alarm_sentence())
    }
}

/// Something that ends by itself, or has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExpiryView {
    /// `key`, `authority` or `revocation-list`.
    pub what: String,
    /// Whose: a principal, or the name in a certificate.
    pub of: String,
    /// Which: a key, or the SHA-256 of a certificate or of an issuer.
    pub id: String,
    /// When: milliseconds since 1970.
    pub until_ms: u64,
    /// Which warning it is: 90, 30 or 7 days before, or 0 when it has ended.
    pub within_days: u64,
    /// What mends it.
    pub remedy: String,
}

impl ExpiryView {
    /// A sentence for people.
    pub fn sentence(&self, now_ms: u64) -> String {
        const MINUTE_MS: u64 = 60_000;
        const HOUR_MS: u64 = 60 * MINUTE_MS;
        const DAY_MS: u64 = 24 * HOUR_MS;
        let Self { what, of, id, remedy, .. } = self;
        let what = what.replace('-', " ");
        let when = match self.until_ms.checked_sub(now_ms) {
            Some(left_ms) if left_ms >= 2 * DAY_MS => format!("ends in {} days", left_ms / DAY_MS),
            Some(left_ms) if left_ms >= 2 * HOUR_MS => format!("ends in {} hours", left_ms.div_ceil(HOUR_MS)),
            Some(left_ms) if left_ms > MINUTE_MS => format!("ends in {} minutes", left_ms.div_ceil(MINUTE_MS)),
            Some(left_ms) if left_ms > 0 => "ends within a minute".to_owned(),
            _ => "has ended".to_owned(),
        };
        format!("the {what} {id} of {of} {when}: {remedy}")
    }
}

/// Whether the node serves (`/readyz`; 503 while it does not).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Readiness {
    /// Whether it serves.
    pub ready: bool,
    /// Why it does not.
    pub reasons: Vec<String>,
    /// The newest finalised block it has applied.
    pub height: u64,
    /// What of the node's organisation ends soon, as in its status. It never makes a node unready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expiries: Vec<ExpiryView>,
    /// Orders of erasure of the node's organisation that are not complete. They never make a node unready.
    #[serde(default, skip_serializing_if = "ErasuresView::is_none")]
    pub erasures: ErasuresView,
}
