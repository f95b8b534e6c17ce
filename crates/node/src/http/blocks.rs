//! Finalised blocks, looked up.

use super::{
    App, PathOf,
    problem::{Answer, Failure},
    snapshot::json_at,
};
use axum::{extract::State, response::Response};
use tallystick_api::{BlockView, Problem, routes};

/// One finalised block.
#[utoipa::path(get, path = routes::BLOCK, tag = "log",
    params(("height" = u64, Path, description = "The block's height")),
    responses(
        (status = 200, description = "The block", body = BlockView),
        (status = 404, description = "Not final yet, or not stored here", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn block(State(app): State<App>, PathOf(height): PathOf<u64>) -> Answer<Response> {
    let tip = app.service.tip().header.height;
    let block = app.service.block(height).await.ok_or_else(|| absent(height, tip))?;
    let header = &block.header;
    let view = BlockView {
        height: header.height,
        digest: header.hash(),
        parent: header.parent,
        time_ms: header.time_ms,
        epoch: header.epoch,
        view: header.view,
        leader: hex::encode(header.leader),
        state_root: header.state.root,
        log_size: header.log.size,
        log_root: header.log.root,
        transactions: block.ids,
        header: hex::encode(header.to_bytes()),
        certificate: block.certificate.map(|certificate| hex::encode(certificate.to_bytes())),
    };
    Ok(json_at(tip, view))
}

/// There is no block at `height` here.
pub fn absent(height: u64, tip: u64) -> Failure {
    Failure::not_found(if height > tip {
        format!("block {height} is not final: the newest final block is {tip}")
    } else {
        format!("block {height} is not stored here, because this node joined later: ask another node")
    })
}
