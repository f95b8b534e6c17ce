//! Registers as this ledger defines them, the organisations that keep them, and receipts of records.

use super::{
    App, PathOf, QueryOf, Service, Wanted,
    negotiate::Form,
    page::{Links, RecordPage},
    problem::{Answer, Failure},
    snapshot::{json_at, snapshot},
    transactions::receipt_at,
};
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use tallystick_api::{
    FieldView, KeyView, MandateView, OrganisationList, OrganisationView, PrincipalView, Problem, RegisterList,
    RegisterView,
    limits::{ORGANISATIONS_PAGE_MAX, PAGE_DEFAULT, PAGE_MAX},
    routes,
};
use tallystick_ledger::{MandateRow, OrganisationRow, entry_leaf::format_v1_hash, state::TreeRow};
use tallystick_protocol::{EntryKind, MandateId, MandateTerms, Particulars, PrincipalId, Receipt, RegisterRow};

/// Registers read together.
const REGISTERS_READ: usize = 100;

/// A register as the state holds it.
pub struct Register {
    /// The height it stands at.
    pub height: u64,
    /// Its definition.
    pub row: RegisterRow,
    /// How far it has come.
    pub tree: TreeRow,
}

impl Register {
    /// The register of this name.
    ///
    /// # Errors
    /// `not-found` when there is none.
    pub async fn find(service: &Service, name: &str) -> Result<Self, Failure> {
        let (height, row, tree) = service.register(name).await?.ok_or_else(|| no_register(name))?;
        Ok(Self { height, row, tree })
    }

    /// The names of its fields, in the schema's order.
    pub fn field_names(&self) -> Vec<String> {
        self.row.fields.iter().map(|field| field.name.clone()).collect()
    }
}

/// There is no register of this name.
pub fn no_register(name: &str) -> Failure {
    let shown: String = name.chars().take(80).collect();
    Failure::not_found(format!(
        "there is no register `{shown}` on this ledger: {} lists those there are",
        routes::REGISTERS
    ))
}

/// All registers, by name, page by page.
#[utoipa::path(get, path = routes::REGISTERS, tag = "registers",
    params(
        ("page-index" = Option<u64>, Query, description = "The page, from 1"),
        ("page-size" = Option<u64>, Query, description = "Registers on a page: 5,000 at most and by default"),
    ),
    responses((status = 200, description = "The registers; the Link header leads to the next page", body = RegisterList)))]
pub async fn registers(State(app): State<App>, QueryOf(query): QueryOf) -> Answer<Response> {
    let page = RecordPage::of(&query, PAGE_MAX, PAGE_MAX)?;
    let (height, total, names) = snapshot(&app.service, |history, tip| {
        let names = history.registers().map(|(name, _)| name.to_owned()).skip(page.skip()).take(page.size());
        (tip.header.height, history.registers().count(), names.collect::<Vec<_>>())
    })
    .await?;
    let links = page.links(names.len(), total > page.skip() + names.len())?;
    let mut registers = Vec::with_capacity(names.len());
    // Piece by piece: blocks wait for a read. A register that was only proposed is in the index and not in the state.
    for names in names.chunks(REGISTERS_READ) {
        let (height, found) = app.service.registers(names).await?;
        registers.extend(found.into_iter().map(|(row, tree)| view(&app.service, Register { height, row, tree })));
    }
    Ok((links, json_at(height, RegisterList { registers })).into_response())
}

