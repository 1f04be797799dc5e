//! Settings of a [`crate::Client`].

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use tickwire_protocol::{DeviceId, Position, RawJson, book::Depth};

use crate::{Backoff, TokenError};

/// A future that ends in a token.
pub type TokenFuture = Pin<Box<dyn Future<Output = Result<String, TokenError>> + Send>>;

/// Where tokens come from.
#[derive(Clone)]
pub enum TokenSource {
    /// One token, for as long as it lasts; when the server refuses it, the client stops.
    Fixed(String),
    /// Asked at the first connect, before the token ends, and when the server refuses the last one. One call at a time.
    Provider(Arc<dyn Fn() -> TokenFuture + Send + Sync>),
}

impl TokenSource {
    /// Asks `provider` for every token.
    pub fn provider<F, Fut>(provider: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<String, TokenError>> + Send + 'static,
    {
        Self::Provider(Arc::new(move || Box::pin(provider())))
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fixed(_) => "TokenSource::Fixed(…)",
            Self::Provider(_) => "TokenSource::Provider(…)",
        })
    }
}

/// How the token reaches the edge.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TokenPlacement {
    /// `Authorization: Bearer` of the upgrade: one round trip less, and refusals have an HTTP status.
    #[default]
    Header,
    /// A `connect` frame: the token stays out of what proxies log, and the server can resume and explain refusals.
    Frame,
}

/// Bytes on the wire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Encoding {
    /// Subprotocol `tickwire.v1.json`.
    #[default]
    Json,
    /// Subprotocol `tickwire.v1.msgpack`.
    MsgPack,
}

impl Encoding {
    pub(crate) const fn is_binary(self) -> bool {
        matches!(self, Self::MsgPack)
    }

    pub(crate) const fn subprotocol(self) -> &'static str {
        match self {
            Self::Json => "tickwire.v1.json",
            Self::MsgPack => "tickwire.v1.msgpack",
        }
    }
}

/// Settings of a [`crate::Client`]; start from [`ClientOptions::new`].
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// `ws://` or `wss://` addresses of edges; the next one is taken after a failure. Addresses that the cluster names when
    /// the client is connected come before them (never plain ones where all of these are `wss://`).
    pub urls: Vec<String>,
    /// Where tokens come from.
    pub token: TokenSource,
    /// How the token is sent.
    pub token_placement: TokenPlacement,
    /// Which of the user's devices this is: it then has a read cursor of its own in the inbox. It is sent in a `connect`
    /// frame, with the token again where that came with the upgrade.
    pub device: Option<DeviceId>,
    /// JSON or MessagePack.
    pub encoding: Encoding,
    /// Messages a second at most from all `latest` channels together, conflated.
    pub max_rate: Option<f64>,
    /// Delays between attempts to connect.
    pub backoff: Backoff,
    /// Dial, upgrade and authentication together take at most this.
    pub connect_timeout: Duration,
    /// A call ends with [`crate::ClientError::Timeout`] after this; until then it is repeated over reconnects.
    pub call_timeout: Duration,
    /// Calls waiting at once; more fail with [`crate::ClientError::TooManyCalls`].
    pub calls_max: usize,
    /// Events that a subscription holds for its consumer. When one is full, **the client stops reading** until there is
    /// room: nothing is lost or reordered, the server conflates `latest` values meanwhile, and closes with 4430 if it lasts,
    /// after which the client recovers by position.
    pub subscription_buffer: usize,
    /// Largest WebSocket message accepted, bytes. A recovery of a long history comes as one.
    pub message_bytes_max: usize,
}

impl ClientOptions {
    /// The defaults for one address and a token source.
    pub fn new(url: impl Into<String>, token: TokenSource) -> Self {
        Self {
            urls: vec![url.into()],
            token,
            token_placement: TokenPlacement::default(),
            device: None,
            encoding: Encoding::default(),
            max_rate: None,
            backoff: Backoff::default(),
            connect_timeout: Duration::from_secs(10),
            call_timeout: Duration::from_secs(10),
            calls_max: 256,
            subscription_buffer: 1_024,
            message_bytes_max: 64 << 20,
        }
    }
}

/// Options of one subscription; the default asks for everything from now on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SubscribeOptions {
    /// Recover what came after this position.
    pub since: Option<Position>,
    /// Only messages whose tags match, see [`tickwire_protocol::filter`].
    pub filter: Option<String>,
    /// Messages a second at most, conflated (`latest` channels).
    pub max_rate: Option<f64>,
    /// Only these keys of a `latest` channel.
    pub keys: Option<Vec<String>>,
    /// Let the edge send changed fields instead of whole values (`latest` channels). Every delivery is a whole value all the
    /// same: the client puts them together, and subscribes again should it lack the value that a change is for.
    pub delta: bool,
    /// Each message says when it passed where: [`tickwire_protocol::codec::Message::trace`]. Not together with `delta`.
    pub trace: bool,
    /// Free: presence and logs see it. A JSON object. Of a book, its `depth` asks for a view.
    pub params: Option<RawJson>,
}

impl SubscribeOptions {
    /// Recovers from `position`.
    pub fn since(position: Position) -> Self {
        Self { since: Some(position), ..Self::default() }
    }

    /// Of a `book:` channel the best levels alone, in place of its other `params`; [`crate::BookView`] puts them together.
    #[must_use]
    pub fn depth(self, depth: Depth) -> Self {
        let params = RawJson::trusted(format!(r#"{{"depth":{}}}"#, depth.levels()).into());
        Self { params: Some(params), ..self }
    }
}
