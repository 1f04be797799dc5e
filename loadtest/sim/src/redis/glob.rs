//! The patterns in use: `*`, and a list of escaped letters in brackets.

/// Whether `text` is one that `pattern` describes.
pub(super) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    match pattern {
        [] => text.is_empty(),
        [b'*', rest @ ..] => (0..=text.len()).any(|at| matches(rest, &text[at..])),
        [b'[', rest @ ..] => {
            let end = rest.iter().position(|&letter| letter == b']').unwrap_or(rest.len());
            let (letters, rest) = (&rest[..end], rest.get(end + 1..).unwrap_or_default());
            let is_listed = |first: &u8| *first != b'\\' && letters.contains(first);
            text.split_first().is_some_and(|(first, text)| is_listed(first) && matches(rest, text))
        }
        [letter, rest @ ..] => text.split_first().is_some_and(|(first, text)| first == letter && matches(rest, text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_anything_and_a_list_is_one_letter() {
        let pattern = br"tw:{*}:live:[\b\t]*";
        assert!(matches(pattern, b"tw:{12}:live:book:a") && matches(pattern, b"tw:{3}:live:t"));
        assert!(!matches(pattern, b"tw:{12}:log:book:a") && !matches(pattern, b"tw:{12}:live:candles:a"));
    }
}
