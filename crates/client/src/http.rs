//! Requests to nodes: connections kept open, every node tried in turn, every answer bounded.

use crate::error::{Attempt, Error};
use std::{
    io::{self, Read},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use tallystick_api::{Problem, ProblemCode, limits::WAIT_SECONDS_MAX, media, routes};
use tallystick_protocol::limits::{ANSWER_BYTES_MAX, STREAM_SILENCE_MAX};
use ureq::{
    Agent, Body, RequestBuilder,
    http::{Response, StatusCode},
    typestate::{WithBody, WithoutBody},
};

/// Time to open a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Time until a node begins to answer: its own wait for finality and some more.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(WAIT_SECONDS_MAX + 10);
/// The same of what it need not wait for, where another can be asked: one that hangs holds nobody up for long.
pub(crate) const QUICK: Duration = Duration::from_secs(5);

/// A connection to one or more nodes of a network.
pub struct Client {
    agent: Agent,
    /// Time until a node begins to answer.
    response: Duration,
    nodes: Vec<String>,
    /// The node that answered last; it is asked first.
    preferred: AtomicUsize,
    /// Who hears how many notices of corrections wait, as [`media::NOTICES_HEADER`] says it.
    heard: Option<fn(&str)>,
}

/// A node's answer, complete.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Address of the node that answered.
    pub node: String,
    /// The HTTP status, of the 2xx class.
    pub status: u16,
    /// The height of the state that the answer shows, when the node said so.
    pub height: Option<u64>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Errors
    /// When it is something else.
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body)
            .map_err(|error| Error::Answer { node: self.node.clone(), what: error.to_string() })
    }
}

