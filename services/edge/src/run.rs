//! The node: shards on threads of their own, and what happens once for all of them.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread,
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use socket2::{Domain, Protocol, Socket, Type};
use tickwire_backplane::Backplane;
use tokio::{
    sync::{mpsc, oneshot},
    task::LocalSet,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{
    Config, EdgeError, accept, controls,
    hub::Shard,
    node::{Node, Order},
    tls,
};

/// Connections that the kernel may keep for one listener before they are accepted.
const BACKLOG: i32 = 4_096;
/// How often the node reports itself.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// How soon after a change it reports.
const REPORT_DELAY: Duration = Duration::from_millis(250);
/// Pause after a failed accept (no file descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Unsent bytes that the kernel takes before a socket counts as full: what waits longer waits in the outbox, where it can
/// still be overtaken or replaced.
const NOTSENT_BYTES_MAX: u32 = 16 * 1024;

/// Binds `address` so that all shards can listen there. Fails if another process already does.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    if address.port() != 0 {
        // SO_REUSEPORT lets a second process of the same user in and would split the clients between two nodes.
        drop(bind(address, false)?);
    }
    bind(address, true)
}

fn bind(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Serves clients on `listener` (made by [`listen`]) until `shutdown`, then drains. Call it on a multi-thread runtime: the
/// node's own tasks run there, clients on threads of their own.
pub async fn run(
    config: Config,
    listener: TcpListener,
    backplane: Arc<dyn Backplane>,
    shutdown: CancellationToken,
) -> Result<(), EdgeError> {
    let address = listener.local_addr().map_err(EdgeError::Listen)?;
    let node = Arc::new(Node::new(config, backplane, shutdown.clone())?);
    let mailboxes = node.open_mailboxes(node.config.edge.shard_count());
    let stop = CancellationToken::new();
    let mut listeners = vec![listener];
    for _ in 1..mailboxes.len() {
        match bind(address, true) {
            Ok(listener) => listeners.push(listener),
            // Given a listener without SO_REUSEPORT, its socket is shared instead.
            Err(_) => listeners.push(listeners[0].try_clone().map_err(EdgeError::Listen)?),
        }
    }
    let mut drained = FuturesUnordered::new();
    let mut ended = Vec::new();
    for (index, (listener, orders)) in listeners.into_iter().zip(mailboxes).enumerate() {
        let shard = Starting { node: Arc::clone(&node), orders, stop: stop.clone() };
        let (is_drained, has_ended) = shard.start(index, listener)?;
        drained.push(is_drained);
        ended.push(has_ended);
    }
    let reporter = tokio::spawn(report(Arc::clone(&node), stop.clone()));
    let controls = tokio::spawn(controls::take(Arc::clone(&node), stop.clone()));
    let certificate = tokio::spawn(tls::watch(Arc::clone(&node), stop.clone()));
    while drained.next().await.is_some() {
        // One shard that fails takes the node with it: half a node would look healthy.
        shutdown.cancel();
    }
    stop.cancel();
    let mut outcome = Ok(());
    for shard in ended {
        outcome = shard.await.unwrap_or(Err(EdgeError::ShardPanicked)).and(outcome);
    }
    for task in [reporter, controls, certificate] {
        if let Err(error) = task.await {
            tracing::error!(%error, "a task of the node panicked");
        }
    }
    outcome
}

/// The same with one shard, all on the current thread: for programs that bring their own runtime. Call it within a
/// [`LocalSet`].
pub async fn run_here(
    mut config: Config,
    listener: tokio::net::TcpListener,
    backplane: Arc<dyn Backplane>,
    shutdown: CancellationToken,
) -> Result<(), EdgeError> {
    config.edge.shards = 1;
    let node = Arc::new(Node::new(config, backplane, shutdown.clone())?);
    let orders = node.open_mailboxes(1).swap_remove(0);
    let stop = CancellationToken::new();
    let shard = Starting { node: Arc::clone(&node), orders, stop: stop.clone() };
    let (drained, is_drained) = oneshot::channel();
    let ended = async {
        // Sent or dropped: no clients are left.
        let _ = is_drained.await;
        shutdown.cancel();
        stop.cancel();
    };
    let duties = async {
        tokio::join!(
            report(Arc::clone(&node), stop.clone()),
            controls::take(Arc::clone(&node), stop.clone()),
            tls::watch(Arc::clone(&node), stop.clone()),
        )
    };
    tokio::join!(shard.serve(listener, drained), ended, duties).0
}

type Drained = oneshot::Receiver<()>;
type Ended = oneshot::Receiver<Result<(), EdgeError>>;

/// A shard's share of what `run` was given.
struct Starting {
    node: Arc<Node>,
    orders: mpsc::Receiver<Order>,
    stop: CancellationToken,
}

impl Starting {
    /// Starts the thread. The first receiver ends when the shard has no clients left after a drain (or fails), the second
    /// with its outcome.
    fn start(self, index: usize, listener: TcpListener) -> Result<(Drained, Ended), EdgeError> {
        let (drained, is_drained) = oneshot::channel();
        let (ended, has_ended) = oneshot::channel();
        let body = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(EdgeError::Shard);
            let outcome = runtime.and_then(|runtime| {
                LocalSet::new().block_on(&runtime, async {
                    listener.set_nonblocking(true).map_err(EdgeError::Listen)?;
                    let listener = tokio::net::TcpListener::from_std(listener).map_err(EdgeError::Listen)?;
                    self.serve(listener, drained).await
                })
            });
            // The node may have given up waiting.
            let _ = ended.send(outcome);
        };
        thread::Builder::new().name(format!("edge-shard-{index}")).spawn(body).map_err(EdgeError::Shard)?;
        Ok((is_drained, has_ended))
    }

    async fn serve(self, listener: tokio::net::TcpListener, drained: oneshot::Sender<()>) -> Result<(), EdgeError> {
        let Self { node, orders, stop } = self;
        let subscriber = node.backplane.subscriber(node.config.edge.signal_queue);
        let shard = Shard::new(Arc::clone(&node), subscriber.id);
        let hub = Shard::run(shard.clone(), subscriber.signals, orders);
        // Newcomers are accepted until every shard is drained, to be told so; a closed port would say nothing.
        let leaving = async {
            node.draining.cancelled().await;
            shard.drain().await;
            drop(drained);
            stop.cancelled().await;
        };
        tokio::select! {
            () = accept_all(&shard, listener) => Ok(()),
            () = leaving => Ok(()),
            () = hub => Err(EdgeError::BackplaneEnded),
        }
    }
}

async fn accept_all(shard: &std::rc::Rc<Shard>, listener: tokio::net::TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                if let Err(error) = tune(&stream) {
                    tracing::debug!(%error, "a socket went away before it was served");
                    continue;
                }
                tokio::task::spawn_local(accept::serve(shard.clone(), stream, peer));
            }
            Err(error) => {
                tracing::error!(%error, "cannot accept connections");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Batches are made here, so the kernel should not wait for more; and it should not hoard what has grown old.
fn tune(stream: &tokio::net::TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    #[cfg(target_os = "linux")]
    socket2::SockRef::from(stream).set_tcp_notsent_lowat(NOTSENT_BYTES_MAX)?;
    Ok(())
}

/// Tells the backplane that the node lives and what it serves: every second, and soon after a change.
async fn report(node: Arc<Node>, stop: CancellationToken) {
    loop {
        let next = Instant::now() + REPORT_INTERVAL;
        let report = node.report().await;
        if let Err(error) = node.backplane.report(report).await {
            tracing::warn!(%error, "the node could not report itself");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep_until(next) => {}
            () = async { node.changed.notified().await; tokio::time::sleep(REPORT_DELAY).await } => {}
        }
    }
}
