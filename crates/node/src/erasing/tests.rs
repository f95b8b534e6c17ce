//! When a node follows, and what becomes of orders that the vault or a hold keeps up.

#![allow(clippy::indexing_slicing, clippy::unwrap_used)]
use super::*;
use commonware_runtime::{
    Blob as _, ReadOptions, Runner as _, Storage as _, Supervisor as _, WriteOptions, deterministic,
};
use rand::{SeedableRng as _, rngs::StdRng};
use tallystick_protocol::{Hash, Opening, Place, Secret, Subject};

/// At these heights, one look each: whether it follows at this time of the clock and of the newest block.
fn looks(following: &mut Following, rows: &[(u64, u64, u64, bool)]) {
    for (height, now_ms, tip_ms, follows) in rows {
        assert_eq!(following.look(*now_ms, (*height, *tip_ms)).is_some(), *follows, "at {now_ms}");
    }
}

#[test]
fn who_catches_up_does_not_follow_yet() {
    let rows = [
        // A start, ten seconds behind: the first block that was missed comes only after a while.
        (1, 1_000_000, 990_000, false),
        (1, 1_001_500, 990_000, false),
        (2, 1_002_500, 991_000, false),
        (8, 1_002_600, 999_000, false),
        // Level, at a block that may have been there before that.
        (10, 1_002_700, 1_002_600, false),
        (12, 1_005_500, 1_005_400, false),
        (13, 1_005_800, 1_005_700, true),
        (14, 1_009_000, 1_008_000, true),
        // Held up: another may have been made since.
        (15, 1_015_000, 1_009_000, false),
        (19, 1_015_100, 1_015_000, false),
        (20, 1_016_600, 1_016_500, false),
        (21, 1_018_200, 1_018_100, true),
        // Nobody made a block for twenty seconds.
        (22, 1_038_100, 1_038_000, true),
        (22, 1_042_000, 1_038_000, false),
        (23, 1_042_300, 1_042_200, true),
        // Some did.
        (25, 1_046_300, 1_046_200, false),
        (27, 1_049_300, 1_049_300, true),
        // Cut off for a minute, and what the others did meanwhile.
        (28, 1_109_000, 1_050_000, false),
        (29, 1_109_100, 1_051_000, false),
        (68, 1_109_300, 1_109_000, false),
        (69, 1_109_400, 1_109_100, false),
        (71, 1_112_400, 1_112_300, true),
    ];
    looks(&mut Following::default(), &rows);
}

#[test]
fn who_was_off_for_a_second_does_not_follow_at_once() {
    // An order and a hold of the second before the start, which come one after the other.
    let rows = [
        (1, 1_001_000, 999_000, false),
        (2, 1_001_900, 999_200, false),
        (3, 1_002_000, 1_000_400, false),
        (4, 1_003_000, 1_002_900, false),
        (5, 1_004_100, 1_004_000, true),
    ];
    looks(&mut Following::default(), &rows);
}

#[test]
fn what_is_ordered_waits_for_a_block_that_was_made_since() {
    /// The clock's time without its error, the newest block's, and whether it is through.
    type Look = (u64, u64, bool);
    let rows: [(&str, &[Look]); 7] = [
        ("there all the time", &[(10_000, 9_900, false), (10_900, 10_800, false), (11_100, 11_000, true)]),
        // The order is of a moment ago, and the hold follows it.
        ("back after some seconds", &[(10_000, 8_000, false), (10_010, 9_500, false), (11_050, 11_010, true)]),
        // It had seen the order before: blocks of a second and more after that come in a row, and then the hold's.
        (
            "away meanwhile",
            &[(10_000, 9_900, false), (13_500, 10_300, false), (13_510, 11_200, false), (13_520, 12_400, false)],
        ),
        (
            "away, and nobody held it",
            &[
                (10_000, 9_900, false),
                (13_500, 10_300, false),
                (13_520, 13_400, false),
                (15_100, 15_000, false),
                (16_700, 16_600, true),
            ],
        ),
        // What came of old does not count, however often it is away.
        (
            "away again and again",
            &[(10_000, 9_900, false), (40_000, 37_000, false), (69_500, 66_500, false), (140_000, 137_600, false)],
        ),
        // An idle network's block of 0.9 s ago comes first, and then the hold's.
        ("away for two seconds", &[(10_000, 9_900, false), (12_200, 11_300, false), (12_210, 12_100, false)]),
        ("an idle network's beats", &[(10_000, 9_900, false), (11_500, 11_400, true)]),
    ];
    for (clock, looks) in rows {
        // One that has followed for a while.
        let (mut seen, mut height, begun_ms) = (Seen::new(0, looks[0].0), 4, looks[0].0.saturating_sub(8_000));
        let mut following = Following::default();
        for beat in 0..4 {
            following.look(begun_ms + beat * 2_000, (beat, begun_ms + beat * 2_000 - 100));
        }
        for (now_ms, tip_ms, expected) in looks {
            height += 2;
            let times = following.look(*now_ms, (height, *tip_ms));
            let is_through = times.is_some_and(|times| seen.is_through(times));
            assert_eq!(is_through, *expected, "{clock}, at {now_ms}");
        }
    }
}

