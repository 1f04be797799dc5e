//! The handle that a program holds.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use futures_util::Stream;
use rand::distr::{Alphanumeric, SampleString};
use tickwire_protocol::{ChannelName, Command, Position, RawJson, SubscriptionRequest};
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    ClientError, ClientOptions, ConnectionState, Delivery, DisconnectReason, History, Presence, Published,
    SubscribeOptions, SubscriptionEvent,
    link::check_urls,
    session::{Reply, SubscriptionId},
    shell::{Order, Shell},
};

/// Orders on their way to the task; a handle that finds it full waits.
const ORDERS_MAX: usize = 256;

/// A connection to the cluster that repairs itself. Cloning gives another handle to the same one; when every handle and
/// every [`Subscription`] is dropped it closes.
#[derive(Debug, Clone)]
pub struct Client {
    orders: mpsc::Sender<Order>,
    state: watch::Receiver<ConnectionState>,
    next_subscription: Arc<AtomicU64>,
    subscription_buffer: usize,
}

impl Client {
    /// Begins to connect and returns at once; fails only for options that can never work. Must run inside a tokio runtime.
    pub fn connect(options: ClientOptions) -> Result<Self, ClientError> {
        check_urls(&options)?;
        let (orders, received) = mpsc::channel(ORDERS_MAX);
        let (state, watched) = watch::channel(ConnectionState::Connecting);
        let subscription_buffer = options.subscription_buffer.max(1);
        tokio::spawn(Shell::new(options, rand::random(), received, state).run());
        Ok(Self { orders, state: watched, next_subscription: Arc::default(), subscription_buffer })
    }

    /// The connection's state, now and as it changes.
    pub fn state(&self) -> watch::Receiver<ConnectionState> {
        self.state.clone()
    }

    /// Waits until the client is connected; fails when it stopped.
    pub async fn connected(&self) -> Result<(), ClientError> {
        let mut state = self.state();
        let reached = state
            .wait_for(|state| matches!(state, ConnectionState::Connected { .. } | ConnectionState::Disconnected(_)))
            .await
            .map_err(|_| stopped())?;
        match &*reached {
            ConnectionState::Disconnected(reason) => Err(ClientError::Disconnected(reason.clone())),
            _ => Ok(()),
        }
    }

    /// Subscribes, now or as soon as there is a connection. What becomes of it is the stream's first event. A channel has
    /// one subscription in a client.
    pub async fn subscribe(
        &self,
        channel: ChannelName,
        options: SubscribeOptions,
    ) -> Result<Subscription, ClientError> {
        let SubscribeOptions { since, filter, max_rate, keys, delta, trace, params } = options;
        let request =
            SubscriptionRequest { channel: channel.clone(), since, filter, max_rate, keys, delta, trace, params };
        let id = SubscriptionId(self.next_subscription.fetch_add(1, Ordering::Relaxed));
        let (events, received) = mpsc::channel(self.subscription_buffer);
        self.orders.send(Order::Subscribe { id, request, events }).await.map_err(|_| stopped())?;
        Ok(Subscription { id, channel, events: received, orders: self.orders.clone() })
    }

    /// Publishes as a client, where the namespace allows it. Without a key of the caller's own, one is made: a repetition
    /// after a lost connection never publishes twice.
    pub async fn publish(
        &self,
        channel: ChannelName,
        data: RawJson,
        idempotency_key: Option<String>,
    ) -> Result<Published, ClientError> {
        let idempotency_key = Some(idempotency_key.unwrap_or_else(new_key));
        match self.call(Command::Publish { channel: Ok(channel), key: None, data, idempotency_key }).await? {
            Reply::Published(published) => Ok(published),
            other => Err(unexpected(&other)),
        }
    }

