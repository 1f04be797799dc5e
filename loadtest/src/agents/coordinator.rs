//! The coordinator: has agents do their parts together.

use std::{collections::BTreeMap, io, time::Duration};

use futures_util::future::try_join_all;
use tokio::{net::TcpStream, sync::mpsc, time::timeout};

use super::{
    AgentError, SharedToken,
    merge::add_second,
    wire::{Order, Receiver, Report, Sender, connect},
};
use crate::{
    record::{RunRecord, Second},
    settings::Settings,
};

/// An agent that is there says so each second.
const PATIENCE: Duration = Duration::from_secs(15);
const CONNECT: Duration = Duration::from_secs(5);
/// Seconds on their way to the display.
const SECONDS_MAX: usize = 256;
/// Seconds that wait for their last agent before they are shown without it.
const WAITING_MAX: usize = 5;

/// Who takes part.
#[derive(Debug, Clone)]
pub struct Agents {
    /// `host:port` of each.
    pub addresses: Vec<String>,
    /// What all of them know.
    pub token: SharedToken,
}

/// Has each agent do its part of `parts`, starts them together, and returns their records in the same order. `on_second`
/// sees each second of all together. The first agent that fails or falls silent ends the run for all.
pub async fn coordinate(
    agents: &Agents,
    parts: Vec<Settings>,
    mut on_second: impl FnMut(&Second),
) -> Result<Vec<RunRecord>, AgentError> {
    let prepared = agents.addresses.iter().zip(parts).map(|(agent, part)| prepare(agent, part, &agents.token));
    let mut links = try_join_all(prepared).await?;
    for link in &mut links {
        let sent = link.sender.send(&Order::Start).await;
        sent.map_err(|source| AgentError::Lost { agent: link.agent.clone(), source })?;
    }
    let (seconds, mut ended_seconds) = mpsc::channel(SECONDS_MAX);
    let mut together = Together { agents: links.len(), waiting: BTreeMap::new() };
    let all = try_join_all(links.iter_mut().map(|link| link.follow(seconds.clone())));
    tokio::pin!(all);
    let records = loop {
        tokio::select! {
            Some(second) = ended_seconds.recv() => together.add(second).iter().for_each(&mut on_second),
            records = &mut all => break records?,
        }
    };
    while let Ok(second) = ended_seconds.try_recv() {
        together.add(second).iter().for_each(&mut on_second);
    }
    Ok(records)
}

/// A connection to an agent.
struct Link {
    agent: String,
    sender: Sender,
    receiver: Receiver,
}

async fn prepare(agent: &str, part: Settings, token: &SharedToken) -> Result<Link, AgentError> {
    let lost = |source| AgentError::Lost { agent: agent.to_owned(), source };
    let stream = timeout(CONNECT, TcpStream::connect(agent)).await.map_err(|elapsed| lost(elapsed.into()))?;
    let proven = connect(stream.map_err(lost)?, token).await.map_err(lost)?;
    let (mut sender, receiver) = proven.ok_or_else(|| AgentError::Stranger(agent.to_owned()))?;
    sender.send(&Order::Prepare(Box::new(part))).await.map_err(lost)?;
    let mut link = Link { agent: agent.to_owned(), sender, receiver };
    match link.receive().await? {
        Report::Ready => Ok(link),
        Report::Failed(reason) => Err(link.failed(&reason)),
        _ => Err(AgentError::Protocol(agent.to_owned())),
    }
}

impl Link {
    async fn receive(&mut self) -> Result<Report, AgentError> {
        match timeout(PATIENCE, self.receiver.receive()).await {
            Ok(received) => received.map_err(|source| match source.kind() {
                io::ErrorKind::InvalidData | io::ErrorKind::Other => AgentError::Protocol(self.agent.clone()),
                _ => AgentError::Lost { agent: self.agent.clone(), source },
            }),
            Err(_) => Err(AgentError::Silent { agent: self.agent.clone(), patience: PATIENCE }),
        }
    }

    fn failed(&self, reason: &str) -> AgentError {
        let reason = reason.chars().filter(|character| !character.is_control()).take(500).collect();
        AgentError::Failed { agent: self.agent.clone(), reason }
    }

    /// Until the agent's record has come.
    async fn follow(&mut self, seconds: mpsc::Sender<Second>) -> Result<RunRecord, AgentError> {
        loop {
            match self.receive().await? {
                Report::Alive => {}
                // A display that has ended wants nothing more.
                Report::Second(second) => drop(seconds.send(*second).await),
                Report::Done(record) => return Ok(*record),
                Report::Failed(reason) => return Err(self.failed(&reason)),
                Report::Ready => return Err(AgentError::Protocol(self.agent.clone())),
            }
        }
    }
}

/// Seconds of which not every agent has told its part.
struct Together {
    agents: usize,
    waiting: BTreeMap<u64, (usize, Second)>,
}

impl Together {
    /// Adds an agent's second and gives out what is complete or has waited long enough.
    fn add(&mut self, second: Second) -> Vec<Second> {
        let number = (second.at_ms + 500) / 1_000;
        match self.waiting.get_mut(&number) {
            Some((count, sum)) => {
                *count += 1;
                add_second(sum, &second);
            }
            None => drop(self.waiting.insert(number, (1, second))),
        }
        let mut ended = Vec::new();
        while let Some(first) = self.waiting.first_entry() {
            if first.get().0 < self.agents && self.waiting.len() <= WAITING_MAX {
                break;
            }
            ended.extend(self.waiting.pop_first().map(|(_, (_, second))| second));
        }
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_is_shown_once_all_agents_have_told_it() {
        let mut together = Together { agents: 2, waiting: BTreeMap::new() };
        let second = |at_ms| Second { at_ms, delivered: 10, ..Second::default() };
        assert!(together.add(second(1_000)).is_empty());
        assert!(together.add(second(2_000)).is_empty());
        let shown = together.add(second(1_020));
        assert_eq!(shown.iter().map(|second| second.delivered).collect::<Vec<_>>(), [20]);
    }

    #[test]
    fn an_agent_that_lags_does_not_hold_the_display_for_ever() {
        let mut together = Together { agents: 2, waiting: BTreeMap::new() };
        let shown: usize =
            (1..=20).map(|at| together.add(Second { at_ms: at * 1_000, ..Second::default() }).len()).sum();
        assert_eq!(shown, 20 - WAITING_MAX);
    }
}
