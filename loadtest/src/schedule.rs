//! Which message is due when: an open loop, which no answer can slow down.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

use crate::plan::ChannelPlan;

/// A message to publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// Index of its channel.
    pub channel: u32,
    /// When, from the start of publishing.
    pub at: Duration,
    /// Whether it is critical.
    pub critical: bool,
}

/// The messages of all channels, in the order of time.
#[derive(Debug)]
pub struct Schedule {
    next: BinaryHeap<Reverse<(Duration, u32)>>,
    channels: Vec<Pace>,
}

#[derive(Debug)]
struct Pace {
    period: Duration,
    critical_every: u32,
    count: u32,
}

/// Multiples of it, modulo one, spread evenly however many consecutive ones are taken.
const GOLDEN_RATIO: f64 = 0.618_033_988_749_895;

impl Schedule {
    /// Starts each channel at another phase of its period, so that equal rates do not mean one burst: not all of them, and not
    /// the few of one kind that stand next to each other among thousands of others.
    pub fn new(channels: &[ChannelPlan]) -> Self {
        let mut next = BinaryHeap::with_capacity(channels.len());
        let mut paces = Vec::with_capacity(channels.len());
        for (channel, index) in channels.iter().zip(0_u32..) {
            let period =
                if channel.rate_hz > 0.0 { Duration::from_secs_f64(1.0 / channel.rate_hz) } else { Duration::ZERO };
            if !period.is_zero() {
                let phase = period.mul_f64((f64::from(index) * GOLDEN_RATIO).fract());
                next.push(Reverse((phase, index)));
            }
            // Where few messages are sent, not all channels begin with a critical one at the same time.
            let count = if channel.critical_every > 0 { index % channel.critical_every } else { 0 };
            paces.push(Pace { period, critical_every: channel.critical_every, count });
        }
        Self { next, channels: paces }
    }

    /// When the next message is due.
    pub fn next_at(&self) -> Option<Duration> {
        self.next.peek().map(|Reverse((at, _))| *at)
    }

    /// The next message that is due at `now`; the one after it in its channel comes `factor` times as soon as planned.
    pub fn pop(&mut self, now: Duration, factor: f64) -> Option<Due> {
        let mut top = self.next.peek_mut().filter(|top| top.0.0 <= now)?;
        let Reverse((at, channel)) = *top;
        let pace = &mut self.channels[channel as usize];
        pace.count = pace.count.wrapping_add(1);
        let critical = pace.critical_every > 0 && pace.count.is_multiple_of(pace.critical_every);
        top.0.0 = at + pace.period.div_f64(factor).max(Duration::from_nanos(1));
        Some(Due { channel, at, critical })
    }
}

#[cfg(test)]
mod tests {
    use tickwire_protocol::{ChannelName, DeliveryClass};

    use super::*;

    fn channels(rates: &[f64], critical_every: u32) -> Vec<ChannelPlan> {
        let name = ChannelName::new("room:1").unwrap();
        let plan =
            |&rate_hz| ChannelPlan { name: name.clone(), class: DeliveryClass::Reliable, rate_hz, critical_every };
        rates.iter().map(plan).collect()
    }

    fn drain(schedule: &mut Schedule, until: Duration, factor: f64) -> Vec<Due> {
        std::iter::from_fn(|| schedule.pop(until, factor)).collect()
    }

    #[test]
    fn each_channel_has_its_rate_and_time_never_goes_back() {
        let mut schedule = Schedule::new(&channels(&[10.0, 3.0, 0.0], 0));
        let due = drain(&mut schedule, Duration::from_secs(10), 1.0);
        let count = |channel| due.iter().filter(|due| due.channel == channel).count();
        assert!(count(0).abs_diff(100) <= 1 && count(1).abs_diff(30) <= 1 && count(2) == 0);
        assert!(due.is_sorted_by_key(|due| due.at));
    }

    #[test]
    fn what_was_not_taken_in_time_is_still_due_at_its_time() {
        let mut schedule = Schedule::new(&channels(&[10.0], 0));
        let late = drain(&mut schedule, Duration::from_secs(1), 1.0);
        assert_eq!(late[3].at, Duration::from_millis(300), "a stall does not move the schedule");
    }

    #[test]
    fn a_factor_makes_messages_come_sooner() {
        let mut schedule = Schedule::new(&channels(&[10.0], 0));
        assert!(drain(&mut schedule, Duration::from_secs(1), 10.0).len().abs_diff(100) <= 1);
    }

    #[test]
    fn every_fifth_message_is_critical() {
        let mut schedule = Schedule::new(&channels(&[10.0], 5));
        let due = drain(&mut schedule, Duration::from_secs(5), 1.0);
        assert!(due.iter().filter(|due| due.critical).count().abs_diff(10) <= 1);
    }

    #[test]
    fn equal_rates_are_no_burst() {
        let mut schedule = Schedule::new(&channels(&[1.0; 10], 0));
        let mut first: Vec<_> = drain(&mut schedule, Duration::from_millis(950), 1.0);
        first.dedup_by_key(|due| due.at);
        assert_eq!(first.len(), 10);
    }

    #[test]
    fn neighbours_among_many_channels_are_no_burst() {
        let mut rates = vec![0.5; 1_000];
        rates[..50].fill(2.0);
        let mut schedule = Schedule::new(&channels(&rates, 0));
        let mut busiest = [0_u32; 10];
        for due in drain(&mut schedule, Duration::from_millis(499), 1.0).iter().filter(|due| due.channel < 50) {
            busiest[due.at.as_millis() as usize / 50] += 1;
        }
        assert!(busiest.iter().all(|count| (3..=7).contains(count)), "{busiest:?}");
    }
}
