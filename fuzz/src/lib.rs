//! Try to break every decoder and every verifier: each function here takes bytes that an adversary chose.
//!
//! A function panics when a promise is broken: when a decoder accepts two spellings of one meaning, or a verifier a proof
//! that an oracle refuses. The oracles share no code with what they judge: another SHA-256, another recursion, another
//! JSON parser. `cargo fuzz` drives these functions by coverage; `tests/forging.rs` drives the same ones from a seed, on
//! every run of the tests.

mod any_receipt;
mod choices;
mod decode;
mod graft;
mod json;
mod merkle;
mod oracle;
mod parcel;
mod receipt;
mod rsf;
mod sample;
mod seal;
mod signature;
mod text;
mod x509;

pub use any_receipt::any_receipt_forge;
pub use decode::{
    finality_decode, header_decode, log_entry_decode, operations_decode, partly_signed_decode, row_decode,
    transaction_decode,
};
pub use json::item_parse;
pub use merkle::{merkle_consistency, merkle_inclusion};
pub use parcel::{openings_forge, parcel_forge, payload_decode};
pub use receipt::{receipt_decode, receipt_forge, record_receipt_forge};
pub use rsf::rsf_parse;
pub use seal::{opening_decode, sealed_decode};
pub use signature::signature_forge;
pub use text::{genesis_parse, query_forge, text_parse};
pub use x509::x509_forge;

/// A target by name.
type Target = (&'static str, fn(&[u8]));

/// Every target, for whoever runs them all.
pub const TARGETS: &[Target] = &[
    ("transaction_decode", transaction_decode),
    ("partly_signed_decode", partly_signed_decode),
    ("operations_decode", operations_decode),
    ("log_entry_decode", log_entry_decode),
    ("header_decode", header_decode),
    ("finality_decode", finality_decode),
    ("row_decode", row_decode),
    ("receipt_decode", receipt_decode),
    ("opening_decode", opening_decode),
    ("sealed_decode", sealed_decode),
    ("payload_decode", payload_decode),
    ("parcel_forge", parcel_forge),
    ("openings_forge", openings_forge),
    ("item_parse", item_parse),
    ("text_parse", text_parse),
    ("genesis_parse", genesis_parse),
    ("rsf_parse", rsf_parse),
    ("merkle_inclusion", merkle_inclusion),
    ("merkle_consistency", merkle_consistency),
    ("signature_forge", signature_forge),
    ("query_forge", query_forge),
    ("receipt_forge", receipt_forge),
    ("record_receipt_forge", record_receipt_forge),
    ("any_receipt_forge", any_receipt_forge),
    ("x509_forge", x509_forge),
];
