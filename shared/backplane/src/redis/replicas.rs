//! What replicas must have before a publish is acknowledged.
//!
//! A namespace's `replicas_min` is a number. A critical alert, where `critical_replicas` asks for any, must be on all replicas
//! that could take over (`functions/replicas.lua`): one replica's word is enough for Redis (`min-replicas-to-write 1`), but
//! Sentinels may promote another one, and the one that confirmed is then made to forget.
//!
//! What that costs: while a replica stands still, and for ten seconds after one has gone, critical alerts reach their users
//! as always but are answered with [`BackplaneError::NotDurable`], and their publishers repeat them under their keys.

use redis::{Cmd, RedisError, Value};

use super::{
    core::{CallError, Core},
    error::{from_redis, unexpected},
    functions,
    link::{Answers, Lane, Link},
    publish::{REPLICAS_TIMEOUT, millis, published},
    stats::Counters,
    vouched,
};
use crate::{BackplaneError, Publish, Published};

impl Core {
    /// Whether replicas must have the message before it is acknowledged.
    pub(super) fn is_durable(&self, publish: &Publish) -> bool {
        publish.policy.replicas_min > 0 || self.critical_replicas > 0 && vouched::is_vouched(publish)
    }

    /// How many of them, as far as is known of the master.
    fn replicas_of(&self, publish: &Publish, link: &Link) -> u32 {
        let is_alert = self.critical_replicas > 0 && vouched::is_vouched(publish);
        let of_alerts = if is_alert { self.critical_replicas.max(link.replicas()) } else { 0 };
        publish.policy.replicas_min.max(of_alerts)
    }

    /// What goes right behind the messages: `WAIT` counts replicas that have all that its connection wrote.
    pub(super) fn confirmation_calls(&self, chunk: &[(usize, &Publish)], link: &Link) -> [Cmd; 2] {
        let wanted = chunk.iter().map(|(_, publish)| self.replicas_of(publish, link)).max().unwrap_or(0);
        let mut wait = redis::cmd("WAIT");
        wait.arg(wanted).arg(millis(REPLICAS_TIMEOUT));
        [wait, replicas_call()]
    }

    /// Reads the answers to the messages and to [`Self::confirmation_calls`]. Judges by the replicas that there were after the
    /// confirmation: one that came meanwhile counts too.
    pub(super) fn confirmed(
        &self,
        mut answers: Answers,
        chunk: &[(usize, &Publish)],
        link: &Link,
    ) -> Result<Vec<Result<Published, BackplaneError>>, BackplaneError> {
        link.set_replicas(number(answers.pop())?);
        let confirmed = number(answers.pop())?;
        let results = answers.into_iter().zip(chunk).map(|(answer, (_, publish))| {
            let published = published(answer, publish)?;
            match self.replicas_of(publish, link) {
                wanted if confirmed < wanted => {
                    Counters::add(&self.counters.not_durable, 1);
                    Err(BackplaneError::NotDurable { confirmed, wanted })
                }
                _ => Ok(published),
            }
        });
        Ok(results.collect())
    }

    /// Asks each master for its replicas, where alerts wait for them; it remembers them for a while, for all who ask.
    pub(super) async fn look_at_replicas(&self) -> Result<(), BackplaneError> {
        let mut looked: Vec<String> = Vec::new();
        let partitions = if self.critical_replicas > 0 { self.keys.partitions() } else { 0 };
        for partition in 0..partitions {
            let Some(link) = self.links.get(partition).filter(|link| !looked.contains(&link.run_id)) else { continue };
            looked.push(link.run_id.clone());
            let asked = async {
                let call = [replicas_call()];
                self.call_on(&link, Lane::Shared(partition), &call).await.map_err(CallError::into_backplane)
            };
            link.set_replicas(number(self.within_deadline(asked).await?.pop())?);
        }
        Ok(())
    }
}

fn replicas_call() -> Cmd {
    functions::call::<String>("replicas", &[])
}

fn number(answer: Option<Result<Value, RedisError>>) -> Result<u32, BackplaneError> {
    match answer {
        Some(Ok(Value::Int(number))) => Ok(u32::try_from(number).unwrap_or(0)),
        Some(Err(error)) => Err(from_redis(error)),
        _ => Err(unexpected("no number of replicas")),
    }
}
