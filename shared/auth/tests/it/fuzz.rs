//! Fuzz targets of tokens and patterns; see the protocol crate's for how to run them longer.

use std::{panic::AssertUnwindSafe, time::Duration};

use tickwire_auth::{Pattern, Verifier};

use crate::config;

/// No bytes are a token, whatever they look like: nobody signed them.
#[test]
fn tokens() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let verifier = Verifier::new(&config()).unwrap();
    let verify = AssertUnwindSafe(|token: &str| runtime.block_on(verifier.verify(token)).is_err());
    bolero::check!().with_test_time(Duration::from_secs(2)).with_max_len(1_024).for_each(|bytes: &[u8]| {
        let verify = &verify;
        assert!(verify(&String::from_utf8_lossy(bytes)));
    });
}

/// What parses prints as it was written.
#[test]
fn patterns() {
    bolero::check!().with_test_time(Duration::from_secs(1)).with_max_len(512).for_each(|bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        if let Ok(pattern) = Pattern::new(&text) {
            assert_eq!(pattern.to_string(), text);
        }
    });
}
