//! What a new sandbox finds on its ledger, so that there is something to explore: a certificate authority of each organisation on
//! the trust list, an inspector in each whose key it has certified, a register, policies beside the first ones, and a mandate;
//! and the node of each, registered as one that holds what only some may see; a partition of the first two, with a record in it; and there
//! somebody whom the nodes of both have erased.
//!
//! It is put there as anybody would, by proposals, ballots and signed transactions, and stands in the log like everything else.
//!
//! INVARIANT: each step may be done again: a sandbox that was stopped meanwhile goes on at its next start.

use super::layout::{CERTIFICATE_POLICY, INSPECTOR, Layout, NodePlace, VAULT};
use crate::{
    connection::unlock,
    key,
    output::{Doing, Done, Failure, progress},
};
use std::{
    borrow::Cow,
    fs, thread,
    time::{Duration, Instant},
};
use tallystick_api::{ErasureView, OutcomeView, PrivateResult};
use tallystick_client::{Client, Passphrase, Profile, SealingSecret, Signer, now_seconds};
use tallystick_ledger::{
    item::{Value, item_from},
    x509::{self, Document},
};
use tallystick_protocol::{
    AgreementTerms, Assurance, AuthorityTerms, Change, Choice, Datatype, ErasureScope, ErasureStatus, Field, Hash,
    MandateTerms, NewEntry, Opening, Operation, Phase, Place, PolicyChange, PolicyMeaning, PolicyText, PrincipalId,
    PrincipalKind, ProposalStatus, RuleText, SealedSubmission, SealingKey, Secret, SignedTransaction, Subject,
};

/// The register that everybody may look at.
pub const REGISTER: &str = "food-business";
/// The mandate of the first organisation's registrar.
pub const MANDATE: &str = "cover";
/// The partition of the first two organisations.
pub const PARTITION: &str = "food-safety";
/// The register in it.
pub const COMPLAINT: &str = "complaint";
/// The register of whom something is erased, there too; in a sandbox of one, which shares nothing, in the public partition.
pub const COMPLAINANT: &str = "complainant";
/// The order of erasure.
pub const ERASURE: &str = "forget-p-1";
/// How long one step may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pause between two looks at a proposal.
const POLL: Duration = Duration::from_millis(100);
/// The proposals that found the order; the last, where there are two to share something.
const PROPOSALS: [&str; 3] = ["first-authorities", "first-policies", "share-food-safety"];
/// What a step is refused with when it was done before.
const DONE_BEFORE: [&str; 7] = [
    "proposal-exists",
    "proposal-status",
    "ballot-exists",
    "principal-exists",
    "register-exists",
    "entry-unchanged",
    "mandate-exists",
];

/// A policy of the whole partition.
const CERTIFIED: (&str, &str) = (
    "inspectors-certified",
    r#"// Inspectors write only with a key that a certificate makes sure of.
forbid (
  principal in Role::"inspector",
  action in Action::"writing",
  resource
) when {
  context.assurance < 3
};
"#,
);
/// A policy of the register.
const INSPECTORS: (&str, &str) = (
    "food-business/inspectors",
    r#"// Inspectors of every organisation enter the businesses that they have visited.
permit (
  principal in Role::"inspector",
  action == Action::"entry-append",
  resource == Register::"food-business"
);
"#,
);
/// What the register holds, from FB-1 on. Each is appended by a transaction, and so in a block, of its own: as many as the notice of
/// the proposals has, for an idle network would take its time over it.
const BUSINESSES: [&str; 8] = [
    "Billingsgate Smokehouse",
    "Seven Dials Creamery",
    "Northern Lights Distillery",
    "Severn Vale Abattoir",
    "Thanet Cold Store",
    "Orkney Crab",
    "Clapham Sprouts",
    "Menai Mussels",
];

/// A sandbox that is founded: its organisations in the order of their nodes, each with whoever signs.
struct Founding<'a> {
    layout: &'a Layout,
    profile: Profile,
    client: Client,
}

