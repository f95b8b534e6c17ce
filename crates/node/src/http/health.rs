//! For whoever watches the node: is it alive, does it serve, how does it do.

use super::{
    App,
    problem::Failure,
    snapshot::{At, typed},
};
use axum::{
    Json,
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, StatusCode};
use tallystick_api::{ErasuresView, Readiness, media, routes};

/// Says that the process is alive.
#[utoipa::path(get, path = routes::HEALTH, tag = "node", responses((status = 200, description = "The process is alive", body = String)))]
pub async fn alive() -> Response {
    typed("text/plain; charset=utf-8", "alive\n")
}

/// What a node says while it waits for its peers before it can begin.
pub const WAITING: &str = "this node is starting: it waits for peers to tell it where the network stands; if that lasts, no peer is reached, or \
     their keys were replaced meanwhile: `tally node peers` writes those of today; or they do not know this node's key yet: see `docs/operating.md`, \"Add, remove or replace a validator\"";

/// Says that the node waits for its peers.
pub async fn waiting() -> Response {
    let body = Readiness {
        ready: false,
        reasons: vec![WAITING.to_owned()],
        height: 0,
        expiries: Vec::new(),
        erasures: ErasuresView::default(),
    };
    (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
}

/// Says whether the node serves, and if not, why.
#[utoipa::path(get, path = routes::READY, tag = "node", responses(
    (status = 200, description = "The node serves", body = Readiness),
    (status = 503, description = "It does not, for these reasons", body = Readiness),
))]
pub async fn ready(State(app): State<App>) -> Response {
    let health = app.service.health();
    let stopping = *app.stopping.borrow();
    let mut reasons = health.reasons;
    if stopping {
        reasons.push("stopping".to_owned());
    }
    let ready = health.ready && !stopping;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let (erasures, _) = app.service.counted().await;
    let body = Readiness { ready, reasons, height: health.height, expiries: health.expiries, erasures };
    At(health.height, (status, Json(body))).into_response()
}

/// Gives the counters in Prometheus' text format.
#[utoipa::path(get, path = routes::METRICS, tag = "node", responses((status = 200, description = "Metrics", body = String, content_type = media::METRICS)))]
pub async fn metrics(State(app): State<App>) -> Response {
    let (erasures, held) = app.service.counted().await;
    typed(media::METRICS, app.service.metrics(&erasures, &held))
}

/// Lets nobody ask about the ledger before the node knows all of it; and says the height where the answer does not, as
/// when there is no such thing: "not on the register" holds at a height too.
pub async fn about_ledger(State(app): State<App>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if !path.starts_with("/v1/") || [routes::STATUS, routes::NETWORK].contains(&path) {
        return next.run(request).await;
    }
    if !app.service.is_ready() {
        let detail = format!(
            "this node is starting, or fetching the ledger from its peers; {} says how far it is: try again shortly, \
             or ask another node",
            routes::READY
        );
        return Failure::unavailable(detail).into_response();
    }
    // Taken before the handler looks: the answer takes at least this block into account.
    let height = app.service.tip().header.height;
    let mut response = next.run(request).await;
    response.headers_mut().entry(HeaderName::from_static(media::HEIGHT_HEADER)).or_insert(HeaderValue::from(height));
    response
}
