//! Waiting for a request without paying for it.

use std::{cell::RefCell, future::poll_fn, io, task::ready, time::Duration};

use tokio::{
    io::{Interest, ReadBuf},
    net::TcpStream,
};

use super::exchange::BUFFER_BYTES_MAX;

/// Between two looks at a head that comes in pieces: an honest one is there at the next look.
const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// Waits until a whole head (or what can be none) is in the socket's own buffer, and leaves it there. False if the peer
/// closed before. `scratch` is looked into and not kept: a slow client costs a socket and a timer.
pub(super) async fn head(stream: &TcpStream, scratch: &RefCell<Vec<u8>>) -> io::Result<bool> {
    whole(stream, scratch, is_whole_head).await
}

/// The same for the first record of TLS, the client's hello.
pub(super) async fn hello(stream: &TcpStream, scratch: &RefCell<Vec<u8>>) -> io::Result<bool> {
    whole(stream, scratch, is_whole_record).await
}

async fn whole(
    stream: &TcpStream,
    scratch: &RefCell<Vec<u8>>,
    is_complete: fn(&[u8], usize) -> bool,
) -> io::Result<bool> {
    let mut pause = PAUSE_MIN;
    loop {
        let readiness = stream.ready(Interest::READABLE).await?;
        let complete = poll_fn(|cx| {
            let mut scratch = scratch.borrow_mut();
            let room = scratch.len().min(BUFFER_BYTES_MAX);
            let mut head = ReadBuf::new(&mut scratch[..room]);
            ready!(stream.poll_peek(cx, &mut head))?;
            std::task::Poll::Ready(io::Result::Ok(is_complete(head.filled(), room)))
        });
        if complete.await? {
            return Ok(true);
        }
        if readiness.is_read_closed() {
            return Ok(false);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Whether waiting for more is of no use: the head has its end, it is too long, or it is no HTTP.
fn is_whole_head(head: &[u8], room: usize) -> bool {
    let is_http = head.first().is_none_or(u8::is_ascii_uppercase);
    !is_http || head.len() >= room || head.windows(4).any(|window| window == b"\r\n\r\n")
}

/// The same for a TLS record: type, version, length.
fn is_whole_record(bytes: &[u8], room: usize) -> bool {
    match bytes {
        [0x16, _, _, high, low, ..] => bytes.len() >= room.min(5 + usize::from(u16::from_be_bytes([*high, *low]))),
        [0x16, ..] | [] => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_complete_with_its_empty_line_or_when_it_can_be_none() {
        assert!(is_whole_head(b"GET / HTTP/1.1\r\n\r\n", 100));
        assert!(!is_whole_head(b"GET / HTTP/1.1\r\nHost: x\r\n", 100));
        assert!(!is_whole_head(b"", 100));
        assert!(is_whole_head(b"\x16\x03\x01", 100));
        assert!(is_whole_head(&[b'A'; 100], 100));
    }

    #[test]
    fn a_record_is_complete_with_its_length_or_when_it_can_be_none() {
        assert!(is_whole_record(&[0x16, 3, 1, 0, 2, 1, 0], 100));
        assert!(!is_whole_record(&[0x16, 3, 1, 0, 2, 1], 100));
        assert!(!is_whole_record(&[0x16, 3, 1], 100));
        assert!(!is_whole_record(b"", 100));
        assert!(is_whole_record(b"GET", 100));
        assert!(is_whole_record(&[&[0x16, 3, 1, 0xFF, 0xFF][..], &[0; 95]].concat(), 100));
    }
}
