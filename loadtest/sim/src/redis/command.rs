//! The commands in use. One that is missing answers as an unknown command would, so nothing is simulated by guess.

use super::{
    resp::Reply,
    store::{Bytes, Store, WrongType},
    stream,
};

/// Carries out `words` on `store`; `None`: no such command.
pub(crate) fn run(store: &mut Store, words: &[Bytes], now_ms: u64) -> Option<Reply> {
    let verb = String::from_utf8_lossy(words.first()?).to_ascii_uppercase();
    let call = Call { store, args: &words[1..], now_ms };
    let done = match verb.as_str() {
        "GET" => call.get(),
        "SET" => call.set(),
        "DEL" | "UNLINK" => call.del(),
        "EXISTS" => call.exists(),
        "EXPIRE" => call.expire(1_000),
        "PEXPIRE" => call.expire(1),
        "PERSIST" => call.persist(),
        "TTL" => call.ttl(1_000),
        "PTTL" => call.ttl(1),
        "HGET" => call.hget(),
        "HMGET" => call.hmget(),
        "HGETALL" => call.hgetall(),
        "HLEN" => call.hlen(),
        "HEXISTS" => call.hget().map(|value| Reply::Int(i64::from(value != Reply::Nil))),
        "HSET" => call.hset(),
        "HSETNX" => call.hsetnx(),
        "HDEL" => call.hdel(),
        "HINCRBY" => call.hincrby(),
        "SADD" => call.sadd(),
        "SREM" => call.srem(),
        "SCARD" => call.scard(),
        "SMEMBERS" => call.smembers(),
        "SSCAN" => call.sscan(),
        "SPOP" => call.spop(),
        "ZADD" => call.zadd(),
        "ZINCRBY" => call.zincrby(),
        "ZCOUNT" => call.zcount(),
        "ZREM" => call.zrem(),
        "ZCARD" => call.zcard(),
        "ZSCORE" => call.zscore(),
        "ZRANGE" => call.zrange(),
        "ZREMRANGEBYSCORE" => call.zremrangebyscore(),
        "XADD" => call.xadd(),
        "XLEN" => call.xlen(),
        "XRANGE" => call.xrange(false),
        "XREVRANGE" => call.xrange(true),
        "TIME" => Ok(Reply::Array(vec![
            Reply::bulk((now_ms / 1_000).to_string()),
            Reply::bulk((now_ms % 1_000 * 1_000).to_string()),
        ])),
        _ => return None,
    };
    Some(done.unwrap_or_else(|failure| match failure {
        Failure::Syntax => Reply::error(format!("syntax error in {}", show(words))),
        Failure::WrongType => Reply::Error("WRONGTYPE Operation against a key holding the wrong kind of value".into()),
    }))
}

fn show(words: &[Bytes]) -> String {
    words.iter().map(|word| String::from_utf8_lossy(word)).collect::<Vec<_>>().join(" ")
}

enum Failure {
    Syntax,
    WrongType,
}

impl From<WrongType> for Failure {
    fn from(_: WrongType) -> Self {
        Self::WrongType
    }
}

type Done = Result<Reply, Failure>;

struct Call<'a> {
    store: &'a mut Store,
    args: &'a [Bytes],
    now_ms: u64,
}

