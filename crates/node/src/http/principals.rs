//! Principals: one, and those of an organisation.

use super::{
    App, PathOf, QueryOf, Wanted,
    negotiate::Form,
    organisations::no_organisation,
    page::{CursorPage, known, parsed},
    problem::{Answer, Failure},
    snapshot::json_at,
    transactions::receipt_at,
};
use crate::service::principal::{PrincipalPage, PrincipalQuery};
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use tallystick_api::{KeyView, PrincipalList, PrincipalView, Problem, limits::PRINCIPALS_PAGE_MAX, routes};
use tallystick_ledger::PrincipalRow;
use tallystick_protocol::{PrincipalId, Receipt, operation::validate_name};

/// One principal with its keys.
#[utoipa::path(get, path = routes::PRINCIPAL, tag = "organisations",
    params(
        ("organisation" = String, Path, description = "The organisation's id"),
        ("name" = String, Path, description = "The principal's name within it"),
    ),
    responses(
        (status = 200, description = "The principal", body = PrincipalView),
        (status = 400, description = "Not a principal's name", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such principal", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn principal(
    State(app): State<App>,
    PathOf((organisation, name)): PathOf<(String, String)>,
) -> Answer<Response> {
    let id = PrincipalId::new(&organisation, &name).map_err(|error| Failure::bad_request(error.to_string()))?;
    let found = app.service.principal(&id).await?;
    let (height, row) = found.ok_or_else(|| {
        let detail = format!("there is no principal `{id}`: check its name, or have an administrator enrol it");
        Failure::not_found(detail)
    })?;
    Ok(json_at(height, view(row)))
}

/// Proof of which keys a principal has, to be checked offline.
#[utoipa::path(get, path = routes::PRINCIPAL_RECEIPT, tag = "organisations",
    params(
        ("organisation" = String, Path, description = "The organisation's id"),
        ("name" = String, Path, description = "The principal's name within it"),
    ),
    responses(
        (status = 200, description = "The receipt", body = Vec<u8>, content_type = "application/vnd.tallystick.receipt+cbor"),
        (status = 400, description = "Not a principal's name", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such principal", body = Problem, content_type = "application/problem+json"),
        (status = 406, description = "A receipt has one form", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "No certificate has reached this node yet", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn receipt(
    State(app): State<App>,
    PathOf((organisation, name)): PathOf<(String, String)>,
    wanted: Wanted,
) -> Answer<Response> {
    wanted.choose(&[Form::Receipt])?;
    let id = PrincipalId::new(&organisation, &name).map_err(|error| Failure::bad_request(error.to_string()))?;
    let receipt = app.service.principal_receipt(&id).await?;
    let height = receipt.finality.headers.first().map_or(0, |header| header.height);
    Ok(receipt_at(height, &Receipt::Principal(receipt)))
}

fn view(row: PrincipalRow) -> PrincipalView {
    let keys = row.keys.iter().map(|held| KeyView {
        key: held.key.to_string(),
        from_ms: held.from_ms,
        assurance: held.assurance,
        retired_ms: held.retired_ms,
        until_ms: held.until_ms,
    });
    PrincipalView {
        id: row.id.to_string(),
        kind: row.kind,
        keys: keys.collect(),
        roles: row.roles,
        status: row.status,
        reason: row.reason,
    }
}

/// The principals of an organisation, the latest enrolled first.
#[utoipa::path(get, path = routes::ORGANISATION_PRINCIPALS, tag = "organisations",
    params(
        ("id" = String, Path, description = "The organisation's id"),
        ("kind" = Option<String>, Query, description = "Only those of this kind: person, organisation, role, device or program"),
        ("status" = Option<String>, Query, description = "Only those of this status: active, suspended or retired"),
        ("role" = Option<String>, Query, description = "Only those with this role, such as administrator"),
        ("cursor" = Option<u64>, Query, description = "`next` of the page before"),
        ("limit" = Option<u64>, Query, description = "Principals on a page: 100 by default, 1,000 at most"),
    ),
    responses(
        (status = 200, description = "The principals; the Link header leads to the next page", body = PrincipalList),
        (status = 400, description = "A part of the query is not what it should be", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such organisation", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn principals(
    State(app): State<App>,
    PathOf(id): PathOf<String>,
    QueryOf(query): QueryOf,
) -> Answer<Response> {
    known(&query, &["kind", "status", "role", "cursor", "limit"])?;
    let role = query.get("role").cloned();
    role.as_deref().map_or(Ok(()), validate_name).map_err(|error| Failure::bad_request(format!("`role`: {error}")))?;
    let asked = PrincipalQuery { kind: parsed(&query, "kind")?, status: parsed(&query, "status")?, role };
    let page = CursorPage::of(&query, PRINCIPALS_PAGE_MAX)?;
    let found = app.service.principals(&id, &asked, page.before, page.limit).await?;
    let PrincipalPage { height, rows, next } = found.ok_or_else(|| no_organisation(&id))?;
    let next = next.map(|next| next.to_string());
    let links = CursorPage::links(&routes::organisation_principals(&id), &query, next.as_deref());
    let principals = rows.into_iter().map(view).collect();
    Ok((links, json_at(height, PrincipalList { principals, next })).into_response())
}
