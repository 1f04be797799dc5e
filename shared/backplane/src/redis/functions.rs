//! The Redis Functions, and calls of them.
//!
//! The library's name carries a hash of its source, and so do its functions' names (Redis has one name space for all
//! libraries). Two builds with different functions therefore run side by side on one store during a rolling deploy, and
//! loading the same source twice changes nothing.

use std::sync::LazyLock;

use redis::{Cmd, ToRedisArgs};

use super::keys::fnv1a;
use crate::IDEMPOTENCY_WINDOW;

/// How long an owner is remembered after the last message that named one, seconds.
const OWNER_TTL_S: u64 = 30 * 86_400;

/// In order: each part may use the locals of those before it.
const PARTS: [&str; 10] = [
    include_str!("functions/channel.lua"),
    include_str!("functions/alerts.lua"),
    include_str!("functions/publish.lua"),
    include_str!("functions/read.lua"),
    include_str!("functions/inbox.lua"),
    include_str!("functions/fleet.lua"),
    include_str!("functions/presence.lua"),
    include_str!("functions/lease.lua"),
    include_str!("functions/journal.lua"),
    include_str!("functions/replicas.lua"),
];

static LIBRARY: LazyLock<Library> = LazyLock::new(|| {
    let body = PARTS.concat();
    let prefix = format!("tickwire_{:016x}_", fnv1a(body.as_bytes()));
    let name = prefix.trim_end_matches('_');
    let (seen_ttl, owner_ttl) = (IDEMPOTENCY_WINDOW.as_secs(), OWNER_TTL_S);
    let constants = format!("local PREFIX = '{prefix}'\nlocal SEEN_TTL, OWNER_TTL = {seen_ttl}, {owner_ttl}\n");
    let source = format!("#!lua name={name}\n{constants}{body}");
    Library { prefix, source }
});

struct Library {
    prefix: String,
    source: String,
}

/// Loads this build's functions. Where they are loaded already the server refuses, and so keeps what they remember.
pub(super) fn load() -> Cmd {
    let mut cmd = redis::cmd("FUNCTION");
    cmd.arg("LOAD").arg(&LIBRARY.source);
    cmd
}

/// Whether the answer to [`load`] says that they were there.
pub(super) fn were_loaded(error: &redis::RedisError) -> bool {
    error.detail().is_some_and(|detail| detail.contains("already exists"))
}

/// A call of one of this build's functions.
pub(super) fn call<K: ToRedisArgs>(function: &str, keys: &[K]) -> Cmd {
    let mut cmd = redis::cmd("FCALL");
    cmd.arg([&LIBRARY.prefix, function].concat()).arg(keys.len()).arg(keys);
    cmd
}

/// Whether `command` was made by [`call`].
pub(super) fn is_call(command: &Cmd) -> bool {
    matches!(command.args_iter().next(), Some(redis::Arg::Simple(b"FCALL")))
}

/// The function that `command` calls, or the command that it is.
pub(super) fn name(command: &Cmd) -> &[u8] {
    let mut words = command.args_iter().filter_map(|word| match word {
        redis::Arg::Simple(word) => Some(word),
        _ => None,
    });
    match words.next() {
        Some(b"FCALL") => {
            words.next().and_then(|name| name.strip_prefix(LIBRARY.prefix.as_bytes())).unwrap_or_default()
        }
        name => name.unwrap_or_default(),
    }
}

/// All functions, as the source registers them.
#[cfg(test)]
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    let registered = PARTS.into_iter().flat_map(str::lines);
    registered.filter_map(|line| line.strip_prefix("redis.register_function(PREFIX .. '")?.split('\'').next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_told_from_other_commands() {
        assert!(is_call(&call("history", &["k"])));
        assert!(!is_call(&redis::cmd("WAIT")));
        assert_eq!((name(&call("history", &["k"])), name(&redis::cmd("WAIT"))), (&b"history"[..], &b"WAIT"[..]));
        assert!(names().count() > 20);
    }

    #[test]
    fn the_name_follows_the_source() {
        assert!(LIBRARY.source.starts_with("#!lua name=tickwire_"));
        assert!(!LIBRARY.prefix.is_empty() && LIBRARY.source.contains(&format!("'{}'", LIBRARY.prefix)));
    }
}
