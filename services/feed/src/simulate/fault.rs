//! What goes wrong, and when.

use std::str::FromStr;

/// Something that a live exchange or the network between does to its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// The frame is lost.
    Drop,
    /// The frame comes twice.
    Duplicate,
    /// The frame comes after the next one of its book.
    Swap,
    /// One level's quantity is wrong.
    Corrupt,
    /// A bid above the best ask.
    Cross,
    /// The frame ends in the middle.
    Truncate,
    /// Bytes that are no text.
    Binary,
    /// The socket stays open and nothing comes any more.
    HalfOpen,
    /// A close frame with this code; 1006 ends the connection without one.
    Close(u16),
    /// The connection is reset.
    Reset,
    /// A frame of 5 MB that says nothing.
    Huge,
    /// The maintenance announcement of the venue; the connection is closed two seconds later.
    Maintenance,
    /// The first symbol of a request is refused.
    PartialAck,
    /// A subscription's book snapshot never comes.
    NoSnapshot,
    /// The upgrade is refused with this HTTP status.
    Refuse(u16),
    /// A request for a snapshot over HTTP is refused with this status.
    RefuseHttp(u16),
    /// Pings, the client's and the application's, are not answered.
    Mute,
    /// The frame comes byte by byte and never ends.
    SlowLoris,
}

/// A fault, and the place where it happens: `drop`, `drop@12`, `close:1008@5`, `refuse:429x3`, `drop@10x2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// What happens.
    pub kind: FaultKind,
    /// At which book change sent, counted over all connections from 1; of requests and upgrades, which of those.
    pub at: u64,
    /// How many in a row.
    pub times: u64,
}

/// A fault that is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no fault; there are drop, duplicate, swap, corrupt, cross, truncate, binary, half-open, close:CODE, reset, huge, \
     maintenance, partial-ack, no-snapshot, refuse:STATUS, http:STATUS, mute and slow-loris, each with @N (at the N-th) and xN (N times)"
)]
pub struct UnknownFault(String);

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(text: &str) -> Result<Self, UnknownFault> {
        let unknown = || UnknownFault(text.to_owned());
        let (head, at) = text.split_once('@').map_or((text, None), |(head, at)| (head, Some(at)));
        let (place, times) = match at.unwrap_or(head).rsplit_once('x') {
            Some((place, times)) if times.chars().all(|char| char.is_ascii_digit()) && !times.is_empty() => {
                (place, times.parse().map_err(|_| unknown())?)
            }
            _ => (at.unwrap_or(head), 1),
        };
        let name = if at.is_some() { head } else { place };
        let (name, argument) = name.split_once(':').map_or((name, None), |(name, code)| (name, Some(code)));
        let code = || argument.and_then(|code| code.parse().ok()).ok_or_else(unknown);
        let kind = match name {
            "drop" => FaultKind::Drop,
            "duplicate" => FaultKind::Duplicate,
            "swap" => FaultKind::Swap,
            "corrupt" => FaultKind::Corrupt,
            "cross" => FaultKind::Cross,
            "truncate" => FaultKind::Truncate,
            "binary" => FaultKind::Binary,
            "half-open" => FaultKind::HalfOpen,
            "close" => FaultKind::Close(code()?),
            "reset" => FaultKind::Reset,
            "huge" => FaultKind::Huge,
            "maintenance" => FaultKind::Maintenance,
            "partial-ack" => FaultKind::PartialAck,
            "no-snapshot" => FaultKind::NoSnapshot,
            "refuse" => FaultKind::Refuse(code()?),
            "http" => FaultKind::RefuseHttp(code()?),
            "mute" => FaultKind::Mute,
            "slow-loris" => FaultKind::SlowLoris,
            _ => return Err(unknown()),
        };
        let default = if kind.is_per_frame() { 10 } else { 1 };
        let at = if at.is_some() { place.parse().map_err(|_| unknown())? } else { default };
        Ok(Self { kind, at, times })
    }
}

