//! Reading answers.

use bytes::Bytes;
use redis::Value;
use tickwire_protocol::Position;

use super::error::unexpected;
use crate::BackplaneError;

pub(super) fn array(value: Value) -> Result<Vec<Value>, BackplaneError> {
    match value {
        Value::Array(items) => Ok(items),
        _ => Err(unexpected("no list where one was expected")),
    }
}

/// A list of exactly `N`.
pub(super) fn tuple<const N: usize>(value: Value) -> Result<[Value; N], BackplaneError> {
    array(value)?.try_into().map_err(|_| unexpected("a list of another length than expected"))
}

pub(super) fn bytes(value: Value) -> Result<Bytes, BackplaneError> {
    match value {
        Value::BulkString(bytes) => Ok(bytes.into()),
        Value::SimpleString(text) => Ok(text.into()),
        _ => Err(unexpected("no text where one was expected")),
    }
}

pub(super) fn text(value: Value) -> Result<String, BackplaneError> {
    String::from_utf8(bytes(value)?.into()).map_err(|_| unexpected("a text that is not UTF-8"))
}

pub(super) fn position(value: Value) -> Result<Position, BackplaneError> {
    parse_position(&text(value)?)
}

pub(super) fn parse_position(text: &str) -> Result<Position, BackplaneError> {
    text.parse().map_err(|_| unexpected("no position where one was expected"))
}

/// Epoch, offset and server of a numbering; `None` where there is none, or another server's.
pub(super) fn numbering(value: Value, run_id: &str) -> Result<Option<Position>, BackplaneError> {
    let [epoch, offset, server] = tuple(value)?;
    if epoch == Value::Nil || server == Value::Nil || run_id.is_empty() || text(server)? != run_id {
        return Ok(None);
    }
    parse_position(&format!("{}-{}", text(epoch)?, text(offset)?)).map(Some)
}

/// Splits `bytes` at the first space; the rest shares them.
pub(super) fn word(mut bytes: Bytes) -> Result<(String, Bytes), BackplaneError> {
    let at = bytes.iter().position(|&byte| byte == b' ').ok_or_else(|| unexpected("a stored value is cut short"))?;
    let rest = bytes.split_off(at).slice(1..);
    let word = String::from_utf8(bytes.into()).map_err(|_| unexpected("a text that is not UTF-8"))?;
    Ok((word, rest))
}

/// A flat list as pairs.
pub(super) fn pairs(value: Value) -> Result<Vec<(Value, Value)>, BackplaneError> {
    let mut items = array(value)?.into_iter();
    let mut pairs = Vec::with_capacity(items.len() / 2);
    while let Some(first) = items.next() {
        let second = items.next().ok_or_else(|| unexpected("a list of pairs has an odd length"))?;
        pairs.push((first, second));
    }
    Ok(pairs)
}

/// A number written in digits, or nothing.
pub(super) fn number(value: Value) -> Result<Option<u64>, BackplaneError> {
    if value == Value::Nil {
        return Ok(None);
    }
    text(value)?.parse().map(Some).map_err(|_| unexpected("no number where one was expected"))
}
