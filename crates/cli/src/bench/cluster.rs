//! The benchmark's network: fresh, in processes of its own, with a register and its registrars.

use crate::{
    bench::{
        process::{Used, disk_bytes},
        work::{self, Keys},
    },
    connection::unlock,
    output::{Done, Failure, progress},
    sandbox::{
        check_ports, founding,
        layout::{Layout, NodePlace, Plan},
        process::{NodeProcess, stop_all, tail},
        serves,
    },
};
use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};
use tallystick_client::{Client, Profile, Signer};
use tallystick_protocol::{
    Change, Choice, Hash, NewEntry, Operation, PrincipalId, ProposalStatus, RuleText, SignedTransaction,
};

/// How long nodes may take to serve.
const READY_PATIENCE: Duration = Duration::from_secs(120);
/// How long a transaction of the preparation may take.
const SETTLE_PATIENCE: Duration = Duration::from_secs(120);
/// Pause between two looks.
const POLL: Duration = Duration::from_millis(100);
/// Transactions of the preload handed in together, by each of its connections.
const PRELOAD_WINDOW: usize = 16;
/// Entries made at a time.
const PRELOAD_CHUNK: u64 = 16_384;

/// Organisations that share the benchmark's partition: the first ones.
pub const MEMBERS: usize = 2;

/// A running network.
pub struct Cluster {
    /// Its files.
    pub layout: Layout,
    /// Its nodes; `None` for one that is stopped.
    pub nodes: Vec<Option<NodeProcess>>,
    /// The registrars of the load.
    pub keys: Keys,
    /// An administrator of each organisation; the first one's has the registrars of the load.
    administrators: Vec<Signer>,
}

impl Cluster {
    /// Starts a network in `dir` and prepares it.
    ///
    /// # Errors
    /// When a port is taken, or a node does not serve.
    pub fn start(
        dir: &Path,
        nodes: usize,
        base_port: u16,
        epoch_blocks: u64,
        principals: usize,
    ) -> Result<Self, Failure> {
        let plan = Plan { nodes, base_port, epoch_blocks, log_level: "info".to_owned() };
        let layout = Layout::create(&dir.join("network"), &plan)?;
        check_ports(&layout)?;
        let administrators = administrators(&layout)?;
        let first = administrators.first().ok_or_else(|| Failure::error("the sandbox has no keys"))?;
        let keys = Keys {
            organisation: first.principal().organisation().to_owned(),
            count: principals,
            seed: Hash::of(&[&layout.genesis.nonce]),
            run: "k".to_owned(),
            partition: None,
        };
        let start = |node: &NodePlace| NodeProcess::start(&node.config, &node.log).map(Some);
        let nodes = layout.nodes.iter().map(start).collect::<Result<_, _>>()?;
        let mut cluster = Self { layout, nodes, keys, administrators };
        cluster.wait_ready()?;
        cluster.prepare()?;
        Ok(cluster)
    }

    /// A client of all nodes.
    ///
    /// # Errors
    /// Never in practice: the addresses are ours.
    pub fn client(&self) -> Result<Client, Failure> {
        Ok(Client::new(self.layout.nodes.iter().map(NodePlace::url))?)
    }

    /// A client of one node.
    ///
    /// # Errors
    /// When there is no such node.
    pub fn client_of(&self, index: usize) -> Result<Client, Failure> {
        Ok(Client::new([self.place(index)?.url()])?)
    }

    /// One node's files and addresses.
    ///
    /// # Errors
    /// When there is no such node.
    pub fn place(&self, index: usize) -> Result<&NodePlace, Failure> {
        self.layout.nodes.get(index).ok_or_else(|| Failure::error(format!("there is no node {index}")))
    }

    /// Signs as a registrar of the load, whose number is taken round.
    ///
    /// # Errors
    /// When there are none.
    pub fn signer(&self, number: usize) -> Result<Signer, Failure> {
        let keys = self.keys.signing_keys()?;
        let (principal, key) = keys
            .into_iter()
            .nth(number % self.keys.count.max(1))
            .ok_or_else(|| Failure::error("a benchmark needs at least one principal"))?;
        Ok(Signer::new(self.layout.genesis.id(), principal, key))
    }

    /// What each node has used; zeros for one that is stopped.
    pub fn used(&self) -> Vec<Used> {
        self.nodes.iter().map(|node| node.as_ref().map_or_else(Used::default, |node| Used::by(node.id()))).collect()
    }

    /// Bytes on the disk of each node.
    pub fn disk_bytes(&self) -> Vec<u64> {
        self.layout.nodes.iter().map(|node| disk_bytes(&node.data)).collect()
    }