/// An order was seen, and the machine suspended for half a minute, its clock with it: what comes in a row then is new by that clock.
#[test]
fn a_clock_that_stood_still_tells_of_no_silence() {
    for beat_ms in [100, 1_500] {
        let (mut following, mut height, mut clock) = (Following::default(), 0, 1_000_000);
        for _ in 0..10_000 / beat_ms {
            (height, clock) = (height + 1, clock + beat_ms);
            following.look(clock, (height, clock - 50));
        }
        let mut seen = Seen::new(0, clock);
        let mut tip_ms = clock - 50;
        for _ in 0..30_000 / beat_ms {
            (height, clock, tip_ms) = (height + 1, clock + 20, tip_ms + beat_ms);
            let times = following.look(clock, (height, tip_ms));
            assert!(!times.is_some_and(|times| seen.is_through(times)), "the hold of {tip_ms} may follow");
        }
        let mut beats = 0;
        loop {
            (height, clock, tip_ms, beats) = (height + 1, clock + beat_ms, tip_ms + beat_ms, beats + 1);
            if following.look(clock, (height, tip_ms)).is_some_and(|times| seen.is_through(times)) {
                break;
            }
        }
        assert!((3_000..6_000).contains(&(beats * beat_ms)), "{beats} blocks");
    }
}

/// Seen by a clock that was an hour ahead, and was set right.
#[test]
fn a_clock_that_is_set_back_counts_from_then() {
    let mut seen = Seen::new(0, 3_630_000);
    let mut look = |now_ms, tip_ms| seen.is_through(Times { now_ms, tip_ms, back_ms: 0, since_ms: 0, old_ms: 32_000 });
    assert!(!look(32_000, 31_900) && !look(32_500, 32_400) && look(33_100, 33_000));
}

/// An order of the first second; cut off, and back at the second: the block of 1.2 is old, and the hold's follows at once. A room that
/// comes to execute the former only then waits all the same.
#[test]
fn what_the_watcher_saw_counts_for_who_comes_later() {
    let at = |ms: u64| 1_000_000 + ms;
    let mut following = Following::default();
    for beat in 0..8 {
        following.look(at(beat * 1_500) - 12_000, (beat, at(beat * 1_500) - 12_100));
    }
    let mut seen = Seen::new(0, at(100));
    assert!(!seen.is_through(following.look(at(100), (8, at(0))).unwrap()));
    following.look(at(2_000), (9, at(1_200)));
    let times = following.look(at(2_020), (10, at(1_700))).unwrap();
    assert!(!seen.is_through(times.at(at(1_200))), "the hold is final");
    let later = following.look(at(3_200), (11, at(3_100))).unwrap();
    assert!(seen.is_through(later), "nothing was held");
}

/// For a minute in which it saw all of them; then none is newer elsewhere.
#[test]
fn blocks_that_are_always_old_are_believed_in_the_end() {
    for back in [0, 30] {
        let mut seen = Seen::new(0, 0);
        let mut look = |second: u64| {
            let tip_ms = (second * 1_000).saturating_sub(2_000);
            let (now_ms, back_ms) = (second * 1_000, back * 1_000);
            seen.is_through(Times { now_ms, tip_ms, back_ms, since_ms: back_ms, old_ms: 0 })
        };
        assert!((1 + back..62 + back).all(|second| !look(second)) && look(62 + back), "back at {back}");
    }
}

