//! Proposals, the rulebook, and dry runs.

use super::{
    App, PathOf, QueryOf, Wanted,
    negotiate::Form,
    page::{CursorPage, known},
    problem::{Answer, Failure},
    snapshot::json_at,
    transactions::receipt_at,
};
use crate::service::proposal::{Proposal, Said};
use axum::{
    Json,
    extract::{State, rejection::JsonRejection},
    response::{IntoResponse, Response},
};
use tallystick_api::{
    BallotView, ChangeView, DifferenceView, DryRun, DryRunView, FailureView, ObjectionView, PollView, Problem,
    ProposalBrief, ProposalList, ProposalView, ReportView, RulebookView, ViolationView,
    limits::{CHANGES_MAX, PROPOSALS_PAGE_MAX},
    routes,
};
use tallystick_ledger::Report;
use tallystick_protocol::{Change, Poll, ProposalRow, Receipt, Verdict, operation::validate_name};

/// All proposals, the newest first.
#[utoipa::path(get, path = routes::PROPOSALS, tag = "governance",
    params(
        ("cursor" = Option<u64>, Query, description = "`next` of the page before"),
        ("limit" = Option<u64>, Query, description = "Proposals on a page: 100 by default, 1,000 at most"),
    ),
    responses((status = 200, description = "The proposals; the Link header leads to older ones", body = ProposalList)))]
pub async fn proposals(State(app): State<App>, QueryOf(query): QueryOf) -> Answer<Response> {
    known(&query, &["cursor", "limit"])?;
    let CursorPage { before, limit } = CursorPage::of(&query, PROPOSALS_PAGE_MAX)?;
    let (height, first, rows) = app.service.proposals(before, limit).await?;
    let next = (first > 0).then(|| first.to_string());
    let links = CursorPage::links(routes::PROPOSALS, &query, next.as_deref());
    let proposals = rows.iter().map(brief).collect();
    Ok((links, json_at(height, ProposalList { proposals, next })).into_response())
}

