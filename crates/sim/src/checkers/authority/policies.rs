//! Which policies are in force, by version, and what they say: of each text that a simulated network may put in force there is written
//! here what it means. A text that is not among them is a finding, for nobody could say what it permits.

use super::Network;
use std::collections::{BTreeMap, BTreeSet};
use tallystick_protocol::{
    Decision, OperationName, Phase, PolicyId, PolicyText, PrincipalId, PublicKey, Roles, StateKey,
};

/// A custodian lets the registrars of others append to its register, the one of organisation 3.
pub const GUESTS_WRITE: &str = r#"// Guests write.
permit (
  principal in Role::"registrar",
  action == Action::"entry-append",
  resource == Register::"register-3"
);
"#;
/// How an organisation is reached is said by two.
pub const TWO_HANDS: &str = r#"// Two hands.
forbid (
  principal,
  action == Action::"organisation-contact",
  resource
) when {
  context.cosigners.isEmpty()
};
"#;

/// An act, as policies may look at it.
pub struct Question<'a> {
    /// For whom it is done.
    pub actor: &'a PrincipalId,
    /// What that one is to its organisation.
    pub roles: &'a Roles,
    /// Who signed first, and who else.
    pub signers: Vec<(&'a PrincipalId, &'a PublicKey)>,
    /// What is done.
    pub action: OperationName,
    /// To what.
    pub thing: Thing,
}

/// What something is done to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Thing {
    /// An organisation, by its id.
    Organisation(String),
    /// A principal.
    Principal(PrincipalId),
    /// A register: its name, its custodian, and where it stands.
    Register(String, String, Phase),
    /// A partition, by its members.
    Partition(BTreeSet<String>),
}

impl Thing {
    /// Who answers for it.
    fn organisation(&self) -> &str {
        match self {
            Self::Organisation(id) => id,
            Self::Principal(id) => id.organisation(),
            Self::Register(_, custodian, _) => custodian,
            Self::Partition(_) => "",
        }
    }

    /// Whose own policies are asked too; none but a register's.
    fn scope(&self) -> &str {
        match self {
            Self::Register(name, ..) => name,
            _ => "",
        }
    }
}

/// A text without its comments and spaces, whether it forbids, and whether it speaks of an act.
type Known = (&'static str, bool, fn(&Question<'_>) -> bool);

