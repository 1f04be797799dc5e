use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use tickwire_protocol::{DeliveryClass, RawJson, publication::FrameCache};

use super::*;
use crate::framing::outgoing::{DataKind, data};

const BUDGET: usize = 1 << 20;

fn item(text: &str) -> Item {
    Item { frame: data(DataKind::Text, text.as_bytes()), tag: None }
}

fn value(key: &str, priority: Priority) -> Arc<Publication> {
    Arc::new(Publication {
        channel: ChannelName::new("prices:X").unwrap(),
        class: DeliveryClass::Latest,
        position: None,
        time_ms: 0,
        stored_ms: None,
        priority,
        key: Some(key.into()),
        tags: BTreeMap::default(),
        data: RawJson::null(),
        publisher: None,
        signature: None,
        expires_at_ms: None,
        traceparent: None,
        frames: FrameCache::default(),
    })
}

fn popped(outbox: &mut Outbox) -> Vec<String> {
    std::iter::from_fn(|| outbox.pop()).map(|item| String::from_utf8(item.body().to_vec()).unwrap()).collect()
}

/// Writes everything, `step` bytes at a time, and returns it.
fn written(outbox: &mut Outbox, packing: Packing, step: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while outbox.fill(packing, usize::MAX) {
        let taken = {
            let bytes: Vec<u8> = outbox.slices().iter().flat_map(|slice| slice.iter().copied()).collect();
            let taken = bytes.len().min(step);
            all.extend_from_slice(&bytes[..taken]);
            taken
        };
        outbox.advance(taken, &mut |_| {});
    }
    all
}

/// Bodies of unfragmented server frames.
fn bodies(mut bytes: &[u8]) -> Vec<String> {
    let mut bodies = Vec::new();
    while !bytes.is_empty() {
        let header = header_len(bytes);
        let len = match header {
            2 => usize::from(bytes[1]),
            4 => usize::from(u16::from_be_bytes([bytes[2], bytes[3]])),
            _ => usize::try_from(u64::from_be_bytes(bytes[2..10].try_into().unwrap())).unwrap(),
        };
        bodies.push(String::from_utf8(bytes[header..header + len].to_vec()).unwrap());
        bytes = &bytes[header + len..];
    }
    bodies
}

#[test]
fn a_critical_message_overtakes_other_channels_and_takes_its_own_channel_along() {
    let mut outbox = Outbox::default();
    for (channel, priority, text) in [
        (1, Priority::Medium, "a1"),
        (2, Priority::Low, "b1"),
        (1, Priority::Medium, "a2"),
        (2, Priority::Medium, "b2"),
        (3, Priority::High, "c1"),
        (2, Priority::Critical, "b3"),
    ] {
        outbox.push_lossless(ChannelId(channel), priority, item(text), BUDGET);
    }
    assert_eq!(popped(&mut outbox), ["b1", "b2", "b3", "c1", "a1", "a2"]);
    assert_eq!(outbox.bytes(), 0);
}

#[test]
fn a_newer_value_takes_the_place_of_a_waiting_one() {
    let mut outbox = Outbox::default();
    let channel = ChannelId(1);
    assert_eq!(outbox.push_latest(channel, &value("A", Priority::Medium), item("A1"), BUDGET), Pushed::Queued);
    outbox.push_latest(channel, &value("B", Priority::Medium), item("B1"), BUDGET);
    assert_eq!(outbox.push_latest(channel, &value("A", Priority::Medium), item("A2"), BUDGET), Pushed::Conflated);
    assert_eq!(popped(&mut outbox), ["A2", "B1"]);
    outbox.push_latest(channel, &value("A", Priority::Medium), item("A3"), BUDGET);
    assert_eq!(popped(&mut outbox), ["A3"]);
}

#[test]
fn the_budget_drops_volatile_and_refuses_reliable() {
    let mut outbox = Outbox::default();
    let text = "x".repeat(400);
    outbox.push_lossless(ChannelId(1), Priority::Medium, item(&text), 1_000);
    outbox.push_lossless(ChannelId(1), Priority::Medium, item(&text), 1_000);
    assert_eq!(outbox.push_volatile(ChannelId(2), Priority::Medium, item(&text), 1_000), Pushed::Dropped);
    assert_eq!(outbox.push_lossless(ChannelId(1), Priority::Medium, item(&text), 1_000), Pushed::Overflow);
    assert_eq!(outbox.push_reply(None, item(&text), 1_000), Pushed::Queued, "replies have room of their own");
}

