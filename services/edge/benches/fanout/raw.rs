//! The floor: a loop that writes ready frames to every socket, one write a message or one write a burst.

use std::{
    io::{IoSlice, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};

use crate::{
    PACED_BATCH, PAYLOAD_BYTES, RATE,
    clients::MARK,
    process::{for_each_line, say},
};

/// What the edge's frame adds to the payload: type, channel, time.
const ENVELOPE_BYTES: u16 = 80;

/// Serves until standard input ends.
pub(crate) fn serve() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    say(&format!("listening {}", listener.local_addr()?))?;
    let streams: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
    let accepted = Arc::clone(&streams);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            if let Ok(stream) = greet(stream) {
                accepted.lock().unwrap_or_else(PoisonError::into_inner).push(stream);
            }
        }
    });
    let frame = frame();
    for_each_line(|line| {
        if let Some(paced) = line.strip_prefix("pace ") {
            let begun = Instant::now();
            for number in (0..paced.parse::<usize>()?).step_by(PACED_BATCH) {
                let due = begun + Duration::from_secs_f64(number as f64 / RATE as f64);
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                // As the edge has them: messages of different channels lie apart.
                let slices = [IoSlice::new(&frame); PACED_BATCH];
                for stream in streams.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
                    let written = stream.write_vectored(&slices)?;
                    ensure!(written == frame.len() * PACED_BATCH, "a client does not keep up");
                }
            }
            return Ok(());
        }
        let messages: usize = line.strip_prefix("publish ").context("publish N")?.parse()?;
        let burst = frame.repeat(messages);
        for stream in streams.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
            stream.write_all(&burst)?;
        }
        Ok(())
    })
}

/// Answers the upgrade and the `subscribe` without looking at either.
fn greet(mut stream: TcpStream) -> std::io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    let mut request = Vec::new();
    let mut buffer = [0; 2_048];
    while !request.windows(4).any(|window| window == b"\r\n\r\n") {
        match stream.read(&mut buffer)? {
            0 => break,
            read => request.extend_from_slice(&buffer[..read]),
        }
    }
    stream.write_all(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\"subscribed\"",
    )?;
    Ok(stream)
}

/// As long as what the edge sends for the same payload.
fn frame() -> Vec<u8> {
    let mut body = vec![b'x'; usize::from(PAYLOAD_BYTES + ENVELOPE_BYTES)];
    body[0] = MARK;
    let mut frame = vec![0x81, 126];
    frame.extend_from_slice(&(PAYLOAD_BYTES + ENVELOPE_BYTES).to_be_bytes());
    frame.extend_from_slice(&body);
    frame
}
