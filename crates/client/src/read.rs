//! What nodes tell: the network and its state, registers and records, receipts, and blocks as they become final.

use crate::{error::Error, http::Client};
use serde::de::DeserializeOwned;
use std::io::{self, BufRead, BufReader, Read, Write};
use tallystick_api::{
    AccessLogPage, AuditPage, AuthorityList, BlockEvent, BlockView, ConsentList, CorrectionView, DataMap, DryRun,
    DryRunView, ErasureList, ErasureView, HeldList, HoldList, MandateList, MandateView, NetworkView, NodeList,
    NodeStatus, NoticePage, OrganisationList, OrganisationView, PartitionList, PartitionView, PolicyAnswer,
    PolicyAsPut, PolicyList, PolicyQuestion, PrincipalList, PrincipalView, ProposalList, ProposalView, RegisterList,
    RegisterView, RulebookView, TransactionStatus, ValidatorsView, media, routes,
};
use tallystick_protocol::{
    Change, Hash, MandateId, PolicyId, PrincipalId, RecoveryGround, Subject,
    limits::{
        ORGANISATIONS_MAX, ORGANISATIONS_PAGE_MAX, PARTITIONS_MAX, PARTITIONS_PAGE_MAX, RECEIPT_BYTES_MAX,
        STREAM_LINE_BYTES_MAX,
    },
};

/// What was read, and the height of the state that it shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At<T> {
    /// The height of the newest block that the answer takes into account, when the node said so.
    pub height: Option<u64>,
    /// What was read.
    pub value: T,
}

impl Client {
    /// How the node is.
    ///
    /// # Errors
    /// When no node answers.
    pub fn status(&self) -> Result<NodeStatus, Error> {
        Ok(self.read(routes::STATUS)?.value)
    }

    /// The network as the node sees it. For a trust anchor take the file that the members signed off, not this.
    ///
    /// # Errors
    /// When no node answers.
    pub fn network(&self) -> Result<NetworkView, Error> {
        Ok(self.read(routes::NETWORK)?.value)
    }

    /// Who certifies blocks, now and next.
    ///
    /// # Errors
    /// When no node answers.
    pub fn validators(&self) -> Result<At<ValidatorsView>, Error> {
        self.read(routes::VALIDATORS)
    }

    /// What a recovery stands on that goes on from the node's newest block: with these organisations, which are to run validators,
    /// and with the principal that is to sign.
    ///
    /// # Errors
    /// When no node answers, or there is no such principal.
    pub fn recovery_ground(
        &self,
        principal: Option<&PrincipalId>,
        organisations: &[String],
    ) -> Result<RecoveryGround, Error> {
        let (principal, organisations) = (principal.map(ToString::to_string), organisations.join(","));
        let mut query = vec![("organisations", organisations.as_str())];
        query.extend(principal.as_deref().map(|principal| ("principal", principal)));
        let answer = self.get(&routes::with_query(routes::RECOVERY, &query), media::RECOVERY)?;
        RecoveryGround::decode(&answer.body)
            .map_err(|error| Error::Answer { node: answer.node, what: format!("no ground of a recovery: {error}") })
    }

    /// All registers.
    ///
    /// # Errors
    /// When no node answers.
    pub fn registers(&self) -> Result<At<RegisterList>, Error> {
        self.read(routes::REGISTERS)
    }

    /// One register; `None` when there is none of this name.
    ///
    /// # Errors
    /// When no node answers.
    pub fn register(&self, name: &str) -> Result<Option<At<RegisterView>>, Error> {
        absent_as_none(self.read(&routes::register(name)))
    }

    /// A record as openregister shows it; `None` when there is none under this key.
    ///
    /// # Errors
    /// When no node answers.
    pub fn record(&self, register: &str, key: &str) -> Result<Option<At<serde_json::Value>>, Error> {
        absent_as_none(self.read(&routes::record(register, key)))
    }

    /// All entries of one record, oldest first.
    ///
    /// # Errors
    /// When no node answers.
    pub fn record_entries(&self, register: &str, key: &str) -> Result<Option<At<serde_json::Value>>, Error> {
        absent_as_none(self.read(&routes::record_entries(register, key)))
    }

    /// A transaction and where it stands; `None` when the node knows none of this id.
    ///
    /// # Errors
    /// When no node answers.
    pub fn transaction(&self, id: &Hash) -> Result<Option<At<TransactionStatus>>, Error> {
        absent_as_none(self.read(&routes::transaction(id)))
    }