/// One proposal: what it changes, who voted what, what is still needed, when it takes effect.
#[utoipa::path(get, path = routes::PROPOSAL, tag = "governance",
    params(("id" = String, Path, description = "The proposal's id")),
    responses(
        (status = 200, description = "The proposal", body = ProposalView),
        (status = 404, description = "No such proposal", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn proposal(State(app): State<App>, PathOf(id): PathOf<String>) -> Answer<Response> {
    let (height, proposal) = app.service.proposal(&id).await?.ok_or_else(|| absent(&id))?;
    Ok(json_at(height, view(proposal)))
}

fn absent(id: &str) -> Failure {
    let shown: String = id.chars().take(80).collect();
    Failure::not_found(format!("there is no proposal `{shown}`: {} lists those there are", routes::PROPOSALS))
}

/// Proof of where a proposal stands, with its polls, to be checked offline.
#[utoipa::path(get, path = routes::PROPOSAL_RECEIPT, tag = "governance",
    params(("id" = String, Path, description = "The proposal's id")),
    responses(
        (status = 200, description = "The receipt", body = Vec<u8>, content_type = "application/vnd.tallystick.receipt+cbor"),
        (status = 404, description = "No such proposal", body = Problem, content_type = "application/problem+json"),
        (status = 406, description = "A receipt has one form", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "No certificate has reached this node yet", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn receipt(State(app): State<App>, PathOf(id): PathOf<String>, wanted: Wanted) -> Answer<Response> {
    wanted.choose(&[Form::Receipt])?;
    validate_name(&id).map_err(|_| absent(&id))?;
    let receipt = app.service.proposal_receipt(&id).await?;
    let height = receipt.finality.headers.first().map_or(0, |header| header.height);
    Ok(receipt_at(height, &Receipt::Proposal(receipt)))
}

/// The rulebook in force.
#[utoipa::path(get, path = routes::RULEBOOK, tag = "governance",
    responses(
        (status = 200, description = "The rulebook", body = RulebookView),
        (status = 503, description = "No block has been made yet", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn rulebook(State(app): State<App>) -> Answer<Response> {
    let found = app.service.rulebook().await?;
    let (height, protocol_version, rulebook) =
        found.ok_or_else(|| Failure::unavailable("no block has been made yet: try again shortly"))?;
    Ok(json_at(height, RulebookView { protocol_version, rulebook }))
}

/// What changes would do to the state as it is. Nothing comes of asking.
#[utoipa::path(post, path = routes::DRY_RUN, tag = "governance",
    request_body = DryRun,
    responses(
        (status = 200, description = "What each change would do", body = DryRunView),
        (status = 400, description = "Not a list of changes", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "As many questions as the node works on", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn dry_run(State(app): State<App>, body: Result<Json<DryRun>, JsonRejection>) -> Answer<Response> {
    let Json(DryRun { changes }) = body.map_err(|error| Failure::bad_request(error.body_text()))?;
    if !(1..=CHANGES_MAX).contains(&changes.len()) {
        return Err(Failure::bad_request(format!("there are {} changes: send 1 to {CHANGES_MAX}", changes.len())));
    }
    let room = app.questions.enter()?;
    let (height, reports) = app.service.dry_run(changes.clone(), room).await?;
    let holds = reports.iter().all(|report| report.refusal.is_none());
    let changes = changes.iter().zip(reports).map(|(change, report)| report_view(change, report)).collect();
    Ok(json_at(height, DryRunView { holds, changes }))
}

/// A proposal in brief.
pub fn brief(row: &ProposalRow) -> ProposalBrief {
    ProposalBrief {
        id: row.id.clone(),
        title: row.title.clone(),
        proposer: row.proposer.to_string(),
        status: row.status,
        closes_ms: row.closes_ms,
        paused_until_ms: row.paused_until_ms,
        decided_height: row.decided_height,
        effect_height: row.effect_height,
    }
}

fn view(proposal: Proposal) -> ProposalView {
    let Proposal { row, text, changes, said, .. } = proposal;
    let has_vote = |organisation: &str| row.polls.iter().any(|poll| poll.has_elector(organisation));
    let outstanding = said.iter().filter(|said| said.is_outstanding && has_vote(&said.organisation));
    let outstanding = outstanding.map(|said| said.organisation.clone()).collect();
    ProposalView {
        brief: brief(&row),
        text_hash: row.text,
        text,
        changes: changes.into_iter().map(|change| ChangeView { words: change.to_string(), change }).collect(),
        index: row.leaf,
        submitted_height: row.submitted_height,
        submitted_ms: row.submitted_ms,
        stated_height: row.stated_height,
        failure: row.failure.map(|failure| FailureView {
            change: failure.change,
            code: failure.code.to_string(),
            advice: failure.code.advice().to_owned(),
            violations: failure.violations.iter().map(ViolationView::from).collect(),
        }),
        polls: row.polls.iter().map(poll_view).collect(),
        ballots: said.iter().filter_map(ballot_view).collect(),
        outstanding,
        objections: said.iter().filter_map(objection_view).collect(),
    }
}

fn poll_view(poll: &Poll) -> PollView {
    let verdict = poll.verdict();
    PollView {
        kind: poll.rule.kind.to_string(),
        about: poll.about.clone(),
        rule: poll.rule.to_string(),
        threshold: poll.rule.threshold.to_string(),
        votes: poll.votes,
        yes: poll.yes,
        no: poll.no,
        abstain: poll.abstain,
        needed: if verdict == Verdict::Undecided { poll.still_needed() } else { 0 },
        verdict: match verdict {
            Verdict::Passed => "passed",
            Verdict::Failed => "failed",
            Verdict::Undecided => "undecided",
        }
        .to_owned(),
    }
}

fn ballot_view(said: &Said) -> Option<BallotView> {
    let ballot = said.ballot.as_ref()?;
    Some(BallotView {
        organisation: said.organisation.clone(),
        principal: ballot.principal.to_string(),
        choice: ballot.choice,
        index: ballot.leaf,
        time_ms: ballot.time_ms,
    })
}

fn objection_view(said: &Said) -> Option<ObjectionView> {
    let objection = said.objection.as_ref()?;
    Some(ObjectionView {
        organisation: said.organisation.clone(),
        principal: objection.principal.to_string(),
        reason: objection.reason.clone(),
        index: objection.leaf,
        time_ms: objection.time_ms,
        until_ms: objection.until_ms,
    })
}

fn report_view(change: &Change, report: Report) -> ReportView {
    let (code, violations) = report.refusal.unzip();
    ReportView {
        words: change.to_string(),
        code: code.map(|code| code.to_string()),
        advice: code.map(|code| code.advice().to_owned()),
        violations: violations.iter().flatten().map(ViolationView::from).collect(),
        differences: report
            .differences
            .into_iter()
            .map(|difference| DifferenceView {
                subject: difference.subject,
                field: difference.field,
                before: difference.before,
                after: difference.after,
            })
            .collect(),
    }
}
