//! What a user's preferences make of a notification, before it is published.
//!
//! Decided here, when the notification is made, and not where it is delivered: quiet hours are about the time at which
//! something happened, and every device of the user gets the same answer. What is muted is not stored at all; what is
//! silent is stored and delivered like the rest, and its `presentation` says so; what is shown with sound and toast goes as
//! it was given. Only notifications pass here: what a
//! backend publishes to an inbox channel itself is its own affair.

use bytes::Bytes;
use serde_json::Value;
use tickwire_backplane::Publish;
use tickwire_protocol::{
    Priority, RawJson,
    preferences::{AlertLevel, Notification, Preferences, Presentation},
    time::now_ms,
};

use crate::{
    api::{App, Refusal},
    metrics::PresentationLabels,
};

impl App {
    /// `publish`, with a `presentation` unless it is shown in full, or `None` if its user does not want it. What carries no alert is no notification
    /// and stays as it is.
    pub(crate) async fn present(&self, publish: Publish) -> Result<Option<Publish>, Refusal> {
        let Some(alert) = &publish.alert else { return Ok(Some(publish)) };
        let document = self.backplane.preferences(alert.id.user(), None).await?;
        let decided = decide(&Preferences::of_stored(&document), &publish.data, publish.priority, now_ms());
        let (name, shown) = match decided {
            Presentation::Show { sound, toast } => ("shown", Some((sound, toast))),
            Presentation::Silent => ("silent", Some((false, false))),
            Presentation::Drop => ("dropped", None),
        };
        self.metrics.notifications.get_or_create(&PresentationLabels { presentation: name }).inc();
        let data = shown.map(|shown| match shown {
            (true, true) => publish.data.clone(),
            (sound, toast) => with_presentation(&publish.data, sound, toast),
        });
        Ok(data.map(|data| Publish { data, ..publish }))
    }
}

/// Typed events carry their facts beside `type`, notifications in their `data`.
fn decide(preferences: &Preferences, data: &RawJson, priority: Priority, now_ms: u64) -> Presentation {
    let value: Value = data.to().unwrap_or_default();
    let fact = |name: &str| value[name].as_str().or_else(|| value["data"][name].as_str());
    let kind = value["type"].as_str().unwrap_or_default();
    let named = fact("alertLevel").and_then(|level| serde_json::from_value(level.into()).ok());
    let level = match named {
        Some(level) => level,
        None if kind == "emergency_stop" => AlertLevel::Emergency,
        None => AlertLevel::of(priority),
    };
    preferences.decide(&Notification { kind, level, session: fact("sessionId"), symbol: fact("symbol") }, now_ms)
}

/// `data`, an object with at least its `type`, and one field more.
fn with_presentation(data: &RawJson, sound: bool, toast: bool) -> RawJson {
    let text = data.as_str().trim_end();
    let head = text.strip_suffix('}').unwrap_or(text);
    RawJson::trusted(Bytes::from(format!(r#"{head},"presentation":{{"sound":{sound},"toast":{toast}}}}}"#)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> RawJson {
        RawJson::parse(text.to_owned()).unwrap()
    }

    #[test]
    fn the_presentation_is_one_field_more_and_digits_stay() {
        let presented = with_presentation(&json(r#"{"type":"a","data":{"loss":1.10}}"#), false, true);
        let expected = r#"{"type":"a","data":{"loss":1.10},"presentation":{"sound":false,"toast":true}}"#;
        assert_eq!(presented.as_str(), expected);
        assert!(RawJson::parse(presented.as_str().to_owned()).is_ok());
    }

    #[test]
    fn the_level_is_named_or_follows_from_kind_and_priority() {
        let critical_only = Preferences::parse(&json(r#"{"minimumLevel":"critical","rules":[]}"#)).unwrap();
        let drops = |data: &str, priority| decide(&critical_only, &json(data), priority, 0) == Presentation::Drop;
        assert!(drops(r#"{"type":"a"}"#, Priority::Medium));
        assert!(drops(r#"{"type":"a","alertLevel":"warning"}"#, Priority::Critical));
        assert!(!drops(r#"{"type":"a","data":{"alertLevel":"emergency"}}"#, Priority::Low));
        assert!(!drops(r#"{"type":"emergency_stop"}"#, Priority::Low));
        assert!(!drops(r#"{"type":"a","alertLevel":7}"#, Priority::Critical));
    }

    #[test]
    fn facts_are_found_in_both_places() {
        let muted = json(r#"{"rules":[{"sessions":["42"],"symbols":["X"],"action":"mute"}]}"#);
        let muted = Preferences::parse(&muted).unwrap();
        for (data, decided) in [
            (r#"{"type":"a","sessionId":"42","symbol":"X"}"#, Presentation::Drop),
            (r#"{"type":"a","data":{"sessionId":"42","symbol":"X"}}"#, Presentation::Drop),
            (r#"{"type":"a","sessionId":"42"}"#, Presentation::Show { sound: true, toast: true }),
        ] {
            assert_eq!(decide(&muted, &json(data), Priority::Medium, 0), decided, "{data}");
        }
    }
}
