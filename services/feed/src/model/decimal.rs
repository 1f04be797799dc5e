//! Decimals from wire text, exactly: no float on the way, and the text's scale is kept (`0.0240` has four places), because
//! Kraken's and OKX's checksums are over the digits as sent.

use rust_decimal::Decimal;

/// The largest scale and exponent; `rust_decimal` holds 96 bits and a scale up to 28.
const SCALE_MAX: i32 = 28;
/// The largest mantissa plus one.
const MANTISSA_END: u128 = 1 << 96;

/// Reads `12.50`, `-3`, `1.0E-7`. None for anything else, and for what does not fit 96 bits and 28 places.
pub fn parse(text: &str) -> Option<Decimal> {
    let bytes = text.as_bytes();
    let (negative, digits) = match bytes.first()? {
        b'-' => (true, &bytes[1..]),
        b'+' => (false, &bytes[1..]),
        _ => (false, bytes),
    };
    // Nineteen digits cannot overflow 64 bits: nearly every price and quantity takes this way.
    if digits.len() <= 19 {
        let mut mantissa = 0u64;
        let mut point = None;
        for (at, &byte) in digits.iter().enumerate() {
            let digit = byte.wrapping_sub(b'0');
            if digit <= 9 {
                mantissa = mantissa * 10 + u64::from(digit);
            } else if byte == b'.' && point.is_none() {
                point = Some(at);
            } else {
                return exponential(negative, digits);
            }
        }
        let places = point.map_or(0, |at| digits.len() - at - 1);
        let some_digit = digits.len() > usize::from(point.is_some());
        return some_digit.then(|| assemble(negative, u128::from(mantissa), u32::try_from(places).unwrap_or(0)));
    }
    exponential(negative, digits)
}

/// The general way: more digits, or an exponent.
fn exponential(negative: bool, text: &[u8]) -> Option<Decimal> {
    let split = text.iter().position(|byte| matches!(byte, b'e' | b'E'));
    let (digits, exponent) = match split {
        Some(at) => (&text[..at], integer(&text[at + 1..])?),
        None => (text, 0),
    };
    let mut mantissa = 0u128;
    let mut places = None;
    let mut seen = false;
    for &byte in digits {
        match (byte, places) {
            (b'0'..=b'9', _) => {
                mantissa = mantissa * 10 + u128::from(byte - b'0');
                if mantissa >= MANTISSA_END {
                    return None;
                }
                seen = true;
                places = places.map(|places: i32| places + 1);
            }
            (b'.', None) => places = Some(0),
            _ => return None,
        }
    }
    let mut scale = places.unwrap_or(0) - exponent;
    while scale < 0 && mantissa != 0 {
        mantissa *= 10;
        scale += 1;
        if mantissa >= MANTISSA_END {
            return None;
        }
    }
    let scale = if mantissa == 0 { scale.clamp(0, SCALE_MAX) } else { scale };
    (seen && scale <= SCALE_MAX).then(|| assemble(negative, mantissa, u32::try_from(scale).unwrap_or(0)))
}

/// An exponent: a sign and up to three digits.
fn integer(text: &[u8]) -> Option<i32> {
    let (negative, digits) = match text.first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if digits.is_empty() || digits.len() > 3 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits.iter().fold(0, |value, digit| value * 10 + i32::from(digit - b'0'));
    Some(if negative { -value } else { value })
}

#[allow(clippy::cast_possible_truncation, reason = "the mantissa is cut into its 32-bit words")]
fn assemble(negative: bool, mantissa: u128, scale: u32) -> Decimal {
    let words = (mantissa as u32, (mantissa >> 32) as u32, (mantissa >> 64) as u32);
    Decimal::from_parts(words.0, words.1, words.2, negative && mantissa != 0, scale)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn digits_and_scale_are_kept() {
        for text in [
            "0.02400000",
            "61837.63000000",
            "1",
            "0",
            "0.00000000",
            "9999999997.00000",
            "-3.50",
            "12345678901234567890.12345678",
        ] {
            assert_eq!(parse(text).map(|value| value.to_string()).as_deref(), Some(text), "{text}");
        }
    }

    #[test]
    fn an_exponent_is_worked_out() {
        for (text, plain) in
            [("1.0E-7", "0.00000010"), ("5.1e-5", "0.000051"), ("1e3", "1000"), ("2.5E+2", "250"), ("0e9", "0")]
        {
            assert_eq!(parse(text).map(|value| value.to_string()).as_deref(), Some(plain), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_or_does_not_fit_is_refused() {
        let long = "9".repeat(40);
        for text in ["", ".", "-", "1.2.3", "1e", "1e9999", "0x1", " 1", "1 ", "NaN", "1e-40", &long, "١"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
