//! One connection to an emitter and the channels that belong to it.

use std::{
    collections::BTreeMap,
    io::Write,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use reqwest::{Client, header::CONTENT_TYPE};
use tickwire_protocol::{DeliveryClass, Position};
use tokio::sync::mpsc;

use super::{Job, PublishMeter};
use crate::{
    body::Body,
    error::LoadError,
    ledger::Log,
    meter::RunClock,
    plan::Plan,
    record::Measure,
    scan::{ServerFrame, each_member, each_object},
    settings::Settings,
};

/// Messages of one batch: the emitter takes no more.
const BATCH_MAX: usize = 256;
/// How long an answer may take; after it nobody knows what became of the batch.
const TIMEOUT: Duration = Duration::from_secs(15);

/// See the module.
#[derive(Debug)]
pub(super) struct Lane {
    client: Client,
    url: String,
    api_key: String,
    payload_bytes: usize,
    plan: Arc<Plan>,
    clock: RunClock,
    meter: Arc<Mutex<PublishMeter>>,
    jobs: mpsc::Receiver<Job>,
    logs: BTreeMap<u32, Log>,
    text: Vec<u8>,
}

/// What became of one message.
enum Outcome {
    Accepted(Option<Position>),
    Refused(String),
}

impl Lane {
    pub(super) fn new(
        emitter: &str,
        settings: &Settings,
        plan: Arc<Plan>,
        clock: RunClock,
        meter: Arc<Mutex<PublishMeter>>,
        jobs: mpsc::Receiver<Job>,
    ) -> Result<Self, LoadError> {
        let client = Client::builder()
            .timeout(TIMEOUT)
            .pool_max_idle_per_host(1)
            .no_proxy()
            .build()
            .map_err(LoadError::Publisher)?;
        Ok(Self {
            client,
            url: format!("{}/v1/publish/batch", emitter.trim_end_matches('/')),
            api_key: settings.api_key.clone().unwrap_or_default(),
            payload_bytes: settings.payload_bytes as usize,
            plan,
            clock,
            meter,
            jobs,
            logs: BTreeMap::new(),
            text: Vec::new(),
        })
    }

    /// Sends what comes until the queue is closed; returns what was published.
    pub(super) async fn run(mut self) -> BTreeMap<u32, Log> {
        let mut jobs = Vec::with_capacity(BATCH_MAX);
        while self.jobs.recv_many(&mut jobs, BATCH_MAX).await > 0 {
            let bodies = self.write(&jobs);
            let sent_us = self.clock.now_us();
            let outcomes = self.post(jobs.len()).await;
            self.account(&jobs, &bodies, sent_us, outcomes);
            jobs.clear();
        }
        self.logs
    }

    /// Puts the batch into `text`.
    fn write(&mut self, jobs: &[Job]) -> Vec<Body> {
        self.text.clear();
        self.text.extend_from_slice(br#"{"messages":["#);
        let mut bodies = Vec::with_capacity(jobs.len());
        for (job, at) in jobs.iter().zip(0..) {
            let channel = &self.plan.channels[job.channel as usize];
            let number = self.logs.entry(job.channel).or_default().next(0);
            let body = Body { number, due_us: job.due_us, key: 0, critical: job.critical };
            let comma = if at == 0 { "" } else { "," };
            // Writing to memory does not fail.
            let _ = write!(self.text, r#"{comma}{{"channel":"{}""#, channel.name);
            if channel.class == DeliveryClass::Latest {
                self.text.extend_from_slice(br#","key":"k""#);
            }
            if job.critical {
                self.text.extend_from_slice(br#","priority":"critical""#);
            }
            self.text.extend_from_slice(br#","data":"#);
            body.write(&mut self.text, self.payload_bytes);
            self.text.push(b'}');
            bodies.push(body);
        }
        self.text.extend_from_slice(b"]}");
        bodies
    }

    /// One outcome per message of the batch.
    async fn post(&mut self, count: usize) -> Vec<Outcome> {
        let request = self.client.post(&self.url).bearer_auth(&self.api_key);
        let request = request.header(CONTENT_TYPE, "application/json").body(std::mem::take(&mut self.text));
        let answer = async {
            let response = request.send().await.map_err(|error| name_of(&error))?;
            let status = response.status();
            let text = response.bytes().await.map_err(|error| name_of(&error))?;
            if status.is_success() { Ok(text) } else { Err(format!("http {}", status.as_u16())) }
        };
        let mut outcomes = match answer.await {
            Ok(text) => results(&text),
            Err(why) => (0..count).map(|_| Outcome::Refused(why.clone())).collect(),
        };
        outcomes.resize_with(count, || Outcome::Refused("answer without result".into()));
        outcomes
    }

    fn account(&mut self, jobs: &[Job], bodies: &[Body], sent_us: u64, outcomes: Vec<Outcome>) {
        let answered_us = self.clock.now_us();
        let mut meter = self.meter.lock().unwrap_or_else(PoisonError::into_inner);
        meter.distributions.record_us(Measure::Publish, answered_us - sent_us);
        for ((job, body), outcome) in jobs.iter().zip(bodies).zip(outcomes) {
            meter.distributions.record_us(Measure::PublishLag, sent_us.saturating_sub(job.due_us));
            let log = self.logs.entry(job.channel).or_default();
            match outcome {
                Outcome::Accepted(position) => {
                    meter.published += 1;
                    log.accepted(body.key, body.number, position);
                }
                Outcome::Refused(why) => {
                    meter.uncertain += 1;
                    meter.first_refusal.get_or_insert(why);
                    log.uncertain(body.number);
                }
            }
        }
    }
}

/// The results of a batch, in order; none where the answer is not what it should be.
fn results(text: &[u8]) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    let read = each_member(text, |name, value| match name {
        b"results" => each_object(value, |object| {
            outcomes.push(outcome(object));
            Ok(())
        }),
        _ => Ok(()),
    });
    if read.is_err() {
        outcomes.clear();
    }
    outcomes
}

fn outcome(object: &[u8]) -> Outcome {
    let mut error = None;
    // What is no object has neither position nor error, and is refused below.
    let read = each_member(object, |name, value| {
        if name == b"error" {
            error = Some(String::from_utf8_lossy(ServerFrame::read(value)?.code).into_owned());
        }
        Ok(())
    });
    match (read.and_then(|()| ServerFrame::read(object)), error) {
        (_, Some(code)) => Outcome::Refused(code),
        (Ok(receipt), None) => Outcome::Accepted(receipt.position),
        (Err(malformed), None) => Outcome::Refused(malformed.to_string()),
    }
}

fn name_of(error: &reqwest::Error) -> String {
    let kind = match error {
        error if error.is_timeout() => "timeout",
        error if error.is_connect() => "no connection",
        _ => "connection lost",
    };
    kind.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_of_a_batch_has_its_result() {
        let text = br#"{"results":[{"channel":"room:1","position":"5-6","duplicate":false},{"error":{"code":"unavailable","message":"x","retryable":true}},{"channel":"public:1","duplicate":false}]}"#;
        let outcomes = results(text);
        assert!(matches!(outcomes[0], Outcome::Accepted(Some(position)) if position == Position::new(5, 6)));
        assert!(matches!(&outcomes[1], Outcome::Refused(code) if code == "unavailable"));
        assert!(matches!(outcomes[2], Outcome::Accepted(None)));
    }

    #[test]
    fn an_answer_of_something_else_has_no_results() {
        assert!(results(b"<html>").is_empty());
        assert!(results(br#"{"results":7}"#).iter().all(|outcome| matches!(outcome, Outcome::Refused(_))));
    }
}
