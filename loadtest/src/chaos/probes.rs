//! Users with bad luck or bad intent, and questions put to the cluster: what a crowd of honest clients would never show.

use std::{collections::BTreeSet, time::Duration};

use tickwire_auth::{
    Secret,
    issue::{Signer, TokenClaims},
};
use tickwire_client::{
    Emitter,
    emitter::{Outgoing, Revocation},
};
use tickwire_protocol::{
    ChannelName, CloseCode, Command, Priority, SubscriptionRequest, UserId, codec::ServerEvent, time::now_ms,
};
use tokio::time::{Instant, sleep, timeout};

use super::{
    crowd::{Crowd, ROOM, token},
    fleet::{Fleet, OUTBOX_BYTES, SECRET},
    ledger::{Intrusion, Overtake, PresenceCheck, Revoked, Stuck},
    publisher::{alert, payload},
    watch::Payload,
    wire::{Came, Refusal, Wire},
};

/// How long a revoked user is watched.
const WATCHED: Duration = Duration::from_secs(12);
/// What may come late: messages published in this time after the confirmation.
const REVOCATION_MS: u64 = 1_000;
/// How long presence may take to be right.
const PRESENCE_PATIENCE: Duration = Duration::from_secs(12);
/// Readers that get stuck at once.
const STUCK_READERS: u64 = 8;
/// Bytes of a message that they do not read.
const STUCK_MESSAGE: usize = 16 << 10;
/// Bytes of a message that no tiny buffer of Redis holds.
const BURST_MESSAGE: usize = 48 << 10;
/// What the kernel is asked to hold for a reader that does not read.
const SMALL_BUFFER: u32 = 4_096;
/// What an edge's memory may grow by for other reasons while readers are stuck: its allocator's habits, other clients.
const GROWTH_ALLOWED: u64 = 96 << 20;

async fn subscribe(wire: &mut Wire, channels: &[&str]) {
    let requests = channels.iter().filter_map(|name| ChannelName::new(name).ok());
    let channels = requests.map(|name| Ok(SubscriptionRequest::new(name))).collect();
    // If it is gone, reading says so.
    let _ = wire.send(Command::Subscribe { channels }).await;
}

/// Connects a user to a busy channel, revokes the user, and looks what still comes. `None` if there was nothing to revoke
/// from, or nobody took the revocation.
pub(crate) async fn revoke(fleet: &Fleet, emitter: &Emitter, number: usize) -> anyhow::Result<Option<Revoked>> {
    let user = format!("revoked{number}");
    let claims = TokenClaims::new(UserId::new(&user)?).grant("session:c*").token_id(user.clone());
    let token = Signer::new(&Secret::new(SECRET))?.sign(&claims)?;
    let Ok(mut wire) = Wire::connect(fleet.client_port, &token).await else { return Ok(None) };
    subscribe(&mut wire, &["session:c0"]).await;
    let joined = async {
        loop {
            match wire.next().await {
                Came::Events(events) if events.iter().any(|event| matches!(event, ServerEvent::Subscribed(_))) => {
                    return true;
                }
                Came::End(_) => return false,
                _ => {}
            }
        }
    };
    if !timeout(Duration::from_secs(5), joined).await.unwrap_or(false) {
        return Ok(None);
    }
    if emitter.revoke(&Revocation::User { user_id: UserId::new(&user)?, iat: None }).await.is_err() {
        return Ok(None);
    }
    let confirmed_ms = now_ms();
    let mut late = 0;
    let watching = async {
        loop {
            match wire.next().await {
                Came::Events(events) => {
                    let messages = events.iter().filter_map(|event| match event {
                        ServerEvent::Message(message) => Payload::of(&message.data),
                        _ => None,
                    });
                    late += messages.filter(|payload| payload.t > confirmed_ms + REVOCATION_MS).count() as u64;
                }
                Came::SignOfLife => {}
                Came::End(_) => return,
            }
        }
    };
    // A connection that ends early was ended by the revocation, or by a fault.
    let _ = timeout(WATCHED, watching).await;
    let mut came_back = false;
    for _ in 0..3 {
        came_back |= is_admitted(fleet.client_port, &token).await;
    }
    Ok(Some(Revoked { user, late, came_back }))
}

