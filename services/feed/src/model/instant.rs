//! Venue times, in any of their shapes, as nanoseconds since the Unix epoch.

use jiff::Timestamp;

/// An epoch number of unknown unit: seconds, milliseconds, microseconds or nanoseconds, told apart by size (each range holds the
/// years 1973 to 5138 of its unit).
pub fn epoch(number: u64) -> Option<i64> {
    let unit = match number {
        0..100_000_000_000 => 1_000_000_000,
        100_000_000_000..100_000_000_000_000 => 1_000_000,
        100_000_000_000_000..100_000_000_000_000_000 => 1_000,
        _ => 1,
    };
    i64::try_from(number).ok()?.checked_mul(unit)
}

/// `1618678142.557535`: seconds with a fraction of up to nine digits, or an epoch number without one.
pub fn seconds(text: &str) -> Option<i64> {
    let Some((whole, fraction)) = text.split_once('.') else { return epoch(text.parse().ok()?) };
    if fraction.is_empty() || fraction.len() > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let scale = 10i64.pow(9 - u32::try_from(fraction.len()).ok()?);
    let nanos = fraction.parse::<i64>().ok()?.checked_mul(scale)?;
    let whole = i64::try_from(whole.parse::<u64>().ok()?).ok()?;
    whole.checked_mul(1_000_000_000)?.checked_add(nanos)
}

/// RFC 3339, or Go's `2026-08-09 21:05:48.854840045 +0000 UTC m=+41691.26` (Coinbase heartbeats).
pub fn rfc3339(text: &str) -> Option<i64> {
    let parsed = match text.split_once(" +0000 UTC") {
        Some((time, _)) => format!("{time}Z").parse::<Timestamp>(),
        None => text.parse::<Timestamp>(),
    };
    i64::try_from(parsed.ok()?.as_nanosecond()).ok()
}

/// RFC 3339 in UTC, without trailing zeros in the fraction.
pub fn to_rfc3339(nanos: i64) -> String {
    Timestamp::from_nanosecond(i128::from(nanos)).map(|time| time.to_string()).unwrap_or_default()
}

/// RFC 3339 in UTC, with this many places in the fraction.
pub fn to_rfc3339_places(nanos: i64, places: usize) -> String {
    Timestamp::from_nanosecond(i128::from(nanos)).map(|time| format!("{time:.places$}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{epoch, rfc3339, seconds, to_rfc3339};

    #[test]
    fn units_are_told_apart_by_size() {
        let expected = Some(1_723_161_255_000_000_000);
        for number in [1_723_161_255, 1_723_161_255_000, 1_723_161_255_000_000, 1_723_161_255_000_000_000] {
            assert_eq!(epoch(number), expected);
        }
        assert_eq!(epoch(u64::MAX), None);
    }

    #[test]
    fn every_shape_seen_is_read() {
        assert_eq!(seconds("1618678142.557535"), Some(1_618_678_142_557_535_000));
        assert_eq!(rfc3339("2026-08-09T21:05:42.51431Z"), Some(1_786_309_542_514_310_000));
        assert_eq!(rfc3339("2026-08-12T19:28:43.952985558Z"), Some(1_786_562_923_952_985_558));
        let go = "2026-08-09 21:05:48.854840045 +0000 UTC m=+41691.260485341";
        assert_eq!(rfc3339(go), Some(1_786_309_548_854_840_045));
        assert_eq!(to_rfc3339(1_786_309_542_514_310_000), "2026-08-09T21:05:42.51431Z");
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "x", "1.", ".5", "1.1234567890", "-1.5", "99999999999999999999.1"] {
            assert_eq!(seconds(text), None, "{text}");
            assert_eq!(rfc3339(text), None, "{text}");
        }
    }
}
