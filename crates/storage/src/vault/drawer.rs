//! What lies in one file of the vault, and is destroyed together.
//!
//! In the public partition that is all about one subject, for a node holds for one controller. In another partition it holds what several
//! controllers wrote, and each has destroyed what is its own: so it is all about one subject in one register there, which has one
//! custodian for ever.

use tallystick_protocol::{Place, Subject};

/// A subject, where values about it stand.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Drawer {
    /// A partition, and a register in it; none for the public one.
    within: Option<(String, String)>,
    subject: Subject,
}

impl Drawer {
    /// All about a subject in the public partition.
    pub const fn public(subject: Subject) -> Self {
        Self { within: None, subject }
    }

    /// All about a subject in a register of a partition.
    pub fn private(partition: &str, register: &str, subject: Subject) -> Self {
        Self { within: Some((partition.to_owned(), register.to_owned())), subject }
    }

    /// The one of the values that stand there.
    pub fn of(place: &Place) -> Self {
        match place.partition() {
            None => Self::public(place.subject().clone()),
            Some(partition) => Self::private(partition, place.register(), place.subject().clone()),
        }
    }

    /// What names its file, under the vault's key. INVARIANT: no two drawers have one name. A register's name holds no `/`.
    pub(super) fn text(&self) -> String {
        match &self.within {
            None => self.subject.to_string(),
            Some((partition, register)) => format!("{partition}/{register}/{}", self.subject),
        }
    }
}
