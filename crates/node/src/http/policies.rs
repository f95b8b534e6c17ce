//! Policies in force, and why something is permitted or not.

use super::{
    App, PathOf, QueryOf,
    page::{known, number},
    private::{Asked, failure, no_register, to_signer},
    problem::{Answer, Failure},
    snapshot::json_at,
};
use axum::{
    Json,
    extract::{State, rejection::JsonRejection},
    response::Response,
};
use std::collections::BTreeMap;
use tallystick_api::{
    EntityView, PolicyAnswer, PolicyAsPut, PolicyList, PolicyQuestion, PolicyView, Problem, SkippedView, routes,
};
use tallystick_ledger::{
    PolicyRow,
    policy::{Explanation, Question},
};
use tallystick_protocol::{PolicyId, limits::COSIGNERS_MAX};

/// The policies of the partition that are in force.
#[utoipa::path(get, path = routes::POLICIES, tag = "governance",
    responses((status = 200, description = "The policies", body = PolicyList)))]
pub async fn policies(State(app): State<App>) -> Answer<Response> {
    let (height, rows) = app.service.policies("").await?;
    Ok(json_at(height, PolicyList { policies: rows.into_iter().map(view).collect() }))
}

/// The policies that a register's custodian made for it.
#[utoipa::path(get, path = routes::REGISTER_POLICIES, tag = "governance",
    params(("name" = String, Path, description = "The register")),
    responses((status = 200, description = "The policies; none for a register that has none", body = PolicyList)))]
pub async fn register_policies(State(app): State<App>, PathOf(name): PathOf<String>) -> Answer<Response> {
    let (height, rows) = app.service.policies(&name).await?;
    Ok(json_at(height, PolicyList { policies: rows.into_iter().map(view).collect() }))
}

