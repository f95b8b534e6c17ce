//! Why a node did not admit a transaction. A rejection leaves no trace on the ledger (but see `attempts.rs`): the transaction may be mended or sent again.

use std::time::Duration;
use tallystick_protocol::{NetworkId, PrincipalId, PrincipalStatus, PublicKey, Violation, ViolationRule};

/// What is wrong, strongest first: the first that applies is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RejectionCode {
    /// The bytes are no transaction in canonical form.
    Malformed,
    /// It names another network.
    WrongNetwork,
    /// Its issuer used this idempotency key for another transaction.
    IdempotencyConflict,
    /// Its not-after time has passed.
    Expired,
    /// Its not-after time is too far away.
    NotAfterTooLate,
    /// Its principal is unknown, or the key was never one of the principal's.
    UnknownKey,
    /// The key is one of the principal's that has ended.
    RetiredKey,
    /// Its principal, or a co-signer, is suspended or retired.
    Inactive,
    /// The key's certificate has ended.
    ExpiredKey,
    /// It holds a value in the clear that is written only sealed.
    Exposed,
    /// It breaks the schema of a register that has such values, or is in a partition.
    Schema,
    /// The signature does not fit.
    BadSignature,
    /// The node has no room just now.
    Busy,
    /// The node is not ready: it is starting, joining or stopping.
    Unavailable,
}

impl RejectionCode {
    /// Every code, in order of precedence.
    pub const ALL: [Self; 14] = [
        Self::Malformed,
        Self::WrongNetwork,
        Self::IdempotencyConflict,
        Self::Expired,
        Self::NotAfterTooLate,
        Self::UnknownKey,
        Self::RetiredKey,
        Self::Inactive,
        Self::ExpiredKey,
        Self::Exposed,
        Self::Schema,
        Self::BadSignature,
        Self::Busy,
        Self::Unavailable,
    ];

    /// The stable text of the code.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::WrongNetwork => "wrong-network",
            Self::IdempotencyConflict => "idempotency-conflict",
            Self::Expired => "expired",
            Self::NotAfterTooLate => "not-after-too-late",
            Self::UnknownKey => "key-unknown",
            Self::RetiredKey => "key-retired",
            Self::Inactive => "principal-inactive",
            Self::ExpiredKey => "key-expired",
            Self::Exposed => "value-unsealed",
            Self::Schema => "schema",
            Self::BadSignature => "bad-signature",
            Self::Busy => "busy",
            Self::Unavailable => "unavailable",
        }
    }
}

impl std::fmt::Display for RejectionCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A transaction that was not admitted, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct Rejection {
    /// The stable code.
    pub code: RejectionCode,
    /// A sentence that names the thing and the remedy.
    pub detail: String,
    /// When it may be sent again as it is; `None` if that would not help.
    pub retry_after: Option<Duration>,
}

impl Rejection {
    pub(crate) fn new(code: RejectionCode, detail: String) -> Self {
        Self { code, detail, retry_after: None }
    }

    pub(crate) fn malformed(why: &impl std::fmt::Display) -> Self {
        Self::new(RejectionCode::Malformed, why.to_string())
    }

    pub(crate) fn wrong_network(theirs: NetworkId, ours: NetworkId) -> Self {
        let detail = format!(
            "the transaction is for network {theirs}, this node serves {ours}: sign it with this network's network.json"
        );
        Self::new(RejectionCode::WrongNetwork, detail)
    }

    pub(crate) fn idempotency_conflict(first: &str) -> Self {
        let detail = format!(
            "its issuer used this idempotency key already, for {first}: choose a fresh key for a new act, or send the first transaction again, unchanged, to learn its outcome"
        );
        Self::new(RejectionCode::IdempotencyConflict, detail)
    }

    pub(crate) fn expired(not_after: u64, now: u64) -> Self {
        let detail = format!(
            "its not-after time {not_after} is past (it is {now}, in seconds since 1970): sign it again with a later one, and check this machine's clock"
        );
        Self::new(RejectionCode::Expired, detail)
    }

