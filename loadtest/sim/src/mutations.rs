//! Deliberately broken builds: each takes one invariant out of the shipped functions as they are loaded. An oracle that does
//! not notice is no oracle.

/// One invariant broken.
#[derive(Debug)]
pub struct Mutation {
    /// Its name on the command line.
    pub name: &'static str,
    /// What stands in the shipped Lua.
    find: &'static str,
    /// What stands there instead.
    replace: &'static str,
}

/// All of them.
pub const MUTATIONS: [Mutation; 8] = [
    // A promoted replica goes on numbering where it stands, and hands out positions again.
    Mutation {
        name: "epoch-fence-ignored",
        find: "if state[1] and state[2] == this_server() then",
        replace: "if state[1] then",
    },
    Mutation { name: "idempotency-key-ignored", find: "first = redis.call('GET', seen)", replace: "first = nil" },
    Mutation {
        name: "critical-alert-not-kept",
        find: "redis.call('HSET', critical, position,",
        replace: "redis.call('HSET', critical .. 'elsewhere', position,",
    },
    Mutation {
        name: "acknowledgement-lost",
        find: "      redis.call('HDEL', critical, position)\n      redis.call('ZREM'",
        replace: "      redis.call('ZREM'",
    },
    Mutation {
        name: "presence-lease-never-ends",
        find: "redis.call('ZRANGE', leases, '(' .. decimal(now_ms()), '+inf', 'BYSCORE')",
        replace: "redis.call('ZRANGE', leases, '-inf', '+inf', 'BYSCORE')",
    },
    Mutation {
        name: "revocation-ignored",
        find: "local function control(keys, args)\n",
        replace: "local function control(keys, args)\n  do return 'ok' end\n",
    },
    // Newcomers get the first value of a key, not the newest.
    Mutation {
        name: "latest-keeps-the-older",
        find: "redis.call('HSET', values, key,",
        replace: "redis.call('HSETNX', values, key,",
    },
    // Recovery finds only the newest message.
    Mutation {
        name: "history-cut-short",
        find: "redis.call('XADD', stream, 'MAXLEN', roughly, args[COUNT],",
        replace: "redis.call('XADD', stream, 'MAXLEN', roughly, 1,",
    },
];

impl Mutation {
    /// The mutation called `name`.
    pub fn named(name: &str) -> Option<&'static Self> {
        MUTATIONS.iter().find(|mutation| mutation.name == name)
    }

    /// `source` with the invariant taken out; `None` if it does not say so any more.
    pub fn apply(&self, source: &str) -> Option<String> {
        source.contains(self.find).then(|| source.replace(self.find, self.replace))
    }
}
