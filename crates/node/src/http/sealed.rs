//! Transactions with what opens the values sealed in them.

use super::{
    App, QueryOf, page,
    problem::{Answer, Failure},
    transactions::{require_media, settle_one, wants_outcome},
};
use crate::service::{WaitError, sealed::SealedError};
use axum::{
    extract::{State, rejection::BytesRejection},
    response::Response,
};
use bytes::Bytes;
use http::HeaderMap;
use tallystick_api::{Problem, ProblemCode, TransactionAccepted, TransactionStatus, media, routes};
use tallystick_protocol::SealedSubmission;
use tallystick_storage::vault::VaultError;

/// Submits one transaction with the openings of the values sealed in it. This node keeps them, alone: whoever hands them in gives them to
/// each other node that is to have them too.
#[utoipa::path(post, path = routes::SEALED, tag = "sealed values",
    params(("wait" = Option<String>, Query, description = "`finalised` waits for the outcome, within the request's time limit")),
    request_body(
        description = "A signed transaction and its openings; see docs/reference/formats.md",
        content((Vec<u8> = "application/vnd.tallystick.sealed+cbor")),
    ),
    responses(
        (status = 202, description = "Kept and taken", body = TransactionAccepted),
        (status = 200, description = "Final, whatever the outcome; openings of a refused transaction go again", body = TransactionStatus),
        (status = 400, description = "Not a transaction with openings", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "A register does not exist", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "Another media type", body = Problem, content_type = "application/problem+json"),
        (status = 421, description = "This node does not hold for the register's custodian", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "An opening does not fit, or is missing; or as of /v1/transactions", body = Problem, content_type = "application/problem+json"),
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
    require_media(&headers, media::SEALED, "a transaction and its openings")?;
    let submission = SealedSubmission::decode(&body?).map_err(|error| {
        let detail =
            format!("the body is no transaction with its openings: {error}: make it with `tally register append`");
        Failure::new(ProblemCode::Malformed, detail)
    })?;
    let id = app.service.submit_sealed(submission).await?;
    settle_one(&app.service, id, wait).await
}

/// What is told to whoever asks for what lies in a damaged file.
const DAMAGED: &str = "what this node keeps of this person is damaged: ask another node that holds it, with --node, or whoever runs this one \
                       to restore its vault as its log says";

impl From<SealedError> for Failure {
    fn from(error: SealedError) -> Self {
        let code = match &error {
            SealedError::Rejected(rejection) => return Self::from(rejection),
            SealedError::Read(_) => return Self::unavailable(error.to_string()),
            SealedError::NotHolder(_) | SealedError::OtherHolder { .. } => ProblemCode::NotHolder,
            SealedError::NoRegister(_) => ProblemCode::NotFound,
            SealedError::Misfit(_) => ProblemCode::OpeningMisfit,
            SealedError::Missing(_) => ProblemCode::OpeningMissing,
            SealedError::Erased(_) | SealedError::ReadErased(_) => ProblemCode::ValueErased,
            SealedError::NotReads => ProblemCode::NotARead,
            SealedError::Subject(_) => ProblemCode::ReadSubject,
            SealedError::ReadKnown => ProblemCode::ReadKnown,
            SealedError::Refused(_) => ProblemCode::ReadRefused,
            SealedError::Unsettled(WaitError::Expired) => ProblemCode::Expired,
            SealedError::Unsettled(_) => ProblemCode::Timeout,
            SealedError::Absent(_) => ProblemCode::ValueAbsent,
            SealedError::Vault(VaultError::Full) => ProblemCode::VaultFull,
            SealedError::Vault(VaultError::Busy) => return Self::unavailable(error.to_string()),
            // Not which file: that is for whoever runs the node, with the remedy.
            SealedError::Vault(VaultError::Damaged(_)) => {
                tracing::error!(%error, "a request failed");
                return Self::new(ProblemCode::Internal, DAMAGED);
            }
            SealedError::Vault(_) => return Self::internal(error),
        };
        Self::new(code, error.to_string())
    }
}
