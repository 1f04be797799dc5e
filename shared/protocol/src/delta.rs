//! What changed in a value of a `latest` channel, for subscriptions with `"delta":true`.
//!
//! ```text
//! {"type":"message","channel":"prices:BTC/USDT","key":"BTC/USDT","time":1763683200250,"base":1763683200017,
//!  "delta":{"price":"64213.20","bid":"64213.10"},"removed":["change"]}
//! ```
//! `delta` stands in place of `data`: the value is that of the last message of this key on this subscription, whose `time`
//! was `base`, with these fields put in and those in `removed` (left out when empty) taken away. Only the fields of the
//! value itself are compared, each by its text: a changed list or map comes whole, and no number is ever rendered again.
//! A client that does not have that base subscribes again and gets full values.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{ChannelName, Priority, Publication, RawJson, codec::push_string};

/// Fields of a value that are compared; one with more is always sent whole.
const FIELDS_MAX: usize = 256;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delta {
    /// Where it was published.
    pub channel: ChannelName,
    /// Whose value it changes.
    pub key: Option<Box<str>>,
    /// When the emitter accepted the new value, milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// Urgency.
    pub priority: Priority,
    /// `time_ms` of the value that it changes.
    pub base_ms: u64,
    /// A JSON object: fields that are new or have another text.
    pub changed: RawJson,
    /// Fields that are gone.
    pub removed: Vec<String>,
}

impl Delta {
    /// What turns `base` into `next`, both values of one key. `None` where the whole value says it better: one of them is no
    /// object, names a field twice or has very many, or the delta would not be shorter.
    pub fn between(base: &Publication, next: &Publication) -> Option<Self> {
        let (before, after) = (Fields::of(&base.data)?, Fields::of(&next.data)?);
        let mut changed = Vec::with_capacity(64);
        changed.push(b'{');
        for (at, (name, value)) in after.0.iter().enumerate() {
            if before.get(at, name).is_some_and(|old| old.get() == value.get()) {
                continue;
            }
            if changed.len() > 1 {
                changed.push(b',');
            }
            push_string(&mut changed, name);
            changed.push(b':');
            changed.extend_from_slice(value.get().as_bytes());
        }
        changed.push(b'}');
        let gone = before.0.iter().enumerate().filter(|(at, (name, _))| after.get(*at, name).is_none());
        let removed: Vec<String> = gone.map(|(_, (name, _))| name.clone().into_owned()).collect();
        let removed_bytes: usize = removed.iter().map(|name| name.len() + 3).sum();
        if changed.len() + removed_bytes >= next.data.bytes().len() {
            return None;
        }
        Some(Self {
            channel: next.channel.clone(),
            key: next.key.clone(),
            time_ms: next.time_ms,
            priority: next.priority,
            base_ms: base.time_ms,
            changed: RawJson::trusted(changed.into()),
            removed,
        })
    }

    /// The new value; `None` if `base` or the delta is no object.
    pub fn apply(&self, base: &RawJson) -> Option<RawJson> {
        let (mut fields, changed) = (Fields::of(base)?, Fields::of(&self.changed)?);
        fields.0.retain(|(name, _)| !self.removed.iter().any(|removed| removed == name));
        for (at, (name, value)) in changed.0.into_iter().enumerate() {
            match fields.find(at, &name) {
                Some(at) => fields.0[at].1 = value,
                None => fields.0.push((name, value)),
            }
        }
        let mut out = Vec::with_capacity(base.bytes().len() + self.changed.bytes().len());
        out.push(b'{');
        for (name, value) in &fields.0 {
            if out.len() > 1 {
                out.push(b',');
            }
            push_string(&mut out, name);
            out.push(b':');
            out.extend_from_slice(value.get().as_bytes());
        }
        out.push(b'}');
        Some(RawJson::trusted(out.into()))
    }
}

/// An object's fields in their order, values as text.
struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Fields<'a> {
    /// Those of an object that names each once.
    fn of(data: &'a RawJson) -> Option<Self> {
        let fields: Self = data.to().ok()?;
        let mut names: Vec<&str> = fields.0.iter().map(|(name, _)| &**name).collect();
        names.sort_unstable();
        let is_twice = names.windows(2).any(|pair| pair[0] == pair[1]);
        (!is_twice && names.len() <= FIELDS_MAX).then_some(fields)
    }

    /// Where `name` is; most likely at `hint`, since values of one key look alike.
    fn find(&self, hint: usize, name: &str) -> Option<usize> {
        let is_it = |field: &(Cow<'a, str>, &RawValue)| field.0 == name;
        if self.0.get(hint).is_some_and(is_it) { Some(hint) } else { self.0.iter().position(is_it) }
    }

    fn get(&self, hint: usize, name: &str) -> Option<&'a RawValue> {
        self.find(hint, name).map(|at| self.0[at].1)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyMap;
        impl<'de> Visitor<'de> for AnyMap {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some((Name(name), value)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
                    fields.push((name, value));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(AnyMap)
    }
}
