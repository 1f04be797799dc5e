//! Names, positions and codes as text.

use proptest::prelude::*;
use tickwire_protocol::{
    ChannelName, DeliveryClass, ErrorCode, Position, Priority, UserId,
    channel::InvalidChannel,
    namespace::{Access, Namespaces},
};

use crate::sample;

proptest! {
    #[test]
    fn a_position_survives_its_text(position in sample::positions()) {
        prop_assert_eq!(position.to_string().parse(), Ok(position));
    }

    #[test]
    fn any_text_is_a_name_or_an_error(text in any::<String>()) {
        if let Ok(name) = ChannelName::new(&text) {
            prop_assert_eq!(name.as_str(), &text);
            prop_assert_eq!(name.segments().next(), Some(name.namespace()));
        }
        if let Ok(user) = UserId::new(&text) {
            let stream = ChannelName::new(&format!("user:{user}:positions"));
            prop_assert!(stream.is_ok());
        }
        if let Ok(position) = text.parse::<Position>() {
            prop_assert!(position.next() > position);
        }
    }
}

#[test]
fn what_is_no_position_is_refused() {
    for text in [
        "",
        "-",
        "1",
        "1-",
        "-1",
        "1-1-1",
        "+1-1",
        "1-+1",
        " 1-1",
        "1-1 ",
        "a-1",
        "18446744073709551615-0",
        "0-18446744073709551615",
        "18446744073709551616-0",
    ] {
        assert!(text.parse::<Position>().is_err(), "{text}");
    }
    assert_eq!("1763683200000-17".parse(), Ok(Position::new(1_763_683_200_000, 17)));
    assert!(Position::new(2, 0) > Position::new(1, 9));
}

#[test]
fn a_channel_name_is_1_to_255_printable_characters() {
    assert_eq!(ChannelName::new(""), Err(InvalidChannel::Empty));
    assert_eq!(ChannelName::new(&"x".repeat(256)), Err(InvalidChannel::TooLong));
    assert!(ChannelName::new(&"x".repeat(255)).is_ok());
    for name in ["two words", "tab\t", "ümlaut", "nul\0", "del\u{7f}"] {
        assert_eq!(ChannelName::new(name), Err(InvalidChannel::NotPrintable), "{name:?}");
    }
}

#[test]
fn no_user_can_name_anothers_channel() {
    for id in ["", "a:b", "a b", "ü"] {
        assert!(UserId::new(id).is_err(), "{id:?}");
    }
}

#[test]
fn an_inbox_has_exactly_one_user_and_streams_below_it() {
    let namespaces = Namespaces::default();
    let policy = |name: &str| namespaces.policy(&sample::channel(name));
    assert_eq!(policy("user:7").map(|policy| policy.class), Some(DeliveryClass::Inbox));
    assert_eq!(policy("user:7:orders").map(|policy| policy.class), Some(DeliveryClass::Reliable));
    assert_eq!(policy("user:7:orders").map(|policy| &policy.access), Some(&Access::OwnUser));
    assert!(policy("user").is_none());
    assert!(policy("user:7:orders:x").is_none());
    assert!(policy("nobody:7").is_none());
}

#[test]
fn serde_and_the_frames_agree_on_every_name() {
    let quoted = |text: &str| format!("\"{text}\"");
    for code in ErrorCode::ALL {
        assert_eq!(serde_json::to_string(&code).expect("renders"), quoted(code.as_str()));
        assert_eq!(ErrorCode::from_wire(code.as_str()), Some(code));
    }
    for priority in Priority::ALL {
        assert_eq!(serde_json::to_string(&priority).expect("renders"), quoted(priority.as_str()));
    }
    for class in [DeliveryClass::Reliable, DeliveryClass::Latest, DeliveryClass::Volatile, DeliveryClass::Inbox] {
        assert_eq!(serde_json::to_string(&class).expect("renders"), quoted(class.as_str()));
    }
}