/// Puts on the ledger what a sandbox begins with, unless it is there.
pub fn found(layout: &Layout) -> Done {
    let unfounded = layout.unfounded();
    if !unfounded.is_file() {
        return Ok(());
    }
    let founding = Founding::of(layout)?;
    let bar = progress(8, "founding");
    for step in [
        Founding::propose,
        Founding::vote,
        Founding::hold,
        Founding::fill_register,
        Founding::wait_for_effect,
        Founding::certify,
        Founding::share,
        Founding::erase,
    ] {
        step(&founding).inspect_err(|_| bar.finish_and_clear())?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    fs::remove_file(&unfounded).doing(|| format!("cannot remove `{}`", unfounded.display()))
}

/// Enrols and registers the node of each organisation as one that holds what only some may see.
///
/// # Errors
/// When a file cannot be read, or the ledger refuses.
pub fn hold(layout: &Layout) -> Done {
    Founding::of(layout)?.hold()
}

/// Hands a private transaction in, at the node of its signer's organisation; nodes look for new partitions now and then.
///
/// # Errors
/// When no node takes it in time, or it is refused.
pub fn settle_private(client: &Client, transaction: &SignedTransaction) -> Done {
    settle_held(client, transaction, |holder| holder.submit_private(transaction, PATIENCE))
}

/// The same of what is sealed, with what opens it.
///
/// # Errors
/// When no node takes it in time, or it is refused.
pub fn settle_private_sealed(client: &Client, transaction: &SignedTransaction, openings: Vec<Opening>) -> Done {
    let submission = SealedSubmission { transaction: transaction.bytes().clone(), openings };
    settle_held(client, transaction, |holder| holder.submit_private_sealed(&submission, PATIENCE))
}

/// Hands in, at the node of the signer's organisation, what only some may see.
fn settle_held(
    client: &Client,
    transaction: &SignedTransaction,
    submit: impl Fn(&Client) -> Result<PrivateResult, tallystick_client::Error>,
) -> Done {
    let (holder, _) = client.holder(transaction.principal().organisation())?;
    let begun = Instant::now();
    loop {
        match submit(&holder) {
            Ok(done) => return require(done.outcome),
            Err(error) if error.code() == Some("intent-repeated") => return Ok(()),
            Err(error) => {
                let is_early = matches!(error.code(), Some("not-holder" | "unavailable"));
                if !is_early || begun.elapsed() >= PATIENCE {
                    return Err(error.into());
                }
                thread::sleep(POLL);
            }
        }
    }
}

impl<'a> Founding<'a> {
    fn of(layout: &'a Layout) -> Result<Self, Failure> {
        let client = Client::new(layout.nodes.iter().map(NodePlace::url))?;
        Ok(Self { layout, profile: Profile::read(&layout.dir)?, client })
    }
}

impl Founding<'_> {
    fn organisations(&self) -> impl Iterator<Item = &NodePlace> {
        self.layout.nodes.iter()
    }

    /// The first organisation, which keeps the register.
    fn custodian(&self) -> &str {
        self.layout.nodes.first().map_or("", |node| &node.organisation)
    }

    fn signer(&self, organisation: &str, name: &str) -> Result<Signer, Failure> {
        let id = PrincipalId::new(organisation, name).map_err(Failure::error)?;
        let Some(place) = self.profile.principals.get(id.as_str()) else {
            return Err(Failure::error(format!(
                "the sandbox's profile has no key of `{id}`: begin with another folder"
            )));
        };
        let key = unlock(&place.key, place.passphrase_file.as_deref())?;
        Ok(Signer::new(self.layout.genesis.id(), id, key))
    }

    /// Hands these in together; what was done before is done.
    fn settle(&self, transactions: &[SignedTransaction]) -> Done {
        let settled = self.client.submit_all(transactions, PATIENCE)?;
        settled.into_iter().try_for_each(|settled| require(settled.outcome))
    }

    /// Who shares: the first two organisations, sorted; none in a sandbox of one.
    fn members(&self) -> Option<Vec<String>> {
        let mut members: Vec<String> = self.organisations().take(2).map(|node| node.organisation.clone()).collect();
        members.sort();
        (members.len() == 2).then_some(members)
    }

    /// The proposals of this sandbox.
    fn proposals(&self) -> impl Iterator<Item = &'static str> {
        PROPOSALS.into_iter().take(if self.members().is_some() { 3 } else { 2 })
    }

    /// The authorities and the policies of all, to be decided by all.
    fn propose(&self) -> Done {
        let mut authorities = Vec::new();
        for node in self.organisations() {
            authorities.push(Change::AuthorityAdmit {
                organisation: node.organisation.clone(),
                certificate: certificate(node, "root.pem")?,
                terms: AuthorityTerms {
                    policies: vec![PolicyMeaning { policy: CERTIFICATE_POLICY.to_owned(), assurance: Assurance::High }],
                    names: Vec::new(),
                },
            });
        }
        let policies = vec![Change::Policies { put: vec![policy(CERTIFIED)?], remove: Vec::new() }];
        let [first, second, third] = PROPOSALS;
        let signer = self.signer(self.custodian(), "administrator")?;
        let submit = |proposal: &str, title: &str, text: &str, changes| {
            let text = RuleText::Whole(text.to_owned());
            let (proposal, title) = (proposal.to_owned(), title.to_owned());
            let operation = Operation::ProposalSubmit { proposal, title, text, changes, effect_height: None };
            signer.sign("found the sandbox", vec![operation])
        };
        let mut submitted = vec![
            submit(
                first,
                "Trust the authority of each organisation",
                "Each organisation's authority certifies its keys. Under the policy that it asserts for its inspectors a key \
                 is known with high assurance.",
                authorities,
            )?,
            submit(
                second,
                "Inspectors need certified keys",
                "Whoever inspects writes only with a key that the authority of the organisation has certified.",
                policies,
            )?,
        ];
        if let Some(members) = self.members() {
            let changes = vec![Change::PartitionOpen { agreement: agreement(members)? }];
            submitted.push(submit(
                third,
                "Share complaints about food",
                "Who keeps food safe and who knows the businesses share what people complain of, and nobody else sees it.",
                changes,
            )?);
        }
        self.settle(&submitted)
    }

    /// As many organisations as it takes say yes.
    fn vote(&self) -> Done {
        let mut ballots = Vec::new();
        for node in self.organisations().take(self.layout.nodes.len() / 2 + 1) {
            let signer = self.signer(&node.organisation, "administrator")?;
            let is_concerned =
                |id: &&str| *id != PROPOSALS[2] || self.members().is_some_and(|all| all.contains(&node.organisation));
            for proposal in self.proposals().filter(is_concerned) {
                let operation = Operation::BallotCast { proposal: proposal.to_owned(), choice: Choice::Yes };
                ballots.push(signer.sign("found the sandbox", vec![operation])?);
            }
        }
        self.settle(&ballots)
    }

    /// Each organisation's node holds for it: its principal is enrolled, and the node registered.
    fn hold(&self) -> Done {
        let passphrase = Passphrase::read(&self.layout.dir.join("passphrase"))?;
        let (mut enrolments, mut registrations) = (Vec::new(), Vec::new());
        for node in self.organisations() {
            let (sealing, key) = node.holder();
            let signer = self.signer(&node.organisation, "administrator")?;
            let validator = self.layout.genesis.validators.iter().find(|one| one.organisation == node.organisation);
            let Some(peer) = validator.map(|validator| validator.key) else { continue };
            let enrol = Operation::PrincipalEnrol {
                name: VAULT.to_owned(),
                kind: PrincipalKind::Device,
                roles: "retention".parse().map_err(Failure::error)?,
                key: key::public_key(&key.to_string_lossy())?,
                assurance: Assurance::Substantial,
            };
            let sealing = SealingSecret::read(&sealing, &passphrase)?.public();
            let register = Operation::NodeRegister {
                node: PrincipalId::new(&node.organisation, VAULT).map_err(Failure::error)?,
                peer,
                sealing: SealingKey::from_bytes(sealing).map_err(Failure::error)?,
                jurisdiction: "GB".parse().map_err(Failure::error)?,
            };
            enrolments.push(signer.sign("found the sandbox", vec![enrol])?);
            registrations.push(signer.sign("found the sandbox", vec![register])?);
        }
        self.settle(&enrolments)?;
        self.settle(&registrations)
    }

    /// A register that two organisations share, with a record that nobody else sees.
    fn share(&self) -> Done {
        if self.members().is_none() {
            return Ok(());
        }
        let (administrator, registrar) = self.sharers()?;
        let fields = [COMPLAINT, "business", "about"].map(|name| Field::new(name, Datatype::String));
        self.settle_within(&administrator, create(COMPLAINT, "What people complain of", fields), Vec::new())?;
        let said = [(COMPLAINT, "C-1"), ("business", "FB-2"), ("about", "Mould under the wrapping")];
        let append = Operation::EntryAppend { register: COMPLAINT.to_owned(), entries: vec![entry("C-1", &said)] };
        self.settle_within(&registrar, vec![append], Vec::new())
    }

    /// Somebody whose name was sealed, and is destroyed: each node that keeps it carries the order out, and gives its receipt.
    fn erase(&self) -> Done {
        let (administrator, registrar) = self.sharers()?;
        if self.order_of_erasure(&administrator)?.is_none() {
            let (register, key) = (COMPLAINANT.to_owned(), "p-1");
            let protection = Some(format!("personal:{COMPLAINANT}").parse().map_err(Failure::error)?);
            let name = Field { protection, ..Field::new("name", Datatype::String) };
            let fields = [Field::new(COMPLAINANT, Datatype::String), name];
            self.settle_within(&administrator, create(COMPLAINANT, "Who complained about food", fields), Vec::new())?;
            let subject = Subject::new(COMPLAINANT, key).map_err(Failure::error)?;
            let place = Place::new(COMPLAINANT, key, "name", subject.clone()).map_err(Failure::error)?;
            let place = place.within(administrator.partition()).map_err(Failure::error)?;
            let opening = Opening::seal(place, Secret::new("Jo Example"), &mut tallystick_client::randomness());
            let opening = opening.map_err(Failure::error)?;
            let sealed = opening.commitment().to_string();
            let entries = vec![entry(key, &[(COMPLAINANT, key), ("name", &sealed)])];
            self.settle_within(&registrar, vec![Operation::EntryAppend { register, entries }], vec![opening])?;
            let order = Operation::ErasureOrder {
                order: ERASURE.to_owned(),
                controller: self.custodian().to_owned(),
                subject,
                scope: ErasureScope::All,
                authority: "The person".to_owned(),
                legal_basis: "UK GDPR Article 17(1)(b)".to_owned(),
                reason: "Consent withdrawn".to_owned(),
                deadline: 30 * 86_400,
            };
            self.settle_within(&administrator, vec![order], Vec::new())?;
        }
        self.wait_for_receipts(&administrator)
    }

    /// The first organisation's administrator and registrar: in the partition, where there is one.
    fn sharers(&self) -> Result<(Signer, Signer), Failure> {
        let partition = self.members().map(|_| PARTITION.to_owned());
        let signer = |name| self.signer(self.custodian(), name).map(|signer| signer.within(partition.clone()));
        Ok((signer("administrator")?, signer("registrar")?))
    }

    /// Hands in, at the node of the signer's organisation, what is sealed or only for the members of the signer's partition.
    fn settle_within(&self, signer: &Signer, operations: Vec<Operation>, openings: Vec<Opening>) -> Done {
        let transaction = signer.sign("found the sandbox", operations)?;
        match (signer.partition(), openings.is_empty()) {
            (None, true) => self.settle(&[transaction]),
            (None, false) => {
                let submission = SealedSubmission { transaction: transaction.bytes().clone(), openings };
                let (holder, _) = self.client.holder(self.custodian())?;
                require(holder.submit_sealed(&submission, PATIENCE)?.outcome)
            }
            (Some(_), true) => settle_private(&self.client, &transaction),
            (Some(_), false) => settle_private_sealed(&self.client, &transaction, openings),
        }
    }

    fn order_of_erasure(&self, asker: &Signer) -> Result<Option<ErasureView>, Failure> {
        let Some(partition) = asker.partition() else {
            return Ok(self.client.erasure(ERASURE)?.map(|found| found.value));
        };
        let (holder, _) = self.client.holder(asker.principal().organisation())?;
        Ok(holder.partition_erasure(asker, partition, ERASURE)?)
    }

    fn wait_for_receipts(&self, asker: &Signer) -> Done {
        let begun = Instant::now();
        while self.order_of_erasure(asker)?.is_none_or(|order| order.status != ErasureStatus::Complete) {
            if begun.elapsed() >= PATIENCE {
                return Err(Failure::error(format!(
                    "the sandbox cannot be founded: not every node has destroyed what `{ERASURE}` orders: see the nodes' \
                     logs, and start it again"
                )));
            }
            thread::sleep(POLL);
        }
        Ok(())
    }

    /// A register with a policy of its own and some entries, and a mandate to write to it. Meanwhile blocks go by, and with them the
    /// notice of what was voted on.
    fn fill_register(&self) -> Done {
        let administrator = self.signer(self.custodian(), "administrator")?;
        let registrar = self.signer(self.custodian(), "registrar")?;
        let register = REGISTER.to_owned();
        let fields = [REGISTER, "name"].map(|name| Field::new(name, Datatype::String));
        let create = create(REGISTER, "Businesses approved to handle food", fields);
        self.settle(&[administrator.sign("found the sandbox", create)?])?;
        let change = PolicyChange { put: vec![policy(INSPECTORS)?], remove: Vec::new() };
        let operation = Operation::RegisterPolicy { register: register.clone(), change };
        self.settle(&[administrator.sign("found the sandbox", vec![operation])?])?;
        for (number, name) in (1..).zip(BUSINESSES) {
            let key = format!("FB-{number}");
            let entries = vec![entry(&key, &[(REGISTER, &key), ("name", name)])];
            let operation = Operation::EntryAppend { register: register.clone(), entries };
            self.settle(&[registrar.sign("found the sandbox", vec![operation])?])?;
        }
        let now = now_seconds();
        let terms = MandateTerms {
            agents: vec![agent(self.layout)?],
            actions: vec!["entry-append".to_owned()],
            resources: vec![format!("register:{REGISTER}")],
            purpose: "Cover during leave".to_owned(),
            from: now,
            until: now + 30 * 86_400,
            depth: 1,
            concur: 1,
            parent: None,
        };
        let operation = Operation::MandateGrant { name: MANDATE.to_owned(), terms };
        self.settle(&[registrar.sign("found the sandbox", vec![operation])?])
    }

    fn wait_for_effect(&self) -> Done {
        let begun = Instant::now();
        for id in self.proposals() {
            loop {
                let status = self.client.proposal(id)?.map(|found| found.value.brief.status);
                match status {
                    Some(ProposalStatus::Effective) => break,
                    Some(ProposalStatus::Open | ProposalStatus::Accepted) if begun.elapsed() < PATIENCE => {
                        thread::sleep(POLL);
                    }
                    _ => return Err(Failure::error(format!("the sandbox cannot be founded: see proposal `{id}`"))),
                }
            }
        }
        Ok(())
    }

    /// The inspectors' keys, each by the authority of its organisation.
    fn certify(&self) -> Done {
        let mut transactions = Vec::new();
        for node in self.organisations() {
            let signer = self.signer(&node.organisation, INSPECTOR)?;
            let operation = Operation::KeyCertify {
                principal: signer.principal().clone(),
                key: signer.key().public(),
                authority: Hash::of(&[&certificate(node, "root.pem")?]),
                chain: vec![certificate(node, &format!("{INSPECTOR}.pem"))?],
            };
            transactions.push(signer.sign("found the sandbox", vec![operation])?);
        }
        self.settle(&transactions)
    }
}