    /// A page of acts, newest first, asked for by these names and values: those of [`routes::AUDIT`].
    ///
    /// # Errors
    /// When no node answers, or a name or value is none.
    pub fn audit(&self, query: &[(&str, &str)]) -> Result<AuditPage, Error> {
        Ok(self.read(&routes::with_query(routes::AUDIT, query))?.value)
    }

    /// A page of the reads of what is sealed about somebody, newest first: the query is that of [`routes::ACCESS_LOG`].
    ///
    /// # Errors
    /// When no node answers, or a name or value is none.
    pub fn access_log(&self, query: &[(&str, &str)]) -> Result<AccessLogPage, Error> {
        Ok(self.read(&routes::with_query(routes::ACCESS_LOG, query))?.value)
    }

    /// A principal with its keys; `None` when there is none.
    ///
    /// # Errors
    /// When no node answers.
    pub fn principal(&self, id: &PrincipalId) -> Result<Option<At<PrincipalView>>, Error> {
        absent_as_none(self.read(&routes::principal(id)))
    }

    /// A mandate; `None` when there is none.
    ///
    /// # Errors
    /// When no node answers.
    pub fn mandate(&self, id: &MandateId) -> Result<Option<At<MandateView>>, Error> {
        absent_as_none(self.read(&routes::mandate(id)))
    }

    /// An organisation; `None` when there is none.
    ///
    /// # Errors
    /// When no node answers.
    pub fn organisation(&self, id: &str) -> Result<Option<At<OrganisationView>>, Error> {
        absent_as_none(self.read(&routes::organisation(id)))
    }

    /// The nodes of an organisation that hold what only some may see; `None` when there is no such organisation.
    ///
    /// # Errors
    /// When no node answers.
    pub fn organisation_nodes(&self, organisation: &str) -> Result<Option<At<NodeList>>, Error> {
        absent_as_none(self.read(&routes::organisation_nodes(organisation)))
    }

    /// The certificate authorities of an organisation; `None` when there is no such organisation.
    ///
    /// # Errors
    /// When no node answers.
    pub fn authorities(&self, organisation: &str) -> Result<Option<At<AuthorityList>>, Error> {
        absent_as_none(self.read(&routes::organisation_authorities(organisation)))
    }

    /// All organisations that are or were members, in the order in which they joined.
    ///
    /// # Errors
    /// When no node answers.
    pub fn organisations(&self) -> Result<At<OrganisationList>, Error> {
        let page = |index: usize| -> Result<At<OrganisationList>, Error> {
            let (index, size) = (index.to_string(), ORGANISATIONS_PAGE_MAX.to_string());
            let query = [("page-index", index.as_str()), ("page-size", size.as_str())];
            self.read(&routes::with_query(routes::ORGANISATIONS, &query))
        };
        let mut whole = page(1)?;
        let full = usize::try_from(ORGANISATIONS_PAGE_MAX).unwrap_or(usize::MAX);
        let mut pages = 1;
        while whole.value.organisations.len() == full.saturating_mul(pages)
            && whole.value.organisations.len() < ORGANISATIONS_MAX
        {
            pages += 1;
            // A page after the last one is not there.
            let Some(more) = absent_as_none(page(pages))? else { break };
            whole.value.organisations.extend(more.value.organisations);
        }
        Ok(whole)
    }

    /// A partition; `None` when there is none.
    ///
    /// # Errors
    /// When no node answers.
    pub fn partition(&self, name: &str) -> Result<Option<At<PartitionView>>, Error> {
        absent_as_none(self.read(&routes::partition(name)))
    }

    /// All partitions, ended ones too, in the order in which they were opened.
    ///
    /// # Errors
    /// When no node answers.
    pub fn partitions(&self) -> Result<At<PartitionList>, Error> {
        let page = |index: usize| -> Result<At<PartitionList>, Error> {
            let (index, size) = (index.to_string(), PARTITIONS_PAGE_MAX.to_string());
            self.read(&routes::with_query(routes::PARTITIONS, &[("page-index", &index), ("page-size", &size)]))
        };
        let mut whole = page(1)?;
        let full = usize::try_from(PARTITIONS_PAGE_MAX).unwrap_or(usize::MAX);
        let mut pages = 1;
        while whole.value.partitions.len() == full.saturating_mul(pages)
            && whole.value.partitions.len() < PARTITIONS_MAX
        {
            pages += 1;
            // A page after the last one is not there.
            let Some(more) = absent_as_none(page(pages))? else { break };
            whole.value.partitions.extend(more.value.partitions);
        }
        Ok(whole)
    }

