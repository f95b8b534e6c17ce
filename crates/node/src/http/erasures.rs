//! Orders of erasure with their certificates, legal holds, and corrections.

use super::{
    App, PathOf, QueryOf, Wanted,
    negotiate::Form,
    page::{CursorPage, RecordPage, known, parsed},
    problem::{Answer, Failure},
    registers::no_register,
    snapshot::{json_at, snapshot},
    transactions::receipt_at,
};
use crate::service::erasure::Erasure;
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use tallystick_api::{
    CorrectionView, ErasureList, ErasureView, HoldList, HoldView, Problem, limits::ERASURES_PAGE_MAX, routes,
};
use tallystick_protocol::{EntryKind, Receipt, operation::validate_name};

/// Orders of erasure, the newest first.
#[utoipa::path(get, path = routes::ERASURES, tag = "privacy",
    params(
        ("controller" = Option<String>, Query, description = "Only those of this organisation"),
        ("open" = Option<bool>, Query, description = "Only those that are not complete, organisation by organisation, at most 200 at once"),
        ("cursor" = Option<u64>, Query, description = "`next` of the page before"),
        ("limit" = Option<u64>, Query, description = "Orders on a page: 100 by default, 200 at most"),
    ),
    responses(
        (status = 200, description = "The orders; the Link header leads to older ones", body = ErasureList),
        (status = 400, description = "A part of the query is not what it should be", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn erasures(State(app): State<App>, QueryOf(query): QueryOf) -> Answer<Response> {
    known(&query, &["controller", "open", "cursor", "limit"])?;
    let controller = query.get("controller").map_or("", String::as_str);
    if parsed::<bool>(&query, "open")?.unwrap_or_default() {
        let (height, next, rows) = match controller {
            "" => {
                let skip = parsed::<usize>(&query, "cursor")?.unwrap_or_default();
                app.service.open_erasures_after(skip, ERASURES_PAGE_MAX as usize).await?
            }
            one => {
                let (height, rows) = app.service.open_erasures(&[one.to_owned()]).await?;
                (height, None, rows)
            }
        };
        let next = next.map(|next| next.to_string());
        let links = CursorPage::links(routes::ERASURES, &query, next.as_deref());
        return Ok((links, json_at(height, ErasureList { erasures: views(&app, &rows), next })).into_response());
    }
    let CursorPage { before, limit } = CursorPage::of(&query, ERASURES_PAGE_MAX)?;
    let (height, first, rows) = app.service.erasures(controller, before, limit).await?;
    let next = (first > 0).then(|| first.to_string());
    let links = CursorPage::links(routes::ERASURES, &query, next.as_deref());
    Ok((links, json_at(height, ErasureList { erasures: views(&app, &rows), next })).into_response())
}

fn views(app: &App, rows: &[Erasure]) -> Vec<ErasureView> {
    let now_ms = app.service.tip().header.time_ms;
    rows.iter().map(|erasure| ErasureView::new(&erasure.row, erasure.holds.clone(), now_ms)).collect()
}

/// One order: who must destroy, and who has.
#[utoipa::path(get, path = routes::ERASURE, tag = "privacy",
    params(("order" = String, Path, description = "The order's id")),
    responses(
        (status = 200, description = "The order", body = ErasureView),
        (status = 404, description = "No such order", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn erasure(State(app): State<App>, PathOf(order): PathOf<String>) -> Answer<Response> {
    let (height, erasure) = app.service.erasure(&order).await?.ok_or_else(|| no_order(&order))?;
    let now_ms = app.service.tip().header.time_ms;
    Ok(json_at(height, ErasureView::new(&erasure.row, erasure.holds, now_ms)))
}

fn no_order(order: &str) -> Failure {
    let shown: String = order.chars().take(80).collect();
    Failure::not_found(format!("there is no order `{shown}`: {} lists those there are", routes::ERASURES))
}

/// Proof of where an order stands, with the receipt of each holder, to be checked offline.
#[utoipa::path(get, path = routes::ERASURE_CERTIFICATE, tag = "privacy",
    params(("order" = String, Path, description = "The order's id")),
    responses(
        (status = 200, description = "The certificate", body = Vec<u8>, content_type = "application/vnd.tallystick.receipt+cbor"),
        (status = 404, description = "No such order", body = Problem, content_type = "application/problem+json"),
        (status = 406, description = "A certificate has one form", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "No certificate has reached this node yet", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn certificate(State(app): State<App>, PathOf(order): PathOf<String>, wanted: Wanted) -> Answer<Response> {
    wanted.choose(&[Form::Receipt])?;
    validate_name(&order).map_err(|_| no_order(&order))?;
    let certificate = app.service.erasure_certificate(&order).await?;
    let height = certificate.finality.headers.first().map_or(0, |header| header.height);
    Ok(receipt_at(height, &Receipt::Erasure(certificate)))
}

/// Legal holds, the newest first.
#[utoipa::path(get, path = routes::HOLDS, tag = "privacy",
    params(
        ("controller" = Option<String>, Query, description = "Only those of this organisation"),
        ("cursor" = Option<u64>, Query, description = "`next` of the page before"),
        ("limit" = Option<u64>, Query, description = "Holds on a page: 100 by default, 200 at most"),
    ),
    responses(
        (status = 200, description = "The holds; the Link header leads to older ones", body = HoldList),
        (status = 400, description = "A part of the query is not what it should be", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn holds(State(app): State<App>, QueryOf(query): QueryOf) -> Answer<Response> {
    known(&query, &["controller", "cursor", "limit"])?;
    let controller = query.get("controller").map_or("", String::as_str);
    let CursorPage { before, limit } = CursorPage::of(&query, ERASURES_PAGE_MAX)?;
    let (height, first, rows) = app.service.holds(controller, before, limit).await?;
    let next = (first > 0).then(|| first.to_string());
    let links = CursorPage::links(routes::HOLDS, &query, next.as_deref());
    let now_ms = app.service.tip().header.time_ms;
    let holds = rows.into_iter().map(|row| HoldView::new(row, now_ms)).collect();
    Ok((links, json_at(height, HoldList { holds, next })).into_response())
}

/// One legal hold.
#[utoipa::path(get, path = routes::HOLD, tag = "privacy",
    params(("hold" = String, Path, description = "The hold's id")),
    responses(
        (status = 200, description = "The hold", body = HoldView),
        (status = 404, description = "No such hold", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn hold(State(app): State<App>, PathOf(hold): PathOf<String>) -> Answer<Response> {
    let absent = || {
        let shown: String = hold.chars().take(80).collect();
        Failure::not_found(format!("there is no hold `{shown}`: {} lists those there are", routes::HOLDS))
    };
    let (height, row) = app.service.hold(&hold).await?.ok_or_else(absent)?;
    Ok(json_at(height, HoldView::new(row, app.service.tip().header.time_ms)))
}

/// Which entries of a key were wrong, by what each was corrected, why, and by whose authority; the oldest first.
#[utoipa::path(get, path = routes::RECORD_CORRECTIONS, tag = "privacy",
    params(
        ("name" = String, Path, description = "The register's name"),
        ("key" = String, Path, description = "The record's key, percent-encoded"),
        ("page-index" = Option<u64>, Query, description = "The page of the key's entries, from 1"),
        ("page-size" = Option<u64>, Query, description = "Entries looked at for a page: 100 by default, 200 at most"),
    ),
    responses(
        (status = 200, description = "The corrections", body = Vec<CorrectionView>),
        (status = 404, description = "No such register", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn corrections(
    State(app): State<App>,
    PathOf((name, key)): PathOf<(String, String)>,
    QueryOf(query): QueryOf,
) -> Answer<Response> {
    known(&query, &["page-index", "page-size"])?;
    let page = RecordPage::of(&query, ERASURES_PAGE_MAX, ERASURES_PAGE_MAX)?;
    let found = snapshot(&app.service, |history, _| {
        Some(history.register(&name)?.page_of(EntryKind::User, &key, page.skip(), page.size()))
    });
    let (total, numbers) = found.await?.ok_or_else(|| no_register(&name))?;
    let links = page.links(numbers.len(), total > page.skip() + numbers.len())?;
    let (height, rows) = app.service.corrections(&name, &numbers).await?.ok_or_else(|| no_register(&name))?;
    // The index finds keys by a hash: what it found is compared.
    let views: Vec<CorrectionView> = rows.into_iter().filter(|row| row.key == key).map(CorrectionView::from).collect();
    Ok((links, json_at(height, views)).into_response())
}
