//! What has been withdrawn before it expired.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use tickwire_protocol::UserId;

use crate::{Identity, claims::TOKEN_ID_BYTES_MAX, config::LEEWAY_S_MAX};

/// Revocations kept at most, unless [`Revocations::with_limit`] says otherwise.
const REVOCATIONS_MAX: usize = 100_000;

/// A revocation outlives its token by as much as clocks of two nodes may differ.
const KEPT_LONGER_MS: u64 = LEEWAY_S_MAX * 1_000;

/// Revoked tokens and users, in memory; nodes tell each other through the backplane.
///
/// Bounded: when full, the entry that expires first goes and is counted, since it would have mattered for the shortest
/// time. Plain data: each shard holds one, or a node holds one behind a lock.
#[derive(Debug)]
pub struct Revocations {
    tokens: HashMap<Arc<str>, u64>,
    users: HashMap<UserId, UserRevocation>,
    by_expiry: BTreeSet<(u64, Subject)>,
    limit: usize,
    evicted: u64,
}

#[derive(Debug, Clone, Copy)]
struct UserRevocation {
    issued_until_s: u64,
    kept_until_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Token(Arc<str>),
    User(UserId),
}

impl Revocations {
    /// None yet; keeps at most 100,000.
    pub fn new() -> Self {
        Self::with_limit(REVOCATIONS_MAX)
    }

    /// None yet; keeps at most `limit` (at least one).
    pub fn with_limit(limit: usize) -> Self {
        Self {
            tokens: HashMap::new(),
            users: HashMap::new(),
            by_expiry: BTreeSet::new(),
            limit: limit.max(1),
            evicted: 0,
        }
    }

    /// Revokes the token whose `jti` is `token_id`; forgotten some minutes after `expires_at_ms`, the token's `exp`.
    /// An id longer than a token may carry is ignored. True if it was not revoked before.
    pub fn revoke_token(&mut self, token_id: &str, expires_at_ms: u64) -> bool {
        if token_id.len() > TOKEN_ID_BYTES_MAX {
            return false;
        }
        let id: Arc<str> = token_id.into();
        let mut kept_until_ms = expires_at_ms.saturating_add(KEPT_LONGER_MS);
        let known = self.tokens.get(&id).copied();
        if let Some(earlier) = known {
            self.by_expiry.remove(&(earlier, Subject::Token(id.clone())));
            kept_until_ms = kept_until_ms.max(earlier);
        }
        self.tokens.insert(id.clone(), kept_until_ms);
        self.by_expiry.insert((kept_until_ms, Subject::Token(id)));
        self.evict();
        known.is_none()
    }

    /// Revokes every token of `user` issued at or before `issued_until_s` (and those that do not say when they were
    /// issued); forgotten some minutes after `expires_at_ms`, the latest `exp` such a token can have. True if that revokes
    /// more than before.
    pub fn revoke_user(&mut self, user: UserId, issued_until_s: u64, expires_at_ms: u64) -> bool {
        let mut entry = UserRevocation { issued_until_s, kept_until_ms: expires_at_ms.saturating_add(KEPT_LONGER_MS) };
        let known = self.users.get(&user).copied();
        if let Some(earlier) = known {
            self.by_expiry.remove(&(earlier.kept_until_ms, Subject::User(user.clone())));
            entry.issued_until_s = entry.issued_until_s.max(earlier.issued_until_s);
            entry.kept_until_ms = entry.kept_until_ms.max(earlier.kept_until_ms);
        }
        self.users.insert(user.clone(), entry);
        self.by_expiry.insert((entry.kept_until_ms, Subject::User(user)));
        self.evict();
        known.is_none_or(|earlier| earlier.issued_until_s < entry.issued_until_s)
    }

    /// Whether `identity` has been revoked.
    pub fn is_revoked(&self, identity: &Identity, now_ms: u64) -> bool {
        let by_token = identity.token_id.as_deref().and_then(|id| self.tokens.get(id));
        if by_token.is_some_and(|&kept_until_ms| now_ms < kept_until_ms) {
            return true;
        }
        self.users.get(&identity.user).is_some_and(|entry| {
            now_ms < entry.kept_until_ms && identity.issued_at_s.unwrap_or(0) <= entry.issued_until_s
        })
    }

