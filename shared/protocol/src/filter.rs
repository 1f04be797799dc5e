//! Tag expressions: which messages of a channel a subscriber wants.
//!
//! ```text
//! expression = all { "||" all }
//! all        = unary { "&&" unary }
//! unary      = "!" unary | "(" expression ")" | "has" "(" key ")" | key comparison
//! comparison = ( "==" | "!=" | "<" | "<=" | ">" | ">=" ) value | "in" "[" value { "," value } "]"
//! key        = name | string          name = letter or "_", then letters, digits, "_", "-", "."
//! value      = number | string        number = "-"? digits ( "." digits )?
//! string     = '"' … '"', with \" and \\ inside
//! ```
//! For example `symbol in ["BTC/USDT","ETH/USDT"] && price >= 64213.10 && !has(test)`.
//!
//! Tags are text. `==`, `!=` and `in` compare text with a string, and numerically with a number (`"1.50"` is `1.5`).
//! `<`, `<=`, `>`, `>=` compare exactly, as decimals of up to 28 digits, and are false where either side is none. A
//! comparison with a tag that is not there is false, `!=` excepted. `!` binds closer than `&&`, that closer than `||`.

mod parse;

use std::cmp::Ordering;

use rust_decimal::Decimal;

use crate::publication::Tags;

/// Longest expression, bytes.
pub const FILTER_BYTES_MAX: usize = 1_024;
/// Most comparisons, operators and list entries in one expression.
pub const FILTER_NODES_MAX: usize = 64;
/// Deepest nesting of parentheses and `!`.
pub const FILTER_DEPTH_MAX: usize = 16;

/// A compiled expression. Matching allocates nothing and costs at most [`FILTER_NODES_MAX`] comparisons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter(Node);

/// A text that is no expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the filter is wrong at byte {at}: {reason}")]
pub struct InvalidFilter {
    /// Bytes before the mistake.
    pub at: usize,
    /// What was expected there, or which limit was passed.
    pub reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    Any(Vec<Node>),
    All(Vec<Node>),
    Not(Box<Node>),
    Has(Box<str>),
    In(Box<str>, Vec<Value>),
    Compare(Box<str>, Operator, Value),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Value {
    text: Box<str>,
    /// Its value, where it is a number, quoted or not.
    number: Option<Decimal>,
    quoted: bool,
}

impl Filter {
    /// Compiles `text`.
    pub fn parse(text: &str) -> Result<Self, InvalidFilter> {
        parse::expression(text).map(Self)
    }

    /// Whether a message with these tags is wanted.
    pub fn matches(&self, tags: &Tags) -> bool {
        self.0.matches(tags)
    }
}

impl Node {
    /// Recursion is bounded by [`FILTER_DEPTH_MAX`].
    fn matches(&self, tags: &Tags) -> bool {
        match self {
            Self::Any(nodes) => nodes.iter().any(|node| node.matches(tags)),
            Self::All(nodes) => nodes.iter().all(|node| node.matches(tags)),
            Self::Not(node) => !node.matches(tags),
            Self::Has(key) => tags.contains_key(&**key),
            Self::In(key, values) => tags.get(&**key).is_some_and(|tag| values.iter().any(|value| value.equals(tag))),
            Self::Compare(key, operator, value) => operator.holds(tags.get(&**key).map(String::as_str), value),
        }
    }
}

impl Operator {
    fn holds(self, tag: Option<&str>, value: &Value) -> bool {
        let Some(tag) = tag else { return self == Self::NotEqual };
        let order = || value.number.and_then(|number| Some(decimal(tag)?.cmp(&number)));
        match self {
            Self::Equal => value.equals(tag),
            Self::NotEqual => !value.equals(tag),
            Self::Less => order() == Some(Ordering::Less),
            Self::LessOrEqual => order().is_some_and(Ordering::is_le),
            Self::Greater => order() == Some(Ordering::Greater),
            Self::GreaterOrEqual => order().is_some_and(Ordering::is_ge),
        }
    }
}

impl Value {
    fn new(text: &str, quoted: bool) -> Self {
        Self { text: text.into(), number: decimal(text), quoted }
    }