/// Goes on if it was accepted, or done before.
fn require(outcome: OutcomeView) -> Done {
    match outcome {
        OutcomeView::Refused { code, advice, .. } if !DONE_BEFORE.contains(&code.as_str()) => {
            Err(Failure::error(format!("the sandbox cannot be founded: refused: {code}: {advice}")))
        }
        _ => Ok(()),
    }
}

/// A register that is written to from now on.
fn create(register: &str, text: &str, fields: impl Into<Vec<Field>>) -> Vec<Operation> {
    let register = register.to_owned();
    vec![
        Operation::RegisterCreate { register: register.clone(), text: text.to_owned(), fields: fields.into() },
        Operation::RegisterPhase { register, phase: Phase::Live, successor: None },
    ]
}

/// An entry with one item of these fields.
fn entry(key: &str, fields: &[(&str, &str)]) -> NewEntry {
    let members = fields.iter().map(|(name, text)| (*name, Value::One(Cow::Borrowed(*text))));
    NewEntry { key: key.to_owned(), items: vec![item_from(members)] }
}

/// What the members share, from now on.
///
/// # Errors
/// Never in practice: all of it is written here.
pub fn agreement(members: Vec<String>) -> Result<AgreementTerms, Failure> {
    let now_ms = now_seconds().saturating_mul(1_000);
    Ok(AgreementTerms {
        partition: PARTITION.to_owned(),
        members,
        purpose: "Follow up complaints about food".to_owned(),
        legal_basis: "Food Safety Act 1990, section 40".to_owned(),
        categories: vec!["complaints".to_owned()],
        from_ms: now_ms,
        until_ms: None,
        review_ms: Some(now_ms + 365 * 86_400_000),
        jurisdictions: vec!["GB".parse().map_err(Failure::error)?],
        retention_days: 365,
        acknowledgements: 2,
        managers: Vec::new(),
        regulators: Vec::new(),
    })
}

