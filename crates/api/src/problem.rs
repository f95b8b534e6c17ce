//! Errors as problem details (RFC 9457), with a stable code.

use crate::transaction::{SubmissionResult, ViolationView};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Declares the codes with their text, HTTP status and title.
macro_rules! codes {
    ($( $(#[$meta:meta])* $code:ident = $text:literal, $status:literal, $title:literal; )+) => {
        /// What went wrong. Of several, the first listed is told.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ProblemCode {
            $( $(#[$meta])* $code, )+
        }

        impl ProblemCode {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$code),+];

            /// The stable text.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$code => $text),+ }
            }

            /// The HTTP status that carries it.
            pub const fn status(self) -> u16 {
                match self { $(Self::$code => $status),+ }
            }

            /// The kind of problem in a few words, the same for every occurrence.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$code => $title),+ }
            }

            /// The code of this text.
            pub fn of(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|code| code.as_str() == text)
            }
        }
    };
}

codes! {
    /// The bytes are no transaction, or no sequence of them.
    Malformed = "malformed", 400, "Not a transaction";
    /// The transaction names another network.
    WrongNetwork = "wrong-network", 422, "Another network's transaction";
    /// The idempotency key was used for another transaction.
    IdempotencyConflict = "idempotency-conflict", 409, "Idempotency key used before";
    /// The transaction's not-after time has passed.
    Expired = "expired", 422, "Transaction expired";
    /// The transaction's not-after time is too far away.
    NotAfterTooLate = "not-after-too-late", 422, "Not-after time too late";
    /// The key is not one of the principal's.
    UnknownKey = "key-unknown", 403, "Key not enrolled";
    /// The key is one of the principal's that has ended.
    RetiredKey = "key-retired", 403, "Key retired";
    /// The principal, or a co-signer, is suspended or retired.
    Inactive = "principal-inactive", 403, "Principal not active";
    /// The key's certificate has ended.
    ExpiredKey = "key-expired", 403, "Key expired";
    /// A value is in the clear that is written only sealed; nothing was passed on.
    Exposed = "value-unsealed", 422, "Value not sealed";
    /// An entry breaks the schema of a register with sealed fields, or of one in a partition; nothing was passed on.
    Schema = "schema", 422, "Not as the schema says";
    /// The node does not hold for the organisation whose register it is.
    NotHolder = "not-holder", 421, "Not a holder here";
    /// An opening does not open what the transaction seals.
    OpeningMisfit = "opening-misfit", 422, "Opening does not fit";
    /// A sealed value of the transaction has no opening.
    OpeningMissing = "opening-missing", 422, "Opening missing";
    /// A value that is to be kept is erased.
    ValueErased = "value-erased", 409, "Value erased";
    /// A subject has more sealed values than one can have.
    VaultFull = "vault-full", 422, "Too many values of one subject";
    /// The transaction does not only read sealed values, or reads too many.
    NotARead = "not-a-read", 422, "Not a read";
    /// The read does not say whom a value is about.
    ReadSubject = "read-subject", 422, "Read does not say whom it is about";
    /// The read was handed in before: it is answered once.
    ReadKnown = "read-known", 409, "Read was handed in before";
    /// The ledger refused the read.
    ReadRefused = "read-refused", 403, "Read refused";
    /// The value is not kept here: it was erased, or handed in elsewhere.
    ValueAbsent = "value-absent", 404, "Value not here";
    /// The question is answered to the organisation's own, who sign it.
    Unasked = "question-unsigned", 401, "Question not signed by one's own";
    /// Policies do not permit the private transaction: nothing was ordered.
    NotPermitted = "not-permitted", 403, "Not permitted";
    /// The private transaction was executed before: it counts once.
    Repeated = "intent-repeated", 409, "Executed before";
    /// The signature does not fit.
    BadSignature = "bad-signature", 403, "Signature does not fit";
    /// No room just now: try again after the time given.
    Busy = "busy", 503, "Busy";
    /// The node does not serve yet, or no longer.
    Unavailable = "unavailable", 503, "Not available";
    /// A part of the path or a query is not what it should be.
    BadRequest = "bad-request", 400, "Bad request";
    /// No such resource.
    NotFound = "not-found", 404, "Not found";
    /// No such path.
    NoRoute = "no-route", 404, "No such path";
    /// The path exists; the method does not.
    MethodNotAllowed = "method-not-allowed", 405, "Method not allowed";
    /// None of the media types accepted is served here.
    NotAcceptable = "not-acceptable", 406, "Not acceptable";
    /// The transaction is not finalised yet, so there is no proof.
    NotFinalised = "not-finalised", 409, "Not finalised yet";
    /// The body is larger than the limit.
    BodyTooLarge = "body-too-large", 413, "Body too large";
    /// The body's media type is not taken here.
    UnsupportedMediaType = "unsupported-media-type", 415, "Unsupported media type";
    /// The request was not answered in time.
    Timeout = "timeout", 503, "Out of time";
    /// The server failed; its log says how.
    Internal = "internal", 500, "Internal error";
}

/// An error, `application/problem+json` (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Names the kind of problem: `urn:tallystick:problem:<code>`.
    #[serde(rename = "type")]
    #[schema(example = "urn:tallystick:problem:not-found")]
    pub kind: String,
    /// The kind of problem in a few words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// This occurrence: names the thing and the remedy.
    pub detail: String,
    /// The stable code; see `docs/reference/api.md`.
    #[schema(example = "not-found")]
    pub code: String,
    /// The rules broken, where there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub violations: Vec<ViolationView>,
    /// What became of each transaction, where a whole request of them was rejected.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub results: Vec<SubmissionResult>,
    /// Milliseconds to wait before the same request may succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl Problem {
    /// A problem of this code; `detail` names the thing and the remedy.
    pub fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:tallystick:problem:{}", code.as_str()),
            title: code.title().to_owned(),
            status: code.status(),
            detail: detail.into(),
            code: code.as_str().to_owned(),
            violations: Vec::new(),
            results: Vec::new(),
            retry_after_ms: None,
        }
    }

    /// The same, to be tried again after so many milliseconds.
    #[must_use]
    pub fn retry_after_ms(mut self, retry_after_ms: u64) -> Self {
        self.retry_after_ms = Some(retry_after_ms);
        self
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn codes_are_distinct_and_found_by_their_text() {
        for code in ProblemCode::ALL {
            assert_eq!(ProblemCode::of(code.as_str()), Some(*code));
            assert!((400..600).contains(&code.status()), "{code:?}");
        }
        assert_eq!(ProblemCode::of("no-such-code"), None);
    }

    #[test]
    fn a_problem_has_the_members_of_the_rfc_and_no_empty_ones() {
        let problem = Problem::new(ProblemCode::Busy, "the pool is full: send it again later").retry_after_ms(500);
        let json = serde_json::to_string(&problem).unwrap();
        assert_eq!(
            json,
            r#"{"type":"urn:tallystick:problem:busy","title":"Busy","status":503,"detail":"the pool is full: send it again later","code":"busy","retry_after_ms":500}"#
        );
        assert_eq!(serde_json::from_str::<Problem>(&json).unwrap(), problem);
    }
}