#[test]
fn a_clock_that_is_wrong_follows_too() {
    // Late by five seconds: seen at once, and what was there when it started comes first all the same.
    let mut following = Following::default();
    let mut look = |now_ms, height, tip_ms| {
        let follows = following.look(now_ms, (height, tip_ms)).is_some();
        (follows, following.without_error(now_ms))
    };
    assert_eq!(look(1_000_000, 1, 1_005_000), (false, 1_005_000));
    assert_eq!(look(1_001_000, 2, 1_006_000), (false, 1_006_000));
    assert_eq!(look(1_003_000, 3, 1_008_000), (true, 1_008_000));
    // Cut off for four seconds, it knows how old the blocks are that come then.
    assert_eq!(look(1_007_000, 4, 1_008_100), (false, 1_012_000));
    // Ahead by as much: seen in a minute.
    let mut following = Following::default();
    let mut look = |second: u64, behind_ms: u64| {
        let tip_ms = 1_000_000 + second * 1_000 - behind_ms;
        following.look(1_005_000 + second * 1_000, (second - behind_ms / 1_000, tip_ms)).is_some()
    };
    assert!((0..60).all(|second| !look(second, 0)), "not at once");
    assert!((60..200).all(|second| look(second, 0)));
    assert!(!look(230, 29_000) && !look(231, 20_000), "cut off for half a minute");
    assert_eq!(following.without_error(1_235_000), 1_230_000);
}

#[test]
fn what_waits_long_is_said_once_each_time() {
    let mut late = Late::default();
    let mut said = |waits: bool, seconds: &[u64]| -> Vec<bool> {
        seconds.iter().map(|second| late.is_late(waits, second * 1_000)).collect()
    };
    assert_eq!(said(true, &[100, 110, 120, 121, 150]), [false, false, false, true, false]);
    assert_eq!(said(false, &[151]), [false]);
    assert_eq!(said(true, &[152, 170, 173, 174]), [false, false, true, false]);
}

/// Ahead by four seconds, it makes no block that the others take: each fourth comes after a gap, and is as new as the others.
#[test]
fn a_clock_is_learnt_beside_gaps_that_are_everybodys() {
    let mut following = Following::default();
    let (mut clock, mut follows) = (1_004_000, false);
    for beat in 0..60 {
        clock += if beat % 4 == 3 { 4_587 } else { 1_540 };
        follows = following.look(clock, (beat, clock - 4_000)).is_some();
    }
    assert!(follows && following.without_error(clock) == clock - 4_000);
}

/// Looks come late by themselves, as where somebody works between them: who watches sees each block meanwhile.
#[test]
fn who_looks_late_follows_if_another_watched() {
    let (mut following, mut follows) = (Following::default(), false);
    for block in 1_u64..400 {
        let now_ms = 1_000_000 + block * 250;
        let times = following.look(now_ms, (block, now_ms - 100));
        if block % 16 == 0 {
            follows = following.look(now_ms + 20, (block, now_ms - 100)).is_some();
            assert!(follows || block < 32, "block {block}: {times:?}");
        }
    }
    assert!(follows);
}

/// Cut off most of the time, a node does not take the age of what comes to it for an error of its clock: neither where that comes in a row, nor
/// where one block alone comes each time, as old as the one before.
#[test]
fn what_is_learnt_of_the_clock_is_learnt_without_a_gap() {
    for (every, ages) in [(5, &[4_900, 2_500][..]), (5, &[2_500]), (8, &[5_000])] {
        let mut following = Following::default();
        for second in (0..400).step_by(every) {
            for (place, age_ms) in ages.iter().enumerate() {
                let now_ms = 1_000_000 + second as u64 * 1_000 + place as u64 * 100;
                let newest = ((now_ms - age_ms) / 1_000, now_ms - age_ms);
                assert!(following.look(now_ms, newest).is_none(), "{every} {ages:?} at {now_ms}");
            }
        }
        assert_eq!(following.without_error(1_400_000), 1_400_000, "{every} {ages:?}");
    }
    // Held back for less than a gap each time, it takes the least of what they were behind.
    let mut following = Following::default();
    for second in (0..400).step_by(2) {
        for (place, age_ms) in [2_500, 900].into_iter().enumerate() {
            let now_ms = 1_000_000 + second * 1_000 + place as u64 * 100;
            following.look(now_ms, ((now_ms - age_ms) / 1_000, now_ms - age_ms));
        }
    }
    assert_eq!(following.without_error(1_400_000), 1_399_100);
}

/// Keeps a value, and orders it to be erased: where it lies, and the order.
async fn order_of_a_value(holder: &Holder<deterministic::Context>) -> (Drawer, ErasureRow) {
    let subject = Subject::new("child", "c-1").unwrap();
    let place = Place::new("child", "c-1", "name", subject.clone()).unwrap();
    let opening = Opening::seal(place, Secret::new("Jane Doe"), &mut StdRng::seed_from_u64(7)).unwrap();
    holder.keep_for(Hash([5; 32]), 9, std::slice::from_ref(&opening)).await.unwrap();
    let node = holder.keys().principal.clone();
    let row = ErasureRow {
        order: "order-1".into(),
        controller: "council".into(),
        number: 0,
        subject,
        scope: ErasureScope::Values(vec![opening.commitment()]),
        authority: "The person".into(),
        legal_basis: "UK GDPR, article 17".into(),
        reason: "Not needed any more".into(),
        principal: "council/admin".parse().unwrap(),
        leaf: 0,
        height: 1,
        ordered_ms: 1,
        deadline_ms: 2,
        holders: vec![tallystick_protocol::erasure::Holder { node, receipt: None }],
        completed: None,
        unasked: Vec::new(),
    };
    (Drawer::of(opening.place()), row)
}