/// Who has the mandate: the registrar of the second organisation, or in a sandbox of one a colleague.
pub fn agent(layout: &Layout) -> Result<PrincipalId, Failure> {
    let id = match layout.nodes.as_slice() {
        [_, second, ..] => PrincipalId::new(&second.organisation, "registrar"),
        [only] => PrincipalId::new(&only.organisation, "administrator"),
        [] => return Err(Failure::error("the sandbox has no nodes: begin with another folder")),
    };
    id.map_err(Failure::error)
}

fn policy((id, text): (&str, &str)) -> Result<PolicyText, Failure> {
    Ok(PolicyText { id: id.parse().map_err(Failure::error)?, text: text.to_owned() })
}

/// The one certificate in a file of the organisation's authority, in DER.
fn certificate(node: &NodePlace, name: &str) -> Result<Vec<u8>, Failure> {
    let path = node.authority().join(name);
    let bytes = fs::read(&path).doing(|| format!("cannot read `{}`", path.display()))?;
    match x509::read(&bytes).map_err(Failure::error)?.as_slice() {
        [Document::Certificate(certificate)] => Ok(certificate.der().to_vec()),
        _ => Err(Failure::error(format!("`{}` holds no certificate: begin with another folder", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tallystick_ledger::{PolicyCache, policy::check};

    #[test]
    fn the_policies_hold_and_the_entries_are_of_the_register() {
        let schema = PolicyCache::default().schema();
        for (id, text) in [CERTIFIED, INSPECTORS] {
            assert_eq!(check(&schema, &id.parse().unwrap(), text), Ok(()), "{id}");
            assert!(text.starts_with("// "), "{id} says in its first line what it does");
        }
        assert_eq!(policy(INSPECTORS).unwrap().id.register(), Some(REGISTER));
    }
}
