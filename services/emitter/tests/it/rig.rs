//! One emitter on a free port, and a caller of it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use reqwest::{Client, RequestBuilder, StatusCode, header::HeaderMap};
use serde_json::Value;
use tickwire_auth::{
    Secret,
    issue::{Signer, TokenClaims},
};
use tickwire_backplane::{Backplane, HistoryQuery, Signal, Subscriber, memory::MemoryBackplane};
use tickwire_emitter::{Config, EmitterError};
use tickwire_protocol::{ChannelName, Publication, UserId};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

pub(crate) const SECRET: &str = "a secret of at least thirty-two bytes";
pub(crate) const API_KEY: &str = "an-api-key-of-some-backend";
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Rig {
    pub(crate) backplane: Arc<MemoryBackplane>,
    pub(crate) address: SocketAddr,
    pub(crate) shutdown: CancellationToken,
    pub(crate) ended: JoinHandle<Result<(), EmitterError>>,
    pub(crate) client: Client,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    /// The error code, after a look at the form every error has.
    pub(crate) fn code(&self) -> &str {
        let error = self.body["error"].as_object().unwrap_or_else(|| panic!("no error: {}", self.body));
        assert!(error["message"].is_string() && error["retryable"].is_boolean(), "{error:?}");
        error["code"].as_str().unwrap()
    }

    pub(crate) fn message(&self) -> &str {
        self.body["error"]["message"].as_str().unwrap()
    }
}

pub(crate) fn token(roles: &[&str]) -> String {
    sign(&roles.iter().fold(TokenClaims::new(UserId::new("backend").unwrap()), |claims, role| claims.role(*role)))
}

pub(crate) fn sign(claims: &TokenClaims) -> String {
    Signer::new(&Secret::from(SECRET)).unwrap().sign(claims).unwrap()
}

pub(crate) fn channel(name: &str) -> ChannelName {
    ChannelName::new(name).unwrap()
}

pub(crate) fn config() -> Config {
    let mut config = Config::default();
    config.auth.hs256_secret = Some(SECRET.into());
    config.emitter.api_keys = vec![API_KEY.into()];
    config
}

impl Rig {
    pub(crate) async fn start() -> Self {
        Self::with(config()).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        let backplane = MemoryBackplane::new();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let bus: Arc<dyn Backplane> = Arc::<MemoryBackplane>::clone(&backplane);
        let ended = tokio::spawn(tickwire_emitter::run(config, listener, bus, shutdown.clone()));
        let client = Client::builder().timeout(PATIENCE).build().unwrap();
        Self { backplane, address, shutdown, ended, client }
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("http://{}{path}", self.address)).bearer_auth(API_KEY)
    }

    pub(crate) fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("http://{}{path}", self.address)).bearer_auth(API_KEY)
    }

    pub(crate) async fn ask(&self, path: &str) -> Answer {
        answer(self.get(path)).await
    }

    /// Posts `body` as JSON with the API key.
    pub(crate) async fn say(&self, path: &str, body: &Value) -> Answer {
        answer(self.post(path).json(body)).await
    }

    /// Posts `text` as it stands.
    pub(crate) async fn say_text(&self, path: &str, text: impl Into<reqwest::Body>) -> Answer {
        answer(self.post(path).header("content-type", "application/json").body(text)).await
    }

    /// Everything stored in a channel.
    pub(crate) async fn stored(&self, name: &str) -> Vec<Arc<Publication>> {
        let channel = channel(name);
        let namespaces = tickwire_protocol::namespace::Namespaces::default();
        let policy = namespaces.policy(&channel).unwrap();
        let query = HistoryQuery { since: None, limit: 1_000, reverse: false };
        self.backplane.history(&channel, policy, query).await.unwrap().publications
    }

    /// The payloads stored in a channel.
    pub(crate) async fn data(&self, name: &str) -> Vec<Value> {
        self.stored(name).await.iter().map(|publication| publication.data.to().unwrap()).collect()
    }
}

pub(crate) async fn answer(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let bytes = response.bytes().await.unwrap();
    let is_packed = headers.get("content-type").is_some_and(|value| value == "application/msgpack");
    let body = if is_packed {
        rmp_serde::from_slice(&bytes).unwrap()
    } else {
        serde_json::from_slice(&bytes).unwrap_or_default()
    };
    Answer { status, headers, body }
}

/// The next control message.
pub(crate) async fn control(subscriber: &mut Subscriber) -> tickwire_backplane::Control {
    loop {
        let signal = tokio::time::timeout(PATIENCE, subscriber.signals.recv()).await.unwrap().unwrap();
        if let Signal::Control(control) = signal {
            return control;
        }
    }
}
