//! Partitions: under which agreements which members share something. What they share is not told here.

use super::{
    App, PathOf, QueryOf,
    page::{RecordPage, known},
    problem::{Answer, Failure},
    snapshot::json_at,
};
use crate::parcels::{Executed, PrivateError, Standing};
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use std::time::Duration;
use tallystick_api::{
    OutcomeView, PartitionList, PartitionView, PostedRootView, PrivateResult, Problem, ProblemCode, StandingView,
    limits::{PAGE_DEFAULT, PARTITIONS_PAGE_MAX, WAIT_SECONDS_MAX},
    routes,
};
use tallystick_protocol::{PartitionRootsRow, PartitionRow};

/// One partition: its agreement, and where it stands.
#[utoipa::path(get, path = routes::PARTITION, tag = "partitions",
    params(("name" = String, Path, description = "The partition's name")),
    responses(
        (status = 200, description = "The partition", body = PartitionView),
        (status = 404, description = "No such partition", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn partition(State(app): State<App>, PathOf(name): PathOf<String>) -> Answer<Response> {
    let found = app.service.partition(&name).await?;
    let (height, row, roots) = found.ok_or_else(|| no_partition(&name))?;
    let PartitionRootsRow { ordered, certified, alarm, .. } = roots;
    let (certified_height, certified_root) = certified.map(|one| (one.height, one.root)).unzip();
    let alarm = alarm.into_iter().flat_map(|at| {
        let height = at.height;
        at.roots.into_iter().map(move |one| PostedRootView { height, node: one.node.to_string(), root: one.root })
    });
    let here = app.service.partition_here(&name).map(|Standing { height, executed, root, missing }| StandingView {
        height,
        executed,
        root,
        missing: missing as u64,
    });
    let time_ms = app.service.tip().header.time_ms;
    let view = PartitionView {
        ordered: Some(ordered),
        certified_height,
        certified_root,
        alarm: alarm.collect(),
        here,
        ..view(row, time_ms)
    };
    Ok(json_at(height, view))
}

/// Submit a private transaction to a node of the signer's own organisation. Answers when it was ordered, and executed there.
#[utoipa::path(post, path = routes::PRIVATE, tag = "partitions",
    request_body(content = Vec<u8>, content_type = "application/cose"),
    responses(
        (status = 200, description = "It was executed: accepted, or refused with a code", body = PrivateResult),
        (status = 400, description = "It is none that could be executed", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "A key is not its signer's, or not any more", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "This node holds nothing of the partition", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It was executed before: the detail says what became of it; or its idempotency key was used for another", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "It was not executed, or not yet: too few members acknowledged it, or a wait was over", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn submit(State(app): State<App>, body: Bytes) -> Answer<Response> {
    let patience = Duration::from_secs(WAIT_SECONDS_MAX);
    let executed = app.service.submit_private(body, patience).await.map_err(|error| failure(&error))?;
    let Executed { transaction: id, height, number, outcome } = executed;
    Ok(json_at(height, PrivateResult { id, height, number, outcome: OutcomeView::from(&outcome) }))
}

fn failure(error: &PrivateError) -> Failure {
    match error {
        PrivateError::NotHolder | PrivateError::NotHeld(_) => Failure::not_found(error.to_string()),
        PrivateError::Unfit(_) | PrivateError::Refused(_) => Failure::bad_request(error.to_string()),
        PrivateError::Rejected(rejection) => Failure::from(rejection),
        PrivateError::Repeated { .. } => Failure::new(ProblemCode::Repeated, error.to_string()),
        PrivateError::Busy
        | PrivateError::Acknowledgements { .. }
        | PrivateError::Order(_)
        | PrivateError::Failed(_)
        | PrivateError::TimedOut => Failure::unavailable(error.to_string()),
    }
}

fn no_partition(name: &str) -> Failure {
    let shown: String = name.chars().take(80).collect();
    Failure::not_found(format!("there is no partition `{shown}`: {} lists those there are", routes::PARTITIONS))
}

fn view(row: PartitionRow, time_ms: u64) -> PartitionView {
    let open = row.is_open(time_ms);
    let PartitionRow { terms, proposed, opened_height, amended_height, closed } = row;
    let (closed_height, closed_reason) = closed.unzip();
    PartitionView {
        agreement: terms,
        open,
        ordered: None,
        certified_height: None,
        certified_root: None,
        alarm: Vec::new(),
        here: None,
        proposed,
        opened_height,
        amended_height,
        closed_height,
        closed_reason,
    }
}

/// All partitions, ended ones too, in the order in which they were opened.
#[utoipa::path(get, path = routes::PARTITIONS, tag = "partitions",
    params(
        ("page-index" = Option<u64>, Query, description = "The page, from 1"),
        ("page-size" = Option<u64>, Query, description = "Partitions on a page: 100 by default, 200 at most"),
    ),
    responses((status = 200, description = "The partitions; the Link header leads to the next page", body = PartitionList)))]
pub async fn partitions(State(app): State<App>, QueryOf(query): QueryOf) -> Answer<Response> {
    known(&query, &["page-index", "page-size"])?;
    let page = RecordPage::of(&query, PAGE_DEFAULT, PARTITIONS_PAGE_MAX)?;
    let (height, total, rows) = app.service.partitions(page.skip(), page.size()).await?;
    let links = page.links(rows.len(), total > page.skip().saturating_add(rows.len()))?;
    let time_ms = app.service.tip().header.time_ms;
    let partitions = rows.into_iter().map(|row| view(row, time_ms)).collect();
    Ok((links, json_at(height, PartitionList { partitions })).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rejection::Rejection;
    use tallystick_protocol::Code;

    /// One row an error, with the status and the code of the answer.
    #[test]
    fn every_error_has_its_status() {
        let rows = [
            (PrivateError::NotHeld("health".into()), 404, "not-found"),
            (PrivateError::Unfit("it names no partition".into()), 400, "bad-request"),
            (PrivateError::Refused(Code::NotMember), 400, "bad-request"),
            (PrivateError::Rejected(Rejection::idempotency_conflict("another")), 409, "idempotency-conflict"),
            (PrivateError::Repeated { number: 1, height: 2, refused: None }, 409, "intent-repeated"),
            (PrivateError::Busy, 503, "unavailable"),
            (PrivateError::TimedOut, 503, "unavailable"),
        ];
        for (error, status, code) in rows {
            let problem = failure(&error).problem().clone();
            assert_eq!((problem.status, problem.code.as_str()), (status, code), "{error}");
        }
    }
}
