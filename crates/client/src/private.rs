//! Do and ask what only the members of a partition see: at a node of the signer's own organisation, and at no other.

use crate::{
    error::Error,
    http::{Answer, Client},
    read::{At, absent_as_none},
    submit::{Signer, now_seconds},
};
use serde::{Serialize, de::DeserializeOwned};
use std::time::Duration;
use tallystick_api::{
    ConsentList, ErasureList, ErasureView, HoldList, MandateList, MandateView, PolicyAsPut, PolicyList, PrivateAnswer,
    PrivateCertificate, PrivateConsents, PrivateErasures, PrivateHeld, PrivateHolds, PrivateMandates, PrivateNotices,
    PrivateQuestion, PrivateReads, PrivateReadsAsked, PrivateResult, PrivateResults, RegisterList, RegisterView, media,
    routes,
};
use tallystick_protocol::{
    MandateId, PolicyId, Query, SealedSubmission, SignedTransaction, Subject,
    limits::{PARTITIONS_PAGE_MAX, QUERY_SECONDS_MAX, RECEIPT_BYTES_MAX},
};

impl Client {
    /// Hands a private transaction in, at a node of its signer's own organisation ([`Client::holder`]), and waits until it is executed.
    /// One that reads comes with what it read, and once: when the answer is lost, sign a new one.
    ///
    /// # Errors
    /// When the node holds nothing of the partition, too few members acknowledge it, or `timeout` passes.
    pub fn submit_private(&self, transaction: &SignedTransaction, timeout: Duration) -> Result<PrivateResult, Error> {
        self.ask_patiently(timeout, || self.post(routes::PRIVATE, media::COSE, transaction.bytes()))?.json()
    }

    /// The same of one with what opens the values sealed in it: ask a node of the signer's own organisation alone, for the values are in the
    /// clear.
    ///
    /// # Errors
    /// As [`Client::submit_private`]; or when an opening does not fit.
    pub fn submit_private_sealed(
        &self,
        submission: &SealedSubmission,
        timeout: Duration,
    ) -> Result<PrivateResult, Error> {
        let body = submission.to_bytes();
        self.ask_patiently(timeout, || self.post(routes::PRIVATE, media::SEALED, &body))?.json()
    }

    /// Hands several private transactions in at once, none of which reads, and waits until all are executed; one answer for each.
    ///
    /// # Errors
    /// As [`Client::submit_private`], of all of them together.
    pub fn submit_private_all(
        &self,
        transactions: &[SignedTransaction],
        timeout: Duration,
    ) -> Result<Vec<PrivateAnswer>, Error> {
        let body: Vec<u8> = transactions.iter().flat_map(|one| one.bytes().iter().copied()).collect();
        let answer = self.ask_patiently(timeout, || self.post(routes::PRIVATE, media::CBOR_SEQ, &body))?;
        let PrivateResults { results } = answer.json()?;
        if results.len() == transactions.len() {
            return Ok(results);
        }
        let what = format!("{} results for {} transactions", results.len(), transactions.len());
        Err(Error::Answer { node: answer.node, what })
    }

    /// The registers in a partition, in the order in which they were made.
    ///
    /// # Errors
    /// When the node does not answer the signer's questions.
    pub fn partition_registers(&self, signer: &Signer, partition: &str) -> Result<At<RegisterList>, Error> {
        let page = |index: usize| -> Result<At<RegisterList>, Error> {
            let (index, size) = (index.to_string(), PARTITIONS_PAGE_MAX.to_string());
            let query = [("page-index", index.as_str()), ("page-size", size.as_str())];
            self.ask_signed(signer, &routes::with_query(&routes::partition_registers(partition), &query))
        };
        let mut whole = page(1)?;
        let full = usize::try_from(PARTITIONS_PAGE_MAX).unwrap_or(usize::MAX);
        let mut pages = 1;
        while whole.value.registers.len() == full.saturating_mul(pages) {
            pages += 1;
            // A page after the last one is not there.
            let Some(more) = absent_as_none(page(pages))? else { break };
            whole.value.registers.extend(more.value.registers);
        }
        Ok(whole)
    }