    /// Forgets what can no longer matter.
    pub fn prune(&mut self, now_ms: u64) {
        while self.by_expiry.first().is_some_and(|(kept_until_ms, _)| *kept_until_ms <= now_ms) {
            self.forget_first();
        }
    }

    /// Entries kept.
    pub fn len(&self) -> usize {
        self.by_expiry.len()
    }

    /// Whether nothing is revoked.
    pub fn is_empty(&self) -> bool {
        self.by_expiry.is_empty()
    }

    /// Entries given up at the limit since the start; above zero, revoked tokens may be in use and a human must look.
    pub const fn evicted(&self) -> u64 {
        self.evicted
    }

    fn evict(&mut self) {
        while self.by_expiry.len() > self.limit {
            self.forget_first();
            self.evicted += 1;
        }
    }

    fn forget_first(&mut self) {
        match self.by_expiry.pop_first() {
            Some((_, Subject::Token(id))) => drop(self.tokens.remove(&id)),
            Some((_, Subject::User(user))) => drop(self.users.remove(&user)),
            None => {}
        }
    }
}

impl Default for Revocations {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(id: &str) -> UserId {
        UserId::new(id).unwrap()
    }

    fn identity(id: &str, token: Option<&str>, issued_at_s: Option<u64>) -> Identity {
        Identity {
            user: user(id),
            roles: Vec::new(),
            grants: Vec::new(),
            expires_at_ms: 10_000,
            issued_at_s,
            token_id: token.map(Into::into),
        }
    }

    #[test]
    fn a_revoked_token_is_revoked_and_others_are_not() {
        let mut revocations = Revocations::new();
        revocations.revoke_token("a", 10_000);
        assert!(revocations.is_revoked(&identity("7", Some("a"), None), 5_000));
        assert!(!revocations.is_revoked(&identity("7", Some("b"), None), 5_000));
        assert!(!revocations.is_revoked(&identity("7", None, None), 5_000));
    }

    #[test]
    fn revoking_a_user_spares_tokens_issued_later() {
        let mut revocations = Revocations::new();
        revocations.revoke_user(user("7"), 100, 10_000);
        assert!(revocations.is_revoked(&identity("7", None, Some(100)), 0));
        assert!(revocations.is_revoked(&identity("7", None, None), 0), "a token that hides its age is an old one");
        assert!(!revocations.is_revoked(&identity("7", None, Some(101)), 0));
        assert!(!revocations.is_revoked(&identity("8", None, Some(1)), 0));
        revocations.revoke_user(user("7"), 50, 5_000);
        assert!(revocations.is_revoked(&identity("7", None, Some(100)), 0), "a weaker revocation takes nothing back");
        assert_eq!(revocations.len(), 1);
    }

    #[test]
    fn what_was_revoked_before_is_no_news() {
        let mut revocations = Revocations::new();
        assert!(revocations.revoke_token("a", 10_000));
        assert!(!revocations.revoke_token("a", 20_000));
        assert!(revocations.revoke_user(user("7"), 100, 10_000));
        assert!(!revocations.revoke_user(user("7"), 100, 10_000));
        assert!(revocations.revoke_user(user("7"), 101, 10_000), "newer tokens too");
        assert!(!revocations.revoke_token(&"x".repeat(TOKEN_ID_BYTES_MAX + 1), 10_000));
    }

    #[test]
    fn a_revocation_outlives_its_token_for_clocks_that_differ() {
        let mut revocations = Revocations::new();
        revocations.revoke_token("a", 10_000);
        revocations.prune(10_000 + KEPT_LONGER_MS - 1);
        assert!(revocations.is_revoked(&identity("7", Some("a"), None), 10_000));
        revocations.prune(10_000 + KEPT_LONGER_MS);
        assert!(revocations.is_empty());
        assert!(!revocations.is_revoked(&identity("7", Some("a"), None), 10_000));
    }

    #[test]
    fn at_the_limit_the_first_to_expire_goes_and_is_counted() {
        let mut revocations = Revocations::with_limit(2);
        revocations.revoke_token("late", 30_000);
        revocations.revoke_token("early", 10_000);
        revocations.revoke_user(user("7"), 1, 20_000);
        assert_eq!((revocations.len(), revocations.evicted()), (2, 1));
        assert!(!revocations.is_revoked(&identity("8", Some("early"), None), 0));
        assert!(revocations.is_revoked(&identity("8", Some("late"), None), 0));
        assert!(revocations.is_revoked(&identity("7", None, None), 0));
    }
}
