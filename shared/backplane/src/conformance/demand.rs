//! Which channels somebody listens to.

use tickwire_protocol::ChannelName;

use super::{Nodes, eventually, reliable, unique};

fn names(namespace: &str) -> [ChannelName; 2] {
    ["binance:BTC/USDT", "kraken:BTC/USDT"]
        .map(|rest| ChannelName::new(&format!("{namespace}:{rest}")).expect("a channel's name"))
}

/// From the first subscription on any node to the end of the last one, seen from every node.
pub async fn a_channel_is_in_demand_while_any_node_subscribes(nodes: &Nodes) {
    let namespace = unique("book").replace(':', "-");
    let [btc, other] = names(&namespace);
    let asked = [namespace.as_str()];
    let wanted = async |node: usize| {
        let demand = [&nodes.one, &nodes.two][node].demand(&asked).await.expect("demand");
        assert!(demand.complete);
        demand.channels.into_iter().collect::<Vec<_>>()
    };
    assert!(wanted(0).await.is_empty());
    let (one, two) = (nodes.one.subscriber(8), nodes.two.subscriber(8));
    nodes.one.subscribe(one.id, &[(btc.clone(), reliable())]).await.expect("subscribed");
    nodes.two.subscribe(two.id, &[(other.clone(), reliable()), (btc.clone(), reliable())]).await.expect("subscribed");
    for node in [0, 1] {
        assert_eq!(wanted(node).await, [btc.clone(), other.clone()]);
    }
    nodes.one.unsubscribe(one.id, std::slice::from_ref(&btc));
    nodes.two.unsubscribe(two.id, std::slice::from_ref(&other));
    eventually("one channel is left", || async { wanted(0).await == [btc.clone()] }).await;
    drop(two);
    eventually("none is left", || async { wanted(0).await.is_empty() }).await;
}

/// Neither other namespaces nor those that begin alike; a namespace's letters mean nothing but themselves.
pub async fn only_the_namespaces_asked_for_are_named(nodes: &Nodes) {
    let namespace = unique("b[o]*").replace(':', "-");
    let subscriber = nodes.one.subscriber(8);
    let (longer, other) = (format!("{namespace}s"), unique("other").replace(':', "-"));
    let mut channels = Vec::from(names(&namespace));
    channels.push(ChannelName::new(&namespace).expect("a channel's name"));
    channels.sort();
    let all = channels.iter().cloned().chain(names(&longer)).chain(names(&other));
    let all: Vec<_> = all.map(|channel| (channel, reliable())).collect();
    nodes.one.subscribe(subscriber.id, &all).await.expect("subscribed");
    let demand = nodes.two.demand(&[&namespace]).await.expect("demand");
    assert_eq!(demand.channels.into_iter().collect::<Vec<_>>(), channels);
    let both = nodes.two.demand(&[&namespace, &other]).await.expect("demand");
    assert_eq!(both.channels.len(), 5);
    assert!(nodes.two.demand(&[]).await.expect("demand").channels.is_empty());
}