async fn is_admitted(port: u16, token: &str) -> bool {
    let Ok(mut wire) = Wire::connect(port, token).await else { return false };
    let answer = async {
        loop {
            match wire.next().await {
                Came::Events(events) => {
                    return events.iter().any(|event| matches!(event, ServerEvent::Connected(_)));
                }
                Came::SignOfLife => {}
                Came::End(_) => return false,
            }
        }
    };
    timeout(Duration::from_secs(5), answer).await.unwrap_or(false)
}

/// A user without grants asks for what belongs to others.
pub(crate) async fn intrude(fleet: &Fleet, found: &mut Intrusion) -> anyhow::Result<()> {
    let claims = TokenClaims::new(UserId::new("intruder")?).grant("session:own");
    let token = Signer::new(&Secret::new(SECRET))?.sign(&claims)?;
    let mut wire = match Wire::connect(fleet.client_port, &token).await {
        Ok(wire) => wire,
        Err(Refusal::Status(_) | Refusal::Link) => return Ok(()),
    };
    subscribe(&mut wire, &["session:c0", "user:u0", "user:u0:orders", "orders"]).await;
    let listening = async {
        loop {
            let Came::Events(events) = wire.next().await else { return };
            for event in events {
                match event {
                    ServerEvent::Subscribed(_) | ServerEvent::Message(_) => found.admitted += 1,
                    ServerEvent::Error(_) => found.refused += 1,
                    _ => {}
                }
            }
        }
    };
    // Silence is what is wanted.
    let _ = timeout(Duration::from_secs(3), listening).await;
    Ok(())
}

/// Compares the room's members at the emitter with those that are connected, until they are the same.
pub(crate) async fn presence(
    crowd: &Crowd,
    emitter: &Emitter,
    round: usize,
    after_crash: bool,
) -> anyhow::Result<PresenceCheck> {
    let begun = Instant::now();
    let room = ChannelName::new(ROOM)?;
    let mut check = PresenceCheck { round, after_crash, ..PresenceCheck::default() };
    while begun.elapsed() < PRESENCE_PATIENCE {
        if let Ok(listed) = emitter.presence(&room).await {
            let listed: BTreeSet<String> = listed.users.iter().map(ToString::to_string).collect();
            let present = crowd.present();
            check.ghosts = listed.difference(&present).cloned().collect();
            check.missing = present.difference(&listed).cloned().collect();
            if listed == present {
                check.equal_after_ms = Some(u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX));
                return Ok(check);
            }
        }
        sleep(Duration::from_millis(200)).await;
    }
    Ok(check)
}

/// Connects readers to one edge that stop reading, publishes far more than their budgets, and watches the edge's memory.
pub(crate) async fn stuck_readers(
    fleet: &Fleet,
    emitter: &Emitter,
    edge: usize,
    lasts: Duration,
) -> anyhow::Result<Option<Stuck>> {
    let name = format!("session:cstuck{edge}");
    let mut wires = Vec::new();
    for _ in 0..STUCK_READERS {
        let token = token("stuck")?;
        let port = fleet.edges[edge].port;
        if let Ok(mut wire) = Wire::connect_with_buffer(port, &token, Some(SMALL_BUFFER)).await {
            subscribe(&mut wire, &[&name]).await;
            wires.push(wire);
        }
    }
    let Some(before_bytes) = fleet.edge_memory(edge).await else { return Ok(None) };
    let (mut peak_bytes, mut published_bytes) = (before_bytes, 0);
    let until = Instant::now() + lasts;
    while Instant::now() < until {
        let mut batch = Vec::new();
        for number in 0..8 {
            batch.push(Outgoing::new(ChannelName::new(&name)?, payload(number, STUCK_MESSAGE)?));
        }
        // What is not published does not burden anybody.
        if let Ok(Ok(results)) = timeout(Duration::from_secs(2), emitter.publish_batch(batch)).await {
            published_bytes += results.iter().filter(|result| result.is_ok()).count() as u64 * STUCK_MESSAGE as u64;
        }
        // An edge that was killed meanwhile starts small.
        peak_bytes = peak_bytes.max(fleet.edge_memory(edge).await.unwrap_or(0));
        sleep(Duration::from_millis(50)).await;
    }
    let readers = wires.len() as u64;
    let allowed_bytes = readers * 2 * OUTBOX_BYTES + GROWTH_ALLOWED;
    let closed = futures_util::future::join_all(wires.iter_mut().map(is_closed_as_slow)).await;
    let closed = closed.into_iter().filter(|&closed| closed).count() as u64;
    Ok(Some(Stuck { edge, readers, closed, published_bytes, before_bytes, peak_bytes, allowed_bytes }))
}

