//! A relay in front of a server whose subscriber connections can go deaf.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

/// Passes bytes between its port and a server's. What [`RedisRelay::deafen`] does looks from both ends as a half-open link
/// does: sockets stay open, nothing fails, nothing comes.
#[derive(Debug)]
pub struct RedisRelay {
    port: u16,
    is_deaf: Arc<AtomicBool>,
}

impl RedisRelay {
    /// Starts one in front of 127.0.0.1:`port`. It ends with the process.
    pub fn start(port: u16) -> Self {
        let listener = match TcpListener::bind(("127.0.0.1", 0)) {
            Ok(listener) => listener,
            Err(error) => panic!("no port for a relay: {error}"),
        };
        let own = listener.local_addr().map_or(0, |address| address.port());
        let is_deaf = Arc::new(AtomicBool::new(false));
        let deaf = Arc::clone(&is_deaf);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                serve(&client, &server, &deaf);
            }
        });
        Self { port: own, is_deaf }
    }

    /// Where to connect.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// From now on, until `false`, subscriber connections that stand receive nothing; new ones are served.
    pub fn deafen(&self, is_deaf: bool) {
        self.is_deaf.store(is_deaf, Ordering::SeqCst);
    }
}

fn serve(client: &TcpStream, server: &TcpStream, is_deaf: &Arc<AtomicBool>) {
    let is_subscriber = Arc::new(AtomicBool::new(false));
    let born_deaf = is_deaf.load(Ordering::SeqCst);
    let (marks, deaf) = (Arc::clone(&is_subscriber), Arc::clone(is_deaf));
    pump(client, server, move |bytes| {
        if bytes.windows(9).any(|word| word == b"SUBSCRIBE") {
            marks.store(true, Ordering::SeqCst);
        }
        true
    });
    pump(server, client, move |_| born_deaf || !is_subscriber.load(Ordering::SeqCst) || !deaf.load(Ordering::SeqCst));
}

/// Copies until either end closes; what `passes` refuses is swallowed.
fn pump(from: &TcpStream, to: &TcpStream, passes: impl Fn(&[u8]) -> bool + Send + 'static) {
    let (Ok(mut from), Ok(mut to)) = (from.try_clone(), to.try_clone()) else { return };
    thread::spawn(move || {
        let mut bytes = [0; 16 * 1024];
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            if passes(&bytes[..count]) && to.write_all(&bytes[..count]).is_err() {
                break;
            }
        }
        // Either fails only if it is closed already.
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    });
}
