//! Waiting for a request without paying for it.

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    pin::pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::FutureExt;
use tokio::{
    io::{Interest, ReadBuf, Ready},
    net::TcpStream,
    time::{Instant, sleep_until},
};

use super::exchange::BUFFER_BYTES_MAX;
use crate::hub::Shard;

/// Between two looks at a head that comes in pieces: an honest one is there at the next look.
const PAUSE_MS_MIN: u16 = 5;
const PAUSE_MS_MAX: u16 = 500;

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arrival {
    /// The head of an HTTP request.
    Head,
    /// The first record of TLS.
    Hello,
}

/// Waits until a request's head (or a client's hello, where the port speaks TLS; or what can be neither) is in the
/// socket's own buffer as a whole, and leaves it there. False if the peer closed before, or if it is not there after
/// `edge.handshake_timeout_ms`. The shard's scratch is looked into and not kept: a slow client costs a socket and one
/// timer.
pub(super) async fn has_come(stream: &TcpStream, shard: &Shard) -> io::Result<bool> {
    let deadline = Instant::now() + shard.node.config.edge.handshake_timeout();
    let mut timer = pin!(sleep_until(deadline));
    let arrival = if shard.node.tls.is_some() { Arrival::Hello } else { Arrival::Head };
    let (mut pause_ms, mut is_pausing) = (PAUSE_MS_MIN, false);
    // Owns what it needs: thousands of these may wait, and a reference beside what it refers to costs twice.
    poll_fn(move |cx| {
        loop {
            if is_pausing {
                ready!(timer.as_mut().poll(cx));
                timer.as_mut().reset(deadline);
                is_pausing = false;
            }
            let complete = match peek(arrival, stream, &shard.scratch, cx) {
                Poll::Ready(complete) => complete?,
                Poll::Pending => return timer.as_mut().poll(cx).map(|()| Ok(false)),
            };
            let now = Instant::now();
            if complete || now >= deadline || is_closed(stream) {
                return Poll::Ready(Ok(complete));
            }
            timer.as_mut().reset(deadline.min(now + Duration::from_millis(pause_ms.into())));
            is_pausing = true;
            pause_ms = (pause_ms * 2).min(PAUSE_MS_MAX);
        }
    })
    .await
}

/// Looks at what has come.
fn peek(
    arrival: Arrival,
    stream: &TcpStream,
    scratch: &RefCell<Vec<u8>>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<bool>> {
    let mut scratch = scratch.borrow_mut();
    let room = scratch.len().min(BUFFER_BYTES_MAX);
    let mut seen = ReadBuf::new(&mut scratch[..room]);
    ready!(stream.poll_peek(cx, &mut seen))?;
    Poll::Ready(Ok(match arrival {
        Arrival::Head => is_whole_head(seen.filled(), room),
        Arrival::Hello => is_whole_record(seen.filled(), room),
    }))
}

/// Whether the peer sends no more.
fn is_closed(stream: &TcpStream) -> bool {
    let readiness = stream.ready(Interest::READABLE).now_or_never();
    readiness.is_some_and(|readiness| readiness.is_ok_and(Ready::is_read_closed))
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