impl Client {
    /// A client of these nodes; they are tried in this order.
    ///
    /// # Errors
    /// When none is named or one is no HTTP address.
    pub fn new(nodes: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self, Error> {
        let nodes = nodes.into_iter().map(|node| address(node.as_ref())).collect::<Result<Vec<_>, _>>()?;
        if nodes.is_empty() {
            return Err(Error::NoNode);
        }
        let (agent, preferred) = (agent(), AtomicUsize::new(0));
        Ok(Self { agent, response: RESPONSE_TIMEOUT, nodes, preferred, heard: None })
    }

    /// The same client, that passes on with which answers a node says that notices of corrections wait for whoever asked: `‹partition›=‹count›`.
    #[must_use]
    pub fn hearing(self, heard: fn(&str)) -> Self {
        Self { heard: Some(heard), ..self }
    }

    /// The same client, that gives up a node which has not begun to answer within this time. For questions that no node need
    /// think about.
    #[must_use]
    pub fn within(self, response: Duration) -> Self {
        Self { response, ..self }
    }

    /// Addresses of the nodes.
    pub fn nodes(&self) -> &[String] {
        &self.nodes
    }

    /// A client of one of the nodes alone, sharing its connections.
    pub fn only(&self, node: &str) -> Self {
        let (agent, response, heard) = (self.agent.clone(), self.response, self.heard);
        Self { agent, response, nodes: vec![node.to_owned()], preferred: AtomicUsize::new(0), heard }
    }

    /// Asks the nodes in turn, until one answers.
    ///
    /// # Errors
    /// When none answers, or the one that does reports a problem.
    pub fn get(&self, path: &str, accept: &str) -> Result<Answer, Error> {
        self.ask(is_quick(path), |node, response| self.getting(node, path, response).header("accept", accept).call())
    }

    fn getting(&self, node: &str, path: &str, response: Duration) -> RequestBuilder<WithoutBody> {
        self.agent.get(format!("{node}{path}")).config().timeout_recv_response(Some(response)).build()
    }

    fn posting(&self, node: &str, path: &str, response: Duration) -> RequestBuilder<WithBody> {
        self.agent.post(format!("{node}{path}")).config().timeout_recv_response(Some(response)).build()
    }

    /// As [`Client::get`], with a signed question in the header `Authorization`.
    ///
    /// # Errors
    /// As there.
    pub fn get_as(&self, path: &str, accept: &str, authorization: &str) -> Result<Answer, Error> {
        self.ask(is_quick(path), |node, response| {
            let request = self.getting(node, path, response).header("accept", accept);
            request.header("authorization", authorization).call()
        })
    }

    /// Hands `body` to the nodes in turn, until one answers.
    ///
    /// # Errors
    /// When none answers, or the one that does reports a problem.
    pub fn post(&self, path: &str, content_type: &str, body: &[u8]) -> Result<Answer, Error> {
        self.ask(false, |node, response| {
            let request = self.posting(node, path, response).header("content-type", content_type);
            request.header("accept", "application/json").send(body)
        })
    }

    /// As [`Client::post`], with a signed question in the header `Authorization`.
    ///
    /// # Errors
    /// As there.
    pub fn post_as(&self, path: &str, content_type: &str, body: &[u8], authorization: &str) -> Result<Answer, Error> {
        self.ask(false, |node, response| {
            let request = self.posting(node, path, response).header("content-type", content_type);
            request.header("accept", "application/json").header("authorization", authorization).send(body)
        })
    }

    /// Asks for an answer of any length, to be read piece by piece.
    ///
    /// # Errors
    /// When no node answers, or the one that does reports a problem.
    pub fn open(&self, path: &str, accept: &str) -> Result<(String, impl Read + use<>), Error> {
        let (node, response) =
            self.reach(false, |node, response| self.getting(node, path, response).header("accept", accept).call())?;
        if !response.status().is_success() {
            return Err(problem(node, response));
        }
        Ok((node, response.into_body().into_with_config().limit(u64::MAX).reader()))
    }

    fn ask(
        &self,
        is_quick: bool,
        call: impl Fn(&str, Duration) -> Result<Response<Body>, ureq::Error>,
    ) -> Result<Answer, Error> {
        let (node, response) = self.reach(is_quick, call)?;
        if !response.status().is_success() {
            return Err(problem(node, response));
        }
        let said = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        let height = said(media::HEIGHT_HEADER).and_then(|value| value.parse().ok());
        if let (Some(heard), Some(waiting)) = (self.heard, said(media::NOTICES_HEADER)) {
            heard(waiting);
        }
        let status = response.status().as_u16();
        let body = response.into_body().into_with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        match body {
            Ok(body) => Ok(Answer { node, status, height, body }),
            Err(error) => Err(Error::Unreachable(vec![Attempt { node, reason: reason(&error) }])),
        }
    }

    /// Tries node after node, beginning with the one that answered last. A node that is not there, or whose gateway says so, or that does not
    /// know the ledger yet, passes the question on to the next; so does one that hangs, soon where the question `is_quick` to answer. The last one
    /// has all the time.
    fn reach(
        &self,
        is_quick: bool,
        call: impl Fn(&str, Duration) -> Result<Response<Body>, ureq::Error>,
    ) -> Result<(String, Response<Body>), Error> {
        let first = self.preferred.load(Ordering::Relaxed);
        let (mut attempts, mut starting) = (Vec::new(), None);
        let nodes = self.nodes.iter().enumerate().cycle().skip(first).take(self.nodes.len());
        for (tried, (index, node)) in (1..).zip(nodes) {
            let is_last = tried == self.nodes.len();
            let response = if is_quick && !is_last { self.response.min(QUICK) } else { self.response };
            match call(node, response) {
                Ok(response) if is_absent(response.status()) => {
                    attempts.push(Attempt { node: node.clone(), reason: format!("HTTP status {}", response.status()) });
                }
                Ok(response) if is_without_height(&response) => match problem(node.clone(), response) {
                    // It may have begun: what another node says of it would hide that.
                    late if late.code() == Some(ProblemCode::Timeout.as_str()) => return Err(late),
                    // What the first of them says, if no other serves.
                    unready => starting = starting.or(Some(unready)),
                },
                Ok(response) => {
                    self.preferred.store(index, Ordering::Relaxed);
                    return Ok((node.clone(), response));
                }
                Err(error) => attempts.push(Attempt { node: node.clone(), reason: reason(&error) }),
            }
        }
        Err(starting.unwrap_or(Error::Unreachable(attempts)))
    }

    /// Begins with the next node from now on: the present one is busy.
    pub(crate) fn next_node(&self) {
        let next = self.preferred.load(Ordering::Relaxed).wrapping_add(1);
        self.preferred.store(next % self.nodes.len().max(1), Ordering::Relaxed);
    }
}

/// Whether a node need not wait for anything to answer.
fn is_quick(path: &str) -> bool {
    !path.contains(routes::WAIT_QUERY)
}

fn agent() -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_per_read(Some(STREAM_SILENCE_MAX.max(RESPONSE_TIMEOUT)))
        .timeout_await_100(None)
        .user_agent(concat!("tally/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent()
}

/// A gateway speaks for a node that does not.
fn is_absent(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT)
}

/// A node that serves says at which height it does, whatever else it says.
fn is_without_height(response: &Response<Body>) -> bool {
    response.status() == StatusCode::SERVICE_UNAVAILABLE && !response.headers().contains_key(media::HEIGHT_HEADER)
}

fn problem(node: String, response: Response<Body>) -> Error {
    let status = response.status().as_u16();
    let seconds =
        response.headers().get("retry-after").and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<u64>().ok());
    let body = response.into_body().into_with_config().limit(ANSWER_BYTES_MAX).read_to_vec().unwrap_or_default();
    let mut problem: Problem = serde_json::from_slice(&body).unwrap_or_else(|_| foreign(status));
    problem.status = status;
    problem.retry_after_ms = problem.retry_after_ms.or(seconds.map(|seconds| seconds.saturating_mul(1_000)));
    Error::Problem { node, problem: Box::new(problem) }
}

