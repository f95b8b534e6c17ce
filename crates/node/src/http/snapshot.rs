//! Read the index over the log at one height, and say which in the answer.

use super::{Service, problem::Failure};
use crate::chain::FinalisedBlock;
use axum::{
    Json,
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, header};
use serde::Serialize;
use tallystick_api::media;
use tallystick_storage::{history::History, read::ReadError};

/// How often to look again when a block arrives between two reads. Each look costs a moment; one is enough.
const ATTEMPTS: usize = 1_000;

/// Reads the index and the newest block that it holds, as one. `read` must be brief: blocks wait for it.
pub async fn snapshot<R>(service: &Service, read: impl FnOnce(&History, &FinalisedBlock) -> R) -> Result<R, Failure> {
    for _ in 0..ATTEMPTS {
        {
            let history = service.history();
            let tip = service.tip();
            if tip.header.log.size == history.size() {
                return Ok(read(&history, &tip));
            }
        }
        tokio::task::yield_now().await;
    }
    Err(Failure::unavailable("this node is bringing its index up to date: try again shortly, or another node"))
}

/// An answer that is complete up to the block at a height.
#[derive(Debug)]
pub struct At<T>(pub u64, pub T);

impl<T: IntoResponse> IntoResponse for At<T> {
    fn into_response(self) -> Response {
        let mut response = self.1.into_response();
        response.headers_mut().insert(HeaderName::from_static(media::HEIGHT_HEADER), HeaderValue::from(self.0));
        response
    }
}

/// JSON that is complete up to the block at `height`.
pub fn json_at<T: Serialize>(height: u64, value: T) -> Response {
    At(height, Json(value)).into_response()
}

/// A body with its media type.
pub fn typed(media_type: &'static str, body: impl Into<Body>) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static(media_type))], body.into()).into_response()
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::NotOpen | ReadError::Unsettled => Self::unavailable(error.to_string()),
            ReadError::Storage { .. } => Self::internal(error),
        }
    }
}
