//! A session's journal, read: its state, what was told of it, and which commands it has answered. Pure.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tickwire_protocol::UserId;
use tickwire_trading::{
    Session, SessionId,
    session::{Event, NewSession},
};

/// Records of a session's journal after which commands that are not its end are refused: nobody pauses so often.
pub(crate) const RECORDS_MAX: u64 = 2_000;

/// A record of a session's journal.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    /// When, milliseconds since the Unix epoch.
    pub(crate) at: u64,
    /// The command that asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) asked: Option<Asked>,
    pub(crate) what: What,
}

/// A command under an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Asked {
    /// A digest of the caller and the key.
    pub(crate) key: String,
    /// The command's name, and what else makes it that command.
    pub(crate) command: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum What {
    Created {
        user: UserId,
        session: NewSession,
    },
    Changed(Event),
    /// An emergency stop that found the session stopped so already: only its key is new.
    Repeated,
    /// Everything up to this version was told.
    Told {
        version: u64,
    },
}

/// A version that others have not been told yet.
#[derive(Debug, Clone)]
pub(crate) struct Untold {
    /// `None`: the session was created.
    pub(crate) event: Option<Event>,
    /// The session after it.
    pub(crate) session: Arc<Session>,
}

/// What the records so far come to.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// Records read.
    pub(crate) length: u64,
    pub(crate) session: Option<Arc<Session>>,
    pub(crate) untold: VecDeque<Untold>,
    answers: HashMap<String, (String, Arc<Session>)>,
}

/// A record that this version cannot read, or that cannot follow those before it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Corrupt {
    #[error("record {number} of session {id} cannot be read")]
    Unreadable {
        id: SessionId,
        number: u64,
        #[source]
        source: serde_json::Error,
    },
    #[error("record {number} of session {id} does not follow from those before it")]
    Misplaced { id: SessionId, number: u64 },
}

impl Log {
    /// Takes in the next record as the journal holds it.
    pub(crate) fn read(&mut self, id: &SessionId, bytes: &Bytes) -> Result<(), Corrupt> {
        let number = self.length + 1;
        let record =
            serde_json::from_slice(bytes).map_err(|source| Corrupt::Unreadable { id: id.clone(), number, source })?;
        self.fold(id, record).ok_or_else(|| Corrupt::Misplaced { id: id.clone(), number })
    }

    /// Takes in the next record.
    pub(crate) fn fold(&mut self, id: &SessionId, record: Record) -> Option<()> {
        let Record { at, asked, what } = record;
        let (event, session) = match what {
            What::Told { version } => {
                self.untold.retain(|untold| untold.session.version > version);
                self.length += 1;
                return Some(());
            }
            What::Repeated => (None, Arc::clone(self.session.as_ref()?)),
            What::Created { user, session } if self.session.is_none() => {
                (None, Arc::new(Session::created(id.clone(), user, session, at)))
            }
            What::Created { .. } => return None,
            What::Changed(event) => {
                let session = Session::clone(self.session.as_ref()?).apply(&event, at);
                (Some(event), Arc::new(session))
            }
        };
        if self.session.as_ref().is_none_or(|before| before.version < session.version) {
            self.untold.push_back(Untold { event, session: Arc::clone(&session) });
        }
        if let Some(Asked { key, command }) = asked {
            self.answers.insert(key, (command, Arc::clone(&session)));
        }
        self.session = Some(session);
        self.length += 1;
        Some(())
    }

    /// What a command under `key` was answered, and which command that was.
    pub(crate) fn answered(&self, key: &str) -> Option<&(String, Arc<Session>)> {
        self.answers.get(key)
    }

    /// Whether nothing is left to do: over, summed up, and told.
    pub(crate) fn is_finished(&self) -> bool {
        let is_settled =
            |session: &Arc<Session>| session.ending.as_ref().is_some_and(|ending| ending.summary.is_some());
        self.untold.is_empty() && self.session.as_ref().is_some_and(is_settled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> SessionId {
        SessionId::new("s1").unwrap()
    }

    fn created() -> Record {
        let session = serde_json::from_str(
            r#"{"algorithmId":"momentum","parameters":{"fast":5,"depth":0.10},"symbols":["binance:BTC/USDT"],
            "capital":"10000.00","limits":{"lossLimit":"100"}}"#,
        );
        let what = What::Created { user: UserId::new("7").unwrap(), session: session.unwrap() };
        Record { at: 1, asked: Some(Asked { key: "k1".into(), command: "create".into() }), what }
    }

    fn changed(at: u64, key: &str, event: Event) -> Record {
        let asked = Some(Asked { key: key.into(), command: "c".into() });
        Record { at, asked, what: What::Changed(event) }
    }

    #[test]
    fn records_survive_the_store_and_make_the_same_state() {
        let records = [
            created(),
            changed(2, "k2", Event::Started),
            Record { at: 3, asked: None, what: What::Told { version: 2 } },
            changed(4, "k3", Event::Completed { reason: "enough".into() }),
        ];
        let (mut live, mut read) = (Log::default(), Log::default());
        for record in records {
            let bytes = Bytes::from(serde_json::to_vec(&record).unwrap());
            live.fold(&id(), record).unwrap();
            read.read(&id(), &bytes).unwrap();
        }
        assert_eq!(read.session, live.session);
        let session = read.session.clone().unwrap();
        assert_eq!((session.version, read.length), (3, 4));
        assert_eq!(session.parameters.as_str(), r#"{"fast":5,"depth":0.10}"#, "digits stay as they were written");
        assert_eq!(read.untold.iter().map(|untold| untold.session.version).collect::<Vec<_>>(), [3]);
        assert_eq!(read.answered("k2").unwrap().1.version, 2, "the first answer, whatever happened since");
        assert!(!read.is_finished());
    }

    #[test]
    fn records_that_cannot_follow_are_corrupt() {
        let mut log = Log::default();
        assert!(log.fold(&id(), changed(1, "k", Event::Started)).is_none());
        log.fold(&id(), created()).unwrap();
        assert!(log.fold(&id(), created()).is_none());
        assert!(log.read(&id(), &Bytes::from_static(b"{}")).is_err());
    }
}
