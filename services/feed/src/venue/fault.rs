//! What goes wrong on a connection, in classes that say what to do about it.

use serde::Serialize;

use crate::model::Symbol;

/// Why, and with it what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultClass {
    /// The network, or a venue that closed without a reason.
    Network,
    /// The venue said that it will close.
    AnnouncedClose,
    /// Too fast or banned: 429, 403, 418, a close for too many messages.
    RateLimit,
    /// This subscription is refused; the others go on.
    Rejected,
    /// A book cannot be believed.
    Integrity,
    /// A message cannot be read.
    Protocol,
    /// Credentials are asked for or refused.
    Auth,
}

/// What is done about a class.
#[allow(clippy::struct_excessive_bools, reason = "independent answers to four questions")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remedy {
    /// Whether trying again can help at all.
    pub recoverable: bool,
    /// Whether the connection must be given up.
    pub reconnect: bool,
    /// Whether the replacement is opened before the old one is closed.
    pub make_before_break: bool,
    /// Whether the long delay of a rate limit applies instead of the backoff.
    pub long_wait: bool,
}

impl FaultClass {
    /// Every class.
    pub const ALL: [Self; 7] = [
        Self::Network,
        Self::AnnouncedClose,
        Self::RateLimit,
        Self::Rejected,
        Self::Integrity,
        Self::Protocol,
        Self::Auth,
    ];

    /// The name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::AnnouncedClose => "announced_close",
            Self::RateLimit => "rate_limit",
            Self::Rejected => "rejected",
            Self::Integrity => "integrity",
            Self::Protocol => "protocol",
            Self::Auth => "auth",
        }
    }

    /// What is done about it.
    pub fn remedy(self) -> Remedy {
        let stay = Remedy { recoverable: true, reconnect: false, make_before_break: false, long_wait: false };
        match self {
            Self::Network => Remedy { reconnect: true, ..stay },
            Self::AnnouncedClose => Remedy { reconnect: true, make_before_break: true, ..stay },
            Self::RateLimit => Remedy { reconnect: true, long_wait: true, ..stay },
            Self::Integrity | Self::Protocol => stay,
            Self::Rejected => Remedy { recoverable: false, ..stay },
            Self::Auth => Remedy { recoverable: false, reconnect: true, ..stay },
        }
    }
}

/// Something that went wrong.
#[derive(Debug, Clone)]
pub struct Fault {
    /// Why, and with it what to do.
    pub class: FaultClass,
    /// Whose; None: the connection's.
    pub symbol: Option<Symbol>,
    /// For people: the venue's words, or ours. Bounded.
    pub detail: String,
}

/// Bytes of a venue's words that are kept.
const DETAIL_BYTES_MAX: usize = 200;

impl Fault {
    /// With the detail cut to its bound.
    pub fn new(class: FaultClass, symbol: Option<Symbol>, detail: &str) -> Self {
        let mut end = detail.len().min(DETAIL_BYTES_MAX);
        while !detail.is_char_boundary(end) {
            end -= 1;
        }
        Self { class, symbol, detail: detail[..end].to_owned() }
    }
}

/// The class of a close code. 1008 is what venues send to those who send too much; OKX's 4004 is silence.
pub fn of_close_code(code: u16) -> FaultClass {
    match code {
        1008 => FaultClass::RateLimit,
        1001 | 1012 => FaultClass::AnnouncedClose,
        _ => FaultClass::Network,
    }
}

/// The class of an HTTP status, of an upgrade or of a request.
pub fn of_http_status(status: u16) -> FaultClass {
    match status {
        401 => FaultClass::Auth,
        403 | 418 | 429 => FaultClass::RateLimit,
        400 | 404 => FaultClass::Rejected,
        _ => FaultClass::Network,
    }
}

#[cfg(test)]
mod tests {
    use super::{Fault, FaultClass, of_close_code, of_http_status};

    #[test]
    fn what_cannot_be_helped_is_not_tried_again() {
        let fatal: Vec<_> = FaultClass::ALL.into_iter().filter(|class| !class.remedy().recoverable).collect();
        assert_eq!(fatal, [FaultClass::Rejected, FaultClass::Auth]);
    }

    #[test]
    fn refusals_for_rate_wait_long() {
        for class in [of_http_status(429), of_http_status(403), of_close_code(1008)] {
            assert!(class.remedy().long_wait, "{class:?}");
        }
        assert!(!of_close_code(1006).remedy().long_wait);
    }

    #[test]
    fn a_venues_words_are_cut() {
        assert!(Fault::new(FaultClass::Protocol, None, &"é".repeat(1_000)).detail.len() <= 200);
    }
}
