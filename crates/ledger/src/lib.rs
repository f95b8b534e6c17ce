//! Apply ordered transactions to state, the same way on every node.
//!
//! Pure and synchronous: no clock, disk, socket, thread, float or hash order. What happens is a function of the rows in a
//! [`View`], the block's height and time, and the transaction.
//!
//! [`begin_block`] and then [`apply()`] for each transaction are the way in; [`rsf`] reads and writes registers as files; the rest are the nouns.

pub mod agenda;
pub mod apply;
mod authorise;
mod authority;
mod change;
mod consent;
mod correction;
pub mod curie;
pub mod datatype;
pub mod definition;
mod dry_run;
mod entry;
pub mod entry_leaf;
mod erasure;
pub mod expiry;
pub mod genesis;
mod hold;
mod import;
pub mod item;
mod key;
pub mod limit;
mod mandate;
mod membership;
pub mod moment;
mod node;
mod organisation;
mod partition;
pub mod personal;
pub mod policy;
mod principal;
pub mod proposal;
pub mod protection;
mod reading;
pub mod register;
pub mod rsf;
mod rulebook;
pub mod schema;
pub mod state;
pub mod validators;
pub mod x509;

pub use agenda::{AgendaRow, begin_block, wanted_first};
pub use apply::{BlockContext, apply, renews_itself, wanted, wanted_next};
pub use dry_run::{Difference, Report, dry_run, dry_run_rows};
pub use entry_leaf::{entry_leaf, entry_leaf_hash};
pub use genesis::genesis;
pub use limit::LimitsRow;
pub use policy::{PolicyCache, PolicyRow, PolicySetRow};
pub use proposal::row::{BallotRow, Failure, ObjectionRow, PageRow, Poll, ProposalRow, Turn, TurnsRow, Verdict};
pub use rsf::{Rsf, RsfError, RsfWriter};
pub use state::{
    AuthorityRow, CountersRow, HeldKey, KeyRow, MandateRow, Missing, OrganisationRow, PrincipalRow, RecoveryRow,
    RevocationRow, RevokedRow, ScheduleRow, TreeRow, ValidatorRow, View,
};
