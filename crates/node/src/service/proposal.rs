//! Proposals as the state has them, the rulebook, and dry runs.

use super::{Runtime, Service};
use tallystick_ledger::{
    AgendaRow, BallotRow, BlockContext, Missing, ObjectionRow, OrganisationRow, PageRow, ProposalRow, Report, View,
    dry_run, state::CountersRow,
};
use tallystick_protocol::{
    Change, OrganisationStatus, Rulebook, StateKey, cbor,
    limits::{DRY_RUN_ROUNDS_MAX, ORGANISATIONS_PER_PAGE, PROPOSALS_PER_PAGE, STATE_VALUE_BYTES_MAX},
};
use tallystick_storage::read::ReadError;

/// A proposal with all that was said on it.
#[derive(Debug)]
pub struct Proposal {
    /// The height it stands at.
    pub height: u64,
    /// Where it stands.
    pub row: ProposalRow,
    /// Its text, if it carries it.
    pub text: Option<String>,
    /// What it changes.
    pub changes: Vec<Change>,
    /// Every organisation that may have spoken on it, with its ballot and its objection.
    pub said: Vec<Said>,
}

/// What one organisation said on a proposal.
#[derive(Debug)]
pub struct Said {
    /// The organisation.
    pub organisation: String,
    /// Whether it is active, and was when the proposal was submitted: it has a vote where the rule gives it one.
    pub was_active: bool,
    /// Its ballot.
    pub ballot: Option<BallotRow>,
    /// Its objection.
    pub objection: Option<ObjectionRow>,
}

impl<E: Runtime> Service<E> {
    /// The newest proposals whose numbers, from 0 in the order of submission, are below `before`: at most `limit`, the newest
    /// first. With the height they stand at, and the number of the last one.
    pub async fn proposals(&self, before: u64, limit: usize) -> Result<(u64, u64, Vec<ProposalRow>), ReadError> {
        let agenda = self.row(StateKey::agenda(), AgendaRow::decode).await?;
        let (height, total) = agenda.map_or((0, 0), |(height, agenda)| (height, agenda.proposals));
        let end = total.min(before);
        let first = end.saturating_sub(limit as u64);
        let mut rows = Vec::new();
        let mut page: Option<(u64, PageRow)> = None;
        for number in (first..end).rev() {
            let wanted = number / u64::from(PROPOSALS_PER_PAGE);
            if page.as_ref().is_none_or(|(held, _)| *held != wanted) {
                let key = StateKey::proposals(u32::try_from(wanted).unwrap_or(u32::MAX));
                page = Some((wanted, self.decoded(key, PageRow::decode).await?.unwrap_or_default()));
            }
            let place = usize::try_from(number % u64::from(PROPOSALS_PER_PAGE)).unwrap_or(usize::MAX);
            let Some(id) = page.as_ref().and_then(|(_, page)| page.ids.get(place)) else { continue };
            rows.extend(self.decoded(StateKey::proposal(id), ProposalRow::decode).await?);
        }
        Ok((height, first, rows))
    }

    /// A proposal with all that was said on it.
    pub async fn proposal(&self, id: &str) -> Result<Option<Proposal>, ReadError> {
        let Some((height, row)) = self.row(StateKey::proposal(id), ProposalRow::decode).await? else { return Ok(None) };
        let text = self.decoded(StateKey::rule_text(id), |bytes| cbor::decode(bytes, STATE_VALUE_BYTES_MAX)).await?;
        let mut changes = Vec::new();
        for index in 0..row.changes {
            let change = |bytes: &[u8]| cbor::decode(bytes, STATE_VALUE_BYTES_MAX);
            changes.extend(self.decoded(StateKey::change(id, index), change).await?);
        }
        let mut said = Vec::new();
        for organisation in self.organisations().await? {
            let ballot = self.decoded(StateKey::ballot(id, &organisation), BallotRow::decode).await?;
            let objection = self.decoded(StateKey::objection(id, &organisation), ObjectionRow::decode).await?;
            let member = self.decoded(StateKey::organisation(&organisation), OrganisationRow::decode).await?;
            let was_active = member.is_some_and(|member| {
                member.status == OrganisationStatus::Active && member.since_height <= row.submitted_height
            });
            said.push(Said { organisation, was_active, ballot, objection });
        }
        Ok(Some(Proposal { height, row, text, changes, said }))
    }

    /// The ids of all organisations that are or were members, in the order in which they joined.
    pub async fn organisations(&self) -> Result<Vec<String>, ReadError> {
        let counters = self.decoded(StateKey::counters(), CountersRow::decode).await?.unwrap_or_default();
        let mut ids = Vec::new();
        for page in 0..counters.organisations.div_ceil(ORGANISATIONS_PER_PAGE) {
            let page = self.decoded(StateKey::organisations(page), PageRow::decode).await?;
            ids.extend(page.into_iter().flat_map(|page| page.ids));
        }
        Ok(ids)
    }

    /// The rulebook in force, the version of the protocol, and the height they stand at.
    pub async fn rulebook(&self) -> Result<Option<(u64, u32, Rulebook)>, ReadError> {
        let decode = |bytes: &[u8]| cbor::decode(bytes, STATE_VALUE_BYTES_MAX);
        let Some((height, rulebook)) = self.row(StateKey::rulebook(), decode).await? else { return Ok(None) };
        let agenda = self.decoded(StateKey::agenda(), AgendaRow::decode).await?.unwrap_or_default();
        Ok(Some((height, agenda.version, rulebook)))
    }

    /// What changes would do in the next block, as late as this node's clock says it is; nothing comes of it. `None` when blocks came too fast to look at one state.
    pub async fn dry_run(&self, changes: &[Change]) -> Result<Option<(u64, Vec<Report>)>, ReadError> {
        let (mut height, mut view) = (None, View::with_policies(&self.0.shared.policies));
        for _ in 0..DRY_RUN_ROUNDS_MAX {
            let tip = self.tip();
            let context = BlockContext {
                network: self.network(),
                height: tip.header.height + 1,
                time_ms: tip.header.time_ms.max(crate::application::now_ms(&self.0.runtime)),
                log_size: tip.header.log.size,
            };
            let missing = match dry_run(&mut view, &context, changes) {
                Ok(reports) => return Ok(Some((height.unwrap_or(tip.header.height), reports))),
                Err(Missing(missing)) => missing,
            };
            let read = self.0.reader.rows(&missing).await?;
            if height.is_some_and(|height| height != read.height) {
                // Rows of two blocks make no state: begin again with those of the newer one.
                (height, view) = (None, View::with_policies(&self.0.shared.policies));
                continue;
            }
            height = Some(read.height);
            for (key, row) in missing.into_iter().zip(read.rows) {
                view.insert(key, row.map(|row| row.to_vec()));
            }
        }
        Ok(None)
    }

    pub(super) async fn decoded<T, X: std::fmt::Display>(
        &self,
        key: StateKey,
        decode: impl FnOnce(&[u8]) -> Result<T, X>,
    ) -> Result<Option<T>, ReadError> {
        Ok(self.row(key, decode).await?.map(|(_, row)| row))
    }
}
