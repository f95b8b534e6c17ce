//! What is amiss with the partitions that this node holds: looked at as time goes by, said in the log once, and told to whoever asks how the
//! node is.

use super::{
    Runtime, Service,
    state::{Lack, Sheet},
};
use crate::parcels::{Parcels, Standing};
use futures::future::{Either, select};
use std::{collections::BTreeMap, sync::PoisonError, time::Duration};
use tallystick_api::{PartitionTroubleView, PostedRootView};
use tallystick_protocol::{PartitionRootsRow, PartitionRow, RootsAt, StateKey, limits::ROWS_READ_MAX};
use tallystick_storage::read::ReadError;

/// Wait between two looks.
const PAUSE: Duration = Duration::from_secs(1);
/// Wait for a block before the next look comes without one.
const AGAIN: Duration = Duration::from_secs(5);

/// What was seen of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    /// Whether it was said that it stands still.
    told_stall: bool,
    /// The height of the alarm that was said.
    told_alarm: Option<u64>,
}

/// What has become of a partition since the last look that the log must say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    Alarm,
    Stall,
}

impl Seen {
    /// Looks at a partition; what is amiss with it, and what of that is new.
    fn look(
        &mut self,
        partition: &str,
        standing: &Standing,
        alarm: Option<&RootsAt>,
    ) -> (Option<PartitionTroubleView>, Vec<News>) {
        let is_still = standing.is_still;
        let alarm_height = alarm.map(|alarm| alarm.height);
        let mut news = Vec::new();
        if alarm_height.is_some() && alarm_height != self.told_alarm {
            news.push(News::Alarm);
        }
        if is_still && !self.told_stall {
            news.push(News::Stall);
        }
        (self.told_alarm, self.told_stall) = (alarm_height, is_still);
        let roots = alarm.into_iter().flat_map(|at| at.roots.iter().map(|one| (at.height, one)));
        let trouble = PartitionTroubleView {
            partition: partition.to_owned(),
            height: standing.height,
            missing: if is_still { standing.missing as u64 } else { 0 },
            shut: false,
            alarm: roots
                .map(|(height, one)| PostedRootView { height, node: one.node.to_string(), root: one.root })
                .collect(),
        };
        ((is_still || alarm.is_some()).then_some(trouble), news)
    }
}

impl<E: Runtime> Service<E> {
    /// Looks after the partitions that this node holds, for ever.
    pub async fn watch_partitions(&self) {
        let Some(parcels) = &self.0.parcels else { return };
        let mut tip = self.0.shared.chain.watch_tip();
        self.0.shared.chain.ready().await;
        let (mut seen, mut fails) = (BTreeMap::new(), false);
        loop {
            match self.look_at_partitions(parcels, &mut seen).await {
                Ok(troubles) => {
                    *self.0.troubles.lock().unwrap_or_else(PoisonError::into_inner) = troubles;
                    fails = false;
                }
                Err(error) if !fails => {
                    tracing::warn!(%error, "the partitions cannot be looked at: what is told of them is as it was");
                    fails = true;
                }
                Err(_) => {}
            }
            self.0.runtime.sleep(PAUSE).await;
            // Also while the network itself stands still: payloads are missing then as before.
            let again = std::pin::pin!(self.0.runtime.sleep(AGAIN));
            if let Either::Left((Err(_), _)) = select(std::pin::pin!(tip.changed()), again).await {
                return;
            }
        }
    }

