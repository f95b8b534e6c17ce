//! What an auditor asks for: acts as the log has them, and what became of proposals at the beginning of blocks, which no
//! transaction tells and the state does.

use super::{
    Runtime, Service,
    state::{Lack, Sheet},
};
use tallystick_ledger::{AgendaRow, Turn, TurnsRow};
use tallystick_protocol::{
    Change, LogEntry, ProposalRow, Resource, SignedTransaction, StateKey, cbor,
    limits::{AUDIT_TURNS_MAX, PAGE_BYTES_MAX, STATE_VALUE_BYTES_MAX, TURNS_PER_PAGE},
};
use tallystick_storage::{history::ActQuery, read::ReadError};

/// An act as the log has it.
#[derive(Clone)]
pub struct Act {
    /// Its leaf.
    pub leaf: u64,
    /// What the log stores.
    pub entry: LogEntry,
    /// The entry's transaction, decoded.
    pub transaction: SignedTransaction,
}

/// What became of a proposal at the beginning of a block.
pub struct ProposalTurn {
    /// When, and what.
    pub turn: Turn,
    /// The changes of the proposal.
    pub changes: Vec<Change>,
}

/// Log entries read together while acts are looked through.
const ACTS_READ: usize = 64;

impl<E: Runtime> Service<E> {
    /// Reads leaves that [`History::acts`](tallystick_storage::history::History::acts) gave, newest first, and gives those that
    /// are asked for, and how many leaves it read: not all of them when their bytes are many.
    pub async fn acts(&self, query: &ActQuery, leaves: &[u64]) -> Result<(Vec<Act>, usize), ReadError> {
        let (mut acts, mut read, mut bytes) = (Vec::new(), 0, 0);
        for leaves in leaves.chunks(ACTS_READ) {
            let locations: Vec<u64> = {
                let history = self.history();
                leaves.iter().rev().filter_map(|leaf| history.location(*leaf)).collect()
            };
            let entries = self.0.reader.log_entries(&locations).await?;
            for (leaf, entry) in leaves.iter().zip(entries.into_iter().rev()) {
                bytes += entry.transaction.len();
                let transaction = SignedTransaction::decode(entry.transaction.clone())
                    .map_err(|error| ReadError::Storage { database: "log", detail: error.to_string() })?;
                if query.matches(&entry, &transaction) {
                    acts.push(Act { leaf: *leaf, entry, transaction });
                }
            }
            read += leaves.len();
            if bytes >= PAGE_BYTES_MAX {
                break;
            }
        }
        Ok((acts, read))
    }

    /// The turns that are asked for, newest first, up to the block at `height`, of those with more than `after` leaves of the
    /// log before them (with `None`: however few) and with `to` at most. When more than [`AUDIT_TURNS_MAX`] would have to be
    /// looked at: those of newer places, and the place from which on the rest is.
    pub async fn turns(
        &self,
        query: &ActQuery,
        height: u64,
        places: (Option<u64>, u64),
    ) -> Result<(Vec<ProposalTurn>, Option<u64>), ReadError> {
        if !query.asks_for_turns() {
            return Ok((Vec::new(), None));
        }
        let found = self.read([StateKey::agenda()], |sheet| {
            let (turns, rest) = looked_at(sheet, query, height, places)?;
            let mut turns = with_changes(sheet, turns)?;
            turns.retain(|one| is_about(query, one));
            Ok((turns, rest))
        });
        Ok(found.await?.1)
    }
}

/// Turns of these places and of the times that are asked for, whatever they are about; see [`Service::turns`].
fn looked_at(
    sheet: &Sheet,
    query: &ActQuery,
    height: u64,
    (after, to): (Option<u64>, u64),
) -> Result<(Vec<Turn>, Option<u64>), Lack> {
    let mut turns: Vec<Turn> = Vec::new();
    for page in (0..pages_to(sheet, to)?).rev() {
        for turn in page_of(sheet, page)?.into_iter().rev() {
            if turn.height > height || turn.log_size > to || query.to_ms.is_some_and(|to| turn.time_ms >= to) {
                continue;
            }
            let is_too_old = query.from_ms.is_some_and(|from| turn.time_ms < from);
            if is_too_old || after.is_some_and(|after| turn.log_size <= after) {
                return Ok((turns, None));
            }
            if turns.len() == AUDIT_TURNS_MAX {
                // A place is told whole or not at all.
                turns.retain(|one| one.log_size > turn.log_size);
                return Ok((turns, Some(turn.log_size)));
            }
            turns.push(turn);
        }
    }
    Ok((turns, None))
}

/// How many pages of turns begin with one that has `to` leaves before it at most. Turns stand in the order of their blocks.
fn pages_to(sheet: &Sheet, to: u64) -> Result<u32, Lack> {
    let agenda = sheet.row(StateKey::agenda(), AgendaRow::decode)?.unwrap_or_default();
    let (mut low, mut high) = (0, u32::try_from(agenda.turns.div_ceil(TURNS_PER_PAGE)).unwrap_or(u32::MAX));
    while low < high {
        // The newest page first: it is nearly always the one.
        let middle = if low == 0 && to == u64::MAX { high - 1 } else { low + (high - low) / 2 };
        let first = page_of(sheet, middle)?.into_iter().next();
        if first.is_some_and(|turn| turn.log_size <= to) { low = middle + 1 } else { high = middle }
    }
    Ok(low)
}

fn page_of(sheet: &Sheet, page: u32) -> Result<Vec<Turn>, Lack> {
    Ok(sheet.row(StateKey::turns(page), TurnsRow::decode)?.unwrap_or_default().turns)
}

fn with_changes(sheet: &Sheet, turns: Vec<Turn>) -> Result<Vec<ProposalTurn>, Lack> {
    let rows = sheet.rows(turns.iter().map(|turn| StateKey::proposal(&turn.proposal)), ProposalRow::decode)?;
    let keys = |row: &Option<ProposalRow>| -> Vec<StateKey> {
        row.iter().flat_map(|row| (0..row.changes).map(|index| StateKey::change(&row.id, index))).collect()
    };
    sheet.require(rows.iter().flat_map(keys))?;
    let one = |(turn, row): (Turn, &Option<ProposalRow>)| {
        let changes = sheet.rows(keys(row), |bytes| cbor::decode(bytes, STATE_VALUE_BYTES_MAX))?;
        Ok(ProposalTurn { turn, changes: changes.into_iter().flatten().collect() })
    };
    turns.into_iter().zip(&rows).map(one).collect()
}

fn is_about(query: &ActQuery, ProposalTurn { turn, changes }: &ProposalTurn) -> bool {
    let about: Vec<Resource> =
        Resource::proposal(&turn.proposal).into_iter().chain(changes.iter().flat_map(Change::resources)).collect();
    query.resources.iter().all(|resource| about.contains(resource))
}
