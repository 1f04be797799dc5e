//! A cursor over JSON text, for the path of every message.
//!
//! It reads fields in any order, borrows strings, and hands numbers over as their digits: Kraken's checksum needs `0.00005100`
//! as sent, and no price may pass through a float. Unknown fields are skipped and counted. Depth is bounded; broken text is an
//! error at its byte, never a panic.
//!
//! One pass over the text instead of the two that a tagged message costs with an untyped or a raw value.

use std::borrow::Cow;

use memchr::memchr2;

use crate::model::{Decimal, decimal};

/// Nesting beyond this is refused: no venue goes beyond six.
const DEPTH_MAX: u8 = 32;

/// Text that is not what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{expected} expected at byte {at}")]
pub struct ParseError {
    /// Byte offset.
    pub at: usize,
    /// What should have stood there.
    pub expected: &'static str,
}

/// What parsing yields.
pub type Parsed<T> = Result<T, ParseError>;

/// A position in JSON text.
#[derive(Debug)]
pub struct Cursor<'a> {
    text: &'a str,
    at: usize,
    depth: u8,
    unknown: u32,
}

impl<'a> Cursor<'a> {
    /// At the start of the text.
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0, depth: 0, unknown: 0 }
    }

    /// Fields skipped by [`Self::unknown`] so far.
    pub fn unknown_fields(&self) -> u32 {
        self.unknown
    }

    /// An error here.
    pub fn expected<T>(&self, expected: &'static str) -> Parsed<T> {
        Err(ParseError { at: self.at, expected })
    }

    fn byte(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    /// The first byte of the next value, 0 at the end: `{`, `[`, `"`, a digit, `-`, `t`, `f`, `n`.
    pub fn peek(&mut self) -> u8 {
        while matches!(self.byte(), b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
        self.byte()
    }

    fn take(&mut self, byte: u8, expected: &'static str) -> Parsed<()> {
        if self.peek() != byte {
            return self.expected(expected);
        }
        self.at += 1;
        Ok(())
    }

    /// Nothing but white space follows.
    pub fn end(&mut self) -> Parsed<()> {
        self.peek();
        if self.at == self.text.len() { Ok(()) } else { self.expected("end of the text") }
    }

    fn enter(&mut self) -> Parsed<()> {
        self.depth += 1;
        if self.depth > DEPTH_MAX { self.expected("less depth") } else { Ok(()) }
    }

    /// An object: `field` reads the value of each key, or calls [`Self::skip`] or [`Self::unknown`].
    pub fn object(&mut self, mut field: impl FnMut(&mut Self, &str) -> Parsed<()>) -> Parsed<()> {
        self.take(b'{', "an object")?;
        self.enter()?;
        if self.peek() == b'}' {
            self.at += 1;
            self.depth -= 1;
            return Ok(());
        }
        loop {
            let key = self.string()?;
            self.take(b':', "a colon")?;
            field(self, &key)?;
            match self.peek() {
                b',' => self.at += 1,
                b'}' => break,
                _ => return self.expected("a comma or the end of the object"),
            }
        }
        self.at += 1;
        self.depth -= 1;
        Ok(())
    }

    /// An array: `item` reads each value.
    pub fn array(&mut self, mut item: impl FnMut(&mut Self) -> Parsed<()>) -> Parsed<()> {
        self.take(b'[', "an array")?;
        self.enter()?;
        if self.peek() == b']' {
            self.at += 1;
            self.depth -= 1;
            return Ok(());
        }
        loop {
            item(self)?;
            match self.peek() {
                b',' => self.at += 1,
                b']' => break,
                _ => return self.expected("a comma or the end of the array"),
            }
        }
        self.at += 1;
        self.depth -= 1;
        Ok(())
    }

    /// A string; borrowed unless it has escapes.
    pub fn string(&mut self) -> Parsed<Cow<'a, str>> {
        self.take(b'"', "a string")?;
        let start = self.at;
        let rest = &self.text.as_bytes()[start..];
        // Keys and numbers are short: a plain loop beats a vector search on them.
        let short = rest.iter().take(24).position(|&byte| byte == b'"' || byte == b'\\');
        match short.or_else(|| memchr2(b'"', b'\\', rest)) {
            Some(length) if rest[length] == b'"' => {
                self.at = start + length + 1;
                Ok(Cow::Borrowed(&self.text[start..start + length]))
            }
            Some(_) => self.escaped(start).map(Cow::Owned),
            None => self.expected("the end of the string"),
        }
    }

    /// The rare string with escapes: its extent is found here, its meaning by `serde_json`.
    fn escaped(&mut self, start: usize) -> Parsed<String> {
        let bytes = self.text.as_bytes();
        let mut at = start;
        loop {
            match memchr2(b'"', b'\\', bytes.get(at..).unwrap_or_default()) {
                Some(found) if bytes[at + found] == b'"' => {
                    let end = at + found + 1;
                    self.at = end;
                    return serde_json::from_str(&self.text[start - 1..end])
                        .map_err(|_| ParseError { at: start, expected: "a valid escape" });
                }
                Some(found) => at += found + 2,
                None => return self.expected("the end of the string"),
            }
        }
    }

    /// A number's digits, or `true`, `false`, `null`: bytes up to a delimiter.
    fn bare(&mut self) -> Parsed<&'a str> {
        self.peek();
        let rest = &self.text.as_bytes()[self.at..];
        let length = rest
            .iter()
            .position(|byte| !matches!(byte, b'0'..=b'9' | b'a'..=b'z' | b'E' | b'+' | b'-' | b'.'))
            .unwrap_or(rest.len());
        if length == 0 {
            return self.expected("a value");
        }
        let text = &self.text[self.at..self.at + length];
        self.at += length;
        Ok(text)
    }

    /// A string's content, or a number's digits.
    pub fn text(&mut self) -> Parsed<Cow<'a, str>> {
        if self.peek() == b'"' { self.string() } else { self.bare().map(Cow::Borrowed) }
    }

    /// A decimal, quoted or not.
    pub fn decimal(&mut self) -> Parsed<Decimal> {
        let at = self.at;
        let text = self.text()?;
        decimal::parse(&text).ok_or(ParseError { at, expected: "a decimal" })
    }

    /// A decimal; `null`, `""` and what does not fit are none: for figures that no book depends on.
    pub fn decimal_or_none(&mut self) -> Parsed<Option<Decimal>> {
        let text = self.text()?;
        Ok(decimal::parse(&text))
    }

    /// A whole number from zero, quoted or not.
    pub fn unsigned(&mut self) -> Parsed<u64> {
        let at = self.at;
        let text = self.text()?;
        text.parse().map_err(|_| ParseError { at, expected: "a whole number" })
    }

    /// A whole number, quoted or not.
    pub fn signed(&mut self) -> Parsed<i64> {
        let at = self.at;
        let text = self.text()?;
        text.parse().map_err(|_| ParseError { at, expected: "a whole number" })
    }

    /// `true` or `false`.
    pub fn boolean(&mut self) -> Parsed<bool> {
        let at = self.at;
        match self.bare()? {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(ParseError { at, expected: "true or false" }),
        }
    }

    /// Passes over a value.
    pub fn skip(&mut self) -> Parsed<()> {
        match self.peek() {
            b'{' => self.object(|cursor, _| cursor.skip()),
            b'[' => self.array(Self::skip),
            b'"' => self.string().map(drop),
            _ => self.bare().map(drop),
        }
    }

    /// Passes over the value of a field that nothing here knows, and counts it.
    pub fn unknown(&mut self) -> Parsed<()> {
        self.unknown = self.unknown.saturating_add(1);
        self.skip()
    }

    /// Passes over a value and hands its text over.
    pub fn raw(&mut self) -> Parsed<&'a str> {
        self.peek();
        let start = self.at;
        self.skip()?;
        Ok(&self.text[start..self.at])
    }
}

#[cfg(test)]
mod tests;
