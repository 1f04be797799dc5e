//! A model of Redis: one server of one database, on whatever sockets tokio has.
//!
//! One thread, one command at a time, RESP3 only, classic pub/sub. Its functions are the shipped Lua, run as loaded over the
//! wire. What it does not know is an error, never a guess; the backplane's conformance suite says whether it knows enough.
//!
//! It may have replicas: one that is always up to date, and one that lags behind and is the one that takes over. Only what both
//! confirmed (`WAIT 2`) is sure to survive.

mod command;
mod functions;
mod glob;
mod resp;
mod store;
mod stream;

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, VecDeque},
    io,
    rc::Rc,
};

use bytes::BytesMut;
use tickwire_protocol::time::now_ms;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp::OwnedWriteHalf},
    sync::Notify,
};

use crate::mutations::Mutation;

use self::{
    functions::Functions,
    resp::Reply,
    store::{Bytes, Store},
};

/// Where it listens.
pub const PORT: u16 = 6379;
/// Bytes that may wait for one subscriber: the server cuts it there, as with `client-output-buffer-limit pubsub`.
const SUBSCRIBER_BYTES_MAX: usize = 512 * 1024;
/// How often the replica and the disk get a state.
const COPY_INTERVAL_MS: u64 = 25;
/// Replicas, where there are any.
const REPLICAS: u32 = 2;
/// States kept: as far back as a failover may lose.
const COPIES_MAX: usize = 64;

/// What outlives a server's process.
#[derive(Default)]
pub struct Disk {
    store: Store,
    libraries: BTreeMap<String, String>,
    copies: VecDeque<(u64, Store)>,
    is_replicated: bool,
    /// When the slower replica had everything last.
    confirmed_ms: u64,
    mutation: Option<&'static Mutation>,
}

/// What a restart finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survival {
    /// Everything: a clean restart with an append-only file.
    All,
    /// What a replica or the disk had so many milliseconds ago: a failover, or a crash.
    Until { ago_ms: u64 },
    /// Nothing, not even the functions.
    Nothing,
}

impl Disk {
    /// An empty one; functions that are loaded lose an invariant by `mutation`.
    pub fn with(mutation: Option<&'static Mutation>) -> Self {
        Self { mutation, ..Self::default() }
    }

    /// From now on there are replicas.
    pub fn replicate(&mut self) {
        self.is_replicated = true;
    }

    /// Answers how many replicas confirm where `wanted` are waited for: the faster one at once; the slower one only where it
    /// is waited for.
    fn confirm(&mut self, wanted: u32, now_ms: u64) -> i64 {
        if !self.is_replicated {
            return 0;
        }
        if wanted < REPLICAS {
            return 1;
        }
        self.confirmed_ms = now_ms;
        self.keep_copy(now_ms);
        i64::from(REPLICAS)
    }

    /// What it says of its replicas.
    fn replication(&self) -> String {
        let count = if self.is_replicated { REPLICAS } else { 0 };
        let replicas = (0..count)
            .map(|number| format!("slave{number}:ip=10.0.0.{number},port=6379,state=online,offset=1,lag=0\r\n"));
        format!("# Replication\r\nrole:master\r\nconnected_slaves:{count}\r\n{}", replicas.collect::<String>())
    }

    /// Makes of it what the next server finds; `now_ms` is the time of the crash. Answers until when writes survived.
    pub fn crash(&mut self, survival: Survival, now_ms: u64) -> Option<u64> {
        let copies = std::mem::take(&mut self.copies);
        match survival {
            Survival::All => Some(now_ms),
            Survival::Until { ago_ms } => {
                let then = now_ms.saturating_sub(ago_ms).max(self.confirmed_ms);
                let kept = copies.into_iter().rev().find(|(at, _)| *at <= then);
                let (at, store) = kept.unzip();
                self.store = store.unwrap_or_default();
                at
            }
            Survival::Nothing => {
                *self = Self { is_replicated: self.is_replicated, ..Self::with(self.mutation) };
                None
            }
        }
    }

    fn copy(&mut self, now_ms: u64) {
        let last = self.copies.back();
        if last.is_none_or(|(at, store)| now_ms >= at + COPY_INTERVAL_MS && store.writes != self.store.writes) {
            self.keep_copy(now_ms);
        }
    }

    fn keep_copy(&mut self, now_ms: u64) {
        self.copies.push_back((now_ms, self.store.clone()));
        if self.copies.len() > COPIES_MAX {
            self.copies.pop_front();
        }
    }
}

