//! Log filters that change while a service runs: a file that is looked at every second.
//!
//! A file, because every way of deployment can change one in place: a mounted `ConfigMap`, a bind mount, an editor.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel},
    time::Duration,
};

use tracing_subscriber::{EnvFilter, Registry, reload};

const INTERVAL: Duration = Duration::from_secs(1);

/// Looks at the file until it is dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    _stop: SyncSender<()>,
}

impl Watch {
    /// Starts a thread that sets `filter` to what `path` holds, and to `otherwise` while the file is empty or absent. What is
    /// no filter is reported once and changes nothing.
    pub(crate) fn start(
        path: PathBuf,
        otherwise: String,
        filter: reload::Handle<EnvFilter, Registry>,
    ) -> std::io::Result<Self> {
        let (stop, stopped) = sync_channel(1);
        let mut in_force = otherwise.clone();
        std::thread::Builder::new().name("log-filter".to_owned()).spawn(move || {
            loop {
                let wanted = wanted(&path, &otherwise);
                if wanted != in_force {
                    apply(&wanted, &path, &filter);
                    in_force = wanted;
                }
                if stopped.recv_timeout(INTERVAL) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        })?;
        Ok(Self { _stop: stop })
    }
}

fn wanted(path: &Path, otherwise: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    match text.trim() {
        "" => otherwise.to_owned(),
        text => text.to_owned(),
    }
}

fn apply(wanted: &str, path: &Path, filter: &reload::Handle<EnvFilter, Registry>) {
    match EnvFilter::builder().parse(wanted) {
        Ok(parsed) => match filter.reload(parsed) {
            Ok(()) => tracing::warn!(filter = wanted, "the log filter changed"),
            Err(error) => tracing::error!(%error, "the log filter cannot be changed"),
        },
        Err(error) => tracing::error!(%error, path = %path.display(), "no log filter: the one before stays"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[test]
    fn the_filter_follows_its_file_and_survives_nonsense() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("filter");
        let (layer, handle) = reload::Layer::new(EnvFilter::new("info"));
        let subscriber = tracing_subscriber::registry().with(layer);
        let reads = |text: &str| {
            let end = Instant::now() + Duration::from_secs(30);
            while handle.clone_current().map(|filter| filter.to_string()).as_deref() != Some(text) {
                assert!(Instant::now() < end, "never {text}");
                std::thread::sleep(Duration::from_millis(10));
            }
        };
        tracing::subscriber::with_default(subscriber, || {
            let watch = Watch::start(path.clone(), "info".to_owned(), handle.clone()).unwrap();
            fs::write(&path, "debug\n").unwrap();
            reads("debug");
            fs::write(&path, "info,=,=").unwrap();
            fs::write(&path, "warn").unwrap();
            reads("warn");
            fs::remove_file(&path).unwrap();
            reads("info");
            drop(watch);
        });
    }
}
