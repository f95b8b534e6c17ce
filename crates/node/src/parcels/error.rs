//! Why a private transaction was not executed, or a question about a partition not answered.

use crate::rejection::Rejection;
use std::collections::BTreeSet;
use tallystick_ledger::protection::Spot;
use tallystick_protocol::{Code, PolicyId, PrincipalId, Refusal};
use tallystick_storage::read::ReadError;

/// Why a private transaction was not executed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrivateError {
    /// This node has no keys of a holder.
    #[error("this node holds nothing that only some may see: ask a node of a member that does")]
    NotHolder,
    /// An opening, from 0, that opens nothing that the transaction seals where it stands, or what another opens.
    #[error(
        "opening {0} does not open a value that the transaction seals in that place: seal each value once, for its own partition, register, key, field and subject"
    )]
    Misfit(usize),
    /// A commitment that nothing opens here, by register, key and field.
    #[error(
        "record `{}/{}`: field `{}` has a sealed value whose opening is not here: hand it in with the transaction",
        .0.0, .0.1, .0.2
    )]
    OpeningMissing(Spot),
    /// One that is erased, by register, key and field.
    #[error(
        "record `{}/{}`: what field `{}` held is erased, or ordered to be: leave it out; another value can be sealed only where the order named single values",
        .0.0, .0.1, .0.2
    )]
    Erased(Spot),
    /// Values that would be disclosed and are erased: no read of them is put on record.
    #[error(
        "record `{register}/{key}`: erased is what was sealed in {}: leave that out; what is not named stays sealed",
        named(fields)
    )]
    ReadErased {
        /// The register.
        register: String,
        /// The record's key.
        key: String,
        /// The fields.
        fields: BTreeSet<String>,
    },
    /// A subject has as many values in the vault as it can.
    #[error("{0}")]
    VaultFull(String),
    /// This node holds nothing of the partition.
    #[error(
        "this node holds nothing of partition `{0}`: ask a node of one of its members that stands where its agreement allows; `tally datamap` says which they are, if there is such a partition, and they give records to members' own alone"
    )]
    NotHeld(String),
    /// This node should hold the partition, and cannot open it.
    #[error(
        "this node cannot open partition `{0}`, which it should hold, and tries again: ask another node of your organisation; whoever runs this one finds why in its log"
    )]
    Shut(String),
    /// It is none that could be executed.
    #[error("it is no private transaction of this partition that could be executed: {0}")]
    Unfit(String),
    /// Policies do not permit it, as far as this node has executed the partition: nothing was ordered.
    #[error("{}", not_permitted(refusal, *height))]
    NotPermitted {
        /// What they say.
        refusal: Box<Refusal>,
        /// The height of the last block executed in the partition by then.
        height: u64,
    },
    /// It was refused before it was ordered.
    #[error("it would be refused: {0}: {advice}", advice = .0.advice())]
    Refused(Code),
    /// Something of it would be rejected in the public partition too.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// It was executed before: it counts once.
    #[error("it was executed as number {number} at height {height}: {}", came_to(*refused))]
    Repeated {
        /// Which it was of all in the partition, from 0.
        number: u64,
        /// The height of the block that ordered it.
        height: u64,
        /// Why it was refused, if it was.
        refused: Option<Code>,
    },
    /// A read that was executed before: what it read is given once.
    #[error(
        "it was executed as number {number} at height {height}: {}; what it read is given once: sign it again",
        came_to(*refused)
    )]
    ReadRepeated {
        /// Which it was of all in the partition, from 0.
        number: u64,
        /// The height of the block that ordered it.
        height: u64,
        /// Why it was refused, if it was.
        refused: Option<Code>,
    },
    /// A read that somebody else waits for.
    #[error("this read was handed in before, and is answered to who did: sign one of your own")]
    Read,
    /// A question that this node does not answer.
    #[error("the question is not answered: {0}")]
    Unasked(String),
    /// Too much waits.
    #[error("this node has as many private transactions to order as it can: try again shortly")]
    Busy,
    /// Too few members answered.
    #[error(
        "{have} of {need} members acknowledged it, and nothing was ordered: see by `tally status` whether the partition stands still here, whether the others' nodes run, and by `tally datamap` whether they stand where the agreement allows, and try again"
    )]
    Acknowledgements {
        /// Members that did, this one included.
        have: usize,
        /// Members that must.
        need: usize,
    },
    /// A member's node does not acknowledge it, for policies do not permit all of what was to be ordered together.
    #[error(
        "policies do not permit it, or what was handed in with it, says {0}, as far as that node has executed the partition; nothing was ordered: try \
         again shortly; if it stays so, one of the two nodes stands still, which `tally status` says"
    )]
    Disagreed(PrincipalId),
    /// What was ordered in the partition is not executed here yet.
    #[error(
        "this node executes what was ordered in partition `{partition}`, has come to block {height}, and tells nothing of it until it is done: ask again, \
         or another node of your organisation"
    )]
    Behind {
        /// The partition.
        partition: String,
        /// The height of the last block executed in it.
        height: u64,
    },
    /// What was ordered to be erased while this node was off, or cut off, is not destroyed yet.
    #[error(
        "this node carries out what was ordered to be erased in partition `{0}`, and gives nothing that is sealed there until it is done, some seconds after it began to follow the network: ask again, or another node of your organisation"
    )]
    Erasing(String),
    /// What a read is given here comes of executing it, which cannot be done: it would be on record for nothing.
    #[error(
        "partition `{partition}` stands still on this node after block {height}, for want of payloads that nobody has given it yet, so that it could not give what is read; nothing was ordered: ask another node of your organisation, or again once it goes on, which `tally status` says"
    )]
    Still {
        /// The partition.
        partition: String,
        /// The height of the last block executed in it.
        height: u64,
    },
    /// The order was not taken.
    #[error("it was not ordered: {0}")]
    Order(String),
    /// What the vault keeps of somebody is damaged: the log says which file, and the remedy.
    #[error(
        "what this node keeps of a person there is damaged: ask another node of your organisation, with --node, or whoever runs this one to restore its vault as its log says"
    )]
    Damaged,
    /// Something failed here.
    #[error("it could not be made ready: {0}")]
    Failed(String),
    /// What failed once a read had been executed.
    #[error("the read is on record, and {0}")]
    Recorded(String),
    /// The wait was bounded.
    #[error(
        "it is not executed yet, and may still be: before you do it again see whether it was, with --partition: a read in `tally access-log`, an entry in `tally record`; `tally partition show` says whether the partition stands still here"
    )]
    TimedOut,
}

