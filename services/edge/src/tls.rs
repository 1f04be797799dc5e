//! TLS on the edge's own port: one certificate, replaced while it is served.
//!
//! Kernel offload (`TCP_ULP` "tls") would give the plain path back after the handshake, with `writev` and `sendfile`. It is not
//! used: it needs the kernel's `tls` module on every node (where it is missing, `setsockopt` says `ENOENT`), reading of
//! control records by `recvmsg`, which tokio's socket does not offer, and `unsafe` for both.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::{
    net::TcpStream,
    signal::unix::{SignalKind, signal},
    time::MissedTickBehavior,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;

use crate::{EdgeError, config::EdgeConfig, node::Node};

/// How often the files are looked at.
const RELOAD_INTERVAL: Duration = Duration::from_secs(2);
/// Larger files are no certificate or key.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What serves TLS. New connections get the pair that is current; those that exist keep theirs.
#[derive(Debug)]
pub(crate) struct Tls {
    files: Files,
    current: Arc<Current>,
    config: Arc<ServerConfig>,
}

/// Where certificate and key are.
#[derive(Debug, Clone)]
struct Files {
    cert: PathBuf,
    key: PathBuf,
}

/// Their contents.
#[derive(Debug, PartialEq, Eq)]
struct Pem {
    cert: Vec<u8>,
    key: Vec<u8>,
}

#[derive(Debug)]
struct Current(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl Tls {
    /// From the configured files; `None` where there are none.
    pub(crate) fn open(config: &EdgeConfig) -> Result<Option<Self>, EdgeError> {
        let Some(files) = Files::of(config)? else { return Ok(None) };
        let provider = Arc::new(aws_lc_rs::default_provider());
        let pair = files.read()?.pair(&files, &provider)?;
        let current = Arc::new(Current(ArcSwap::from_pointee(pair)));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(EdgeError::TlsPair)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // Clients that come back together resume without a signature, and the node keeps nothing for it.
        config.ticketer = aws_lc_rs::Ticketer::new().map_err(EdgeError::TlsPair)?;
        config.send_tls13_tickets = 1;
        Ok(Some(Self { files, current, config: Arc::new(config) }))
    }

    /// Says who we are and agrees on keys.
    pub(crate) async fn handshake(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        TlsAcceptor::from(Arc::clone(&self.config)).accept(stream).await
    }
}

/// What can be found wrong before a port is bound.
pub(crate) fn validate(config: &EdgeConfig) -> Result<(), EdgeError> {
    Tls::open(config).map(drop)
}

/// Takes over changed files, every few seconds and on SIGHUP. A pair that cannot be used is an error in the log, once, and
/// the one before it stays.
pub(crate) async fn watch(node: Arc<Node>, stop: CancellationToken) {
    let Some(tls) = &node.tls else { return };
    let mut hangups = match signal(SignalKind::hangup()) {
        Ok(hangups) => Some(hangups),
        Err(error) => {
            tracing::warn!(%error, "SIGHUP is not heard: the certificate is only looked at every few seconds");
            None
        }
    };
    let mut interval = tokio::time::interval(RELOAD_INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // `None` before the first look: files that changed between start and now are taken over then.
    let mut seen = None;
    loop {
        let hangup = async {
            match &mut hangups {
                Some(hangups) => hangups.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            _ = interval.tick() => {}
            _ = hangup => {}
        }
        let files = tls.files.clone();
        let Ok(read) = tokio::task::spawn_blocking(move || files.read()).await else { continue };
        let read = read.map_err(|error| format!("{:#}", anyhow::Error::from(error)));
        if seen.as_ref() == Some(&read) {
            continue;
        }
        take_over(&node, tls, seen.is_some(), &read);
        seen = Some(read);
    }
}

fn take_over(node: &Node, tls: &Tls, is_change: bool, read: &Result<Pem, String>) {
    let pair = read.as_ref().map_err(Clone::clone).and_then(|pem| {
        pem.pair(&tls.files, tls.config.crypto_provider()).map_err(|error| format!("{:#}", anyhow::Error::from(error)))
    });
    match pair {
        Ok(pair) => {
            tls.current.0.store(Arc::new(pair));
            if is_change {
                node.metrics.tls_reloads.inc();
                tracing::info!("the certificate was replaced");
            }
        }
        Err(error) => {
            node.metrics.tls_reload_failures.inc();
            tracing::error!(error, "the new certificate cannot be used: the one before it stays");
        }
    }
}

impl Files {
    fn of(config: &EdgeConfig) -> Result<Option<Self>, EdgeError> {
        match (&config.tls_cert_file, &config.tls_key_file) {
            (None, None) => Ok(None),
            (Some(cert), Some(key)) => Ok(Some(Self { cert: cert.clone(), key: key.clone() })),
            _ => Err(EdgeError::TlsHalf),
        }
    }

    fn read(&self) -> Result<Pem, EdgeError> {
        Ok(Pem { cert: read(&self.cert)?, key: read(&self.key)? })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, EdgeError> {
    let failed = |source| EdgeError::TlsFile { path: path.to_owned(), source };
    if std::fs::metadata(path).map_err(failed)?.len() > FILE_BYTES_MAX {
        return Err(failed(std::io::ErrorKind::FileTooLarge.into()));
    }
    std::fs::read(path).map_err(failed)
}

impl Pem {
    /// The chain and its key, which must belong together.
    fn pair(&self, files: &Files, provider: &CryptoProvider) -> Result<CertifiedKey, EdgeError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| EdgeError::TlsPem { path, source }
        };
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.cert).collect();
        let chain = chain.map_err(failed(&files.cert))?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(failed(&files.key))?;
        let pair = CertifiedKey::from_der(chain, key, provider).map_err(EdgeError::TlsPair)?;
        // `from_der` lets a key pass whose public half it cannot tell; one that signs has it.
        pair.end_entity_cert().map_err(EdgeError::TlsPair)?;
        Ok(pair)
    }
}
