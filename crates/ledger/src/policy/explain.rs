//! Why: what policies say to a question, with the texts of those that determine the answer, against the state as it is.

use std::sync::Arc;

use tallystick_protocol::{Assurance, OperationName, PolicyId, PrincipalId, StateKey};

use super::{PolicyRow, cedar::Request};
use crate::{
    apply::{Act, BlockContext, Stop},
    authorise::{self, Resource},
    state::{Draft, Missing, PrincipalRow, View},
};

/// May this principal do this action to this resource, signing alone with the best of its keys?
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Who.
    pub principal: PrincipalId,
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
    let unknown = |what: &str| Ok(Err(QuestionError::Unknown(what.to_owned())));
    let Some((kind, id)) = question.resource.split_once(':') else {
        return Ok(Err(QuestionError::Resource(question.resource.clone())));
    };
    let Some(signer) = draft.principal(&StateKey::principal(&question.principal))?.cloned() else {
        return unknown(&format!("principal `{}`", question.principal));
    };
    let missing = format!("{kind} `{id}`");
    match kind {
        "organisation" => {
            if draft.organisation(&StateKey::organisation(id))?.is_none() {
                return unknown(&missing);
            }
            explained(draft, block, question, &signer, &Resource::Organisation(id)).map(Ok)
        }
        "principal" => {
            let Ok(id) = id.parse::<PrincipalId>() else { return unknown(&missing) };
            let Some(row) = draft.principal(&StateKey::principal(&id))?.cloned() else { return unknown(&missing) };
            explained(draft, block, question, &signer, &Resource::Principal(&row)).map(Ok)
        }
        "register" => {
            let Some(register) = draft.register(id)? else { return unknown(&missing) };
            explained(draft, block, question, &signer, &Resource::Register(&register.row)).map(Ok)
        }
        _ => Ok(Err(QuestionError::Resource(question.resource.clone()))),
    }
}

fn explained(
    draft: &mut Draft<'_>,
    block: &BlockContext,
    question: &Question,
    signer: &Arc<PrincipalRow>,
    resource: &Resource<'_>,
) -> Result<Explanation, Stop> {
    let keys = signer.keys.iter().filter(|held| !held.has_ended(block.time_ms)).map(|held| held.assurance);
    let assurance = keys.max().unwrap_or(Assurance::Low);
    let signers = [Arc::clone(signer)];
    let act = Act {
        block,
        signer,
        signers: &signers,
        assurance,
        mandate: None,
        action: question.action,
        operation: 0,
        leaf: 0,
    };
    let request = authorise::request(&act, resource);
    let judgement = authorise::judge(draft, &request, resource)?;
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
    Ok(Explanation { version, allowed: judgement.allowed, determining, skipped, request })
}