    /// Reads stored messages after `since` (exclusive), or from the oldest; newest first if `reverse`.
    pub async fn history(
        &self,
        channel: ChannelName,
        since: Option<Position>,
        limit: Option<u32>,
        reverse: bool,
    ) -> Result<History, ClientError> {
        match self.call(Command::History { channel: Ok(channel), since, limit, reverse }).await? {
            Reply::History(history) => Ok(history),
            other => Err(unexpected(&other)),
        }
    }

    /// Who is in a channel.
    pub async fn presence(&self, channel: ChannelName) -> Result<Presence, ClientError> {
        match self.call(Command::Presence { channel: Ok(channel) }).await? {
            Reply::Presence(presence) => Ok(presence),
            other => Err(unexpected(&other)),
        }
    }

    /// Acknowledges inbox messages: ordinary ones up to the greatest position named, critical ones each by itself.
    pub async fn ack(&self, channel: ChannelName, positions: Vec<Position>) -> Result<Position, ClientError> {
        match self.call(Command::Ack { channel: Ok(channel), positions }).await? {
            Reply::Acked(position) => Ok(position),
            other => Err(unexpected(&other)),
        }
    }

    /// Reads the user's notification preferences, after merging `set` into them.
    pub async fn preferences(&self, set: Option<RawJson>) -> Result<RawJson, ClientError> {
        match self.call(Command::Preferences { set }).await? {
            Reply::Preferences(preferences) => Ok(preferences),
            other => Err(unexpected(&other)),
        }
    }

    /// Asks the edge for its time, milliseconds since the Unix epoch.
    pub async fn ping(&self) -> Result<u64, ClientError> {
        match self.call(Command::Ping).await? {
            Reply::Pong(time_ms) => Ok(time_ms),
            other => Err(unexpected(&other)),
        }
    }

    /// Closes the connection; every subscription and every waiting call ends.
    pub async fn close(&self) {
        if self.orders.send(Order::Stop).await.is_ok() {
            self.orders.closed().await;
        }
    }

    async fn call(&self, command: Command) -> Result<Reply, ClientError> {
        let (reply, answer) = oneshot::channel();
        self.orders.send(Order::Call { command, reply }).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

/// Messages of one channel, over every reconnect. A bounded [`Stream`] of [`SubscriptionEvent`]s: a consumer that does not
/// keep up stops the whole client's reading (see [`ClientOptions::subscription_buffer`]). Dropping it unsubscribes.
#[derive(Debug)]
pub struct Subscription {
    id: SubscriptionId,
    channel: ChannelName,
    events: mpsc::Receiver<SubscriptionEvent>,
    orders: mpsc::Sender<Order>,
}

impl Subscription {
    /// The channel.
    pub fn channel(&self) -> &ChannelName {
        &self.channel
    }

    /// The next event; `None` after [`SubscriptionEvent::Ended`].
    pub async fn next_event(&mut self) -> Option<SubscriptionEvent> {
        self.events.recv().await
    }

    /// The next message, passing over every other event but the end.
    pub async fn next_message(&mut self) -> Result<Delivery, ClientError> {
        loop {
            match self.next_event().await {
                Some(SubscriptionEvent::Message(delivery)) => return Ok(delivery),
                Some(SubscriptionEvent::Ended(error)) => return Err(error),
                Some(_) => {}
                None => return Err(stopped()),
            }
        }
    }
}

impl Stream for Subscription {
    type Item = SubscriptionEvent;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.events.poll_recv(context)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        // If no order fits now, the task notices at the next message that nobody receives it.
        let _ = self.orders.try_send(Order::Unsubscribe { id: self.id });
    }
}

/// A fresh idempotency key.
pub(crate) fn new_key() -> String {
    Alphanumeric.sample_string(&mut rand::rng(), 24)
}

fn stopped() -> ClientError {
    ClientError::Disconnected(DisconnectReason::ClosedHere)
}

fn unexpected(reply: &Reply) -> ClientError {
    ClientError::Unexpected(format!("{reply:?}"))
}
