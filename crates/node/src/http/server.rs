//! Accept connections, bounded in number, in the time that a request's head may take and in the time for which a client may
//! read nothing of its answer; and stop gracefully.
//!
//! A hole that is known: a client that reads its answer a byte at a time keeps its connection, one of [`CONNECTIONS_MAX`],
//! and the answer. A node that faces strangers stands behind a proxy that ends such.

use crate::watch;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use std::{io, pin::pin, sync::Arc, time::Duration};
use tallystick_api::limits::{CONNECTIONS_MAX, DRAIN_SECONDS_MAX, HEAD_SECONDS_MAX, STALL_SECONDS_MAX};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_io_timeout::TimeoutStream;

/// What to wait after the system refused a connection, as it does when it has no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `router` until `shutdown` resolves, then says `stop` and waits for the requests under way.
pub async fn run(listener: TcpListener, router: Router, shutdown: impl Future<Output = ()>, stop: watch::Sender<bool>) {
    serve(listener, router, shutdown, stop, Duration::from_secs(STALL_SECONDS_MAX)).await;
}

/// Serves `router` on a listener that another server takes over: each connection ends with its first answer, so that nobody stays with
/// this one. Runs until it is dropped.
pub async fn hold(listener: &TcpListener, router: Router) {
    let service = TowerToHyperService::new(router);
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut protocol = http1::Builder::new();
    protocol.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(HEAD_SECONDS_MAX)).keep_alive(false);
    loop {
        let Ok((stream, permit)) = accept(listener, &room).await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(Duration::from_secs(STALL_SECONDS_MAX)));
        let connection = protocol.serve_connection(TokioIo::new(Box::pin(stream)), service.clone());
        tokio::spawn(async move {
            let _permit = permit;
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
        });
    }
}

async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()>,
    stop: watch::Sender<bool>,
    stall: Duration,
) {
    let service = TowerToHyperService::new(router);
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let graceful = GracefulShutdown::new();
    let mut protocol = http1::Builder::new();
    protocol.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(HEAD_SECONDS_MAX));
    let mut shutdown = pin!(shutdown);
    loop {
        let (stream, permit) = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = accept(&listener, &room) => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "no connection could be accepted; trying again");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(stall));
        let stream = TokioIo::new(Box::pin(stream));
        let connection = graceful.watch(protocol.serve_connection(stream, service.clone()));
        tokio::spawn(async move {
            let _permit = permit;
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
        });
    }
    drop(listener);
    stop.send_replace(true);
    if tokio::time::timeout(Duration::from_secs(DRAIN_SECONDS_MAX), graceful.shutdown()).await.is_err() {
        tracing::warn!(seconds = DRAIN_SECONDS_MAX, "requests were still under way when the server stopped");
    }
}

async fn accept(listener: &TcpListener, room: &Arc<Semaphore>) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    // The semaphore is never closed.
    let permit = room.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    // Answers are written whole; waiting for more of them would only delay.
    stream.set_nodelay(true)?;
    Ok((stream, permit))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use axum::routing::get;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        sync::oneshot,
        time::timeout,
    };

    #[tokio::test]
    async fn who_reads_nothing_is_cut_off() {
        const ANSWER_BYTES: usize = 64 << 20;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(|| async { vec![0_u8; ANSWER_BYTES] }));
        let stop = watch::Sender::new(false);
        tokio::spawn(serve(listener, router, std::future::pending(), stop, Duration::from_millis(100)));

        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
        let mut answer = Vec::new();
        let read = timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await.unwrap();
        assert!(read.is_err() || answer.len() < ANSWER_BYTES, "the whole answer came: {}", answer.len());
    }

    /// What one request is answered, until the server ends the connection.
    async fn asked(address: std::net::SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(Duration::from_secs(5), stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        answer
    }

    /// Also one that keeps its connection open is not left with the server that waited.
    #[tokio::test]
    async fn who_asks_while_the_node_waits_is_answered_and_then_another_server_takes_over() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (begin, begun) = oneshot::channel::<()>();
        let (shut, shutdown) = oneshot::channel::<()>();
        let server = tokio::spawn(async move {
            tokio::select! {
                () = super::super::serve_waiting(&listener) => unreachable!("it runs until it is dropped"),
                _ = begun => {}
            }
            let router = Router::new().route("/", get(|| async { "begun" }));
            serve(
                listener,
                router,
                async { shutdown.await.unwrap_or_default() },
                watch::Sender::new(false),
                Duration::from_secs(5),
            )
            .await;
        });
        let alive = asked(address, "/healthz").await;
        assert!(alive.starts_with("HTTP/1.1 200 OK") && alive.ends_with("alive\n"), "{alive}");
        for path in ["/readyz", "/v1/status", "/"] {
            let answer = asked(address, path).await;
            assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("waits for peers"), "{answer}");
        }
        let mut kept = TcpStream::connect(address).await.unwrap();
        kept.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        timeout(Duration::from_secs(5), kept.read_to_string(&mut answer)).await.unwrap().unwrap();
        assert!(answer.contains("connection: close"), "{answer}");
        begin.send(()).unwrap();
        let begun = asked(address, "/").await;
        assert!(begun.ends_with("begun"), "{begun}");
        shut.send(()).unwrap();
        timeout(Duration::from_secs(5), server).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_request_under_way_is_answered_before_the_server_stops() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, is_asked) = oneshot::channel();
        let asked = Arc::new(std::sync::Mutex::new(Some(asked)));
        let router = Router::new().route(
            "/",
            get(move || async move {
                if let Some(asked) = asked.lock().unwrap().take() {
                    let _ = asked.send(());
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
                "answered"
            }),
        );
        let (shut, shutdown) = oneshot::channel::<()>();
        let stop = watch::Sender::new(false);
        let mut stopping = stop.subscribe();
        let shutdown = async move { shutdown.await.unwrap_or_default() };
        let server = tokio::spawn(run(listener, router, shutdown, stop));

        let mut idle = TcpStream::connect(address).await.unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        is_asked.await.unwrap();
        shut.send(()).unwrap();
        let mut answer = String::new();
        timeout(Duration::from_secs(5), stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("answered"), "{answer}");
        // An idle connection does not hold the server up.
        assert_eq!(timeout(Duration::from_secs(5), idle.read(&mut [0; 1])).await.unwrap().unwrap(), 0);
        timeout(Duration::from_secs(5), server).await.unwrap().unwrap();
        assert!(*stopping.borrow_and_update());
    }
}
