//! Deliberately broken builds: each takes one invariant out of the shipped code. An oracle that does not notice is no oracle.
//!
//! Lua functions are broken as they are loaded, in any build. Rust is broken in a copy of the sources, which is then built:
//! nothing of this stands in what is shipped.

/// One invariant broken.
#[derive(Debug)]
pub struct Mutation {
    /// Its name on the command line.
    pub name: &'static str,
    /// The promise that it breaks; another one that breaks as well does not count.
    pub promise: &'static str,
    /// Where the invariant stands.
    place: Place,
}

/// What stands in the shipped code, and what stands there instead.
type Change = (&'static str, &'static str);

#[derive(Debug)]
enum Place {
    Lua(&'static [Change]),
    /// By file, from the repository's root.
    Rust(&'static [(&'static str, &'static [Change])]),
}

/// All of them.
pub const MUTATIONS: [Mutation; 15] = [
    // A promoted replica goes on numbering where it stands, and hands out positions again.
    Mutation {
        name: "epoch-fence-ignored",
        promise: "G1",
        place: Place::Lua(&[(
            "run_id = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')",
            "run_id = 'every'",
        )]),
    },
    Mutation {
        name: "idempotency-key-ignored",
        promise: "G5",
        place: Place::Lua(&[("first = redis.call('GET', seen)", "first = nil")]),
    },
    Mutation {
        name: "critical-alert-not-kept",
        promise: "G4",
        place: Place::Lua(&[(
            "redis.call('HSET', critical, position,",
            "redis.call('HSET', critical .. 'elsewhere', position,",
        )]),
    },
    Mutation {
        name: "acknowledgement-lost",
        promise: "G4",
        place: Place::Lua(&[(
            "      redis.call('HDEL', critical, position)\n      redis.call('ZREM'",
            "      redis.call('ZREM'",
        )]),
    },
    Mutation {
        name: "presence-lease-never-ends",
        promise: "G9",
        place: Place::Lua(&[
            (
                "redis.call('ZRANGE', leases, '(' .. decimal(now_ms()), '+inf', 'BYSCORE')",
                "redis.call('ZRANGE', leases, '-inf', '+inf', 'BYSCORE')",
            ),
            ("local dead = redis.call('ZRANGE', leases, '-inf', decimal(now), 'BYSCORE')", "local dead = {}"),
        ]),
    },
    Mutation {
        name: "revocation-ignored",
        promise: "G6",
        place: Place::Lua(&[(
            "local function control(keys, args)\n",
            "local function control(keys, args)\n  do return 'ok' end\n",
        )]),
    },
    // Newcomers get the first value of a key, not the newest.
    Mutation {
        name: "latest-keeps-the-older",
        promise: "G3",
        place: Place::Lua(&[("redis.call('HSET', values, key,", "redis.call('HSETNX', values, key,")]),
    },
    // Recovery finds only the newest message.
    Mutation {
        name: "history-cut-short",
        promise: "G1",
        place: Place::Lua(&[(
            "redis.call('XADD', stream, 'MAXLEN', roughly, args[COUNT],",
            "redis.call('XADD', stream, 'MAXLEN', roughly, 1,",
        )]),
    },
    // An alert is acknowledged when one of two replicas has it, and the other one takes over.
    Mutation {
        name: "one-replica-is-enough",
        promise: "G4",
        place: Place::Rust(&[(
            "shared/backplane/src/redis/replicas.rs",
            &[("self.critical_replicas.max(link.replicas())", "self.critical_replicas")],
        )]),
    },
    // A node that comes back after a cut goes on as if nothing had been revoked meanwhile.
    Mutation {
        name: "missed-revocations-unread",
        promise: "G6",
        place: Place::Rust(&[
            ("shared/backplane/src/redis/intake.rs", &[("        self.tell_missed_controls().await?;\n", "")]),
            (
                "services/edge/src/controls.rs",
                &[
                    ("if reading.begun.is_some_and(", "if !age.is_zero() || reading.begun.is_some_and("),
                    (
                        "const READ_INTERVAL: Duration = Duration::from_secs(1)",
                        "const READ_INTERVAL: Duration = Duration::from_secs(60)",
                    ),
                ],
            ),
        ]),
    },
    Mutation {
        name: "outbox-without-bound",
        promise: "G7",
        place: Place::Rust(&[(
            "services/edge/src/outbox.rs",
            &[("if self.waiting > 0 && self.waiting - self.replies + cost > budget {", "if cost > budget {")],
        )]),
    },
    Mutation {
        name: "priorities-ignored",
        promise: "G10",
        place: Place::Rust(&[(
            "services/edge/src/outbox/lanes.rs",
            &[(
                "entry: Entry) {\n        let lane = &mut self.by_priority[lane];",
                "entry: Entry) {\n        let lane = &mut self.by_priority[lane.max(LANES - 1)];",
            )],
        )]),
    },
    Mutation {
        name: "drained-all-at-once",
        promise: "G8",
        place: Place::Rust(&[(
            "services/edge/src/hub/drain.rs",
            &[
                ("if asking.is_zero() || elapsed >= asking { total }", "if elapsed >= Duration::ZERO { total }"),
                ("rand::rng().random_range(0..=jitter_ms)", "rand::rng().random_range(0..=jitter_ms.min(1))"),
            ],
        )]),
    },
    Mutation {
        name: "break-before-make",
        promise: "G8",
        place: Place::Rust(&[(
            "shared/client/src/session.rs",
            &[(
                "if at <= now => self.begin_handover(now),",
                "if at <= now => {\n                self.effects.push(Effect::Drop { line: Line::Current, code: CloseCode::Normal });\n                \
                 self.judge(now, Verdict::Retry, None);\n            }",
            )],
        )]),
    },
    Mutation {
        name: "position-forgotten",
        promise: "G1",
        place: Place::Rust(&[(
            "shared/client/src/session/subscriptions.rs",
            &[("SubscriptionRequest { since: self.asked,", "SubscriptionRequest { since: None,")],
        )]),
    },
];

impl Mutation {
    /// The mutation called `name`.
    pub fn named(name: &str) -> Option<&'static Self> {
        MUTATIONS.iter().find(|mutation| mutation.name == name)
    }

    /// Whether it takes a build of its own.
    pub fn is_rust(&self) -> bool {
        matches!(self.place, Place::Rust(_))
    }

    /// The functions' `source` with the invariant taken out; `None` if it does not say so any more.
    pub fn apply(&self, source: &str) -> Option<String> {
        match self.place {
            Place::Lua(changes) => changed(source, changes),
            Place::Rust(_) => Some(source.to_owned()),
        }
    }

    /// The files that it changes, from the repository's root, with what is to stand in them; `read` gives what does now.
    /// Fails with the first file that does not say any more what it should.
    pub fn files(&self, read: impl Fn(&str) -> Option<String>) -> Result<Vec<(&'static str, String)>, &'static str> {
        let Place::Rust(files) = self.place else { return Ok(Vec::new()) };
        let broken = files.iter().map(|(path, changes)| {
            read(path).and_then(|source| changed(&source, changes)).map(|broken| (*path, broken)).ok_or(*path)
        });
        broken.collect()
    }
}

fn changed(source: &str, changes: &[Change]) -> Option<String> {
    changes.iter().try_fold(source.to_owned(), |source, (find, replace)| {
        source.contains(find).then(|| source.replace(find, replace))
    })
}
