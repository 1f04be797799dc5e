//! Long polling: one request after the other, on one connection where the edge keeps it.

use super::{
    Client, World, http,
    link::{End, read_head, read_some},
    socket::Socket,
    target::Target,
};
use crate::{
    frame::MESSAGE_BYTES_MAX,
    scan::{Malformed, ServerFrame, each_member, each_object, string},
};

/// How long an answer may be held back, seconds.
const WAIT_S: u32 = 20;

/// A polling client's connection.
#[derive(Debug)]
pub(super) struct PollLink {
    target: Target,
    /// Where the last answer left it open.
    stream: Option<Socket>,
    channels: String,
    /// As the last answer said.
    since: String,
}

impl PollLink {
    /// Connects and asks once without waiting: the answer says where every channel stands.
    pub(super) async fn open(client: &Client, world: &World, target: &Target) -> Result<Self, End> {
        let (channels, since) = {
            let session = client.session.borrow();
            (http::encode(&session.names(&world.plan.channels)), session.event_id(&world.plan.channels))
        };
        let mut link = Self { target: target.clone(), stream: None, channels, since };
        link.ask(client, world, 0).await?;
        client.session.borrow_mut().polling();
        Ok(link)
    }

    /// Asks again and again until the connection ends.
    pub(super) async fn stay(&mut self, client: &Client, world: &World) -> End {
        loop {
            if let Err(end) = self.ask(client, world, WAIT_S).await {
                return end;
            }
        }
    }

    async fn ask(&mut self, client: &Client, world: &World, wait_s: u32) -> Result<(), End> {
        let mut path = format!("/poll?channels={}&wait={wait_s}", self.channels);
        if !self.since.is_empty() {
            path.push_str("&since=");
            path.push_str(&http::encode(&self.since));
        }
        client.session.borrow_mut().asks();
        let mut stream = match self.stream.take() {
            Some(kept) => kept,
            None => self.target.connect(client.number, world.plan.sources, false).await?,
        };
        stream.write_all(http::get(&path, &self.target.authority, &client.token, "").as_bytes()).await?;
        let (head, mut body) = read_head(client, world, &mut stream).await?;
        let length = head.content_length.filter(|&length| length <= MESSAGE_BYTES_MAX);
        let Some(length) = length else { return Err(End::cut("answer without length")) };
        while body.len() < length {
            read_some(client, world, &mut stream, &mut body).await?;
        }
        if head.status != 200 {
            return Err(End::Cut(format!("http {}", head.status), head.retry_after_s));
        }
        self.stream = Some(stream).filter(|_| !head.closes);
        self.take(client, world, &body).map_err(|Malformed| {
            world.meter.borrow_mut().totals.malformed += 1;
            End::cut("malformed")
        })
    }

    fn take(&mut self, client: &Client, world: &World, body: &[u8]) -> Result<(), Malformed> {
        let now_us = world.clock.now_us();
        client.heard_us.set(now_us);
        let mut meter = world.meter.borrow_mut();
        meter.totals.received_bytes += body.len() as u64;
        meter.reads += 1;
        let mut session = client.session.borrow_mut();
        // What was missed without recovery is told beside the messages, and explains holes in them.
        each_member(body, |name, value| match name {
            b"reset" => each_object(value, |channel| {
                session.on_poll_reset(string(channel)?, &world.directory, &mut meter);
                Ok(())
            }),
            _ => Ok(()),
        })?;
        let answer = ServerFrame::read(body)?;
        if let Some(messages) = answer.messages {
            each_object(messages, |object| session.on_polled(object, now_us, &world.directory, &mut meter))?;
        }
        self.since = String::from_utf8_lossy(answer.next).into_owned();
        Ok(())
    }
}