    /// A register in a partition; `None` when there is none.
    ///
    /// # Errors
    /// As [`Client::partition_registers`].
    pub fn partition_register(
        &self,
        signer: &Signer,
        partition: &str,
        register: &str,
    ) -> Result<Option<At<RegisterView>>, Error> {
        absent_as_none(self.ask_signed(signer, &routes::partition_register(partition, register)))
    }

    /// The policies in force that its custodian has made for a register in a partition; `None` when there is no such register.
    ///
    /// # Errors
    /// As [`Client::partition_registers`].
    pub fn partition_register_policies(
        &self,
        signer: &Signer,
        partition: &str,
        register: &str,
    ) -> Result<Option<At<PolicyList>>, Error> {
        absent_as_none(self.ask_signed(signer, &routes::partition_register_policies(partition, register)))
    }

    /// A policy of a register in a partition, as [`Client::policy`].
    ///
    /// # Errors
    /// As [`Client::partition_registers`].
    pub fn partition_policy(
        &self,
        signer: &Signer,
        partition: &str,
        (id, as_of): (&PolicyId, Option<u64>),
    ) -> Result<Option<At<PolicyAsPut>>, Error> {
        absent_as_none(self.ask_signed(signer, &routes::partition_policy(partition, id.as_str(), as_of)))
    }

    /// A page of the reads in a partition, the latest first: the query is that of [`routes::PARTITION_READS`].
    ///
    /// # Errors
    /// As [`Client::partition_registers`].
    pub fn partition_reads(
        &self,
        signer: &Signer,
        partition: &str,
        query: &[(&str, &str)],
    ) -> Result<PrivateReads, Error> {
        Ok(self.ask_signed(signer, &routes::with_query(&routes::partition_reads(partition), query))?.value)
    }

    /// The same, of what is asked for.
    ///
    /// # Errors
    /// As [`Client::partition_registers`].
    pub fn partition_reads_of(
        &self,
        signer: &Signer,
        partition: &str,
        asked: &PrivateReadsAsked,
    ) -> Result<PrivateReads, Error> {
        Ok(self.post_signed(signer, &routes::partition_reads(partition), asked)?.value)
    }

    /// How many notices of corrections wait in a partition for the signer, and for all people of their organisation.
    ///
    /// # Errors
    /// As [`Client::partition_registers`].
    pub fn partition_notices(&self, signer: &Signer, partition: &str) -> Result<PrivateNotices, Error> {
        Ok(self.ask_signed(signer, &routes::partition_notices(partition))?.value)
    }

    /// What was written about somebody in a partition, the latest first: where it stands, not what it says.
    ///
    /// # Errors
    /// As [`Client::partition_registers`].
    pub fn partition_held(&self, signer: &Signer, partition: &str, subject: &Subject) -> Result<PrivateHeld, Error> {
        let path = routes::partition_held(partition);
        let page = |cursor: Option<u64>| -> Result<PrivateHeld, Error> {
            let asked = PrivateQuestion { subject: subject.clone(), cursor };
            Ok(self.post_signed(signer, &path, &asked)?.value)
        };
        let mut whole = page(None)?;
        let mut before = u64::MAX;
        while let Some(next) = whole.next.take() {
            // A place lies before the one asked for, or the node would be asked for ever.
            let place = next.parse().ok().filter(|place| *place < before).ok_or_else(|| Error::Answer {
                node: self.nodes().join(", "),
                what: "it names no further place to go on from".to_owned(),
            })?;
            before = place;
            let more = page(Some(place))?;
            whole.entries.extend(more.entries);
            whole.unread.extend(more.unread);
            whole.next = more.next;
        }
        Ok(whole)
    }

    /// A page of the mandates of a partition's own, the latest granted first.
    ///
    /// # Errors
    /// As [`Client::partition_registers`].
    pub fn partition_mandates(
        &self,
        signer: &Signer,
        partition: &str,
        asked: &PrivateMandates,
    ) -> Result<At<MandateList>, Error> {
        self.post_signed(signer, &routes::partition_mandates(partition), asked)
    }

