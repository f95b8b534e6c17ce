//! Orders of erasure and legal holds in a partition, by signed questions of the node's own organisation and of regulators; and the certificates of orders.

use super::{
    App, PathOf, QueryOf,
    page::CursorPage,
    private::{Asked, failure, question, to_signer},
    problem::{Answer, Failure},
    snapshot::json_at,
    transactions::receipt_at,
};
use crate::{parcels::Told, service::erasure::Erasure};
use axum::{
    extract::{State, rejection::BytesRejection},
    response::Response,
};
use bytes::Bytes;
use std::time::Duration;
use tallystick_api::{
    ErasureList, ErasureView, HoldList, HoldView, PrivateCertificate, PrivateErasures, PrivateHolds, Problem,
    limits::{DISCLOSED_SECONDS_MAX, ERASURES_PAGE_MAX},
    routes,
};
use tallystick_protocol::Receipt;

/// Orders of erasure in a partition, the newest first; or one of them. The question is signed for the path, `#` and the SHA-256 of the body.
/// To principals of the node's own organisation, and to the agreement's regulators.
#[utoipa::path(post, path = routes::PARTITION_ERASURES, tag = "partitions",
    params(
        ("name" = String, Path, description = "The partition's name"),
        ("Authorization" = String, Header, description = "`Tallystick` and a signed question: docs/reference/formats.md"),
    ),
    request_body = PrivateErasures,
    responses(
        (status = 200, description = "The orders", body = ErasureList),
        (status = 400, description = "Not a question", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "The question is not signed by one's own, for this path and body, and in time", body = Problem, content_type = "application/problem+json"),
        (status = 421, description = "This node holds nothing of the partition", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "As many questions as the node works on", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn erasures(
    State(app): State<App>,
    PathOf(name): PathOf<String>,
    QueryOf(query): QueryOf,
    asked: Asked,
    body: Result<Bytes, BytesRejection>,
) -> Answer<Response> {
    let form = r#"say which: {"order": "id"}, {"controller": "organisation", "open": true}, or {} for all"#;
    let (question, path) = question(&query, &asked, body, form)?;
    let PrivateErasures { order, controller, open, cursor, limit } = question;
    let CursorPage { before, limit } = CursorPage::asked(cursor, limit, ERASURES_PAGE_MAX)?;
    let _room = app.questions.enter()?;
    let parcels = app.service.parcels().map_err(|error| failure(&error))?;
    let signed = (&asked.query, path.as_str());
    let (height, rows, next) = if let Some(order) = order {
        let found = parcels.erasure(&name, signed, &order).await.map_err(|error| failure(&error))?;
        (found.height, found.value.into_iter().collect(), None)
    } else {
        let of = (controller.as_deref().unwrap_or_default(), open);
        let found = parcels.erasures(&name, signed, of, (before, limit)).await.map_err(|error| failure(&error))?;
        (found.height, found.value.0, found.value.1)
    };
    let now_ms = app.service.tip().header.time_ms;
    let view = |Erasure { row, holds, left }| ErasureView::new(&row, holds, now_ms).with_left(&left);
    let erasures = rows.into_iter().map(view).collect();
    Ok(to_signer(
        &app,
        (&name, &asked.query),
        json_at(height, ErasureList { erasures, next: next.map(|next| next.to_string()) }),
    ))
}

/// Proof of where an order of erasure in a partition stands, with the receipt of each member's node, to be checked offline: under the first
/// root that the partition's members certify while the request waits. To principals of the node's own organisation, and to
/// the agreement's regulators.
#[utoipa::path(post, path = routes::PARTITION_ERASURE_CERTIFICATE, tag = "partitions",
    params(
        ("name" = String, Path, description = "The partition's name"),
        ("Authorization" = String, Header, description = "`Tallystick` and a signed question: docs/reference/formats.md"),
    ),
    request_body = PrivateCertificate,
    responses(
        (status = 200, description = "The certificate", body = Vec<u8>, content_type = "application/vnd.tallystick.receipt+cbor"),
        (status = 400, description = "Not a question", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "The question is not signed by one's own, for this path and body, and in time", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such order", body = Problem, content_type = "application/problem+json"),
        (status = 421, description = "This node holds nothing of the partition", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "As many questions as the node works on", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn certificate(
    State(app): State<App>,
    PathOf(name): PathOf<String>,
    QueryOf(query): QueryOf,
    asked: Asked,
    body: Result<Bytes, BytesRejection>,
) -> Answer<Response> {
    let (question, path) = question(&query, &asked, body, r#"say which: {"order": "id"}"#)?;
    let PrivateCertificate { order } = question;
    let until = app.service.after(Duration::from_secs(DISCLOSED_SECONDS_MAX));
    let found = app.service.private_certificate(&name, (&asked.query, &path), &order, until).await;
    let certificate = found.map_err(|error| failure(&error))?.ok_or_else(|| {
        let shown: String = order.chars().take(80).collect();
        let all = routes::partition_erasures(&name);
        Failure::not_found(format!("there is no order `{shown}` in this partition: {all} lists those there are"))
    })?;
    let height = certificate.finality.headers.first().map_or(0, |header| header.height);
    Ok(to_signer(&app, (&name, &asked.query), receipt_at(height, &Receipt::PartitionErasure(certificate))))
}

/// Legal holds in a partition, the newest first. The question is signed for the path, `#` and the SHA-256 of the body. To principals of the
/// node's own organisation, and to the agreement's regulators.
#[utoipa::path(post, path = routes::PARTITION_HOLDS, tag = "partitions",
    params(
        ("name" = String, Path, description = "The partition's name"),
        ("Authorization" = String, Header, description = "`Tallystick` and a signed question: docs/reference/formats.md"),
    ),
    request_body = PrivateHolds,
    responses(
        (status = 200, description = "The holds", body = HoldList),
        (status = 400, description = "Not a question", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "The question is not signed by one's own, for this path and body, and in time", body = Problem, content_type = "application/problem+json"),
        (status = 421, description = "This node holds nothing of the partition", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "As many questions as the node works on", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn holds(
    State(app): State<App>,
    PathOf(name): PathOf<String>,
    QueryOf(query): QueryOf,
    asked: Asked,
    body: Result<Bytes, BytesRejection>,
) -> Answer<Response> {
    let form = r#"say which: {"controller": "organisation"}, or {} for all"#;
    let (question, path) = question(&query, &asked, body, form)?;
    let PrivateHolds { controller, cursor, limit } = question;
    let CursorPage { before, limit } = CursorPage::asked(cursor, limit, ERASURES_PAGE_MAX)?;
    let _room = app.questions.enter()?;
    let parcels = app.service.parcels().map_err(|error| failure(&error))?;
    let of = controller.as_deref().unwrap_or_default();
    let found =
        parcels.holds(&name, (&asked.query, &path), of, (before, limit)).await.map_err(|error| failure(&error))?;
    let Told { height, value: (rows, next) } = found;
    let now_ms = app.service.tip().header.time_ms;
    let holds = rows.into_iter().map(|row| HoldView::new(row, now_ms)).collect();
    Ok(to_signer(
        &app,
        (&name, &asked.query),
        json_at(height, HoldList { holds, next: next.map(|next| next.to_string()) }),
    ))
}