const KNOWN: [Known; 14] = [
    (
        r#"permit(principalinRole::"administrator",action,resource)when{resourceinprincipal.organisation};"#,
        false,
        |q| q.roles.contains("administrator") && q.thing.organisation() == q.actor.organisation(),
    ),
    (
        r#"permit(principalinRole::"registrar",actionin[Action::"entry-append",Action::"record-correct"],resourceisRegister)when{resource.custodian==principal.organisation};"#,
        false,
        |q| {
            use OperationName::{EntryAppend, RecordCorrect};
            let is_own = matches!(&q.thing, Thing::Register(_, custodian, _) if custodian == q.actor.organisation());
            q.roles.contains("registrar") && [EntryAppend, RecordCorrect].contains(&q.action) && is_own
        },
    ),
    (
        r#"permit(principal,action==Action::"record-read",resourceisRegister)when{resource.custodian==principal.organisation};"#,
        false,
        |q| {
            let is_own = matches!(&q.thing, Thing::Register(_, custodian, _) if custodian == q.actor.organisation());
            q.action == OperationName::RecordRead && is_own
        },
    ),
    (
        r#"permit(principal,actioninAction::"sharing",resourceisPartition)when{resource.members.contains(principal.organisation)};"#,
        false,
        |q| {
            let is_member = matches!(&q.thing, Thing::Partition(members) if members.contains(q.actor.organisation()));
            let of_nodes = [OperationName::PrivateOrder, OperationName::PartitionRoot, OperationName::TransferRefuse];
            of_nodes.contains(&q.action) && is_member
        },
    ),
    (r#"permit(principal,action==Action::"key-certify",resource)when{resource==principal};"#, false, |q| {
        q.action == OperationName::KeyCertify && is_itself(q)
    }),
    (
        r#"permit(principal,actionin[Action::"key-add",Action::"key-rotate",Action::"key-retire"],resource)when{resource==principal&&context.signer==principal};"#,
        false,
        |q| {
            use OperationName::{KeyAdd, KeyRetire, KeyRotate};
            let signs = q.signers.first().is_some_and(|(signer, _)| *signer == q.actor);
            [KeyAdd, KeyRotate, KeyRetire].contains(&q.action) && is_itself(q) && signs
        },
    ),
    (r#"permit(principal,actioninAction::"delegation",resource)when{resource==principal};"#, false, |q| {
        [OperationName::MandateGrant, OperationName::MandateRevoke].contains(&q.action) && is_itself(q)
    }),
    (r#"permit(principal,action==Action::"notice-acknowledge",resource)when{resource==principal};"#, false, |q| {
        q.action == OperationName::NoticeAcknowledge && is_itself(q)
    }),
    (
        r#"permit(principal,action==Action::"erasure-receipt",resource)when{resource==principal&&context.signer==principal};"#,
        false,
        |q| {
            let signs = q.signers.first().is_some_and(|(signer, _)| *signer == q.actor);
            q.action == OperationName::ErasureReceipt && is_itself(q) && signs
        },
    ),
    // Nothing that a simulated network reads stands on consent.
    (
        r#"forbid(principal,action==Action::"record-read",resource)when{contexthasconsent&&!context.consent};"#,
        true,
        |_| false,
    ),
    (
        r#"permit(principalinRole::"registrar",actionin[Action::"consent-give",Action::"consent-withdraw"],resourceisRegister)when{resource.custodian==principal.organisation};"#,
        false,
        |q| {
            use OperationName::{ConsentGive, ConsentWithdraw};
            let is_own = matches!(&q.thing, Thing::Register(_, custodian, _) if custodian == q.actor.organisation());
            q.roles.contains("registrar") && [ConsentGive, ConsentWithdraw].contains(&q.action) && is_own
        },
    ),
    (
        r#"permit(principalinRole::"retention",action==Action::"erasure-order",resourceisRegister)when{resource.custodian==principal.organisation&&context.signer==principal};"#,
        false,
        |q| {
            let is_own = matches!(&q.thing, Thing::Register(_, custodian, _) if custodian == q.actor.organisation());
            let signs = q.signers.first().is_some_and(|(signer, _)| *signer == q.actor);
            q.roles.contains("retention") && q.action == OperationName::ErasureOrder && is_own && signs
        },
    ),
    (
        r#"permit(principalinRole::"registrar",action==Action::"entry-append",resource==Register::"register-3");"#,
        false,
        |q| {
            let is_there = matches!(&q.thing, Thing::Register(name, ..) if name == "register-3");
            q.roles.contains("registrar") && q.action == OperationName::EntryAppend && is_there
        },
    ),
    (
        r#"forbid(principal,action==Action::"organisation-contact",resource)when{context.cosigners.isEmpty()};"#,
        true,
        |q| q.action == OperationName::OrganisationContact && q.signers.len() == 1,
    ),
];

fn is_itself(question: &Question<'_>) -> bool {
    matches!(&question.thing, Thing::Principal(id) if id == question.actor)
}

/// A policy's words alone.
fn words(text: &str) -> String {
    let said = text.lines().map(|line| line.split_once("//").map_or(line, |(said, _)| said));
    said.flat_map(str::chars).filter(|character| !character.is_whitespace()).collect()
}

/// The policies of the partition and of its registers, as accepted changes made them.
#[derive(Clone, Debug, Default)]
pub struct Policies {
    /// Changes so far.
    pub version: u64,
    /// What is in force, by register; of the partition under the empty name. Each with the number of the change that put it.
    pub in_force: BTreeMap<String, BTreeMap<PolicyId, u64>>,
    /// Every text that was ever put.
    pub texts: BTreeMap<(PolicyId, u64), String>,
}

