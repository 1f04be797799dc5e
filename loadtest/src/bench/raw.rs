//! The floor that the edge is compared with: a loop that writes ready frames to every socket and knows nothing else.
//!
//! It runs as a process of its own (`tickwire-loadtest raw-loop`) and is spoken to by lines on standard input.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;

use super::{flock::MARK, servers::Places};
use crate::processes::Process;

/// The loop as a process, seen from the benchmark.
#[derive(Debug)]
pub(super) struct RawLoop {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// For its CPU time and memory.
    pub(super) process: Process,
    /// Where it listens.
    pub(super) address: SocketAddr,
}

/// One order: how much to write, and how.
#[derive(Debug, Clone, Copy)]
pub(super) struct Writing {
    /// How many times every socket is written to.
    pub(super) rounds: usize,
    /// Ready frames in one write.
    pub(super) frames: usize,
    /// From one round's start to the next one's; zero: at once.
    pub(super) pause: Duration,
}

impl RawLoop {
    /// Starts it with frames of `frame_bytes`, header included.
    pub(super) fn start(places: &Places, frame_bytes: usize) -> anyhow::Result<Self> {
        let program = places.programs.join("tickwire-loadtest");
        let mut child = Command::new(&program)
            .args(["raw-loop", "--frame-bytes", &frame_bytes.to_string()])
            .env("MIMALLOC_ALLOW_THP", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} could not be started", program.display()))?;
        let process = Process { name: "raw loop".into(), pid: child.id() };
        let orders = child.stdin.take().context("standard input")?;
        let mut answers = BufReader::new(child.stdout.take().context("standard output")?);
        let mut line = String::new();
        answers.read_line(&mut line)?;
        let address = line.trim().parse().context("the raw loop says where it listens")?;
        Ok(Self { child, orders, answers, process, address })
    }

    /// Has it write, and waits until it has.
    pub(super) fn write(&mut self, writing: Writing) -> anyhow::Result<()> {
        let Writing { rounds, frames, pause } = writing;
        writeln!(self.orders, "{rounds} {frames} {}", pause.as_micros())?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        anyhow::ensure!(line.trim() == "written", "the raw loop ended");
        Ok(())
    }
}

impl Drop for RawLoop {
    fn drop(&mut self) {
        // Already gone is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves until standard input ends. `frame_bytes` is at least 16.
pub fn serve(frame_bytes: usize) -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    answer(&listener.local_addr()?.to_string())?;
    let streams: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
    let accepted = Arc::clone(&streams);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            if let Ok(stream) = greet(stream) {
                accepted.lock().unwrap_or_else(PoisonError::into_inner).push(stream);
            }
        }
    });
    let frame = frame(frame_bytes);
    for line in std::io::stdin().lines() {
        let line = line?;
        let mut numbers = line.split(' ').map(|number| number.parse::<u64>().context("ROUNDS FRAMES PAUSE_US"));
        let mut next = || numbers.next().context("ROUNDS FRAMES PAUSE_US")?;
        let (rounds, frames) = (next()?, usize::try_from(next()?)?);
        let pause = Duration::from_micros(next()?);
        let burst = frame.repeat(frames);
        let begun = Instant::now();
        let mut due = Duration::ZERO;
        for _ in 0..rounds {
            thread::sleep(due.saturating_sub(begun.elapsed()));
            due += pause;
            for stream in streams.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
                stream.write_all(&burst)?;
            }
        }
        answer("written")?;
    }
    Ok(())
}

#[allow(clippy::print_stdout, reason = "standard output is how this role answers")]
fn answer(line: &str) -> std::io::Result<()> {
    println!("{line}");
    std::io::stdout().flush()
}

/// Answers the upgrade and the subscription without looking at either.
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
    stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")?;
    stream.write_all(b"\x81\x0c\"subscribed\"")?;
    Ok(stream)
}

/// A frame of `frame_bytes` in all whose payload holds the mark once.
fn frame(frame_bytes: usize) -> Vec<u8> {
    let mut frame = Vec::with_capacity(frame_bytes);
    match u16::try_from(frame_bytes.saturating_sub(4)) {
        Ok(payload @ 126..) => {
            frame.extend_from_slice(&[0x81, 126]);
            frame.extend_from_slice(&payload.to_be_bytes());
        }
        _ => frame.extend_from_slice(&[0x81, u8::try_from(frame_bytes.saturating_sub(2).min(125)).unwrap_or(125)]),
    }
    frame.push(MARK);
    frame.resize(frame_bytes, b'x');
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_has_the_size_asked_for_and_one_mark() {
        for bytes in [16, 127, 130, 212, 4_000] {
            let frame = frame(bytes);
            assert_eq!(frame.len(), bytes);
            assert_eq!(memchr::memchr_iter(MARK, &frame).count(), 1, "{bytes}");
        }
    }
}
