//! Transactions: handed in, looked up, proved.

use super::{
    App, PathOf, QueryOf, Service, Wanted,
    negotiate::Form,
    page,
    problem::{Answer, Failure, rejected_result},
    sequence::{self, SequenceError},
    snapshot::{At, json_at, typed},
};
use crate::{
    certify::CertifyError,
    chain::Finalised,
    rejection::Rejection,
    service::{TransactionState, WaitError},
};
use axum::{
    Json,
    extract::{State, rejection::BytesRejection},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::future::join_all;
use http::{HeaderMap, StatusCode, header};
use std::time::Duration;
use tallystick_api::{
    CosignerView, OperationView, OutcomeView, Problem, ProblemCode, SubmissionResult, SubmissionStatus,
    SubmissionsView, TransactionAccepted, TransactionStatus, TransactionView,
    limits::{SUBMISSIONS_MAX, WAIT_SECONDS_MAX},
    media, routes,
};
use tallystick_protocol::{Hash, Receipt, SignedTransaction};

/// What a client that waited in vain should wait before it asks again.
const AGAIN_MS: u64 = 1_000;

/// Submits one transaction or a sequence of them.
#[utoipa::path(post, path = routes::TRANSACTIONS, tag = "transactions",
    params(("wait" = Option<String>, Query, description = "`finalised` waits for the outcome, within the request's time limit")),
    request_body(
        description = "One COSE_Sign1 (`application/cose`), or several one after another (`application/cbor-seq`)",
        content((Vec<u8> = "application/cose"), (Vec<u8> = "application/cbor-seq")),
    ),
    responses(
        (status = 202, description = "Taken: one transaction", body = TransactionAccepted),
        (status = 200, description = "Final, whatever the outcome: one transaction, with `wait`. A sequence is answered with a result for each: 200 when every one is settled, else 202", body = TransactionStatus),
        (status = 400, description = "No transaction", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Key not enrolled, or a signature that does not fit", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The idempotency key was used for another transaction", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "Neither of the two media types", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Another network's, expired, or dated too far ahead", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Busy or not ready: see Retry-After", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn submit(
    State(app): State<App>,
    QueryOf(query): QueryOf,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Answer<Response> {
    page::known(&query, &["wait"])?;
    let wait = wants_outcome(&query)?;
    let form = body_form(&headers)?;
    let body = body?;
    match form {
        BodyForm::One => submit_one(&app.service, body, wait).await,
        BodyForm::Sequence => submit_sequence(&app.service, &body, wait).await,
    }
}

/// A body's form, by its media type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BodyForm {
    One,
    Sequence,
}

/// The body's media type without its parameters, in lower case.
pub fn body_essence(headers: &HeaderMap) -> String {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Goes on only if the body is of this media type.
pub fn require_media(headers: &HeaderMap, media: &str, what: &str) -> Result<(), Failure> {
    if body_essence(headers) == media {
        return Ok(());
    }
    Err(Failure::new(ProblemCode::UnsupportedMediaType, format!("send {what} as {media}")))
}

fn body_form(headers: &HeaderMap) -> Result<BodyForm, Failure> {
    let essence = body_essence(headers);
    if essence == media::COSE {
        return Ok(BodyForm::One);
    }
    if essence == media::CBOR_SEQ {
        return Ok(BodyForm::Sequence);
    }
    let shown: String = essence.chars().take(80).collect();
    Err(Failure::new(
        ProblemCode::UnsupportedMediaType,
        format!("the body is `{shown}`: send one transaction as {}, or several as {}", media::COSE, media::CBOR_SEQ),
    ))
}

/// Whether the query asks to wait until the transaction is final.
pub fn wants_outcome(query: &page::Query) -> Result<bool, Failure> {
    match query.get("wait").map(String::as_str) {
        None => Ok(false),
        Some("finalised") => Ok(true),
        Some(other) => Err(Failure::bad_request(format!("`wait` is `{other}`: write wait=finalised, or leave it out"))),
    }
}

async fn submit_one(service: &Service, body: Bytes, wait: bool) -> Answer<Response> {
    let taken = service.submit(vec![body]).await.pop();
    let taken = taken.ok_or_else(|| Failure::internal("no verdict on a submitted transaction"))?;
    settle_one(service, taken.map_err(|rejection| Failure::from(&rejection))?, wait).await
}

/// The answer for a transaction that was taken.
pub async fn settle_one(service: &Service, id: Hash, wait: bool) -> Answer<Response> {
    if !wait {
        return Ok(accepted(id));
    }
    match service.finalised(&id, patience()).await {
        Ok(finalised) => Ok(json_at(service.tip().header.height, status_of(id, Some(&finalised), None))),
        Err(WaitError::TimedOut) => Ok(accepted(id)),
        Err(error) => Err(lost(error)),
    }
}

/// The transaction was taken and will not be applied.
fn lost(error: WaitError) -> Failure {
    match error {
        WaitError::Expired => Failure::new(ProblemCode::Expired, error.to_string()),
        WaitError::TimedOut | WaitError::Unknown => Failure::busy(
            "this node had to make room and dropped the transaction before it was ordered: send it again, unchanged",
            AGAIN_MS,
        ),
    }
}

/// How long to wait until a transaction is final.
pub const fn patience() -> Duration {
    Duration::from_secs(WAIT_SECONDS_MAX)
}

fn accepted(id: Hash) -> Response {
    let location = [(header::LOCATION, routes::transaction(&id))];
    (StatusCode::ACCEPTED, location, Json(TransactionAccepted { id })).into_response()
}

async fn submit_sequence(service: &Service, body: &Bytes, wait: bool) -> Answer<Response> {
    let taken = service.submit(split(body)?).await;
    if let Some(Err(first)) = taken.first()
        && taken.iter().all(Result::is_err)
    {
        let results = taken.iter().filter_map(|taken| taken.as_ref().err()).map(rejected_result).collect();
        return Err(Failure::rejected(first, results));
    }
    let results = if wait {
        join_all(taken.iter().map(|taken| settled(service, taken))).await
    } else {
        taken.iter().map(pending).collect()
    };
    let view = SubmissionsView::new(results);
    let status = if wait && view.is_settled() { StatusCode::OK } else { StatusCode::ACCEPTED };
    let height = service.tip().header.height;
    Ok(At(height, (status, Json(view))).into_response())
}

/// The transactions of a sequence.
pub fn split(body: &Bytes) -> Result<Vec<Bytes>, Failure> {
    sequence::split(body, SUBMISSIONS_MAX).map_err(|error| {
        let code = match error {
            SequenceError::TooMany(_) => ProblemCode::BodyTooLarge,
            SequenceError::Empty | SequenceError::Malformed(_) => ProblemCode::Malformed,
        };
        Failure::new(code, error.to_string())
    })
}

fn pending(taken: &Result<Hash, Rejection>) -> SubmissionResult {
    match taken {
        Ok(id) => SubmissionResult::pending(*id),
        Err(rejection) => rejected_result(rejection),
    }
}

async fn settled(service: &Service, taken: &Result<Hash, Rejection>) -> SubmissionResult {
    let Ok(id) = taken else { return pending(taken) };
    match service.finalised(id, patience()).await {
        Ok(finalised) => SubmissionResult::finalised(*id, finalised.index, OutcomeView::from(&finalised.outcome)),
        Err(WaitError::TimedOut) => SubmissionResult::pending(*id),
        Err(error) => {
            let failure = lost(error);
            let problem = failure.problem();
            SubmissionResult::rejected(problem.code.clone(), problem.detail.clone(), problem.retry_after_ms)
        }
    }
}

/// A transaction and where it stands.
#[utoipa::path(get, path = routes::TRANSACTION, tag = "transactions",
    params(("id" = String, Path, description = "The transaction's id: 64 hexadecimal digits")),
    responses(
        (status = 200, description = "Pending or final", body = TransactionStatus),
        (status = 404, description = "This node has never heard of it", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn transaction(State(app): State<App>, PathOf(id): PathOf<Hash>) -> Answer<Response> {
    let height = app.service.tip().header.height;
    let status = match app.service.transaction(&id).await {
        None => return Err(unknown(&id)),
        Some(TransactionState::Pending) => status_of(id, None, None),
        Some(TransactionState::Finalised(finalised)) => {
            let entry = app.service.log_entry(finalised.index).await?;
            let signed = entry.and_then(|entry| SignedTransaction::decode(entry.transaction).ok());
            status_of(id, Some(&finalised), signed.as_ref())
        }
    };
    Ok(json_at(height.max(status.height.unwrap_or_default()), status))
}

fn unknown(id: &Hash) -> Failure {
    Failure::not_found(format!(
        "this node knows no transaction {id}: check the id, ask the node you sent it to, or send it again"
    ))
}

fn status_of(id: Hash, finalised: Option<&Finalised>, signed: Option<&SignedTransaction>) -> TransactionStatus {
    TransactionStatus {
        id,
        status: if finalised.is_some() { SubmissionStatus::Finalised } else { SubmissionStatus::Pending },
        index: finalised.map(|finalised| finalised.index),
        height: finalised.map(|finalised| finalised.height),
        time_ms: finalised.map(|finalised| finalised.time_ms),
        outcome: finalised.map(|finalised| OutcomeView::from(&finalised.outcome)),
        transaction: signed.map(|signed| TransactionView {
            principal: signed.principal().to_string(),
            key: signed.key().to_string(),
            mandate: signed.mandate().map(ToString::to_string),
            cosigners: signed.cosigners().iter().map(CosignerView::from).collect(),
            subject: signed.subject().to_owned(),
            not_after: signed.not_after(),
            idempotency_key: hex::encode(signed.idempotency_key()),
            operations: signed.operations().iter().map(OperationView::from).collect(),
        }),
    }
}

/// The receipt of a final transaction, to be checked offline.
#[utoipa::path(get, path = routes::TRANSACTION_RECEIPT, tag = "transactions",
    params(("id" = String, Path, description = "The transaction's id: 64 hexadecimal digits")),
    responses(
        (status = 200, description = "The receipt", body = Vec<u8>, content_type = "application/vnd.tallystick.receipt+cbor"),
        (status = 404, description = "This node has never heard of the transaction", body = Problem, content_type = "application/problem+json"),
        (status = 406, description = "A receipt has one form", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Not final yet", body = Problem, content_type = "application/problem+json"),
    ))]
pub async fn receipt(State(app): State<App>, PathOf(id): PathOf<Hash>, wanted: Wanted) -> Answer<Response> {
    wanted.choose(&[Form::Receipt])?;
    match app.service.transaction(&id).await {
        None => return Err(unknown(&id)),
        Some(TransactionState::Pending) => {
            let detail = format!("transaction {id} is not final yet, so there is no proof: try again in a moment");
            return Err(Failure::new(ProblemCode::NotFinalised, detail));
        }
        Some(TransactionState::Finalised(_)) => {}
    }
    let receipt = app.service.receipt(&id).await?;
    let height = receipt.finality.headers.first().map_or(receipt.height, |header| header.height);
    Ok(receipt_at(height, &Receipt::Transaction(receipt)))
}

/// A receipt against the block at `height`.
pub fn receipt_at(height: u64, receipt: &Receipt) -> Response {
    At(height, typed(media::RECEIPT, receipt.to_bytes())).into_response()
}

impl From<CertifyError> for Failure {
    fn from(error: CertifyError) -> Self {
        match error {
            CertifyError::NotFound(detail) => Self::not_found(detail),
            CertifyError::TooMany(_) => Self::bad_request(error.to_string()),
            CertifyError::Read(error) => Self::from(error),
            _ => Self::unavailable(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use http::HeaderValue;
    use tallystick_protocol::{Decision, Outcome};

    fn content_type(value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(value))])
    }

    #[test]
    fn the_media_type_says_how_many_there_are() {
        for (value, expected) in [
            ("application/cose", Some(BodyForm::One)),
            ("application/cose; cose-type=\"cose-sign1\"", Some(BodyForm::One)),
            ("Application/CBOR-seq", Some(BodyForm::Sequence)),
            ("application/cbor", None),
            ("application/json", None),
        ] {
            assert_eq!(body_form(&content_type(value)).ok(), expected, "{value}");
        }
        let failure = body_form(&HeaderMap::new()).unwrap_err();
        assert_eq!(failure.problem().status, 415);
        assert!(failure.problem().detail.contains(media::CBOR_SEQ));
    }

    #[test]
    fn waiting_is_asked_for_by_name() {
        let query = |value: &str| page::Query::from([("wait".to_owned(), value.to_owned())]);
        assert!(!wants_outcome(&page::Query::new()).unwrap());
        assert!(wants_outcome(&query("finalised")).unwrap());
        assert_eq!(wants_outcome(&query("finalized")).unwrap_err().problem().code, "bad-request");
    }

    #[test]
    fn a_transaction_that_will_not_be_applied_says_whether_to_send_it_again() {
        let expired = lost(WaitError::Expired);
        assert_eq!((expired.problem().status, expired.problem().retry_after_ms), (422, None));
        let dropped = lost(WaitError::Unknown);
        assert_eq!((dropped.problem().status, dropped.problem().retry_after_ms), (503, Some(AGAIN_MS)));
    }

    #[test]
    fn a_status_holds_what_is_known() {
        let id = Hash([7; 32]);
        let json = serde_json::to_value(status_of(id, None, None)).unwrap();
        assert_eq!(json, serde_json::json!({ "id": id.to_string(), "status": "pending" }));
        let finalised = Finalised {
            index: 3,
            height: 2,
            time_ms: 1_000,
            outcome: Outcome::Accepted { appended: Vec::new(), decision: Decision::default() },
        };
        let json = serde_json::to_value(status_of(id, Some(&finalised), None)).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "id": id.to_string(), "status": "finalised", "index": 3, "height": 2, "time_ms": 1000,
                "outcome": {
                    "result": "accepted", "appended": [],
                    "decision": { "version": 0, "determining": [], "skipped": [] },
                },
            })
        );
    }
}
