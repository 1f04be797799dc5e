//! Changing single values of a recorded frame and leaving every other byte as it was recorded.

/// `text` with the value after each `"key":` replaced by what `renew` makes of it. The value is a number, or what stands between
/// the quotes of a string; exchange frames carry no escaped quotes. Lists and objects are left alone.
pub(crate) fn replace(text: &str, key: &str, mut renew: impl FnMut(&str) -> Option<String>) -> String {
    let pattern = format!("\"{key}\":");
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(found) = rest.find(&pattern) {
        let (before, after) = rest.split_at(found + pattern.len());
        out.push_str(before);
        let (start, length) = value(after);
        out.push_str(&after[..start]);
        match renew(&after[start..start + length]) {
            Some(new) => out.push_str(&new),
            None => out.push_str(&after[start..start + length]),
        }
        rest = &after[start + length..];
    }
    out.push_str(rest);
    out
}

/// The value after the first `"key":`, as [`replace`] sees it.
pub(crate) fn find<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let pattern = format!("\"{key}\":");
    let after = &text[text.find(&pattern)? + pattern.len()..];
    let (start, length) = value(after);
    Some(&after[start..start + length])
}

/// Adds `offset` to an unsigned number; anything else stays.
pub(crate) fn add(offset: u64) -> impl FnMut(&str) -> Option<String> {
    move |value| value.parse::<u64>().ok().map(|number| number.wrapping_add(offset).to_string())
}

/// Shifts a time in milliseconds.
pub(crate) fn shift(by_ms: i64) -> impl FnMut(&str) -> Option<String> {
    move |value| value.parse::<u64>().ok().map(|time| time.saturating_add_signed(by_ms).to_string())
}

/// Shifts a time in RFC 3339, to microseconds.
pub(crate) fn shift_rfc3339(by_ms: i64) -> impl FnMut(&str) -> Option<String> {
    move |value| {
        let at: jiff::Timestamp = value.parse().ok()?;
        let at = at.checked_add(jiff::SignedDuration::from_millis(by_ms)).ok()?;
        Some(format!("{at:.6}"))
    }
}

/// Now, as RFC 3339 with microseconds.
pub(crate) fn rfc3339(wall_ms: u64) -> String {
    rfc3339_us(wall_ms.saturating_mul(1_000))
}

/// The same of microseconds.
pub(crate) fn rfc3339_us(at_us: u64) -> String {
    let at = jiff::Timestamp::from_microsecond(at_us.cast_signed()).unwrap_or_default();
    format!("{at:.6}")
}

/// Reads such a time.
pub(crate) fn parse_rfc3339_us(text: &str) -> Option<u64> {
    let at: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(at.as_microsecond()).ok()
}

/// Where the value after a colon stands: start, length.
fn value(after: &str) -> (usize, usize) {
    let start = after.len() - after.trim_start().len();
    let body = &after[start..];
    if let Some(string) = body.strip_prefix('"') {
        return (start + 1, string.find('"').unwrap_or(string.len()));
    }
    (start, body.find([',', '}', ']', '[', '{']).unwrap_or(body.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_values_change() {
        let frame = r#"{"E":17,"data":{"U":157,"u":160,"b":[["0.0024","10"]],"E":"18"}}"#;
        let changed = replace(&replace(frame, "u", add(1_000)), "E", shift(-7));
        assert_eq!(changed, r#"{"E":10,"data":{"U":157,"u":1160,"b":[["0.0024","10"]],"E":"11"}}"#);
        assert_eq!(find(frame, "b"), Some(""));
        assert_eq!(find(frame, "U"), Some("157"));
    }

    #[test]
    fn times_move_in_their_own_form() {
        let moved = replace(r#"{"time":"2026-08-09T21:05:42.514318Z"}"#, "time", shift_rfc3339(1_500));
        assert_eq!(moved, r#"{"time":"2026-08-09T21:05:44.014318Z"}"#);
    }
}
