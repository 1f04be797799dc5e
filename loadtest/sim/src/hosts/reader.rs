//! A program with the shipped client: subscribes, and tells what it hears.

use std::{collections::BTreeSet, time::Duration};

use rand::RngExt;
use tickwire_client::{Client, Delivery, SubscribeOptions, Subscription, SubscriptionEvent};
use tickwire_protocol::{ChannelName, Position};

use crate::{
    cluster::{EDGES, client_options, token},
    journal::Journal,
    oracle::{Event, MessageId, Reader},
};

/// Pause before a refused subscription is tried again.
const RETRY: Duration = Duration::from_secs(2);
/// How long a device that only looks what it is owed waits for it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Who reads what.
#[derive(Debug, Clone, Copy)]
pub struct Profile {
    /// Its host, and its user's id.
    pub name: Reader,
    /// Another user's id than its name.
    pub user: Option<&'static str>,
    /// Of its token.
    pub roles: &'static [&'static str],
    /// Of its token.
    pub grants: &'static [&'static str],
    /// What it subscribes to.
    pub channels: &'static [&'static str],
    /// The edge that it prefers.
    pub edge: usize,
    /// How many edges it knows.
    pub edges: usize,
    /// Acknowledges about half of what its inbox brings.
    pub acknowledges: bool,
}

impl Profile {
    /// One with grants for sessions and the role `desk`.
    pub const fn desk(name: Reader, edge: usize, channels: &'static [&'static str]) -> Self {
        Self {
            name,
            user: None,
            roles: &["desk"],
            grants: &["session:*"],
            channels,
            edge,
            edges: EDGES.len(),
            acknowledges: false,
        }
    }

    fn user(&self) -> &'static str {
        self.user.unwrap_or(self.name)
    }

    pub(super) fn client(&self) -> Client {
        let token = token(self.user(), self.roles, self.grants);
        Client::connect(client_options(token, self.edge, self.edges)).expect("a client")
    }
}

/// Reads until the host dies.
pub async fn run(journal: Journal, profile: Profile) -> turmoil::Result {
    journal.tell(Event::Forgot { reader: profile.name });
    follow(&journal, profile, &profile.client());
    std::future::pending().await
}

/// Reads every channel of the profile, each in a task of its own.
pub(super) fn follow(journal: &Journal, profile: Profile, client: &Client) {
    for channel in profile.channels {
        let (journal, client) = (journal.clone(), client.clone());
        tokio::task::spawn_local(async move {
            loop {
                let name = ChannelName::new(channel).expect("a channel's name");
                if let Ok(subscription) = client.subscribe(name, SubscribeOptions::default()).await {
                    listen(&journal, &profile, &client, subscription).await;
                }
                tokio::time::sleep(RETRY).await;
            }
        });
    }
}

async fn listen(journal: &Journal, profile: &Profile, client: &Client, mut subscription: Subscription) {
    let reader = profile.name;
    let channel = subscription.channel().as_str().to_owned();
    while let Some(event) = subscription.next_event().await {
        let channel = channel.clone();
        journal.tell(match event {
            SubscriptionEvent::Subscribed { position, .. } => Event::Subscribed { reader, channel, position },
            SubscriptionEvent::Recovered { complete, position } => {
                Event::Recovered { reader, channel, complete, position }
            }
            SubscriptionEvent::Reset { position, .. } => Event::Reset { reader, channel, position },
            SubscriptionEvent::Message(delivery) => {
                if let Some(position) = delivery.message.position
                    && profile.acknowledges
                    && channel.starts_with("user:")
                    && rand::rng().random_ratio(1, 2)
                {
                    acknowledge(journal.clone(), profile.user(), client.clone(), position);
                }
                delivered(reader, channel, &delivery)
            }
            SubscriptionEvent::Presence { .. }
            | SubscriptionEvent::Acknowledged { .. }
            | SubscriptionEvent::Dropped { .. } => continue,
            SubscriptionEvent::Ended(error) => {
                journal.tell(Event::Ended { reader, channel, why: error.to_string() });
                return;
            }
        });
    }
}

fn delivered(reader: Reader, channel: String, delivery: &Delivery) -> Event {
    let message = &delivery.message;
    let key = message.key.as_deref().map(str::to_owned);
    Event::Delivered {
        reader,
        channel,
        position: message.position,
        key,
        id: id_of(delivery),
        recovered: delivery.recovered,
    }
}

fn id_of(delivery: &Delivery) -> MessageId {
    let data: serde_json::Value = delivery.message.data.to().expect("JSON");
    data["id"].as_u64().expect("every message has its number")
}

fn acknowledge(journal: Journal, user: &'static str, client: Client, position: Position) {
    tokio::task::spawn_local(async move {
        tokio::time::sleep(Duration::from_millis(rand::rng().random_range(0..2_000))).await;
        journal.tell(Event::Acknowledging { user: user.into(), position });
        let inbox = ChannelName::new(&format!("user:{user}")).expect("an inbox's name");
        if client.ack(inbox, vec![position]).await.is_ok() {
            journal.tell(Event::Acknowledged { user: user.into(), position });
        }
    });
}

/// A new device of `user`: what its inbox owes.
pub async fn look_into_inbox(journal: &Journal, user: &'static str) {
    let client = Client::connect(client_options(token(user, &[], &[]), 1, EDGES.len())).expect("a client");
    let inbox = ChannelName::new(&format!("user:{user}")).expect("an inbox's name");
    let mut ids = BTreeSet::new();
    if let Ok(mut subscription) = client.subscribe(inbox, SubscribeOptions::default()).await {
        let all = async {
            while let Ok(delivery) = subscription.next_message().await {
                ids.insert(id_of(&delivery));
            }
        };
        // It ends by the clock: what is owed comes at once, and nobody says which message was the last.
        let _ = tokio::time::timeout(PATIENCE, all).await;
    }
    journal.tell(Event::Owed { user: user.into(), ids });
}