    /// A page of an organisation's principals, the latest enrolled first: the query is that of
    /// [`routes::ORGANISATION_PRINCIPALS`]. `None` when there is no such organisation.
    ///
    /// # Errors
    /// When no node answers, or the query is not understood.
    pub fn principals(&self, organisation: &str, query: &[(&str, &str)]) -> Result<Option<At<PrincipalList>>, Error> {
        absent_as_none(self.read(&routes::with_query(&routes::organisation_principals(organisation), query)))
    }

    /// A page of mandates, the latest granted first: the query is that of [`routes::MANDATES`].
    ///
    /// # Errors
    /// When no node answers, or the query is not understood.
    pub fn mandates(&self, query: &[(&str, &str)]) -> Result<At<MandateList>, Error> {
        self.read(&routes::with_query(routes::MANDATES, query))
    }

    /// Where the sealed values about somebody stand that a node keeps: ask a holder ([`Client::holder`]).
    ///
    /// # Errors
    /// When it does not answer, or keeps nothing.
    pub fn held(&self, subject: &Subject) -> Result<HeldList, Error> {
        Ok(self.read(&routes::with_query(routes::HELD, &[("subject", &subject.to_string())]))?.value)
    }

    /// A page of corrections with who must know of each: the query is that of [`routes::NOTICES`].
    ///
    /// # Errors
    /// When no node answers, or the query is not understood.
    pub fn notices(&self, query: &[(&str, &str)]) -> Result<NoticePage, Error> {
        Ok(self.read(&routes::with_query(routes::NOTICES, query))?.value)
    }

    /// A page of the data map: the query is that of [`routes::DATA_MAP`].
    ///
    /// # Errors
    /// When no node answers, or the query is not understood.
    pub fn data_map(&self, query: &[(&str, &str)]) -> Result<At<DataMap>, Error> {
        self.read(&routes::with_query(routes::DATA_MAP, query))
    }

    /// The policies in force, of the partition or for a register.
    ///
    /// # Errors
    /// When no node answers.
    pub fn policies(&self, register: Option<&str>) -> Result<At<PolicyList>, Error> {
        register.map_or_else(|| self.read(routes::POLICIES), |name| self.read(&routes::register_policies(name)))
    }

    /// A policy as it stood after so many changes of policies, the number that an outcome's decision gives; now if none is
    /// given. `None` when it had not been put then.
    ///
    /// # Errors
    /// When no node answers.
    pub fn policy(&self, id: &PolicyId, as_of: Option<u64>) -> Result<Option<At<PolicyAsPut>>, Error> {
        absent_as_none(self.read(&routes::policy(id.as_str(), as_of)))
    }

    /// Whether something is permitted, and which policies say so, against the state as it is.
    ///
    /// # Errors
    /// When no node answers, or the question names what is not there.
    pub fn explain(&self, question: &PolicyQuestion) -> Result<At<PolicyAnswer>, Error> {
        let body = serde_json::to_vec(question)
            .map_err(|error| Error::Answer { node: String::new(), what: error.to_string() })?;
        let answer = self.post(routes::EXPLAIN, media::JSON, &body)?;
        Ok(At { height: answer.height, value: answer.json()? })
    }

    /// A page of proposals, newest first: `limit` and `cursor` are those of [`routes::PROPOSALS`].
    ///
    /// # Errors
    /// When no node answers.
    pub fn proposals(&self, query: &[(&str, &str)]) -> Result<At<ProposalList>, Error> {
        self.read(&routes::with_query(routes::PROPOSALS, query))
    }

    /// A proposal with all that was said on it; `None` when there is none.
    ///
    /// # Errors
    /// When no node answers.
    pub fn proposal(&self, id: &str) -> Result<Option<At<ProposalView>>, Error> {
        absent_as_none(self.read(&routes::proposal(id)))
    }