impl FaultKind {
    /// Whether it befalls a book change, not a request or an upgrade.
    const fn is_per_frame(self) -> bool {
        !matches!(self, Self::PartialAck | Self::NoSnapshot | Self::Refuse(_) | Self::RefuseHttp(_) | Self::Mute)
    }
}

/// The faults of a simulator, shared by its connections.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    faults: Vec<Fault>,
    frames: u64,
    upgrades: u64,
    requests: u64,
    snapshots: u64,
    fetches: u64,
}

impl Plan {
    pub(crate) fn new(faults: Vec<Fault>) -> Self {
        Self { faults, ..Self::default() }
    }

    /// Adds a fault whose place is counted from now on.
    pub(crate) fn add(&mut self, mut fault: Fault) {
        fault.at += match fault.kind {
            FaultKind::Refuse(_) => self.upgrades,
            FaultKind::RefuseHttp(_) => self.fetches,
            FaultKind::PartialAck => self.requests,
            FaultKind::NoSnapshot => self.snapshots,
            _ => self.frames,
        };
        self.faults.push(fault);
    }

    fn hit(&self, count: u64, wanted: impl Fn(FaultKind) -> bool) -> Option<FaultKind> {
        let is_due = |fault: &&Fault| wanted(fault.kind) && (fault.at..fault.at + fault.times).contains(&count);
        self.faults.iter().find(is_due).map(|fault| fault.kind)
    }

    /// What befalls the next book change.
    pub(crate) fn on_change(&mut self) -> Option<FaultKind> {
        self.frames += 1;
        self.hit(self.frames, FaultKind::is_per_frame)
    }

    /// The status that the next upgrade is refused with.
    pub(crate) fn on_upgrade(&mut self) -> Option<u16> {
        self.upgrades += 1;
        match self.hit(self.upgrades, |kind| matches!(kind, FaultKind::Refuse(_))) {
            Some(FaultKind::Refuse(status)) => Some(status),
            _ => None,
        }
    }

    /// The status that the next request over HTTP is refused with.
    pub(crate) fn on_fetch(&mut self) -> Option<u16> {
        self.fetches += 1;
        match self.hit(self.fetches, |kind| matches!(kind, FaultKind::RefuseHttp(_))) {
            Some(FaultKind::RefuseHttp(status)) => Some(status),
            _ => None,
        }
    }

    /// Whether the next request's first symbol is refused.
    pub(crate) fn on_request(&mut self) -> bool {
        self.requests += 1;
        self.hit(self.requests, |kind| kind == FaultKind::PartialAck).is_some()
    }

    /// Whether the next snapshot is held back.
    pub(crate) fn on_snapshot(&mut self) -> bool {
        self.snapshots += 1;
        self.hit(self.snapshots, |kind| kind == FaultKind::NoSnapshot).is_some()
    }

    /// Whether pings go unanswered.
    pub(crate) fn is_mute(&self) -> bool {
        self.faults.iter().any(|fault| fault.kind == FaultKind::Mute)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_with_place_and_number() {
        let read = |text: &str| text.parse::<Fault>();
        assert_eq!(read("drop"), Ok(Fault { kind: FaultKind::Drop, at: 10, times: 1 }));
        assert_eq!(read("drop@12x3"), Ok(Fault { kind: FaultKind::Drop, at: 12, times: 3 }));
        assert_eq!(read("close:1008@5"), Ok(Fault { kind: FaultKind::Close(1008), at: 5, times: 1 }));
        assert_eq!(read("refuse:429x3"), Ok(Fault { kind: FaultKind::Refuse(429), at: 1, times: 3 }));
        assert_eq!(read("close"), Err(UnknownFault("close".into())));
        assert!(read("melt@1").is_err() && read("drop@x").is_err());
    }

    #[test]
    fn a_fault_happens_at_its_place_only() {
        let mut plan = Plan::new(vec!["drop@2x2".parse().unwrap()]);
        let seen: Vec<bool> = (0..5).map(|_| plan.on_change().is_some()).collect();
        assert_eq!(seen, [false, true, true, false, false]);
    }
}
