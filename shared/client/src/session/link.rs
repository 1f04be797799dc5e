//! The life of a link: phases, how it ends, and what follows from that.

use std::time::Duration;

use rand::RngExt;
use tickwire_protocol::CloseCode;
use tokio::time::Instant;

use super::{Effect, Line, REFUSED_TOKENS_MAX, STEADY_AFTER, Session};
use crate::{ClientError, ConnectionState, DisconnectReason};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phase {
    Idle,
    /// Between attempts.
    Waiting {
        until: Instant,
    },
    FetchingToken,
    Dialing {
        until: Instant,
    },
    /// Open; `connected` has not come yet.
    Greeting {
        until: Instant,
    },
    Ready {
        since: Instant,
        heard: Instant,
        silence_max: Duration,
        /// The server drains: leave then.
        leave_at: Option<Instant>,
    },
    Stopped(DisconnectReason),
}

impl Phase {
    pub(super) fn is_ready(&self) -> bool {
        matches!(self, Self::Ready { .. })
    }

    /// A link is there or being made.
    pub(super) fn has_link(&self) -> bool {
        matches!(self, Self::Dialing { .. } | Self::Greeting { .. } | Self::Ready { .. })
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Waiting { until } | Self::Dialing { until } | Self::Greeting { until } => Some(*until),
            Self::Ready { heard, silence_max, leave_at, .. } => {
                let silent = *heard + *silence_max;
                Some(leave_at.map_or(silent, |at| at.min(silent)))
            }
            Self::Idle | Self::FetchingToken | Self::Stopped(_) => None,
        }
    }

    pub(super) fn heard(&mut self, now: Instant) {
        if let Self::Ready { heard, .. } = self {
            *heard = now;
        }
    }

    pub(super) fn leave_at(&mut self, at: Option<Instant>) {
        if let Self::Ready { leave_at, .. } = self {
            *leave_at = at;
        }
    }
}

/// How a link ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LinkEnd {
    /// The close code, if the server closed.
    pub(crate) code: Option<u16>,
    /// The server's words, or the transport's.
    pub(crate) reason: String,
}

/// How a dial failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DialFailure {
    /// The HTTP status that refused the upgrade, if one did.
    pub(crate) status: Option<u16>,
    pub(crate) retry_after: Option<Duration>,
}

/// What to do after an end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Stop(DisconnectReason),
    NewToken,
    Retry,
}

impl LinkEnd {
    /// The table of close codes. Codes that it does not name are retried: a proxy may have made them.
    pub(super) fn verdict(&self) -> Verdict {
        const STOP: [CloseCode; 5] =
            [CloseCode::Normal, CloseCode::TooBig, CloseCode::BadCommand, CloseCode::Blocked, CloseCode::Replaced];
        match self.code {
            Some(code) if STOP.iter().any(|stop| stop.as_u16() == code) => {
                Verdict::Stop(DisconnectReason::ClosedByServer { code, reason: self.reason.clone() })
            }
            Some(code) if code == CloseCode::Unauthenticated.as_u16() => Verdict::NewToken,
            _ => Verdict::Retry,
        }
    }
}

impl DialFailure {
    /// 400 and 403 say that this request will never do; 401 wants a token; the rest may pass (a limit, a drain, a proxy).
    pub(super) fn verdict(&self) -> Verdict {
        match self.status {
            Some(status @ (400 | 403)) => Verdict::Stop(DisconnectReason::Refused { status }),
            Some(401) => Verdict::NewToken,
            _ => Verdict::Retry,
        }
    }
}

impl Session {
    /// The current link is gone: its successor takes over if there is one, unless the server said never to come back.
    pub(super) fn lost(&mut self, now: Instant, end: &LinkEnd) {
        let verdict = end.verdict();
        if verdict != Verdict::Retry || !self.take_over(now) {
            self.judge(now, verdict, None);
        }
    }

    /// Goes on after a link or an attempt ended.
    pub(super) fn judge(&mut self, now: Instant, verdict: Verdict, advised: Option<Duration>) {
        if let Phase::Ready { since, .. } = self.phase
            && now - since >= STEADY_AFTER
        {
            self.attempt = 0;
        }
        self.reset_link();
        if let Some(advised) = advised {
            self.advised = Some(now + advised);
        }
        match verdict {
            Verdict::Stop(reason) => return self.stop(reason),
            Verdict::NewToken => {
                self.refused_tokens += 1;
                if !self.options.token_renews || self.refused_tokens >= REFUSED_TOKENS_MAX {
                    return self.stop(DisconnectReason::Unauthenticated);
                }
                self.token = None;
            }
            Verdict::Retry => {}
        }
        let roll = self.rng.random();
        let own = now + self.options.backoff.delay(self.attempt, roll);
        // The server spreads what it advises, so its advice replaces the own delay.
        let until = self.advised.take().map_or(own, |at| at.max(now));
        self.attempt = self.attempt.saturating_add(1);
        self.addresses.advance();
        self.phase = Phase::Waiting { until };
        let delay = until - now;
        self.effects.push(Effect::State(ConnectionState::Reconnecting { attempt: self.attempt, delay }));
    }

    /// Forgets what belonged to the link that is gone.
    pub(super) fn reset_link(&mut self) {
        self.refresh_at = None;
        self.server_clock = None;
        if self.successor.take().is_some() {
            self.effects.push(Effect::Drop { line: Line::Next, code: CloseCode::Normal });
        }
        self.subscriptions.link_lost();
    }

    /// Ends everything for good.
    pub(super) fn stop(&mut self, reason: DisconnectReason) {
        self.phase = Phase::Stopped(reason.clone());
        if self.successor.take().is_some() {
            self.effects.push(Effect::Drop { line: Line::Next, code: CloseCode::Normal });
        }
        for to in self.calls.drain() {
            let result = Err(ClientError::Disconnected(reason.clone()));
            self.effects.push(Effect::Answer { to, result });
        }
        for id in self.subscriptions.drain() {
            self.end_subscription(id, ClientError::Disconnected(reason.clone()));
        }
        self.effects.push(Effect::State(ConnectionState::Disconnected(reason)));
    }

    pub(super) fn stop_reason(&self) -> DisconnectReason {
        match &self.phase {
            Phase::Stopped(reason) => reason.clone(),
            _ => DisconnectReason::ClosedHere,
        }
    }
}