/// One policy as it stood after some change, in force or not: what an outcome's decision names can be read for ever.
#[utoipa::path(get, path = routes::POLICY, tag = "governance",
    params(
        ("id" = String, Query, description = "Its id: a name, or register/name"),
        ("as-of" = Option<u64>, Query, description = "How often policies had been changed then: the version of a decision; now if not given"),
    ),
    responses(
        (status = 200, description = "The policy", body = PolicyAsPut),
        (status = 400, description = "Not an id", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "It was not put until then", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn policy(State(app): State<App>, QueryOf(query): QueryOf) -> Answer<Response> {
    let (id, as_of) = asked_for(&query)?;
    let (height, found) = app.service.policy(&id, as_of).await?;
    let Some((row, in_force)) = found else {
        return Err(Failure::not_found(format!("no policy `{id}` was put until then: see {}", routes::POLICIES)));
    };
    Ok(json_at(height, PolicyAsPut { policy: view(row), in_force }))
}

/// The policies that a register's custodian made for it in a partition, to principals of the node's own organisation. What the network's say holds
/// there too.
#[utoipa::path(get, path = routes::PARTITION_REGISTER_POLICIES, tag = "partitions",
    params(
        ("name" = String, Path, description = "The partition's name"),
        ("register" = String, Path, description = "The register's name"),
        ("Authorization" = String, Header, description = "`Tallystick` and a signed question: docs/reference/formats.md"),
    ),
    responses(
        (status = 200, description = "The policies", body = PolicyList),
        (status = 401, description = "The question is not signed by one's own, for this path and in time", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such register", body = Problem, content_type = "application/problem+json"),
        (status = 421, description = "This node holds nothing of the partition", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn partition_register_policies(
    State(app): State<App>,
    PathOf((name, register)): PathOf<(String, String)>,
    asked: Asked,
) -> Answer<Response> {
    let parcels = app.service.parcels().map_err(|error| failure(&error))?;
    let found = parcels.register_policies(&name, asked.signed(), &register).await;
    let found = found.map_err(|error| failure(&error))?;
    let rows = found.value.ok_or_else(|| no_register(&name, &register))?;
    let list = PolicyList { policies: rows.into_iter().map(view).collect() };
    Ok(to_signer(&app, (&name, &asked.query), json_at(found.height, list)))
}

/// One policy of a register in a partition as it stood after some change of policies there, in force or not. To the same.
#[utoipa::path(get, path = routes::PARTITION_POLICY, tag = "partitions",
    params(
        ("name" = String, Path, description = "The partition's name"),
        ("id" = String, Query, description = "Its id: register/name"),
        ("as-of" = Option<u64>, Query, description = "How often policies had been changed there then: the version of a decision; now if not given"),
        ("Authorization" = String, Header, description = "`Tallystick` and a signed question: docs/reference/formats.md"),
    ),
    responses(
        (status = 200, description = "The policy", body = PolicyAsPut),
        (status = 400, description = "Not an id", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "The question is not signed by one's own, for this path and in time", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "It was not put there until then", body = Problem, content_type = "application/problem+json"),
        (status = 421, description = "This node holds nothing of the partition", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "As many questions as the node works on", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn partition_policy(
    State(app): State<App>,
    PathOf(name): PathOf<String>,
    QueryOf(query): QueryOf,
    asked: Asked,
) -> Answer<Response> {
    let (id, as_of) = asked_for(&query)?;
    let _room = app.questions.enter()?;
    let parcels = app.service.parcels().map_err(|error| failure(&error))?;
    let found = parcels.policy(&name, asked.signed(), (&id, as_of)).await;
    let found = found.map_err(|error| failure(&error))?;
    let (row, in_force) = found.value.ok_or_else(|| {
        let all = routes::PARTITION_REGISTER_POLICIES;
        Failure::not_found(format!("no policy `{id}` was put in this partition until then: {all} lists a register's"))
    })?;
    Ok(to_signer(&app, (&name, &asked.query), json_at(found.height, PolicyAsPut { policy: view(row), in_force })))
}

/// Which policy is asked for, and after how many changes.
fn asked_for(query: &BTreeMap<String, String>) -> Answer<(PolicyId, u64)> {
    known(query, &["id", "as-of"])?;
    let id = query.get("id").ok_or_else(|| Failure::bad_request("name the policy: ?id=NAME or ?id=REGISTER/NAME"))?;
    let id = id.parse().map_err(|error| Failure::bad_request(format!("id: {error}")))?;
    Ok((id, number(query, "as-of", u64::MAX, 0..=u64::MAX)?))
}

/// Whether policies permit something, and which say so, against the state as it is. Nothing comes of asking.
#[utoipa::path(post, path = routes::EXPLAIN, tag = "governance",
    request_body = PolicyQuestion,
    responses(
        (status = 200, description = "The answer", body = PolicyAnswer),
        (status = 400, description = "Not a question", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "As many questions as the node works on", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn explain(State(app): State<App>, body: Result<Json<PolicyQuestion>, JsonRejection>) -> Answer<Response> {
    let Json(asked) = body.map_err(|error| Failure::bad_request(error.body_text()))?;
    let principal = |id: &String| id.parse().map_err(|error| Failure::bad_request(format!("principal: {error}")));
    if asked.cosigners.len() > COSIGNERS_MAX {
        return Err(Failure::bad_request(format!("co-signers: {COSIGNERS_MAX} at most")));
    }
    let mandate = asked.mandate.map(|id| id.parse()).transpose();
    let question = Question {
        principal: principal(&asked.principal)?,
        cosigners: asked.cosigners.iter().map(principal).collect::<Result<_, _>>()?,
        mandate: mandate.map_err(|error| Failure::bad_request(format!("mandate: {error}")))?,
        action: asked.action.parse().map_err(|error: String| Failure::bad_request(format!("action: {error}")))?,
        resource: asked.resource,
    };
    let room = app.questions.enter()?;
    let (height, explained) = app.service.explain(question, room).await?;
    let explanation = explained.map_err(|error| Failure::bad_request(error.to_string()))?;
    Ok(json_at(height, answer(explanation)))
}

fn view(PolicyRow { id, version, text }: PolicyRow) -> PolicyView {
    PolicyView { id, version, text }
}

fn answer(explanation: Explanation) -> PolicyAnswer {
    let Explanation { version, allowed, refusal, mandates, determining, skipped, request } = explanation;
    let entities = request.entities.iter().map(|entity| EntityView {
        name: entity.name.to_string(),
        parents: entity.parents.iter().map(ToString::to_string).collect(),
    });
    PolicyAnswer {
        allowed,
        refusal,
        mandates,
        version,
        determining: determining.into_iter().map(view).collect(),
        skipped: skipped.into_iter().map(|(id, reason)| SkippedView { id, reason }).collect(),
        entities: entities.collect(),
    }
}
