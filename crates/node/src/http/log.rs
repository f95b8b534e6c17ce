//! The log: its certified size and root, and proofs about it.

use super::{
    App, PathOf,
    problem::{Answer, Failure},
    snapshot::{json_at, snapshot},
};
use axum::{extract::State, response::Response};
use tallystick_api::{Checkpoint, ConsistencyProof, InclusionProof, Problem, routes};

/// The log's newest certified size and root.
#[utoipa::path(get, path = routes::CHECKPOINT, tag = "log", responses(
    (status = 200, description = "The checkpoint", body = Checkpoint),
    (status = 503, description = "No certificate has reached this node yet", body = Problem, content_type = "application/problem+json"),
))]
pub async fn checkpoint(State(app): State<App>) -> Answer<Response> {
    let not_yet = || Failure::unavailable("no block is certified here yet: try again in a moment");
    let finality = app.service.checkpoint().await.ok_or_else(not_yet)?;
    let header = finality.headers.first().ok_or_else(not_yet)?;
    let checkpoint = Checkpoint {
        network: header.network.to_string(),
        height: header.height,
        digest: header.hash(),
        time_ms: header.time_ms,
        log_size: header.log.size,
        log_root: header.log.root,
        state_root: header.state.root,
        headers: finality.headers.iter().map(|header| hex::encode(header.to_bytes())).collect(),
        certificate: hex::encode(finality.certificate.to_bytes()),
        signatures: finality.certificate.signatures.len() as u64,
    };
    Ok(json_at(header.height, checkpoint))
}

/// Proof that the log of `new` leaves continues that of `old` leaves.
#[utoipa::path(get, path = routes::LOG_CONSISTENCY, tag = "log",
    params(("old" = u64, Path, description = "The earlier size"), ("new" = u64, Path, description = "The later size")),
    responses(
        (status = 200, description = "The proof", body = ConsistencyProof),
        (status = 400, description = "No such sizes", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn consistency(State(app): State<App>, PathOf((old, new)): PathOf<(u64, u64)>) -> Answer<Response> {
    let (height, proof) = snapshot(&app.service, |history, tip| {
        let log = history.log();
        let proof = log.consistency(old, new).zip(log.root_at(old)).zip(log.root_at(new));
        let proof = proof.map(|((path, old_root), new_root)| ConsistencyProof {
            old_size: old,
            old_root,
            new_size: new,
            new_root,
            path,
        });
        (tip.header.height, proof.ok_or(history.size()))
    })
    .await?;
    let out_of_range = |size| {
        Failure::bad_request(format!(
            "there is no proof from size {old} to {new}: sizes rise and the log has {size} leaves"
        ))
    };
    Ok(json_at(height, proof.map_err(out_of_range)?))
}

/// Proof that the leaf `index` (from 0) is in the log of `size` leaves.
#[utoipa::path(get, path = routes::LOG_INCLUSION, tag = "log",
    params(("index" = u64, Path, description = "The leaf, from 0"), ("size" = u64, Path, description = "The log's size")),
    responses(
        (status = 200, description = "The proof", body = InclusionProof),
        (status = 400, description = "No such leaf or size", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn inclusion(State(app): State<App>, PathOf((index, size)): PathOf<(u64, u64)>) -> Answer<Response> {
    let (height, proof) = snapshot(&app.service, |history, tip| {
        let log = history.log();
        let proof = log.inclusion(index, size).zip(log.leaf(index)).zip(log.root_at(size));
        let proof = proof.map(|((path, leaf), root)| InclusionProof { index, size, leaf, root, path });
        (tip.header.height, proof.ok_or(history.size()))
    })
    .await?;
    let out_of_range = |leaves| {
        let detail =
            format!("leaf {index} is not in the log of size {size}: leaves count from 0 and the log has {leaves}");
        Failure::bad_request(detail)
    };
    Ok(json_at(height, proof.map_err(out_of_range)?))
}
