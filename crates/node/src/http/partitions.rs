//! Partitions: under which agreements which members share something. What they share is told in `private.rs`.

use super::{
    App, PathOf, QueryOf,
    page::{RecordPage, known},
    problem::{Answer, Failure},
    snapshot::json_at,
};
use crate::parcels::Standing;
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use tallystick_api::{
    FormerView, PartitionList, PartitionView, PostedRootView, Problem, StandingView,
    limits::{PAGE_DEFAULT, PARTITIONS_PAGE_MAX},
    routes,
};
use tallystick_protocol::{PartitionRootsRow, PartitionRow};

/// One partition: its agreement, and where it stands.
#[utoipa::path(get, path = routes::PARTITION, tag = "partitions",
    params(("name" = String, Path, description = "The partition's name")),
    responses(
        (status = 200, description = "The partition", body = PartitionView),
        (status = 404, description = "No such partition", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn partition(State(app): State<App>, PathOf(name): PathOf<String>) -> Answer<Response> {
    let found = app.service.partition(&name).await?;
    let (height, row, roots) = found.ok_or_else(|| no_partition(&name))?;
    let PartitionRootsRow { ordered, certified, alarm, .. } = roots;
    let (certified_height, certified_root) = certified.map(|one| (one.height, one.root)).unzip();
    let alarm = alarm.into_iter().flat_map(|at| {
        let height = at.height;
        at.roots.into_iter().map(move |one| PostedRootView { height, node: one.node.to_string(), root: one.root })
    });
    // Not how many transactions it has executed: what was ordered is padded, so that nobody else can tell.
    let here = app.service.partition_here(&name).map(|Standing { height, root, missing, .. }| StandingView {
        height,
        root,
        missing: missing as u64,
    });
    let time_ms = app.service.tip().header.time_ms;
    let view = PartitionView {
        ordered: Some(ordered),
        certified_height,
        certified_root,
        alarm: alarm.collect(),
        here,
        ..view(row, time_ms)
    };
    Ok(json_at(height, view))
}

fn no_partition(name: &str) -> Failure {
    let shown: String = name.chars().take(80).collect();
    Failure::not_found(format!("there is no partition `{shown}`: {} lists those there are", routes::PARTITIONS))
}

fn view(row: PartitionRow, time_ms: u64) -> PartitionView {
    let open = row.is_open(time_ms);
    let PartitionRow { terms, proposed, opened_height, amended_height, closed, former } = row;
    let (closed_height, closed_reason) = closed.unzip();
    PartitionView {
        agreement: terms,
        open,
        ordered: None,
        certified_height: None,
        certified_root: None,
        alarm: Vec::new(),
        here: None,
        proposed,
        opened_height,
        amended_height,
        closed_height,
        closed_reason,
        former: former.into_iter().map(|(organisation, height)| FormerView { organisation, height }).collect(),
    }
}

/// All partitions, ended ones too, in the order in which they were opened.
#[utoipa::path(get, path = routes::PARTITIONS, tag = "partitions",
    params(
        ("page-index" = Option<u64>, Query, description = "The page, from 1"),
        ("page-size" = Option<u64>, Query, description = "Partitions on a page: 100 by default, 200 at most"),
    ),
    responses((status = 200, description = "The partitions; the Link header leads to the next page", body = PartitionList)))]
pub async fn partitions(State(app): State<App>, QueryOf(query): QueryOf) -> Answer<Response> {
    known(&query, &["page-index", "page-size"])?;
    let page = RecordPage::of(&query, PAGE_DEFAULT, PARTITIONS_PAGE_MAX)?;
    let (height, total, rows) = app.service.partitions(page.skip(), page.size()).await?;
    let links = page.links(rows.len(), total > page.skip().saturating_add(rows.len()))?;
    let time_ms = app.service.tip().header.time_ms;
    let partitions = rows.into_iter().map(|row| view(row, time_ms)).collect();
    Ok((links, json_at(height, PartitionList { partitions })).into_response())
}