fn named(fields: &BTreeSet<String>) -> String {
    fields.iter().map(|field| format!("`{field}`")).collect::<Vec<_>>().join(", ")
}

fn not_permitted(refusal: &Refusal, height: u64) -> String {
    let Refusal { code, operation, decision, .. } = refusal;
    let list = |ids: &[PolicyId]| ids.iter().map(PolicyId::as_str).collect::<Vec<_>>().join(", ");
    let by = match decision.determining.as_slice() {
        [] => "no policy permits it".to_owned(),
        forbid => format!("forbidden by {}", list(forbid)),
    };
    let skipped = match decision.skipped.as_slice() {
        [] => String::new(),
        failed => format!("; failed and skipped: {}", list(failed)),
    };
    let version = decision.version;
    format!(
        "operation {operation} is not permitted, and nothing was ordered: {by}, as of change {version} of the policies, in the partition as \
         of block {height}{skipped}: {}",
        code.advice()
    )
}

fn came_to(refused: Option<Code>) -> String {
    refused.map_or_else(|| "accepted".to_owned(), |code| format!("refused: {code}: {}", code.advice()))
}

impl PrivateError {
    /// The same, of a read that had been executed.
    pub(crate) fn recorded(self) -> Self {
        match self {
            Self::Recorded(why) | Self::Failed(why) => Self::Recorded(why),
            other => Self::Recorded(other.to_string()),
        }
    }
}

impl From<ReadError> for PrivateError {
    fn from(error: ReadError) -> Self {
        Self::Failed(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tallystick_protocol::Decision;

    #[test]
    fn who_may_not_is_told_by_which_policies() {
        let told = |determining: &[&str], skipped: &[&str]| {
            let ids = |ids: &[&str]| ids.iter().filter_map(|id| id.parse().ok()).collect();
            let decision =
                Decision { version: 4, determining: ids(determining), skipped: ids(skipped), mandates: Vec::new() };
            let refusal = Refusal { code: Code::NotPermitted, operation: 1, violations: Vec::new(), decision };
            PrivateError::NotPermitted { refusal: Box::new(refusal), height: 30 }.to_string()
        };
        assert_eq!(
            told(&[], &[]),
            "operation 1 is not permitted, and nothing was ordered: no policy permits it, as of change 4 of the policies, in the partition as \
             of block 30: have somebody sign it who may, or ask whoever keeps the policies"
        );
        let forbidden = told(&["no-writes", "child/frozen"], &["broken"]);
        assert!(forbidden.contains("forbidden by no-writes, child/frozen, as of change 4"), "{forbidden}");
        assert!(forbidden.contains("; failed and skipped: broken: have"), "{forbidden}");
    }

    #[test]
    fn who_sends_it_again_is_told_what_became_of_it() {
        let told = |refused| PrivateError::Repeated { number: 7, height: 30, refused }.to_string();
        assert_eq!(told(None), "it was executed as number 7 at height 30: accepted");
        let read = PrivateError::ReadRepeated { number: 7, height: 30, refused: None }.to_string();
        assert_eq!(
            read,
            "it was executed as number 7 at height 30: accepted; what it read is given once: sign it again"
        );
        let failed = PrivateError::Failed("its disk is full".to_owned());
        assert_eq!(failed.recorded().to_string(), "the read is on record, and its disk is full");
        let refused = told(Some(Code::NotMember));
        assert_eq!(
            refused,
            "it was executed as number 7 at height 30: refused: not-member: have a principal of a member sign it, \
             for itself or for one of a member"
        );
    }
}
