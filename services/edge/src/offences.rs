//! Who behaves like an attacker: offences counted for a minute per offender, and the bans that follow.
//!
//! One offence proves nothing: a token expires, a program has a bug. Only their rate is acted upon, once per offender: a ban
//! on every node for a while, a log line that says who did what, and a place in the emitter's list of bans.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tickwire_backplane::{Control, Offender};
use tickwire_protocol::{ErrorCode, time::now_ms};

use crate::{
    config::LimitsConfig,
    limits::Refusal,
    metrics::{Metrics, reason},
};

/// Offenders remembered, and bans. At the bound what has run out is forgotten; if nothing has, a new one is not remembered.
pub const OFFENDERS_MAX: usize = 65_536;
const WINDOW: Duration = Duration::from_secs(60);

/// What counts against somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Offence {
    /// A token that nobody issued. An expired one was valid once and guesses nothing: it does not count.
    BadToken,
    /// A channel that the token does not allow: a program that asks for many of them looks for somebody else's.
    ForbiddenChannel,
    /// A connection closed for what it sent: broken frames, no commands, or too many.
    Flood,
}

impl Offence {
    const fn as_str(self) -> &'static str {
        match self {
            Self::BadToken => "bad_token",
            Self::ForbiddenChannel => "forbidden_channel",
            Self::Flood => "flood",
        }
    }

    /// How many a minute are too many; 0 is off.
    const fn limit(self, limits: &LimitsConfig) -> u32 {
        match self {
            Self::BadToken => limits.auth_failures_per_minute,
            Self::ForbiddenChannel => limits.forbidden_per_minute,
            Self::Flood => limits.floods_per_minute,
        }
    }
}

/// A node's record. Touched when something is refused and when a connection opens, never on the way of a message.
#[derive(Debug)]
pub struct Offences {
    limits: LimitsConfig,
    metrics: Arc<Metrics>,
    record: Mutex<Record>,
}

#[derive(Debug, Default)]
struct Record {
    counted: HashMap<(Offender, Offence), Counted>,
    banned_until_ms: HashMap<Offender, u64>,
}

#[derive(Debug)]
struct Counted {
    since: Instant,
    count: u32,
}

impl Offences {
    /// Nothing on record.
    pub fn new(limits: &LimitsConfig, metrics: Arc<Metrics>) -> Self {
        Self { limits: limits.clone(), metrics, record: Mutex::default() }
    }

    /// Counts an offence; `detail` says of the last one what an operator would ask. `Some` is the ban that became due, in
    /// force here already: send it to the other nodes.
    pub fn count(&self, offence: Offence, offender: &Offender, detail: &str) -> Option<Control> {
        self.metrics.offences.get_or_create(&reason(offence.as_str())).inc();
        let most = offence.limit(&self.limits);
        if most == 0 || self.limits.ban_seconds == 0 {
            return None;
        }
        let offender = whole(offender);
        let count = self.add(offence, &offender)?;
        if count < most {
            return None;
        }
        let reason = format!("{} x {} in a minute, the last one: {detail}", count, offence.as_str());
        tracing::warn!(offender = %offender, offence = offence.as_str(), count, detail, "banned");
        let until_ms = now_ms().saturating_add(self.limits.ban_seconds.saturating_mul(1_000));
        self.impose(&offender, until_ms);
        Some(Control::Ban { offender, until_ms, reason })
    }

    /// How many it is in the current minute; `None` where there is no room to count. At the limit it starts anew.
    fn add(&self, offence: Offence, offender: &Offender) -> Option<u32> {
        let now = Instant::now();
        let key = (offender.clone(), offence);
        let mut record = self.record();
        if record.counted.len() >= OFFENDERS_MAX && !record.counted.contains_key(&key) {
            record.counted.retain(|_, counted| now.duration_since(counted.since) < WINDOW);
            if record.counted.len() >= OFFENDERS_MAX {
                self.metrics.refusals.get_or_create(&reason("offenders_full")).inc();
                return None;
            }
        }
        let counted = record.counted.entry(key.clone()).or_insert(Counted { since: now, count: 0 });
        if now.duration_since(counted.since) >= WINDOW {
            *counted = Counted { since: now, count: 0 };
        }
        counted.count += 1;
        let count = counted.count;
        if count >= offence.limit(&self.limits) {
            record.counted.remove(&key);
        }
        Some(count)
    }

    /// Bans until then; what is open is closed by the caller. Nodes are told of a ban again and again: only a new one counts.
    pub fn impose(&self, offender: &Offender, until_ms: u64) {
        let now = now_ms();
        if until_ms <= now {
            return;
        }
        let offender = whole(offender);
        let mut record = self.record();
        if record.banned_until_ms.len() >= OFFENDERS_MAX {
            record.banned_until_ms.retain(|_, until_ms| *until_ms > now);
        }
        let room = record.banned_until_ms.len() < OFFENDERS_MAX;
        match record.banned_until_ms.get_mut(&offender) {
            Some(until) => *until = until_ms.max(*until),
            None if room => {
                record.banned_until_ms.insert(offender, until_ms);
                self.metrics.bans.inc();
            }
            None => {
                self.metrics.refusals.get_or_create(&reason("bans_full")).inc();
            }
        }
    }

