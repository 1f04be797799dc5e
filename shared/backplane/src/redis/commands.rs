//! What the store is asked for, counted by what it is for.

use std::sync::atomic::{AtomicU64, Ordering};

use redis::{Cmd, RedisError};

use super::{error, functions, link::Answers};
use crate::Count;

/// What commands are for, in the order of their counters; `other` is last.
const CLASSES: [(&str, &[&str]); 11] = [
    ("publish", &["publish_live", "publish_log", "publish_latest", "publish_inbox"]),
    ("read", &["history", "snapshot", "inbox", "tops", "HMGET", "GET", "swap_preferences"]),
    ("subscribe", &["SUBSCRIBE", "UNSUBSCRIBE", "SSUBSCRIBE", "SUNSUBSCRIBE"]),
    ("broadcast", &["PUBLISH", "SPUBLISH"]),
    ("presence", &["presence_set", "presence_sweep", "presence_nodes", "presence_list", "SSCAN"]),
    ("alert", &["acknowledge", "delivered", "claim_due", "escalated"]),
    ("lease", &["take_lease", "renew_lease", "fence"]),
    ("journal", &["append_journal", "fence_journal", "read_journal", "list_journals"]),
    ("fleet", &["control", "controls", "controls_since", "report", "nodes", "live_nodes", "PUBSUB"]),
    ("replicate", &["WAIT", "replicas"]),
    ("other", &[]),
];

/// How many commands of each class were sent, and how many of these failed.
#[derive(Debug, Default)]
pub(super) struct Commands([Sent; CLASSES.len()]);

#[derive(Debug, Default)]
struct Sent {
    sent: AtomicU64,
    failed: AtomicU64,
}

impl Commands {
    /// `commands` are sent.
    pub(super) fn sent(&self, commands: &[Cmd]) {
        for command in commands {
            self.0[class(functions::name(command))].sent.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// `count` commands `name` are sent.
    pub(super) fn sent_plain(&self, name: &str, count: usize) {
        self.0[class(name.as_bytes())].sent.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// What became of them. A function that is missing is loaded and called again: nobody is failed by it.
    pub(super) fn answered(&self, commands: &[Cmd], answers: &Result<Answers, RedisError>) {
        for (at, command) in commands.iter().enumerate() {
            let has_failed = match answers {
                Err(_) => true,
                Ok(answers) => answers
                    .get(at)
                    .is_some_and(|answer| answer.as_ref().is_err_and(|error| !error::is_function_missing(error))),
            };
            if has_failed {
                self.0[class(functions::name(command))].failed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Plain commands `name` have failed.
    pub(super) fn failed_plain(&self, name: &str, count: usize) {
        self.0[class(name.as_bytes())].failed.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// For metrics: all that was sent, then all that failed.
    pub(super) fn counts(&self) -> impl Iterator<Item = Count> {
        let read = |name, help, of: fn(&Sent) -> &AtomicU64| {
            let each = CLASSES.iter().zip(&self.0);
            each.map(move |((class, _), sent)| Count {
                name,
                help,
                class: Some(class),
                value: of(sent).load(Ordering::Relaxed),
            })
        };
        let sent = read("commands", "Commands sent to Redis, by class", |sent| &sent.sent);
        sent.chain(read("command_errors", "Commands that Redis refused or did not answer, by class", |sent| {
            &sent.failed
        }))
    }
}

/// Which class the function or plain command `name` is of.
fn class(name: &[u8]) -> usize {
    let is_of = |names: &[&str]| names.iter().any(|known| known.as_bytes() == name);
    CLASSES.iter().position(|(_, names)| is_of(names)).unwrap_or(CLASSES.len() - 1)
}

#[cfg(test)]
mod tests {
    use redis::{ServerErrorKind, Value};

    use super::*;

    fn value(commands: &Commands, name: &str, class: &str) -> u64 {
        let mut counts = commands.counts();
        counts.find(|count| count.name == name && count.class == Some(class)).map_or(u64::MAX, |count| count.value)
    }

    #[test]
    fn every_function_has_a_class() {
        for function in functions::names() {
            assert_ne!(class(function.as_bytes()), CLASSES.len() - 1, "{function}");
        }
    }

    #[test]
    fn commands_and_failures_are_counted_by_class() {
        let commands = Commands::default();
        let sent = [functions::call("history", &["k"]), functions::call("publish_log", &["k"]), redis::cmd("WAIT")];
        commands.sent(&sent);
        let refused = || Err(RedisError::from((ServerErrorKind::ReadOnly.into(), "no", "no".to_owned())));
        commands.answered(&sent, &Ok(vec![Ok(Value::Nil), refused(), Ok(Value::Int(1))]));
        assert_eq!(value(&commands, "commands", "read"), 1);
        assert_eq!(value(&commands, "commands", "publish"), 1);
        assert_eq!(value(&commands, "commands", "replicate"), 1);
        assert_eq!(value(&commands, "command_errors", "publish"), 1);
        assert_eq!(value(&commands, "command_errors", "read"), 0);
        commands.sent_plain("SSUBSCRIBE", 3);
        commands.failed_plain("SSUBSCRIBE", 3);
        assert_eq!(
            (value(&commands, "commands", "subscribe"), value(&commands, "command_errors", "subscribe")),
            (3, 3)
        );
    }

    #[test]
    fn what_is_lost_with_its_connection_has_failed() {
        let commands = Commands::default();
        let sent = [functions::call("take_lease", &["k"])];
        commands.answered(&sent, &Err(std::io::Error::from(std::io::ErrorKind::BrokenPipe).into()));
        assert_eq!(value(&commands, "command_errors", "lease"), 1);
    }
}