impl Policies {
    /// What a network begins with.
    pub fn starters() -> Vec<PolicyText> {
        let ids = [
            "administrators-manage",
            "custodian-writes",
            "custodian-reads",
            "member-nodes",
            "own-certificate",
            "own-keys",
            "own-mandates",
            "own-notices",
            "own-receipts",
            "consent-required",
            "custodian-consents",
            "retention-orders",
        ];
        let put = ids
            .iter()
            .zip(KNOWN)
            .map(|(id, (text, ..))| PolicyText { id: id.parse().expect("a slug"), text: text.to_owned() });
        put.collect()
    }

    /// A change.
    pub fn change(&mut self, put: &[PolicyText], remove: &[PolicyId]) {
        self.version += 1;
        for id in remove {
            self.in_force.entry(scope_of(id)).or_default().remove(id);
        }
        for policy in put {
            self.in_force.entry(scope_of(&policy.id)).or_default().insert(policy.id.clone(), self.version);
            self.texts.insert((policy.id.clone(), self.version), policy.text.clone());
        }
    }

    /// Which policies determine the answer to a question, and whether it is yes.
    pub fn decide(&self, question: &Question<'_>) -> Result<(bool, BTreeSet<PolicyId>), String> {
        let scopes: BTreeSet<&str> = ["", question.thing.scope()].into();
        let (mut permits, mut forbids) = (BTreeSet::new(), BTreeSet::new());
        for (id, version) in scopes.into_iter().filter_map(|scope| self.in_force.get(scope)).flatten() {
            let text = words(&self.texts[&(id.clone(), *version)]);
            let known = KNOWN.iter().find(|(known, ..)| *known == text);
            let (_, forbids_it, says) = known.ok_or_else(|| format!("nobody knows what policy {id} says: {text}"))?;
            if says(question) {
                if *forbids_it {
                    forbids.insert(id.clone())
                } else {
                    permits.insert(id.clone())
                };
            }
        }
        let is_allowed = forbids.is_empty() && !permits.is_empty();
        Ok((is_allowed, if forbids.is_empty() { permits } else { forbids }))
    }

    /// The rows that these policies are.
    pub fn rows(&self) -> impl Iterator<Item = StateKey> {
        let sets = self.in_force.keys().map(|scope| StateKey::policy_set(scope));
        sets.chain(self.texts.keys().map(|(id, version)| StateKey::policy(id, *version)))
    }

    /// Whether a text is one of those that the network began with, or as it was put.
    pub fn has_text(&self, id: &PolicyId, version: u64, text: &str) -> bool {
        self.texts.get(&(id.clone(), version)).is_some_and(|put| put == text || (version == 1 && *put == words(text)))
    }
}

fn scope_of(id: &PolicyId) -> String {
    id.register().unwrap_or_default().to_owned()
}

/// What policies said to the operations of one transaction.
#[derive(Default)]
pub struct Recorded {
    version: u64,
    determining: BTreeSet<PolicyId>,
}

impl Recorded {
    /// Asks the policies in force now; an act that they do not permit is a finding.
    pub fn ask(&mut self, network: &Network, question: &Question<'_>) -> Result<(), String> {
        let (is_allowed, determining) = network.policies.decide(question)?;
        if !is_allowed {
            let (action, actor) = (question.action, question.actor);
            return Err(format!("it is accepted, and no rule permits {action} to {actor}, to {:?}", question.thing));
        }
        self.version = network.policies.version;
        self.determining.extend(determining);
        Ok(())
    }

    /// Whether that is what the outcome records.
    pub fn is_recorded(&self, decision: &Decision) -> Result<(), String> {
        let recorded: BTreeSet<PolicyId> = decision.determining.iter().cloned().collect();
        if recorded == self.determining && decision.version == self.version {
            return Ok(());
        }
        let (version, determining) = (self.version, &self.determining);
        Err(format!(
            "it records {decision:?}, and by version {version} of the policies it is permitted by {determining:?}"
        ))
    }
}