/// An error that does not speak our language, say of a proxy on the way.
fn foreign(status: u16) -> Problem {
    let mut problem = Problem::new(ProblemCode::Internal, format!("HTTP status {status}"));
    problem.code.clear();
    problem
}

/// The cause alone, in words that say it without our libraries' names.
fn reason(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        ureq::Error::Io(error) => error.to_string(),
        ureq::Error::Timeout(what) => {
            format!("no answer in time ({what}): it may be starting or overloaded; see its log")
        }
        ureq::Error::HostNotFound => "no such host".to_owned(),
        other => other.to_string(),
    }
}

/// A node's address without its trailing slash.
fn address(text: &str) -> Result<String, Error> {
    let node = text.trim_end_matches('/');
    let uri: Result<ureq::http::Uri, _> = node.parse();
    match uri {
        Ok(uri) if matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some() => Ok(node.to_owned()),
        _ => Err(Error::Address(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::{
        io::{BufRead, BufReader, Write},
        net::TcpListener,
        thread,
    };

    /// A node that gives one canned answer to each connection.
    fn canned(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        address
    }

    /// An address where nobody listens.
    fn nobody() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    }

    const OK: &str = "HTTP/1.1 200 OK\r\ntally-height: 7\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
    const BUSY: &str = "HTTP/1.1 503 Service Unavailable\r\nretry-after: 2\r\nconnection: close\r\n\r\n\
                        {\"type\":\"t\",\"title\":\"Busy\",\"status\":503,\"code\":\"busy\",\"detail\":\"pool is full\"}\n";

    const STARTING: &str = "HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\n\r\n\
                            {\"type\":\"t\",\"title\":\"t\",\"status\":503,\"code\":\"unavailable\",\"detail\":\"it waits for peers\"}\n";
    const LATE: &str = "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\n\r\n\
                        {\"type\":\"t\",\"title\":\"t\",\"status\":503,\"code\":\"timeout\",\"detail\":\"too slow\"}\n";

    #[test]
    fn a_dead_node_passes_the_question_on_and_is_asked_last_next_time() {
        let client = Client::new([nobody(), canned(OK)]).unwrap();
        let answer = client.get("/v1/status", "application/json").unwrap();
        assert_eq!((answer.height, answer.body.as_slice()), (Some(7), b"{}".as_slice()));
        assert_eq!(client.preferred.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_node_that_does_not_serve_yet_passes_the_question_on_and_one_that_was_too_slow_does_not() {
        let (starting, late) = (canned(STARTING), canned(LATE));
        assert_eq!(Client::new([&starting, &canned(OK)]).unwrap().get("/", "*/*").unwrap().height, Some(7));
        let error = Client::new([&starting, &nobody()]).unwrap().get("/", "*/*").unwrap_err();
        assert!(error.to_string().contains("waits for peers"), "what the only one that is there says: {error}");
        let error = Client::new([&late, &canned(OK)]).unwrap().get("/", "*/*").unwrap_err();
        assert_eq!(error.code(), Some("timeout"));
    }

    #[test]
    fn every_dead_node_is_named() {
        let (one, two) = (nobody(), nobody());
        let error = Client::new([&one, &two]).unwrap().get("/", "*/*").unwrap_err().to_string();
        assert!(error.contains(&one) && error.contains(&two) && error.contains("connection refused"), "{error}");
    }

    #[test]
    fn a_problem_keeps_its_code_and_when_to_come_back() {
        let error = Client::new([canned(BUSY)]).unwrap().get("/", "*/*").unwrap_err();
        assert!(matches!(&error, Error::Problem { problem, .. } if problem.retry_after_ms == Some(2_000)), "{error}");
        assert_eq!((error.code(), error.status()), (Some("busy"), Some(503)));
        assert!(error.to_string().ends_with("says: pool is full (busy)"), "{error}");
    }

    #[test]
    fn what_waits_for_whoever_asks_is_passed_on() {
        const WAITING: &str =
            "HTTP/1.1 200 OK\r\ntally-notices: health=2\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
        static HEARD: std::sync::Mutex<Vec<String>> = std::sync::Mutex::new(Vec::new());
        let hear = |waiting: &str| HEARD.lock().unwrap().push(waiting.to_owned());
        let (quiet, node) = (canned(OK), canned(WAITING));
        let client = Client::new([&quiet]).unwrap().hearing(hear).within(RESPONSE_TIMEOUT);
        client.get("/", "*/*").unwrap();
        assert!(HEARD.lock().unwrap().is_empty());
        client.only(&node).get("/", "*/*").unwrap();
        assert_eq!(*HEARD.lock().unwrap(), ["health=2"]);
    }

    #[test]
    fn a_node_that_takes_the_connection_and_says_nothing_is_given_up() {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = Client::new([format!("http://{}", silent.local_addr().unwrap())]).unwrap();
        let error = client.within(Duration::from_millis(100)).get("/v1/status", "*/*").unwrap_err().to_string();
        assert!(error.contains("no answer in time"), "{error}");
    }

    /// The last has all the time: nobody else can be asked.
    #[test]
    fn a_node_that_hangs_passes_the_question_on_soon() {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let silent = format!("http://{}", silent.local_addr().unwrap());
        let client = Client::new([&silent, &canned(OK)]).unwrap();
        let times = std::sync::Mutex::new(Vec::new());
        let call = |node: &str, response: Duration| {
            times.lock().unwrap().push(response);
            client.getting(node, "/", response.min(Duration::from_millis(100))).call()
        };
        client.reach(is_quick("/v1/status"), call).unwrap();
        assert_eq!(times.lock().unwrap().drain(..).collect::<Vec<_>>(), [QUICK, RESPONSE_TIMEOUT]);
        // Now that one is asked first which answered.
        client.reach(is_quick("/v1/transactions/00?wait=finalised"), call).unwrap();
        assert_eq!(times.lock().unwrap().drain(..).collect::<Vec<_>>(), [RESPONSE_TIMEOUT]);
    }

    #[test]
    fn addresses_are_judged_before_anything_is_sent() {
        assert!(matches!(Client::new(["localhost:8080"]), Err(Error::Address(_))));
        assert!(matches!(Client::new(["ftp://x"]), Err(Error::Address(_))));
        assert!(matches!(Client::new([] as [&str; 0]), Err(Error::NoNode)));
        assert_eq!(Client::new(["http://x:1/"]).unwrap().nodes(), ["http://x:1"]);
    }
}