    pub(crate) fn too_late(not_after: u64, latest: u64) -> Self {
        let detail = format!(
            "its not-after time {not_after} is later than the latest allowed, {latest} (in seconds since 1970): sign it again with an earlier one, and check this machine's clock"
        );
        Self::new(RejectionCode::NotAfterTooLate, detail)
    }

    pub(crate) fn unknown_key(principal: &PrincipalId, key: &PublicKey) -> Self {
        let detail = format!(
            "principal `{principal}` is not enrolled with key {key}: sign with a key in use, or ask an administrator of the organisation to enrol this one"
        );
        Self::new(RejectionCode::UnknownKey, detail)
    }

    pub(crate) fn retired_key(principal: &PrincipalId, key: &PublicKey) -> Self {
        let detail = format!("key {key} of `{principal}` has ended: sign with a key in use");
        Self::new(RejectionCode::RetiredKey, detail)
    }

    /// Whether it is evidence that somebody tried: the key was the signer's once, and may not sign.
    pub(crate) const fn is_evidence(&self) -> bool {
        matches!(self.code, RejectionCode::RetiredKey | RejectionCode::Inactive | RejectionCode::ExpiredKey)
    }

    pub(crate) fn inactive(principal: &PrincipalId, status: PrincipalStatus) -> Self {
        let remedy = match status {
            PrincipalStatus::Retired => "it signs nothing ever again, so sign as another, or have another enrolled",
            PrincipalStatus::Suspended | PrincipalStatus::Active => {
                "an administrator of its organisation can resume it with `tally principal resume`"
            }
        };
        let detail = format!("principal `{principal}` is {status}: {remedy}");
        Self::new(RejectionCode::Inactive, detail)
    }

    pub(crate) fn expired_key(principal: &PrincipalId, key: &PublicKey) -> Self {
        let detail = format!(
            "the certificate of key {key} of `{principal}` has expired: renew it with `tally key certify`, which this key may still sign"
        );
        Self::new(RejectionCode::ExpiredKey, detail)
    }

    pub(crate) fn exposed(operation: u32, violations: &[Violation]) -> Self {
        let told: Vec<String> = violations
            .iter()
            .map(|Violation { entry, field, rule }| format!("entry {entry}: field `{field}`: {rule}"))
            .collect();
        let is_exposed = violations.iter().any(|violation| violation.rule == ViolationRule::Unsealed);
        let (code, remedy) = match is_exposed {
            true => (RejectionCode::Exposed, "correct it, and seal what is `unsealed`"),
            false => (RejectionCode::Schema, "correct it"),
        };
        let detail = format!(
            "operation {operation} would be refused by its register ({}), and a refused transaction is in the log for ever: nothing of it was passed on; {remedy}",
            told.join("; ")
        );
        Self::new(code, detail)
    }

    pub(crate) fn busy(what: &str, retry_after: Duration) -> Self {
        Self { code: RejectionCode::Busy, detail: what.to_owned(), retry_after: Some(retry_after) }
    }

    pub(crate) fn unavailable(why: &str) -> Self {
        Self { code: RejectionCode::Unavailable, detail: why.to_owned(), retry_after: Some(Duration::from_secs(1)) }
    }

    pub(crate) fn stopping() -> Self {
        Self::unavailable("this node is stopping: send the transaction to another")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn who_signs_nothing_is_told_what_helps() {
        let told = |status| Rejection::inactive(&"hmrc/clerk".parse().unwrap(), status).detail;
        let suspended = told(PrincipalStatus::Suspended);
        assert!(suspended.contains("is suspended: an administrator") && suspended.contains("resume"), "{suspended}");
        let retired = told(PrincipalStatus::Retired);
        assert!(
            retired.contains("is retired: it signs nothing ever again") && !retired.contains("resume"),
            "{retired}"
        );
    }
}
