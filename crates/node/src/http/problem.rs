//! Errors as answers: problem details (RFC 9457) with the status of their code.

use crate::rejection::Rejection;
use axum::{
    body::Body,
    extract::rejection::{BytesRejection, PathRejection, QueryRejection},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use std::time::Duration;
use tallystick_api::{Problem, ProblemCode, SubmissionResult, limits::BODY_BYTES_MAX, media};

/// What a handler returns instead of its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure(Box<Problem>);

/// A handler's answer.
pub type Answer<T> = Result<T, Failure>;

impl Failure {
    /// A problem of this code; `detail` names the thing and the remedy.
    pub fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self(Box::new(Problem::new(code, detail)))
    }

    /// A part of the path or the query is wrong.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(ProblemCode::BadRequest, detail)
    }

    /// No such thing.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(ProblemCode::NotFound, detail)
    }

    /// Try again shortly.
    pub fn busy(detail: impl Into<String>, retry_after_ms: u64) -> Self {
        Self(Box::new(Problem::new(ProblemCode::Busy, detail).retry_after_ms(retry_after_ms)))
    }

    /// The node does not serve this just now.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self(Box::new(Problem::new(ProblemCode::Unavailable, detail).retry_after_ms(1_000)))
    }

    /// This server failed. The caller is told that and no more; `cause` goes to the log.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!(%cause, "a request failed");
        Self::new(ProblemCode::Internal, "this node failed to answer; its log says why: try again, or ask another node")
    }

    /// Every transaction of a request was rejected: the first one's problem, and all results.
    pub fn rejected(rejection: &Rejection, results: Vec<SubmissionResult>) -> Self {
        let mut failure = Self::from(rejection);
        failure.0.results = results;
        failure
    }

    /// The problem.
    pub fn problem(&self) -> &Problem {
        &self.0
    }
}

/// Milliseconds, rounded up.
fn ceiling_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX)
}

/// One rejected transaction of several.
pub fn rejected_result(rejection: &Rejection) -> SubmissionResult {
    SubmissionResult::rejected(
        rejection.code.as_str().to_owned(),
        rejection.detail.clone(),
        rejection.retry_after.map(ceiling_ms),
    )
}

impl From<&Rejection> for Failure {
    fn from(rejection: &Rejection) -> Self {
        let code = ProblemCode::of(rejection.code.as_str()).unwrap_or(ProblemCode::BadRequest);
        let mut problem = Problem::new(code, rejection.detail.clone());
        problem.retry_after_ms = rejection.retry_after.map(ceiling_ms);
        Self(Box::new(problem))
    }
}

impl From<PathRejection> for Failure {
    fn from(rejection: PathRejection) -> Self {
        Self::bad_request(format!("the path cannot be read: {}: correct that part of it", rejection.body_text()))
    }
}

impl From<QueryRejection> for Failure {
    fn from(rejection: QueryRejection) -> Self {
        Self::bad_request(format!("the query cannot be read: {}: write it as name=value&…", rejection.body_text()))
    }
}

impl From<BytesRejection> for Failure {
    fn from(rejection: BytesRejection) -> Self {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            let detail = format!("the body is more than {BODY_BYTES_MAX} bytes: send fewer transactions at once");
            return Self::new(ProblemCode::BodyTooLarge, detail);
        }
        Self::bad_request(format!("the body did not arrive whole: {}: send it again", rejection.body_text()))
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let problem = *self.0;
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media::PROBLEM));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(ms) = problem.retry_after_ms {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(ms.div_ceil(1_000).max(1)));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::rejection::RejectionCode;

    #[test]
    fn every_rejection_has_its_problem() {
        for code in RejectionCode::ALL {
            assert!(ProblemCode::of(code.as_str()).is_some(), "{code} is no problem code: add it to the api crate");
        }
    }

    #[test]
    fn busy_says_when_to_come_back() {
        let rejection = Rejection {
            code: RejectionCode::Busy,
            detail: "the pool is full: send it again".to_owned(),
            retry_after: Some(Duration::from_millis(500)),
        };
        let response = Failure::from(&rejection).into_response();
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        assert_eq!(response.headers()[header::CONTENT_TYPE], media::PROBLEM);
        assert_eq!(Failure::from(&rejection).problem().retry_after_ms, Some(500));
        assert_eq!(rejected_result(&rejection).retry_after_ms, Some(500));
    }
}
