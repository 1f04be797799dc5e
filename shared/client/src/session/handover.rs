//! Make before break: leaving a draining node without a moment in which nothing listens.
//!
//! A successor link is made beside the live one, which serves on. Each channel moves when the successor's `subscribed` for
//! it has come: from then on only the successor is heard for it, and positions drop what both carried (`latest` channels,
//! which have none, are heard on neither until then). When all channels
//! have moved, or the old link ends first, the successor takes over. If the successor fails, channels that had moved are
//! made again on the old link from their positions, and another attempt follows while the old link lasts.

use rand::RngExt;
use tickwire_protocol::{CloseCode, codec::ServerEvent, event::Connected};
use tokio::time::Instant;

use super::{Effect, Line, Session, link::Phase, subscriptions::Patched};
use crate::ConnectionState;

/// The link that is being made beside the live one.
#[derive(Debug)]
pub(super) struct Successor {
    /// Its place among the addresses.
    address: usize,
    stage: Stage,
    /// It must have come further by then.
    until: Instant,
}

#[derive(Debug)]
enum Stage {
    Dialing,
    Greeting,
    /// Connected; channels move.
    Joining(Box<Connected>),
}

impl Successor {
    pub(super) fn deadline(&self) -> Instant {
        self.until
    }
}

impl Session {
    /// The server's time to go has come: begins a successor.
    pub(super) fn begin_handover(&mut self, now: Instant) {
        self.phase.leave_at(None);
        let Some(token) = self.token.clone() else {
            // The next one is being fetched; the node closes us if that takes too long.
            self.fetch_token();
            return self.retry_handover(now);
        };
        self.addresses.advance();
        let until = now + self.options.connect_timeout;
        self.successor = Some(Successor { address: self.addresses.at(), stage: Stage::Dialing, until });
        self.effects.push(Effect::Dial { line: Line::Next, url: self.addresses.current(), token });
    }

    /// The successor's WebSocket is open.
    pub(super) fn greet_next(&mut self, now: Instant) {
        let Some(successor) = &mut self.successor else { return };
        successor.stage = Stage::Greeting;
        successor.until = now + self.options.connect_timeout;
        self.introduce(Line::Next);
    }

    pub(super) fn take_next_event(&mut self, now: Instant, event: ServerEvent) {
        let Some(successor) = &mut self.successor else { return };
        match event {
            ServerEvent::Connected(connected) if matches!(successor.stage, Stage::Greeting) => {
                successor.stage = Stage::Joining(connected);
                successor.until = now + self.options.call_timeout;
                self.join_next();
                self.finish_handover(now);
            }
            ServerEvent::Subscribed(subscribed) => {
                self.moved(*subscribed);
                self.finish_handover(now);
            }
            ServerEvent::Message(message) => {
                let is_ours = self.subscriptions.has_moved(&message.channel);
                if is_ours && self.take_message(*message).is_some() {
                    self.abandon_handover(now);
                }
            }
            ServerEvent::Delta(delta) if self.subscriptions.has_moved(&delta.channel) => match self.whole(*delta) {
                Patched::Whole(message) => {
                    if self.take_message(message).is_some() {
                        self.abandon_handover(now);
                    }
                }
                Patched::NoBase => self.abandon_handover(now),
                Patched::NotSubscribed => {}
            },
            ServerEvent::Presence { channel, .. }
            | ServerEvent::Reset { channel, .. }
            | ServerEvent::Dropped { channel, .. }
            | ServerEvent::Acked { id: None, channel, .. }
                if !self.subscriptions.has_moved(&channel) => {}
            event @ (ServerEvent::Presence { .. }
            | ServerEvent::Reset { .. }
            | ServerEvent::Dropped { .. }
            | ServerEvent::Acked { id: None, .. }) => {
                self.take_channel_event(event);
            }
            ServerEvent::Unsubscribed { id: None, channel } => {
                self.grant_ended(&channel, crate::ClientError::GrantEnded);
                self.finish_handover(now);
            }
            // It refuses a channel, or drains too: the old link still serves.
            ServerEvent::Error(_) | ServerEvent::Reconnect { .. } => self.abandon_handover(now),
            _ => {}
        }
    }

    /// Takes over once no channel has to move any more.
    pub(super) fn finish_handover(&mut self, now: Instant) {
        let joined = matches!(&self.successor, Some(Successor { stage: Stage::Joining(_), .. }));
        if joined && !self.subscriptions.are_moving() {
            self.effects.push(Effect::Drop { line: Line::Current, code: CloseCode::Normal });
            self.take_over(now);
        }
    }

    /// The successor becomes the link, however far it has come. The old link must be gone. False without a successor.
    pub(super) fn take_over(&mut self, now: Instant) -> bool {
        let Some(successor) = self.successor.take() else { return false };
        self.effects.push(Effect::Promote);
        self.refresh_at = None;
        self.server_clock = None;
        self.advised = None;
        self.addresses.set(successor.address);
        self.subscriptions.take_over();
        match successor.stage {
            Stage::Dialing => self.phase = Phase::Dialing { until: successor.until },
            Stage::Greeting => self.phase = Phase::Greeting { until: successor.until },
            Stage::Joining(connected) => {
                self.be_ready(now, *connected);
                return true;
            }
        }
        let delay = std::time::Duration::ZERO;
        self.effects.push(Effect::State(ConnectionState::Reconnecting { attempt: self.attempt, delay }));
        true
    }

    /// Gives the successor up and stays on the old link for as long as that lasts.
    pub(super) fn abandon_handover(&mut self, now: Instant) {
        if self.successor.take().is_none() {
            return;
        }
        self.effects.push(Effect::Drop { line: Line::Next, code: CloseCode::Normal });
        let moved = self.subscriptions.stay();
        if !moved.is_empty() {
            // The old link has gone on sending them unheard.
            self.leave(Line::Current, moved.clone());
            self.join(now, &moved);
        }
        self.retry_handover(now);
    }

    fn retry_handover(&mut self, now: Instant) {
        let roll = self.rng.random();
        self.phase.leave_at(Some(now + self.options.backoff.delay(self.attempt.max(1), roll)));
    }
}

#[cfg(test)]
mod tests;