    /// A mandate of a partition's own; `None` when there is none.
    ///
    /// # Errors
    /// As [`Client::partition_registers`]; or when it is none of a partition.
    pub fn partition_mandate(&self, signer: &Signer, id: &MandateId) -> Result<Option<MandateView>, Error> {
        let asked = PrivateMandates { mandate: Some(id.clone()), ..PrivateMandates::default() };
        let found = self.partition_mandates(signer, id.partition().unwrap_or_default(), &asked)?;
        Ok(found.value.mandates.into_iter().find(|view| view.id == *id))
    }

    /// A page of what somebody has consented to in a partition, the newest first.
    ///
    /// # Errors
    /// As [`Client::partition_registers`]; or when no controller is named, and there is no such register.
    pub fn partition_consents(
        &self,
        signer: &Signer,
        partition: &str,
        asked: &PrivateConsents,
    ) -> Result<At<ConsentList>, Error> {
        self.post_signed(signer, &routes::partition_consents(partition), asked)
    }

    /// A page of the orders of erasure in a partition, the newest first.
    ///
    /// # Errors
    /// As [`Client::partition_registers`].
    pub fn partition_erasures(
        &self,
        signer: &Signer,
        partition: &str,
        asked: &PrivateErasures,
    ) -> Result<At<ErasureList>, Error> {
        self.post_signed(signer, &routes::partition_erasures(partition), asked)
    }

    /// An order of erasure in a partition; `None` when there is none.
    ///
    /// # Errors
    /// As [`Client::partition_registers`].
    pub fn partition_erasure(
        &self,
        signer: &Signer,
        partition: &str,
        order: &str,
    ) -> Result<Option<ErasureView>, Error> {
        let asked = PrivateErasures { order: Some(order.to_owned()), ..PrivateErasures::default() };
        let found = self.partition_erasures(signer, partition, &asked)?;
        Ok(found.value.erasures.into_iter().find(|view| view.order == order))
    }

    /// The certificate of an order of erasure in a partition; waits until the partition's members certify a root.
    ///
    /// # Errors
    /// As [`Client::partition_registers`]; or when they certify none in time.
    pub fn partition_erasure_certificate(
        &self,
        signer: &Signer,
        partition: &str,
        order: &str,
    ) -> Result<Vec<u8>, Error> {
        let asked = PrivateCertificate { order: order.to_owned() };
        let answer = self.answer_signed(signer, &routes::partition_erasure_certificate(partition), &asked)?;
        if answer.body.len() > RECEIPT_BYTES_MAX {
            return Err(Error::Answer { node: answer.node, what: "a receipt beyond the limit".to_owned() });
        }
        Ok(answer.body)
    }

    /// A page of the legal holds in a partition, the newest first.
    ///
    /// # Errors
    /// As [`Client::partition_registers`].
    pub fn partition_holds(
        &self,
        signer: &Signer,
        partition: &str,
        asked: &PrivateHolds,
    ) -> Result<At<HoldList>, Error> {
        self.post_signed(signer, &routes::partition_holds(partition), asked)
    }

    fn post_signed<T: DeserializeOwned>(
        &self,
        signer: &Signer,
        path: &str,
        asked: &impl Serialize,
    ) -> Result<At<T>, Error> {
        let answer = self.answer_signed(signer, path, asked)?;
        Ok(At { height: answer.height, value: answer.json()? })
    }

    fn answer_signed(&self, signer: &Signer, path: &str, asked: &impl Serialize) -> Result<Answer, Error> {
        let body = serde_json::to_vec(asked).map_err(|error| Error::Sign(error.to_string()))?;
        let query = question(signer, &Query::path_with(path, &body))?;
        self.post_as(path, media::JSON, &body, &query.to_header())
    }

    fn ask_signed<T: DeserializeOwned>(&self, signer: &Signer, path: &str) -> Result<At<T>, Error> {
        let answer = self.get_as(path, media::JSON, &question(signer, path)?.to_header())?;
        Ok(At { height: answer.height, value: answer.json()? })
    }
}

fn question(signer: &Signer, path: &str) -> Result<Query, Error> {
    // Half of what may be: clocks differ.
    let not_after = now_seconds().saturating_add(QUERY_SECONDS_MAX / 2);
    let query = Query::sign(&signer.network(), path, signer.principal().clone(), not_after, signer.key());
    query.map_err(|error| Error::Sign(error.to_string()))
}