    /// A page of orders of erasure, the newest first: the query is that of [`routes::ERASURES`].
    ///
    /// # Errors
    /// When no node answers, or the query is not understood.
    pub fn erasures(&self, query: &[(&str, &str)]) -> Result<At<ErasureList>, Error> {
        self.read(&routes::with_query(routes::ERASURES, query))
    }

    /// An order of erasure; `None` when there is none.
    ///
    /// # Errors
    /// When no node answers.
    pub fn erasure(&self, order: &str) -> Result<Option<At<ErasureView>>, Error> {
        absent_as_none(self.read(&routes::erasure(order)))
    }

    /// Proof of where an order of erasure stands.
    ///
    /// # Errors
    /// When no node answers, or there is no such order.
    pub fn erasure_certificate(&self, order: &str) -> Result<Vec<u8>, Error> {
        self.receipt(&routes::erasure_certificate(order))
    }

    /// A page of legal holds, the newest first: the query is that of [`routes::HOLDS`].
    ///
    /// # Errors
    /// When no node answers, or the query is not understood.
    pub fn holds(&self, query: &[(&str, &str)]) -> Result<At<HoldList>, Error> {
        self.read(&routes::with_query(routes::HOLDS, query))
    }

    /// A page of what somebody has consented to, the newest first: the query is that of [`routes::CONSENTS`].
    ///
    /// # Errors
    /// When no node answers, or the query is not understood.
    pub fn consents(&self, query: &[(&str, &str)]) -> Result<At<ConsentList>, Error> {
        self.read(&routes::with_query(routes::CONSENTS, query))
    }

    /// A page of what is noted of a record's entries that were wrong: the query is that of [`routes::RECORD_CORRECTIONS`].
    ///
    /// # Errors
    /// When no node answers, or there is no such register.
    pub fn corrections(
        &self,
        register: &str,
        key: &str,
        query: &[(&str, &str)],
    ) -> Result<At<Vec<CorrectionView>>, Error> {
        self.read(&routes::with_query(&routes::record_corrections(register, key), query))
    }

    /// The rulebook in force.
    ///
    /// # Errors
    /// When no node answers.
    pub fn rulebook(&self) -> Result<At<RulebookView>, Error> {
        self.read(routes::RULEBOOK)
    }

    /// What changes would do to the state as it is. Nothing comes of asking.
    ///
    /// # Errors
    /// When no node answers.
    pub fn dry_run(&self, changes: &[Change]) -> Result<At<DryRunView>, Error> {
        let body = serde_json::to_vec(&DryRun { changes: changes.to_vec() })
            .map_err(|error| Error::Answer { node: String::new(), what: error.to_string() })?;
        let answer = self.post(routes::DRY_RUN, media::JSON, &body)?;
        Ok(At { height: answer.height, value: answer.json()? })
    }

    /// One final block; `None` when it is not there yet.
    ///
    /// # Errors
    /// When no node answers.
    pub fn block(&self, height: u64) -> Result<Option<At<BlockView>>, Error> {
        absent_as_none(self.read(&routes::block(height)))
    }

    /// The receipt of a final transaction.
    ///
    /// # Errors
    /// When no node answers, or there is no such transaction, or it is not final.
    pub fn transaction_receipt(&self, id: &Hash) -> Result<Vec<u8>, Error> {
        self.receipt(&routes::transaction_receipt(id))
    }

    /// Proof of where a proposal stands.
    ///
    /// # Errors
    /// When no node answers, or there is no such proposal.
    pub fn proposal_receipt(&self, id: &str) -> Result<Vec<u8>, Error> {
        self.receipt(&routes::proposal_receipt(id))
    }

    /// Proof of which keys a principal has.
    ///
    /// # Errors
    /// When no node answers, or there is no such principal.
    pub fn principal_receipt(&self, id: &PrincipalId) -> Result<Vec<u8>, Error> {
        self.receipt(&routes::principal_receipt(id))
    }

    /// Proof of a record, or that there is none.
    ///
    /// # Errors
    /// When no node answers, or there is no such register.
    pub fn record_receipt(&self, register: &str, key: &str) -> Result<Vec<u8>, Error> {
        self.receipt(&routes::record_receipt(register, key))
    }

    /// The node's metrics, as Prometheus reads them.
    ///
    /// # Errors
    /// When no node answers.
    pub fn metrics(&self) -> Result<String, Error> {
        let answer = self.get(routes::METRICS, "*/*")?;
        String::from_utf8(answer.body)
            .map_err(|_| Error::Answer { node: answer.node, what: "metrics that are no text".to_owned() })
    }

