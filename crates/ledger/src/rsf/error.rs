//! Errors of RSF: where in the file, what, and what would be right.

use std::fmt;

use tallystick_protocol::{Hash, limits::ITEMS_PER_ENTRY_MAX, operation::NameError};

use crate::{entry_leaf::format_v1_hash, item::ItemErrorKind, moment::format_timestamp};

/// Why a text is not a register's history.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {kind}")]
pub struct RsfError {
    /// The line, from 1.
    pub line: u64,
    /// The character within the line, from 1.
    pub column: u64,
    /// What is wrong there.
    pub kind: RsfErrorKind,
}

/// What can be wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RsfErrorKind {
    /// Bytes that are not UTF-8.
    NotUtf8,
    /// A carriage return before the line feed.
    CarriageReturn,
    /// A line without a command.
    Blank,
    /// A command that RSF does not have.
    Command(String),
    /// Too many or too few fields after a command.
    FieldCount {
        /// The command.
        command: &'static str,
        /// Its fields.
        expected: usize,
        /// The fields given.
        found: usize,
    },
    /// An item that is not canonical.
    Item(ItemErrorKind),
    /// Neither `user` nor `system`.
    Kind(String),
    /// A key against the grammar.
    Key(NameError),
    /// A timestamp of another form.
    Timestamp(String),
    /// A hash of another form.
    Hash(String),
    /// More items than an entry may have.
    TooManyItems,
    /// An item that no line before has given.
    UnknownItem(Hash),
    /// An item that no entry uses.
    OrphanItem(Hash),
    /// An entry older than the one before it under the same key.
    Order {
        /// The key.
        key: String,
        /// The earlier entry's timestamp, in Unix seconds.
        previous: u64,
    },
    /// An asserted root that the entries do not have.
    Root {
        /// User entries up to this line.
        user_entries: u64,
        /// The root they have.
        computed: Hash,
    },
    /// An entry that no transaction can hold.
    TooLarge {
        /// Bytes of the entry and its items.
        bytes: usize,
        /// Bytes that a transaction has for it.
        bytes_max: usize,
    },
}

impl fmt::Display for RsfErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUtf8 => f.write_str("not UTF-8: save the file as UTF-8"),
            Self::CarriageReturn => f.write_str("line ends with a carriage return: end lines with a line feed alone"),
            Self::Blank => f.write_str("no command on this line: remove it"),
            Self::Command(name) => {
                write!(f, "unknown command `{name}`: use add-item, append-entry or assert-root-hash")
            }
            Self::FieldCount { command, expected, found } => {
                write!(f, "{command} has {expected} fields after it, separated by tabs: found {found}")
            }
            Self::Item(error) => write!(f, "item: {error}"),
            Self::Kind(name) => write!(f, "unknown kind of entry `{name}`: use user or system"),
            Self::Key(error) => error.fmt(f),
            Self::Timestamp(text) => {
                write!(f, "`{text}` is not a timestamp: write whole seconds in UTC, such as 2017-07-17T10:59:46Z")
            }
            Self::Hash(text) => {
                write!(f, "`{text}` is not a hash: write sha-256: and 64 lower-case hexadecimal digits")
            }
            Self::TooManyItems => write!(f, "an entry has up to {ITEMS_PER_ENTRY_MAX} items: split it"),
            Self::UnknownItem(hash) => {
                write!(f, "entry of an unknown item {}: add the item on an earlier line", format_v1_hash(hash))
            }
            Self::OrphanItem(hash) => {
                write!(f, "orphan item {}: remove it, or append the entry that it belongs to", format_v1_hash(hash))
            }
            Self::Order { key, previous } => {
                let previous = format_timestamp(*previous);
                write!(
                    f,
                    "entry older than the one before it for `{key}`, of {previous}: order each key's entries by time"
                )
            }
            Self::Root { user_entries, computed } => {
                let computed = format_v1_hash(computed);
                write!(
                    f,
                    "asserted root is not that of the {user_entries} user entries so far, {computed}: \
                     check that the file is complete and unchanged"
                )
            }
            Self::TooLarge { bytes, bytes_max } => {
                write!(f, "entry of {bytes} bytes, more than the {bytes_max} of one transaction: shorten its items")
            }
        }
    }
}
