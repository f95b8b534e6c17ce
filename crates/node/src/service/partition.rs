//! Partitions as the public state has them.

use super::{Runtime, Service};
use crate::{
    certify,
    metrics::Held,
    parcels::{Executed, Given, Parcels, PrivateError, Proof, Standing, different_roots},
};
use bytes::Bytes;
use futures::future::{Either, select};
use std::time::{Duration, SystemTime};
use tallystick_ledger::PageRow;
use tallystick_protocol::{
    CertifiedRoot, FieldDisclosure, Finality, PartitionDisclosure, PartitionErasure, PartitionRootsRow, PartitionRow,
    Query, SealedSubmission, StateKey,
    limits::{PARTITIONS_MAX, PARTITIONS_PER_PAGE},
};
use tallystick_storage::{
    partition::{ProvenRecord, ProvenRow},
    read::ReadError,
};

/// What shows a record of a partition to somebody outside.
#[derive(Clone, Debug, Default)]
pub struct Disclosures {
    /// All of it.
    pub whole: Option<PartitionDisclosure>,
    /// The fields that were named, without the others.
    pub fields: Option<FieldDisclosure>,
}

impl<E: Runtime> Service<E> {
    /// A partition, what was ordered in it and its roots, and the height that these stand at.
    pub async fn partition(&self, name: &str) -> Result<Option<(u64, PartitionRow, PartitionRootsRow)>, ReadError> {
        let keys = [StateKey::partition(name), StateKey::partition_roots(name)];
        let [partition, roots] = keys;
        let (height, found) = self
            .read(keys, |sheet| {
                let row = sheet.row(partition, PartitionRow::decode)?;
                let roots = sheet.row(roots, PartitionRootsRow::decode)?.unwrap_or_default();
                Ok(row.map(|row| (row, roots)))
            })
            .await?;
        Ok(found.map(|(row, roots)| (height, row, roots)))
    }

    /// What shows a record that was read to be disclosed to somebody outside, once the partition's members have certified the root that it
    /// is under; waits until `until`, for whoever asks is answered before the request's own time is up.
    ///
    /// # Errors
    /// When they do not in time, or certify a later one only.
    pub async fn disclosures(&self, given: Given, until: SystemTime) -> Result<Disclosures, PrivateError> {
        let Given { register, record, openings, proof, .. } = given;
        let Some(Proof { partition, whole, fields }) = proof else { return Ok(Disclosures::default()) };
        // Both are of one state.
        let Some(proven) = whole.as_ref().or(fields.as_ref().map(|(proven, _)| proven)) else {
            return Ok(Disclosures::default());
        };
        let find = |certified: &CertifiedRoot| {
            if certified.root == proven.root {
                Ok(Some(()))
            } else if certified.height > proven.height {
                Err("the partition has gone on meanwhile: run this again".to_owned())
            } else {
                Ok(None)
            }
        };
        let certified = self.certified(&partition, until, find).await.map_err(PrivateError::Recorded)?;
        let ((), (roots, roots_proof), finality) = certified;
        let (network, number, key) = (self.network(), proven.number, record.key);
        let fields = fields.map(|(proven, fields)| FieldDisclosure {
            network,
            partition: partition.clone(),
            register: register.clone(),
            key: key.clone(),
            number,
            row: proven.row,
            fields,
            openings: openings.clone(),
            proof: proven.proof,
            roots: roots.clone(),
            roots_proof: roots_proof.clone(),
            finality: finality.clone(),
        });
        let items = record.items.into_iter().map(|(_, item)| item).collect();
        let whole = whole.map(|ProvenRecord { row, proof, .. }| PartitionDisclosure {
            network,
            partition,
            register,
            key,
            number,
            row,
            items,
            openings,
            proof,
            roots,
            roots_proof,
            finality,
        });
        Ok(Disclosures { whole, fields })
    }

    /// The certificate of an order of erasure in a partition, under the first root that its members certify while somebody waits for it, until
    /// `until`; none if there is no such order.
    ///
    /// # Errors
    /// When the question is not one that this node answers, or they certify none in time.
    pub async fn private_certificate(
        &self,
        partition: &str,
        asked: (&Query, &str),
        order: &str,
        until: SystemTime,
    ) -> Result<Option<PartitionErasure>, PrivateError> {
        let Some(certifying) = self.parcels()?.certifying(partition, asked, order).await? else { return Ok(None) };
        let find = |certified: &CertifiedRoot| Ok(certifying.proven(&certified.root));
        let certified = self.certified(partition, until, find).await.map_err(PrivateError::Failed)?;
        let (ProvenRow { row, proof, .. }, (roots, roots_proof), finality) = certified;
        let (network, partition, order) = (self.network(), partition.to_owned(), order.to_owned());
        Ok(Some(PartitionErasure { network, partition, order, row, proof, roots, roots_proof, finality }))
    }