    /// Waits until every node that runs serves.
    ///
    /// # Errors
    /// When one does not in time, or has ended.
    pub fn wait_ready(&mut self) -> Done {
        let begun = Instant::now();
        for index in 0..self.nodes.len() {
            while !serves(self.place(index)?) {
                let place = self.place(index)?.clone();
                let ended = match self.nodes.get_mut(index) {
                    Some(Some(node)) => node.ended()?.is_some(),
                    _ => break,
                };
                if ended || begun.elapsed() > READY_PATIENCE {
                    let what = if ended { "has ended" } else { "does not serve" };
                    let lines = tail(&place.log, 12).join("\n  ");
                    return Err(Failure::error(format!(
                        "the node of {} {what}; its log ends:\n  {lines}",
                        place.organisation
                    )));
                }
                thread::sleep(POLL);
            }
        }
        Ok(())
    }

    fn prepare(&self) -> Done {
        let client = self.client()?;
        let administrator = self.administrators.first().ok_or_else(|| Failure::error("the sandbox has no keys"))?;
        let mut transactions = vec![administrator.sign("create the register", work::create_register())?];
        for operations in self.keys.enrolments()? {
            transactions.push(administrator.sign("enrol registrars", operations)?);
        }
        settle(&client, &transactions)
    }

    /// Puts changes of the network's order to the vote, has every organisation say yes, and waits until they are made.
    ///
    /// # Errors
    /// When one is refused, cannot be made, or is not made in time.
    pub fn decree(&self, proposal: &str, changes: Vec<Change>) -> Done {
        let client = self.client()?;
        let submission = Operation::ProposalSubmit {
            proposal: proposal.to_owned(),
            title: proposal.to_owned(),
            text: RuleText::Whole("What the benchmark needs".to_owned()),
            changes,
            effect_height: None,
        };
        let first = self.administrators.first().ok_or_else(|| Failure::error("the sandbox has no keys"))?;
        settle(&client, &[first.sign("propose", vec![submission])?])?;
        for administrator in &self.administrators {
            let ballot = Operation::BallotCast { proposal: proposal.to_owned(), choice: Choice::Yes };
            let decided = client.proposal(proposal)?.is_none_or(|at| at.value.brief.status != ProposalStatus::Open);
            if !decided {
                settle(&client, &[administrator.sign("vote", vec![ballot])?])?;
            }
        }
        let begun = Instant::now();
        while begun.elapsed() < SETTLE_PATIENCE {
            match client.proposal(proposal)?.map(|at| at.value.brief.status) {
                Some(ProposalStatus::Effective) => return Ok(()),
                Some(ProposalStatus::Open | ProposalStatus::Accepted) => thread::sleep(POLL),
                other => return Err(Failure::error(format!("the benchmark's proposal `{proposal}` is {other:?}"))),
            }
        }
        Err(Failure::error(format!("the benchmark's proposal `{proposal}` did not take effect in time")))
    }

    /// Opens a partition of the first [`MEMBERS`] organisations, with the register of the load in it; gives the addresses of their nodes,
    /// that first at which the load's private transactions are handed in.
    ///
    /// # Errors
    /// When a step of it is refused, or no node is of the first organisation.
    pub fn open_partition(&self) -> Result<(String, Vec<String>), Failure> {
        founding::hold(&self.layout)?;
        let members: Vec<String> =
            self.administrators.iter().take(MEMBERS).map(|one| one.principal().organisation().to_owned()).collect();
        self.decree("share", vec![Change::PartitionOpen { agreement: founding::agreement(members.clone())? }])?;
        let create = self.sharer()?.sign("create the register", work::create_register())?;
        founding::settle_private(&self.client()?, &create)?;
        let (mut own, mut others) = (None, Vec::new());
        for node in self.layout.nodes.iter().filter(|node| members.contains(&node.organisation)) {
            match node.organisation == self.keys.organisation {
                true => own = Some(node.url()),
                false => others.push(node.url()),
            }
        }
        Ok((own.ok_or_else(|| Failure::error("no node is of the load's organisation"))?, others))
    }

    /// The first organisation's administrator.
    ///
    /// # Errors
    /// When there are no keys.
    pub fn administrator(&self) -> Result<Signer, Failure> {
        let first = self.administrators.first().ok_or_else(|| Failure::error("the sandbox has no keys"))?;
        Ok(Signer::new(first.network(), first.principal().clone(), first.key().clone()))
    }

    /// The same, within the benchmark's partition.
    ///
    /// # Errors
    /// When there are no keys.
    pub fn sharer(&self) -> Result<Signer, Failure> {
        Ok(self.administrator()?.within(Some(founding::PARTITION.to_owned())))
    }

