use super::*;

fn settings(scenario: Scenario) -> Settings {
    Settings {
        scenario,
        targets: vec!["ws://127.0.0.1:1".into()],
        ca_file: "/nowhere".into(),
        insecure: false,
        emitters: vec!["http://127.0.0.1:2".into()],
        connections: 1_000,
        duration_s: None,
        channels: None,
        channels_per_client: None,
        rate: None,
        payload_bytes: 128,
        connect_rate: 1_000,
        slow_share: None,
        slow_kbit: None,
        sse_share: None,
        poll_share: None,
        churn_rate: None,
        sticky: false,
        unpacked: false,
        secret: Some("secret".into()),
        token: None,
        api_key: Some("key".into()),
        workers: 0,
        publishers: 4,
        source_addresses: 0,
        connect_patience_s: 5.0,
        settle_s: 5.0,
        prefix: None,
    }
}

fn plan(scenario: Scenario) -> Plan {
    Plan::new(&settings(scenario), "t").unwrap()
}

#[test]
fn every_client_subscribes_to_channels_that_exist_each_once() {
    for scenario in Scenario::ALL {
        let plan = plan(scenario);
        assert_eq!(plan.clients.len(), 1_000);
        for client in &plan.clients {
            let mut channels = client.channels.clone();
            channels.sort_unstable();
            channels.dedup();
            assert_eq!(channels.len(), client.channels.len(), "{scenario}");
            assert!(!channels.is_empty(), "{scenario}");
            assert!(channels.iter().all(|&channel| (channel as usize) < plan.channels.len()), "{scenario}");
        }
    }
}

#[test]
fn ticks_are_fifty_channels_ten_a_client_twenty_messages_a_second() {
    let plan = plan(Scenario::Ticks);
    assert_eq!(plan.channels.len(), 50);
    assert!(plan.channels.iter().all(|channel| channel.class == DeliveryClass::Latest && channel.rate_hz > 19.9));
    assert!(plan.clients.iter().all(|client| client.channels.len() == 10));
    let subscribers = plan.clients.iter().filter(|client| client.channels.contains(&7)).count();
    assert_eq!(subscribers, 200, "subscribers are spread evenly");
}

#[test]
fn a_mixed_day_has_its_shares_of_slow_sse_and_polling_clients() {
    let plan = plan(Scenario::Mixed);
    let of = |transport| plan.clients.iter().filter(|client| client.transport == transport).count();
    let slow = plan.clients.iter().filter(|client| client.is_slow).count();
    assert!(of(Transport::Sse).abs_diff(30) <= 2, "{}", of(Transport::Sse));
    assert!(of(Transport::Poll).abs_diff(20) <= 2, "{}", of(Transport::Poll));
    assert!(slow.abs_diff(50) <= 2, "{slow}");
    let inbox = |index: &u32| plan.channels[*index as usize].class == DeliveryClass::Inbox;
    for client in &plan.clients {
        assert_eq!(client.channels.iter().any(inbox), client.transport == Transport::WebSocket);
    }
}

#[test]
fn an_inbox_belongs_to_one_user() {
    let plan = plan(Scenario::Inbox);
    assert_eq!(plan.channels.len(), 1_000);
    assert_eq!(plan.channels[3].name.to_string(), format!("user:{}", plan.clients[3].user));
    assert_eq!(plan.clients[3].channels, [3]);
}

#[test]
fn a_spike_is_ten_times_the_rate_for_thirty_seconds() {
    let plan = plan(Scenario::Spike);
    let seconds: Vec<u64> = (0..90).filter(|&s| plan.factor_at(Duration::from_secs(s)) > 9.9).collect();
    assert_eq!((seconds.len(), seconds[0]), (30, 30));
}

#[test]
fn loopback_addresses_are_enough_for_limits_by_address() {
    let mut settings = settings(Scenario::Idle);
    settings.connections = 9_000;
    assert_eq!(Plan::new(&settings, "t").unwrap().sources, 18);
}

#[test]
fn what_cannot_be_run_is_refused_with_a_sentence() {
    let wrong: [fn(&mut Settings); 8] = [
        |settings| settings.connections = 0,
        |settings| settings.channels_per_client = Some(2),
        |settings| settings.slow_share = Some(1.5),
        |settings| settings.secret = None,
        |settings| settings.token = Some("token".into()),
        |settings| settings.emitters.clear(),
        |settings| settings.duration_s = Some(-1.0),
        |settings| settings.connect_rate = 0,
    ];
    for change in wrong {
        let mut settings = settings(Scenario::Fanout);
        change(&mut settings);
        assert!(matches!(Plan::new(&settings, "t"), Err(LoadError::Settings(_))), "{settings:?}");
    }
    let mut settings = settings(Scenario::Inbox);
    (settings.secret, settings.token) = (None, Some("token".into()));
    assert!(Plan::new(&settings, "t").is_err(), "a token of one user for many inboxes");
}