    /// Writes the whole history of a register as RSF; gives the bytes written.
    ///
    /// # Errors
    /// When no node answers, there is no such register, or `out` fails.
    pub fn download(&self, register: &str, out: &mut dyn Write) -> Result<u64, Error> {
        let (node, mut reader) = self.open(&routes::download(register), media::RSF)?;
        io::copy(&mut reader, out)
            .map_err(|error| Error::Answer { node, what: format!("the download broke off: {error}") })
    }

    /// Final blocks from now on; with the ids of their transactions when `ids`.
    ///
    /// # Errors
    /// When no node answers.
    pub fn blocks(&self, ids: bool) -> Result<Blocks, Error> {
        let path = if ids { format!("{}?ids=true", routes::BLOCKS) } else { routes::BLOCKS.to_owned() };
        let (node, reader) = self.open(&path, media::EVENTS)?;
        Ok(Blocks { node, lines: BufReader::new(Box::new(reader)) })
    }

    fn read<T: DeserializeOwned>(&self, path: &str) -> Result<At<T>, Error> {
        let answer = self.get(path, media::JSON)?;
        Ok(At { height: answer.height, value: answer.json()? })
    }

    fn receipt(&self, path: &str) -> Result<Vec<u8>, Error> {
        let answer = self.get(path, media::RECEIPT)?;
        if answer.body.len() > RECEIPT_BYTES_MAX {
            return Err(Error::Answer { node: answer.node, what: "a receipt beyond the limit".to_owned() });
        }
        Ok(answer.body)
    }
}

/// Nothing, where the node says that there is no such thing.
pub(crate) fn absent_as_none<T>(read: Result<T, Error>) -> Result<Option<T>, Error> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.code() == Some("not-found") => Ok(None),
        Err(error) => Err(error),
    }
}

/// Final blocks as a node sends them (server-sent events). Ends with an error when the stream breaks.
pub struct Blocks {
    node: String,
    lines: BufReader<Box<dyn Read + Send>>,
}

impl Iterator for Blocks {
    type Item = Result<BlockEvent, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        match next_event(&mut self.lines) {
            Ok(event) => Some(Ok(event)),
            Err(error) => {
                let what = format!("the stream of blocks broke off: {error}");
                Some(Err(Error::Answer { node: self.node.clone(), what }))
            }
        }
    }
}

/// Reads up to the next event `block`; comments and other events are passed over.
fn next_event(lines: &mut impl BufRead) -> io::Result<BlockEvent> {
    let (mut name, mut data) = (String::new(), String::new());
    loop {
        let mut line = String::new();
        if lines.by_ref().take(STREAM_LINE_BYTES_MAX).read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if !line.ends_with('\n') {
            return Err(io::Error::other("a line is cut or too long"));
        }
        let line = line.trim_end_matches(['\r', '\n']);
        if line.is_empty() {
            if (name.is_empty() || name == "block") && !data.is_empty() {
                return serde_json::from_str(&data).map_err(io::Error::other);
            }
            if name == "lagged" {
                return Err(io::Error::other("the node could not send blocks as fast as they came"));
            }
            (name, data) = (String::new(), String::new());
        } else if let Some(value) = line.strip_prefix("event:") {
            name = value.trim_start().to_owned();
        } else if let Some(value) = line.strip_prefix("data:") {
            data.push_str(value.trim_start());
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn events_are_read_across_comments_and_other_events() {
        let zero = "0".repeat(64);
        let json = format!(
            r#"{{"height":7,"time_ms":1,"digest":"{zero}","log_size":2,"log_root":"{zero}","state_root":"{zero}","transactions":1,"refused":0,"ids":["{zero}"]}}"#
        );
        let text = format!(": keep-alive\n\nevent: other\ndata: x\n\nid: 7\nevent: block\ndata: {json}\r\n\n");
        let mut lines = io::Cursor::new(text);
        let event = next_event(&mut lines).unwrap();
        assert_eq!((event.height, event.ids.unwrap().len()), (7, 1));
        assert_eq!(next_event(&mut lines).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_cut_line_is_no_event() {
        let mut lines = io::Cursor::new("event: block\ndata: {}");
        assert!(next_event(&mut lines).is_err());
    }
}
