//! The task behind a [`crate::Client`]: carries out what the session decides.

use std::{
    collections::{HashMap, VecDeque},
    future::{Future, pending},
    pin::Pin,
    sync::Arc,
};

use tickwire_protocol::{Command, SubscriptionRequest};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep_until, timeout},
};

use crate::{
    ClientError, ClientOptions, ConnectionState, SubscriptionEvent, TokenSource,
    link::{Incoming, Link},
    session::{CallId, DialFailure, Effect, Input, Reply, Session, SessionOptions, SubscriptionId},
};

/// What handles ask of the task.
#[derive(Debug)]
pub(crate) enum Order {
    Subscribe { id: SubscriptionId, request: SubscriptionRequest, events: mpsc::Sender<SubscriptionEvent> },
    Unsubscribe { id: SubscriptionId },
    Call { command: Command, reply: oneshot::Sender<Result<Reply, ClientError>> },
    Stop,
}

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

pub(crate) struct Shell {
    options: Arc<ClientOptions>,
    session: Session,
    orders: mpsc::Receiver<Order>,
    state: watch::Sender<ConnectionState>,
    link: Option<Link>,
    dial: Option<Boxed<Result<Link, DialFailure>>>,
    token: Option<Boxed<Option<String>>>,
    consumers: HashMap<SubscriptionId, mpsc::Sender<SubscriptionEvent>>,
    replies: HashMap<CallId, oneshot::Sender<Result<Reply, ClientError>>>,
    next_call: u64,
    /// Events that found their consumer's buffer full, in order. While there are any, the link is not read: so this holds
    /// at most what one frame unpacks to.
    backlog: VecDeque<(SubscriptionId, SubscriptionEvent)>,
}

/// One thing that happened.
enum Happening {
    Order(Option<Order>),
    Token(Option<String>),
    Dialed(Result<Link, DialFailure>),
    Came(Incoming),
    Room,
    Timer,
}

/// What became of an event.
enum Handed {
    Taken,
    Full(SubscriptionEvent),
    Gone,
}

impl Shell {
    pub(crate) fn new(
        options: ClientOptions,
        seed: u64,
        orders: mpsc::Receiver<Order>,
        state: watch::Sender<ConnectionState>,
    ) -> Self {
        let session_options = SessionOptions {
            url_count: options.urls.len(),
            token_placement: options.token_placement,
            token_renews: matches!(options.token, TokenSource::Provider(_)),
            backoff: options.backoff,
            connect_timeout: options.connect_timeout,
            call_timeout: options.call_timeout,
            calls_max: options.calls_max,
        };
        Self {
            options: Arc::new(options),
            session: Session::new(session_options, seed),
            orders,
            state,
            link: None,
            dial: None,
            token: None,
            consumers: HashMap::new(),
            replies: HashMap::new(),
            next_call: 0,
            backlog: VecDeque::new(),
        }
    }

    pub(crate) async fn run(mut self) {
        self.feed(Input::Start).await;
        loop {
            let happening = self.wait().await;
            match happening {
                Happening::Order(order) => {
                    if self.obey(order.unwrap_or(Order::Stop)).await {
                        break;
                    }
                }
                Happening::Token(token) => {
                    self.token = None;
                    self.feed(Input::Token(token)).await;
                }
                Happening::Dialed(dialed) => {
                    self.dial = None;
                    match dialed {
                        Ok(link) => {
                            self.link = Some(link);
                            self.feed(Input::Opened).await;
                        }
                        Err(failure) => self.feed(Input::DialFailed(failure)).await,
                    }
                }
                Happening::Came(incoming) => self.take(incoming).await,
                Happening::Room => self.flush().await,
                Happening::Timer => {
                    // While a consumer holds the client up nothing is read, so silence says nothing about the server.
                    if !self.backlog.is_empty() {
                        self.feed(Input::SignOfLife).await;
                    }
                    self.feed(Input::Timer).await;
                }
            }
        }
        self.say_farewell().await;
    }

    async fn wait(&mut self) -> Happening {
        let deadline = self.session.deadline();
        let reads = self.backlog.is_empty();
        let first_waiting = self.backlog.front().and_then(|(id, _)| self.consumers.get(id));
        tokio::select! {
            order = self.orders.recv() => Happening::Order(order),
            token = or_never(self.token.as_mut()) => Happening::Token(token),
            dialed = or_never(self.dial.as_mut()) => Happening::Dialed(dialed),
            () = has_room(first_waiting), if !reads => Happening::Room,
            incoming = read(self.link.as_mut()), if reads => Happening::Came(incoming),
            () = sleep_or_never(deadline) => Happening::Timer,
        }
    }

    /// True when the client is done.
    async fn obey(&mut self, order: Order) -> bool {
        match order {
            Order::Subscribe { id, request, events } => {
                self.consumers.insert(id, events);
                self.feed(Input::Subscribe { id, request }).await;
            }
            Order::Unsubscribe { id } => {
                self.consumers.remove(&id);
                self.backlog.retain(|(to, _)| *to != id);
                self.feed(Input::Unsubscribe { id }).await;
            }
            Order::Call { command, reply } => {
                let id = CallId(self.next_call);
                self.next_call += 1;
                self.replies.insert(id, reply);
                self.feed(Input::Call { id, command }).await;
            }
            Order::Stop => {
                self.feed(Input::Stop).await;
                return true;
            }
        }
        false
    }

