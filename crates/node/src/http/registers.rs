//! Registers as this ledger defines them, and receipts of records.

use super::{
    App, PathOf, QueryOf, Service, Wanted,
    negotiate::Form,
    page::{Links, RecordPage, known},
    problem::{Answer, Failure},
    snapshot::{json_at, snapshot},
    transactions::receipt_at,
};
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use tallystick_api::{
    FieldView, Problem, RegisterList, RegisterView,
    limits::{PAGE_MAX, ROWS_READ_MAX},
    routes,
};
use tallystick_ledger::{entry_leaf::format_v1_hash, state::TreeRow};
use tallystick_protocol::{EntryKind, Receipt, RegisterRow};

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
    known(&query, &["page-index", "page-size"])?;
    let page = RecordPage::of(&query, PAGE_MAX, PAGE_MAX)?;
    let (height, total, names) = snapshot(&app.service, |history, tip| {
        let names = history.registers().map(|(name, _)| name.to_owned()).skip(page.skip()).take(page.size());
        (tip.header.height, history.registers().count(), names.collect::<Vec<_>>())
    })
    .await?;
    let links = page.links(names.len(), total > page.skip() + names.len())?;
    let mut registers = Vec::with_capacity(names.len());
    // Piece by piece: blocks wait for a read. A register that was only proposed is in the index and not in the state.
    for names in names.chunks(ROWS_READ_MAX) {
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
    view_of(row, &tree, records)
}

/// A register's definition and how far it has come, as they are shown.
pub fn view_of(row: RegisterRow, tree: &TreeRow, records: u64) -> RegisterView {
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

/// The link from a record to all its entries.
pub fn version_history(name: &str, key: &str) -> Links {
    let mut links = Links::default();
    links.add("version-history", &routes::record_entries(name, key));
    links
}
