//! Mandates: one, and those that somebody granted or was granted.

use super::{
    App, PathOf, QueryOf,
    audit::Candidates,
    page::{CursorPage, known, parsed},
    problem::{Answer, Failure},
    snapshot::json_at,
};
use crate::service::mandate::MandateQuery;
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use tallystick_api::{MandateList, MandateView, Problem, limits::MANDATES_PAGE_MAX, routes};
use tallystick_ledger::MandateRow;
use tallystick_protocol::{MandateId, MandateTerms, PrincipalId};

/// One mandate.
#[utoipa::path(get, path = routes::MANDATE, tag = "organisations",
    params(
        ("organisation" = String, Path, description = "The grantor's organisation"),
        ("grantor" = String, Path, description = "The grantor's name within it"),
        ("name" = String, Path, description = "The mandate's name"),
    ),
    responses(
        (status = 200, description = "The mandate", body = MandateView),
        (status = 400, description = "Not a mandate's name", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such mandate", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn mandate(
    State(app): State<App>,
    PathOf((organisation, grantor, name)): PathOf<(String, String, String)>,
) -> Answer<Response> {
    let grantor = PrincipalId::new(&organisation, &grantor).map_err(|error| Failure::bad_request(error.to_string()))?;
    let id = MandateId::new(&grantor, &name).map_err(|error| Failure::bad_request(error.to_string()))?;
    let found = app.service.mandate(&id).await?;
    let (height, row) =
        found.ok_or_else(|| Failure::not_found(format!("there is no mandate `{id}`: check its name")))?;
    Ok(json_at(height, view(row)))
}

/// A mandate, as it is shown.
pub(super) fn view(MandateRow { id, terms, granted, revoked_ms }: MandateRow) -> MandateView {
    let MandateTerms { agents, actions, resources, purpose, from, until, depth, concur, parent } = terms;
    MandateView { id, agents, actions, resources, purpose, from, until, depth, concur, parent, granted, revoked_ms }
}

/// Mandates that were granted, the latest first, revoked ones too.
#[utoipa::path(get, path = routes::MANDATES, tag = "organisations",
    params(
        ("granted-by" = Option<String>, Query, description = "Only those that this principal granted: organisation/name"),
        ("granted-to" = Option<String>, Query, description = "Only those of which this principal is an agent: organisation/name"),
        ("cursor" = Option<u64>, Query, description = "`next` of the page before"),
        ("limit" = Option<u64>, Query, description = "Grants looked at for a page: 100 by default, 1,000 at most"),
    ),
    responses(
        (status = 200, description = "The mandates; the Link header leads to older ones", body = MandateList),
        (status = 400, description = "A part of the query is not what it should be", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn mandates(State(app): State<App>, QueryOf(query): QueryOf) -> Answer<Response> {
    known(&query, &["granted-by", "granted-to", "cursor", "limit"])?;
    let asked = MandateQuery { granted_by: parsed(&query, "granted-by")?, granted_to: parsed(&query, "granted-to")? };
    let page = CursorPage::of(&query, MANDATES_PAGE_MAX)?;
    let candidates = Candidates::find(&app.service, &asked.acts(), page).await?;
    let (rows, read) = app.service.mandates(&asked, &candidates.leaves).await?;
    let (next, height) = (candidates.next(read), candidates.header.height);
    let links = CursorPage::links(routes::MANDATES, &query, next.as_deref());
    let mandates = rows.into_iter().map(view).collect();
    Ok((links, json_at(height, MandateList { mandates, next })).into_response())
}
