//! The node's HTTP: the handshake of clients, health, and metrics. What is not a WebSocket here is
//! small and has no body to read.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderName, RETRY_AFTER, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE, USER_AGENT,
};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use ipnet::IpNet;
use metrics::counter;
use protocol::codec::Codec;
use store::StoreHandle;
use tokio::net::TcpStream;
use tungstenite::handshake::derive_accept_key;

use crate::address::{Origins, client_address};
use crate::clock::NodeClock;
use crate::connection::Handover;
use crate::handshakes::Handshakes;
use crate::mailbox::{Mail, Mailbox};
use crate::people::People;
use crate::shard_loop::client_name;
use crate::telemetry::Metrics;

/// Longest wait for the directory in a health check.
const HEALTH_PATIENCE: Duration = Duration::from_secs(2);
/// What is served at `/`, where a browser looks first.
const INDEX: &str = "This is Rollcall, a presence server.\n\nClients connect a WebSocket to /ws. \
                     Try `rollcall watch --as dev --token NAME`.\n";

type Answer = Response<Full<Bytes>>;

/// What the public address serves.
pub(crate) struct Public {
    /// Whose pages may connect.
    pub origins: Origins,
    /// Networks whose `X-Forwarded-For` is believed.
    pub trusted: Vec<IpNet>,
    /// Handshakes by address.
    pub handshakes: Arc<Handshakes>,
    /// The node's clock.
    pub clock: NodeClock,
    /// The shards, which sockets go to in turn.
    pub shards: Vec<Mailbox>,
    /// Which shard is next.
    pub next: AtomicUsize,
    /// Health.
    pub health: Health,
}

/// Whether this node should get clients.
#[derive(Clone)]
pub(crate) struct Health {
    /// The node is stopping.
    pub is_stopping: Arc<AtomicBool>,
    /// The store.
    pub store: StoreHandle,
    /// The directory.
    pub people: People,
}

impl Health {
    /// Why this node is not ready, if it is not.
    pub(crate) async fn problem(&self) -> Option<&'static str> {
        if self.is_stopping.load(Ordering::Relaxed) {
            return Some("stopping");
        }
        if !self.store.is_writable() {
            return Some(
                "the presence log cannot be written: free space in the data folder (--data)",
            );
        }
        if !self.people.is_answering(HEALTH_PATIENCE).await {
            return Some("the directory does not answer: see `rollcall doctor`");
        }
        None
    }
}

impl Public {
    /// Answers one request on the public address.
    pub(crate) async fn serve(
        self: Arc<Self>,
        peer: IpAddr,
        request: Request<Incoming>,
    ) -> Result<Answer, Infallible> {
        let answer = match request.uri().path() {
            "/ws" => self.handshake(peer, request),
            "/" => only_get(&request, || text(StatusCode::OK, INDEX)),
            "/healthz" => only_get(&request, || text(StatusCode::OK, "ok\n")),
            "/readyz" => self.ready().await,
            _ => text(StatusCode::NOT_FOUND, "nothing here; clients connect to /ws\n"),
        };
        Ok(answer)
    }

    async fn ready(&self) -> Answer {
        match self.health.problem().await {
            None => text(StatusCode::OK, "ready\n"),
            Some(problem) => {
                let mut answer = text(StatusCode::SERVICE_UNAVAILABLE, problem);
                answer.headers_mut().insert(RETRY_AFTER, 1.into());
                answer
            }
        }
    }

    /// Takes a client's handshake; its socket then goes to a shard.
    fn handshake(self: Arc<Self>, peer: IpAddr, mut request: Request<Incoming>) -> Answer {
        let (result, answer) = match self.accept(peer, request.headers(), request.method()) {
            Ok((codec, address, answer)) => {
                let client = name_of(request.headers());
                let upgrade = hyper::upgrade::on(&mut request);
                tokio::spawn(async move {
                    // The client may go away between the request and our answer.
                    let Ok(upgraded) = upgrade.await else { return };
                    let Ok(parts) = upgraded.downcast::<TokioIo<TcpStream>>() else { return };
                    let Ok(stream) = parts.io.into_inner().into_std() else { return };
                    let leftover = parts.read_buf.to_vec();
                    let socket = Handover { stream, leftover, codec, address, client };
                    let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.shards.len();
                    self.shards[turn].deliver(Mail::Socket(socket)).await;
                });
                ("ok", answer)
            }
            Err((result, answer)) => (result, *answer),
        };
        counter!("rollcall_handshakes_total", "result" => result).increment(1);
        answer
    }

