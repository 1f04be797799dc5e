//! Leases and fences.

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::join_all;
use redis::{Cmd, Value};
use tickwire_protocol::{ChannelName, Position, namespace::Policy};

use super::{
    core::Core,
    error::{from_redis, shared, unexpected},
    functions,
    keys::Kind,
    link::Lane,
    publish::{is_numbered, meta_ttl_s, millis},
    reply,
};
use crate::{BackplaneError, Fence, Taken};

/// Calls in one pipeline.
const PIPELINE_MAX: usize = 512;

impl Core {
    pub(super) async fn take_leases(
        &self,
        leases: &[ChannelName],
        holder: &str,
        ttl: Duration,
    ) -> Vec<Result<Taken, BackplaneError>> {
        let calls = leases.iter().map(|lease| {
            let mut call = functions::call("take_lease", &self.keys_of(&[Kind::Lease], lease));
            call.arg(holder).arg(millis(ttl));
            (lease, call)
        });
        self.call_each(calls, taken).await
    }

    /// A `ttl` of zero gives them back.
    pub(super) async fn renew_leases(
        &self,
        held: &[(ChannelName, Fence)],
        ttl: Duration,
    ) -> Vec<Result<bool, BackplaneError>> {
        let calls = held.iter().map(|(lease, fence)| {
            let mut call = functions::call("renew_lease", &self.keys_of(&[Kind::Lease], lease));
            call.arg(fence.0).arg(millis(ttl));
            (lease, call)
        });
        self.call_each(calls, |answer| Ok(answer == Value::Int(1))).await
    }

    pub(super) async fn fence(
        &self,
        channel: &ChannelName,
        policy: &Policy,
        fence: Fence,
    ) -> Result<Position, BackplaneError> {
        let mut call = functions::call("fence", &self.keys_of(&[Kind::Meta, Kind::Stream], channel));
        call.arg(fence.0).arg(meta_ttl_s(policy)).arg(u8::from(is_numbered(policy)));
        let answer = reply::text(self.call(self.shared(channel), call).await?)?;
        match answer.strip_prefix("!fenced ") {
            Some(newest) => Err(refused(newest)),
            None => reply::parse_position(&answer),
        }
    }

    /// One answer a call, in order. Each may be made twice. What fails in one partition fails there alone.
    async fn call_each<T>(
        &self,
        calls: impl Iterator<Item = (&ChannelName, Cmd)>,
        read: impl Fn(Value) -> Result<T, BackplaneError>,
    ) -> Vec<Result<T, BackplaneError>> {
        let mut by_partition: BTreeMap<usize, Vec<(usize, Cmd)>> = BTreeMap::new();
        for (at, (name, call)) in calls.enumerate() {
            by_partition.entry(self.keys.partition(name.as_str())).or_default().push((at, call));
        }
        let asked = by_partition.into_iter().flat_map(|(partition, calls)| {
            let chunks: Vec<Vec<_>> = calls.chunks(PIPELINE_MAX).map(<[_]>::to_vec).collect();
            chunks.into_iter().map(move |chunk| self.call_chunk(partition, chunk))
        });
        let mut answers: Vec<_> = join_all(asked).await.into_iter().flatten().collect();
        answers.sort_unstable_by_key(|(at, _)| *at);
        answers.into_iter().map(|(_, answer)| answer.and_then(&read)).collect()
    }

    async fn call_chunk(
        &self,
        partition: usize,
        chunk: Vec<(usize, Cmd)>,
    ) -> Vec<(usize, Result<Value, BackplaneError>)> {
        let (places, calls): (Vec<usize>, Vec<Cmd>) = chunk.into_iter().unzip();
        match self.call_all(Lane::Shared(partition), calls).await {
            Ok(answers) => {
                let mut answers = answers.into_iter();
                let next = || answers.next().ok_or_else(|| unexpected("no answer"))?.map_err(from_redis);
                places.into_iter().zip(std::iter::repeat_with(next)).collect()
            }
            Err(error) => places.into_iter().map(|at| (at, Err(shared(&error)))).collect(),
        }
    }
}

fn taken(answer: Value) -> Result<Taken, BackplaneError> {
    let [fence, holder, rest_ms] = reply::tuple(answer)?;
    let fence = reply::text(fence)?;
    if fence.is_empty() {
        let rest = Duration::from_millis(reply::number(rest_ms)?.unwrap_or(0));
        return Ok(Taken::Elsewhere { holder: reply::text(holder)?, rest });
    }
    fence.parse().map(|fence| Taken::Held(Fence(fence))).map_err(|_| unexpected("a fence that is no number"))
}

/// The refusal of a publish, or of a fence, by a newer one.
pub(super) fn refused(newest: &str) -> BackplaneError {
    match newest.parse() {
        Ok(newest) => BackplaneError::Fenced { newest: Fence(newest) },
        Err(_) => unexpected("a fence that is no number"),
    }
}
