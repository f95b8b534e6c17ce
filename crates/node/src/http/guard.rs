//! What stands around every route: the suffix comes off the path, requests beyond the limits are told so, a handler that
//! panics costs its caller an answer and nobody else anything.

use super::{negotiate::split_suffix, problem::Failure};
use axum::{
    Router,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state, map_request},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Method, Uri, header};
use std::{
    any::Any,
    sync::Arc,
    time::{Duration, Instant},
};
use tallystick_api::{
    ProblemCode,
    limits::{REQUEST_SECONDS_MAX, REQUESTS_MAX},
    routes,
};
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanicLayer;

/// What a client that found no room should wait.
const BUSY_RETRY_MS: u64 = 500;

/// The limits in force.
#[derive(Clone)]
struct Limits {
    requests: Arc<Semaphore>,
    request: Duration,
}

/// Puts the guard around the routes.
pub fn around(routes: Router) -> Router {
    with_limits(routes, REQUESTS_MAX, Duration::from_secs(REQUEST_SECONDS_MAX))
}

fn with_limits(routes: Router, requests: usize, request: Duration) -> Router {
    let limits = Limits { requests: Arc::new(Semaphore::new(requests)), request };
    let guarded = routes
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(limits, limit));
    // The suffix must be gone before a route is looked for: hence a router around the router.
    Router::new().fallback_service(guarded).layer(map_request(take_suffix))
}

async fn take_suffix(mut request: Request) -> Request {
    let (path, Some(suffix)) = split_suffix(request.uri().path()) else { return request };
    let path_and_query = match request.uri().query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let mut parts = request.uri().clone().into_parts();
    // A path stays one when its end is cut off.
    parts.path_and_query = path_and_query.parse().ok();
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
        request.extensions_mut().insert(suffix);
    }
    request
}

async fn limit(State(limits): State<Limits>, request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let started = Instant::now();
    let mut response = limited(&limits, &path, request, next).await;
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    tracing::debug!(
        %method,
        path,
        status = response.status().as_u16(),
        duration_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
        "request"
    );
    response
}

async fn limited(limits: &Limits, path: &str, request: Request, next: Next) -> Response {
    // Whoever watches the node must get through when others do not.
    let watching = [routes::HEALTH, routes::READY, routes::METRICS].contains(&path);
    let _permit = match limits.requests.try_acquire() {
        Ok(permit) => Some(permit),
        Err(_) if watching => None,
        Err(_) => {
            let detail =
                format!("this node works on {REQUESTS_MAX} requests already: send it again, or ask another node");
            return Failure::busy(detail, BUSY_RETRY_MS).into_response();
        }
    };
    match tokio::time::timeout(limits.request, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let seconds = limits.request.as_secs();
            let detail = format!("no answer within {seconds} s: ask for less at once, send faster, or try again later");
            Failure::new(ProblemCode::Timeout, detail).into_response()
        }
    }
}

async fn no_route(uri: Uri) -> Failure {
    let detail = format!("nothing is served at `{}`: {} lists every path", uri.path(), routes::OPENAPI);
    Failure::new(ProblemCode::NoRoute, detail)
}

async fn no_method(method: Method, uri: Uri) -> Failure {
    let detail = format!("`{}` does not take {method}: the Allow header says what it takes", uri.path());
    Failure::new(ProblemCode::MethodNotAllowed, detail)
}

fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    Failure::internal(format!("a handler panicked: {}", text.unwrap_or("no message"))).into_response()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;
    use crate::http::Wanted;
    use crate::http::negotiate::Form;
    use axum::{
        body::{Body, to_bytes},
        routing::get,
    };
    use hyper::service::Service as _;
    use hyper_util::service::TowerToHyperService;
    use tallystick_api::{Problem, media};

    fn specimen(requests: usize, request: Duration) -> Router {
        let routes = Router::new()
            .route("/slow", get(std::future::pending::<()>))
            .route(
                "/panic",
                get(|| async {
                    if true {
                        panic!("oh no")
                    }
                }),
            )
            .route("/healthz", get(|| async { "alive" }))
            .route(
                "/v1/registers/{name}/records/{key}",
                get(|wanted: Wanted, uri: Uri| async move {
                    let form = wanted.choose(&[Form::Json, Form::Csv])?;
                    Ok::<_, Failure>(format!("{uri} {form:?}"))
                }),
            );
        with_limits(routes, requests, request)
    }

    async fn ask(router: Router, method: Method, path: &str) -> Response {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        TowerToHyperService::new(router).call(request).await.unwrap()
    }

    async fn problem(response: Response) -> Problem {
        assert_eq!(response.headers()[header::CONTENT_TYPE], media::PROBLEM);
        serde_json::from_slice(&to_bytes(response.into_body(), 65_536).await.unwrap()).unwrap()
    }

    const LONG: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn what_is_not_there_is_a_problem() {
        let response = ask(specimen(9, LONG), Method::GET, "/nowhere").await;
        assert_eq!(response.status(), 404);
        let problem_404 = problem(response).await;
        assert_eq!(problem_404.code, "no-route");
        assert!(problem_404.detail.contains("`/nowhere`"), "{problem_404}");

        let response = ask(specimen(9, LONG), Method::POST, "/healthz").await;
        assert_eq!(response.status(), 405);
        assert_eq!(response.headers()[header::ALLOW], "GET,HEAD");
        assert_eq!(problem(response).await.code, "method-not-allowed");
    }

    #[tokio::test]
    async fn a_panic_costs_one_answer() {
        let response = ask(specimen(9, LONG), Method::GET, "/panic").await;
        assert_eq!(response.status(), 500);
        let problem = problem(response).await;
        assert_eq!(problem.code, "internal");
        assert!(!problem.detail.contains("oh no"), "the caller is not told what the log is told");
    }

    #[tokio::test]
    async fn time_and_room_are_limited_and_watchers_get_through() {
        let response = ask(specimen(9, Duration::from_millis(20)), Method::GET, "/slow").await;
        assert_eq!(response.status(), 503);
        assert_eq!(problem(response).await.code, "timeout");

        let response = ask(specimen(0, LONG), Method::GET, "/slow").await;
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        assert_eq!(problem(response).await.code, "busy");
        assert_eq!(ask(specimen(0, LONG), Method::GET, "/healthz").await.status(), 200);
    }

    #[tokio::test]
    async fn the_suffix_is_gone_before_the_route_is_found() {
        let response = ask(specimen(9, LONG), Method::GET, "/v1/registers/country/records/GB.csv?x=1").await;
        let body = to_bytes(response.into_body(), 1_000).await.unwrap();
        assert_eq!(body, "/v1/registers/country/records/GB?x=1 Csv");
    }
}
