use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;
use tickwire_protocol::{ChannelName, Position, Priority, RawJson, dialect::Dialect, publication::FrameCache};

use super::*;
use crate::{
    config::LimitsConfig,
    connection::{Listed, Sink, pulse::Pulse, state::State},
    limits::Limits,
    metrics::{Metrics, Transport},
};

const CHANNELS: u32 = 3;

fn gather() -> Gather {
    Gather::new(Rc::new(Encoder::new(40, Arc::default())))
}

fn publication(channel: u32, key: Option<u8>, number: u32) -> Arc<Publication> {
    Arc::new(Publication {
        channel: ChannelName::new(&format!("prices:{channel}")).unwrap(),
        class: DeliveryClass::Reliable,
        position: Some(Position::new(1, u64::from(number))),
        time_ms: 0,
        stored_ms: None,
        priority: Priority::Medium,
        key: key.map(|key| key.to_string().into()),
        tags: std::collections::BTreeMap::new(),
        data: RawJson::of(&format!("{channel} {number} {}", "x".repeat(number as usize % 70))).unwrap(),
        publisher: None,
        signature: None,
        expires_at_ms: None,
        traceparent: None,
        frames: FrameCache::default(),
    })
}

fn connection(dialect: Dialect, offered: bool, deflates: bool) -> Connection {
    let limits = Limits::new(&LimitsConfig::default(), Arc::new(Metrics::default()));
    let peer = IpAddr::from(Ipv4Addr::LOCALHOST);
    Connection {
        serial: 1,
        sink: Sink::Pull,
        transport: Transport::WebSocket,
        waker: None,
        outbox: None,
        gathered: List::EMPTY,
        accounted: 0,
        blocked: false,
        pulse: Pulse::default(),
        deflates,
        listed: Listed::default(),
        state: State::new(None, Some(dialect), offered, None),
        commands: None,
        busy: 0,
        slot: limits.admit(peer).unwrap(),
        peer,
        heard_ms: 0,
        sent_ms: 0,
        pinged_ms: 0,
        closing: None,
    }
}

/// The data of each message in a stream of server frames, packed or not, compressed or not; and how many frames they were.
fn messages(mut bytes: &[u8]) -> (Vec<String>, usize) {
    let (mut data, mut frames) = (Vec::new(), 0);
    while !bytes.is_empty() {
        frames += 1;
        let header = crate::outbox::header_len(bytes);
        let len = match header {
            2 => usize::from(bytes[1]),
            4 => usize::from(u16::from_be_bytes([bytes[2], bytes[3]])),
            _ => usize::try_from(u64::from_be_bytes(bytes[2..10].try_into().unwrap())).unwrap(),
        };
        let (frame, rest) = bytes.split_at(header + len);
        let body = if crate::framing::outgoing::is_deflated(frame) {
            inflated(&frame[header..])
        } else {
            frame[header..].to_vec()
        };
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let packed = if let serde_json::Value::Array(packed) = body { packed } else { vec![body] };
        data.extend(packed.iter().map(|message| message["data"].as_str().unwrap().trim_end_matches('x').to_owned()));
        bytes = rest;
    }
    (data, frames)
}

fn inflated(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 << 20);
    let body = [body, &[0, 0, 0xFF, 0xFF]].concat();
    flate2::Decompress::new(false).decompress_vec(&body, &mut out, flate2::FlushDecompress::Sync).unwrap();
    out
}

/// A channel's subscribers, as the hub would serve them.
struct Served {
    gather: Gather,
    connections: Vec<Connection>,
    /// What their sockets took.
    taken: Vec<Vec<u8>>,
    runs: [RunId; CHANNELS as usize],
}

impl Served {
    fn new(connections: Vec<Connection>) -> Self {
        let taken = vec![Vec::new(); connections.len()];
        Self { gather: gather(), connections, taken, runs: [RunId::default(); CHANNELS as usize] }
    }

    fn publish(&mut self, publication: &Arc<Publication>, channel: u32, class: DeliveryClass) {
        let own = &mut self.runs[channel as usize];
        let others = if let Some(run) = self.gather.append(*own, publication) {
            run.others.clone()
        } else {
            *own = self.gather.open(ChannelId(channel), class, publication);
            let mut others = Vec::new();
            for (key, connection) in (0..).zip(&mut self.connections) {
                if connection.outbox.is_none() {
                    self.gather.give(*own, &mut connection.gathered);
                } else {
                    others.push(ConnectionId { key, serial: 1 });
                }
            }
            self.gather.set_receivers(*own, 0, others.clone());
            others
        };
        for id in others {
            let connection = &mut self.connections[id.key as usize];
            self.gather.spill(connection);
            let frame = self.gather.encoder.frame(publication, Form::of(connection)).unwrap();
            let item = Item { frame, tag: None };
            connection.message(ChannelId(channel), class, publication, item, NO_BUDGET);
        }
    }

    /// Writes what waits for a connection; its socket takes `room` bytes.
    fn flush(&mut self, index: usize, mut room: usize) {
        let (connection, taken) = (&mut self.connections[index], &mut self.taken[index]);
        let mut take = |slices: &[io::IoSlice<'_>]| {
            let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
            let now = room.min(bytes.len());
            room -= now;
            taken.extend_from_slice(&bytes[..now]);
            if now == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(now) }
        };
        if !connection.gathered.is_empty() {
            let (_, written) = self.gather.write(connection, |_, slices| take(slices));
            assert!(!matches!(written, Written::Dead));
        }
        let packing = connection.packing();
        let Some(outbox) = &mut connection.outbox else { return };
        while outbox.fill(packing, usize::MAX) {
            let written = take(&outbox.slices());
            match written {
                Ok(bytes) => outbox.advance(bytes, &mut |_| {}),
                Err(_) => return,
            }
        }
        connection.outbox = None;
    }
}

