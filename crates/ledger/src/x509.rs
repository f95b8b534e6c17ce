//! X.509: whether a certificate was issued, through others, by an authority that is trusted here, by RFC 5280.
//!
//! 1. [`Certificate::parse`] holds one certificate to the profile (section 4): what an authority must write, and what is
//!    refused here by name.
//! 2. [`find`] looks for a chain from it to one of the authorities, for whoever has a heap of files.
//! 3. [`check`] judges one chain in its order (section 6.1): signatures, validity at the time given, names, path length,
//!    purpose. This is what every node does again with the chain that stands in a transaction.
//! 4. [`RevocationList`] says what an authority has taken back.
//!
//! [`issue`] makes certificates for networks on which things are tried.
//!
//! Certificate policies are not mapped: an authority that maps or constrains them is refused, for here the ledger says what
//! each policy means.

mod certificate;
mod constraints;
mod fault;
mod file;
mod issue;
mod name;
mod path;
mod revocation;
mod signature;

pub use certificate::Certificate;
pub use fault::{Fault, PathFault};
pub use file::{Document, read};
pub use issue::{IssueError, Wording, issue, issue_authority};
pub use path::{PRINCIPAL_PURPOSES, Path, Terms, check, check_issuer, find};
pub use revocation::RevocationList;