    /// Why `offender` may not come in, if it is banned.
    pub fn refusal(&self, offender: &Offender) -> Option<Refusal> {
        let offender = whole(offender);
        let mut record = self.record();
        let until_ms = *record.banned_until_ms.get(&offender)?;
        let left = Duration::from_millis(until_ms.saturating_sub(now_ms()));
        if left.is_zero() {
            record.banned_until_ms.remove(&offender);
            return None;
        }
        let message = format!("too many refused requests: try again in {} s", left.as_secs() + 1);
        Some(Refusal { code: ErrorCode::RateLimited, message, retry_after: Some(left) })
    }

    /// Each change is one step, so the record stays right even if a thread panicked while it held it.
    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    fn sizes(&self) -> (usize, usize) {
        let record = self.record();
        (record.counted.len(), record.banned_until_ms.len())
    }
}

/// Whom an address stands for: one IPv6 customer holds a /64, and a mapped IPv4 address is the IPv4 one.
pub fn source(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) if !ip.is_loopback() => {
            let [a, b, c, d, ..] = ip.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        ip => ip,
    }
}

fn whole(offender: &Offender) -> Offender {
    match offender {
        Offender::Address(ip) => Offender::Address(source(*ip)),
        Offender::User(user) => Offender::User(user.clone()),
    }
}

#[cfg(test)]
mod tests {
    use tickwire_protocol::UserId;

    use super::*;

    fn offences(limits: &LimitsConfig) -> Offences {
        Offences::new(limits, Arc::new(Metrics::default()))
    }

    fn address(last: u8) -> Offender {
        Offender::Address(IpAddr::from([192, 0, 2, last]))
    }

    #[test]
    fn repeated_offences_ban_once_and_say_what_happened() {
        let offences =
            offences(&LimitsConfig { auth_failures_per_minute: 3, ban_seconds: 60, ..LimitsConfig::default() });
        let count = |offender: &Offender| offences.count(Offence::BadToken, offender, "a bad signature");
        assert_eq!(count(&address(1)), None);
        assert_eq!(count(&address(1)), None);
        assert_eq!(count(&address(2)), None);
        let Some(Control::Ban { offender, until_ms, reason }) = count(&address(1)) else { panic!("no ban") };
        assert_eq!(offender, address(1));
        assert!(reason.contains("3 x bad_token") && reason.contains("a bad signature"), "{reason}");
        let refusal = offences.refusal(&address(1)).unwrap();
        assert_eq!(refusal.code, ErrorCode::RateLimited);
        assert!(refusal.retry_after.unwrap() <= Duration::from_secs(60));
        assert_eq!(offences.refusal(&address(2)), None);
        // The same ban through the backplane, and one that has run out.
        offences.impose(&address(1), until_ms);
        offences.impose(&address(3), 1);
        assert_eq!(offences.refusal(&address(3)), None);
        assert_eq!(offences.metrics.bans.get(), 1);
    }

    #[test]
    fn each_kind_has_its_own_limit_and_zero_is_off() {
        let user = Offender::User(UserId::new("7").unwrap());
        let offences = offences(&LimitsConfig {
            forbidden_per_minute: 2,
            floods_per_minute: 0,
            ban_seconds: 60,
            ..LimitsConfig::default()
        });
        assert!((0..1_000).all(|_| offences.count(Offence::Flood, &user, "").is_none()));
        assert_eq!(offences.count(Offence::ForbiddenChannel, &user, "user:8"), None);
        assert!(offences.count(Offence::ForbiddenChannel, &user, "user:9").is_some());
        assert!(offences.refusal(&user).is_some());
    }

    #[test]
    fn an_ipv6_network_is_one_offender() {
        let offences =
            offences(&LimitsConfig { auth_failures_per_minute: 2, ban_seconds: 60, ..LimitsConfig::default() });
        let at = |text: &str| Offender::Address(text.parse().unwrap());
        offences.count(Offence::BadToken, &at("2001:db8:1:2::1"), "");
        assert!(offences.count(Offence::BadToken, &at("2001:db8:1:2:ffff::9"), "").is_some());
        assert!(offences.refusal(&at("2001:db8:1:2::77")).is_some());
        assert_eq!(offences.refusal(&at("2001:db8:1:3::1")), None);
        // Told again and again of a ban that an operator gave for one address of the network.
        for _ in 0..2 {
            offences.impose(&at("2001:db8:1:4::1"), now_ms() + 60_000);
        }
        assert_eq!(offences.metrics.bans.get(), 2);
    }

    #[test]
    fn the_record_is_bounded() {
        let offences =
            offences(&LimitsConfig { auth_failures_per_minute: 2, ban_seconds: 60, ..LimitsConfig::default() });
        let far = now_ms() + 3_600_000;
        for number in 0..u32::try_from(OFFENDERS_MAX).unwrap() + 100 {
            let offender = Offender::Address(IpAddr::from(number.to_be_bytes()));
            offences.count(Offence::BadToken, &offender, "");
            offences.impose(&offender, far);
        }
        assert_eq!(offences.sizes(), (OFFENDERS_MAX, OFFENDERS_MAX));
    }
}
