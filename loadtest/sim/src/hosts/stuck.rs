//! A reader that gets stuck: it asks for much, reads nothing for a while, and then looks at what it was sent, and in which order.

use std::time::Duration;

use futures_util::StreamExt;
use tickwire_client::{Emitter, emitter::Outgoing};
use tickwire_protocol::{ChannelName, CloseCode, Priority, RawJson};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, client::IntoClientRequest, http::header::AUTHORIZATION},
};

use super::{operator::until, publisher::until_done};
use crate::{
    cluster::{EDGES, OUTBOX_BYTES, Phase, Stage, emitters, token, ws},
    journal::Journal,
    net::UNDER_WAY_MAX,
    oracle::Event,
};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

const BULK: &str = "session:bulk";
/// Bytes of a bulk message's data.
const MESSAGE_BYTES: usize = 8 * 1024;
/// Messages of one publish, so that no queue of the store is filled at once.
const BATCH: usize = 11;
/// More than the network holds, and less than network and outbox do together.
const WAITING: usize = 55;
/// More than both.
const TOO_MUCH: usize = 132;
/// From the publish to when everything has been written that can be.
const PAUSE: Duration = Duration::from_millis(150);
/// For the next frame, once it reads.
const PATIENCE: Duration = Duration::from_secs(1);

/// What may have been waiting for it when it reads on: the outbox, what is under way, and the frame that overran them.
const HELD_MAX: usize = OUTBOX_BYTES + UNDER_WAY_MAX + 4 * MESSAGE_BYTES;

/// Gets stuck twice at `edge`, once everything is healed.
pub async fn run(journal: Journal, stage: Stage, name: &'static str, edge: usize) -> turmoil::Result {
    until(&stage, Phase::Liveness).await;
    let inbox = format!("user:{name}");
    let mut socket = connect(name, EDGES[edge], &[BULK, &inbox]).await?;
    let emitter = &emitters()[edge % 2];

    flood(emitter, WAITING).await;
    let critical = Outgoing { priority: Some(Priority::Critical), ..outgoing(&inbox, "urgent") };
    until_done(&emitters(), async |emitter| emitter.publish(critical.clone()).await).await;
    tokio::time::sleep(PAUSE).await;
    let read = read(&mut socket, WAITING + 1).await;
    let bulk_after = read.channels.iter().rev().take_while(|channel| **channel == BULK).count();
    let has_come = read.channels.contains(&inbox);
    journal.tell(Event::Overtaken { bulk_after: if has_come { bulk_after } else { 0 }, backlog: WAITING });

    flood(emitter, TOO_MUCH).await;
    tokio::time::sleep(PAUSE).await;
    let read = self::read(&mut socket, usize::MAX).await;
    let is_closed = read.code == Some(CloseCode::TooSlow.as_u16());
    journal.tell(Event::Stuck { bytes: read.bytes as u64, max: HELD_MAX as u64, is_closed });
    std::future::pending().await
}

async fn connect(user: &str, edge: &str, channels: &[&str]) -> Result<Socket, Box<dyn std::error::Error>> {
    let mut request = ws(edge).into_client_request()?;
    let bearer = format!("Bearer {}", token(user, &["desk"], &["session:*"]));
    request.headers_mut().insert(AUTHORIZATION, bearer.parse()?);
    let (mut socket, _) = connect_async(request).await?;
    let subscribe = serde_json::json!({"id": 1, "type": "subscribe", "channels": channels});
    futures_util::SinkExt::send(&mut socket, Message::text(subscribe.to_string())).await?;
    let mut answers = 0;
    while answers < channels.len() {
        let frame = socket.next().await.ok_or("closed at once")??;
        answers += usize::from(frame.to_text()?.contains(r#""type":"subscribed""#));
    }
    Ok(socket)
}

async fn flood(emitter: &Emitter, messages: usize) {
    for _ in 0..messages / BATCH {
        let filler = "x".repeat(MESSAGE_BYTES);
        let batch = vec![outgoing(BULK, &filler); BATCH];
        // Nothing is broken now; what were refused all the same would show as too little that waits.
        if let Err(error) = emitter.publish_batch(batch).await {
            tracing::warn!(%error, "less waits for the stuck reader than should");
        }
    }
}

fn outgoing(channel: &str, text: &str) -> Outgoing {
    let channel = ChannelName::new(channel).expect("a channel's name");
    Outgoing::new(channel, RawJson::of(&serde_json::json!({"text": text})).expect("JSON"))
}

/// What came once it read.
#[derive(Default)]
struct Read {
    /// Of each message.
    channels: Vec<String>,
    bytes: usize,
    code: Option<u16>,
}

async fn read(socket: &mut Socket, messages: usize) -> Read {
    let mut read = Read::default();
    while read.channels.len() < messages
        && let Ok(Some(Ok(frame))) = timeout(PATIENCE, socket.next()).await
    {
        read.bytes += frame.len();
        match frame {
            Message::Close(close) => {
                read.code = close.map(|close| close.code.into());
                break;
            }
            Message::Text(text) => {
                let frame: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
                if frame["type"] == "message" {
                    read.channels.push(frame["channel"].as_str().unwrap_or_default().to_owned());
                }
            }
            _ => {}
        }
    }
    read
}
