//! What became of proposals, as the state lists it: how each was decided or took effect, and in which block.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::{Ledger, organisations};
use tallystick_ledger::{AgendaRow, Turn, TurnsRow};
use tallystick_protocol::{ProposalStatus, StateKey, limits::TURNS_PER_PAGE};

#[test]
fn what_becomes_of_proposals_is_listed() {
    let mut ledger = Ledger::of(organisations(&["a", "b", "c", "d"]));
    ledger.run(
        r#"
        a/admin | propose p limit:registers:9                    | ok
        a/admin | propose q limit:registers:8                    | ok
        d/admin | propose l limit:registers:7                    | ok
        d/admin | object q A reason                              | ok
        a/admin | vote p yes                                     | ok
        b/admin | vote p yes                                     | ok
        c/admin | vote p yes                                     | ok
        * p | accepted 3-0-0/4 @17
        blocks 10
        * p | effective 3-0-0/4 @17
        "#,
    );
    let turns = |ledger: &Ledger| -> Vec<(String, ProposalStatus, u64, u64)> {
        let agenda = AgendaRow::decode(&ledger.rows[&StateKey::agenda()]).unwrap();
        let pages = (0..agenda.turns.div_ceil(TURNS_PER_PAGE)).map(|page| page as u32);
        let rows = pages.map(|page| TurnsRow::decode(&ledger.rows[&StateKey::turns(page)]).unwrap());
        let turns: Vec<Turn> = rows.flat_map(|row| row.turns).collect();
        assert_eq!(turns.len() as u64, agenda.turns);
        turns.into_iter().map(|turn| (turn.proposal, turn.status, turn.height, turn.log_size)).collect()
    };
    // Seven leaves lay before block 17, and block 17 has none.
    let effective = ("p".to_owned(), ProposalStatus::Effective, 17, 7);
    assert_eq!(turns(&ledger), std::slice::from_ref(&effective));
    // The pause ends after a day; the time for ballots after a week, and for the one that was held up a day later.
    let mut seen = vec![effective];
    for (day, proposal, status) in
        [(2, "q", ProposalStatus::Open), (8, "l", ProposalStatus::Lapsed), (9, "q", ProposalStatus::Lapsed)]
    {
        seen.push((proposal.to_owned(), status, ledger.height, 7));
        ledger.run(&format!("time 2020-01-0{day}T00:00:00Z\nblocks 1"));
        assert_eq!(turns(&ledger), seen, "day {day}");
    }
}
