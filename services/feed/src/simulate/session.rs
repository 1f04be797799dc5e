//! One client's connection, from the exchange's side: what it subscribed to, what it is answered, what faults befall its frames.
//! No I/O, no clock.

use std::collections::HashMap;

use super::{
    fault::{FaultKind, Plan},
    tape::is_book,
    text,
    wire::{Ack, Arg, Request, Wire},
    world::{Emission, World},
};

/// Topics that one connection may have.
const TOPICS_MAX: usize = 1_024;
/// The size of [`FaultKind::Huge`].
const HUGE_BYTES: usize = 5 * 1024 * 1024;

/// What to do with the socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Output {
    Text(String),
    Binary(Vec<u8>),
    /// Begin a frame and never end it.
    Crawl,
    /// Say nothing any more, read nothing, keep the socket.
    Silence,
    /// A close frame; 1006: end without one.
    Close(u16),
    /// Close in two seconds.
    CloseSoon,
    Reset,
}

/// What a connection shares with the others.
pub(crate) struct Venue<'a> {
    pub(crate) wire: &'static dyn Wire,
    pub(crate) world: &'a mut World,
    pub(crate) plan: &'a mut Plan,
    pub(crate) wall_ms: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Session {
    /// By topic; with the emission after which it began.
    topics: HashMap<String, (Arg, u64)>,
    /// Frames sent.
    count: u64,
    heartbeats: u64,
    /// Held back, to be sent after the next change.
    swapped: Option<String>,
}

impl Session {
    /// Before the client has said anything: a greeting, and what its address subscribes to.
    pub(crate) fn open(&mut self, path: &str, venue: &mut Venue<'_>) -> Vec<Output> {
        let mut out: Vec<Output> =
            venue.wire.greeting(venue.wall_ms).into_iter().map(|text| self.stamped(venue.wire, text)).collect();
        for text in self.subscribe(venue.wire.request_by_path(path), venue) {
            let text = self.stamped(venue.wire, text);
            out.push(text);
        }
        out
    }

    /// A frame of the client's.
    pub(crate) fn on_text(&mut self, text: &str, venue: &mut Venue<'_>) -> Vec<Output> {
        let mut out = Vec::new();
        match venue.wire.request(text) {
            Request::Ping(_) if venue.plan.is_mute() => {}
            Request::Ping(answer) | Request::Other(answer) => out.push(self.stamped(venue.wire, answer)),
            Request::Subscribe { id, args } => {
                let args = Self::judged(args, venue);
                let accepted = args.iter().filter(|(_, is_refused)| !is_refused).map(|(arg, _)| arg.clone());
                let snapshots = self.subscribe(accepted.collect(), venue);
                self.acknowledge(true, id.as_deref(), &args, venue, &mut out);
                for text in snapshots {
                    let text = self.stamped(venue.wire, text);
                    out.push(text);
                }
            }
            Request::Unsubscribe { id, args } => {
                for arg in &args {
                    self.topics.remove(&arg.topic);
                }
                let args: Vec<_> = args.into_iter().map(|arg| (arg, false)).collect();
                self.acknowledge(false, id.as_deref(), &args, venue, &mut out);
            }
        }
        out
    }

    fn judged(args: Vec<Arg>, venue: &mut Venue<'_>) -> Vec<(Arg, bool)> {
        let refuses_first = venue.plan.on_request();
        let is_unknown = |arg: &Arg, world: &World| venue.wire.refuses_unknown() && !world.has_symbol(&arg.symbol);
        let judge = |(place, arg): (usize, Arg)| {
            let is_refused = (refuses_first && place == 0) || is_unknown(&arg, venue.world);
            (arg, is_refused)
        };
        args.into_iter().enumerate().map(judge).collect()
    }

    fn acknowledge(
        &mut self,
        is_subscribe: bool,
        id: Option<&str>,
        args: &[(Arg, bool)],
        venue: &Venue<'_>,
        out: &mut Vec<Output>,
    ) {
        let all = self.topics.values().map(|(arg, _)| arg).collect();
        let answers = venue.wire.acknowledge(&Ack { is_subscribe, id, args, all, wall_ms: venue.wall_ms });
        for answer in answers {
            let answer = self.stamped(venue.wire, answer);
            out.push(answer);
        }
    }

    /// The snapshots that the new subscriptions begin with.
    fn subscribe(&mut self, args: Vec<Arg>, venue: &mut Venue<'_>) -> Vec<String> {
        let mut snapshots = Vec::new();
        for arg in args {
            // A second subscription is acknowledged and brings no second snapshot.
            if self.topics.contains_key(&arg.topic) || self.topics.len() >= TOPICS_MAX {
                continue;
            }
            if is_book(&arg.topic)
                && let Some(text) = venue.world.snapshot(&arg, venue.wall_ms)
                && !venue.plan.on_snapshot()
            {
                snapshots.push(text);
            }
            let emitted = venue.world.emitted();
            self.topics.insert(arg.topic.clone(), (arg, emitted));
        }
        snapshots
    }

    /// Whether it subscribed to anything, which lets the recording begin.
    pub(crate) fn is_subscribed(&self) -> bool {
        !self.topics.is_empty()
    }

