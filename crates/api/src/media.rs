//! Media types, as `Content-Type` and `Accept` name them.

/// One transaction: a COSE_Sign1 message (RFC 9052 section 2).
pub const COSE: &str = "application/cose";
/// Transactions one after another: a CBOR sequence (RFC 8742).
pub const CBOR_SEQ: &str = "application/cbor-seq";
/// A transaction with what opens the values sealed in it: deterministic CBOR, `SealedSubmission` of the protocol.
pub const SEALED: &str = "application/vnd.tallystick.sealed+cbor";
/// What was read: deterministic CBOR, `Reading` of the protocol.
pub const READING: &str = "application/vnd.tallystick.reading+cbor";
/// A receipt: deterministic CBOR, `Receipt` of the protocol.
pub const RECEIPT: &str = "application/vnd.tallystick.receipt+cbor";
/// What a recovery stands on: deterministic CBOR, `RecoveryGround` of the protocol.
pub const RECOVERY: &str = "application/vnd.tallystick.recovery+cbor";
/// JSON (RFC 8259).
pub const JSON: &str = "application/json";
/// An error (RFC 9457).
pub const PROBLEM: &str = "application/problem+json";
/// Comma-separated values with a header line (RFC 4180).
pub const CSV: &str = "text/csv; charset=UTF-8";
/// Register Serialisation Format, the whole history of a register.
pub const RSF: &str = "application/uk-gov-rsf";
/// Server-sent events.
pub const EVENTS: &str = "text/event-stream";
/// Metrics in Prometheus' text format.
pub const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The header of every read that names the height of the newest block the answer takes into account.
pub const HEIGHT_HEADER: &str = "tally-height";
/// The header of an answer in a partition that says how many notices of corrections wait there for whoever asked: `‹partition›=‹count›`. It is not
/// there when none do.
pub const NOTICES_HEADER: &str = "tally-notices";
