//! The little of HTTP/1.1 that a client needs to open a stream.

/// Longest head of an answer, bytes.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Headers of an answer.
const HEADERS_MAX: usize = 32;

/// The head of an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Head {
    /// Its status.
    pub(super) status: u16,
    /// Bytes that it takes.
    pub(super) bytes: usize,
    /// `Content-Length`.
    pub(super) content_length: Option<usize>,
    /// The body comes in chunks.
    pub(super) is_chunked: bool,
    /// `Connection: close`.
    pub(super) closes: bool,
    /// `Retry-After`, seconds.
    pub(super) retry_after_s: Option<u64>,
}

/// What is no head of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BadHead;

impl Head {
    /// Reads a head from the start of `bytes`; `None` while some of it is missing.
    pub(super) fn read(bytes: &[u8]) -> Result<Option<Self>, BadHead> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut response = httparse::Response::new(&mut headers);
        let length = match response.parse(bytes) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if bytes.len() < HEAD_BYTES_MAX => return Ok(None),
            _ => return Err(BadHead),
        };
        let mut head = Self { status: response.code.unwrap_or(0), bytes: length, ..Self::default() };
        for header in response.headers.iter() {
            let value = std::str::from_utf8(header.value).unwrap_or("").trim();
            match header.name.to_ascii_lowercase().as_str() {
                "content-length" => head.content_length = value.parse().ok(),
                "transfer-encoding" => head.is_chunked = value.eq_ignore_ascii_case("chunked"),
                "connection" => head.closes = value.eq_ignore_ascii_case("close"),
                "retry-after" => head.retry_after_s = value.parse().ok(),
                _ => {}
            }
        }
        Ok(Some(head))
    }
}

/// A `GET` with the client's token.
pub(super) fn get(path: &str, authority: &str, token: &str, more: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {authority}\r\nAuthorization: Bearer {token}\r\n{more}\r\n")
}

/// Asks for a WebSocket. The key is always the same: it guards proxies, of which there are none that matter here.
pub(super) fn upgrade(path: &str, authority: &str, token: &str, is_packed: bool) -> String {
    let subprotocol = if is_packed { "Sec-WebSocket-Protocol: tickwire.v1.json\r\n" } else { "" };
    let more = format!(
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{subprotocol}"
    );
    get(path, authority, token, &more)
}

/// `text` as a value in a query.
pub(super) fn encode(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_once_it_is_whole() {
        let text = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\ncontent-length: 2\r\n\r\n{}";
        for length in 0..text.len() - 2 {
            assert_eq!(Head::read(&text[..length]), Ok(None), "{length}");
        }
        let head = Head::read(text).unwrap().unwrap();
        assert_eq!((head.status, head.bytes, head.content_length), (429, text.len() - 2, Some(2)));
        assert_eq!((head.retry_after_s, head.is_chunked), (Some(7), false));
    }

    #[test]
    fn what_is_no_answer_is_told() {
        assert_eq!(Head::read(b"\x88\x02\x03\xe8"), Err(BadHead));
        assert_eq!(Head::read(&vec![b'H'; 20_000]), Err(BadHead));
    }
}
