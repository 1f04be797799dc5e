//! Namespaces: the policy that a channel's first segment stands for.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{ChannelName, DeliveryClass};

/// Who may read the channels of a namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Every authenticated user.
    Anyone,
    /// The user whose id is the segment after the namespace. No grant in a token opens it to another.
    OwnUser,
    /// A grant in the token, or the owner recorded for the channel.
    Granted,
    /// A role.
    Role(String),
}

/// The policy of a namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Policy {
    /// What delivery promises.
    pub class: DeliveryClass,
    /// Who may read.
    pub access: Access,
    /// Messages kept for recovery; 0 keeps none and numbers none (allowed for `volatile` only).
    pub history_count: u32,
    /// How long an idle channel's history is kept, seconds.
    pub history_ttl_s: u32,
    /// Clients may publish (those who may read).
    pub client_publish: bool,
    /// Presence is tracked and can be asked for (by those who may read).
    pub presence: bool,
    /// Replicas that must have a message before its publish is acknowledged (`WAIT`); 0 = none.
    pub replicas_min: u32,
}

impl Policy {
    /// A `reliable` namespace: 1,000 messages, one day.
    pub fn reliable(access: Access) -> Self {
        Self {
            class: DeliveryClass::Reliable,
            access,
            history_count: 1_000,
            history_ttl_s: 86_400,
            client_publish: false,
            presence: false,
            replicas_min: 0,
        }
    }

    /// A `latest` namespace: the newest value of each of at most 1,000 keys, one day.
    pub fn latest() -> Self {
        Self { class: DeliveryClass::Latest, access: Access::Anyone, ..Self::reliable(Access::Anyone) }
    }

    /// A `volatile` namespace with `history_count` messages for newcomers, kept ten minutes.
    pub fn volatile(history_count: u32) -> Self {
        Self {
            class: DeliveryClass::Volatile,
            access: Access::Anyone,
            history_count,
            history_ttl_s: 600,
            ..Self::reliable(Access::Anyone)
        }
    }

    /// An `inbox`: 1,000 messages for recovery, kept 30 days; what is owed to the user is kept beside it.
    pub fn inbox() -> Self {
        Self {
            class: DeliveryClass::Inbox,
            access: Access::OwnUser,
            history_ttl_s: 30 * 86_400,
            ..Self::reliable(Access::OwnUser)
        }
    }

    /// `history_ttl_s` as a duration.
    pub const fn history_ttl(&self) -> Duration {
        Duration::from_secs(self.history_ttl_s as u64)
    }
}

/// All namespaces of a deployment: what a service makes with [`Namespaces::with`] its configuration.
#[derive(Debug, Clone)]
pub struct Namespaces {
    by_name: HashMap<String, Policy>,
    /// `user:{id}` alone is the inbox; `user:{id}:orders` and the like are reliable.
    user_streams: Policy,
}

impl Namespaces {
    /// The default ones with `configured` laid over them, by namespace.
    pub fn with(configured: &BTreeMap<String, Policy>) -> Self {
        let mut namespaces = Self::default();
        for (name, policy) in configured {
            namespaces.insert(name.clone(), policy.clone());
        }
        namespaces
    }

    /// The policy of `channel`, or `None` where its namespace is unknown.
    pub fn policy(&self, channel: &ChannelName) -> Option<&Policy> {
        let policy = self.by_name.get(channel.namespace())?;
        let segments = channel.segments().count();
        match policy.class {
            DeliveryClass::Inbox if segments == 3 => Some(&self.user_streams),
            DeliveryClass::Inbox if segments != 2 => None,
            _ => Some(policy),
        }
    }

    /// Adds or replaces one.
    pub fn insert(&mut self, name: impl Into<String>, policy: Policy) {
        self.by_name.insert(name.into(), policy);
    }

    /// Every namespace with its policy, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Policy)> {
        self.by_name.iter().map(|(name, policy)| (name.as_str(), policy))
    }
}

impl Default for Namespaces {
    fn default() -> Self {
        let desk = || Policy::reliable(Access::Role("desk".into()));
        let own = || Policy::reliable(Access::OwnUser);
        let mut by_name: HashMap<String, Policy> = HashMap::new();
        by_name.insert("user".into(), Policy::inbox());
        for name in [
            "sessions",
            "wallet-events",
            "balance-updates",
            "transaction-status",
            "order-updates",
            "execution-events",
            "position-changes",
            "agent-signals",
            "performance-updates",
            "status-changes",
        ] {
            by_name.insert(name.into(), own());
        }
        // Users' answers to what agents ask for.
        by_name.insert("approvals".into(), Policy { client_publish: true, ..own() });
        for name in ["session", "strategy"] {
            by_name.insert(name.into(), Policy::reliable(Access::Granted));
        }
        for name in ["orders", "positions", "strategies"] {
            by_name.insert(name.into(), desk());
        }
        // What operators did: more of it and for longer than of anything else.
        let audit = Policy::reliable(Access::Role("operator".into()));
        by_name.insert("audit".into(), Policy { history_count: 10_000, history_ttl_s: 90 * 86_400, ..audit });
        // Events that nobody could route, for operators.
        let dead = Policy::reliable(Access::Role("operator".into()));
        by_name.insert("dead-letters".into(), Policy { history_ttl_s: 7 * 86_400, ..dead });
        // What wallets hold, for services; and what that is worth, for each user. Both outlive a quiet season.
        let kept = |access| Policy { access, history_ttl_s: 90 * 86_400, ..Policy::latest() };
        by_name.insert("wallets".into(), kept(Access::Role("service".into())));
        by_name.insert("portfolio".into(), kept(Access::OwnUser));
        for name in ["prices", "ticker", "candles", "price-updates", "sentiment-updates"] {
            by_name.insert(name.into(), Policy::latest());
        }
        for name in ["orderbook-changes", "trade-events", "news-events", "social-signals"] {
            by_name.insert(name.into(), Policy::volatile(100));
        }
        // What the trading services tell one another, whole values by session id.
        by_name.insert("trading".into(), Policy { access: Access::Role("service".into()), ..Policy::latest() });
        by_name.insert("trades".into(), Policy::volatile(100));
        by_name.insert("public".into(), Policy::volatile(0));
        // More than two snapshots with their deltas (see `book`), and for no longer than a feed may be away unnoticed.
        let book = Policy { history_count: 256, history_ttl_s: 600, ..Policy::reliable(Access::Anyone) };
        by_name.insert(crate::book::NAMESPACE.into(), book);
        by_name.insert("volatility".into(), Policy::reliable(Access::Anyone));
        by_name.insert("system".into(), Policy::reliable(Access::Anyone));
        by_name
            .insert("room".into(), Policy { client_publish: true, presence: true, ..Policy::reliable(Access::Anyone) });
        Self { by_name, user_streams: own() }
    }
}
