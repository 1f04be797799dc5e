//! Real Redis servers for tests: started on free ports in a directory of their own, killed when dropped.
//!
//! Nothing outside tests calls this. Every function panics with a sentence where a server cannot be had, so that a missing
//! `redis-server` fails a test instead of skipping it. Starting waits without `await`: a few milliseconds for one server, a
//! second or two for Sentinels and a cluster.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use redis::{ConnectionLike, FromRedisValue, Value};

mod cluster;
mod relay;
mod sentinel;
mod tls;

pub use cluster::RedisCluster;
pub use relay::RedisRelay;
pub use sentinel::RedisSentinels;
pub use tls::TlsFiles;

/// How long servers may take to start or to find each other, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);
/// Another process may take a port between its choice and its use.
const START_TRIES: usize = 5;

/// One `redis-server` that keeps nothing on disk.
#[derive(Debug)]
pub struct RedisServer {
    process: Child,
    port: u16,
    directory: Directory,
    options: Vec<String>,
    password: Option<String>,
    tls: Option<TlsFiles>,
}

impl RedisServer {
    /// Starts one.
    pub fn start() -> Self {
        Self::with_options(&[])
    }

    /// Starts one that asks for a password.
    pub fn with_password(password: &str) -> Self {
        let options = ["--requirepass".to_owned(), password.to_owned()];
        Self::launch(&options, Some(password), None)
    }

    /// Starts one that speaks TLS only, with a certificate for `localhost`.
    pub fn with_tls() -> Self {
        let files = TlsFiles::generate();
        let options = files.server_options();
        Self::launch(&options, None, Some(&files))
    }

    /// Starts one with further command line options, as `["--maxmemory", "1mb"]`.
    pub fn with_options(options: &[&str]) -> Self {
        let options: Vec<String> = options.iter().map(ToString::to_string).collect();
        Self::launch(&options, None, None)
    }

    fn launch(options: &[String], password: Option<&str>, tls: Option<&TlsFiles>) -> Self {
        for _ in 0..START_TRIES {
            let (port, directory) = (free_port(), Directory::new());
            let process = spawn(port, &directory, options, tls.is_some());
            let (options, password) = (options.to_vec(), password.map(ToOwned::to_owned));
            let mut server = Self { process, port, directory, options, password, tls: tls.cloned() };
            if server.came_up() {
                return server;
            }
        }
        panic!("redis-server does not start");
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where to connect, with the password.
    pub fn url(&self) -> String {
        let credentials = self.password.as_ref().map(|password| format!(":{password}@")).unwrap_or_default();
        match &self.tls {
            Some(_) => format!("rediss://{credentials}localhost:{}", self.port),
            None => format!("redis://{credentials}127.0.0.1:{}", self.port),
        }
    }

    /// The certificate to trust, of a server that speaks TLS.
    pub fn ca_file(&self) -> Option<&Path> {
        self.tls.as_ref().map(TlsFiles::ca_file)
    }

    /// Runs a command and waits for its answer.
    pub fn command<T: FromRedisValue>(&self, words: &[&str]) -> T {
        match self.try_command(words).and_then(|value| Ok(T::from_redis_value(value)?)) {
            Ok(answer) => answer,
            Err(error) => panic!("{words:?}: {error}"),
        }
    }

    fn try_command(&self, words: &[&str]) -> redis::RedisResult<Value> {
        let client = match &self.tls {
            Some(files) => redis::Client::build_with_tls(self.url(), files.certificates())?,
            None => redis::Client::open(self.url())?,
        };
        let mut connection = client.get_connection_with_timeout(PATIENCE)?;
        let mut command = redis::Cmd::new();
        for word in words {
            command.arg(word);
        }
        connection.req_command(&command)
    }

    /// Kills it at once, as a crash does.
    pub fn kill(&mut self) {
        // Either fails only if the process has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Starts it again on the same port, empty.
    pub fn restart(&mut self) {
        self.kill();
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.process = spawn(self.port, &self.directory, &self.options, self.tls.is_some());
            if self.came_up() {
                return;
            }
            assert!(Instant::now() < deadline, "redis-server does not start again on port {}", self.port);
        }
    }

    /// Stops the process without closing its sockets: what a frozen machine looks like from outside.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// Ends a [`RedisServer::pause`].
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(name).arg(self.process.id().to_string()).status();
        assert!(status.is_ok_and(|status| status.success()), "kill {name} fails");
    }

    /// False if it ended, as it does when its port is taken.
    fn came_up(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if !matches!(self.process.try_wait(), Ok(None)) {
                return false;
            }
            // Another process's server on that port has another process id.
            let info = self.try_command(&["INFO", "server"]).and_then(|info| Ok(String::from_redis_value(info)?));
            if info.is_ok_and(|info| info.contains(&format!("process_id:{}\r", self.process.id()))) {
                return true;
            }
            thread::sleep(POLL);
        }
        panic!("redis-server does not answer");
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(port: u16, directory: &Directory, options: &[String], is_tls: bool) -> Child {
    let port = port.to_string();
    let ports = if is_tls { ["--port", "0", "--tls-port", &port] } else { ["--port", &port, "--tls-port", "0"] };
    // Sentinels are told by their configuration file, which comes first.
    let config = options.first().filter(|option| !option.starts_with("--"));
    let spawned = Command::new("redis-server")
        .args(config)
        .args(ports)
        .args(["--bind", "127.0.0.1", "--daemonize", "no", "--loglevel", "warning", "--dir"])
        .arg(directory.path())
        .args(if config.is_some() { &[][..] } else { &["--save", "", "--appendonly", "no"] })
        .args(&options[usize::from(config.is_some())..])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    match spawned {
        Ok(process) => process,
        Err(error) => panic!("redis-server must be installed to run these tests: {error}"),
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    match listener {
        Ok(address) => address.port(),
        Err(error) => panic!("no free port: {error}"),
    }
}

/// Asks until the answer is yes.
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        thread::sleep(POLL);
    }
}

/// A directory of its own, removed when dropped.
#[derive(Debug)]
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("tickwire-redis-{:016x}", rand::random::<u64>()));
        match fs::create_dir(&path) {
            Ok(()) => Self(path),
            Err(error) => panic!("{}: {error}", path.display()),
        }
    }

    fn path(&self) -> &Path {
        &self.0
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        match fs::write(&path, text) {
            Ok(()) => path,
            Err(error) => panic!("{}: {error}", path.display()),
        }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What is left in the system's directory for temporary files hurts nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}