#[test]
fn a_burst_is_one_frame_for_clients_that_unpack_and_one_a_message_for_others() {
    let forms = [(true, false), (false, false), (true, true), (false, true)];
    let mut served =
        Served::new(forms.iter().map(|(offered, deflates)| connection(Dialect::Json, *offered, *deflates)).collect());
    for number in 0..20 {
        served.publish(&publication(number % 2, None, number), number % 2, DeliveryClass::Reliable);
    }
    assert_eq!(served.gather.runs.len(), 2, "one run a channel");
    let expected: Vec<_> =
        (0..20).step_by(2).chain((1..20).step_by(2)).map(|number| format!("{} {number} ", number % 2)).collect();
    for (index, (offered, _)) in forms.into_iter().enumerate() {
        served.flush(index, usize::MAX);
        let (data, frames) = messages(&served.taken[index]);
        assert_eq!(data, expected);
        assert_eq!(frames, if offered { 1 } else { 20 });
    }
}

#[test]
fn what_is_written_to_many_is_the_same_memory() {
    let mut served = Served::new((0..2).map(|_| connection(Dialect::MsgPack, true, false)).collect());
    for number in 0..4 {
        served.publish(&publication(number % 2, None, number), number % 2, DeliveryClass::Reliable);
    }
    let mut seen = Vec::new();
    for connection in &mut served.connections {
        let (_, written) = served.gather.write(connection, |_, slices| {
            // The header is the connection's own.
            seen.push(slices[1..].iter().map(|slice| slice.as_ptr()).collect::<Vec<_>>());
            Ok(slices.iter().map(|slice| slice.len()).sum())
        });
        assert!(matches!(written, Written::All));
    }
    assert_eq!(seen[0].len(), 2, "a slice for each channel's messages");
    assert_eq!(seen[0], seen[1]);
}

#[test]
fn a_newer_value_takes_an_older_ones_place_in_a_run() {
    let mut served = Served::new(vec![connection(Dialect::Json, true, false)]);
    for number in 0..9 {
        served.publish(&publication(0, Some(u8::try_from(number % 3).unwrap()), number), 0, DeliveryClass::Latest);
    }
    served.flush(0, usize::MAX);
    assert_eq!(messages(&served.taken[0]).0, ["0 6 ", "0 7 ", "0 8 "]);
}

#[test]
fn a_run_that_was_written_to_anyone_grows_no_more() {
    let mut served = Served::new((0..2).map(|_| connection(Dialect::Json, true, false)).collect());
    served.publish(&publication(0, None, 1), 0, DeliveryClass::Reliable);
    served.flush(0, usize::MAX);
    served.publish(&publication(0, None, 2), 0, DeliveryClass::Reliable);
    for index in 0..2 {
        served.flush(index, usize::MAX);
        assert_eq!(messages(&served.taken[index]).0, ["0 1 ", "0 2 "]);
    }
}

#[derive(Debug, Clone)]
enum Step {
    Publish(u32),
    Flush(usize, usize),
    Spill(usize),
    /// The channel's subscribers changed.
    Seal(u32),
    /// Everything is written, as at the end of a round.
    Clear,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let room = prop_oneof![0..1_500_usize, Just(usize::MAX)];
    let step = prop_oneof![
        8 => (0..CHANNELS).prop_map(Step::Publish),
        3 => (0..6_usize, room).prop_map(|(index, room)| Step::Flush(index, room)),
        1 => (0..6_usize).prop_map(Step::Spill),
        1 => (0..CHANNELS).prop_map(Step::Seal),
        1 => Just(Step::Clear),
    ];
    prop::collection::vec(step, 0..200)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However sockets block and whatever makes a list an outbox, everyone gets every message of every channel once and in
    /// order, in whole frames.
    #[test]
    fn everyone_gets_everything_in_order(steps in steps()) {
        let forms = [(false, false), (true, false), (false, true), (true, true), (true, false), (false, false)];
        let connections = forms.iter().map(|(offered, deflates)| connection(Dialect::Json, *offered, *deflates));
        let mut served = Served::new(connections.collect());
        let mut published: Vec<Vec<String>> = vec![Vec::new(); CHANNELS as usize];
        for (number, step) in (0_u32..).zip(&steps) {
            match *step {
                Step::Publish(channel) => {
                    served.publish(&publication(channel, None, number), channel, DeliveryClass::Reliable);
                    published[channel as usize].push(format!("{channel} {number} "));
                }
                Step::Flush(index, room) => served.flush(index, room),
                Step::Spill(index) => served.gather.spill(&mut served.connections[index]),
                Step::Seal(channel) => served.gather.seal(served.runs[channel as usize]),
                Step::Clear => {
                    for index in 0..forms.len() {
                        served.flush(index, 700);
                    }
                    served.gather.clear();
                }
            }
        }
        for index in 0..forms.len() {
            served.flush(index, usize::MAX);
            let (data, _) = messages(&served.taken[index]);
            for (channel, expected) in published.iter().enumerate() {
                let prefix = format!("{channel} ");
                let got: Vec<_> = data.iter().filter(|message| message.starts_with(&prefix)).cloned().collect();
                prop_assert_eq!(&got, expected);
            }
        }
    }
}
