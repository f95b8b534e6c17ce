//! The node, its network, and where to look next.

use super::{App, snapshot::json_at};
use axum::{Json, extract::State, response::Response};
use std::collections::BTreeMap;
use tallystick_api::{Index, NetworkView, NodeStatus, routes};

/// The program's version.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Says what is served here and where to look next.
#[utoipa::path(get, path = routes::INDEX, tag = "node", responses((status = 200, description = "Where to look next", body = Index)))]
pub async fn index(State(app): State<App>) -> Json<Index> {
    let links = [
        ("interface", routes::OPENAPI),
        ("network", routes::NETWORK),
        ("status", routes::STATUS),
        ("registers", routes::REGISTERS),
        ("checkpoint", routes::CHECKPOINT),
        ("blocks", routes::BLOCKS),
        ("transactions", routes::TRANSACTIONS),
        ("ready", routes::READY),
        ("metrics", routes::METRICS),
    ];
    Json(Index {
        name: "Tallystick".to_owned(),
        version: VERSION.to_owned(),
        network: app.service.network().to_string(),
        links: links.into_iter().map(|(name, path)| (name.to_owned(), path.to_owned())).collect::<BTreeMap<_, _>>(),
    })
}

/// The network's id and genesis.
#[utoipa::path(get, path = routes::NETWORK, tag = "node", responses((status = 200, description = "The network", body = NetworkView)))]
pub async fn network(State(app): State<App>) -> Json<NetworkView> {
    let genesis = app.service.genesis();
    Json(NetworkView {
        id: app.service.network().to_string(),
        quorum: genesis.quorum() as u64,
        genesis: genesis.as_ref().clone(),
    })
}

/// How this node is, ready or not.
#[utoipa::path(get, path = routes::STATUS, tag = "node", responses((status = 200, description = "The node's state", body = NodeStatus)))]
pub async fn status(State(app): State<App>) -> Response {
    let (genesis, health) = (app.service.genesis(), app.service.health());
    let (erasures, _) = app.service.counted().await;
    let (tip, registers) = (app.service.tip(), app.service.history().registers().count());
    json_at(
        tip.header.height,
        NodeStatus {
            version: VERSION.to_owned(),
            network: app.service.network().to_string(),
            network_name: genesis.name.clone(),
            ready: health.ready,
            reasons: health.reasons,
            height: tip.header.height,
            time_ms: tip.header.time_ms,
            digest: tip.digest,
            log_size: tip.header.log.size,
            log_root: tip.header.log.root,
            state_root: tip.header.state.root,
            age_ms: health.age_ms,
            pool: health.pool as u64,
            validators: health.validators as u64,
            holder: health.holder,
            validator: health.validator,
            voting: health.voting,
            recovered: app.service.recoveries().iter().map(|(_, one)| one.head.height).collect(),
            registers: registers as u64,
            expiries: health.expiries,
            erasures,
            partitions: app.service.partition_troubles(),
        },
    )
}
