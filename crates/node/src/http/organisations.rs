//! The members: who they are, and where their membership stands.

use super::{
    App, PathOf, QueryOf,
    page::{RecordPage, known},
    problem::{Answer, Failure},
    snapshot::json_at,
};
use crate::service::authority::Authority;
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use tallystick_api::{
    AuthorityList, AuthorityView, NodeList, NodeView, OrganisationList, OrganisationView, Problem,
    limits::{ORGANISATIONS_PAGE_MAX, PAGE_DEFAULT},
    routes,
};
use tallystick_ledger::OrganisationRow;
use tallystick_protocol::{NodeRow, Particulars, PublicKey};

/// One organisation.
#[utoipa::path(get, path = routes::ORGANISATION, tag = "organisations",
    params(("id" = String, Path, description = "The organisation's id")),
    responses(
        (status = 200, description = "The organisation", body = OrganisationView),
        (status = 404, description = "No such organisation", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn organisation(State(app): State<App>, PathOf(id): PathOf<String>) -> Answer<Response> {
    let found = app.service.organisation(&id).await?;
    let (height, row) = found.ok_or_else(|| no_organisation(&id))?;
    Ok(json_at(height, organisation_view(row)))
}

/// There is no organisation of this id.
pub fn no_organisation(id: &str) -> Failure {
    let shown: String = id.chars().take(80).collect();
    Failure::not_found(format!("there is no organisation `{shown}`: {} lists the members", routes::ORGANISATIONS))
}

fn organisation_view(row: OrganisationRow) -> OrganisationView {
    let OrganisationRow { id, name, status, reason, principals, administrators, recovery, particulars, .. } = row;
    let Particulars { legal_name, registration, jurisdiction, contact } = particulars;
    OrganisationView {
        id,
        name,
        legal_name,
        registration,
        jurisdiction,
        contact,
        status,
        reason,
        principals,
        administrators,
        recovery,
    }
}

/// All organisations that are or were members, in the order in which they joined.
#[utoipa::path(get, path = routes::ORGANISATIONS, tag = "organisations",
    params(
        ("page-index" = Option<u64>, Query, description = "The page, from 1"),
        ("page-size" = Option<u64>, Query, description = "Organisations on a page: 100 by default, 200 at most"),
    ),
    responses((status = 200, description = "The organisations; the Link header leads to the next page", body = OrganisationList)))]
pub async fn organisations(State(app): State<App>, QueryOf(query): QueryOf) -> Answer<Response> {
    known(&query, &["page-index", "page-size"])?;
    let page = RecordPage::of(&query, PAGE_DEFAULT, ORGANISATIONS_PAGE_MAX)?;
    let (height, total, rows) = app.service.organisations(page.skip(), page.size()).await?;
    let links = page.links(rows.len(), total > page.skip().saturating_add(rows.len()))?;
    let organisations = rows.into_iter().map(organisation_view).collect();
    Ok((links, json_at(height, OrganisationList { organisations })).into_response())
}

/// The nodes of an organisation that hold what only some may see.
#[utoipa::path(get, path = routes::ORGANISATION_NODES, tag = "organisations",
    params(("id" = String, Path, description = "The organisation's id")),
    responses(
        (status = 200, description = "The nodes, by their principals", body = NodeList),
        (status = 404, description = "No such organisation", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn nodes(State(app): State<App>, PathOf(id): PathOf<String>) -> Answer<Response> {
    let found = app.service.nodes(&id).await?;
    let (height, row) = found.ok_or_else(|| no_organisation(&id))?;
    let retired = row.retired.iter().map(ToString::to_string).collect();
    let nodes = row.nodes.into_iter().map(node_view).collect();
    Ok(json_at(height, NodeList { nodes, retired, unnamed: row.unnamed }))
}

/// The certificate authorities of an organisation, and what they may say here: the trust list.
#[utoipa::path(get, path = routes::ORGANISATION_AUTHORITIES, tag = "organisations",
    params(("id" = String, Path, description = "The organisation's id")),
    responses(
        (status = 200, description = "The authorities, retired ones too, the latest admitted first", body = AuthorityList),
        (status = 404, description = "No such organisation", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn authorities(State(app): State<App>, PathOf(id): PathOf<String>) -> Answer<Response> {
    let (height, _) = app.service.organisation(&id).await?.ok_or_else(|| no_organisation(&id))?;
    let (found, is_whole) = app.service.authorities(&id).await?;
    let authorities = found.into_iter().map(authority_view).collect();
    Ok(json_at(height, AuthorityList { authorities, is_whole }))
}

fn authority_view(authority: Authority) -> AuthorityView {
    let Authority { id, row, certificate, revocations } = authority;
    let due_s = revocations.as_ref().and_then(|list| list.next_update);
    AuthorityView {
        id,
        subject: certificate.subject().to_string(),
        certificate: certificate.pem().unwrap_or_default(),
        terms: row.terms,
        from_ms: row.from_ms,
        until_ms: certificate.not_after().saturating_mul(1_000),
        retired_ms: row.retired_ms,
        revocations: revocations.map(|list| hex::encode(list.number)),
        revocations_due_ms: due_s.map(|seconds| seconds.saturating_mul(1_000)),
    }
}

fn node_view(row: NodeRow) -> NodeView {
    let NodeRow { node, peer, sealing, jurisdiction, since_ms } = row;
    NodeView { node, peer: PublicKey::Ed25519(peer), sealing, jurisdiction, since_ms }
}
