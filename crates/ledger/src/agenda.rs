//! The agenda: which proposal is due when. Looked at before each block's transactions.
//!
//! A proposal that is open, paused or accepted stands on it once; when its time or height has come, it lapses, goes on, or
//! takes effect. So many take effect at one height and no more: a later one gets a later height, which it states from then on.
//!
//! INVARIANT: what is due never stops a block. A proposal whose changes cannot be made any more is marked as failed.

use minicbor::{Decode, Encode};
use tallystick_protocol::{
    Code, ProposalRow, ProposalStatus, StateKey,
    limits::{EFFECTS_PER_BLOCK_MAX, FAILURE_VIOLATIONS_MAX, LAPSES_PER_BLOCK_MAX, TURNS_PER_PAGE},
    proposal::Failure,
};

use crate::{
    apply::{BlockContext, Stop},
    change::{self, Decree},
    partition,
    proposal::{self, row::Turn},
    state::{Draft, Missing, Row, Unread, View, row_bytes},
};

/// The version of the protocol that this program knows.
pub const PROTOCOL_VERSION: u32 = 1;
/// The version with which a network begins.
const FIRST_VERSION: u32 = 1;

/// What is due, and by which version of the protocol blocks are applied: one row, read in every block.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct AgendaRow {
    /// The version of the protocol.
    #[n(0)]
    pub version: u32,
    /// Proposals so far.
    #[n(1)]
    pub proposals: u64,
    /// The proposals that are not decided or carried out yet, in no order that means anything.
    #[n(2)]
    pub due: Vec<Due>,
    /// Turns so far: what became of proposals at the beginning of blocks.
    #[n(3)]
    pub turns: u64,
}

/// When a proposal is due.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Due {
    /// Its id.
    #[n(0)]
    pub proposal: String,
    /// The organisation that submitted it.
    #[n(1)]
    pub organisation: String,
    /// When, and what then.
    #[n(2)]
    pub when: When,
}