    /// Something that the exchange sends to all subscribers.
    pub(crate) fn on_emission(&mut self, emission: &Emission, venue: &mut Venue<'_>) -> Vec<Output> {
        let Some((arg, since)) = self.topics.get(&*emission.topic) else { return Vec::new() };
        if emission.number <= *since {
            return Vec::new();
        }
        let text = venue.wire.address(arg, &emission.text);
        if emission.is_snapshot && venue.plan.on_snapshot() {
            return Vec::new();
        }
        let fault = if emission.is_change { venue.plan.on_change() } else { None };
        let swapped = if emission.is_change && fault != Some(FaultKind::Swap) { self.swapped.take() } else { None };
        let mut out = match fault {
            None => vec![self.stamped(venue.wire, text)],
            Some(fault) => self.spoilt(fault, text, venue),
        };
        out.extend(swapped.map(Output::Text));
        out
    }

    fn spoilt(&mut self, fault: FaultKind, text: String, venue: &Venue<'_>) -> Vec<Output> {
        let stamped = match self.stamped(venue.wire, text) {
            Output::Text(text) => text,
            other => return vec![other],
        };
        match fault {
            FaultKind::Drop => Vec::new(),
            FaultKind::Duplicate => vec![Output::Text(stamped.clone()), Output::Text(stamped)],
            FaultKind::Swap => {
                self.swapped = Some(stamped);
                Vec::new()
            }
            FaultKind::Corrupt => vec![Output::Text(corrupted(&stamped))],
            FaultKind::Cross => vec![Output::Text(crossed(&stamped))],
            FaultKind::Truncate => vec![Output::Text(stamped[..floor(&stamped, stamped.len() / 2)].to_owned())],
            FaultKind::Binary => vec![Output::Binary(vec![0xff, 0x00, 0xfe, 0x01]), Output::Text(stamped)],
            FaultKind::Huge => {
                let filler = "x".repeat(HUGE_BYTES);
                vec![Output::Text(format!(r#"{{"unheard_of":"{filler}"}}"#)), Output::Text(stamped)]
            }
            FaultKind::HalfOpen => vec![Output::Silence],
            FaultKind::SlowLoris => vec![Output::Crawl],
            FaultKind::Close(code) => vec![Output::Close(code)],
            FaultKind::Reset => vec![Output::Reset],
            FaultKind::Maintenance => {
                let notice = self.stamped(venue.wire, venue.wire.maintenance(venue.wall_ms));
                vec![Output::Text(stamped), notice, Output::CloseSoon]
            }
            FaultKind::PartialAck
            | FaultKind::NoSnapshot
            | FaultKind::Refuse(_)
            | FaultKind::RefuseHttp(_)
            | FaultKind::Mute => vec![Output::Text(stamped)],
        }
    }

    /// The venue's sign of life, once a second.
    pub(crate) fn heartbeat(&mut self, wire: &dyn Wire, wall_ms: u64) -> Option<Output> {
        let wants: Vec<&Arg> = self.topics.values().map(|(arg, _)| arg).collect();
        let text = wire.heartbeat(&wants, self.heartbeats, wall_ms)?;
        self.heartbeats += 1;
        Some(self.stamped(wire, text))
    }

    fn stamped(&mut self, wire: &dyn Wire, text: String) -> Output {
        let text = wire.stamp(text, self.count);
        self.count += 1;
        Output::Text(text)
    }
}

/// The first level's quantity is another.
fn corrupted(frame: &str) -> String {
    for key in ["qty", "new_quantity"] {
        if let Some(quantity) = text::find(frame, key) {
            let wrong = wrong(quantity);
            let mut is_first = true;
            return text::replace(frame, key, |_| std::mem::take(&mut is_first).then(|| wrong.clone()));
        }
    }
    // `[["price","qty"`: the second string of the first level.
    let Some(start) = frame.find("[[\"") else { return frame.to_owned() };
    let strings: Vec<(usize, usize)> = quoted(&frame[start..]);
    let Some(&(from, to)) = strings.get(1) else { return frame.to_owned() };
    let wrong = wrong(&frame[start + from..start + to]);
    format!("{}{wrong}{}", &frame[..start + from], &frame[start + to..])
}

/// A bid above every ask, in the venue's own form, before the others.
fn crossed(frame: &str) -> String {
    let has = |text: &str| frame.contains(text);
    let (place, level) = if has("\"updates\":[") {
        let time = text::find(frame, "timestamp").unwrap_or_default();
        let update = r#"{"side":"bid","event_time":"TIME","price_level":"99999999","new_quantity":"1"}"#;
        ("\"updates\":[", update.replace("TIME", time))
    } else if has("\"channel\":\"book\"") {
        ("\"bids\":[", r#"{"price":99999999.0,"qty":1.0}"#.to_owned())
    } else if has("\"seqId\"") {
        ("\"bids\":[", r#"["99999999","1","0","1"]"#.to_owned())
    } else {
        ("\"b\":[", r#"["99999999","1"]"#.to_owned())
    };
    let Some(start) = frame.find(place).map(|at| at + place.len()) else { return frame.to_owned() };
    let comma = if frame[start..].starts_with(']') { "" } else { "," };
    format!("{}{level}{comma}{}", &frame[..start], &frame[start..])
}

fn wrong(quantity: &str) -> String {
    format!("7{quantity}")
}

/// Where the strings of `text` stand, without their quotes.
fn quoted(text: &str) -> Vec<(usize, usize)> {
    let marks: Vec<usize> = text.match_indices('"').take(4).map(|(at, _)| at).collect();
    marks.chunks_exact(2).map(|pair| (pair[0] + 1, pair[1])).collect()
}

/// The last boundary of a character at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    (0..=at).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}
