//! What can go wrong between here and a node, naming the node and what to do.

use crate::{keyfile::KeyFileError, pkcs11::TokenError, profile::ProfileError};
use tallystick_api::Problem;

/// Why a node did not give what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No node address is known.
    #[error("no node is named: give one with --node http://HOST:PORT, or a profile with --dir")]
    NoNode,
    /// Not an address that can be asked.
    #[error("`{0}` is not a node's address: write http://HOST:PORT or https://HOST")]
    Address(String),
    /// No node answered.
    #[error("no node answered: {}: is the network running?", list(.0))]
    Unreachable(Vec<Attempt>),
    /// The node answered with a problem (RFC 9457).
    #[error("{node} says: {}", said(.problem))]
    Problem {
        /// Address of the node.
        node: String,
        /// What it said.
        problem: Box<Problem>,
    },
    /// The answer is not what this route answers.
    #[error(
        "{node} gave an answer that cannot be understood ({what}): is it a node of Tallystick, and of this version?"
    )]
    Answer {
        /// Address of the node.
        node: String,
        /// What is wrong with the answer.
        what: String,
    },
    /// No node holds for the organisation.
    #[error(
        "none of the nodes holds what only some may see for `{0}`: name one that does with --node, or see `tally node list {0}`"
    )]
    NoHolder(String),
    /// Every node stayed busy until the time was up.
    #[error("every node was busy for {seconds} s: try again later, or give more time with --timeout")]
    Busy {
        /// How long it was tried.
        seconds: u64,
    },
    /// The transaction was taken by a node, and the time was up before it became final.
    #[error(
        "transaction {id} was handed in but is not final after {seconds} s: ask later with `tally transaction {id}`"
    )]
    NotFinal {
        /// The transaction's id.
        id: String,
        /// How long it was waited.
        seconds: u64,
    },
    /// The transaction cannot be made or signed.
    #[error("cannot sign the transaction: {0}")]
    Sign(String),
    /// The network's trust anchor cannot be read.
    #[error("cannot use the network file `{path}`: {message}")]
    Network {
        /// The file.
        path: String,
        /// What is wrong.
        message: String,
    },
    /// A key file.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// A key in a token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// A profile.
    #[error(transparent)]
    Profile(#[from] ProfileError),
}

/// A node that was tried, and what came of it.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Address of the node.
    pub node: String,
    /// Why it gave no answer.
    pub reason: String,
}

fn list(attempts: &[Attempt]) -> String {
    let attempts: Vec<String> = attempts.iter().map(|a| format!("{} ({})", a.node, a.reason)).collect();
    attempts.join(", ")
}

fn said(problem: &Problem) -> String {
    let said = if problem.detail.is_empty() { &problem.title } else { &problem.detail };
    match (said.is_empty(), problem.code.is_empty()) {
        (true, _) => format!("HTTP status {}", problem.status),
        (false, true) => said.clone(),
        (false, false) => format!("{said} ({})", problem.code),
    }
}

impl Error {
    /// The problem's code, when a node reported one.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Problem { problem, .. } => Some(&problem.code),
            _ => None,
        }
    }

    /// The HTTP status, when a node answered.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Problem { problem, .. } => Some(problem.status),
            _ => None,
        }
    }
}
