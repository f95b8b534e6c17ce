//! Partitions: under which agreements which members share something. What they share is not told here.

use super::{
    App, PathOf, QueryOf,
    page::{RecordPage, known},
    problem::{Answer, Failure},
    snapshot::json_at,
};
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use tallystick_api::{
    PartitionList, PartitionView, Problem,
    limits::{PAGE_DEFAULT, PARTITIONS_PAGE_MAX},
    routes,
};
use tallystick_protocol::PartitionRow;

/// One partition: its agreement, and where it stands.
#[utoipa::path(get, path = routes::PARTITION, tag = "partitions",
    params(("name" = String, Path, description = "The partition's name")),
    responses(
        (status = 200, description = "The partition", body = PartitionView),
        (status = 404, description = "No such partition", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn partition(State(app): State<App>, PathOf(name): PathOf<String>) -> Answer<Response> {
    let found = app.service.partition(&name).await?;
    let (height, row) = found.ok_or_else(|| no_partition(&name))?;
    Ok(json_at(height, view(row, app.service.tip().header.time_ms)))
}

fn no_partition(name: &str) -> Failure {
    let shown: String = name.chars().take(80).collect();
    Failure::not_found(format!("there is no partition `{shown}`: {} lists those there are", routes::PARTITIONS))
}

fn view(row: PartitionRow, time_ms: u64) -> PartitionView {
    let open = row.is_open(time_ms);
    let PartitionRow { terms, proposed, opened_height, amended_height, closed } = row;
    let (closed_height, closed_reason) = closed.unzip();
    PartitionView { agreement: terms, open, proposed, opened_height, amended_height, closed_height, closed_reason }
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
