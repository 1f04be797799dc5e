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
    session::{CallId, DialFailure, Effect, Input, Line, Reply, Session, SessionOptions, SubscriptionId},
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
    current: Place,
    next: Place,
    token: Option<Boxed<Option<String>>>,
    consumers: HashMap<SubscriptionId, mpsc::Sender<SubscriptionEvent>>,
    replies: HashMap<CallId, oneshot::Sender<Result<Reply, ClientError>>>,
    next_call: u64,
    /// Events that found their consumer's buffer full, in order. While there are any, the link is not read: so this holds
    /// at most what one frame unpacks to.
    backlog: VecDeque<(SubscriptionId, SubscriptionEvent)>,
}

/// What is on a line: at most one of a link and an attempt to make one.
#[derive(Default)]
struct Place {
    link: Option<Link>,
    dial: Option<Boxed<Result<Link, DialFailure>>>,
}

/// One thing that happened.
enum Happening {
    Order(Option<Order>),
    Token(Option<String>),
    Line(Line, Progress),
    Room,
    Timer,
}

enum Progress {
    Dialed(Result<Link, DialFailure>),
    Came(Incoming),
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
            urls: options.urls.clone(),
            token_placement: options.token_placement,
            device: options.device.clone(),
            token_renews: matches!(options.token, TokenSource::Provider(_)),
            backoff: options.backoff,
            connect_timeout: options.connect_timeout,
            call_timeout: options.call_timeout,
            calls_max: options.calls_max,
            max_rate: options.max_rate,
        };
        Self {
            options: Arc::new(options),
            session: Session::new(session_options, seed),
            orders,
            state,
            current: Place::default(),
            next: Place::default(),
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
                Happening::Line(line, Progress::Dialed(outcome)) => {
                    self.place(line).dial = None;
                    match outcome {
                        Ok(opened) => {
                            self.place(line).link = Some(opened);
                            self.feed(Input::Opened(line)).await;
                        }
                        Err(failure) => {
                            self.feed(Input::DialFailed(line, failure)).await;
                        }
                    }
                }
                Happening::Line(line, Progress::Came(incoming)) => self.take(line, incoming).await,
                Happening::Room => self.flush().await,
                Happening::Timer => {
                    // While a consumer holds the client up nothing is read, so silence says nothing about the server.
                    if !self.backlog.is_empty() {
                        self.feed(Input::SignOfLife(Line::Current)).await;
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
            () = has_room(first_waiting), if !reads => Happening::Room,
            progress = self.current.progress(reads) => Happening::Line(Line::Current, progress),
            progress = self.next.progress(reads) => Happening::Line(Line::Next, progress),
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

    fn place(&mut self, line: Line) -> &mut Place {
        match line {
            Line::Current => &mut self.current,
            Line::Next => &mut self.next,
        }
    }

    async fn take(&mut self, line: Line, incoming: Incoming) {
        match incoming {
            Incoming::Events(events) => {
                let mut line = line;
                for event in events {
                    if self.feed(Input::Event(line, event)).await {
                        match line {
                            // What is left in the frame is of a link that serves no more.
                            Line::Current => return,
                            Line::Next => line = Line::Current,
                        }
                    }
                }
            }
            Incoming::SignOfLife => {
                self.feed(Input::SignOfLife(line)).await;
            }
            Incoming::Ended(end) => {
                self.place(line).link = None;
                self.feed(Input::Ended(line, end)).await;
            }
        }
    }

    /// Gives the session an input and carries out what follows, which may be further inputs. True if the successor
    /// took over.
    async fn feed(&mut self, input: Input) -> bool {
        let mut inputs = VecDeque::from([input]);
        let mut promoted = false;
        while let Some(input) = inputs.pop_front() {
            for effect in self.session.handle(Instant::now(), input) {
                promoted |= matches!(effect, Effect::Promote);
                if let Some(consequence) = self.carry_out(effect).await {
                    inputs.push_back(consequence);
                }
            }
        }
        promoted
    }

    async fn carry_out(&mut self, effect: Effect) -> Option<Input> {
        match effect {
            Effect::FetchToken => self.token = Some(self.fetch_token()),
            Effect::Dial { line, url, token } => {
                let options = self.options.clone();
                self.place(line).dial = Some(Box::pin(async move { Link::dial(&options, &url, &token).await }));
            }
            Effect::Send(line, requests) => {
                let end = self.place(line).link.as_mut()?.send(&requests).await.err()?;
                self.place(line).link = None;
                return Some(Input::Ended(line, end));
            }
            Effect::Promote => self.current = std::mem::take(&mut self.next),
            Effect::Drop { line, code } => {
                if let Some(link) = std::mem::take(self.place(line)).link {
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
                Handed::Gone => {
                    self.feed(Input::Unsubscribe { id: to }).await;
                }
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

impl Place {
    /// The next thing that happens here; never, where nothing is, or nothing may be read. Cancel-safe.
    async fn progress(&mut self, reads: bool) -> Progress {
        match self {
            Self { dial: Some(dial), .. } => Progress::Dialed(dial.await),
            Self { link: Some(link), .. } if reads => Progress::Came(link.next().await),
            _ => pending().await,
        }
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