    /// What `find` finds of the root that a partition's members have certified, waited for until then; with the row of the roots and its proof,
    /// and how that is final. Else why there is none.
    async fn certified<T>(
        &self,
        partition: &str,
        until: SystemTime,
        find: impl Fn(&CertifiedRoot) -> Result<Option<T>, String>,
    ) -> Result<(T, (Bytes, Bytes), Finality), String> {
        let inner = &self.0;
        let chain = &inner.shared.chain;
        let mut tip = chain.watch_tip();
        let mut patience = std::pin::pin!(inner.runtime.sleep_until(until));
        let known = self.partition(partition).await.map_err(|error| error.to_string())?;
        let is_closed = known.is_some_and(|(_, row, _)| row.closed.is_some());
        loop {
            tip.borrow_and_update();
            let found = certify::partition_roots(&inner.runtime, chain, &inner.marshal, &inner.reader, partition).await;
            if let Ok(((roots, roots_proof), finality)) = found {
                let said = PartitionRootsRow::decode(&roots).map_err(|error| error.to_string())?;
                // Also where the root that was certified before is still this node's: who is wrong is not known. Once a partition is closed no
                // amendment ends that, and nothing is executed any more.
                if said.alarm.is_some() && !is_closed {
                    return Err(different_roots(partition));
                }
                if let Some(certified) = &said.certified
                    && let Some(found) = find(certified)?
                {
                    return Ok((found, (roots, roots_proof), finality));
                }
            }
            let next = std::pin::pin!(tip.changed());
            if let Either::Right(_) = select(next, patience.as_mut()).await {
                let why =
                    "too few members' nodes have said which root they have: see whether they run, and run this again";
                return Err(why.to_owned());
            }
        }
    }

    /// The time after so long.
    pub fn after(&self, wait: Duration) -> SystemTime {
        let now = self.0.runtime.current();
        now.checked_add(wait).unwrap_or(now)
    }

    /// Has a private transaction ordered and executed, and says what became of it; waits at most `patience`.
    ///
    /// # Errors
    /// When this node holds nothing of its partition, or it was not executed in time.
    pub async fn submit_private(&self, bytes: Bytes, patience: Duration) -> Result<Executed, PrivateError> {
        self.parcels()?.submit(bytes, &[], patience).await
    }

    /// The same of one with what opens the values sealed in it.
    ///
    /// # Errors
    /// Also when an opening does not fit, or one is missing: then nothing was kept, and nothing passed on.
    pub async fn submit_private_sealed(
        &self,
        submission: SealedSubmission,
        patience: Duration,
    ) -> Result<Executed, PrivateError> {
        let SealedSubmission { transaction, openings } = submission;
        self.parcels()?.submit(transaction, &openings, patience).await
    }

    /// The same of several, with one answer for each.
    ///
    /// # Errors
    /// When this node holds nothing of any partition.
    pub async fn submit_private_all(
        &self,
        transactions: Vec<Bytes>,
        patience: Duration,
    ) -> Result<Vec<Result<Executed, PrivateError>>, PrivateError> {
        Ok(self.parcels()?.submit_all(transactions, patience).await)
    }

    /// The private transactions of this node, and what it tells of them.
    ///
    /// # Errors
    /// When it holds nothing that only some may see.
    pub fn parcels(&self) -> Result<&Parcels<E>, PrivateError> {
        self.0.parcels.as_ref().ok_or(PrivateError::NotHolder)
    }

    /// How the partitions stand that this node holds; nothing of those that cannot be read just now.
    pub(super) async fn held_partitions(&self) -> Held {
        let standings = self.0.parcels.as_ref().map(Parcels::standings).unwrap_or_default();
        let lacking = self.0.parcels.as_ref().map(Parcels::lacking).unwrap_or_default();
        let mut held = Held { partitions: standings.len() as u64, lacking: lacking as u64, ..Held::default() };
        for (name, standing) in standings {
            held.missing += standing.missing as u64;
            let Ok(Some((_, _, roots))) = self.partition(&name).await else { continue };
            held.behind += u64::from(roots.ordered_height > standing.height);
            held.alarmed += u64::from(roots.alarm.is_some());
        }
        held
    }

    /// How a partition stands on this node; none if it holds nothing of it.
    pub fn partition_here(&self, partition: &str) -> Option<Standing> {
        self.0.parcels.as_ref()?.standing(partition)
    }

    /// Partitions in the order in which they were opened: `count` of them after the first `skip`. With how many there are, and the
    /// height that they stand at.
    pub async fn partitions(&self, skip: usize, count: usize) -> Result<(u64, usize, Vec<PartitionRow>), ReadError> {
        let pages = (0..).take(PARTITIONS_MAX.div_ceil(PARTITIONS_PER_PAGE)).map(StateKey::partitions);
        let pages: Vec<StateKey> = pages.collect();
        let found = self.read(pages.clone(), |sheet| {
            let listed = sheet.rows(pages.iter().copied(), PageRow::decode)?;
            let names: Vec<String> = listed.into_iter().flatten().flat_map(|page| page.ids).collect();
            let asked = names.iter().skip(skip).take(count).map(|name| StateKey::partition(name));
            let rows = sheet.rows(asked, PartitionRow::decode)?;
            Ok((names.len(), rows.into_iter().flatten().collect()))
        });
        let (height, (total, rows)) = found.await?;
        Ok((height, total, rows))
    }
}
