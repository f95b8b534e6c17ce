//! The resources of openregister v1 below a register: its summary, records, entries and items, in JSON and CSV.
//!
//! The index finds keys and items by a hash of 64 bits; what it found is compared before it is served.

use super::{
    App, PathOf, QueryOf, Wanted,
    negotiate::Form,
    page::{EntryPage, Links, RecordPage, known},
    problem::{Answer, Failure},
    registers::{self, Register, no_register, version_history},
    render,
    snapshot::{At, json_at, snapshot, typed},
};
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, header};
use serde::Serialize;
use tallystick_api::{
    Problem, ProblemCode,
    limits::{PAGE_BYTES_MAX, PAGE_DEFAULT, PAGE_MAX, SEARCH_RECORDS_MAX},
    routes,
};
use tallystick_ledger::{entry_leaf::parse_v1_hash, moment::format_timestamp};
use tallystick_protocol::{EntryKind, Phase};
use tallystick_storage::history::Entry;

/// Both forms that openregister's lists have.
const FORMS: &[Form] = &[Form::Json, Form::Csv];
/// Entries read at once: with each comes its whole transaction.
const BATCH: usize = 200;

/// The register in brief.
#[utoipa::path(get, path = routes::REGISTER_SUMMARY, tag = "openregister",
    params(("name" = String, Path, description = "The register's name")),
    responses(
        (status = 200, description = "Counts, definition, custodian, time of the last entry", body = Object),
        (status = 404, description = "No such register", body = Problem, content_type = "application/problem+json"),
        (status = 406, description = "JSON only", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn summary(
    State(app): State<App>,
    PathOf(name): PathOf<String>,
    headers: HeaderMap,
    wanted: Wanted,
) -> Answer<Response> {
    wanted.choose(&[Form::Json])?;
    let register = Register::find(&app.service, &name).await?;
    let domain = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let records = registers::records(&app.service, &name);
    Ok(json_at(register.height, summary_of(register, domain, records)))
}

/// A register in brief, with openregister's members in its order.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Summary {
    domain: String,
    total_records: u64,
    total_entries: u64,
    register_record: SummaryRecord,
    custodian: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_updated: Option<String>,
}

/// The register's own record.
#[derive(Debug, Serialize)]
struct SummaryRecord {
    fields: Vec<String>,
    text: String,
    phase: Phase,
    register: String,
}

fn summary_of(register: Register, domain: &str, records: u64) -> Summary {
    let fields = register.field_names();
    let Register { row, tree, .. } = register;
    Summary {
        domain: domain.to_owned(),
        total_records: records,
        total_entries: tree.user.size(),
        register_record: SummaryRecord { fields, text: row.text, phase: row.phase, register: row.register },
        custodian: row.custodian,
        last_updated: (tree.user.size() > 0).then(|| format_timestamp(tree.user_timestamp)),
    }
}

/// The current records, newest first, page by page.
#[utoipa::path(get, path = routes::RECORDS, tag = "openregister",
    params(
        ("name" = String, Path, description = "The register's name"),
        ("page-index" = Option<u64>, Query, description = "The page, from 1"),
        ("page-size" = Option<u64>, Query, description = "Records on a page: 100 by default, 5,000 at most"),
    ),
    responses(
        (status = 200, description = "The records; the Link header leads to the next page", content((Object = "application/json"), (String = "text/csv"))),
        (status = 404, description = "No such register or page", body = Problem, content_type = "application/problem+json"),
        (status = 406, description = "JSON and CSV only", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn records(
    State(app): State<App>,
    PathOf(name): PathOf<String>,
    QueryOf(query): QueryOf,
    wanted: Wanted,
) -> Answer<Response> {
    known(&query, &["page-index", "page-size"])?;
    let (form, page) = (wanted.choose(FORMS)?, RecordPage::of(&query, PAGE_DEFAULT, PAGE_MAX)?);
    let found = snapshot(&app.service, |history, tip| {
        let register = history.register(&name)?;
        let numbers: Vec<u64> = register.current(EntryKind::User).skip(page.skip()).take(page.size()).collect();
        Some((tip.header.height, register.records(EntryKind::User) as usize, numbers))
    });
    let (height, total, numbers) = found.await?.ok_or_else(|| no_register(&name))?;
    let links = page.links(numbers.len(), total > page.skip() + numbers.len())?;
    let records = read_page(&app, &name, &numbers).await?;
    Ok((links, records_as(&app, form, height, &name, &records).await?).into_response())
}

/// The entries of these numbers, within the bytes that a page may have.
async fn read_page(app: &App, name: &str, numbers: &[u64]) -> Answer<Vec<Entry>> {
    let (mut page, mut bytes) = (Vec::with_capacity(numbers.len()), 0);
    for batch in numbers.chunks(BATCH) {
        for entry in app.service.entries_at(name, EntryKind::User, batch).await? {
            take(&mut page, &mut bytes, entry)?;
        }
    }
    Ok(page)
}

/// Puts an entry on the page, unless that makes it too large.
fn take(page: &mut Vec<Entry>, bytes: &mut usize, entry: Entry) -> Result<(), Failure> {
    *bytes += entry.items.iter().map(|(_, item)| item.len()).sum::<usize>();
    if *bytes > PAGE_BYTES_MAX {
        let detail = format!(
            "{} of them are more than {PAGE_BYTES_MAX} bytes: ask for fewer on a page, with `limit` or `page-size`",
            page.len() + 1
        );
        return Err(Failure::bad_request(detail));
    }
    page.push(entry);
    Ok(())
}

async fn records_as(app: &App, form: Form, height: u64, name: &str, records: &[Entry]) -> Answer<Response> {
    let body = match form {
        Form::Csv => render::records_csv(records, &Register::find(&app.service, name).await?.field_names()),
        _ => render::records_json(records),
    };
    Ok(At(height, typed(form.media_type(), body)).into_response())
}

fn entries_as(form: Form, height: u64, entries: &[Entry]) -> Response {
    let body = match form {
        Form::Csv => render::entries_csv(entries),
        _ => render::entries_json(entries),
    };
    At(height, typed(form.media_type(), body)).into_response()
}

/// One record: the latest entry of a key, with its items.
#[utoipa::path(get, path = routes::RECORD, tag = "openregister",
    params(
        ("name" = String, Path, description = "The register's name"),
        ("key" = String, Path, description = "The record's key, percent-encoded"),
    ),
    responses(
        (status = 200, description = "The record; Link rel=version-history leads to all its entries", content((Object = "application/json"), (String = "text/csv"))),
        (status = 404, description = "No such register or record", body = Problem, content_type = "application/problem+json"),
        (status = 406, description = "JSON and CSV only", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn record(
    State(app): State<App>,
    PathOf((name, key)): PathOf<(String, String)>,
    wanted: Wanted,
) -> Answer<Response> {
    let form = wanted.choose(FORMS)?;
    let (height, record) = find_record(&app, &name, &key).await?;
    let record = record.ok_or_else(|| no_record(&name, &key))?;
    let links = version_history(&name, &key);
    Ok((links, records_as(&app, form, height, &name, &[record]).await?).into_response())
}

async fn find_record(app: &App, name: &str, key: &str) -> Answer<(u64, Option<Entry>)> {
    let found = snapshot(&app.service, |history, tip| {
        let register = history.register(name)?;
        Some((tip.header.height, register.record(EntryKind::User, key)))
    });
    let (height, number) = found.await?.ok_or_else(|| no_register(name))?;
    let Some(number) = number else { return Ok((height, None)) };
    let record = app.service.entry(name, EntryKind::User, number).await?;
    Ok((height, record.filter(|record| record.key == key)))
}

fn no_record(name: &str, key: &str) -> Failure {
    let shown: String = key.chars().take(80).collect();
    let receipt = routes::record_receipt(name, &shown);
    Failure::not_found(format!("register `{name}` has no record `{shown}`; {receipt} proves that"))
}

/// All entries of one key, oldest first.
#[utoipa::path(get, path = routes::RECORD_ENTRIES, tag = "openregister",
    params(
        ("name" = String, Path, description = "The register's name"),
        ("key" = String, Path, description = "The record's key, percent-encoded"),
        ("page-index" = Option<u64>, Query, description = "The page, from 1"),
        ("page-size" = Option<u64>, Query, description = "Entries on a page: 5,000 at most and by default"),
    ),
    responses(
        (status = 200, description = "The entries", content((Vec<Object> = "application/json"), (String = "text/csv"))),
        (status = 404, description = "No such register or record", body = Problem, content_type = "application/problem+json"),
        (status = 406, description = "JSON and CSV only", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn record_entries(
    State(app): State<App>,
    PathOf((name, key)): PathOf<(String, String)>,
    QueryOf(query): QueryOf,
    wanted: Wanted,
) -> Answer<Response> {
    known(&query, &["page-index", "page-size"])?;
    let (form, page) = (wanted.choose(FORMS)?, RecordPage::of(&query, PAGE_MAX, PAGE_MAX)?);
    let found = snapshot(&app.service, |history, tip| {
        let register = history.register(&name)?;
        let (total, numbers) = register.page_of(EntryKind::User, &key, page.skip(), page.size());
        Some((tip.header.height, total, numbers))
    });
    let (height, total, numbers) = found.await?.ok_or_else(|| no_register(&name))?;
    if total == 0 {
        return Err(no_record(&name, &key));
    }
    let links = page.links(numbers.len(), total > page.skip() + numbers.len())?;
    let mut entries = read_page(&app, &name, &numbers).await?;
    entries.retain(|entry| entry.key == key);
    if entries.is_empty() {
        return Err(no_record(&name, &key));
    }
    Ok((links, entries_as(form, height, &entries)).into_response())
}

/// The current records whose field has a value, newest first.
#[utoipa::path(get, path = routes::RECORDS_WITH, tag = "openregister",
    params(
        ("name" = String, Path, description = "The register's name"),
        ("field" = String, Path, description = "A field of the register"),
        ("value" = String, Path, description = "Its value, or one of its values; percent-encoded"),
        ("page-index" = Option<u64>, Query, description = "The page, from 1"),
        ("page-size" = Option<u64>, Query, description = "Records on a page: 100 by default, 5,000 at most"),
    ),
    responses(
        (status = 200, description = "The records; the Link header leads to the next page", content((Object = "application/json"), (String = "text/csv"))),
        (status = 404, description = "No such register or field", body = Problem, content_type = "application/problem+json"),
        (status = 406, description = "JSON and CSV only", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Too many records to search", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn records_with(
    State(app): State<App>,
    PathOf((name, field, value)): PathOf<(String, String, String)>,
    QueryOf(query): QueryOf,
    wanted: Wanted,
) -> Answer<Response> {
    known(&query, &["page-index", "page-size"])?;
    let (form, page) = (wanted.choose(FORMS)?, RecordPage::of(&query, PAGE_DEFAULT, PAGE_MAX)?);
    let register = Register::find(&app.service, &name).await?;
    if register.row.fields.iter().all(|known| known.name != field) {
        let shown: String = field.chars().take(80).collect();
        let detail = format!("register `{name}` has no field `{shown}`: {} lists its fields", routes::register(&name));
        return Err(Failure::not_found(detail));
    }
    let found = snapshot(&app.service, |history, tip| {
        let current = history.register(&name)?.current(EntryKind::User);
        Some((tip.header.height, current.take(SEARCH_RECORDS_MAX + 1).collect::<Vec<_>>()))
    });
    let (height, numbers) = found.await?.ok_or_else(|| no_register(&name))?;
    let (records, has_next) =
        search(&app, &name, &numbers, page, |item| render::item_has(item, &field, &value)).await?;
    let links = page.links(records.len(), has_next)?;
    Ok((links, records_as(&app, form, height, &name, &records).await?).into_response())
}

/// Reads records until the page is full and the next one is known to exist or not.
async fn search(
    app: &App,
    name: &str,
    numbers: &[u64],
    page: RecordPage,
    matches: impl Fn(&str) -> bool,
) -> Answer<(Vec<Entry>, bool)> {
    let (mut skip, mut found, mut bytes) = (page.skip(), Vec::new(), 0);
    let searched = numbers.get(..SEARCH_RECORDS_MAX).unwrap_or(numbers);
    for batch in searched.chunks(BATCH) {
        for record in app.service.entries_at(name, EntryKind::User, batch).await? {
            if !record.items.iter().any(|(_, item)| matches(item)) {
                continue;
            }
            if skip > 0 {
                skip -= 1;
            } else if found.len() == page.size() {
                return Ok((found, true));
            } else {
                take(&mut found, &mut bytes, record)?;
            }
        }
    }
    if searched.len() < numbers.len() {
        let detail = format!(
            "the newest {SEARCH_RECORDS_MAX} records do not fill the page: download the register ({}) and search it",
            routes::download(name)
        );
        return Err(Failure::new(ProblemCode::Timeout, detail));
    }
    Ok((found, false))
}

/// Entries in the order of their numbers.
#[utoipa::path(get, path = routes::ENTRIES, tag = "openregister",
    params(
        ("name" = String, Path, description = "The register's name"),
        ("start" = Option<u64>, Query, description = "The first entry's number, from 1"),
        ("limit" = Option<u64>, Query, description = "Entries on a page: 100 by default, 5,000 at most"),
    ),
    responses(
        (status = 200, description = "The entries; the Link header leads to the next page", content((Vec<Object> = "application/json"), (String = "text/csv"))),
        (status = 404, description = "No such register", body = Problem, content_type = "application/problem+json"),
        (status = 406, description = "JSON and CSV only", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn entries(
    State(app): State<App>,
    PathOf(name): PathOf<String>,
    QueryOf(query): QueryOf,
    wanted: Wanted,
) -> Answer<Response> {
    known(&query, &["start", "limit"])?;
    let form = wanted.choose(FORMS)?;
    let found = snapshot(&app.service, |history, tip| {
        Some((tip.header.height, history.register(&name)?.count(EntryKind::User)))
    });
    let (height, total) = found.await?.ok_or_else(|| no_register(&name))?;
    let page = EntryPage::of(&query, total)?;
    let numbers: Vec<u64> = page.numbers().collect();
    let entries = read_page(&app, &name, &numbers).await?;
    Ok((page.links(), entries_as(form, height, &entries)).into_response())
}

/// One entry, as a list of one.
#[utoipa::path(get, path = routes::ENTRY, tag = "openregister",
    params(
        ("name" = String, Path, description = "The register's name"),
        ("number" = u64, Path, description = "The entry's number, from 1"),
    ),
    responses(
        (status = 200, description = "The entry; if it was wrong, the Link header leads to the one that corrects it (successor-version), and to why (describedby)", content((Vec<Object> = "application/json"), (String = "text/csv"))),
        (status = 404, description = "No such register or entry", body = Problem, content_type = "application/problem+json"),
        (status = 406, description = "JSON and CSV only", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn entry(
    State(app): State<App>,
    PathOf((name, number)): PathOf<(String, u64)>,
    wanted: Wanted,
) -> Answer<Response> {
    let form = wanted.choose(FORMS)?;
    let found = snapshot(&app.service, |history, tip| {
        Some((tip.header.height, history.register(&name)?.count(EntryKind::User)))
    });
    let (height, total) = found.await?.ok_or_else(|| no_register(&name))?;
    let entry = app.service.entry(&name, EntryKind::User, number).await?;
    let entry = entry.ok_or_else(|| {
        Failure::not_found(format!("register `{name}` has no entry {number}: its entries are numbered 1 to {total}"))
    })?;
    Ok((correction_links(&app, &name, number).await?, entries_as(form, height, &[entry])).into_response())
}

/// Links from an entry that was wrong to the one that corrects it, and to why. They stand beside the answer, which stays what its hash
/// was made of.
async fn correction_links(app: &App, name: &str, number: u64) -> Answer<Links> {
    let mut links = Links::default();
    let found = app.service.corrections(name, &[number]).await?;
    for mark in found.into_iter().flat_map(|(_, marks)| marks) {
        links.add("successor-version", &routes::entry(name, mark.entry));
        links.add("describedby", &routes::record_corrections(name, &mark.key));
    }
    Ok(links)
}

/// One item, by the SHA-256 of its canonical JSON.
#[utoipa::path(get, path = routes::ITEM, tag = "openregister",
    params(
        ("name" = String, Path, description = "The register's name"),
        ("hash" = String, Path, description = "`sha-256:` and 64 hexadecimal digits"),
    ),
    responses(
        (status = 200, description = "The item's canonical JSON, or CSV", content((Object = "application/json"), (String = "text/csv"))),
        (status = 404, description = "No such register or item", body = Problem, content_type = "application/problem+json"),
        (status = 406, description = "JSON and CSV only", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn item(
    State(app): State<App>,
    PathOf((name, hash)): PathOf<(String, String)>,
    wanted: Wanted,
) -> Answer<Response> {
    let form = wanted.choose(FORMS)?;
    let shown: String = hash.chars().take(80).collect();
    let hash = parse_v1_hash(&hash).ok_or_else(|| {
        Failure::not_found(format!(
            "`{shown}` is no item's hash: write `sha-256:` and 64 lower-case hexadecimal digits"
        ))
    })?;
    let found = snapshot(&app.service, |history, tip| Some((tip.header.height, history.register(&name)?.item(&hash))));
    let (height, place) = found.await?.ok_or_else(|| no_register(&name))?;
    let no_item = || Failure::not_found(format!("register `{name}` has no item `{shown}`: check the hash"));
    let place = place.ok_or_else(no_item)?;
    let entry = app.service.entry(&name, place.kind, place.number).await?.ok_or_else(no_item)?;
    let (_, item) = entry.items.into_iter().find(|(held, _)| *held == hash).ok_or_else(no_item)?;
    let body = match form {
        Form::Csv => render::item_csv(&item, &Register::find(&app.service, &name).await?.field_names()),
        _ => item,
    };
    Ok((Links::default(), At(height, typed(form.media_type(), body))).into_response())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tallystick_ledger::state::TreeRow;
    use tallystick_protocol::{Cardinality, Datatype, Field, Frontier, Hash, RegisterRow};

    #[test]
    fn a_page_is_bounded_in_bytes() {
        let entry = |len: usize| Entry {
            number: 1,
            kind: EntryKind::User,
            key: "A".to_owned(),
            timestamp: 0,
            items: vec![(Hash([0; 32]), "x".repeat(len))],
            leaf: 0,
        };
        let (mut page, mut bytes) = (Vec::new(), 0);
        assert!(take(&mut page, &mut bytes, entry(PAGE_BYTES_MAX - 1)).is_ok());
        let refused = take(&mut page, &mut bytes, entry(2)).map_err(|failure| failure.problem().clone());
        assert!(refused.is_err_and(|problem| problem.status == 400 && problem.detail.contains("`page-size`")));
        assert_eq!(page.len(), 1);
    }

    #[test]
    fn a_summary_has_openregisters_members() {
        let field = |name: &str| Field {
            name: name.to_owned(),
            datatype: Datatype::String,
            cardinality: Cardinality::One,
            register: None,
            text: String::new(),
            protection: None,
        };
        let mut user = Frontier::default();
        let row = RegisterRow {
            register: "country".to_owned(),
            number: 1,
            custodian: "fco".to_owned(),
            phase: Phase::Live,
            successor: None,
            fields: vec![field("country"), field("name")],
            text: "Countries".to_owned(),
            created: 0,
        };
        let tree = TreeRow { user: user.clone(), user_timestamp: 0, ..TreeRow::default() };
        let empty = Register { height: 3, row: row.clone(), tree };
        assert_eq!(summary_of(empty, "localhost", 0).last_updated, None);

        user.append(Hash([1; 32]));
        let tree = TreeRow { user, user_timestamp: 1_456_794_123, ..TreeRow::default() };
        let summary = summary_of(Register { height: 3, row, tree }, "localhost:8080", 1);
        assert_eq!(
            serde_json::to_string(&summary).unwrap(),
            r#"{"domain":"localhost:8080","total-records":1,"total-entries":1,"register-record":{"fields":["country","name"],"text":"Countries","phase":"live","register":"country"},"custodian":"fco","last-updated":"2016-03-01T01:02:03Z"}"#
        );
    }
}
