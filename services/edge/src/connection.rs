//! One client attached to a shard.
//!
//! The seam between accepting a client (`accept`, `fallback`, `framing`, `limits`) and serving it (`hub`, `connection`):
//!
//! ```text
//! accept::serve(shard: Rc<Shard>, stream: TcpStream, peer: SocketAddr)      one local task per accepted socket: HTTP, then
//!   shard.attach_socket(stream, read_buf: Bytes, Handshake { … })           101 was answered: spawns the connection's task
//!   shard.open_pull(Handshake { … }, Vec<SubscriptionRequest>) -> Pull      SSE and polling: same hub, same outbox
//!     pull.poll_item(cx) -> Poll<Option<PullItem { body: Bytes, mark: Option<(ChannelName, Position)> }>>
//!     dropping the Pull detaches it; `None` means that the connection ended (drain, expiry, revocation)
//!   shard.handshakes: tokio::sync::Semaphore                                taken once the socket is readable
//!   shard.node: Arc<Node { config, namespaces, verifier, backplane, metrics, registry, limits, draining, … }>
//!     node.is_ready(), node.report().await -> NodeReport, node.is_revoked(&Identity)
//! Handshake { peer: IpAddr, transport, identity: Option<Identity>, dialect: Option<Dialect>, offered: bool, area: Option<Arc<str>>,
//!             slot: limits::Slot }
//!   dialect: that of the echoed subprotocol; None = decided by the first frame. offered = a `tickwire.v1` one was offered.
//!   area: key of config.edge.areas, checked by accept (404 otherwise).
//! limits::Limits::new(&LimitsConfig, Arc<Metrics>) -> Limits               counters per node, behind an Arc
//!   .admit(ip) -> Result<Slot, Refusal>                                     node, address, ban; Slot gives back on drop
//!   slot.claim_user(&mut self, &UserId) -> Result<(), Refusal>              once authenticated (again after another `connect`: no-op)
//!   .auth_failed(ip) -> Option<Control>                                     Some(Ban) when one is due; the caller sends it
//!   .ban(ip, until_ms)                                                      a Control::Ban came
//! limits::Spending (in each connection): default() and
//!   .spend(&mut self, now: Instant, bytes: usize, commands: u32, &LimitsConfig) -> Result<(), Duration> = retry after
//! limits::Refusal { code: ErrorCode, message: String, retry_after: Option<Duration> }
//! ```
