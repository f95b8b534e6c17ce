//! A plan: everything that goes wrong in a run, drawn from its seed before the run begins.
//!
//! INVARIANT: of `n` validators at most `(n - 1) / 3` are lost to the vote for good (liars, and those whose disk was wiped);
//! all other faults end, so that finality must return.

use crate::chance::Chance;
use std::time::Duration;

/// What one node does all the time that it should not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crime {
    /// It shows two faces: two nodes vote with its key, each to a part of the others.
    Equivocator,
    /// It changes what it sends: blocks, gossip, sync data, votes.
    Forger,
}

/// Something that goes wrong, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A node stops between two instructions and starts again.
    Crash {
        /// Which.
        node: usize,
    },
    /// A node stops, loses its disk, and starts again without it.
    Wipe {
        /// Which.
        node: usize,
    },
    /// The nodes of `side` and the others do not reach one another.
    Split {
        /// One side.
        side: Vec<usize>,
    },
    /// More messages are lost on every link.
    Lossy {
        /// In a hundred.
        percent: u64,
    },
    /// A disk is slow.
    SlowDisk {
        /// Whose.
        node: usize,
        /// Milliseconds that each write takes longer.
        ms: u64,
    },
    /// A node stops, loses what it keeps of how the validators followed one another, and starts again.
    Forget {
        /// Which.
        node: usize,
    },
    /// A node that asks for the others' state is not heard: as if there were so much of it that it takes as long.
    NoState {
        /// Which.
        node: usize,
    },
    /// No fault: the network votes that nodes become validators or cease to be. What it lasts is without meaning.
    Reform {
        /// Who joins.
        add: Vec<usize>,
        /// Who leaves.
        remove: Vec<usize>,
    },
    /// No fault: somebody sets out on an errand. What it lasts is without meaning: it must be done when all faults have ended.
    Errand(Errand),
    /// No fault: too many validators are lost for good, and the organisations name these nodes instead. Those that kept their disks
    /// stop, and start again with the recovery.
    Recover {
        /// Who certifies from then on.
        to: Vec<usize>,
    },
    /// When it ends, a node stops, has its vault as it was when this began in the place of the present one, and starts again.
    OldVault {
        /// Which.
        node: usize,
    },
    /// A node stops at the moment at which it has said that it keeps something which nobody has ordered yet, and starts again.
    CrashVouching {
        /// Which.
        node: usize,
    },
    /// A node gives no payload to anybody who asks, whatever it has acknowledged.
    Withhold {
        /// Which.
        node: usize,
    },
    /// A node stops and starts again; and when this ends, it stops, has all that it kept of partitions as it was then in the place of
    /// what it has, and starts again.
    OldRooms {
        /// Which.
        node: usize,
    },
    /// A node stops, loses every payload that it keeps, and starts again with what it knows of them.
    LosePayloads {
        /// Which.
        node: usize,
    },
    /// A node starts again on a disk that does not say which payloads it keeps.
    ShutRooms {
        /// Which.
        node: usize,
    },
    /// A clock is wrong.
    ClockJump {
        /// Whose.
        node: usize,
        /// Milliseconds ahead, or behind if negative.
        ms: i64,
    },
    /// All clocks of the world go on by so much at once, as if everybody had slept so long. It is not taken back.
    TimePasses {
        /// How much.
        hours: u64,
    },
}

/// What somebody sets out to do, step by step, while things go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errand {
    /// Certify keys for a day under an authority of three, wait until time has passed, and mend what has ended.
    Outlive,
    /// Replace a principal's keys: at once, with an overlap, and by its administrator.
    Rotate,
    /// Let proposals race that cannot both be, and rules and members change under those that are open.
    Race,
    /// Entrust others with acts, and take it back while these are on their way.
    Entrust,
    /// Put policies in force and take them away while acts that they permit are on their way.
    Legislate,
    /// Try, as a registrar, what only others may.
    Rogue,
    /// Open a partition, and keep a register in it. Not among those that a seed draws: it would change what every seed does.
    Share,
    /// Open a partition, have somebody join it late, and leave when it has lied. Not among those that a seed draws either.
    Reshape,
    /// Open a partition, keep a register in it for a day, and let that pass. Not among those that a seed draws either.
    Retain,
    /// Write what is personal, and have it erased. Not among those that a seed draws either.
    Erase,
    /// The same, but no month passes in the end: a block tells an hour at most, so a month takes hundreds, and minutes while one of four
    /// does not vote.
    Order,
    /// Have somebody erased, and then held, while a holder is away. Not among those that a seed draws either.
    Away,
    /// Have somebody erased, cut a holder off that knows of it, and have it held. Not among those that a seed draws either.
    Sever,
    /// The same in a partition of three.
    SeverShared,
    /// Open a partition, and permit in it what is handed in at the same time. Not among those that a seed draws either.
    Permit,
}

