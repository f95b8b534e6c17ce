//! Reads of sealed values, and who read.

use super::{
    App, QueryOf,
    audit::Candidates,
    page::{CursorPage, Query, known, parsed},
    problem::{Answer, Failure},
    snapshot::{At, json_at, typed},
    transactions::{patience, require_media},
};
use axum::{
    extract::{State, rejection::BytesRejection},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use tallystick_api::{
    AccessLogPage, HeldList, HeldView, Problem, ReadPlace, ReadView, limits::AUDIT_PAGE_MAX, media, routes,
};
use tallystick_protocol::{Commitment, LogEntry, OperationName, Place, Resource, Subject};
use tallystick_storage::history::ActQuery;

/// Reads sealed values: the answer comes once the read is final and accepted, and only to the request that handed it in first.
#[utoipa::path(post, path = routes::READS, tag = "sealed values",
    request_body(
        description = "One signed transaction of `record-read` operations alone",
        content((Vec<u8> = "application/cose")),
    ),
    responses(
        (status = 200, description = "The openings of the values that were asked for", body = Vec<u8>, content_type = "application/vnd.tallystick.reading+cbor"),
        (status = 403, description = "The read is on record, and was refused; or the key is not enrolled", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "A value is not kept here, or a register does not exist", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It was handed in before", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "Another media type", body = Problem, content_type = "application/problem+json"),
        (status = 421, description = "This node does not hold for the register's custodian", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not a read, or it does not say whom a value is about; or as of /v1/transactions", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Busy, not ready, or not final in time", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn read(
    State(app): State<App>,
    QueryOf(query): QueryOf,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Answer<Response> {
    known(&query, &[])?;
    require_media(&headers, media::COSE, "one signed read")?;
    let reading = app.service.read_sealed(body?, patience()).await?;
    let answer = typed(media::READING, reading.to_bytes().to_vec());
    let mut response = At(app.service.tip().header.height, answer).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Who read what is sealed about somebody, newest first; refused reads too.
#[utoipa::path(get, path = routes::ACCESS_LOG, tag = "sealed values",
    params(
        ("subject" = String, Query, description = "Whom the values are about: `register:key`"),
        ("cursor" = Option<u64>, Query, description = "`next` of the page before"),
        ("limit" = Option<u64>, Query, description = "Reads on a page: 100 by default, 1,000 at most"),
    ),
    responses(
        (status = 200, description = "The reads; the Link header leads to older ones", body = AccessLogPage),
        (status = 400, description = "A part of the query is not what it should be", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn access_log(State(app): State<App>, QueryOf(query): QueryOf) -> Answer<Response> {
    known(&query, &["subject", "cursor", "limit"])?;
    let subject = subject_of(&query)?;
    let asked = ActQuery {
        action: Some(OperationName::RecordRead),
        resources: vec![Resource::subject(&subject)],
        ..ActQuery::default()
    };
    let candidates = Candidates::find(&app.service, &asked, CursorPage::of(&query, AUDIT_PAGE_MAX)?).await?;
    let (acts, read) = app.service.acts(&asked, &candidates.leaves).await?;
    let (next, header) = (candidates.next(read), &candidates.header);
    let links = CursorPage::links(routes::ACCESS_LOG, &query, next.as_deref());
    let consents = app.service.consents_read_on(&subject, &acts).await?;
    let reads = acts.iter().flat_map(|act| {
        let LogEntry { height, time_ms, outcome, .. } = &act.entry;
        let place = ReadPlace { leaf: act.leaf, height: *height, time_ms: *time_ms, outcome };
        ReadView::of(Some(&subject), place, &act.transaction)
    });
    let standing = |read: ReadView| match consents.get(&read.register) {
        Some((controller, rows)) => read.standing_on(controller, rows),
        None => read,
    };
    let reads = reads.map(standing).collect();
    let page = AccessLogPage { subject, height: header.height, time_ms: header.time_ms, reads, next };
    Ok((links, json_at(header.height, page)).into_response())
}

/// Where the sealed values about somebody stand that this node keeps; not what they are.
#[utoipa::path(get, path = routes::HELD, tag = "sealed values",
    params(("subject" = String, Query, description = "Whom the values are about: `register:key`")),
    responses(
        (status = 200, description = "The values' places, by register, key and field", body = HeldList),
        (status = 400, description = "A part of the query is not what it should be", body = Problem, content_type = "application/problem+json"),
        (status = 421, description = "This node keeps nothing", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn held(State(app): State<App>, QueryOf(query): QueryOf) -> Answer<Response> {
    known(&query, &["subject"])?;
    let subject = subject_of(&query)?;
    let (node, held) = app.service.held(&subject).await?;
    let view = |(place, commitment, current): (Place, Commitment, bool)| HeldView {
        register: place.register().to_owned(),
        key: place.key().to_owned(),
        field: place.field().to_owned(),
        commitment,
        current,
    };
    let list = HeldList { node, subject, values: held.into_iter().map(view).collect() };
    Ok(json_at(app.service.tip().header.height, list))
}

fn subject_of(query: &Query) -> Result<Subject, Failure> {
    let subject: Option<Subject> = parsed(query, "subject")?;
    subject.ok_or_else(|| Failure::bad_request("say whom it is about: subject=register:key"))
}
