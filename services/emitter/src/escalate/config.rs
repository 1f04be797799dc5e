//! Settings of escalation.

use std::time::Duration;

use serde::Deserialize;
use tickwire_auth::Secret;

use crate::EmitterError;

/// Shortest secret, bytes.
const SECRET_BYTES_MIN: usize = 16;

/// Section `escalation`. The same for every emitter of a deployment: each may take any alert.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EscalationConfig {
    /// Where to post overdue alerts, `https://…` (or `http://…`). Without it they are only shown as `escalated` and logged.
    pub url: Option<String>,
    /// Key of the requests' signatures, 16 bytes or more; needed with `url`.
    pub secret: Option<Secret>,
    /// How often overdue alerts are looked for, milliseconds.
    pub interval_ms: u64,
    /// How long one request may take, milliseconds.
    pub timeout_ms: u64,
    /// Requests at once.
    pub in_flight_max: usize,
    /// Requests for one alert, over all emitters and restarts, before it is given up.
    pub attempts_max: u32,
    /// How long after its deadline an alert is given up, seconds.
    pub age_max_s: u64,
    /// Longest wait before the first repetition, milliseconds; it doubles with each, and the wait is chosen between half
    /// of it and all of it.
    pub backoff_first_ms: u64,
    /// Where that doubling ends, milliseconds.
    pub backoff_max_ms: u64,
}

impl Default for EscalationConfig {
    fn default() -> Self {
        Self {
            url: None,
            secret: None,
            interval_ms: 1_000,
            timeout_ms: 5_000,
            in_flight_max: 16,
            attempts_max: 20,
            age_max_s: 86_400,
            backoff_first_ms: 1_000,
            backoff_max_ms: 600_000,
        }
    }
}

impl EscalationConfig {
    pub(super) const fn interval(&self) -> Duration {
        Duration::from_millis(self.interval_ms)
    }

    pub(super) const fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }
}

/// Checks the section before anything starts. Its errors show no secret and no URL: that may hold one.
pub(crate) fn check(config: &EscalationConfig) -> Result<(), EmitterError> {
    let wrong = |key, reason| Err(EmitterError::Escalation { key, reason });
    if let Some(url) = &config.url {
        let is_http = reqwest::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
        if !is_http {
            return wrong("url", "an address that begins with https:// or http://");
        }
        if config.secret.as_ref().is_none_or(|secret| secret.expose().len() < SECRET_BYTES_MIN) {
            return wrong("secret", "at least 16 bytes, needed with escalation.url");
        }
    }
    if !(10..=60_000).contains(&config.interval_ms) {
        return wrong("interval_ms", "10 to 60000");
    }
    if !(100..=60_000).contains(&config.timeout_ms) {
        return wrong("timeout_ms", "100 to 60000");
    }
    if !(1..=256).contains(&config.in_flight_max) {
        return wrong("in_flight_max", "1 to 256");
    }
    if config.attempts_max == 0 {
        return wrong("attempts_max", "at least 1");
    }
    if config.backoff_first_ms == 0 || config.backoff_first_ms > config.backoff_max_ms {
        return wrong("backoff_first_ms", "1 to escalation.backoff_max_ms");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(change: impl FnOnce(&mut EscalationConfig)) -> Result<(), EmitterError> {
        let mut config =
            EscalationConfig { url: Some("https://ops.example/hook".into()), ..EscalationConfig::default() };
        config.secret = Some("a secret of 16 bytes or more".into());
        change(&mut config);
        check(&config)
    }

    type Change = fn(&mut EscalationConfig);

    #[test]
    fn what_cannot_work_is_refused_by_its_key() {
        assert!(check(&EscalationConfig::default()).is_ok());
        assert!(with(|_| {}).is_ok());
        let cases: [(&str, Change); 8] = [
            ("url", |config| config.url = Some("ftp://hunter2".into())),
            ("secret", |config| config.secret = None),
            ("secret", |config| config.secret = Some("short".into())),
            ("interval_ms", |config| config.interval_ms = 1),
            ("timeout_ms", |config| config.timeout_ms = 0),
            ("in_flight_max", |config| config.in_flight_max = 0),
            ("attempts_max", |config| config.attempts_max = 0),
            ("backoff_first_ms", |config| config.backoff_first_ms = config.backoff_max_ms + 1),
        ];
        for (key, change) in cases {
            let error = with(change).unwrap_err();
            assert!(error.is_config());
            assert!(error.to_string().starts_with(&format!("escalation.{key}:")), "{error}");
            assert!(!error.to_string().contains("hunter2"));
        }
    }
}
