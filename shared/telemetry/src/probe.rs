//! A service that asks itself whether it is ready: what a container's health check runs, where there is no shell and no curl.

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    process::ExitCode,
    time::Duration,
};

/// How long connecting, asking and the answer may take, each.
const PATIENCE: Duration = Duration::from_secs(2);
/// More of an answer is not read: the status stands in its first line.
const ANSWER_BYTES_MAX: u64 = 4_096;

/// Asks `/readyz` of the service that listens on `listen`, over plain HTTP. Succeeds if the answer is 200; else says on stderr
/// why not.
pub fn probe(listen: SocketAddr) -> ExitCode {
    match ask(reachable(listen)) {
        Ok(status) if status.starts_with("HTTP/1.1 200 ") => ExitCode::SUCCESS,
        Ok(status) => complain(&format!("not ready: {status}")),
        Err(error) => complain(&format!("{listen} does not answer: {error}")),
    }
}

/// Where a listener on all addresses is reached from here.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// The status line.
fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // In one write: a formatted one goes out in pieces, and a server may answer and close after the first.
    stream.write_all(format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    let line = answer.split(|&byte| byte == b'\r').next().unwrap_or_default();
    Ok(String::from_utf8_lossy(line).into_owned())
}

fn complain(why: &str) -> ExitCode {
    // Nobody is left to tell if stderr is closed.
    let _closed = writeln!(std::io::stderr(), "{why}");
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn answering(answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 512];
            let read = stream.read(&mut request).unwrap();
            assert!(request[..read].starts_with(b"GET /readyz HTTP/1.1\r\n"));
            stream.write_all(answer.as_bytes()).unwrap();
        });
        SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port())
    }

    #[test]
    fn only_200_is_ready() {
        let ready = answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(probe(ready), ExitCode::SUCCESS);
        let draining = answering("HTTP/1.1 503 Service Unavailable\r\n\r\n");
        assert_eq!(probe(draining), ExitCode::FAILURE);
        let silent = answering("");
        assert_eq!(probe(silent), ExitCode::FAILURE);
    }

    #[test]
    fn nobody_there_is_not_ready() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert_eq!(probe(closed), ExitCode::FAILURE);
    }
}
