use super::*;

fn limits(config: &LimitsConfig) -> Arc<Limits> {
    Limits::new(config, Arc::new(Metrics::default()))
}

fn off() -> LimitsConfig {
    LimitsConfig {
        connections_per_node: 0,
        connections_per_user: 0,
        connections_per_ip: 0,
        auth_failures_per_minute: 0,
        ..LimitsConfig::default()
    }
}

fn ip(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

#[test]
fn an_address_gets_its_places_back() {
    let limits = limits(&LimitsConfig { connections_per_ip: 2, ..off() });
    let first = limits.admit(ip(1)).unwrap();
    let _second = limits.admit(ip(1)).unwrap();
    let refusal = limits.admit(ip(1)).unwrap_err();
    assert_eq!((refusal.code, refusal.close_code()), (ErrorCode::LimitExceeded, CloseCode::RateLimited));
    assert!(refusal.message.contains("at most 2 connections") && refusal.retry_after.is_some());
    limits.admit(ip(2)).unwrap();
    drop(first);
    limits.admit(ip(1)).unwrap();
}

#[test]
fn a_node_and_a_user_have_limits_of_their_own() {
    let limits = limits(&LimitsConfig { connections_per_node: 3, connections_per_user: 1, ..off() });
    let user = UserId::new("7").unwrap();
    let mut slots: Vec<Slot> = (1..=3).map(|last| limits.admit(ip(last)).unwrap()).collect();
    assert!(limits.admit(ip(4)).unwrap_err().message.contains("this node"));
    slots[0].claim_user(&user).unwrap();
    slots[0].claim_user(&user).unwrap();
    assert!(slots[1].claim_user(&user).unwrap_err().message.contains("a user has at most 1"));
    slots.remove(0);
    slots[0].claim_user(&user).unwrap();
    drop(slots);
    let counts = limits.counts();
    assert_eq!((counts.connections, counts.by_user.len(), counts.by_address.len()), (0, 0, 0));
}

#[test]
fn at_its_limit_a_users_oldest_connection_gives_way_where_that_is_configured() {
    let limits = limits(&LimitsConfig { connections_per_user: 2, replace_oldest: true, ..off() });
    let user = UserId::new("7").unwrap();
    let mut slots: Vec<Slot> = (1..=4).map(|last| limits.admit(ip(last)).unwrap()).collect();
    assert_eq!((slots[0].claim_user(&user).unwrap(), slots[1].claim_user(&user).unwrap()), (None, None));
    let oldest = slots[2].claim_user(&user).unwrap().unwrap();
    assert!(slots[0].is_at(&user, oldest) && slots[0].is_replaced() && !slots[1].is_replaced());
    assert_eq!(slots[2].claim_user(&user).unwrap(), None, "it has its place");
    // The one that was replaced counts no more, before it is closed and after.
    slots.remove(0);
    let next = slots[2].claim_user(&user).unwrap().unwrap();
    assert!(slots[0].is_at(&user, next));
    assert_eq!(limits.counts().by_user[&user].count, 2);
    drop(slots);
    assert_eq!(limits.counts().by_user.len(), 0);
    let unlimited = limits_of_none();
    unlimited.admit(ip(1)).unwrap().claim_user(&user).unwrap();
    assert_eq!(unlimited.counts().by_user.len(), 0);
}

fn limits_of_none() -> Arc<Limits> {
    limits(&LimitsConfig { replace_oldest: true, ..off() })
}

#[test]
fn zero_switches_a_limit_off() {
    let limits = limits(&off());
    let slots: Vec<Slot> = (0..5_000).map(|_| limits.admit(ip(1)).unwrap()).collect();
    assert_eq!(slots.len(), 5_000);
}

#[test]
fn a_banned_address_and_a_banned_user_are_refused() {
    let limits = limits(&off());
    let user = UserId::new("7").unwrap();
    let until_ms = tickwire_protocol::time::now_ms() + 60_000;
    limits.offences.impose(&Offender::Address(ip(1)), until_ms);
    limits.offences.impose(&Offender::User(user.clone()), until_ms);
    assert_eq!(limits.admit(ip(1)).unwrap_err().code, ErrorCode::RateLimited);
    let mut slot = limits.admit(ip(2)).unwrap();
    assert_eq!(slot.claim_user(&user).unwrap_err().code, ErrorCode::RateLimited);
    slot.claim_user(&UserId::new("8").unwrap()).unwrap();
}

#[test]
fn an_ipv6_network_counts_as_one_source() {
    let limits = limits(&LimitsConfig { connections_per_ip: 1, ..off() });
    let _slot = limits.admit("2001:db8:1:2::1".parse().unwrap()).unwrap();
    assert!(limits.admit("2001:db8:1:2:ffff::9".parse().unwrap()).is_err());
    limits.admit("2001:db8:1:3::1".parse().unwrap()).unwrap();
    let _mapped = limits.admit("::ffff:192.0.2.1".parse().unwrap()).unwrap();
    assert!(limits.admit(ip(1)).is_err());
}

#[test]
fn a_second_of_commands_may_come_at_once_and_no_more() {
    let config = LimitsConfig { commands_per_second: 10, bytes_per_second: 1_000, ..off() };
    let (mut spending, now) = (Spending::default(), Instant::now());
    for _ in 0..10 {
        spending.spend(now, 1, 1, &config).unwrap();
    }
    let wait = spending.spend(now, 1, 1, &config).unwrap_err();
    assert_eq!(wait, Duration::from_millis(100));
    spending.spend(now + wait, 1, 1, &config).unwrap();
    assert!(spending.spend(now + wait, 1, 1, &config).is_err());
    spending.spend(now + Duration::from_secs(60), 1, 10, &config).unwrap();
}

#[test]
fn bytes_are_paid_for_and_one_large_message_still_passes() {
    let config = LimitsConfig { commands_per_second: 0, bytes_per_second: 1_000, ..off() };
    let (mut spending, now) = (Spending::default(), Instant::now());
    spending.spend(now, 3_000, 1, &config).unwrap();
    assert!(spending.spend(now + Duration::from_secs(1), 1_000, 1, &config).is_err());
    spending.spend(now + Duration::from_secs(3), 1_000, 1, &config).unwrap();
    let mut unlimited = Spending::default();
    let free = LimitsConfig { bytes_per_second: 0, ..config };
    assert!((0..1_000).all(|_| unlimited.spend(now, 100_000, 100, &free).is_ok()));
}
