//! What users are told of, as tables.

use tickwire_protocol::{
    Priority, RawJson,
    preferences::{AlertLevel, Notification, Preferences, Presentation, RULES_MAX},
};

const LOUD: Presentation = Presentation::Show { sound: true, toast: true };
/// 2026-01-07, a Wednesday, 12:00 UTC.
const NOON_MS: u64 = 1_767_787_200_000;

fn json(text: &str) -> RawJson {
    RawJson::parse(text.to_owned()).expect("JSON")
}

fn preferences(text: &str) -> Preferences {
    Preferences::parse(&json(text)).expect("a good document")
}

fn about(kind: &str, level: AlertLevel) -> Notification<'_> {
    Notification { kind, level, session: Some("42"), symbol: Some("BTC/USDT") }
}

/// Milliseconds since the Unix epoch of an RFC 3339 time.
fn at(text: &str) -> u64 {
    u64::try_from(text.parse::<jiff::Timestamp>().expect("a time").as_millisecond()).expect("a time")
}

#[test]
fn rules_levels_and_quiet_hours_decide_in_this_order() {
    use AlertLevel::{Critical, Emergency, Info, Warning};
    let always = r#""quietHours":{"timeZone":"UTC","from":"00:00","until":"00:00"}"#;
    let cases = [
        ("{}", Info, LOUD),
        (r#"{"sound":false}"#, Info, Presentation::Show { sound: false, toast: true }),
        (r#"{"minimumLevel":"warning"}"#, Info, Presentation::Drop),
        (r#"{"minimumLevel":"warning"}"#, Warning, LOUD),
        (r#"{"minimumLevel":"emergency"}"#, Critical, Presentation::Silent),
        (r#"{"minimumLevel":"emergency"}"#, Emergency, LOUD),
        (r#"{"rules":[{"action":"mute"}]}"#, Warning, Presentation::Drop),
        (r#"{"rules":[{"action":"mute"}]}"#, Critical, Presentation::Silent),
        (r#"{"rules":[{"action":"mute"}],"sound":false,"toast":false}"#, Emergency, LOUD),
        (r#"{"rules":[{"action":"silent"}]}"#, Warning, Presentation::Silent),
        (
            r#"{"rules":[{"types":["x"],"action":"mute"},{"types":["loss"],"action":"silent"}]}"#,
            Info,
            Presentation::Silent,
        ),
        (r#"{"rules":[{"action":"show"},{"action":"mute"}]}"#, Info, LOUD),
        (r#"{"rules":[{"types":["loss"],"symbols":["ETH/USDT"],"action":"mute"}]}"#, Info, LOUD),
        (
            r#"{"rules":[{"sessions":["42"],"symbols":["BTC/USDT"],"levels":["info"],"action":"mute"}]}"#,
            Info,
            Presentation::Drop,
        ),
        (
            r#"{"minimumLevel":"critical","rules":[{"sessions":["42"],"action":"show","toast":false}]}"#,
            Info,
            Presentation::Show { sound: true, toast: false },
        ),
        (&format!("{{{always}}}"), Critical, Presentation::Silent),
        (&format!("{{{always}}}"), Emergency, LOUD),
        (&format!(r#"{{{always},"minimumLevel":"warning"}}"#), Info, Presentation::Drop),
        (&format!(r#"{{{always},"rules":[{{"action":"show"}}]}}"#), Info, Presentation::Silent),
        (&format!(r#"{{{always},"rules":[{{"action":"show","duringQuietHours":true}}]}}"#), Info, LOUD),
    ];
    for (document, level, expected) in cases {
        let decided = preferences(document).decide(&about("loss", level), NOON_MS);
        assert_eq!(decided, expected, "{document} of {level:?}");
    }
}

#[test]
fn a_rule_about_sessions_does_not_fit_what_has_none() {
    let muted = preferences(r#"{"rules":[{"sessions":["42"],"action":"mute"}]}"#);
    let notification = Notification { kind: "x", level: AlertLevel::Info, session: None, symbol: None };
    assert_eq!(muted.decide(&notification, NOON_MS), LOUD);
}

#[test]
fn quiet_hours_follow_the_clock_on_the_wall() {
    let cases = [
        // Overnight in Berlin, in winter (UTC+1) and in summer (UTC+2).
        ("Europe/Berlin", "22:00", "07:00", "2026-01-07T20:59:59Z", false),
        ("Europe/Berlin", "22:00", "07:00", "2026-01-07T21:00:00Z", true),
        ("Europe/Berlin", "22:00", "07:00", "2026-01-08T05:59:59Z", true),
        ("Europe/Berlin", "22:00", "07:00", "2026-01-08T06:00:00Z", false),
        ("Europe/Berlin", "22:00", "07:00", "2026-07-07T20:00:00Z", true),
        ("Europe/Berlin", "22:00", "07:00", "2026-07-08T05:00:00Z", false),
        // The night in which Berlin's clocks go from 2:00 to 3:00: 2:30 never is, silence ends when 3:00 comes.
        ("Europe/Berlin", "22:00", "02:30", "2026-03-29T00:59:59Z", true),
        ("Europe/Berlin", "22:00", "02:30", "2026-03-29T01:00:00Z", false),
        ("Europe/Berlin", "22:00", "07:00", "2026-03-29T04:59:59Z", true),
        ("Europe/Berlin", "22:00", "07:00", "2026-03-29T05:00:00Z", false),
        // The night in which they go from 3:00 back to 2:00: 2:15 is twice, and twice it is quiet.
        ("Europe/Berlin", "02:00", "02:30", "2026-10-25T00:15:00Z", true),
        ("Europe/Berlin", "02:00", "02:30", "2026-10-25T00:45:00Z", false),
        ("Europe/Berlin", "02:00", "02:30", "2026-10-25T01:15:00Z", true),
        ("Europe/Berlin", "02:00", "02:30", "2026-10-25T01:45:00Z", false),
        // New York changes on other days than Berlin.
        ("America/New_York", "09:30", "16:00", "2026-03-06T14:30:00Z", true),
        ("America/New_York", "09:30", "16:00", "2026-03-09T13:30:00Z", true),
        ("America/New_York", "09:30", "16:00", "2026-03-09T20:00:00Z", false),
        // Half-hour zones.
        ("Asia/Kolkata", "23:00", "06:00", "2026-01-07T17:30:00Z", true),
        ("Asia/Kolkata", "23:00", "06:00", "2026-01-07T17:29:00Z", false),
    ];
    for (zone, from, until, time, quiet) in cases {
        let document = format!(r#"{{"quietHours":{{"timeZone":"{zone}","from":"{from}","until":"{until}"}}}}"#);
        let expected = if quiet { Presentation::Silent } else { LOUD };
        assert_eq!(
            preferences(&document).decide(&about("x", AlertLevel::Info), at(time)),
            expected,
            "{document} at {time}"
        );
    }
}

#[test]
fn days_are_those_on_which_silence_begins() {
    let friday_night =
        preferences(r#"{"quietHours":{"timeZone":"UTC","from":"22:00","until":"07:00","days":["fri"]}}"#);
    for (time, quiet) in [
        ("2026-01-08T23:00:00Z", false),
        ("2026-01-09T06:00:00Z", false),
        ("2026-01-09T23:00:00Z", true),
        ("2026-01-10T06:00:00Z", true),
        ("2026-01-10T23:00:00Z", false),
    ] {
        let expected = if quiet { Presentation::Silent } else { LOUD };
        assert_eq!(friday_night.decide(&about("x", AlertLevel::Info), at(time)), expected, "{time}");
    }
}

#[test]
fn changes_are_checked_and_errors_say_where() {
    for good in [
        "{}",
        r#"{"sound":false,"rules":null,"legacy":null}"#,
        r#"{"quietHours":{"timeZone":"Europe/Berlin","from":"22:00","until":"07:00"}}"#,
    ] {
        assert_eq!(Preferences::check_changes(&json(good)), Ok(()), "{good}");
    }
    let long = format!(r#"{{"rules":[{{"types":["{}"],"action":"mute"}}]}}"#, "x".repeat(129));
    let many = format!(r#"{{"rules":[{}]}}"#, vec![r#"{"action":"mute"}"#; RULES_MAX + 1].join(","));
    for (wrong, path) in [
        (r#"{"volume":3}"#, "volume"),
        (r#"{"sound":"yes"}"#, "sound"),
        (r#"{"minimumLevel":"loud"}"#, "minimumLevel"),
        (r#"{"rules":[{"action":"mute"},{"action":"shout"}]}"#, "rules[1].action"),
        (r#"{"rules":[{"types":["a"]}]}"#, "rules[0]"),
        (r#"{"rules":[{"action":"mute","color":"red"}]}"#, "rules[0].color"),
        (r#"{"quietHours":{"timeZone":"Mars/Olympus","from":"22:00","until":"07:00"}}"#, "quietHours.timeZone"),
        (r#"{"quietHours":{"timeZone":"UTC","from":"24:00","until":"07:00"}}"#, "quietHours.from"),
        (r#"{"quietHours":{"timeZone":"UTC","from":"7:00","until":"+7:00"}}"#, "quietHours.from"),
        (&long, "rules[0].types"),
        (&many, "rules"),
        ("[]", "set"),
    ] {
        let error = Preferences::check_changes(&json(wrong)).unwrap_err();
        assert_eq!(error.path, path, "{wrong}: {error}");
    }
}

#[test]
fn a_document_of_another_version_counts_as_far_as_it_is_understood() {
    let stored = json(r#"{"email":true,"sound":false,"minimumLevel":"loud"}"#);
    assert_eq!(Preferences::of_stored(&stored), Preferences { sound: false, ..Preferences::default() });
    assert_eq!(Preferences::of_stored(&json("[1]")), Preferences::default());
}

#[test]
fn a_document_is_written_as_it_is_read() {
    let text = r#"{"minimumLevel":"warning","sound":true,"toast":false,"rules":[{"types":["a"],"action":"show","sound":false}],"quietHours":{"timeZone":"Europe/Berlin","from":"22:05","until":"07:00","days":["mon"]}}"#;
    assert_eq!(RawJson::of(&preferences(text)).unwrap().as_str(), text);
}

#[test]
fn the_level_follows_from_the_priority() {
    let levels = [Priority::Low, Priority::Medium, Priority::High, Priority::Critical].map(AlertLevel::of);
    assert_eq!(levels, [AlertLevel::Info, AlertLevel::Info, AlertLevel::Warning, AlertLevel::Critical]);
}