/// When, and what then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum When {
    /// From this time on, in Unix milliseconds, no ballots are taken.
    #[n(0)]
    Closes(#[n(0)] u64),
    /// From this time on, in Unix milliseconds, an objection no longer holds it up.
    #[n(1)]
    Resumes(#[n(0)] u64),
    /// At this height it takes effect.
    #[n(2)]
    Effect(#[n(0)] u64),
}

row_bytes!(AgendaRow);

impl Default for AgendaRow {
    fn default() -> Self {
        Self { version: FIRST_VERSION, proposals: 0, due: Vec::new(), turns: 0 }
    }
}

impl AgendaRow {
    /// The agenda of a state.
    pub(crate) fn read(draft: &mut Draft<'_>) -> Result<Self, Unread> {
        Ok(draft.agenda(&StateKey::agenda())?.cloned().unwrap_or_default())
    }

    pub(crate) fn write(self, draft: &mut Draft<'_>) {
        draft.write(StateKey::agenda(), Row::Agenda(self));
    }

    /// Puts a proposal on the agenda, in place of what was due of it.
    pub(crate) fn set(&mut self, proposal: &ProposalRow, when: When) {
        self.remove(&proposal.id);
        let organisation = proposal.proposer.organisation().to_owned();
        self.due.push(Due { proposal: proposal.id.clone(), organisation, when });
    }

    pub(crate) fn remove(&mut self, proposal: &str) {
        self.due.retain(|due| due.proposal != proposal);
    }

    /// The first height from `height` on at which one more proposal may take effect.
    pub(crate) fn free_height(&self, height: u64) -> u64 {
        let taken = |height: u64| self.due.iter().filter(|due| due.when == When::Effect(height)).count();
        let mut free = height;
        while taken(free) >= EFFECTS_PER_BLOCK_MAX {
            free += 1;
        }
        free
    }

    fn due_now(&self, block: &BlockContext) -> Vec<Due> {
        let (mut effects, mut others) = (0, 0);
        let mut room = |due: &&Due| match due.when {
            When::Effect(height) => height <= block.height && take(&mut effects, EFFECTS_PER_BLOCK_MAX),
            When::Closes(at_ms) | When::Resumes(at_ms) => {
                at_ms <= block.time_ms && take(&mut others, LAPSES_PER_BLOCK_MAX)
            }
        };
        self.due.iter().filter(|due| room(due)).cloned().collect()
    }
}

/// Counts one more, if there is room.
fn take(count: &mut usize, most: usize) -> bool {
    *count += 1;
    *count <= most
}

/// The rows that [`begin_block`] reads in every block.
pub fn wanted_first() -> [StateKey; 1] {
    [StateKey::agenda()]
}

/// Does what is due at the beginning of the block, before its transactions: proposals lapse, go on, or take effect.
///
/// # Errors
/// When rows are missing: nothing was changed.
///
/// # Panics
/// When the network has voted for a version of the protocol that this program does not know. Going on would split it from
/// the others.
pub fn begin_block(view: &mut View, block: &BlockContext) -> Result<Vec<Turn>, Missing> {
    let mut draft = Draft::new(view);
    match run(&mut draft, block) {
        Ok(turns) => {
            draft.commit();
            Ok(turns)
        }
        Err(Unread) => Err(draft.into_missing()),
    }
}

fn run(draft: &mut Draft<'_>, block: &BlockContext) -> Result<Vec<Turn>, Unread> {
    // In nearly every block this is all: one row, looked at where it lies.
    let (due, turns) = match draft.agenda(&StateKey::agenda())? {
        Some(agenda) => {
            require_known(agenda.version, block.height);
            (agenda.due_now(block), agenda.turns)
        }
        None => (Vec::new(), 0),
    };
    if due.is_empty() {
        return Ok(Vec::new());
    }
    let pages = turns_page(turns)..=turns_page(turns.saturating_add(due.len() as u64));
    pages.for_each(|page| draft.touch(StateKey::turns(page)));
    due.iter().for_each(|due| draft.touch(StateKey::proposal(&due.proposal)));
    draft.complete()?;
    fetch_changes(draft, &due)?;
    let mut turns = Vec::with_capacity(due.len());
    for due in due {
        turns.push(turn(draft, block, &due)?);
    }
    Ok(turns)
}

/// Asks at once for all rows that those that take effect read.
fn fetch_changes(draft: &mut Draft<'_>, due: &[Due]) -> Result<(), Unread> {
    let mut keys = Vec::new();
    for due in due.iter().filter(|due| matches!(due.when, When::Effect(_))) {
        let changes = draft.proposal(&StateKey::proposal(&due.proposal))?.map_or(0, |row| row.changes);
        keys.extend((0..changes).map(|index| StateKey::change(&due.proposal, index)));
    }
    keys.iter().for_each(|key| draft.touch(*key));
    draft.complete()?;
    let mut changes = Vec::with_capacity(keys.len());
    for key in &keys {
        changes.extend(draft.change(key)?.cloned());
    }
    change::fetch(draft, changes.iter())
}

/// Stops at blocks of a later protocol: they mean what this program cannot know.
fn require_known(version: u32, height: u64) {
    assert!(
        version <= PROTOCOL_VERSION,
        "block {height} is of version {version} of the protocol, and this program knows {PROTOCOL_VERSION}: install a \
         newer `tally` and start the node again",
    );
}

fn turn(draft: &mut Draft<'_>, block: &BlockContext, due: &Due) -> Result<Turn, Unread> {
    let Some(row) = draft.proposal(&StateKey::proposal(&due.proposal))? else {
        unreachable!("proposal {} is on the agenda and not in the state", due.proposal)
    };
    let mut row = ProposalRow::clone(row);
    let mut agenda = AgendaRow::read(draft)?;
    match due.when {
        When::Closes(_) => {
            row.status = ProposalStatus::Lapsed;
            row.decided_height = Some(block.height);
            agenda.remove(&row.id);
        }
        When::Resumes(_) => {
            row.paused_until_ms = None;
            let when = match row.status {
                ProposalStatus::Accepted => schedule(&mut row, &agenda, block),
                _ => When::Closes(row.closes_ms),
            };
            agenda.set(&row, when);
        }
        When::Effect(_) => {
            let failure = take_effect(draft, block, &row)?;
            row.status = if failure.is_some() { ProposalStatus::Failed } else { ProposalStatus::Effective };
            row.failure = failure;
            // A change may have written the row: it sets the version of the protocol.
            agenda = AgendaRow::read(draft)?;
            agenda.remove(&row.id);
        }
    }
    let turn = Turn {
        proposal: row.id.clone(),
        status: row.status,
        height: block.height,
        time_ms: block.time_ms,
        log_size: block.log_size,
    };
    note(draft, &mut agenda, turn.clone())?;
    agenda.write(draft);
    proposal::write(draft, row);
    Ok(turn)
}

/// Adds to the list of turns: no transaction tells of them, so the state does.
fn note(draft: &mut Draft<'_>, agenda: &mut AgendaRow, turn: Turn) -> Result<(), Unread> {
    let key = StateKey::turns(turns_page(agenda.turns));
    let mut page = draft.turns(&key)?.cloned().unwrap_or_default();
    page.turns.push(turn);
    draft.write(key, Row::Turns(page));
    agenda.turns += 1;
    Ok(())
}

/// The page of the list of turns on which the one of this number, from 0, stands.
pub fn turns_page(number: u64) -> u32 {
    u32::try_from(number / TURNS_PER_PAGE).unwrap_or(u32::MAX)
}

/// States the height at which an accepted proposal takes effect: after its notice, and not before it was asked for.
pub(crate) fn schedule(row: &mut ProposalRow, agenda: &AgendaRow, block: &BlockContext) -> When {
    let noticed = block.height.saturating_add(row.notice_blocks());
    let wanted = row.stated_height.unwrap_or_default();
    let height = agenda.free_height(wanted.max(noticed));
    row.effect_height = Some(height);
    When::Effect(height)
}

/// Sets the version of the protocol from the block after this one's transactions on, by decree.
pub(crate) fn set_version(draft: &mut Draft<'_>, version: u32) -> Result<(), Stop> {
    let mut agenda = AgendaRow::read(draft)?;
    if agenda.version.checked_add(1) != Some(version) {
        return Err(Code::VersionInvalid.into());
    }
    agenda.version = version;
    agenda.write(draft);
    Ok(())
}

/// Makes the changes of a proposal, all or none; says which one cannot be made.
fn take_effect(draft: &mut Draft<'_>, block: &BlockContext, row: &ProposalRow) -> Result<Option<Failure>, Unread> {
    let decree = Decree { block, leaf: row.leaf };
    let before = draft.save();
    for index in 0..row.changes {
        let Some(change) = draft.change(&StateKey::change(&row.id, index))?.cloned() else {
            unreachable!("change {index} of proposal {} is not in the state", row.id)
        };
        let consented = partition::require_consent(draft, &row.id, &change);
        match consented.and_then(|()| change::make(draft, &decree, &change)) {
            Ok(()) => {}
            Err(Stop::Unread) => return Err(Unread),
            Err(Stop::Refused(code, mut violations)) => {
                draft.restore(before);
                violations.truncate(FAILURE_VIOLATIONS_MAX);
                return Ok(Some(Failure { change: index, code, violations }));
            }
        }
    }
    Ok(None)
}
