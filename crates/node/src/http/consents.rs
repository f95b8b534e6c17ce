//! Consents, and what became of them.

use super::{
    App, PathOf, QueryOf,
    page::{CursorPage, known, parsed},
    problem::{Answer, Failure},
    registers::no_register,
    snapshot::json_at,
};
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use tallystick_api::{ConsentList, ConsentView, Problem, limits::CONSENTS_PAGE_MAX, routes};
use tallystick_protocol::Subject;

/// What somebody has consented to, the newest first, ended ones too.
#[utoipa::path(get, path = routes::CONSENTS, tag = "privacy",
    params(
        ("subject" = String, Query, description = "Whose consents: `register:key`"),
        ("controller" = Option<String>, Query, description = "The organisation to which they were given: the register's custodian if not said"),
        ("cursor" = Option<u64>, Query, description = "`next` of the page before"),
        ("limit" = Option<u64>, Query, description = "Consents on a page: 100 by default, 200 at most"),
    ),
    responses(
        (status = 200, description = "The consents; the Link header leads to older ones", body = ConsentList),
        (status = 400, description = "A part of the query is not what it should be", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No controller is named, and there is no such register", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn consents(State(app): State<App>, QueryOf(query): QueryOf) -> Answer<Response> {
    known(&query, &["subject", "controller", "cursor", "limit"])?;
    let subject: Option<Subject> = parsed(&query, "subject")?;
    let subject = subject.ok_or_else(|| Failure::bad_request("say whose consents: subject=register:key"))?;
    let controller = match query.get("controller") {
        Some(controller) => controller.clone(),
        None => {
            let register = app.service.register(subject.register()).await?;
            register.ok_or_else(|| no_register(subject.register()))?.1.custodian
        }
    };
    let CursorPage { before, limit } = CursorPage::of(&query, CONSENTS_PAGE_MAX)?;
    let (height, first, rows) = app.service.consents(&controller, &subject, before, limit).await?;
    let next = (first > 0).then(|| first.to_string());
    let links = CursorPage::links(routes::CONSENTS, &query, next.as_deref());
    let now_ms = app.service.tip().header.time_ms;
    let consents = rows.into_iter().map(|row| ConsentView::new(row, now_ms)).collect();
    Ok((links, json_at(height, ConsentList { consents, next })).into_response())
}

/// One consent.
#[utoipa::path(get, path = routes::CONSENT, tag = "privacy",
    params(("consent" = String, Path, description = "The consent's id")),
    responses(
        (status = 200, description = "The consent", body = ConsentView),
        (status = 404, description = "No such consent", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn consent(State(app): State<App>, PathOf(consent): PathOf<String>) -> Answer<Response> {
    let absent = || {
        let shown: String = consent.chars().take(80).collect();
        Failure::not_found(format!("there is no consent `{shown}`: {} lists those of a subject", routes::CONSENTS))
    };
    let (height, row) = app.service.consent(&consent).await?.ok_or_else(absent)?;
    Ok(json_at(height, ConsentView::new(row, app.service.tip().header.time_ms)))
}