#[test]
fn one_message_larger_than_the_budget_still_goes_when_nothing_waits() {
    let mut outbox = Outbox::default();
    assert_eq!(outbox.push_lossless(ChannelId(1), Priority::Medium, item(&"x".repeat(2_000)), 1_000), Pushed::Queued);
}

#[test]
fn a_reply_goes_first_and_is_not_overtaken_by_its_channel() {
    let mut outbox = Outbox::default();
    outbox.push_lossless(ChannelId(1), Priority::Medium, item("a"), BUDGET);
    outbox.push_reply(Some(ChannelId(2)), item("subscribed"), BUDGET);
    outbox.push_lossless(ChannelId(2), Priority::Critical, item("b"), BUDGET);
    assert_eq!(popped(&mut outbox), ["subscribed", "b", "a"]);
}

#[test]
fn leaving_a_channel_purges_its_messages_but_not_its_replies() {
    let mut outbox = Outbox::default();
    outbox.push_reply(Some(ChannelId(1)), item("subscribed"), BUDGET);
    outbox.push_latest(ChannelId(1), &value("A", Priority::High), item("A1"), BUDGET);
    outbox.push_lossless(ChannelId(2), Priority::Medium, item("b"), BUDGET);
    outbox.purge(ChannelId(1));
    assert_eq!(popped(&mut outbox), ["subscribed", "b"]);
    assert_eq!(outbox.bytes(), 0);
}

#[test]
fn the_low_lane_is_not_starved() {
    let mut outbox = Outbox::default();
    outbox.push_lossless(ChannelId(1), Priority::Low, item("low"), BUDGET);
    for _ in 0..200 {
        outbox.push_lossless(ChannelId(2), Priority::High, item("high"), BUDGET);
    }
    let at = popped(&mut outbox).iter().position(|text| text == "low").unwrap();
    assert_eq!(at, usize::from(PASSED_OVER_MAX));
}

#[test]
fn a_lane_that_is_never_empty_starves_no_other() {
    let mut outbox = Outbox::default();
    let low = ChannelId(1);
    // A message of its own and a channel with the same bit went through the busy lane before.
    outbox.push_lossless(low, Priority::High, item("earlier"), BUDGET);
    outbox.push_lossless(ChannelId(65), Priority::High, item("high"), BUDGET);
    outbox.push_lossless(ChannelId(65), Priority::High, item("high"), BUDGET);
    assert_eq!(outbox.pop().unwrap().body(), "earlier");
    outbox.push_lossless(low, Priority::Low, item("low"), BUDGET);
    let went = (0..1_000).position(|_| {
        outbox.push_lossless(ChannelId(65), Priority::High, item("high"), BUDGET);
        outbox.pop().unwrap().body() == "low"
    });
    assert_eq!(went, Some(usize::from(PASSED_OVER_MAX)));
}

#[test]
fn waiting_messages_share_a_frame_where_the_client_allows_it() {
    let mut outbox = Outbox::default();
    let big = format!("\"{}\"", "x".repeat(3_000));
    for text in ["1", "2", big.as_str(), "3"] {
        outbox.push_lossless(ChannelId(1), Priority::Medium, item(text), BUDGET);
    }
    let bytes = written(&mut outbox, Packing::JsonArray, 7);
    assert_eq!(bodies(&bytes), [format!("[1,2,{big},3]")]);
    outbox.push_lossless(ChannelId(1), Priority::Medium, item("4"), BUDGET);
    assert_eq!(bodies(&written(&mut outbox, Packing::JsonArray, 100)), ["4"], "a single one goes as it is");
}

#[test]
fn a_cut_finishes_the_frame_that_was_begun() {
    let mut outbox = Outbox::default();
    for text in ["first", "second"] {
        outbox.push_lossless(ChannelId(1), Priority::Medium, item(text), BUDGET);
    }
    assert!(outbox.fill(Packing::No, usize::MAX));
    outbox.advance(3, &mut |_| {});
    outbox.cut(data(DataKind::Text, b"end"));
    let bytes = written(&mut outbox, Packing::No, 100);
    assert_eq!(bytes[..4], *b"irst");
    assert_eq!(bodies(&bytes[4..]), ["end"]);
    assert!(outbox.is_empty());
}