/// A connection's way out.
#[derive(Default)]
struct Outbound {
    bytes: RefCell<Vec<u8>>,
    more: Notify,
    is_cut: Cell<bool>,
}

impl Outbound {
    fn send(&self, reply: &Reply) {
        reply.encode(&mut self.bytes.borrow_mut());
        self.more.notify_one();
    }
}

struct State {
    disk: Rc<RefCell<Disk>>,
    run_id: String,
    subscribers: BTreeMap<Bytes, BTreeMap<u64, Rc<Outbound>>>,
}

struct Server {
    state: Rc<RefCell<State>>,
    functions: Functions,
    next_connection: Cell<u64>,
}

/// Serves until dropped, on what `disk` holds.
pub async fn serve(disk: Rc<RefCell<Disk>>) -> io::Result<()> {
    let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
    let server = Rc::new(Server::new(disk).map_err(|error| io::Error::other(error.to_string()))?);
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::task::spawn_local(Rc::clone(&server).connection(stream));
    }
}

impl Server {
    fn new(disk: Rc<RefCell<Disk>>) -> mlua::Result<Self> {
        let run_id = format!("{:032x}", rand::random::<u128>());
        let state = Rc::new(RefCell::new(State { disk: Rc::clone(&disk), run_id, subscribers: BTreeMap::new() }));
        let inside = Rc::clone(&state);
        let mutation = disk.borrow().mutation;
        let functions = Functions::new(mutation, Rc::new(move |words: &[Bytes]| inside.borrow_mut().run(words)))?;
        for source in disk.borrow().libraries.values() {
            functions.load(source).map_err(mlua::Error::runtime)?;
        }
        Ok(Self { state, functions, next_connection: Cell::new(0) })
    }

    async fn connection(self: Rc<Self>, stream: TcpStream) {
        let id = self.next_connection.replace(self.next_connection.get() + 1);
        let outbound = Rc::new(Outbound::default());
        let (mut read, write) = stream.into_split();
        let mut writer = tokio::task::spawn_local(write_all(Rc::clone(&outbound), write));
        let mut buffer = BytesMut::new();
        loop {
            while let Some(words) = resp::take_command(&mut buffer) {
                self.command(id, &outbound, &words);
            }
            tokio::select! {
                read = read.read_buf(&mut buffer) => if !matches!(read, Ok(1..)) { break },
                _ = &mut writer => break,
            }
        }
        for subscribers in self.state.borrow_mut().subscribers.values_mut() {
            subscribers.remove(&id);
        }
        writer.abort();
    }

    fn command(&self, id: u64, outbound: &Rc<Outbound>, words: &[Bytes]) {
        let verb = words.first().map(|verb| String::from_utf8_lossy(verb).to_ascii_uppercase()).unwrap_or_default();
        let reply = match verb.as_str() {
            "SUBSCRIBE" | "UNSUBSCRIBE" => {
                for channel in &words[1..] {
                    outbound.send(&self.state.borrow_mut().subscription(id, outbound, channel, verb == "SUBSCRIBE"));
                }
                return;
            }
            "FCALL" | "FCALL_RO" => self.function_call(words),
            "FUNCTION" => self.function_load(words),
            _ => self.state.borrow_mut().run(words),
        };
        self.state.borrow().disk.borrow_mut().copy(now_ms());
        outbound.send(&reply);
    }

    fn function_call(&self, words: &[Bytes]) -> Reply {
        let text = |at: usize| words.get(at).and_then(|word| std::str::from_utf8(word).ok());
        let count = text(2).and_then(|count| count.parse::<usize>().ok());
        match (text(1), count, words.get(3..)) {
            (Some(name), Some(count), Some(rest)) if count <= rest.len() => {
                let (keys, args) = rest.split_at(count);
                self.functions.call(name, keys, args)
            }
            _ => Reply::error("Bad number of keys provided"),
        }
    }

    fn knows(&self, source: &str) -> bool {
        let disk = Rc::clone(&self.state.borrow().disk);
        let disk = disk.borrow();
        disk.libraries.values().any(|known| known == source)
    }

    fn function_load(&self, words: &[Bytes]) -> Reply {
        match words.last().map(|source| String::from_utf8_lossy(source).into_owned()) {
            Some(source) if self.knows(&source) && words.len() == 3 => Reply::error("Library already exists"),
            Some(source) if words.get(1).is_some_and(|word| word == b"LOAD") => match self.functions.load(&source) {
                Ok(name) => {
                    self.state.borrow().disk.borrow_mut().libraries.insert(name.clone(), source);
                    Reply::bulk(name)
                }
                Err(error) => Reply::error(error),
            },
            _ => Reply::error("only FUNCTION LOAD is modelled"),
        }
    }
}