/// What is new does not hold up a node that is there all the time. One that was cut off, and comes to it late, is not caught up before it is
/// carried out.
#[test]
fn who_comes_back_has_not_caught_up_before_what_was_ordered_meanwhile_is_carried_out() {
    deterministic::Runner::default().start(|context| async move {
        let holder = Holder::open(context.child("holder"), "node", crate::holder::tests::keys()).await.unwrap();
        let (drawer, row) = order_of_a_value(&holder).await;
        let due = [(Erasure { row, holds: Vec::new(), left: Vec::new() }, vec![drawer.clone()])];
        for is_back in [false, true] {
            let mut erasing = Erasing::resume(&holder, None).await.unwrap();
            let times = |now_ms, since_ms| Times { now_ms, tip_ms: now_ms, back_ms: since_ms, since_ms, old_ms: 0 };
            erasing.carry_out(&holder, &[], 0, times(10_000, 0)).await.unwrap();
            assert!(erasing.has_caught_up());
            let since_ms = if is_back { 20_000 } else { 0 };
            erasing.carry_out(&holder, &due, 1, times(30_000, since_ms)).await.unwrap();
            assert_eq!((erasing.has_caught_up(), erasing.has_new()), (!is_back, true));
            assert_eq!(holder.openings(&drawer).await.unwrap().len(), 1, "a hold may follow");
            if is_back {
                erasing.carry_out(&holder, &due, 1, times(32_000, since_ms)).await.unwrap();
                assert!(erasing.has_caught_up() && holder.openings(&drawer).await.unwrap().is_empty());
            }
        }
    });
}

/// A file of the vault cannot be read: the order of a value in it is told to wait, until the file is restored.
#[test]
fn what_the_vault_holds_up_is_told_until_it_is_carried_out() {
    deterministic::Runner::default().start(|context| async move {
        let holder = Holder::open(context.child("holder"), "node", crate::holder::tests::keys()).await.unwrap();
        let (drawer, row) = order_of_a_value(&holder).await;
        let due = [(Erasure { row: row.clone(), holds: Vec::new(), left: Vec::new() }, vec![drawer.clone()])];
        let held = [(Erasure { row, holds: vec!["case-9".to_owned()], left: Vec::new() }, vec![drawer.clone()])];
        drop(holder);
        let mut files = Vec::new();
        for folder in (0..4_096).map(|number| format!("node-vault-{number:03x}")) {
            let names = context.scan(&folder).await.unwrap_or_default();
            files.extend(names.into_iter().map(|name| (folder.clone(), name)));
        }
        let [(folder, name)] = files.try_into().unwrap();
        let turn = async || {
            let (blob, length) = context.open(&folder, &name).await.unwrap();
            let byte = blob.read_at(length / 2, 1, ReadOptions::default()).await.unwrap().coalesce();
            blob.write_at(length / 2, vec![byte.as_ref()[0] ^ 1], WriteOptions::SYNC).await.unwrap();
        };
        for is_damaged in [true, false] {
            turn().await;
            // Anew: what it read last it has in memory.
            let holder = Holder::open(context.child("again"), "node", crate::holder::tests::keys()).await.unwrap();
            let mut erasing = Erasing::resume(&holder, None).await.unwrap();
            assert!(!erasing.has_none_due(&due, 1) && erasing.has_none_due(&held, 1));
            assert!(!erasing.has_none_due(&held, 1_000), "one that is not among them may be");
            for now_ms in [10_000, 20_000] {
                let times = Times { now_ms, tip_ms: now_ms, back_ms: 0, since_ms: 0, old_ms: 0 };
                erasing.carry_out(&holder, &due, 1, times).await.unwrap();
            }
            assert_eq!(holder.fails_orders(), is_damaged);
            assert_eq!(erasing.has_none_due(&due, 1), !is_damaged, "its receipt alone is owed");
            let left = holder.openings(&drawer).await.map(|left| left.len());
            assert_eq!(left.ok(), (!is_damaged).then_some(0));
        }
    });
}
