//! Negotiating permessage-deflate (RFC 7692 §7.1).
//!
//! The one agreement made: no context takeover either way, full windows. So neither side keeps a window for the other's
//! messages, and a message compressed once fits every client.

use http::{HeaderMap, header::SEC_WEBSOCKET_EXTENSIONS};

const NAME: &str = "permessage-deflate";
/// Both may be answered to any offer (§7.1.1).
const AGREED: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
/// An offered limit of the server's window must be answered.
const AGREED_WITH_WINDOW: &str =
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=15";
/// Offers looked at; browsers send one.
const OFFERS_MAX: usize = 16;

/// The answer to the first acceptable offer of permessage-deflate. Declined: what RFC 7692 does not know or allow, and a
/// smaller server window, for which every message would have to be compressed once more.
pub(super) fn negotiate(headers: &HeaderMap) -> Option<&'static str> {
    let lines = headers.get_all(SEC_WEBSOCKET_EXTENSIONS).iter().filter_map(|line| line.to_str().ok());
    // Commas in quotes do not occur in any valid offer of this extension; a torn one is declined like any other.
    lines.flat_map(|line| line.split(',')).take(OFFERS_MAX).find_map(accept)
}

fn accept(offer: &str) -> Option<&'static str> {
    let mut parts = offer.split(';').map(str::trim);
    if parts.next() != Some(NAME) {
        return None;
    }
    let mut seen: [bool; 4] = [false; 4];
    for part in parts {
        let (name, value) = match part.split_once('=') {
            Some((name, value)) => (name.trim_end(), Some(unquoted(value.trim_start()))),
            None => (part, None),
        };
        let at = match (name, value) {
            ("server_no_context_takeover", None) => 0,
            ("client_no_context_takeover", None) => 1,
            ("server_max_window_bits", Some("15")) => 2,
            ("client_max_window_bits", value) if value.is_none_or(is_window_bits) => 3,
            _ => return None,
        };
        if std::mem::replace(&mut seen[at], true) {
            return None;
        }
    }
    Some(if seen[2] { AGREED_WITH_WINDOW } else { AGREED })
}

fn unquoted(value: &str) -> &str {
    value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value)
}

fn is_window_bits(value: &str) -> bool {
    matches!(value, "8" | "9" | "10" | "11" | "12" | "13" | "14" | "15")
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn answer(offers: &[&'static str]) -> Option<&'static str> {
        let mut headers = HeaderMap::new();
        for offer in offers {
            headers.append(SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static(offer));
        }
        negotiate(&headers)
    }

    #[test]
    fn no_context_takeover_is_answered_to_every_good_offer() {
        for offer in [
            "permessage-deflate",
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate; client_max_window_bits=10",
            "permessage-deflate;server_no_context_takeover ; client_no_context_takeover",
            "x-webkit-deflate-frame, permessage-deflate",
        ] {
            assert_eq!(answer(&[offer]), Some(AGREED), "{offer}");
        }
        assert_eq!(answer(&["permessage-bzip2", "permessage-deflate"]), Some(AGREED));
    }

    #[test]
    fn a_smaller_server_window_is_declined_and_the_next_offer_taken() {
        assert_eq!(answer(&["permessage-deflate; server_max_window_bits=10"]), None);
        let with_fallback = "permessage-deflate; server_max_window_bits=10, permessage-deflate; client_max_window_bits";
        assert_eq!(answer(&[with_fallback]), Some(AGREED));
        for full in
            ["permessage-deflate; server_max_window_bits=15", "permessage-deflate; server_max_window_bits=\"15\""]
        {
            assert_eq!(answer(&[full]), Some(AGREED_WITH_WINDOW), "{full}");
        }
    }

    #[test]
    fn an_offer_that_rfc_7692_does_not_allow_is_declined() {
        for offer in [
            "",
            "permessage-bzip2",
            "permessage-deflate; unknown",
            "permessage-deflate; unknown=1",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=7",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=015",
            "permessage-deflate; client_max_window_bits=7",
            "permessage-deflate; client_max_window_bits=",
            "permessage-deflate; client_max_window_bits=+9",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            "permessage-deflate; client_max_window_bits; client_max_window_bits=12",
            "permessage-deflate;",
        ] {
            assert_eq!(answer(&[offer]), None, "{offer:?}");
        }
        assert_eq!(answer(&[]), None);
    }
}
