//! Redis tells its clients where masters are. Behind proxies that must be the proxies' ports.
//!
//! Sentinels and cluster nodes give addresses as `127.0.0.1` and a port. Both ports are in the kernel's range for free
//! ports and have five digits, so a replacement has the length of what it replaces and nothing else moves.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

/// Ports of servers and of the proxies in front of them.
#[derive(Debug, Default)]
pub(crate) struct Translation {
    /// What stands in a reply, and what shall.
    pairs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Translation {
    /// From server port to proxy port. Ports of different lengths are left alone.
    pub(crate) fn new(ports: &[(u16, u16)]) -> Self {
        // `SENTINEL GET-MASTER-ADDR-BY-NAME`, `CLUSTER SLOTS`, `MOVED`.
        let forms: [fn(u16) -> String; 3] = [
            |port| format!("127.0.0.1\r\n$5\r\n{port}\r\n"),
            |port| format!("127.0.0.1\r\n:{port}\r\n"),
            |port| format!("127.0.0.1:{port}"),
        ];
        let pairs = ports
            .iter()
            .flat_map(|&(server, proxy)| forms.map(|form| (form(server).into_bytes(), form(proxy).into_bytes())));
        Self { pairs: pairs.filter(|(old, new)| old.len() == new.len()).collect() }
    }

    /// How many bytes at the end of `text` may be the beginning of something to replace.
    fn unsettled(&self, text: &[u8]) -> usize {
        let longest = self.pairs.iter().map(|(old, _)| old.len() - 1).max().unwrap_or(0).min(text.len());
        let begins = |length: &usize| {
            let end = &text[text.len() - length..];
            self.pairs.iter().any(|(old, _)| old.len() > *length && old.starts_with(end))
        };
        (1..=longest).rev().find(begins).unwrap_or(0)
    }

    fn replace(&self, text: &mut [u8]) {
        let mut at = 0;
        while let Some(found) = text[at..].iter().position(|&byte| byte == b'1') {
            at += found;
            let pair = self.pairs.iter().find(|(old, _)| text[at..].starts_with(old));
            match pair {
                Some((old, new)) => {
                    text[at..at + old.len()].copy_from_slice(new);
                    at += old.len();
                }
                None => at += 1,
            }
        }
    }
}

/// One stream under translation.
#[derive(Debug)]
pub(crate) struct Translator {
    translation: Arc<Translation>,
    carried: BytesMut,
}

impl Translator {
    /// At a stream's beginning.
    pub(crate) fn new(translation: Arc<Translation>) -> Self {
        Self { translation, carried: BytesMut::new() }
    }

    /// Takes the stream's next bytes and gives those that are settled.
    pub(crate) fn take(&mut self, bytes: &[u8], is_last: bool) -> Bytes {
        self.carried.extend_from_slice(bytes);
        let unsettled = if is_last { 0 } else { self.translation.unsettled(&self.carried) };
        let mut settled = self.carried.split_to(self.carried.len() - unsettled);
        self.translation.replace(&mut settled);
        settled.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(chunks: &[&str]) -> String {
        let translation = Arc::new(Translation::new(&[(40_001, 50_001), (40_002, 50_002)]));
        let mut translator = Translator::new(translation);
        let mut out = Vec::new();
        for chunk in chunks {
            out.extend_from_slice(&translator.take(chunk.as_bytes(), false));
        }
        out.extend_from_slice(&translator.take(&[], true));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_form_of_an_address_is_translated() {
        assert_eq!(through(&["*2\r\n$9\r\n127.0.0.1\r\n$5\r\n40001\r\n"]), "*2\r\n$9\r\n127.0.0.1\r\n$5\r\n50001\r\n");
        assert_eq!(through(&["$9\r\n127.0.0.1\r\n:40002\r\n$40"]), "$9\r\n127.0.0.1\r\n:50002\r\n$40");
        assert_eq!(through(&["-MOVED 7 127.0.0.1:40001\r\n"]), "-MOVED 7 127.0.0.1:50001\r\n");
    }

    #[test]
    fn an_address_cut_anywhere_is_translated() {
        let whole = "x127.0.0.1\r\n:40001\r\n+OK\r\n";
        for at in 0..whole.len() {
            assert_eq!(through(&[&whole[..at], &whole[at..]]), "x127.0.0.1\r\n:50001\r\n+OK\r\n", "cut at {at}");
        }
    }

    #[test]
    fn everything_else_passes_at_once() {
        let mut translator = Translator::new(Arc::new(Translation::new(&[(40_001, 50_001)])));
        for text in ["+OK\r\n", ":40001\r\n", "$5\r\n40001\r\n", "127.0.0.1\r\n:40003\r\n"] {
            assert_eq!(translator.take(text.as_bytes(), false), text);
        }
    }
}