    /// What was amiss with the partitions that this node holds when they were last looked at.
    pub fn partition_troubles(&self) -> Vec<PartitionTroubleView> {
        self.0.troubles.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn look_at_partitions(
        &self,
        parcels: &Parcels<E>,
        seen: &mut BTreeMap<String, Seen>,
    ) -> Result<Vec<PartitionTroubleView>, ReadError> {
        let standings = parcels.standings();
        seen.retain(|name, _| standings.iter().any(|(held, _)| held == name));
        let mut alarms = Vec::with_capacity(standings.len());
        // Blocks wait for a read.
        for some in standings.chunks(ROWS_READ_MAX / 2) {
            let alarm_of =
                |sheet: &Sheet| some.iter().map(|(name, _)| alarm(sheet, name)).collect::<Result<Vec<_>, _>>();
            let (_, some) = self.read(some.iter().flat_map(|(name, _)| keys(name)), alarm_of).await?;
            alarms.extend(some);
        }
        // The log says it by itself.
        let mut troubles: Vec<PartitionTroubleView> =
            parcels.shut().into_iter().map(PartitionTroubleView::of_shut).collect();
        for ((name, standing), alarm) in standings.iter().zip(alarms) {
            let seen = seen.entry(name.clone()).or_default();
            let (trouble, news) = seen.look(name, standing, alarm.as_ref());
            let Some(trouble) = trouble else { continue };
            for one in news {
                match one {
                    News::Alarm => tracing::error!("{}", trouble.alarm_sentence().unwrap_or_default()),
                    News::Stall => tracing::warn!("{}", trouble.stall_sentence().unwrap_or_default()),
                }
            }
            troubles.push(trouble);
        }
        Ok(troubles)
    }
}

/// The rows that tell of an alarm.
fn keys(name: &str) -> [StateKey; 2] {
    [StateKey::partition(name), StateKey::partition_roots(name)]
}

/// The alarm of a partition, if there is one.
fn alarm(sheet: &Sheet, name: &str) -> Result<Option<RootsAt>, Lack> {
    let [partition, roots] = keys(name);
    // What is closed certifies nothing any more, and nobody amends it.
    let is_open = sheet.row(partition, PartitionRow::decode)?.is_some_and(|row| row.closed.is_none());
    let roots = sheet.row(roots, PartitionRootsRow::decode)?;
    Ok(roots.and_then(|roots| roots.alarm).filter(|_| is_open))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use tallystick_protocol::{Hash, PostedRoot};

    fn standing(missing: usize, is_still: bool) -> Standing {
        Standing { height: 7, executed: 3, root: Hash::default(), missing, is_still }
    }

    #[test]
    fn a_partition_stands_still_when_nobody_gives_what_is_missing_for_a_while_and_that_is_said_once() {
        let mut seen = Seen::default();
        let mut look = |missing, is_still| {
            let (trouble, news) = seen.look("outbreaks", &standing(missing, is_still), None);
            (trouble.and_then(|trouble| trouble.stall_sentence()), news)
        };
        assert_eq!(look(1, false), (None, Vec::new()), "it may be on its way");
        let (told, news) = look(1, true);
        let told = told.unwrap();
        assert!(told.starts_with("partition outbreaks stands still after block 7: 1 payload is missing"), "{told}");
        assert_eq!(news, [News::Stall]);
        assert_eq!(look(2, true).1, [], "once");
        assert_eq!(look(0, false), (None, Vec::new()));
        assert_eq!((look(1, false).1, look(1, true).1), (Vec::new(), vec![News::Stall]), "and again later");
    }

    #[test]
    fn an_alarm_names_the_nodes_and_is_said_once() {
        let root = |node: &str, byte| PostedRoot { node: node.parse().unwrap(), root: Hash([byte; 32]) };
        let at = |height| RootsAt { height, roots: vec![root("council/vault", 1), root("harbour/vault", 2)] };
        let mut seen = Seen::default();
        let mut look = |alarm: Option<&RootsAt>| seen.look("outbreaks", &standing(0, false), alarm);
        let (trouble, news) = look(Some(&at(9)));
        let told = trouble.unwrap().alarm_sentence().unwrap();
        for part in
            ["different roots after block 9", "council/vault has 0101", "harbour/vault has 0202", "partition-amend"]
        {
            assert!(told.contains(part), "{told}");
        }
        assert_eq!(news, [News::Alarm]);
        assert_eq!(look(Some(&at(9))).1, [], "once");
        assert_eq!(look(None), (None, Vec::new()), "the members have amended the agreement");
        assert_eq!(look(Some(&at(12))).1, [News::Alarm]);
    }
}