    fn accept(
        &self,
        peer: IpAddr,
        headers: &HeaderMap,
        method: &Method,
    ) -> Result<(Codec, IpAddr, Answer), (&'static str, Box<Answer>)> {
        let refuse =
            |result, status, said: &'static str| Err((result, Box::new(text(status, said))));
        if self.health.is_stopping.load(Ordering::Relaxed) {
            let mut answer = text(StatusCode::SERVICE_UNAVAILABLE, "stopping\n");
            answer.headers_mut().insert(RETRY_AFTER, 1.into());
            return Err(("stopping", Box::new(answer)));
        }
        if method != Method::GET || !has_token(headers, CONNECTION, "upgrade") {
            return refuse(
                "bad",
                StatusCode::BAD_REQUEST,
                "a WebSocket handshake is a GET with `Connection: Upgrade`\n",
            );
        }
        let key = headers.get(SEC_WEBSOCKET_KEY).filter(|key| key.len() == 24);
        let (true, Some(key)) = (has_token(headers, UPGRADE, "websocket"), key) else {
            return refuse("bad", StatusCode::BAD_REQUEST, "clients connect a WebSocket here\n");
        };
        if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
            let mut answer = text(StatusCode::UPGRADE_REQUIRED, "WebSocket version 13 is spoken\n");
            answer.headers_mut().insert(SEC_WEBSOCKET_VERSION, 13.into());
            return Err(("bad", Box::new(answer)));
        }
        if !self.origins.admit(headers) {
            return refuse(
                "origin",
                StatusCode::FORBIDDEN,
                "pages of this origin may not connect (--allowed-origins)\n",
            );
        }
        let offers: Vec<&str> = headers
            .get_all(SEC_WEBSOCKET_PROTOCOL)
            .iter()
            .filter_map(|offer| offer.to_str().ok())
            .collect();
        let offers = (!offers.is_empty()).then(|| offers.join(","));
        let Ok((codec, echo)) = Codec::negotiate(offers.as_deref()) else {
            return refuse(
                "subprotocol",
                StatusCode::BAD_REQUEST,
                "none of the offered subprotocols is spoken here; offer rollcall.v1.json, or none\n",
            );
        };
        let address = client_address(peer, headers, &self.trusted);
        if let Err(wait) = self.handshakes.charge(self.clock.now(), address) {
            let mut answer = text(
                StatusCode::TOO_MANY_REQUESTS,
                "too many handshakes from this address (--handshake-rate)\n",
            );
            answer.headers_mut().insert(RETRY_AFTER, (wait.as_secs() + 1).into());
            return Err(("rate", Box::new(answer)));
        }
        let mut answer = Response::new(Full::new(Bytes::new()));
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let set = answer.headers_mut();
        set.insert(CONNECTION, http::HeaderValue::from_static("upgrade"));
        set.insert(UPGRADE, http::HeaderValue::from_static("websocket"));
        if let Ok(accept) = derive_accept_key(key.as_bytes()).parse() {
            set.insert(SEC_WEBSOCKET_ACCEPT, accept);
        }
        if let Some(echo) = echo {
            set.insert(SEC_WEBSOCKET_PROTOCOL, http::HeaderValue::from_static(echo));
        }
        Ok((codec, address, answer))
    }
}

/// What the admin address serves.
pub(crate) struct Admin {
    /// What was counted.
    pub metrics: Metrics,
    /// Health.
    pub health: Health,
}

impl Admin {
    /// Answers one request on the admin address.
    pub(crate) async fn serve(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Answer, Infallible> {
        let answer = match request.uri().path() {
            "/metrics" => {
                let is_ready = self.health.problem().await.is_none();
                metrics::gauge!("rollcall_ready").set(f64::from(u8::from(is_ready)));
                only_get(&request, || text(StatusCode::OK, self.metrics.render()))
            }
            "/healthz" => only_get(&request, || text(StatusCode::OK, "ok\n")),
            _ => text(StatusCode::NOT_FOUND, "nothing here; see /metrics\n"),
        };
        Ok(answer)
    }
}

fn only_get(request: &Request<Incoming>, answer: impl FnOnce() -> Answer) -> Answer {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return answer();
    }
    let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
    answer.headers_mut().insert(ALLOW, http::HeaderValue::from_static("GET, HEAD"));
    answer
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, http::HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    answer
}

fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(token)))
}

fn name_of(headers: &HeaderMap) -> Box<str> {
    let agent = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok());
    client_name(agent.unwrap_or_default())
}
