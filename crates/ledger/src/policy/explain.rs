//! Why: what policies say to a question, with the texts of those that determine the answer, against the state as it is.

use std::sync::Arc;

use tallystick_protocol::{Assurance, Code, MandateId, OperationName, PolicyId, PrincipalId, StateKey};

use super::{PolicyRow, cedar::Request};
use crate::{
    apply::{Act, BlockContext, Stop, require_active, require_status},
    authorise::{self, Resource},
    mandate::{self, Chain},
    state::{Draft, HeldKey, Missing, PrincipalRow, View},
};

/// May this principal do this action to this resource, signing with the best of its keys?
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Who signs.
    pub principal: PrincipalId,
    /// Who signs besides, each with the best of its keys.
    pub cosigners: Vec<PrincipalId>,
    /// The mandate under which it acts.
    pub mandate: Option<MandateId>,
    /// What: the name of an operation.
    pub action: OperationName,
    /// To what: `organisation:alpha`, `principal:alpha/clerk`, `register:country`.
    pub resource: String,
}

/// What a question names, and the ledger does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuestionError {
    /// Not written as a resource is.
    #[error("`{0}` is not a resource: write organisation:ID, principal:ID or register:NAME")]
    Resource(String),
    /// The thing is not on the ledger.
    #[error("there is no {0} on the ledger: check the name")]
    Unknown(String),
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// How often policies had been changed.
    pub version: u64,
    /// Whether it is permitted.
    pub allowed: bool,
    /// Why it is refused whatever policies say: who signs may not act, or the mandate does not hold.
    pub refusal: Option<Code>,
    /// The mandates under which it acts, from the one that is named to the root.
    pub mandates: Vec<MandateId>,
    /// The policies that determine it; none when nothing permits.
    pub determining: Vec<PolicyRow>,
    /// Policies that failed and were skipped, with the reason.
    pub skipped: Vec<(PolicyId, String)>,
    /// What policies were asked, and the things that they could look at.
    pub request: Request,
}

/// An answer, or why there is none.
pub type Explained = Result<Explanation, QuestionError>;

/// Answers a question without an operation: nothing is written, and nothing is permitted by it.
///
/// # Errors
/// When rows are missing from the view: fetch them and ask again.
pub fn explain(view: &mut View, block: &BlockContext, question: &Question) -> Result<Explained, Missing> {
    let mut draft = Draft::new(view);
    match answer(&mut draft, block, question) {
        Ok(explained) => Ok(explained),
        Err(_) => Err(draft.into_missing()),
    }
}

fn answer(draft: &mut Draft<'_>, block: &BlockContext, question: &Question) -> Result<Explained, Stop> {
    let Some((kind, id)) = question.resource.split_once(':') else {
        return Ok(Err(QuestionError::Resource(question.resource.clone())));
    };
    let mut signers = Vec::with_capacity(1 + question.cosigners.len());
    for id in [&question.principal].into_iter().chain(&question.cosigners) {
        match draft.principal(&StateKey::principal(id))? {
            Some(row) => signers.push(Arc::clone(row)),
            None => return Ok(Err(QuestionError::Unknown(format!("principal `{id}`")))),
        }
    }
    let unknown = || Ok(Err(QuestionError::Unknown(format!("{kind} `{id}`"))));
    match kind {
        "organisation" => {
            if draft.organisation(&StateKey::organisation(id))?.is_none() {
                return unknown();
            }
            explained(draft, block, question, &signers, &Resource::Organisation(id)).map(Ok)
        }
        "principal" => {
            let Ok(id) = id.parse::<PrincipalId>() else { return unknown() };
            let Some(row) = draft.principal(&StateKey::principal(&id))?.cloned() else { return unknown() };
            explained(draft, block, question, &signers, &Resource::Principal(&row)).map(Ok)
        }
        "register" => {
            let Some(register) = draft.register(id)? else { return unknown() };
            explained(draft, block, question, &signers, &Resource::Register(&register)).map(Ok)
        }
        _ => Ok(Err(QuestionError::Resource(question.resource.clone()))),
    }
}

