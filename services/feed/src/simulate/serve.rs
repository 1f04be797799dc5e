//! The simulator's sockets.

use std::{sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt};
use tickwire_protocol::time::now_ms;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        handshake::server::{ErrorResponse, Request, Response},
        http::HeaderValue,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};
use tokio_util::sync::CancellationToken;

use super::{
    REPLAYED_HEADER, Shared, Speed,
    session::{Output, Session, Venue},
    world::Emission,
};

/// Frames that may wait for one client; one that is further behind is let go.
const QUEUE_FRAMES: usize = 8_192;
/// Entries of the recording played before others get a turn.
const BATCH: usize = 64;
/// How long a client may take for its request, and an answer over HTTP for the recording to come to it.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a connection that went silent is held.
const SILENCE: Duration = Duration::from_secs(600);
const HEAD_BYTES_MAX: usize = 8 * 1024;

/// Where a connection takes the exchange's frames from.
#[derive(Debug)]
pub(super) struct Client {
    frames: mpsc::Sender<Arc<Emission>>,
}

pub(super) async fn serve(shared: Arc<Shared>, listener: TcpListener, shutdown: CancellationToken) {
    // Ends with this function: a simulator that is "killed" cuts its connections.
    let shutdown = shutdown.child_token();
    let _cut = shutdown.clone().drop_guard();
    let mut connections = tokio::task::JoinSet::new();
    connections.spawn(play(Arc::clone(&shared), shutdown.clone()));
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(connections.spawn(connection(Arc::clone(&shared), stream, shutdown.clone()))),
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    sleep(Duration::from_millis(10)).await;
                }
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
    connections.shutdown().await;
    shared.lock().clients.clear();
}

async fn play(shared: Arc<Shared>, shutdown: CancellationToken) {
    loop {
        let due = shared.lock().world.next_due();
        let wait = async {
            match due {
                Some(due) => sleep_until(shared.began + due).await,
                None => shared.started.notified().await,
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = wait => {}
        }
        let (emissions, clients) = {
            let mut state = shared.lock();
            state.clients.retain(|client| !client.frames.is_closed());
            let clients: Vec<_> = state.clients.iter().map(|client| client.frames.clone()).collect();
            (state.world.advance(shared.now(), now_ms(), BATCH), clients)
        };
        for emission in emissions.into_iter().map(Arc::new) {
            for client in &clients {
                hand_over(&shared, client, &emission).await;
            }
        }
        tokio::task::yield_now().await;
    }
}

/// At full speed the slowest client sets the pace, for a while; otherwise who is too slow loses its connection.
async fn hand_over(shared: &Shared, client: &mpsc::Sender<Arc<Emission>>, emission: &Arc<Emission>) {
    let Err(mpsc::error::TrySendError::Full(_)) = client.try_send(Arc::clone(emission)) else { return };
    if shared.speed == Speed::Max && client.send_timeout(Arc::clone(emission), PATIENCE).await.is_ok() {
        return;
    }
    shared.lock().clients.retain(|other| !other.frames.same_channel(client));
}

async fn connection(shared: Arc<Shared>, mut stream: TcpStream, shutdown: CancellationToken) {
    let Ok(Some(head)) = timeout(PATIENCE, peek_head(&stream)).await else { return };
    let is_upgrade = head.to_ascii_lowercase().contains("upgrade: websocket");
    let path = head.split(' ').nth(1).unwrap_or("/").to_owned();
    // Small frames one after another: waiting to fill segments would delay them.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let served = async {
        if !is_upgrade {
            return answer(&shared, &mut stream, &head, &path).await;
        }
        let refusal = shared.lock().plan.on_upgrade();
        match refusal {
            Some(status) => respond(&mut stream, &head, status, "{}").await,
            None => socket(&shared, stream, &path).await,
        }
    };
    tokio::select! {
        () = shutdown.cancelled() => {}
        result = served => if let Err(error) = result {
            tracing::debug!(%error, "a simulated connection ended");
        },
    }
}

/// The request's head, left in the socket for whoever reads it next.
async fn peek_head(stream: &TcpStream) -> Option<String> {
    let mut buffer = vec![0; HEAD_BYTES_MAX];
    loop {
        let length = stream.peek(&mut buffer).await.ok().filter(|length| *length > 0)?;
        let text = String::from_utf8_lossy(&buffer[..length]);
        if let Some(end) = text.find("\r\n\r\n") {
            return Some(text[..end + 4].to_owned());
        }
        if length == HEAD_BYTES_MAX {
            return None;
        }
        sleep(Duration::from_millis(1)).await;
    }
}