impl Call<'_> {
    fn arg(&self, at: usize) -> Result<&Bytes, Failure> {
        self.args.get(at).ok_or(Failure::Syntax)
    }

    fn text(&self, at: usize) -> Result<&str, Failure> {
        std::str::from_utf8(self.arg(at)?).map_err(|_| Failure::Syntax)
    }

    fn number<T: std::str::FromStr>(&self, at: usize) -> Result<T, Failure> {
        self.text(at)?.parse().map_err(|_| Failure::Syntax)
    }

    fn is(&self, at: usize, word: &str) -> bool {
        self.args.get(at).is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()))
    }

    fn key(&self) -> Result<Bytes, Failure> {
        self.arg(0).cloned()
    }

    fn get(self) -> Done {
        let key = self.key()?;
        Ok(self.store.text(&key, self.now_ms)?.map_or(Reply::Nil, Reply::bulk))
    }

    fn set(self) -> Done {
        let (key, value) = (self.key()?, self.arg(1)?.clone());
        let mut expires_at_ms = None;
        let (mut only_new, mut only_old) = (false, false);
        let mut at = 2;
        while at < self.args.len() {
            if self.is(at, "EX") || self.is(at, "PX") {
                let unit = if self.is(at, "EX") { 1_000 } else { 1 };
                expires_at_ms = Some(self.now_ms + self.number::<u64>(at + 1)? * unit);
                at += 1;
            } else if self.is(at, "KEEPTTL") {
                expires_at_ms = self.store.expiry(&key, self.now_ms).flatten();
            } else if self.is(at, "NX") {
                only_new = true;
            } else if self.is(at, "XX") {
                only_old = true;
            } else {
                return Err(Failure::Syntax);
            }
            at += 1;
        }
        let is_there = self.store.get(&key, self.now_ms).is_some();
        if (only_new && is_there) || (only_old && !is_there) {
            return Ok(Reply::Nil);
        }
        self.store.set_text(&key, value, expires_at_ms);
        Ok(Reply::OK)
    }

    fn del(self) -> Done {
        let removed = self.args.iter().filter(|key| self.store.remove(key)).count();
        Ok(count(removed))
    }

    fn exists(self) -> Done {
        let found = self.args.iter().filter(|key| self.store.get(key, self.now_ms).is_some()).count();
        Ok(count(found))
    }

    fn expire(self, unit_ms: u64) -> Done {
        let (key, units) = (self.key()?, self.number::<u64>(1)?);
        if self.args.len() > 2 {
            return Err(Failure::Syntax);
        }
        let at_ms = Some(self.now_ms + units * unit_ms);
        Ok(Reply::Int(i64::from(self.store.set_expiry(&key, at_ms, self.now_ms))))
    }

    fn persist(self) -> Done {
        let key = self.key()?;
        Ok(Reply::Int(i64::from(self.store.set_expiry(&key, None, self.now_ms))))
    }

    fn ttl(self, unit_ms: u64) -> Done {
        let key = self.key()?;
        Ok(Reply::Int(match self.store.expiry(&key, self.now_ms) {
            None => -2,
            Some(None) => -1,
            Some(Some(at)) => ((at - self.now_ms + unit_ms / 2) / unit_ms).cast_signed(),
        }))
    }

    fn hget(self) -> Done {
        let (key, field) = (self.key()?, self.arg(1)?.clone());
        let found = self.store.hash(&key, self.now_ms)?.and_then(|hash| hash.get(&field));
        Ok(found.map_or(Reply::Nil, Reply::bulk))
    }

    fn hmget(self) -> Done {
        let key = self.key()?;
        let fields = &self.args[1..];
        let hash = self.store.hash(&key, self.now_ms)?;
        let value = |field: &Bytes| hash.and_then(|hash| hash.get(field)).map_or(Reply::Nil, Reply::bulk);
        Ok(Reply::Array(fields.iter().map(value).collect()))
    }

    fn hgetall(self) -> Done {
        let key = self.key()?;
        let hash = self.store.hash(&key, self.now_ms)?;
        let pairs = hash.into_iter().flatten().flat_map(|(field, value)| [Reply::bulk(field), Reply::bulk(value)]);
        Ok(Reply::Array(pairs.collect()))
    }

    fn hlen(self) -> Done {
        let key = self.key()?;
        Ok(count(self.store.hash(&key, self.now_ms)?.map_or(0, |hash| hash.len())))
    }

    fn hset(self) -> Done {
        let key = self.key()?;
        if self.args.len() < 3 || self.args.len().is_multiple_of(2) {
            return Err(Failure::Syntax);
        }
        let hash = self.store.hash_mut(&key, self.now_ms)?;
        let pairs = self.args[1..].chunks_exact(2);
        let new = pairs.filter(|pair| hash.insert(pair[0].clone(), pair[1].clone()).is_none()).count();
        Ok(count(new))
    }

    fn hsetnx(self) -> Done {
        let (key, field, value) = (self.key()?, self.arg(1)?.clone(), self.arg(2)?.clone());
        let hash = self.store.hash_mut(&key, self.now_ms)?;
        if hash.contains_key(&field) {
            return Ok(Reply::Int(0));
        }
        hash.insert(field, value);
        Ok(Reply::Int(1))
    }

    fn hdel(self) -> Done {
        let key = self.key()?;
        if self.store.hash(&key, self.now_ms)?.is_none() {
            return Ok(Reply::Int(0));
        }
        let hash = self.store.hash_mut(&key, self.now_ms)?;
        let removed = self.args[1..].iter().filter(|field| hash.remove(*field).is_some()).count();
        self.store.drop_empty(&key);
        Ok(count(removed))
    }

    fn hincrby(self) -> Done {
        let (key, field, by) = (self.key()?, self.arg(1)?.clone(), self.number::<i64>(2)?);
        let hash = self.store.hash_mut(&key, self.now_ms)?;
        let before: i64 = match hash.get(&field) {
            None => 0,
            Some(text) => std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(Failure::Syntax)?,
        };
        hash.insert(field, (before + by).to_string().into_bytes());
        Ok(Reply::Int(before + by))
    }

    fn zadd(self) -> Done {
        let key = self.key()?;
        let (is_greater_only, is_known_only) = (self.is(1, "GT"), self.is(1, "XX"));
        let from = if is_greater_only || is_known_only { 2 } else { 1 };
        let mut new = 0;
        for at in (from..self.args.len()).step_by(2) {
            let (score, member) = (self.number::<f64>(at)?, self.arg(at + 1)?.clone());
            let sorted = self.store.sorted_mut(&key, self.now_ms)?;
            match sorted.get_mut(&member) {
                Some(before) if is_greater_only => *before = before.max(score),
                Some(before) => *before = score,
                None if is_known_only => {}
                None => {
                    sorted.insert(member, score);
                    new += 1;
                }
            }
        }
        self.store.drop_empty(&key);
        Ok(Reply::Int(new))
    }

    fn zincrby(self) -> Done {
        let (key, by, member) = (self.key()?, self.number::<f64>(1)?, self.arg(2)?.clone());
        let score = self.store.sorted_mut(&key, self.now_ms)?.entry(member).or_default();
        *score += by;
        Ok(Reply::bulk(score.to_string()))
    }

    fn zcount(self) -> Done {
        let key = self.key()?;
        let is_between = self.between(1, 2)?;
        let sorted = self.store.sorted(&key, self.now_ms)?;
        Ok(count(sorted.into_iter().flatten().filter(|(_, score)| is_between(**score)).count()))
    }

    fn sadd(self) -> Done {
        let key = self.key()?;
        let set = self.store.set_mut(&key, self.now_ms)?;
        Ok(count(self.args[1..].iter().filter(|member| set.insert((*member).clone())).count()))
    }

    fn srem(self) -> Done {
        let key = self.key()?;
        let set = self.store.set_mut(&key, self.now_ms)?;
        let removed = self.args[1..].iter().filter(|member| set.remove(*member)).count();
        self.store.drop_empty(&key);
        Ok(count(removed))
    }

    fn scard(self) -> Done {
        let key = self.key()?;
        Ok(count(self.store.set(&key, self.now_ms)?.map_or(0, |set| set.len())))
    }

    fn smembers(self) -> Done {
        let key = self.key()?;
        let set = self.store.set(&key, self.now_ms)?;
        Ok(Reply::Array(set.into_iter().flatten().map(Reply::bulk).collect()))
    }

    /// All in one page.
    fn sscan(self) -> Done {
        self.smembers().map(|members| Reply::Array(vec![Reply::bulk("0"), members]))
    }

    fn spop(self) -> Done {
        let (key, most) = (self.key()?, self.number::<usize>(1)?);
        let set = self.store.set_mut(&key, self.now_ms)?;
        let popped = std::iter::from_fn(|| set.pop_first()).take(most).map(Reply::Bulk).collect();
        self.store.drop_empty(&key);
        Ok(Reply::Array(popped))
    }

    fn zrem(self) -> Done {
        let key = self.key()?;
        let sorted = self.store.sorted_mut(&key, self.now_ms)?;
        let removed = self.args[1..].iter().filter(|member| sorted.remove(*member).is_some()).count();
        self.store.drop_empty(&key);
        Ok(count(removed))
    }

    fn zcard(self) -> Done {
        let key = self.key()?;
        Ok(count(self.store.sorted(&key, self.now_ms)?.map_or(0, |sorted| sorted.len())))
    }

    fn zscore(self) -> Done {
        let (key, member) = (self.key()?, self.arg(1)?.clone());
        let score = self.store.sorted(&key, self.now_ms)?.and_then(|sorted| sorted.get(&member));
        Ok(score.map_or(Reply::Nil, |score| Reply::bulk(score.to_string())))
    }

    /// Whether a score lies between two of `ZRANGE … BYSCORE`'s bounds.
    fn between(&self, low: usize, high: usize) -> Result<impl Fn(f64) -> bool + use<>, Failure> {
        let bound = |at: usize| {
            let text = self.text(at)?;
            let (is_open, text) = text.strip_prefix('(').map_or((false, text), |text| (true, text));
            let score: f64 = text.parse().map_err(|_| Failure::Syntax)?;
            Ok::<_, Failure>((is_open, score))
        };
        let ((low_open, low), (high_open, high)) = (bound(low)?, bound(high)?);
        Ok(move |score: f64| {
            (if low_open { score > low } else { score >= low })
                && (if high_open { score < high } else { score <= high })
        })
    }

    fn zrange(self) -> Done {
        let key = self.key()?;
        if self.is(3, "BYLEX") {
            return self.zrange_by_name();
        }
        if !self.is(3, "BYSCORE") {
            return self.zrange_by_rank();
        }
        let limit = match self.args.len() {
            4 => usize::MAX,
            7 if self.is(4, "LIMIT") && self.text(5)? == "0" => self.number(6)?,
            _ => return Err(Failure::Syntax),
        };
        let is_between = self.between(1, 2)?;
        let sorted = self.store.sorted(&key, self.now_ms)?;
        let mut found: Vec<(&Bytes, f64)> =
            sorted.into_iter().flatten().map(|(member, &score)| (member, score)).collect();
        found.retain(|(_, score)| is_between(*score));
        found.sort_by(|one, other| one.1.total_cmp(&other.1).then_with(|| one.0.cmp(other.0)));
        Ok(Reply::Array(found.into_iter().take(limit).map(|(member, _)| Reply::bulk(member)).collect()))
    }

    /// From a member on, or after it, of those that all have the score 0.
    fn zrange_by_name(self) -> Done {
        let (key, start) = (self.key()?, self.text(1)?.to_owned());
        if self.args.len() != 7 || self.text(2)? != "+" || !self.is(4, "LIMIT") || self.text(5)? != "0" {
            return Err(Failure::Syntax);
        }
        let limit = self.number(6)?;
        let sorted = self.store.sorted(&key, self.now_ms)?;
        let is_after = |member: &&Bytes| match start.strip_prefix('(') {
            Some(start) => member.as_slice() > start.as_bytes(),
            None => start == "-",
        };
        let found = sorted.into_iter().flatten().map(|(member, _)| member).filter(is_after);
        Ok(Reply::Array(found.take(limit).map(Reply::bulk).collect()))
    }

    /// From rank 0.
    fn zrange_by_rank(self) -> Done {
        let (key, start, stop) = (self.key()?, self.number::<i64>(1)?, self.number::<i64>(2)?);
        let with_scores = self.is(3, "WITHSCORES");
        if start != 0 || (self.args.len() > 3 && !with_scores) {
            return Err(Failure::Syntax);
        }
        let sorted = self.store.sorted(&key, self.now_ms)?;
        let mut all: Vec<(&Bytes, f64)> =
            sorted.into_iter().flatten().map(|(member, &score)| (member, score)).collect();
        all.sort_by(|one, other| one.1.total_cmp(&other.1).then_with(|| one.0.cmp(other.0)));
        let stop = if stop < 0 { i64::try_from(all.len()).unwrap_or(i64::MAX) + stop } else { stop };
        let most = usize::try_from(stop + 1).unwrap_or(0);
        let entry = |(member, score): (&Bytes, f64)| {
            let score = with_scores.then(|| Reply::bulk(score.to_string()));
            [Some(Reply::bulk(member)), score].into_iter().flatten()
        };
        Ok(Reply::Array(all.into_iter().take(most).flat_map(entry).collect()))
    }

    fn zremrangebyscore(self) -> Done {
        let key = self.key()?;
        let is_between = self.between(1, 2)?;
        let sorted = self.store.sorted_mut(&key, self.now_ms)?;
        let before = sorted.len();
        sorted.retain(|_, score| !is_between(*score));
        let removed = before - sorted.len();
        self.store.drop_empty(&key);
        Ok(count(removed))
    }

    fn xadd(self) -> Done {
        let key = self.key()?;
        let mut at = 1;
        let mut max = None;
        if self.is(at, "MAXLEN") {
            at += if self.is(at + 1, "=") || self.is(at + 1, "~") { 2 } else { 1 };
            max = Some(self.number(at)?);
            at += 1;
        }
        let id = stream::id(self.text(at)?, 0).ok_or(Failure::Syntax)?;
        let fields = self.args[at + 1..].to_vec();
        if fields.is_empty() || !fields.len().is_multiple_of(2) {
            return Err(Failure::Syntax);
        }
        Ok(self.store.stream_mut(&key, self.now_ms)?.add(id, fields, max))
    }

    fn xlen(self) -> Done {
        let key = self.key()?;
        Ok(count(self.store.stream(&key, self.now_ms)?.map_or(0, stream::Stream::len)))
    }

    fn xrange(self, is_reverse: bool) -> Done {
        let key = self.key()?;
        let (start, end) = (self.text(1)?.to_owned(), self.text(2)?.to_owned());
        let (start, end) = if is_reverse { (end, start) } else { (start, end) };
        let limit = match self.args.len() {
            3 => usize::MAX,
            5 if self.is(3, "COUNT") => self.number(4)?,
            _ => return Err(Failure::Syntax),
        };
        match self.store.stream(&key, self.now_ms)? {
            None => Ok(Reply::Array(Vec::new())),
            Some(stream) => stream.range(&start, &end, limit, is_reverse).ok_or(Failure::Syntax),
        }
    }
}

fn count(number: usize) -> Reply {
    Reply::Int(i64::try_from(number).unwrap_or(i64::MAX))
}