impl Errand {
    /// Every one that a seed may draw.
    pub const ALL: [Self; 6] = [Self::Outlive, Self::Rotate, Self::Race, Self::Entrust, Self::Legislate, Self::Rogue];
}

/// A fault and its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When it begins, since the segment did.
    pub at: Duration,
    /// How long it lasts.
    pub lasts: Duration,
    /// What it is.
    pub fault: Fault,
}

/// How the power is lost: what becomes of writes that were not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PowerLoss {
    /// In a hundred bytes, those that survive.
    pub kept_percent: u64,
    /// Whether a write survives up to some byte, or here and there.
    pub torn: bool,
}

/// The time from one start of the whole world to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Faults in it, by time.
    pub events: Vec<Event>,
    /// How long it lasts; in the last one, how long until all faults have ended.
    pub lasts: Duration,
    /// How it ends; the last one ends in peace.
    pub power_loss: Option<PowerLoss>,
}

/// A whole run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What it was drawn from.
    pub seed: u64,
    /// Validators at the beginning: the first nodes.
    pub validators: usize,
    /// Nodes after them, which follow.
    pub followers: usize,
    /// Who lies, and how.
    pub criminal: Option<(usize, Crime)>,
    /// Mean delay of a message in milliseconds, and the standard deviation of it.
    pub delay_ms: (u64, u64),
    /// Messages lost, in a hundred.
    pub loss_percent: u64,
    /// Whether a client floods, replays and sends garbage.
    pub hostile_client: bool,
    /// One after another.
    pub segments: Vec<Segment>,
}

impl Plan {
    /// The plan of a seed.
    pub fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed, 2);
        let validators = if chance.percent(8) { 7 } else { 4 };
        let mut budget = (validators - 1) / 3;
        let criminal = (chance.percent(45) && budget > 0).then(|| {
            budget -= 1;
            let crime = *chance.pick(&[Crime::Equivocator, Crime::Forger]);
            (usize::try_from(chance.below(validators as u64)).unwrap_or(0), crime)
        });
        let mut draw = Draw { validators, criminal: criminal.map(|(node, _)| node), wipes: budget, wiped: Vec::new() };
        let count = if chance.percent(30) { 2 } else { 1 };
        let mut segments: Vec<Segment> = (0..count).map(|index| draw.segment(&mut chance, index + 1 < count)).collect();
        let followers = reform(seed, validators, draw.criminal, &mut segments);
        errand(seed, &mut segments);
        Self {
            seed,
            validators,
            followers,
            criminal,
            delay_ms: (chance.between(2, 40), chance.between(0, 15)),
            loss_percent: *chance.pick(&[0, 0, 1, 3, 8]),
            hostile_client: chance.percent(60),
            segments,
        }
    }

    /// A plan in which nothing goes wrong.
    pub fn calm(seed: u64, validators: usize, lasts: Duration) -> Self {
        Self {
            seed,
            validators,
            followers: 0,
            criminal: None,
            delay_ms: (10, 2),
            loss_percent: 0,
            hostile_client: false,
            segments: vec![Segment { events: Vec::new(), lasts, power_loss: None }],
        }
    }

    /// The same with these faults in its last segment.
    #[must_use]
    pub fn with(mut self, faults: &[(u64, u64, Fault)]) -> Self {
        let segment = self.segments.last_mut().expect("a plan has segments");
        for (at_s, lasts_s, fault) in faults {
            let (at, lasts) = (Duration::from_secs(*at_s), Duration::from_secs(*lasts_s));
            segment.events.push(Event { at, lasts, fault: fault.clone() });
        }
        self
    }
}

/// In one of four seeds a node follows, and the network votes that it becomes a validator, as one more or instead of another.
/// Returns how many nodes follow.
fn reform(seed: u64, validators: usize, criminal: Option<usize>, segments: &mut [Segment]) -> usize {
    let mut chance = Chance::new(seed, 5);
    let first = segments.first_mut().filter(|_| chance.percent(25));
    let Some(segment) = first else { return 0 };
    let leaving = usize::try_from(chance.below(validators as u64)).unwrap_or(0);
    // A liar is not voted out: how many may be lost for good is counted from the beginning.
    let remove = if chance.percent(50) && Some(leaving) != criminal { vec![leaving] } else { Vec::new() };
    let (at, lasts) = (Duration::from_millis(chance.between(300, 2_000)), Duration::from_millis(1));
    segment.events.insert(0, Event { at, lasts, fault: Fault::Reform { add: vec![validators], remove } });
    // The change takes effect two epochs on.
    segment.lasts += Duration::from_secs(6);
    1
}

