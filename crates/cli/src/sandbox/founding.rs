//! What a new sandbox finds on its ledger, so that there is something to explore: a certificate authority of each organisation on
//! the trust list, an inspector in each whose key it has certified, a register, policies beside the first ones, and a mandate;
//! and the node of each, registered as one that holds what only some may see.
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
use tallystick_api::OutcomeView;
use tallystick_client::{Client, Passphrase, Profile, SealingSecret, Signer, now_seconds};
use tallystick_ledger::{
    item::{Value, item_from},
    x509::{self, Document},
};
use tallystick_protocol::{
    Assurance, AuthorityTerms, Cardinality, Change, Choice, Datatype, Field, Hash, MandateTerms, NewEntry, Operation,
    Phase, PolicyChange, PolicyMeaning, PolicyText, PrincipalId, PrincipalKind, ProposalStatus, Roles, RuleText,
    SealingKey, SignedTransaction,
};

/// The register that everybody may look at.
pub const REGISTER: &str = "food-business";
/// The mandate of the first organisation's registrar.
pub const MANDATE: &str = "cover";
/// How long one step may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pause between two looks at a proposal.
const POLL: Duration = Duration::from_millis(100);
/// The proposals that found the order.
const PROPOSALS: [&str; 2] = ["first-authorities", "first-policies"];
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
    let founding = Founding {
        layout,
        profile: Profile::read(&layout.dir)?,
        client: Client::new(layout.nodes.iter().map(NodePlace::url))?,
    };
    let bar = progress(6, "founding");
    for step in [
        Founding::propose,
        Founding::vote,
        Founding::hold,
        Founding::fill_register,
        Founding::wait_for_effect,
        Founding::certify,
    ] {
        step(&founding).inspect_err(|_| bar.finish_and_clear())?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    fs::remove_file(&unfounded).doing(|| format!("cannot remove `{}`", unfounded.display()))
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
        for settled in self.client.submit_all(transactions, PATIENCE)? {
            if let OutcomeView::Refused { code, advice, .. } = settled.outcome
                && !DONE_BEFORE.contains(&code.as_str())
            {
                return Err(Failure::error(format!("the sandbox cannot be founded: refused: {code}: {advice}")));
            }
        }
        Ok(())
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
        let [first, second] = PROPOSALS;
        let signer = self.signer(self.custodian(), "administrator")?;
        let submit = |proposal: &str, title: &str, text: &str, changes| {
            let text = RuleText::Whole(text.to_owned());
            let (proposal, title) = (proposal.to_owned(), title.to_owned());
            let operation = Operation::ProposalSubmit { proposal, title, text, changes, effect_height: None };
            signer.sign("found the sandbox", vec![operation])
        };
        self.settle(&[
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
        ])
    }

    /// As many organisations as it takes say yes.
    fn vote(&self) -> Done {
        let mut ballots = Vec::new();
        for node in self.organisations().take(self.layout.nodes.len() / 2 + 1) {
            let signer = self.signer(&node.organisation, "administrator")?;
            for proposal in PROPOSALS {
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
                roles: Roles::default(),
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

    /// A register with a policy of its own and some entries, and a mandate to write to it. Meanwhile blocks go by, and with them the
    /// notice of what was voted on.
    fn fill_register(&self) -> Done {
        let administrator = self.signer(self.custodian(), "administrator")?;
        let registrar = self.signer(self.custodian(), "registrar")?;
        let field = |name: &str, datatype| Field {
            name: name.to_owned(),
            datatype,
            cardinality: Cardinality::One,
            register: None,
            text: String::new(),
            protection: None,
        };
        let register = REGISTER.to_owned();
        let create = vec![
            Operation::RegisterCreate {
                register: register.clone(),
                text: "Businesses approved to handle food".to_owned(),
                fields: vec![field(REGISTER, Datatype::String), field("name", Datatype::String)],
            },
            Operation::RegisterPhase { register: register.clone(), phase: Phase::Live, successor: None },
        ];
        self.settle(&[administrator.sign("found the sandbox", create)?])?;
        let change = PolicyChange { put: vec![policy(INSPECTORS)?], remove: Vec::new() };
        let operation = Operation::RegisterPolicy { register: register.clone(), change };
        self.settle(&[administrator.sign("found the sandbox", vec![operation])?])?;
        for (number, name) in (1..).zip(BUSINESSES) {
            let key = format!("FB-{number}");
            let members = [(REGISTER, key.as_str()), ("name", name)];
            let members = members.map(|(name, text)| (name, Value::One(Cow::Borrowed(text))));
            let entries = vec![NewEntry { key: key.clone(), items: vec![item_from(members)] }];
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
        for id in PROPOSALS {
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
