//! Where a channel's data lies: partitions, slots and key names.
//!
//! Every key reads `tw:{tag}:kind:name`. The tag is the partition's, so all of a channel's keys and its pub/sub channel
//! share one slot of a cluster, and one call may touch them all. Tags are chosen so that the slots of `n` partitions lie
//! `16384 / n` apart: each master that owns an equal range of slots gets an equal share of partitions. One Redis and
//! Sentinel use the same names.

use tickwire_protocol::{ChannelName, UserId};

use crate::AlertId;

/// Slots of a Redis Cluster.
const SLOTS: u16 = 16_384;
/// The partition of what belongs to no channel.
pub(super) const FLEET_PARTITION: usize = 0;

/// The key names of one deployment.
#[derive(Debug)]
pub(super) struct Keys {
    tags: Vec<Partition>,
}

#[derive(Debug)]
struct Partition {
    prefix: String,
    slot: u16,
}

impl Keys {
    /// Names for `partitions` partitions, 1 to [`super::config::PARTITIONS_MAX`].
    pub(super) fn new(partitions: usize) -> Self {
        let width = usize::from(SLOTS) / partitions.max(1);
        let tag_in = |range: std::ops::Range<usize>| {
            // Every range of slots is hit by some small number: about SLOTS / width tries each.
            (0..u32::MAX)
                .map(|number| number.to_string())
                .find(|tag| range.contains(&usize::from(slot_of_tag(tag))))
                .unwrap_or_default()
        };
        let tags = (0..partitions.max(1))
            .map(|index| {
                let tag = tag_in(index * width..(index + 1) * width);
                Partition { prefix: format!("tw:{{{tag}}}:"), slot: slot_of_tag(&tag) }
            })
            .collect();
        Self { tags }
    }

    pub(super) fn partitions(&self) -> usize {
        self.tags.len()
    }

    /// The partition of `channel`.
    pub(super) fn partition(&self, channel: &str) -> usize {
        // A multiplication maps the hash to 0..n without the bias and cost of a division.
        let scaled = u128::from(mix(fnv1a(channel.as_bytes()))) * self.tags.len() as u128;
        usize::try_from(scaled >> 64).unwrap_or(0)
    }

    /// The cluster's slot of a partition.
    pub(super) fn slot(&self, partition: usize) -> u16 {
        self.tags[partition].slot
    }

    /// `tw:{tag}:kind:` of a partition.
    pub(super) fn prefix(&self, partition: usize, kind: &str) -> String {
        format!("{}{kind}:", self.tags[partition].prefix)
    }

    /// The key that holds `kind` of `channel`.
    pub(super) fn of(&self, kind: Kind, channel: &str) -> String {
        let prefix = &self.tags[self.partition(channel)].prefix;
        format!("{prefix}{}:{channel}", kind.as_str())
    }

    /// The key of an idempotency key. A space ends the channel: its name has none, so no two pairs meet.
    pub(super) fn seen(&self, channel: &ChannelName, idempotency_key: &str) -> String {
        format!("{} {idempotency_key}", self.of(Kind::Seen, channel.as_str()))
    }

    /// The key of those whom `node` has in a channel.
    pub(super) fn users_on(&self, channel: &ChannelName, node: &str) -> String {
        format!("{} {node}", self.of(Kind::UsersOn, channel.as_str()))
    }

    /// An alert's key up to its id, in the partition of its inbox.
    pub(super) fn alerts(&self, inbox: &str) -> String {
        self.prefix(self.partition(inbox), "alert")
    }

    /// An alert's partition and key. Its inbox is `user:{id}`.
    pub(super) fn alert(&self, id: &AlertId) -> (usize, String) {
        let inbox = format!("user:{}", id.user());
        (self.partition(&inbox), self.alerts(&inbox) + id.as_str())
    }

    /// A partition's overdue alerts, and its unacknowledged critical messages.
    pub(super) fn awaited(&self, partition: usize) -> [String; 2] {
        ["due", "open"].map(|set| self.prefix(partition, "alerts") + set)
    }

    /// The partition and key of a user's preferences.
    pub(super) fn preferences(&self, user: &UserId) -> (usize, String) {
        (self.partition(user.as_str()), self.of(Kind::Preferences, user.as_str()))
    }

    /// The ids of a partition's journals of a kind.
    pub(super) fn journals(&self, partition: usize, kind: &str) -> String {
        self.prefix(partition, "journals") + kind
    }

    /// A key of the whole fleet.
    pub(super) fn fleet(&self, name: &str) -> String {
        format!("{}fleet:{name}", self.tags[FLEET_PARTITION].prefix)
    }
}

