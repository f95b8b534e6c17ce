//! Apply ordered transactions to state, the same way on every node.
//!
//! Pure and synchronous: no clock, disk, socket, thread, float or hash order. What happens is a function of the rows in a
//! [`View`], the block's height and time, and the transaction.
//!
//! [`apply()`] is the way in; [`rsf`] reads and writes registers as files; the rest are the nouns.

pub mod apply;
mod authorise;
mod authority;
pub mod curie;
pub mod datatype;
pub mod definition;
mod entry;
pub mod entry_leaf;
pub mod genesis;
mod import;
pub mod item;
pub mod moment;
mod organisation;
pub mod register;
pub mod rsf;
pub mod schema;
pub mod state;
pub mod x509;

pub use apply::{BlockContext, apply, renews_itself, wanted, wanted_next};
pub use entry_leaf::{entry_leaf, entry_leaf_hash};
pub use genesis::genesis;
pub use rsf::{Rsf, RsfError, RsfWriter};
pub use state::{
    AuthorityRow, CountersRow, HeldKey, KeyRow, Missing, OrganisationRow, PrincipalRow, RevocationRow, RevokedRow,
    TreeRow, View,
};