    fn equals(&self, tag: &str) -> bool {
        match self.number {
            Some(number) if !self.quoted => decimal(tag) == Some(number),
            _ => *self.text == *tag,
        }
    }
}

/// `text` as a decimal, if it is one and can be held without rounding.
fn decimal(text: &str) -> Option<Decimal> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let starts_and_ends = digits.starts_with(|first: char| first.is_ascii_digit())
        && digits.ends_with(|last: char| last.is_ascii_digit());
    if starts_and_ends && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        Decimal::from_str_exact(text).ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tags(pairs: &[(&str, &str)]) -> Tags {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn matches(filter: &str, pairs: &[(&str, &str)]) -> bool {
        Filter::parse(filter).unwrap_or_else(|error| panic!("{filter}: {error}")).matches(&tags(pairs))
    }

    #[test]
    fn comparisons_mean_what_the_grammar_says() {
        let message = [("symbol", "BTC/USDT"), ("price", "64213.10"), ("side", "buy"), ("a-b.c", "x\"y\\")];
        for (filter, wanted) in [
            (r#"symbol == "BTC/USDT""#, true),
            (r#"symbol != "BTC/USDT""#, false),
            (r#"symbol=="btc/usdt""#, false),
            ("price == 64213.1", true),
            (r#"price == "64213.1""#, false),
            ("price > 64213.0999999999999999999", true),
            ("price >= 64213.1", true),
            ("price < 64213.10", false),
            ("price <= \"64213.10\"", true),
            ("price > -1", true),
            (r#"symbol > "A""#, false),
            ("side < 3", false),
            (r#"side in ["sell", "buy"]"#, true),
            ("price in [1, 64213.1]", true),
            (r#"side in ["sell"]"#, false),
            ("has(side)", true),
            ("has(nothing)", false),
            ("!has(nothing)", true),
            (r#""a-b.c" == "x\"y\\""#, true),
            (r#"a-b.c != "z""#, true),
            (r#"nothing == """#, false),
            (r#"nothing != "x""#, true),
            ("nothing < 5", false),
            (r#"nothing in ["x"]"#, false),
        ] {
            assert_eq!(matches(filter, &message), wanted, "{filter}");
        }
    }

    #[test]
    fn not_binds_closer_than_and_closer_than_or() {
        let message = [("a", "1")];
        assert!(matches("has(a) || has(b) && has(c)", &message));
        assert!(!matches("(has(a) || has(b)) && has(c)", &message));
        assert!(matches("!has(b) && has(a)", &message));
        assert!(!matches("!(!has(b) && has(a))", &message));
        assert!(matches("!!has(a)", &message));
    }

    #[test]
    fn a_key_may_be_called_has_or_in() {
        assert!(matches("has == 1 && in == 2", &[("has", "1"), ("in", "2")]));
        assert!(matches("in in [2]", &[("in", "2")]));
    }

    #[test]
    fn a_mistake_is_named_with_its_place() {
        for (filter, at) in [
            ("", 0),
            ("a", 1),
            ("a = 1", 2),
            ("a == ", 5),
            ("a == b", 5),
            ("a == 1 b", 7),
            ("a == \"x", 5),
            ("a == \"\\n\"", 5),
            ("(a == 1", 7),
            ("a in []", 6),
            ("a in [1", 7),
            ("a == 1 & b == 2", 7),
            ("a == 1.", 5),
            ("a == 1.2.3", 5),
            ("a == 1 && ", 10),
            ("é == 1", 0),
        ] {
            let error = Filter::parse(filter).expect_err(filter);
            assert_eq!(error.at, at, "{filter}: {error}");
        }
    }

    #[test]
    fn size_nodes_and_depth_are_bounded() {
        let long = format!("a == \"{}\"", "x".repeat(FILTER_BYTES_MAX));
        assert_eq!(Filter::parse(&long).map_err(|error| error.at), Err(FILTER_BYTES_MAX));
        let comparisons = |count: usize| vec!["a==1"; count].join("||");
        assert!(Filter::parse(&comparisons(FILTER_NODES_MAX - 1)).is_ok());
        assert!(Filter::parse(&comparisons(FILTER_NODES_MAX + 1)).is_err());
        let entries = format!("a in [{}]", vec!["1"; FILTER_NODES_MAX].join(","));
        assert!(Filter::parse(&entries).is_err());
        let nested = |depth: usize| format!("{}has(a){}", "(".repeat(depth), ")".repeat(depth));
        assert!(Filter::parse(&nested(FILTER_DEPTH_MAX)).is_ok());
        assert!(Filter::parse(&nested(FILTER_DEPTH_MAX + 1)).is_err());
        assert!(Filter::parse(&format!("{}has(a)", "!".repeat(FILTER_DEPTH_MAX + 1))).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_a_filter_or_an_error_inside_it(text in ".{0,80}") {
            if let Err(error) = Filter::parse(&text) {
                prop_assert!(error.at <= text.len());
            }
        }

        #[test]
        fn anything_made_of_tokens_is_a_filter_or_an_error(
            tokens in prop::collection::vec(
                prop::sample::select(vec![
                    "a", "has", "in", "(", ")", "[", "]", ",", "==", "!=", "<", ">=", "!", "&&", "||", "\"x\"", "1.5", " ",
                ]),
                0..40,
            )
        ) {
            if let Ok(filter) = Filter::parse(&tokens.concat()) {
                filter.matches(&tags(&[("a", "1.5")]));
            }
        }
    }
}