/// In one of twelve seeds somebody is on an errand when all faults begin for the last time; and time passes for who is to outlive it.
fn errand(seed: u64, segments: &mut [Segment]) {
    let mut chance = Chance::new(seed, 6);
    let last = segments.last_mut().filter(|_| chance.percent(8));
    let Some(segment) = last else { return };
    let errand = *chance.pick(&Errand::ALL);
    let (at, lasts) = (Duration::from_millis(chance.between(200, 1_500)), Duration::from_millis(1));
    segment.events.insert(0, Event { at, lasts, fault: Fault::Errand(errand) });
    if errand == Errand::Outlive {
        let at = segment.lasts - Duration::from_millis(chance.between(10, 1_500));
        segment.events.push(Event { at, lasts, fault: Fault::TimePasses { hours: 80 } });
    }
}

struct Draw {
    validators: usize,
    criminal: Option<usize>,
    wipes: usize,
    wiped: Vec<usize>,
}

impl Draw {
    fn segment(&mut self, chance: &mut Chance, power_loss: bool) -> Segment {
        let lasts_ms = chance.between(8_000, 16_000);
        let mut events: Vec<Event> = (0..chance.between(1, 4)).map(|_| self.event(chance, lasts_ms)).collect();
        events.sort_by_key(|event| event.at);
        let power_loss =
            power_loss.then(|| PowerLoss { kept_percent: *chance.pick(&[0, 50, 90, 100]), torn: chance.percent(50) });
        Segment { events, lasts: Duration::from_millis(lasts_ms), power_loss }
    }

    fn event(&mut self, chance: &mut Chance, lasts_ms: u64) -> Event {
        let at = chance.between(200, lasts_ms - 2_000);
        let lasts = chance.between(300, lasts_ms - at);
        let fault = self.fault(chance);
        Event { at: Duration::from_millis(at), lasts: Duration::from_millis(lasts), fault }
    }

    fn fault(&mut self, chance: &mut Chance) -> Fault {
        let node = self.honest(chance);
        match chance.below(10) {
            0..=2 => Fault::Crash { node },
            3..=4 if self.wipes > 0 && !self.wiped.contains(&node) => {
                self.wipes -= 1;
                self.wiped.push(node);
                Fault::Wipe { node }
            }
            3..=5 => {
                let size = usize::try_from(chance.between(1, self.validators as u64 / 2)).unwrap_or(1);
                let first = usize::try_from(chance.below(self.validators as u64)).unwrap_or(0);
                Fault::Split { side: (0..size).map(|step| (first + step) % self.validators).collect() }
            }
            6 => Fault::Lossy { percent: chance.between(10, 40) },
            7..=8 => Fault::SlowDisk { node, ms: *chance.pick(&[2, 10, 40]) },
            _ => {
                // Seconds, hours, and past every not-after.
                let ms = *chance.pick(&[900i64, 3_000, 30_000, 3_600_000, 400 * 86_400_000]);
                Fault::ClockJump { node, ms: if chance.percent(50) { ms } else { -ms } }
            }
        }
    }

    fn honest(&self, chance: &mut Chance) -> usize {
        loop {
            let node = usize::try_from(chance.below(self.validators as u64)).unwrap_or(0);
            if Some(node) != self.criminal {
                return node;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_seed_is_a_plan() {
        assert_eq!(Plan::new(7), Plan::new(7));
        assert_ne!(Plan::new(7), Plan::new(8));
    }

    #[test]
    fn no_more_votes_are_lost_for_good_than_the_network_bears() {
        let (mut crimes, mut wipes, mut losses, mut errands) = (0, 0, 0, BTreeSet::new());
        for seed in 0..500 {
            let plan = Plan::new(seed);
            let events = || plan.segments.iter().flat_map(|segment| &segment.events);
            let wiped = events().filter(|event| matches!(event.fault, Fault::Wipe { .. })).count();
            let lost = wiped + usize::from(plan.criminal.is_some());
            assert!(lost <= (plan.validators - 1) / 3, "seed {seed}");
            assert!(plan.segments.last().is_some_and(|last| last.power_loss.is_none()), "seed {seed}");
            for segment in &plan.segments {
                assert!(segment.events.iter().all(|event| event.at + event.lasts <= segment.lasts), "seed {seed}");
            }
            crimes += usize::from(plan.criminal.is_some());
            wipes += wiped;
            errands.extend(events().filter_map(|event| match event.fault {
                Fault::Errand(errand) => Some(errand as usize),
                _ => None,
            }));
            losses += plan.segments.len() - 1;
        }
        assert_eq!(errands.len(), Errand::ALL.len());
        assert!(crimes > 100 && wipes > 50 && losses > 80, "{crimes} crimes, {wipes} wipes, {losses} power losses");
    }
}
