//! What a user wants to be told of, how, and when not.
//!
//! ```json
//! {
//!   "minimumLevel": "warning", "sound": true, "toast": true,
//!   "quietHours": {"timeZone": "Europe/Berlin", "from": "22:00", "until": "07:00", "days": ["mon", "tue"]},
//!   "rules": [{"types": ["price_alert"], "symbols": ["BTC/USDT"], "action": "show", "sound": false},
//!             {"types": ["price_alert"], "action": "mute"}]
//! }
//! ```
//!
//! Every field may be left out. [`Preferences::decide`] goes through them in this order:
//! 1. `emergency` is always shown, with sound and toast.
//! 2. The first rule that fits decides; `mute` drops, `silent` delivers without sound and toast, `show` shows.
//! 3. Without one, what is below `minimumLevel` is dropped.
//! 4. In quiet hours what would be shown is delivered silently, unless its rule says `duringQuietHours`.
//!
//! A `critical` notification is never dropped, at most silent: it is kept until its user acknowledges it.

use std::{collections::BTreeMap, fmt};

use jiff::{Timestamp, civil::Weekday, tz::TimeZone};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use serde_json::value::RawValue;

use crate::{Priority, RawJson};

/// Rules of one user.
pub const RULES_MAX: usize = 64;
/// Entries of one list in a rule.
pub const LIST_MAX: usize = 64;
/// Longest entry of such a list, bytes.
pub const ENTRY_BYTES_MAX: usize = 128;

/// How bad it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertLevel {
    /// Good to know.
    #[default]
    Info,
    /// Something to look at.
    Warning,
    /// Something to act on.
    Critical,
    /// Always shown.
    Emergency,
}

impl AlertLevel {
    /// The level of a notification that names none.
    pub const fn of(priority: Priority) -> Self {
        match priority {
            Priority::Critical => Self::Critical,
            Priority::High => Self::Warning,
            Priority::Medium | Priority::Low => Self::Info,
        }
    }
}

/// What a decision is about.
#[derive(Debug, Clone, Copy)]
pub struct Notification<'a> {
    /// Its `type`.
    pub kind: &'a str,
    /// How bad it is.
    pub level: AlertLevel,
    /// The trading session it is about.
    pub session: Option<&'a str>,
    /// The instrument it is about.
    pub symbol: Option<&'a str>,
}

/// What becomes of a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presentation {
    /// Delivered, and to be shown so.
    Show {
        /// With a sound.
        sound: bool,
        /// With a toast.
        toast: bool,
    },
    /// Delivered, to be found in the inbox.
    Silent,
    /// Not delivered.
    Drop,
}

/// A user's document. See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Preferences {
    /// What is below is dropped, where no rule decides.
    pub minimum_level: AlertLevel,
    /// Whether what is shown sounds.
    pub sound: bool,
    /// Whether what is shown is a toast.
    pub toast: bool,
    /// The first that fits decides; at most [`RULES_MAX`].
    #[serde(deserialize_with = "rules")]
    pub rules: Vec<Rule>,
    /// When to be silent.
    pub quiet_hours: Option<QuietHours>,
}

impl Default for Preferences {
    fn default() -> Self {
        Self { minimum_level: AlertLevel::Info, sound: true, toast: true, rules: Vec::new(), quiet_hours: None }
    }
}

/// A rule fits a notification that is in each of its lists; an empty list holds everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// Types, such as `risk_alert`.
    #[serde(default, deserialize_with = "entries", skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<String>,
    /// Levels.
    #[serde(default, deserialize_with = "levels", skip_serializing_if = "Vec::is_empty")]
    pub levels: Vec<AlertLevel>,
    /// Trading sessions.
    #[serde(default, deserialize_with = "entries", skip_serializing_if = "Vec::is_empty")]
    pub sessions: Vec<String>,
    /// Instruments.
    #[serde(default, deserialize_with = "entries", skip_serializing_if = "Vec::is_empty")]
    pub symbols: Vec<String>,
    /// What to do.
    pub action: Action,
    /// In place of the document's `sound`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sound: Option<bool>,
    /// In place of the document's `toast`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub toast: Option<bool>,
    /// Show it in quiet hours, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub during_quiet_hours: bool,
}

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Show, whatever its level.
    Show,
    /// Deliver without sound and toast.
    Silent,
    /// Drop; of a critical one, deliver silently.
    Mute,
}

/// A daily time of silence, by the clock on the wall of a time zone: a clock that is set forward or back moves it along.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct QuietHours {
    /// IANA name, such as `Europe/Berlin`.
    pub time_zone: Zone,
    /// From this minute on.
    pub from: TimeOfDay,
    /// Before this minute; if it is not after `from`, on the next day. The same as `from` is all day.
    pub until: TimeOfDay,
    /// Days on which it begins; every day if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<Day>,
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// A time zone by its IANA name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone(TimeZone);

/// Minutes since midnight, written `HH:MM`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeOfDay(u16);

/// A document that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{path}`: {reason}")]
pub struct InvalidPreferences {
    /// Where, such as `rules[2].action`.
    pub path: String,
    /// Why.
    pub reason: String,
}

impl Preferences {
    /// Checks fields that shall replace those of a user's document; `null` removes one. No field's rules depend on another's, so
    /// what passes makes a good document of a good one.
    pub fn check_changes(changes: &RawJson) -> Result<(), InvalidPreferences> {
        let refused = |reason: String| InvalidPreferences { path: "set".into(), reason };
        let fields: BTreeMap<String, Box<RawValue>> = changes.to().map_err(|error| refused(error.to_string()))?;
        let kept: BTreeMap<_, _> = fields.into_iter().filter(|(_, value)| value.get() != "null").collect();
        let text = RawJson::of(&kept).map_err(|error| refused(error.to_string()))?;
        Self::parse(&text).map(drop)
    }

