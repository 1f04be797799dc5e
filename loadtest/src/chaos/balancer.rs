//! The load balancer's configuration: haproxy, as a deployment would run it in front of edges and emitters.

use std::fmt::Write;

/// A port that haproxy listens on, and the servers behind it.
pub(crate) struct Frontend<'a> {
    pub(crate) name: &'a str,
    pub(crate) port: u16,
    /// `leastconn` or `roundrobin`.
    pub(crate) balance: &'a str,
    /// Their ports on loopback.
    pub(crate) servers: &'a [u16],
}

/// A configuration file. Unready servers get no new connections; those that they have stay, or a drain would be a cut.
pub(crate) fn configuration(frontends: &[Frontend<'_>]) -> String {
    let mut text = String::from(
        "global\n  maxconn 9000\n  nbthread 1\n  no strict-limits\n\
         defaults\n  mode http\n  timeout connect 2s\n  timeout client 60s\n  timeout server 60s\n  timeout tunnel 1h\n  \
         timeout http-request 10s\n  option redispatch 1\n  retries 3\n  retry-on conn-failure empty-response\n",
    );
    for frontend in frontends {
        let name = frontend.name;
        // Writing to a String does not fail.
        let _ = write!(
            text,
            "frontend {name}\n  bind 127.0.0.1:{}\n  default_backend {name}\n\
             backend {name}\n  balance {}\n  option httpchk GET /readyz\n  \
             default-server check inter 500ms fall 2 rise 1\n",
            frontend.port, frontend.balance
        );
        for (number, port) in frontend.servers.iter().enumerate() {
            let _ = writeln!(text, "  server {name}{number} 127.0.0.1:{port}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn haproxy_accepts_the_configuration() {
        let edges = Frontend { name: "edges", port: 40_001, balance: "leastconn", servers: &[40_002, 40_003] };
        let emitters = Frontend { name: "emitters", port: 40_004, balance: "roundrobin", servers: &[40_005] };
        let path = std::env::temp_dir().join(format!("tickwire-haproxy-{}.cfg", std::process::id()));
        std::fs::write(&path, configuration(&[edges, emitters])).unwrap();
        let checked = Command::new("haproxy").arg("-c").arg("-f").arg(&path).output().unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    }
}
