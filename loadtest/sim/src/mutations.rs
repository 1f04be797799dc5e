//! Deliberately broken builds: each takes one invariant out of the shipped functions as they are loaded. An oracle that does
//! not notice is no oracle.

/// One invariant broken.
#[derive(Debug)]
pub struct Mutation {
    /// Its name on the command line.
    pub name: &'static str,
    /// The promise that it breaks; another one that breaks as well does not count.
    pub promise: &'static str,
    /// What stands in the shipped Lua, and what stands there instead.
    changes: &'static [(&'static str, &'static str)],
}

/// All of them.
pub const MUTATIONS: [Mutation; 8] = [
    // A promoted replica goes on numbering where it stands, and hands out positions again.
    Mutation {
        name: "epoch-fence-ignored",
        promise: "G1",
        changes: &[("run_id = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')", "run_id = 'every'")],
    },
    Mutation {
        name: "idempotency-key-ignored",
        promise: "G5",
        changes: &[("first = redis.call('GET', seen)", "first = nil")],
    },
    Mutation {
        name: "critical-alert-not-kept",
        promise: "G4",
        changes: &[("redis.call('HSET', critical, position,", "redis.call('HSET', critical .. 'elsewhere', position,")],
    },
    Mutation {
        name: "acknowledgement-lost",
        promise: "G4",
        changes: &[(
            "      redis.call('HDEL', critical, position)\n      redis.call('ZREM'",
            "      redis.call('ZREM'",
        )],
    },
    Mutation {
        name: "presence-lease-never-ends",
        promise: "G9",
        changes: &[
            (
                "redis.call('ZRANGE', leases, '(' .. decimal(now_ms()), '+inf', 'BYSCORE')",
                "redis.call('ZRANGE', leases, '-inf', '+inf', 'BYSCORE')",
            ),
            ("local dead = redis.call('ZRANGE', leases, '-inf', decimal(now), 'BYSCORE')", "local dead = {}"),
        ],
    },
    Mutation {
        name: "revocation-ignored",
        promise: "G6",
        changes: &[(
            "local function control(keys, args)\n",
            "local function control(keys, args)\n  do return 'ok' end\n",
        )],
    },
    // Newcomers get the first value of a key, not the newest.
    Mutation {
        name: "latest-keeps-the-older",
        promise: "G3",
        changes: &[("redis.call('HSET', values, key,", "redis.call('HSETNX', values, key,")],
    },
    // Recovery finds only the newest message.
    Mutation {
        name: "history-cut-short",
        promise: "G1",
        changes: &[(
            "redis.call('XADD', stream, 'MAXLEN', roughly, args[COUNT],",
            "redis.call('XADD', stream, 'MAXLEN', roughly, 1,",
        )],
    },
];

impl Mutation {
    /// The mutation called `name`.
    pub fn named(name: &str) -> Option<&'static Self> {
        MUTATIONS.iter().find(|mutation| mutation.name == name)
    }

    /// `source` with the invariant taken out; `None` if it does not say so any more.
    pub fn apply(&self, source: &str) -> Option<String> {
        self.changes.iter().try_fold(source.to_owned(), |source, (find, replace)| {
            source.contains(find).then(|| source.replace(find, replace))
        })
    }
}
