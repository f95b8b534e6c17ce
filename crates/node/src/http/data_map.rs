//! The data map: what is held about people, where, why and for how long, from live state.

use super::{
    App, QueryOf,
    organisations::no_organisation,
    page::{Links, RecordPage, known},
    problem::Answer,
    registers::records,
    snapshot::json_at,
};
use crate::{backup::Terms, service::data_map::Holdings};
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use tallystick_api::{
    BackupsView, ControllerView, DataMap, FieldView, PlaceView, Problem, ProtectedRegisterView, SharedView,
    limits::DATA_MAP_PAGE_MAX, routes,
};
use tallystick_ledger::OrganisationRow;
use tallystick_protocol::{NodeRow, PartitionRow, PrincipalId, RegisterRow};

/// What organisations hold about people: which fields and categories, on which nodes, under which agreement, for how long.
#[utoipa::path(get, path = routes::DATA_MAP, tag = "privacy",
    params(
        ("organisation" = Option<String>, Query, description = "Only what this one answers for"),
        ("page-index" = Option<u64>, Query, description = "The page, from 1"),
        ("page-size" = Option<u64>, Query, description = "Organisations on a page: 50 at most and by default"),
    ),
    responses(
        (status = 200, description = "The map; the Link header leads to the next page", body = DataMap),
        (status = 404, description = "No such organisation", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn data_map(State(app): State<App>, QueryOf(query): QueryOf) -> Answer<Response> {
    known(&query, &["organisation", "page-index", "page-size"])?;
    let page = RecordPage::of(&query, DATA_MAP_PAGE_MAX, DATA_MAP_PAGE_MAX)?;
    let (links, height, rows) = match query.get("organisation") {
        Some(id) => {
            let (height, row) = app.service.organisation(id).await?.ok_or_else(|| no_organisation(id))?;
            (Links::default(), height, vec![row])
        }
        None => {
            let (height, total, rows) = app.service.organisations(page.skip(), page.size()).await?;
            (page.links(rows.len(), total > page.skip().saturating_add(rows.len()))?, height, rows)
        }
    };
    let holdings = app.service.holdings(&rows).await?;
    let time_ms = app.service.tip().header.time_ms;
    let controllers = rows
        .into_iter()
        .map(|row| {
            let mut view = controller(row, &holdings, time_ms);
            view.backups = app.service.backups(&view.organisation).map(backups);
            for register in &mut view.registers {
                register.records = records(&app.service, &register.register);
            }
            view
        })
        .collect();
    Ok((links, json_at(height, DataMap { controllers })).into_response())
}

fn controller(row: OrganisationRow, holdings: &Holdings, time_ms: u64) -> ControllerView {
    let OrganisationRow { id, name, status, particulars, .. } = row;
    let is_custodian = |register: &&RegisterRow| register.custodian == id;
    // What lies with who has left lies there still.
    let is_member = |agreement: &&PartitionRow| {
        agreement.terms.has_member(&id) || agreement.former.iter().any(|(former, _)| *former == id)
    };
    ControllerView {
        nodes: holdings.nodes.get(&id).into_iter().flat_map(|row| &row.nodes).map(place).collect(),
        left_at: retired(holdings, &id).collect(),
        backups: None,
        registers: holdings.registers.iter().filter(is_custodian).map(register).collect(),
        agreements: holdings
            .agreements
            .iter()
            .filter(is_member)
            .map(|agreement| shared(&id, agreement, holdings, time_ms))
            .collect(),
        name: particulars.legal_name.unwrap_or(name),
        registration: particulars.registration,
        jurisdiction: particulars.jurisdiction,
        contact: particulars.contact,
        organisation: id,
        status,
    }
}

fn retired<'h>(holdings: &'h Holdings, organisation: &str) -> impl Iterator<Item = String> + use<'h> {
    let row = holdings.nodes.get(organisation);
    let unnamed = row.filter(|row| row.unnamed > 0).map(|_| organisation.to_owned());
    row.into_iter().flat_map(|row| &row.retired).map(ToString::to_string).chain(unnamed)
}

fn backups((node, terms): (&PrincipalId, &Terms)) -> BackupsView {
    let Terms { jurisdiction, every_hours, keep_days } = terms.clone();
    BackupsView { node: node.clone(), jurisdiction, every_hours, keep_days }
}

fn place(row: &NodeRow) -> PlaceView {
    PlaceView { node: row.node.clone(), jurisdiction: row.jurisdiction.clone() }
}

fn register(row: &RegisterRow) -> ProtectedRegisterView {
    ProtectedRegisterView {
        register: row.register.clone(),
        text: row.text.clone(),
        phase: row.phase,
        records: 0,
        fields: row.fields.iter().filter(|field| field.protection.is_some()).map(FieldView::from).collect(),
    }
}

fn shared(organisation: &str, row: &PartitionRow, holdings: &Holdings, time_ms: u64) -> SharedView {
    let terms = row.terms.clone();
    let nodes = terms.members.iter().filter_map(|member| holdings.nodes.get(member)).flat_map(|row| &row.nodes);
    let former = row.former.iter().map(|(organisation, _)| organisation.clone());
    let left_at = terms.members.iter().flat_map(|member| retired(holdings, member)).chain(former).collect();
    let (held_at, refused) = nodes.map(place).partition(|place: &PlaceView| terms.allows(&place.jurisdiction));
    SharedView {
        held_at,
        refused,
        left_at,
        open: row.is_open(time_ms),
        recipients: terms.members.into_iter().filter(|member| member != organisation).collect(),
        partition: terms.partition,
        purpose: terms.purpose,
        legal_basis: terms.legal_basis,
        categories: terms.categories,
        regulators: terms.regulators,
        jurisdictions: terms.jurisdictions,
        from_ms: terms.from_ms,
        until_ms: terms.until_ms,
        review_ms: terms.review_ms,
        retention_days: terms.retention_days,
    }
}