    /// Puts `count` records into the register before anything is measured.
    ///
    /// # Errors
    /// When one is refused or no node takes it.
    pub fn preload(&self, count: u64) -> Done {
        let bar = progress(count, "preloading");
        let mut first = 0;
        while first < count {
            let last = (first + PRELOAD_CHUNK * self.nodes.len() as u64).min(count);
            thread::scope(|scope| {
                let parts: Vec<_> = (0..self.nodes.len())
                    .map(|index| {
                        let share = (last - first).div_ceil(self.nodes.len() as u64);
                        let begin = (first + share * index as u64).min(last);
                        let end = (begin + share).min(last);
                        scope.spawn(move || self.preload_part(index, begin, end))
                    })
                    .collect();
                parts.into_iter().try_for_each(|part| {
                    part.join().unwrap_or_else(|_| Err(Failure::error("preloading failed unexpectedly")))
                })
            })?;
            first = last;
            bar.set_position(first);
        }
        bar.finish_and_clear();
        Ok(())
    }

    fn preload_part(&self, index: usize, begin: u64, end: u64) -> Done {
        let client = self.client_of(index)?;
        let signer = self.signer(index)?;
        let entries: Vec<NewEntry> = (begin..end).map(|number| work::entry("p", number)).collect();
        for window in crate::register::batches(entries).chunks(PRELOAD_WINDOW) {
            let sign = |entries: &Vec<NewEntry>| {
                let operation =
                    Operation::EntryAppend { register: work::REGISTER.to_owned(), entries: entries.clone() };
                signer.sign("preload", vec![operation])
            };
            let transactions = window.iter().map(sign).collect::<Result<Vec<_>, _>>()?;
            settle(&client, &transactions)?;
        }
        Ok(())
    }

    /// Ends a node as a power cut would.
    ///
    /// # Errors
    /// When the system does not tell of its end.
    pub fn kill(&mut self, index: usize) -> Done {
        if let Some(slot) = self.nodes.get_mut(index)
            && let Some(mut node) = slot.take()
        {
            node.kill();
            node.wait(Duration::from_secs(10))?;
        }
        Ok(())
    }

    /// Stops a node in good order.
    ///
    /// # Errors
    /// When the system does not tell of its end.
    pub fn stop(&mut self, index: usize) -> Done {
        let mut node = self.nodes.get_mut(index).and_then(Option::take);
        stop_all(node.as_mut())?;
        Ok(())
    }

    /// Starts a node again.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start_again(&mut self, index: usize) -> Done {
        let place = self.place(index)?.clone();
        if let Some(slot) = self.nodes.get_mut(index) {
            *slot = Some(NodeProcess::start(&place.config, &place.log)?);
        }
        Ok(())
    }

    /// Waits until the node serves and is at most `blocks` behind the first one; gives the seconds it took, or none when it
    /// did not get there in time.
    ///
    /// # Errors
    /// When the first node does not answer.
    pub fn seconds_until_level(&self, index: usize, blocks: u64, patience: Duration) -> Result<Option<f64>, Failure> {
        let (leader, follower) = (self.client_of(0)?, self.client_of(index)?);
        let begun = Instant::now();
        while begun.elapsed() < patience {
            if let Ok(status) = follower.status()
                && status.ready
                && status.height + blocks >= leader.status()?.height
            {
                return Ok(Some(begun.elapsed().as_secs_f64()));
            }
            thread::sleep(POLL);
        }
        Ok(None)
    }

    /// Stops all nodes.
    ///
    /// # Errors
    /// When the system does not tell of their end.
    pub fn stop_all(&mut self) -> Done {
        stop_all(self.nodes.iter_mut().flatten()).map(|_| ())
    }
}

/// An administrator of each organisation.
fn administrators(layout: &Layout) -> Result<Vec<Signer>, Failure> {
    let profile = Profile::read(&layout.dir)?;
    let mut administrators = Vec::new();
    for (id, place) in &profile.principals {
        let id: PrincipalId = id.parse().map_err(Failure::error)?;
        if id.name() == "administrator" {
            let key = unlock(&place.key, place.passphrase_file.as_deref())?;
            administrators.push(Signer::new(layout.genesis.id(), id, key));
        }
    }
    Ok(administrators)
}

fn settle(client: &Client, transactions: &[SignedTransaction]) -> Done {
    let settled = client.submit_all(transactions, SETTLE_PATIENCE)?;
    match settled.iter().find(|settled| !settled.outcome.is_accepted()) {
        None => Ok(()),
        Some(refused) => {
            let lines = crate::transaction::outcome_lines(&refused.outcome).join("\n");
            Err(Failure::error(format!("the benchmark's own transaction {} was refused\n{lines}", refused.id)))
        }
    }
}