/// Binance's depth.
async fn answer(shared: &Shared, stream: &mut TcpStream, head: &str, path: &str) -> std::io::Result<()> {
    let parameter = |name: &str| {
        let query = path.split_once('?').map_or("", |(_, query)| query);
        query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    if !path.contains("/depth") {
        return respond(stream, head, 404, "{}").await;
    }
    let symbol = parameter("symbol").unwrap_or_default().to_uppercase();
    let limit = parameter("limit").and_then(|limit| limit.parse().ok()).unwrap_or(100);
    if !shared.lock().world.has_symbol(&symbol) {
        return respond(stream, head, 400, r#"{"code":-1121,"msg":"Invalid symbol."}"#).await;
    }
    let refusal = shared.lock().plan.on_fetch();
    if let Some(status) = refusal {
        return respond(stream, head, status, r#"{"code":-1003,"msg":"Too many requests."}"#).await;
    }
    if shared.lock().plan.on_snapshot() {
        sleep(SILENCE).await;
    }
    let until = Instant::now() + PATIENCE;
    loop {
        // Not earlier than its place in the recording.
        let body = shared.lock().world.depth(&symbol, limit);
        match body {
            Some(body) => return respond(stream, head, 200, &body).await,
            None if Instant::now() > until => {
                return respond(stream, head, 503, r#"{"code":-1000,"msg":"not recorded yet"}"#).await;
            }
            None => sleep(Duration::from_millis(20)).await,
        }
    }
}

async fn respond(stream: &mut TcpStream, head: &str, status: u16, body: &str) -> std::io::Result<()> {
    let mut consumed = vec![0; head.len()];
    stream.read_exact(&mut consumed).await?;
    let response = format!(
        "HTTP/1.1 {status} Simulated\r\nContent-Type: application/json\r\n{REPLAYED_HEADER}: 1\r\nRetry-After: 1\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(response.as_bytes()).await?;
    stream.shutdown().await
}

type Socket = WebSocketStream<TcpStream>;

async fn socket(shared: &Arc<Shared>, stream: TcpStream, path: &str) -> std::io::Result<()> {
    let name = HeaderValue::from_str(&shared.name).unwrap_or(HeaderValue::from_static("1"));
    #[allow(clippy::result_large_err, reason = "tungstenite's own signature")]
    let mark = move |_: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
        response.headers_mut().insert(REPLAYED_HEADER, name);
        Ok(response)
    };
    let mut socket = tokio_tungstenite::accept_hdr_async(stream, mark).await.map_err(std::io::Error::other)?;
    let (frames, mut incoming) = mpsc::channel(QUEUE_FRAMES);
    let mut session = Session::default();
    let opening = with_venue(shared, |venue| session.open(path, venue));
    shared.lock().clients.push(Client { frames });
    begin(shared, &session);
    if !write(&mut socket, opening).await? {
        return Ok(());
    }
    let mut beat = tokio::time::interval(Duration::from_secs(1));
    let mut ping = tokio::time::interval(shared.wire.ping_period().unwrap_or(Duration::from_secs(3_600)));
    ping.reset();
    loop {
        let outputs = tokio::select! {
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => with_venue(shared, |venue| session.on_text(&text, venue)),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Ok(()),
                Some(Ok(_)) => Vec::new(),
            },
            emission = incoming.recv() => match emission {
                Some(emission) => with_venue(shared, |venue| session.on_emission(&emission, venue)),
                None => vec![Output::Close(1008)],
            },
            _ = beat.tick() => session.heartbeat(shared.wire, now_ms()).into_iter().collect(),
            _ = ping.tick() => {
                socket.send(Message::Ping(now_ms().to_string().into())).await.map_err(std::io::Error::other)?;
                Vec::new()
            }
        };
        begin(shared, &session);
        if !write(&mut socket, outputs).await? {
            return Ok(());
        }
    }
}

fn with_venue<T>(shared: &Shared, act: impl FnOnce(&mut Venue<'_>) -> T) -> T {
    let mut state = shared.lock();
    let super::State { world, plan, .. } = &mut *state;
    act(&mut Venue { wire: shared.wire, world, plan, wall_ms: now_ms() })
}

fn begin(shared: &Shared, session: &Session) {
    if session.is_subscribed() && shared.lock().world.start(shared.now()) {
        shared.started.notify_one();
    }
}

/// Whether the connection goes on.
async fn write(socket: &mut Socket, outputs: Vec<Output>) -> std::io::Result<bool> {
    for output in outputs {
        let message = match output {
            Output::Text(text) => Message::text(text),
            Output::Binary(bytes) => Message::binary(bytes),
            Output::CloseSoon => {
                sleep(Duration::from_secs(2)).await;
                close(socket, 1001).await;
                return Ok(false);
            }
            Output::Close(1006) => return Ok(false),
            Output::Close(code) => {
                close(socket, code).await;
                return Ok(false);
            }
            Output::Reset => {
                socket2::SockRef::from(socket.get_ref()).set_linger(Some(Duration::ZERO))?;
                return Ok(false);
            }
            Output::Silence => {
                sleep(SILENCE).await;
                return Ok(false);
            }
            Output::Crawl => return crawl(socket).await.map(|()| false),
        };
        socket.send(message).await.map_err(std::io::Error::other)?;
    }
    Ok(true)
}

async fn close(socket: &mut Socket, code: u16) {
    let frame = CloseFrame { code: CloseCode::from(code), reason: "simulated".into() };
    let closing = async {
        if socket.close(Some(frame)).await.is_ok() {
            while let Some(Ok(_)) = socket.next().await {}
        }
    };
    // A client that does not answer is left.
    let _late = timeout(Duration::from_secs(1), closing).await;
}

/// A frame of a thousand bytes, of which one comes in two tenths of a second.
async fn crawl(socket: &mut Socket) -> std::io::Result<()> {
    let stream = socket.get_mut();
    stream.write_all(&[0x81, 126, 0x03, 0xe8]).await?;
    for _ in 0..900 {
        stream.write_all(b"x").await?;
        sleep(Duration::from_millis(200)).await;
    }
    sleep(SILENCE).await;
    Ok(())
}