/// The least of the best keys of those who sign, if they may act.
fn assurance_of(draft: &mut Draft<'_>, block: &BlockContext, signers: &[Arc<PrincipalRow>]) -> Result<Assurance, Stop> {
    let mut least = Assurance::High;
    for row in signers {
        require_status(row)?;
        require_active(draft, Arc::clone(row))?;
        let held: Vec<&HeldKey> = row.keys.iter().filter(|held| !held.has_ended(block.time_ms)).collect();
        let works = held.iter().filter(|held| !held.is_expired(block.time_ms)).map(|held| held.assurance);
        let why = if held.is_empty() { Code::KeyRetired } else { Code::KeyExpired };
        least = least.min(works.max().ok_or(why)?);
    }
    Ok(least)
}

/// Who acts, with which assurance, under which mandates, and what stands against it whatever policies say.
struct Standing {
    assurance: Assurance,
    actor: Arc<PrincipalRow>,
    chain: Chain,
    refusal: Option<Code>,
}

/// The code of a refusal; what else stops an answer goes on.
fn refusal(stop: Stop) -> Result<Code, Stop> {
    match stop {
        Stop::Refused(code, _) => Ok(code),
        Stop::Unread => Err(Stop::Unread),
    }
}

fn standing(
    draft: &mut Draft<'_>,
    block: &BlockContext,
    question: &Question,
    signers: &[Arc<PrincipalRow>],
) -> Result<Standing, Stop> {
    let acts = assurance_of(draft, block, signers).and_then(|assurance| {
        Ok((assurance, mandate::resolve(draft, (block, None), question.mandate.as_ref(), signers)?))
    });
    let (assurance, (actor, chain)) = match acts {
        Ok(acts) => acts,
        Err(stop) => {
            let Some(first) = signers.first() else { unreachable!("a question has a principal") };
            let (actor, refusal) = (Arc::clone(first), Some(refusal(stop)?));
            return Ok(Standing { assurance: Assurance::Low, actor, chain: Chain::default(), refusal });
        }
    };
    // When only the words fall short, the chain still says who would act, under what.
    let refusal = chain.require_words(question.action, &question.resource).err().map(refusal).transpose()?;
    Ok(Standing { assurance, actor, chain, refusal })
}

fn explained(
    draft: &mut Draft<'_>,
    block: &BlockContext,
    question: &Question,
    signers: &[Arc<PrincipalRow>],
    resource: &Resource<'_>,
) -> Result<Explanation, Stop> {
    let Standing { assurance, actor, chain, refusal } = standing(draft, block, question, signers)?;
    let act = Act {
        block,
        partition: None,
        signer: &actor,
        signers,
        assurance,
        mandates: &chain,
        action: question.action,
        reading: None,
        about: None,
        roles: None,
        operation: 0,
        leaf: 0,
    };
    let request = authorise::request(&act, resource);
    let judgement = super::judge(draft, &act, resource)?;
    let version = draft.counters(&StateKey::counters())?.map_or(0, |counters| counters.policies);
    let mut keys = Vec::with_capacity(judgement.determining.len());
    for id in &judgement.determining {
        let set = draft.policy_set(&StateKey::policy_set(id.register().unwrap_or_default()))?;
        let listed = set.and_then(|set| set.row.policies.iter().find(|policy| policy.id == *id));
        keys.extend(listed.map(|policy| StateKey::policy(&policy.id, policy.version)));
    }
    keys.iter().for_each(|key| draft.touch(*key));
    draft.complete()?;
    let mut determining = Vec::with_capacity(keys.len());
    for key in &keys {
        determining.extend(draft.policy(key)?.cloned());
    }
    let skipped = judgement.skipped.iter().map(|(id, why)| (id.clone(), why.clone())).collect();
    let allowed = judgement.allowed && refusal.is_none();
    Ok(Explanation { version, allowed, refusal, mandates: chain.ids(), determining, skipped, request })
}