impl State {
    fn run(&mut self, words: &[Bytes]) -> Reply {
        let verb = words.first().map(|verb| String::from_utf8_lossy(verb).to_ascii_uppercase()).unwrap_or_default();
        match verb.as_str() {
            "HELLO" => self.hello(),
            "PING" => Reply::Status("PONG"),
            "CLIENT" | "SELECT" | "AUTH" => Reply::OK,
            "ROLE" => Reply::Array(vec![Reply::bulk("master"), Reply::Int(0), Reply::Array(Vec::new())]),
            "INFO" if words.get(1).is_some_and(|section| section == b"replication") => {
                Reply::bulk(self.disk.borrow().replication())
            }
            "INFO" => Reply::bulk(format!("# Server\r\nredis_version:7.0.15\r\nrun_id:{}\r\n", self.run_id)),
            "WAIT" => match words.get(1).and_then(|wanted| std::str::from_utf8(wanted).ok()?.parse().ok()) {
                Some(wanted) => Reply::Int(self.disk.borrow_mut().confirm(wanted, now_ms())),
                None => Reply::error("value is not an integer or out of range"),
            },
            "PUBLISH" => match words {
                [_, channel, payload] => self.publish(channel, payload),
                _ => Reply::error("wrong number of arguments for 'publish' command"),
            },
            "PUBSUB" => self.subscribed(words),
            _ => {
                let disk = Rc::clone(&self.disk);
                let ran = command::run(&mut disk.borrow_mut().store, words, now_ms());
                ran.unwrap_or_else(|| Reply::error(format!("unknown command '{verb}'")))
            }
        }
    }

    fn hello(&self) -> Reply {
        let pair = |key: &str, value: Reply| (Reply::bulk(key), value);
        Reply::Map(vec![
            pair("server", Reply::bulk("redis")),
            pair("version", Reply::bulk("7.0.15")),
            pair("proto", Reply::Int(3)),
            pair("mode", Reply::bulk("standalone")),
            pair("role", Reply::bulk("master")),
        ])
    }

    fn subscription(&mut self, id: u64, outbound: &Rc<Outbound>, channel: &Bytes, is_wanted: bool) -> Reply {
        if is_wanted {
            self.subscribers.entry(channel.clone()).or_default().insert(id, Rc::clone(outbound));
        } else if let Some(subscribers) = self.subscribers.get_mut(channel) {
            subscribers.remove(&id);
        }
        let held = self.subscribers.values().filter(|subscribers| subscribers.contains_key(&id)).count();
        let verb = if is_wanted { "subscribe" } else { "unsubscribe" };
        let held = i64::try_from(held).unwrap_or(i64::MAX);
        Reply::Push(vec![Reply::bulk(verb), Reply::bulk(channel), Reply::Int(held)])
    }

    fn subscribed(&self, words: &[Bytes]) -> Reply {
        match words {
            [_, which, pattern] if which.eq_ignore_ascii_case(b"CHANNELS") => {
                let heard = self.subscribers.iter().filter(|(_, subscribers)| !subscribers.is_empty());
                let names = heard.map(|(channel, _)| channel).filter(|channel| glob::matches(pattern, channel));
                Reply::Array(names.map(Reply::bulk).collect())
            }
            _ => Reply::error("only PUBSUB CHANNELS with a pattern is modelled"),
        }
    }

    fn publish(&mut self, channel: &Bytes, payload: &Bytes) -> Reply {
        let push = Reply::Push(vec![Reply::bulk("message"), Reply::bulk(channel), Reply::bulk(payload)]);
        let mut heard = 0;
        if let Some(subscribers) = self.subscribers.get_mut(channel) {
            subscribers.retain(|_, outbound| {
                if outbound.bytes.borrow().len() > SUBSCRIBER_BYTES_MAX {
                    outbound.is_cut.set(true);
                    outbound.more.notify_one();
                    return false;
                }
                outbound.send(&push);
                heard += 1;
                true
            });
        }
        Reply::Int(heard)
    }
}

async fn write_all(outbound: Rc<Outbound>, mut write: OwnedWriteHalf) {
    loop {
        let bytes = std::mem::take(&mut *outbound.bytes.borrow_mut());
        if outbound.is_cut.get() {
            return;
        }
        if bytes.is_empty() {
            outbound.more.notified().await;
        } else if write.write_all(&bytes).await.is_err() {
            return;
        }
    }
}
