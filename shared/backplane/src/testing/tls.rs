//! A certificate for servers on this machine.

use std::{path::Path, process::Command, sync::Arc};

use super::Directory;

/// A self-signed certificate for `localhost` and its key. Clones share the files.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    _directory: Arc<Directory>,
    certificate: std::path::PathBuf,
    key: std::path::PathBuf,
}

impl TlsFiles {
    /// Makes them with the `openssl` command.
    pub fn generate() -> Self {
        // An error: the process has chosen its cryptography already.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let directory = Directory::new();
        let (certificate, key) = (directory.path().join("cert.pem"), directory.path().join("key.pem"));
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
            .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&certificate)
            .output();
        match made {
            Ok(output) if output.status.success() => Self { _directory: Arc::new(directory), certificate, key },
            Ok(output) => panic!("openssl: {}", String::from_utf8_lossy(&output.stderr)),
            Err(error) => panic!("openssl must be installed to run these tests: {error}"),
        }
    }

    /// The certificate to trust.
    pub fn ca_file(&self) -> &Path {
        &self.certificate
    }

    /// Its private key.
    pub fn key_file(&self) -> &Path {
        &self.key
    }

    pub(super) fn certificates(&self) -> redis::TlsCertificates {
        match std::fs::read(&self.certificate) {
            Ok(root_cert) => redis::TlsCertificates { client_tls: None, root_cert: Some(root_cert) },
            Err(error) => panic!("{}: {error}", self.certificate.display()),
        }
    }

    pub(super) fn server_options(&self) -> Vec<String> {
        let (certificate, key) = (self.certificate.display().to_string(), self.key.display().to_string());
        let options = [
            ["--tls-cert-file", &certificate],
            ["--tls-key-file", &key],
            ["--tls-ca-cert-file", &certificate],
            ["--tls-auth-clients", "no"],
        ];
        options.concat().into_iter().map(ToOwned::to_owned).collect()
    }
}
