//! An agent: waits for a coordinator and runs the part that it is given.

use std::{io, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
    time::{interval, timeout},
};

use super::{
    AgentError, SharedToken,
    wire::{Order, Receiver, Report, Sender, accept},
};
use crate::{
    record::{RunRecord, Second},
    settings::Settings,
};

/// Connections in any state at once; one more is closed.
const CONNECTIONS_MAX: usize = 8;
/// Between prepared and started, all agents have to become ready.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a coordinator hears that the agent is there.
const ALIVE: Duration = Duration::from_secs(1);
/// Seconds that may wait for the coordinator; beyond them the display, not the record, has gaps.
const SECONDS_MAX: usize = 16;

/// What an agent knows of the cluster that no coordinator tells it.
#[derive(Clone, Default)]
pub struct Secrets {
    /// See [`Settings::secret`].
    pub secret: Option<String>,
    /// See [`Settings::token`].
    pub token: Option<String>,
    /// See [`Settings::api_key`].
    pub api_key: Option<String>,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Secrets(…)")
    }
}

/// Serves coordinators on `listener` until accepting fails. `run` does a part and tells each second that has ended; it is
/// dropped in the middle when its coordinator goes away.
pub async fn serve<F, R>(listener: TcpListener, token: SharedToken, secrets: Secrets, run: F) -> Result<(), AgentError>
where
    F: Fn(Settings, mpsc::Sender<Second>) -> R + Send + Sync + 'static,
    R: Future<Output = Result<RunRecord, String>> + Send,
{
    let agent = Arc::new(Agent { token, secrets, run, at_work: Semaphore::new(1) });
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let (stream, _) = listener.accept().await.map_err(AgentError::Serve)?;
        let Ok(place) = Arc::clone(&connections).try_acquire_owned() else { continue };
        let agent = Arc::clone(&agent);
        tokio::spawn(async move {
            // A coordinator that is gone hears nothing any more, and one that is there has been told.
            let _ = agent.attend(stream).await;
            drop(place);
        });
    }
}

struct Agent<F> {
    token: SharedToken,
    secrets: Secrets,
    run: F,
    at_work: Semaphore,
}

impl<F, R> Agent<F>
where
    F: Fn(Settings, mpsc::Sender<Second>) -> R,
    R: Future<Output = Result<RunRecord, String>>,
{
    async fn attend(&self, stream: TcpStream) -> io::Result<()> {
        let Some((mut sender, mut receiver)) = accept(stream, &self.token).await? else { return Ok(()) };
        let Order::Prepare(settings) = timeout(PATIENCE, receiver.receive()).await?? else { return Ok(()) };
        let Ok(_at_work) = self.at_work.try_acquire() else {
            return sender.send(&Report::Failed("it is busy with another run".into())).await;
        };
        sender.send(&Report::Ready).await?;
        let Order::Start = timeout(PATIENCE, receiver.receive()).await?? else { return Ok(()) };
        self.work(*settings, sender, receiver).await
    }

    async fn work(&self, settings: Settings, mut sender: Sender, mut receiver: Receiver) -> io::Result<()> {
        let Secrets { secret, token, api_key } = self.secrets.clone();
        let settings = Settings { secret, token, api_key, ..settings };
        let (seconds, mut ended_seconds) = mpsc::channel(SECONDS_MAX);
        let run = (self.run)(settings, seconds);
        tokio::pin!(run);
        // Nothing more is ordered: whatever comes, also the end, means that the coordinator wants no result.
        let gone = receiver.receive::<Order>();
        tokio::pin!(gone);
        let mut alive = interval(ALIVE);
        loop {
            tokio::select! {
                result = &mut run => {
                    while let Ok(second) = ended_seconds.try_recv() {
                        sender.send(&Report::Second(Box::new(second))).await?;
                    }
                    let report = result.map_or_else(Report::Failed, |record| Report::Done(Box::new(record)));
                    return sender.send(&report).await;
                }
                _ = &mut gone => return Ok(()),
                Some(second) = ended_seconds.recv() => sender.send(&Report::Second(Box::new(second))).await?,
                _ = alive.tick() => sender.send(&Report::Alive).await?,
            }
        }
    }
}
