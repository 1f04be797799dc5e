//! Who may read and publish what.

use tickwire_protocol::{
    ChannelName,
    namespace::{Access, Policy},
};

use crate::Identity;

/// Whether an identity may do something with a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Yes.
    Allow,
    /// No.
    Deny,
    /// Yes if the user is the owner recorded for the channel, which only the backplane knows; else no.
    IfOwner,
}

/// Whether `identity` may read `channel`, whose namespace has `policy`.
///
/// - `anyone`: yes.
/// - `own-user`: if the segment after the namespace is the user's id. Grants in a token do not open these.
/// - `granted`: if a pattern of the token's `channels` matches, else if the user owns the channel.
/// - `role`: if the token carries it. Grants do not open these either.
pub fn may_read(identity: &Identity, channel: &ChannelName, policy: &Policy) -> Decision {
    let allowed = match &policy.access {
        Access::Anyone => true,
        Access::OwnUser => channel.segments().nth(1) == Some(identity.user.as_str()),
        Access::Role(role) => identity.has_role(role),
        Access::Granted if identity.is_granted(channel) => true,
        Access::Granted => return Decision::IfOwner,
    };
    if allowed { Decision::Allow } else { Decision::Deny }
}

/// Whether a client with `identity` may publish to `channel`: its namespace lets clients publish, and the token alone
/// lets the user read it. Being the recorded owner is not enough.
pub fn may_publish(identity: &Identity, channel: &ChannelName, policy: &Policy) -> bool {
    policy.client_publish && may_read(identity, channel, policy) == Decision::Allow
}

#[cfg(test)]
mod tests {
    use tickwire_protocol::{UserId, namespace::Namespaces};

    use super::*;
    use crate::Pattern;

    fn identity(grants: &[&str], roles: &[&str]) -> Identity {
        Identity {
            user: UserId::new("7").unwrap(),
            roles: roles.iter().map(|&role| role.into()).collect(),
            grants: grants.iter().map(|grant| Pattern::new(grant).unwrap()).collect(),
            expires_at_ms: u64::MAX,
            issued_at_s: None,
            token_id: None,
        }
    }

    fn read(identity: &Identity, channel: &str) -> Decision {
        let channel = ChannelName::new(channel).unwrap();
        let namespaces = Namespaces::default();
        may_read(identity, &channel, namespaces.policy(&channel).unwrap())
    }

    #[test]
    fn public_channels_are_open_to_every_user() {
        for channel in ["prices:BTC/USDT", "book:binance:BTC", "trades:okx:ETH", "system", "public:x", "room:1"] {
            assert_eq!(read(&identity(&[], &[]), channel), Decision::Allow, "{channel}");
        }
    }

    #[test]
    fn a_user_reads_their_own_channels_only() {
        let seven = identity(&[], &[]);
        for channel in ["user:7", "user:7:orders", "user:7:positions", "sessions:7", "wallet-events:7"] {
            assert_eq!(read(&seven, channel), Decision::Allow, "{channel}");
        }
        for channel in ["user:8", "user:8:orders", "user:77", "sessions:8", "wallet-events", "wallet-events:8:7"] {
            assert_eq!(read(&seven, channel), Decision::Deny, "{channel}");
        }
    }

    #[test]
    fn no_grant_opens_another_users_channels_or_a_desk() {
        let greedy = identity(&["*", "user:*", "user:8", "orders"], &[]);
        for channel in ["user:8", "user:8:orders", "sessions:8", "orders", "positions", "strategies"] {
            assert_eq!(read(&greedy, channel), Decision::Deny, "{channel}");
        }
    }

    #[test]
    fn a_granted_channel_needs_a_grant_or_its_owner() {
        assert_eq!(read(&identity(&["session:42"], &[]), "session:42"), Decision::Allow);
        assert_eq!(read(&identity(&["session:*"], &[]), "session:43"), Decision::Allow);
        assert_eq!(read(&identity(&["session:42"], &[]), "session:43"), Decision::IfOwner);
        assert_eq!(read(&identity(&[], &["desk", "service"]), "strategy:9:orders"), Decision::IfOwner);
    }

    #[test]
    fn desk_channels_need_the_role() {
        assert_eq!(read(&identity(&[], &["desk"]), "orders"), Decision::Allow);
        assert_eq!(read(&identity(&[], &["Desk", "des", "desks"]), "orders"), Decision::Deny);
    }

    #[test]
    fn clients_publish_only_where_the_namespace_lets_them() {
        let namespaces = Namespaces::default();
        let seven = identity(&["session:42"], &["desk", "service"]);
        for (channel, allowed) in [("room:1", true), ("session:42", false), ("prices:BTC", false), ("user:7", false)] {
            let channel = ChannelName::new(channel).unwrap();
            assert_eq!(may_publish(&seven, &channel, namespaces.policy(&channel).unwrap()), allowed, "{channel}");
        }
    }
}
