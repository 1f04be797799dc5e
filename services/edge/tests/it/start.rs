//! What the program says before it serves.

use std::process::{Command, Output};

use tickwire_backplane::testing::TlsFiles;

/// Runs the program with nothing but this in its environment.
fn start(environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tickwire-edge"));
    command.env_clear().envs(environment.iter().copied()).arg("--listen").arg("127.0.0.1:0");
    command.output().unwrap()
}

#[test]
fn settings_that_cannot_work_are_said_in_one_line_with_exit_code_64() {
    let (files, others) = (TlsFiles::generate(), TlsFiles::generate());
    let cert = ("TICKWIRE_EDGE__TLS_CERT_FILE", files.ca_file().to_str().unwrap());
    let key_of = |files: &'static str| ("TICKWIRE_EDGE__TLS_KEY_FILE", files);
    let other_key = ("TICKWIRE_EDGE__TLS_KEY_FILE", others.key_file().to_str().unwrap());
    let secret = ("TICKWIRE_AUTH__HS256_SECRET", "a secret of thirty-two bytes or more");
    for (environment, named) in [
        (vec![], "TICKWIRE_AUTH__HS256_SECRET"),
        (vec![("TICKWIRE_AUTH__HS256_SECRET", "short")], "hs256_secret"),
        (vec![secret, ("TICKWIRE_TELEMETRY__LOG_FILTER", "info,=,=")], "telemetry.log_filter"),
        (vec![secret, ("TICKWIRE_TELEMETRY__SAMPLE_RATIO", "2")], "telemetry.sample_ratio"),
        (vec![secret, cert], "edge.tls_key_file"),
        (vec![secret, other_key], "edge.tls_cert_file"),
        (vec![secret, cert, other_key], "certificate"),
        (vec![secret, cert, key_of("/no/such/file")], "/no/such/file"),
        (vec![secret, cert, ("TICKWIRE_EDGE__TLS_KEY_FILE", cert.1)], "PEM"),
        (vec![secret, ("TICKWIRE_EDGE__NO_SUCH_KEY", "1")], "no_such_key"),
        (vec![secret, ("TICKWIRE_BACKPLANE__URL", "http://redis")], "redis"),
        (vec![secret, ("TICKWIRE_BACKPLANE__PARTITIONS", "0")], "partitions"),
    ] {
        let output = start(&environment);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), said.lines().count()), (Some(64), 1), "{said}");
        assert!(said.contains(named), "{said}");
    }
}
