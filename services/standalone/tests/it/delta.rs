use tickwire_client::{Client, ClientOptions, Encoding, SubscribeOptions, TokenSource};
use tickwire_protocol::codec::Message;

use crate::cluster::{Standalone, channel, message, soon, token};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_with_deltas_delivers_whole_values_in_both_encodings() {
    let standalone = Standalone::start().await;
    let mut readers = Vec::new();
    for encoding in [Encoding::Json, Encoding::MsgPack] {
        let mut options = ClientOptions::new(standalone.ws("/ws"), TokenSource::Fixed(token("7")));
        options.encoding = encoding;
        let client = Client::connect(options).unwrap();
        let wanted = SubscribeOptions { delta: true, ..SubscribeOptions::default() };
        let mut subscription = client.subscribe(channel("prices:all"), wanted).await.unwrap();
        soon("the subscription stands", subscription.next_event()).await.unwrap();
        readers.push((client, subscription));
    }
    let value = |n: u32| format!(r#"{{"symbol":"BTC/USDT","exchange":"with a long name","price":"64213.{n:02}0"}}"#);
    for n in 0..50 {
        let mut outgoing = message("prices:all", &value(n));
        outgoing.key = Some("BTC/USDT".into());
        standalone.emitter.publish(outgoing).await.unwrap();
        for (_, subscription) in &mut readers {
            let Message { data, key, .. } = soon("the value", subscription.next_message()).await.unwrap().message;
            assert_eq!((data.as_str(), key.as_deref()), (value(n).as_str(), Some("BTC/USDT")));
        }
    }
    let metrics = reqwest::get(format!("http://{}/metrics", standalone.edge)).await.unwrap().text().await.unwrap();
    let deltas = metrics.lines().find_map(|line| line.strip_prefix("tickwire_edge_deltas_total ")).unwrap();
    assert_eq!(deltas, "98");
    standalone.stop().await;
}