/// What a channel's keys hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Its numbering.
    Meta,
    /// Its history.
    Stream,
    /// The values of a `latest` channel.
    Values,
    /// Idempotency keys.
    Seen,
    /// Its owner.
    Owner,
    /// An inbox's ordinary messages.
    Ordinary,
    /// An inbox's critical messages.
    Critical,
    /// How far the user has read.
    Cursor,
    /// How far each device has read.
    Devices,
    /// Who is there.
    Users,
    /// Nodes that have someone there.
    Nodes,
    /// Who is there on one node; the node's name follows.
    UsersOn,
    /// The pub/sub channel.
    Live,
    /// A user's preferences.
    Preferences,
    /// Who holds the lease of that name.
    Lease,
    /// A journal's records.
    Journal,
    /// The newest fence of its writers.
    JournalFence,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Stream => "log",
            Self::Values => "values",
            Self::Seen => "seen",
            Self::Owner => "owner",
            Self::Ordinary => "ordinary",
            Self::Critical => "critical",
            Self::Cursor => "cursor",
            Self::Devices => "devices",
            Self::Users => "users",
            Self::Nodes => "nodes",
            Self::UsersOn => "on",
            Self::Live => "live",
            Self::Preferences => "preferences",
            Self::Lease => "lease",
            Self::Journal => "journal",
            Self::JournalFence => "journal-fence",
        }
    }
}

/// The channel of a pub/sub channel's name as [`Keys::of`] makes it from [`Kind::Live`].
pub(super) fn channel_of_live(name: &str) -> Option<&str> {
    let (_, rest) = name.strip_prefix("tw:{")?.split_once("}:")?;
    rest.strip_prefix("live:")
}

/// FNV-1a, 64 bits: stable over versions and machines, as key names must be.
pub(super) const fn fnv1a(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325;
    let mut at = 0;
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u64).wrapping_mul(0x0000_0100_0000_01b3);
        at += 1;
    }
    hash
}

/// Spreads a hash over all its bits: FNV's high bits hardly depend on short names.
const fn mix(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

fn slot_of_tag(tag: &str) -> u16 {
    crc16(tag.as_bytes()) % SLOTS
}

/// CRC-16/XMODEM, by which Redis Cluster maps a tag to its slot.
const fn crc16(bytes: &[u8]) -> u16 {
    let mut crc = 0u16;
    let mut at = 0;
    while at < bytes.len() {
        crc ^= (bytes[at] as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
            bit += 1;
        }
        at += 1;
    }
    crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc16_is_the_one_of_redis_cluster() {
        // The check value of CRC-16/XMODEM, and slots as `CLUSTER KEYSLOT` answers them.
        assert_eq!(crc16(b"123456789"), 0x31C3);
        assert_eq!(slot_of_tag("foo"), 12_182);
        assert_eq!(slot_of_tag("bar"), 5_061);
        assert_eq!(slot_of_tag(""), 0);
    }

    #[test]
    fn partitions_are_spread_evenly_over_the_slots() {
        for count in [1, 3, 16, 64, 256] {
            let keys = Keys::new(count);
            let width = usize::from(SLOTS) / count;
            for partition in 0..count {
                assert_eq!(usize::from(keys.slot(partition)) / width, partition, "{count} partitions");
            }
        }
    }

    #[test]
    fn channels_are_spread_over_the_partitions() {
        let keys = Keys::new(64);
        let mut counts = [0u32; 64];
        for number in 0..64_000 {
            counts[keys.partition(&format!("prices:{number}"))] += 1;
        }
        assert!(counts.iter().all(|count| (800..1_200).contains(count)), "{counts:?}");
    }

    #[test]
    fn names_are_stable_because_they_are_stored() {
        let keys = Keys::new(64);
        assert_eq!(keys.partition("session:42"), Keys::new(64).partition("session:42"));
        let name = keys.of(Kind::Live, "room:{1}:live:x");
        assert_eq!(channel_of_live(&name), Some("room:{1}:live:x"));
        assert_eq!(channel_of_live("other"), None);
        assert_eq!(channel_of_live(&keys.fleet("control")), None);
    }

    #[test]
    fn idempotency_keys_of_two_channels_never_meet() {
        let keys = Keys::new(1);
        let (short, long) = (ChannelName::new("a").unwrap(), ChannelName::new("a:b").unwrap());
        assert_ne!(keys.seen(&short, "b c"), keys.seen(&long, "c"));
    }
}
