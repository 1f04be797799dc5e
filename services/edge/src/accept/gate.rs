//! Who may come in: limits, drain, token.

use std::{
    cell::{Cell, RefCell},
    net::IpAddr,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use http::request::Parts;
use tickwire_auth::Identity;
use tickwire_protocol::{ErrorCode, dialect::Dialect};
use tokio::sync::SemaphorePermit;

use super::{Deadline, Outcome, credentials, proxies};
use crate::{
    connection::Handshake,
    hub::Shard,
    limits::{Refusal, Slot},
    metrics::{Transport, reason},
    node::Node,
};

/// Another node takes the client at once.
const DRAIN_RETRY: Duration = Duration::from_secs(1);

/// A socket's place, taken when it was accepted; behind a proxy it is taken with the request, which names the client.
pub(super) type Place = Option<Result<Slot, Box<Refusal>>>;

/// Takes a place for a socket.
pub(super) fn place(shard: &Shard, peer: IpAddr) -> Place {
    let node = &shard.node;
    let is_proxied = proxies::is_trusted(peer, &node.config.edge.trusted_proxies);
    (!is_proxied).then(|| node.limits.admit(peer).map_err(Box::new))
}

/// One socket during its exchange.
pub(crate) struct Visitor<'s> {
    pub(crate) shard: &'s Rc<Shard>,
    pub(crate) deadline: Deadline,
    /// When its socket was accepted.
    pub(crate) begun: Instant,
    peer: IpAddr,
    place: Cell<Place>,
    permit: RefCell<Option<SemaphorePermit<'s>>>,
    outcome: Cell<Option<Outcome>>,
}

/// A client that may come in.
pub(crate) struct Admission {
    peer: IpAddr,
    identity: Option<Identity>,
    slot: Slot,
}

impl Admission {
    /// For a WebSocket.
    pub(super) fn handshake(self, dialect: Option<Dialect>, deflates: bool, area: Option<&str>) -> Handshake {
        let Self { peer, identity, slot } = self;
        let offered = dialect.is_some_and(Dialect::packs);
        let transport = Transport::WebSocket;
        Handshake { peer, transport, identity, dialect, offered, deflates, area: area.map(Arc::from), slot }
    }

    /// For SSE and polling, which speak native JSON, a frame at a time, and need a token with the request.
    pub(crate) fn pull_handshake(self, transport: Transport) -> Result<Handshake, Refusal> {
        let Self { peer, identity, slot } = self;
        if identity.is_none() {
            return Err(unauthenticated("a token is needed: Authorization: Bearer, or the `token` query parameter"));
        }
        let dialect = Some(Dialect::Json);
        Ok(Handshake { peer, transport, identity, dialect, offered: false, deflates: false, area: None, slot })
    }
}

impl<'s> Visitor<'s> {
    /// A socket whose request is here. From now on its deadline counts.
    pub(super) fn new(
        shard: &'s Rc<Shard>,
        peer: IpAddr,
        begun: Instant,
        place: Place,
        permit: SemaphorePermit<'s>,
    ) -> Self {
        Self {
            shard,
            begun,
            deadline: Deadline::new(shard.node.config.edge.handshake_timeout()),
            peer,
            place: Cell::new(place),
            permit: RefCell::new(Some(permit)),
            outcome: Cell::new(None),
        }
    }

    /// Ends its handshake: what follows takes long and is bounded by the limits on connections.
    pub(crate) fn release(&self) {
        self.permit.take();
    }

    pub(super) fn set_outcome(&self, outcome: Outcome) {
        self.outcome.set(Some(outcome));
    }

    pub(super) fn take_outcome(&self) -> Option<Outcome> {
        self.outcome.take()
    }

    /// Lets the client in, or says why not.
    pub(crate) async fn admit(&self, head: &Parts) -> Result<Admission, Refusal> {
        let node = &self.shard.node;
        let peer = proxies::client_address(self.peer, &head.headers, &node.config.edge.trusted_proxies);
        if node.draining.is_cancelled() {
            node.metrics.refusals.get_or_create(&reason("draining")).inc();
            let message = "this node takes no new clients any more: connect again, another one will answer".into();
            return Err(Refusal { code: ErrorCode::Unavailable, message, retry_after: Some(DRAIN_RETRY) });
        }
        let mut slot = match self.place.take() {
            Some(place) => place.map_err(|refusal| *refusal)?,
            None => node.limits.admit(peer)?,
        };
        let identity = match credentials::token(&head.headers, head.uri.query()) {
            Some(token) => Some(authenticate(node, peer, &token).await?),
            None => None,
        };
        if let Some(identity) = &identity
            && let Some(replaced) = slot.claim_user(&identity.user)?
        {
            node.replace(identity.user.clone(), replaced);
        }
        Ok(Admission { peer, identity, slot })
    }

    /// The refusal of a page that is not on the list.
    pub(super) fn origin_refused(&self) -> Refusal {
        self.shard.node.metrics.refusals.get_or_create(&reason("origin")).inc();
        let message = "pages of this origin may not connect: add it to edge.allowed_origins".into();
        Refusal { code: ErrorCode::Forbidden, message, retry_after: None }
    }
}

/// Whether this client has not sent its token yet: a page, or another user of an SDK.
pub(super) fn sends_token_later(head: &Parts) -> bool {
    credentials::token(&head.headers, head.uri.query()).is_none()
}

/// Verifies a token that came from `peer`, and counts a failure against it.
pub(crate) async fn authenticate(node: &Arc<Node>, peer: IpAddr, token: &str) -> Result<Identity, Refusal> {
    let error = match node.verifier.verify(token).await {
        Ok(identity) if node.is_revoked(&identity) => {
            node.metrics.auth_failures.get_or_create(&reason("revoked")).inc();
            return Err(unauthenticated("the token has been revoked"));
        }
        Ok(identity) => return Ok(identity),
        Err(error) => error,
    };
    let code = error.code();
    node.count_refused_token(peer, code);
    Err(Refusal { code, message: error.to_string(), retry_after: None })
}

fn unauthenticated(message: &str) -> Refusal {
    Refusal { code: ErrorCode::Unauthenticated, message: message.into(), retry_after: None }
}
