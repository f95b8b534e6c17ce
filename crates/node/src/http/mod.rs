//! Serve the node over HTTP: thin handlers over [`Service`], one file a noun.
//!
//! ```text
//! connection ─ suffix off ─ guard (room, time, panics) ─ route ─ ready? ─ handler ─▶ service
//! ```
//!
//! The paths and bodies are those of the api crate. An answer that reads the ledger says in the header `Tally-Height`
//! up to which block it is complete; an error is a problem (RFC 9457).

mod audit;
mod blocks;
mod consents;
mod csv;
mod data_map;
mod download;
mod erasures;
mod guard;
mod health;
mod log;
mod mandates;
mod negotiate;
mod notices;
mod openapi;
mod openregister;
mod organisations;
mod page;
mod partitions;
mod policies;
mod principals;
mod private;
mod private_erasures;
mod problem;
mod proofs;
mod proposals;
mod reads;
mod recovery;
mod registers;
mod render;
mod room;
mod sealed;
mod sequence;
mod server;
mod snapshot;
mod status;
mod stream;
mod transactions;
mod validators;

use crate::watch;
use axum::{
    Router,
    extract::{DefaultBodyLimit, FromRequestParts, Path},
    middleware::from_fn_with_state,
    routing::{get, post},
};
use http::request::Parts;
use problem::Failure;
use room::Room;
use serde::de::DeserializeOwned;
use tallystick_api::{
    limits::{BODY_BYTES_MAX, DOWNLOADS_MAX, QUESTIONS_MAX, STREAMS_MAX},
    routes,
};
use tokio::net::TcpListener;

/// The node behind the interface.
pub type Service = crate::service::Service<commonware_runtime::tokio::Context>;

/// What every handler is given. Clones are the same server.
#[derive(Clone)]
struct App {
    service: Service,
    /// Turns true when the server stops, so that streams end.
    stopping: watch::Receiver<bool>,
    /// Room for streams of blocks.
    streams: Room,
    /// Room for downloads.
    downloads: Room,
    /// Room for dry runs, explanations, and searches of partitions.
    questions: Room,
}

/// Serves until `shutdown` resolves; then ends the streams and gives the requests under way
/// [`DRAIN_SECONDS_MAX`](tallystick_api::limits::DRAIN_SECONDS_MAX) seconds.
///
/// Runs on the tokio runtime that polls it.
pub async fn serve(listener: TcpListener, service: Service, shutdown: impl Future<Output = ()> + Send + 'static) {
    let stop = watch::Sender::new(false);
    let stopping = stop.subscribe();
    let app = App {
        service,
        stopping,
        streams: Room::new("streams", STREAMS_MAX, 5_000),
        downloads: Room::new("downloads", DOWNLOADS_MAX, 5_000),
        questions: Room::new("dry runs, explanations and searches", QUESTIONS_MAX, 1_000),
    };
    let router = router().route_layer(from_fn_with_state(app.clone(), health::about_ledger)).with_state(app);
    server::run(listener, guard::around(router), shutdown, stop).await;
}

/// Answers, while the node waits for its peers before it can begin, that it is alive and what it waits for: who asks is never left
/// without an answer. Runs until it is dropped; then [`serve`] takes the listener over.
pub async fn serve_waiting(listener: &TcpListener) {
    let router = Router::new()
        .route(routes::HEALTH, get(health::alive))
        .route(routes::READY, get(health::waiting))
        .fallback(|| async { Failure::unavailable(health::WAITING) });
    // It reads no body and asks nobody: there is nothing to guard.
    server::hold(listener, router).await;
}

/// Makes the router, and for the tests the list of its routes.
macro_rules! routes {
    ($($method:ident $path:expr => $handler:expr;)+) => {
        fn router() -> Router<App> {
            Router::new()
                $(.route($path, $method($handler)))+
                .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        }

        /// Method and path of every route.
        #[cfg(test)]
        const ROUTES: &[(&str, &str)] = &[$((stringify!($method), $path)),+];
    };
}

