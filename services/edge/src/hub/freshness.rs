//! A newcomer to a `latest` channel never gets an older value than it has seen elsewhere.
//!
//! What a shard holds of a channel may be behind: its queue is long, or its pub/sub connection is deaf and nobody has noticed
//! yet. A client that comes from a faster node has no position to say so (messages of `latest` channels carry none). So the
//! store is asked how far the channel is, after the newcomer came and before it is answered; a stream that is behind reads the
//! values first. One question serves all channels and all newcomers that wait, so a storm of newcomers asks no more often
//! than the store answers.

use std::{collections::VecDeque, rc::Rc};

use tickwire_protocol::{ChannelName, namespace::Policy};

use super::{Hub, Shard, channel::Freshness};
use crate::outbox::ChannelId;

/// Channels in one question.
const CHANNELS_MAX: usize = 512;

/// What is asked about: the channel's place, its serial, and its name and policy for the backplane.
type Question = (Vec<(ChannelId, u32)>, Vec<(ChannelName, Policy)>);

impl Shard {
    /// Newcomers of a `latest` channel wait for an answer of the store.
    pub(crate) fn doubt(self: &Rc<Self>, hub: &mut Hub, id: ChannelId) {
        let channel = &mut hub.channels[id.0 as usize];
        let is_new = channel.joins.iter().any(|join| join.freshness == Freshness::Unknown);
        if is_new && !std::mem::replace(&mut channel.is_doubtful, true) {
            hub.doubtful.push(id);
        }
        if !hub.doubtful.is_empty() && !std::mem::replace(&mut hub.is_confirming, true) {
            tokio::task::spawn_local(Rc::clone(self).confirm());
        }
    }

    async fn confirm(self: Rc<Self>) {
        loop {
            let (places, channels) = question(&mut self.hub.borrow_mut());
            if places.is_empty() {
                self.hub.borrow_mut().is_confirming = false;
                return;
            }
            match self.node.backplane.subscribe(self.subscriber, &channels).await {
                Ok(tops) => {
                    for ((name, _), top) in channels.iter().zip(tops) {
                        self.on_top(name, top);
                    }
                    for &(id, serial) in &places {
                        self.settle(id, serial);
                    }
                }
                Err(error) => {
                    for (&(id, serial), (name, _)) in places.iter().zip(&channels) {
                        let mut hub = self.hub.borrow_mut();
                        let Some(channel) = hub.channel(id, serial) else { continue };
                        let waiting = std::mem::take(&mut channel.joins);
                        let (mut asked, others): (VecDeque<_>, VecDeque<_>) =
                            waiting.into_iter().partition(|join| join.freshness == Freshness::Asked);
                        channel.joins = others;
                        self.refuse_joins(&mut hub, name, asked.make_contiguous(), &error);
                    }
                }
            }
            self.flush_urgent();
        }
    }

    /// Those who waited for the answer are served as soon as the stream is live.
    fn settle(self: &Rc<Self>, id: ChannelId, serial: u32) {
        if let Some(channel) = self.hub.borrow_mut().channel(id, serial) {
            for join in channel.joins.iter_mut().filter(|join| join.freshness == Freshness::Asked) {
                join.freshness = Freshness::Known;
            }
        }
        self.serve_joins(id);
    }
}

/// The channels to ask about now; their newcomers wait for this answer.
fn question(hub: &mut Hub) -> Question {
    let count = hub.doubtful.len().min(CHANNELS_MAX);
    let mut question = Question::default();
    for id in hub.doubtful.drain(..count) {
        // It may have gone meanwhile, with all who wanted it.
        let Some(channel) = hub.channels.get_mut(id.0 as usize) else { continue };
        channel.is_doubtful = false;
        for join in channel.joins.iter_mut().filter(|join| join.freshness == Freshness::Unknown) {
            join.freshness = Freshness::Asked;
        }
        question.0.push((id, channel.serial));
        question.1.push((channel.name.clone(), channel.policy.clone()));
    }
    question
}