    /// Reads a document.
    pub fn parse(document: &RawJson) -> Result<Self, InvalidPreferences> {
        let mut deserializer = serde_json::Deserializer::from_slice(document.bytes());
        serde_path_to_error::deserialize(&mut deserializer)
            .map_err(|error| InvalidPreferences { path: error.path().to_string(), reason: error.inner().to_string() })
    }

    /// Reads a stored document. A field that another version put there, or a bad one, counts as not set: preferences never
    /// keep an alert from its user.
    pub fn of_stored(document: &RawJson) -> Self {
        if let Ok(preferences) = Self::parse(document) {
            return preferences;
        }
        let fields: BTreeMap<String, Box<RawValue>> = document.to().unwrap_or_default();
        let is_good = |(name, value): &(String, Box<RawValue>)| {
            RawJson::of(&BTreeMap::from([(name, value)])).is_ok_and(|field| Self::parse(&field).is_ok())
        };
        let kept: BTreeMap<_, _> = fields.into_iter().filter(is_good).collect();
        RawJson::of(&kept).ok().and_then(|document| Self::parse(&document).ok()).unwrap_or_default()
    }

    /// What becomes of `notification` at `now_ms`, milliseconds since the Unix epoch. See the module.
    pub fn decide(&self, notification: &Notification<'_>, now_ms: u64) -> Presentation {
        if notification.level == AlertLevel::Emergency {
            return Presentation::Show { sound: true, toast: true };
        }
        let dropped =
            if notification.level == AlertLevel::Critical { Presentation::Silent } else { Presentation::Drop };
        let rule = self.rules.iter().find(|rule| rule.fits(notification));
        match rule.map(|rule| rule.action) {
            Some(Action::Mute) => return dropped,
            Some(Action::Silent) => return Presentation::Silent,
            None if notification.level < self.minimum_level => return dropped,
            Some(Action::Show) | None => {}
        }
        let is_exempt = rule.is_some_and(|rule| rule.during_quiet_hours);
        if !is_exempt && self.quiet_hours.as_ref().is_some_and(|hours| hours.holds(now_ms)) {
            return Presentation::Silent;
        }
        Presentation::Show {
            sound: rule.and_then(|rule| rule.sound).unwrap_or(self.sound),
            toast: rule.and_then(|rule| rule.toast).unwrap_or(self.toast),
        }
    }
}

impl Rule {
    fn fits(&self, notification: &Notification<'_>) -> bool {
        let holds = |list: &[String], value: Option<&str>| {
            list.is_empty() || value.is_some_and(|value| list.iter().any(|entry| entry == value))
        };
        holds(&self.types, Some(notification.kind))
            && (self.levels.is_empty() || self.levels.contains(&notification.level))
            && holds(&self.sessions, notification.session)
            && holds(&self.symbols, notification.symbol)
    }
}

impl QuietHours {
    /// Whether it is quiet at `now_ms`.
    pub fn holds(&self, now_ms: u64) -> bool {
        let Some(now) = i64::try_from(now_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()) else {
            return false;
        };
        let local = self.time_zone.0.to_datetime(now);
        let minute = TimeOfDay(u16::from(local.hour().unsigned_abs()) * 60 + u16::from(local.minute().unsigned_abs()));
        let today = local.weekday();
        let begins = |weekday: Weekday| self.days.is_empty() || self.days.iter().any(|day| day.weekday() == weekday);
        if self.from < self.until {
            return begins(today) && (self.from..self.until).contains(&minute);
        }
        (minute >= self.from && begins(today)) || (minute < self.until && begins(today.previous()))
    }
}

impl Day {
    const fn weekday(self) -> Weekday {
        match self {
            Self::Mon => Weekday::Monday,
            Self::Tue => Weekday::Tuesday,
            Self::Wed => Weekday::Wednesday,
            Self::Thu => Weekday::Thursday,
            Self::Fri => Weekday::Friday,
            Self::Sat => Weekday::Saturday,
            Self::Sun => Weekday::Sunday,
        }
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

impl Serialize for TimeOfDay {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TimeOfDay {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let number = |digits: &str, most: u16| -> Option<u16> {
            let is_two = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse().ok().filter(|&number| is_two && number <= most)
        };
        text.split_once(':')
            .and_then(|(hour, minute)| Some(Self(number(hour, 23)? * 60 + number(minute, 59)?)))
            .ok_or_else(|| D::Error::custom("a time of day is HH:MM"))
    }
}

impl Serialize for Zone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.iana_name().unwrap_or("UTC"))
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let unknown = |_| D::Error::custom("no time zone has this name; it is one of IANA's, such as `Europe/Berlin`");
        TimeZone::get(&name).map(Self).map_err(unknown)
    }
}

fn bounded<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D, most: usize) -> Result<Vec<T>, D::Error> {
    let list = Vec::deserialize(deserializer)?;
    if list.len() > most { Err(D::Error::custom(format_args!("at most {most} entries"))) } else { Ok(list) }
}

fn rules<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Rule>, D::Error> {
    bounded(deserializer, RULES_MAX)
}

fn levels<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<AlertLevel>, D::Error> {
    bounded(deserializer, LIST_MAX)
}

fn entries<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let entries: Vec<String> = bounded(deserializer, LIST_MAX)?;
    if entries.iter().all(|entry| (1..=ENTRY_BYTES_MAX).contains(&entry.len())) {
        Ok(entries)
    } else {
        Err(D::Error::custom(format_args!("an entry has 1 to {ENTRY_BYTES_MAX} bytes")))
    }
}