/// One register's definition and how far it has come.
#[utoipa::path(get, path = routes::REGISTER, tag = "registers",
    params(("name" = String, Path, description = "The register's name")),
    responses(
        (status = 200, description = "The register", body = RegisterView),
        (status = 404, description = "No such register", body = Problem, content_type = "application/problem+json"),
        (status = 406, description = "A definition is served as JSON", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn register(State(app): State<App>, PathOf(name): PathOf<String>, wanted: Wanted) -> Answer<Response> {
    wanted.choose(&[Form::Json])?;
    let register = Register::find(&app.service, &name).await?;
    Ok(json_at(register.height, view(&app.service, register)))
}

fn view(service: &Service, register: Register) -> RegisterView {
    let Register { row, tree, .. } = register;
    let records = records(service, &row.register);
    RegisterView {
        records,
        entries: tree.user.size(),
        system_entries: tree.system,
        root: format_v1_hash(&tree.user.root()),
        fields: row.fields.iter().map(FieldView::from).collect(),
        name: row.register,
        text: row.text,
        custodian: row.custodian,
        phase: row.phase,
        successor: row.successor,
        created: row.created,
    }
}

/// How many current records the register has.
pub fn records(service: &Service, name: &str) -> u64 {
    service.history().register(name).map_or(0, |register| register.records(EntryKind::User))
}

/// Proof of the current record of a key, or that there is none, to be checked offline.
#[utoipa::path(get, path = routes::RECORD_RECEIPT, tag = "registers",
    params(
        ("name" = String, Path, description = "The register's name"),
        ("key" = String, Path, description = "The record's key, percent-encoded"),
    ),
    responses(
        (status = 200, description = "The receipt", body = Vec<u8>, content_type = "application/vnd.tallystick.receipt+cbor"),
        (status = 406, description = "A receipt has one form", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "No certificate has reached this node yet", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn record_receipt(
    State(app): State<App>,
    PathOf((name, key)): PathOf<(String, String)>,
    wanted: Wanted,
) -> Answer<Response> {
    wanted.choose(&[Form::Receipt])?;
    let receipt = app.service.record_receipt(&name, &key).await?;
    let height = receipt.finality.headers.first().map_or(0, |header| header.height);
    Ok(receipt_at(height, &Receipt::Record(receipt)))
}

/// One organisation.
#[utoipa::path(get, path = routes::ORGANISATION, tag = "organisations",
    params(("id" = String, Path, description = "The organisation's id")),
    responses(
        (status = 200, description = "The organisation", body = OrganisationView),
        (status = 404, description = "No such organisation", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn organisation(State(app): State<App>, PathOf(id): PathOf<String>) -> Answer<Response> {
    let found = app.service.organisation(&id).await?;
    let (height, row) = found.ok_or_else(|| {
        let shown: String = id.chars().take(80).collect();
        Failure::not_found(format!("there is no organisation `{shown}`: {} lists the members", routes::NETWORK))
    })?;
    Ok(json_at(height, organisation_view(row)))
}

fn organisation_view(row: OrganisationRow) -> OrganisationView {
    let OrganisationRow { id, name, status, reason, principals, administrators, recovery, particulars, .. } = row;
    let Particulars { legal_name, registration, jurisdiction, contact } = particulars;
    OrganisationView {
        id,
        name,
        legal_name,
        registration,
        jurisdiction,
        contact,
        status,
        reason,
        principals,
        administrators,
        recovery,
    }
}

/// All organisations that are or were members, in the order in which they joined.
#[utoipa::path(get, path = routes::ORGANISATIONS, tag = "organisations",
    params(
        ("page-index" = Option<u64>, Query, description = "The page, from 1"),
        ("page-size" = Option<u64>, Query, description = "Organisations on a page: 100 by default, 200 at most"),
    ),
    responses((status = 200, description = "The organisations; the Link header leads to the next page", body = OrganisationList)))]
pub async fn organisations(State(app): State<App>, QueryOf(query): QueryOf) -> Answer<Response> {
    let page = RecordPage::of(&query, PAGE_DEFAULT, ORGANISATIONS_PAGE_MAX)?;
    let (height, total, rows) = app.service.organisations(page.skip(), page.size()).await?;
    let links = page.links(rows.len(), total > page.skip().saturating_add(rows.len()))?;
    let organisations = rows.into_iter().map(organisation_view).collect();
    Ok((links, json_at(height, OrganisationList { organisations })).into_response())
}

/// One principal with its keys.
#[utoipa::path(get, path = routes::PRINCIPAL, tag = "organisations",
    params(
        ("organisation" = String, Path, description = "The organisation's id"),
        ("name" = String, Path, description = "The principal's name within it"),
    ),
    responses(
        (status = 200, description = "The principal", body = PrincipalView),
        (status = 400, description = "Not a principal's name", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such principal", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn principal(
    State(app): State<App>,
    PathOf((organisation, name)): PathOf<(String, String)>,
) -> Answer<Response> {
    let id = PrincipalId::new(&organisation, &name).map_err(|error| Failure::bad_request(error.to_string()))?;
    let found = app.service.principal(&id).await?;
    let (height, row) = found.ok_or_else(|| {
        let detail = format!("there is no principal `{id}`: check its name, or have an administrator enrol it");
        Failure::not_found(detail)
    })?;
    let keys = row.keys.iter().map(|held| KeyView {
        key: held.key.to_string(),
        from_ms: held.from_ms,
        assurance: held.assurance,
        retired_ms: held.retired_ms,
        until_ms: held.until_ms,
    });
    let view = PrincipalView {
        id: id.to_string(),
        kind: row.kind,
        keys: keys.collect(),
        roles: row.roles,
        status: row.status,
        reason: row.reason,
    };
    Ok(json_at(height, view))
}

/// One mandate.
#[utoipa::path(get, path = routes::MANDATE, tag = "organisations",
    params(
        ("organisation" = String, Path, description = "The grantor's organisation"),
        ("grantor" = String, Path, description = "The grantor's name within it"),
        ("name" = String, Path, description = "The mandate's name"),
    ),
    responses(
        (status = 200, description = "The mandate", body = MandateView),
        (status = 400, description = "Not a mandate's name", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such mandate", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn mandate(
    State(app): State<App>,
    PathOf((organisation, grantor, name)): PathOf<(String, String, String)>,
) -> Answer<Response> {
    let grantor = PrincipalId::new(&organisation, &grantor).map_err(|error| Failure::bad_request(error.to_string()))?;
    let id = MandateId::new(&grantor, &name).map_err(|error| Failure::bad_request(error.to_string()))?;
    let found = app.service.mandate(&id).await?;
    let (height, MandateRow { id, terms, granted, revoked_ms }) =
        found.ok_or_else(|| Failure::not_found(format!("there is no mandate `{id}`: check its name")))?;
    let MandateTerms { agents, actions, resources, purpose, from, until, depth, concur, parent } = terms;
    let view = MandateView {
        id,
        agents,
        actions,
        resources,
        purpose,
        from,
        until,
        depth,
        concur,
        parent,
        granted,
        revoked_ms,
    };
    Ok(json_at(height, view))
}

/// The link from a record to all its entries.
pub fn version_history(name: &str, key: &str) -> Links {
    let mut links = Links::default();
    links.add("version-history", &routes::record_entries(name, key));
    links
}
