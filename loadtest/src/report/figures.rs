//! Figures as people read them.

use time::{OffsetDateTime, macros::format_description};

/// Three figures of a time and the unit that fits: `850 µs`, `4.82 ms`, `12.3 s`.
pub fn time_us(us: f64) -> String {
    match us {
        us if us >= 1e6 => format!("{} s", three(us / 1e6)),
        us if us >= 1e3 => format!("{} ms", three(us / 1e3)),
        us => format!("{} µs", three(us)),
    }
}

/// Three figures of a size: `812 B`, `1.46 MiB`.
pub fn bytes(bytes: f64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    if bytes.abs() < 1_024.0 {
        return format!("{} B", three(bytes));
    }
    let mut size = bytes / 1_024.0;
    let mut unit = 0;
    while size.abs() >= 1_024.0 && unit + 1 < units.len() {
        size /= 1_024.0;
        unit += 1;
    }
    format!("{} {}", three(size), units[unit])
}

/// A whole number with its thousands apart: `1,234,567`.
pub fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A rate: `950`, `12,400` or `1.24 M`, without its unit.
pub fn rate(per_s: f64) -> String {
    match per_s {
        rate if rate >= 1e6 => format!("{} M", three(rate / 1e6)),
        rate if rate >= 1_000.0 => {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1e3 and 1e6")]
            let whole = rate.round() as u64;
            count(whole)
        }
        rate => three(rate),
    }
}

/// Three significant figures, never an exponent.
pub fn three(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => trimmed(format!("{value:.1}")),
        size if size >= 1.0 => trimmed(format!("{value:.2}")),
        0.0 => "0".into(),
        size if size >= 0.001 => trimmed(format!("{value:.3}")),
        _ => trimmed(format!("{value:.6}")),
    }
}

fn trimmed(text: String) -> String {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A length of time as in `4 min 10 s`.
pub fn length_ms(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..120_000 => format!("{} s", three(ms as f64 / 1e3)),
        _ => format!("{} min {} s", ms / 60_000, ms / 1_000 % 60),
    }
}

/// `2026-11-21 07:15:02 UTC`.
pub fn moment(ms: u64) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC");
    let moment = i128::from(ms) * 1_000_000;
    let text = OffsetDateTime::from_unix_timestamp_nanos(moment).ok().and_then(|moment| moment.format(&format).ok());
    text.unwrap_or_else(|| format!("{ms} ms after 1970"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_keep_three_digits_and_choose_their_unit() {
        assert_eq!(
            [0.0, 0.5, 850.0, 4_821.0, 12_345_678.0].map(time_us),
            ["0 µs", "0.5 µs", "850 µs", "4.82 ms", "12.3 s"]
        );
        assert_eq!([812.0, 2_048.0, 1_536_000.0].map(bytes), ["812 B", "2 KiB", "1.46 MiB"]);
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0.25, 950.0, 12_400.4, 1_240_000.0].map(rate), ["0.25", "950", "12,400", "1.24 M"]);
        assert_eq!([10.0, 100.0, 0.0].map(three), ["10", "100", "0"]);
    }

    #[test]
    fn moments_and_lengths_are_readable() {
        assert_eq!(moment(1_795_238_400_000), "2026-11-21 05:20:00 UTC");
        assert_eq!([900, 30_500, 250_000].map(length_ms), ["900 ms", "30.5 s", "4 min 10 s"]);
    }
}
