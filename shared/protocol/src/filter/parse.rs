//! From text to nodes, by recursive descent with counted depth.

use super::{FILTER_BYTES_MAX, FILTER_DEPTH_MAX, FILTER_NODES_MAX, InvalidFilter, Node, Operator, Value};

/// Parses the whole of `text`.
pub(super) fn expression(text: &str) -> Result<Node, InvalidFilter> {
    if text.len() > FILTER_BYTES_MAX {
        return Err(InvalidFilter { at: FILTER_BYTES_MAX, reason: "a filter has at most 1024 bytes" });
    }
    let mut parser = Parser { text, at: 0, nodes: 0, depth: 0 };
    let node = parser.any()?;
    parser.skip_space();
    if parser.at < text.len() {
        return Err(parser.wrong("expected && or || or the end"));
    }
    Ok(node)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    nodes: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn any(&mut self) -> Result<Node, InvalidFilter> {
        self.chain("||", Self::all, Node::Any)
    }

    fn all(&mut self) -> Result<Node, InvalidFilter> {
        self.chain("&&", Self::unary, Node::All)
    }

    fn chain(
        &mut self,
        between: &str,
        operand: impl Fn(&mut Self) -> Result<Node, InvalidFilter>,
        join: impl Fn(Vec<Node>) -> Node,
    ) -> Result<Node, InvalidFilter> {
        let first = operand(self)?;
        if !self.peeks(between) {
            return Ok(first);
        }
        self.count_node()?;
        let mut nodes = vec![first];
        while self.takes(between) {
            nodes.push(operand(self)?);
        }
        Ok(join(nodes))
    }

    fn unary(&mut self) -> Result<Node, InvalidFilter> {
        if self.takes("!") {
            self.count_node()?;
            return self.nested(Self::unary).map(|node| Node::Not(Box::new(node)));
        }
        if self.takes("(") {
            let node = self.nested(Self::any)?;
            self.expects(")", "expected a closing parenthesis")?;
            return Ok(node);
        }
        self.count_node()?;
        let key = self.key()?;
        if key.as_ref() == "has" && self.takes("(") {
            let key = self.key()?;
            self.expects(")", "expected a closing parenthesis")?;
            return Ok(Node::Has(key));
        }
        self.comparison(key)
    }

    fn nested(&mut self, inner: impl Fn(&mut Self) -> Result<Node, InvalidFilter>) -> Result<Node, InvalidFilter> {
        if self.depth == FILTER_DEPTH_MAX {
            return Err(self.wrong("parentheses and ! may be nested 16 deep"));
        }
        self.depth += 1;
        let node = inner(self);
        self.depth -= 1;
        node
    }

    fn comparison(&mut self, key: Box<str>) -> Result<Node, InvalidFilter> {
        // The longer of two that begin alike comes first.
        const OPERATORS: [(&str, Operator); 6] = [
            ("==", Operator::Equal),
            ("!=", Operator::NotEqual),
            ("<=", Operator::LessOrEqual),
            (">=", Operator::GreaterOrEqual),
            ("<", Operator::Less),
            (">", Operator::Greater),
        ];
        for (written, operator) in OPERATORS {
            if self.takes(written) {
                return Ok(Node::Compare(key, operator, self.value()?));
            }
        }
        if !self.takes("in") {
            return Err(self.wrong("expected == != < <= > >= or in"));
        }
        self.expects("[", "expected a list in brackets")?;
        let mut values = Vec::new();
        loop {
            self.count_node()?;
            values.push(self.value()?);
            if !self.takes(",") {
                break;
            }
        }
        self.expects("]", "expected a comma or a closing bracket")?;
        Ok(Node::In(key, values))
    }

    fn key(&mut self) -> Result<Box<str>, InvalidFilter> {
        self.skip_space();
        if self.rest().starts_with('"') {
            return self.string().map(Into::into);
        }
        if !self.rest().starts_with(|first: char| first.is_ascii_alphabetic() || first == '_') {
            return Err(self.wrong("expected a tag's name"));
        }
        let name = self.take_while(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
        Ok(name.into())
    }

    fn value(&mut self) -> Result<Value, InvalidFilter> {
        self.skip_space();
        if self.rest().starts_with('"') {
            return self.string().map(|text| Value::new(&text, true));
        }
        let from = self.at;
        let value = Value::new(self.take_while(|byte| byte.is_ascii_digit() || b"-.".contains(&byte)), false);
        if value.number.is_none() {
            return Err(InvalidFilter {
                at: from,
                reason: "expected a string in quotes or a number of up to 28 digits",
            });
        }
        Ok(value)
    }

    fn string(&mut self) -> Result<String, InvalidFilter> {
        let from = self.at;
        let wrong = |reason| InvalidFilter { at: from, reason };
        let mut text = String::new();
        let mut characters = self.rest().char_indices().skip(1);
        loop {
            match characters.next() {
                Some((at, '"')) => {
                    self.at += at + 1;
                    return Ok(text);
                }
                Some((_, '\\')) => match characters.next() {
                    Some((_, escaped @ ('"' | '\\'))) => text.push(escaped),
                    _ => return Err(wrong("in a string only \\\" and \\\\ are escapes")),
                },
                Some((_, character)) => text.push(character),
                None => return Err(wrong("the string has no end")),
            }
        }
    }

    fn count_node(&mut self) -> Result<(), InvalidFilter> {
        self.nodes += 1;
        if self.nodes > FILTER_NODES_MAX { Err(self.wrong("a filter has at most 64 parts")) } else { Ok(()) }
    }

    fn expects(&mut self, token: &str, reason: &'static str) -> Result<(), InvalidFilter> {
        if self.takes(token) { Ok(()) } else { Err(self.wrong(reason)) }
    }

    fn takes(&mut self, token: &str) -> bool {
        let is_next = self.peeks(token);
        if is_next {
            self.at += token.len();
        }
        is_next
    }

    fn peeks(&mut self, token: &str) -> bool {
        self.skip_space();
        self.rest().starts_with(token)
    }

    fn skip_space(&mut self) {
        self.take_while(|byte| byte.is_ascii_whitespace());
    }

    fn take_while(&mut self, keep: impl Fn(u8) -> bool) -> &'a str {
        let length = self.rest().bytes().take_while(|byte| keep(*byte)).count();
        let taken = &self.rest()[..length];
        self.at += length;
        taken
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn wrong(&self, reason: &'static str) -> InvalidFilter {
        InvalidFilter { at: self.at, reason }
    }
}
