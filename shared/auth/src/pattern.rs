//! Patterns of channel names, as tokens grant them.

use std::fmt;

use tickwire_protocol::channel::CHANNEL_BYTES_MAX;

/// A pattern of channel names.
///
/// - `session:42` matches that channel only.
/// - A `*` at the end stands for any rest, further segments included: `prices:*`, `prices:BTC*`, `*`.
/// - A `*` as a whole segment before the end stands for exactly one non-empty segment: `user:*:orders`.
///
/// A `*` anywhere else is refused. Matching walks pattern and name once.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Pattern(Box<str>);

/// A text that is no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPattern {
    /// Empty, over 255 bytes, or not printable ASCII without spaces.
    #[error("a pattern is 1 to 255 printable ASCII characters without spaces")]
    NotAName,
    /// A `*` inside a segment.
    #[error("`*` stands at the end of a pattern or alone between two `:`")]
    StrayStar,
}

impl Pattern {
    /// Checks `text`.
    pub fn new(text: &str) -> Result<Self, InvalidPattern> {
        let fits = (1..=CHANNEL_BYTES_MAX).contains(&text.len());
        if !fits || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidPattern::NotAName);
        }
        let fixed = text.strip_suffix('*').unwrap_or(text);
        if fixed.split(':').any(|segment| segment.contains('*') && segment != "*") {
            return Err(InvalidPattern::StrayStar);
        }
        // `room:**` leaves a last segment `*` once its end is cut off.
        if fixed.ends_with('*') {
            return Err(InvalidPattern::StrayStar);
        }
        Ok(Self(text.into()))
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it matches the channel named `name`.
    pub fn matches(&self, name: &str) -> bool {
        let (fixed, is_open) = self.0.strip_suffix('*').map_or((&*self.0, false), |fixed| (fixed, true));
        let mut rest = name;
        let mut segments = fixed.split(':').peekable();
        while let Some(wanted) = segments.next() {
            if segments.peek().is_none() {
                return if is_open { rest.starts_with(wanted) } else { rest == wanted };
            }
            let Some((segment, after)) = rest.split_once(':') else { return false };
            let fits = if wanted == "*" { !segment.is_empty() } else { segment == wanted };
            if !fits {
                return false;
            }
            rest = after;
        }
        false
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        Pattern::new(pattern).unwrap().matches(name)
    }

    #[test]
    fn a_pattern_without_star_matches_one_channel() {
        assert!(matches("session:42", "session:42"));
        for other in ["session:421", "session:4", "session", "session:42:x", "SESSION:42", "session:"] {
            assert!(!matches("session:42", other), "{other}");
        }
    }

    #[test]
    fn a_star_at_the_end_matches_any_rest() {
        assert!(matches("prices:*", "prices:BTC/USDT"));
        assert!(matches("prices:*", "prices:binance:BTC"));
        assert!(matches("prices:BTC*", "prices:BTC/USDT"));
        assert!(matches("*", "anything:at:all"));
        assert!(!matches("prices:*", "prices"));
        assert!(!matches("prices:*", "prices-secret:x"));
        assert!(!matches("prices:BTC*", "prices:ETH"));
    }

    #[test]
    fn a_star_as_a_segment_matches_one_segment() {
        assert!(matches("user:*:orders", "user:7:orders"));
        assert!(matches("a:*:*", "a:b:c:d"));
        for other in ["user:7:positions", "user:7", "user::orders", "user:7:8:orders", "user:7:orders:x"] {
            assert!(!matches("user:*:orders", other), "{other}");
        }
    }

    #[test]
    fn a_star_inside_a_segment_is_refused() {
        for text in ["a*b", "*a", "a:*b", "a:b*:c", "a:**", "**", "a*:*"] {
            assert_eq!(Pattern::new(text), Err(InvalidPattern::StrayStar), "{text}");
        }
        for text in ["", "a b", "a\n", "é", &"x".repeat(256)] {
            assert_eq!(Pattern::new(text), Err(InvalidPattern::NotAName), "{text}");
        }
    }

    /// The rule said again, slowly, on segments.
    fn reference(pattern: &str, name: &str) -> bool {
        let pattern: Vec<&str> = pattern.split(':').collect();
        let name: Vec<&str> = name.split(':').collect();
        let last = pattern.len() - 1;
        let head = |upto: usize| {
            (0..upto).all(|i| name.get(i).is_some_and(|n| pattern[i] == *n || pattern[i] == "*" && !n.is_empty()))
        };
        match pattern[last].strip_suffix('*') {
            Some(prefix) => name.len() > last && head(last) && name[last].starts_with(prefix),
            None => name.len() == pattern.len() && head(last) && name[last] == pattern[last],
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_pattern_or_an_error(text in any::<String>(), name in any::<String>()) {
            if let Ok(pattern) = Pattern::new(&text) {
                pattern.matches(&name);
            }
        }

        #[test]
        fn matching_agrees_with_the_rule(pattern in "[ab*]{0,2}(:[ab*]{0,2}){0,3}", name in "[ab]{0,2}(:[ab]{0,2}){0,3}") {
            if let Ok(parsed) = Pattern::new(&pattern) {
                prop_assert_eq!(parsed.matches(&name), reference(&pattern, &name), "{} {}", pattern, name);
            }
        }

        #[test]
        fn a_name_matches_itself(name in "[!-)+-~]{1,255}") {
            prop_assert!(Pattern::new(&name).unwrap().matches(&name));
        }
    }
}