routes! {
    get routes::INDEX => status::index;
    post routes::TRANSACTIONS => transactions::submit;
    post routes::SEALED => sealed::submit;
    post routes::READS => reads::read;
    get routes::ACCESS_LOG => reads::access_log;
    get routes::HELD => reads::held;
    get routes::TRANSACTION => transactions::transaction;
    get routes::TRANSACTION_RECEIPT => transactions::receipt;
    get routes::AUDIT => audit::audit;
    get routes::CHECKPOINT => log::checkpoint;
    get routes::LOG_CONSISTENCY => log::consistency;
    get routes::LOG_INCLUSION => log::inclusion;
    get routes::BLOCKS => stream::blocks;
    get routes::BLOCK => blocks::block;
    get routes::NETWORK => status::network;
    get routes::VALIDATORS => validators::validators;
    get routes::RECOVERY => recovery::ground;
    get routes::STATUS => status::status;
    get routes::ORGANISATIONS => organisations::organisations;
    get routes::ORGANISATION => organisations::organisation;
    get routes::ORGANISATION_NODES => organisations::nodes;
    get routes::ORGANISATION_AUTHORITIES => organisations::authorities;
    get routes::ORGANISATION_PRINCIPALS => principals::principals;
    get routes::PRINCIPAL => principals::principal;
    get routes::PRINCIPAL_RECEIPT => principals::receipt;
    get routes::MANDATE => mandates::mandate;
    get routes::MANDATES => mandates::mandates;
    get routes::PARTITIONS => partitions::partitions;
    get routes::PARTITION => partitions::partition;
    get routes::NOTICES => notices::notices;
    get routes::DATA_MAP => data_map::data_map;
    post routes::PRIVATE => private::submit;
    get routes::PARTITION_REGISTERS => private::registers;
    get routes::PARTITION_REGISTER => private::register;
    get routes::PARTITION_REGISTER_POLICIES => policies::partition_register_policies;
    get routes::PARTITION_POLICY => policies::partition_policy;
    get routes::PARTITION_READS => private::reads;
    post routes::PARTITION_READS => private::reads_of;
    get routes::PARTITION_NOTICES => private::notices;
    post routes::PARTITION_MANDATES => private::mandates;
    post routes::PARTITION_CONSENTS => private::consents;
    post routes::PARTITION_HELD => private::held;
    post routes::PARTITION_ERASURES => private_erasures::erasures;
    post routes::PARTITION_ERASURE_CERTIFICATE => private_erasures::certificate;
    post routes::PARTITION_HOLDS => private_erasures::holds;
    get routes::REGISTERS => registers::registers;
    get routes::REGISTER => registers::register;
    get routes::REGISTER_SUMMARY => openregister::summary;
    get routes::RECORDS => openregister::records;
    get routes::RECORD => openregister::record;
    get routes::RECORD_ENTRIES => openregister::record_entries;
    get routes::RECORD_RECEIPT => registers::record_receipt;
    get routes::RECORDS_WITH => openregister::records_with;
    get routes::ENTRIES => openregister::entries;
    get routes::ENTRY => openregister::entry;
    get routes::ITEM => openregister::item;
    get routes::DOWNLOAD => download::download;
    get routes::PROOF_REGISTER => proofs::register;
    get routes::PROOF_CONSISTENCY => proofs::consistency;
    get routes::PROOF_ENTRY => proofs::entry;
    get routes::POLICIES => policies::policies;
    get routes::REGISTER_POLICIES => policies::register_policies;
    get routes::POLICY => policies::policy;
    post routes::EXPLAIN => policies::explain;
    get routes::PROPOSALS => proposals::proposals;
    get routes::PROPOSAL => proposals::proposal;
    get routes::PROPOSAL_RECEIPT => proposals::receipt;
    get routes::RULEBOOK => proposals::rulebook;
    get routes::ERASURES => erasures::erasures;
    get routes::ERASURE => erasures::erasure;
    get routes::ERASURE_CERTIFICATE => erasures::certificate;
    get routes::HOLDS => erasures::holds;
    get routes::HOLD => erasures::hold;
    get routes::CONSENTS => consents::consents;
    get routes::CONSENT => consents::consent;
    get routes::RECORD_CORRECTIONS => erasures::corrections;
    post routes::DRY_RUN => proposals::dry_run;
    get routes::HEALTH => health::alive;
    get routes::READY => health::ready;
    get routes::METRICS => health::metrics;
    get routes::OPENAPI => openapi::document;
}

/// The variable parts of a path; what cannot be read is a problem.
struct PathOf<T>(T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for PathOf<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let Path(value) = Path::<T>::from_request_parts(parts, state).await?;
        Ok(Self(value))
    }
}

/// The query as names and values.
struct QueryOf(page::Query);

impl<S: Send + Sync> FromRequestParts<S> for QueryOf {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let axum::extract::Query(query) = axum::extract::Query::<page::Query>::from_request_parts(parts, state).await?;
        Ok(Self(query))
    }
}

/// The form that the path's suffix or the `Accept` header asks for.
struct Wanted {
    suffix: Option<negotiate::Suffix>,
    headers: http::HeaderMap,
}

impl Wanted {
    /// The best of the forms `offered`, the preferred one first.
    fn choose(&self, offered: &[negotiate::Form]) -> Result<negotiate::Form, Failure> {
        negotiate::choose(self.suffix, &self.headers, offered)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Wanted {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self { suffix: parts.extensions.get().copied(), headers: parts.headers.clone() })
    }
}
