//! What an earlier process left: stops that are half done, and sessions that were stopped while no instance of this service ran.

use std::{sync::Arc, time::Duration};

use tickwire_backplane::{Backplane, journal::JOURNAL_LIST_MAX};
use tickwire_trading::{Session, SessionId, directory::Page, peer::Peer};
use tokio::sync::mpsc;

use crate::{desk::Input, records, saga};

/// Pause after the store or the session service could not be asked.
const PAUSE: Duration = Duration::from_secs(1);
/// Sessions that were stopped, by the session service.
const STOPPED: &str = "/v1/sessions?status=emergency_stopped";

/// Tells the desk, once. What is stopped later it hears as it happens.
pub(crate) async fn run(backplane: Arc<dyn Backplane>, session: Peer, desk: mpsc::Sender<Input>) {
    // The order matters: what is known to be done is not looked at again.
    if journals(&*backplane, &desk).await.is_some() {
        stopped(&session, &desk).await;
    }
}

/// Every stop that has a journal. A done one is told by its length alone. `None`: nobody listens any more.
async fn journals(backplane: &dyn Backplane, desk: &mpsc::Sender<Input>) -> Option<()> {
    let mut after: Option<String> = None;
    loop {
        let listed = match backplane.journals(records::STOPS, after.as_deref(), JOURNAL_LIST_MAX).await {
            Ok(listed) => listed,
            Err(error) => {
                tracing::warn!(%error, "stops that are not done are unknown; asking again");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let Some(last) = listed.last() else { return Some(()) };
        after = Some(last.name.id().to_owned());
        let (mut done, mut open) = (Vec::new(), Vec::new());
        for entry in listed {
            let Ok(id) = SessionId::new(entry.name.id()) else { continue };
            let found = if entry.length >= saga::EVENTS { &mut done } else { &mut open };
            found.push(id);
        }
        desk.send(Input::Done(done)).await.ok()?;
        for id in open {
            desk.send(Input::Unfinished(id)).await.ok()?;
        }
    }
}

/// Every session that was stopped; of those that are summed up nobody speaks any more.
async fn stopped(session: &Peer, desk: &mpsc::Sender<Input>) -> Option<()> {
    let mut after: Option<String> = None;
    loop {
        let path = after.as_ref().map_or_else(|| STOPPED.to_owned(), |after| format!("{STOPPED}&after={after}"));
        let page = match session.get::<Page<Session>>(&path).await {
            Ok(page) => page,
            Err(error) => {
                tracing::debug!(%error, "sessions that were stopped are unknown; asking again");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        for session in page.items {
            desk.send(Input::Session(Box::new(session))).await.ok()?;
        }
        after = Some(page.next?);
    }
}