/// Reads what is left for a while; the close code comes last.
async fn is_closed_as_slow(wire: &mut Wire) -> bool {
    let reading = async {
        loop {
            if let Came::End(code) = wire.next().await {
                return code == Some(CloseCode::TooSlow.as_u16());
            }
        }
    };
    timeout(Duration::from_secs(3), reading).await.unwrap_or(false)
}

/// Lets a client of each edge follow a channel of messages that are larger than a tiny buffer of Redis: each of them makes it
/// cut the subscribers.
pub(crate) async fn burst(fleet: &Fleet, emitter: &Emitter, lasts: Duration) -> anyhow::Result<()> {
    let name = "session:cburst";
    let mut readers = tokio::task::JoinSet::new();
    for edge in &fleet.edges {
        if let Ok(mut wire) = Wire::connect(edge.port, &token("burst")?).await {
            subscribe(&mut wire, &[name]).await;
            readers.spawn(async move { while !matches!(wire.next().await, Came::End(_)) {} });
        }
    }
    let until = Instant::now() + lasts;
    while Instant::now() < until {
        let message = Outgoing::new(ChannelName::new(name)?, payload(1, BURST_MESSAGE)?);
        // What is not published burdens nobody.
        let _ = timeout(Duration::from_secs(2), emitter.publish(message)).await;
        sleep(Duration::from_millis(250)).await;
    }
    Ok(())
}

/// A client does not read; a queue forms; an alert is published behind it; the client reads again.
pub(crate) async fn overtake(fleet: &Fleet, emitter: &Emitter, number: usize) -> anyhow::Result<Option<Overtake>> {
    const ORDINARY: u64 = 24;
    let user = format!("overtaker{number}");
    let (queue, inbox) = (format!("session:cqueue{number}"), format!("user:{user}"));
    let port = fleet.edges[number % fleet.edges.len()].port;
    let Ok(mut wire) = Wire::connect_with_buffer(port, &token(&user)?, Some(SMALL_BUFFER)).await else {
        return Ok(None);
    };
    subscribe(&mut wire, &[&queue, &inbox]).await;
    let mut joined = 0;
    let joining = async {
        while joined < 2 {
            let Came::Events(events) = wire.next().await else { return };
            joined += events.iter().filter(|event| matches!(event, ServerEvent::Subscribed(_))).count();
        }
    };
    if timeout(Duration::from_secs(5), joining).await.is_err() || joined < 2 {
        return Ok(None);
    }
    for number in 0..ORDINARY {
        let message = Outgoing::new(ChannelName::new(&queue)?, payload(number, 8 << 10)?);
        if emitter.publish(message).await.is_err() {
            return Ok(None);
        }
    }
    if emitter.notify(&UserId::new(&user)?, &alert(1)?).await.is_err() {
        return Ok(None);
    }
    // Time for it to reach the edge.
    sleep(Duration::from_millis(500)).await;
    let mut overtake = Overtake { ordinary: ORDINARY, ..Overtake::default() };
    let mut read = 0;
    let reading = async {
        while read < ORDINARY || !overtake.critical_came {
            match wire.next().await {
                Came::Events(events) => {
                    for event in events {
                        let ServerEvent::Message(message) = event else { continue };
                        if message.priority == Priority::Critical {
                            overtake.critical_came = true;
                            overtake.overtaken = ORDINARY - read;
                        } else {
                            read += 1;
                        }
                    }
                }
                Came::SignOfLife => {}
                Came::End(_) => return false,
            }
        }
        true
    };
    match timeout(Duration::from_secs(10), reading).await {
        // Closed or silent for another reason: this says nothing about order.
        Ok(false) => Ok(None),
        Ok(true) | Err(_) => Ok(Some(overtake)),
    }
}