#[test]
fn the_close_frame_goes_last_and_alone() {
    let mut outbox = Outbox::default();
    outbox.push_last(data(DataKind::Text, b"end"));
    outbox.push_lossless(ChannelId(1), Priority::Medium, item("1"), BUDGET);
    outbox.push_lossless(ChannelId(1), Priority::Medium, item("2"), BUDGET);
    assert_eq!(bodies(&written(&mut outbox, Packing::JsonArray, 100)), ["[1,2]", "end"]);
}

#[test]
fn a_tag_comes_back_when_its_item_is_written_whole() {
    let mut outbox = Outbox::default();
    let tag = Tag {
        channel: ChannelName::new("user:7").unwrap(),
        mark: None,
        receipts: vec![Position::new(1, 2)],
        span: None,
    };
    outbox.push_reply(None, Item { tag: Some(Box::new(tag.clone())), ..item("critical") }, BUDGET);
    let mut written = Vec::new();
    assert!(outbox.fill(Packing::No, usize::MAX));
    outbox.advance(5, &mut |tag| written.push(tag));
    assert!(written.is_empty());
    outbox.advance(5, &mut |tag| written.push(tag));
    assert_eq!(written, [tag]);
}

#[derive(Debug, Clone)]
enum Step {
    Lossless(u32, Priority),
    Latest(u32, u8, Priority),
    Purge(u32),
    Pop,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let priority = || prop::sample::select(Priority::ALL.to_vec());
    let step = prop_oneof![
        // Reliable channels are even, latest ones odd; 0 and 64 share a bit of the lanes' masks.
        6 => (prop::sample::select(vec![0, 2, 64]), priority()).prop_map(|(channel, p)| Step::Lossless(channel, p)),
        6 => (prop::sample::select(vec![1, 65]), 0..4_u8, priority()).prop_map(|(c, key, p)| Step::Latest(c, key, p)),
        1 => (0..66_u32).prop_map(Step::Purge),
        4 => Just(Step::Pop),
    ];
    prop::collection::vec(step, 0..400)
}

proptest! {
    /// Numbers go in per channel; whatever comes out of a reliable channel is all of them in order, of a latest one the
    /// newest of each key and never an older one after a newer.
    #[test]
    fn order_and_freshness_hold_whatever_happens(steps in steps()) {
        let mut outbox = Outbox::default();
        let mut pushed: HashMap<u32, Vec<u32>> = HashMap::new();
        let mut newest: HashMap<(u32, u8), u32> = HashMap::new();
        let mut out: Vec<(u32, u8, u32)> = Vec::new();
        let take = |outbox: &mut Outbox, out: &mut Vec<(u32, u8, u32)>| {
            let item = outbox.pop()?;
            let body = item.body();
            let mut parts = std::str::from_utf8(&body).unwrap().split(' ');
            let mut next = || parts.next().unwrap().parse::<u32>().unwrap();
            out.push((next(), u8::try_from(next()).unwrap(), next()));
            Some(())
        };
        for (number, step) in (0_u32..).zip(&steps) {
            match *step {
                Step::Lossless(channel, priority) => {
                    outbox.push_lossless(ChannelId(channel), priority, item(&format!("{channel} 0 {number}")), BUDGET);
                    pushed.entry(channel).or_default().push(number);
                }
                Step::Latest(channel, key, priority) => {
                    let publication = value(&key.to_string(), priority);
                    let item = item(&format!("{channel} {key} {number}"));
                    outbox.push_latest(ChannelId(channel), &publication, item, BUDGET);
                    newest.insert((channel, key), number);
                }
                Step::Purge(channel) => {
                    outbox.purge(ChannelId(channel));
                    let seen: Vec<u32> = out.iter().filter(|got| got.0 == channel).map(|got| got.2).collect();
                    if let Some(numbers) = pushed.get_mut(&channel) {
                        numbers.retain(|number| seen.contains(number));
                    }
                    newest.retain(|slot, number| slot.0 != channel || seen.contains(number));
                }
                Step::Pop => { take(&mut outbox, &mut out); }
            }
        }
        while take(&mut outbox, &mut out).is_some() {}
        prop_assert_eq!(outbox.bytes(), 0);
        prop_assert!(outbox.is_empty());
        for (channel, numbers) in pushed {
            let got: Vec<u32> = out.iter().filter(|got| got.0 == channel).map(|got| got.2).collect();
            prop_assert_eq!(got, numbers);
        }
        for (slot, number) in newest {
            let got: Vec<u32> = out.iter().filter(|got| (got.0, got.1) == slot).map(|got| got.2).collect();
            prop_assert!(got.is_sorted());
            prop_assert_eq!(got.last(), Some(&number));
        }
    }
}