    async fn take(&mut self, incoming: Incoming) {
        match incoming {
            Incoming::Events(events) => {
                for event in events {
                    self.feed(Input::Event(event)).await;
                }
            }
            Incoming::SignOfLife => self.feed(Input::SignOfLife).await,
            Incoming::Ended(end) => {
                self.link = None;
                self.feed(Input::Ended(end)).await;
            }
        }
    }

    /// Gives the session an input and carries out what follows, which may be further inputs.
    async fn feed(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            for effect in self.session.handle(Instant::now(), input) {
                if let Some(consequence) = self.carry_out(effect).await {
                    inputs.push_back(consequence);
                }
            }
        }
    }

    async fn carry_out(&mut self, effect: Effect) -> Option<Input> {
        match effect {
            Effect::FetchToken => self.token = Some(self.fetch_token()),
            Effect::Dial { url, token } => {
                let options = self.options.clone();
                self.dial = Some(Box::pin(async move { Link::dial(&options, url, &token).await }));
            }
            Effect::Send(requests) => {
                let end = self.link.as_mut()?.send(&requests).await.err()?;
                self.link = None;
                return Some(Input::Ended(end));
            }
            Effect::Drop { code } => {
                self.dial = None;
                if let Some(link) = self.link.take() {
                    // In a task of its own: a dead link must not hold up the next one. It ends within a second.
                    tokio::spawn(link.close(code));
                }
            }
            Effect::Deliver { to, event } => return self.deliver(to, event),
            Effect::Answer { to, result } => {
                if let Some(reply) = self.replies.remove(&to)
                    && reply.send(result).is_err()
                {
                    tracing::trace!("nobody waits for this answer any more");
                }
            }
            Effect::State(state) => {
                self.state.send_replace(state);
            }
        }
        None
    }

    fn fetch_token(&self) -> Boxed<Option<String>> {
        let provider = match &self.options.token {
            TokenSource::Fixed(token) => {
                let token = token.clone();
                return Box::pin(async move { Some(token) });
            }
            TokenSource::Provider(provider) => provider.clone(),
        };
        let limit = self.options.connect_timeout;
        Box::pin(async move {
            match timeout(limit, provider()).await {
                Ok(Ok(token)) => Some(token),
                Ok(Err(error)) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "trying again later");
                    None
                }
                Err(_) => {
                    tracing::warn!("the token source gives no answer; trying again later");
                    None
                }
            }
        })
    }

    /// Hands over what fits; a consumer that is gone unsubscribes.
    fn deliver(&mut self, to: SubscriptionId, event: SubscriptionEvent) -> Option<Input> {
        if self.backlog.is_empty() {
            match self.hand_over(to, event) {
                Handed::Taken => {}
                Handed::Full(event) => self.backlog.push_back((to, event)),
                Handed::Gone => return Some(Input::Unsubscribe { id: to }),
            }
        } else {
            self.backlog.push_back((to, event));
        }
        None
    }

    async fn flush(&mut self) {
        while let Some((to, event)) = self.backlog.pop_front() {
            match self.hand_over(to, event) {
                Handed::Taken => {}
                Handed::Full(event) => return self.backlog.push_front((to, event)),
                Handed::Gone => self.feed(Input::Unsubscribe { id: to }).await,
            }
        }
    }

    fn hand_over(&mut self, to: SubscriptionId, event: SubscriptionEvent) -> Handed {
        // Its order to unsubscribe has been here already.
        let Some(consumer) = self.consumers.get(&to) else { return Handed::Taken };
        let last = matches!(event, SubscriptionEvent::Ended(_));
        let handed = match consumer.try_send(event) {
            Ok(()) => Handed::Taken,
            Err(mpsc::error::TrySendError::Full(event)) => return Handed::Full(event),
            Err(mpsc::error::TrySendError::Closed(_)) => Handed::Gone,
        };
        if last || matches!(handed, Handed::Gone) {
            self.consumers.remove(&to);
        }
        handed
    }

    /// Lets the consumers that still read have what waits, and `Ended` after it; the others are let go with their buffers.
    async fn say_farewell(mut self) {
        self.orders.close();
        while let Some((to, event)) = self.backlog.pop_front() {
            if let Some(consumer) = self.consumers.get(&to)
                && consumer.send(event).await.is_err()
            {
                self.consumers.remove(&to);
            }
        }
    }
}

async fn or_never<T>(future: Option<&mut Boxed<T>>) -> T {
    match future {
        Some(future) => future.await,
        None => pending().await,
    }
}

async fn read(link: Option<&mut Link>) -> Incoming {
    match link {
        Some(link) => link.next().await,
        None => pending().await,
    }
}

async fn sleep_or_never(deadline: Option<Instant>) {
    match deadline {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}

/// Resolves when the consumer has room, or is gone.
async fn has_room(consumer: Option<&mpsc::Sender<SubscriptionEvent>>) {
    if let Some(consumer) = consumer {
        drop(consumer.reserve().await);
    }
}
