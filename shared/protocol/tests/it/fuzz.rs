//! Fuzz targets, one for each reader of foreign bytes. As tests they replay the corpus kept beside this file
//! (`__fuzz__/…/corpus`) and a few seconds of random input; `cargo bolero test -p tickwire-protocol fuzz::json` runs one under a
//! coverage-guided engine for as long as one likes, and puts what it finds beside the corpus.

use std::time::Duration;

use tickwire_protocol::{
    ChannelName, Dialect, Position, RawJson,
    codec::{DecodeLimits, decode_events},
    envelope,
    filter::Filter,
    preferences::Preferences,
};

use crate::{hostile::check_frame, sample};

/// Time for random input, each.
const TIME: Duration = Duration::from_secs(2);
const LENGTH_MAX: usize = 4_096;

macro_rules! fuzz {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[test]
        fn $name() {
            bolero::check!().with_test_time(TIME).with_max_len(LENGTH_MAX).for_each($check);
        }
    };
}

fuzz!(json, |bytes: &[u8]| check_frame(Dialect::Json, bytes));
fuzz!(msgpack, |bytes: &[u8]| check_frame(Dialect::MsgPack, bytes));
fuzz!(upper, |bytes: &[u8]| check_frame(Dialect::Upper, bytes));
fuzz!(grekko, |bytes: &[u8]| check_frame(Dialect::Grekko, bytes));

fuzz!(
    /// A frame read twice says the same, and reading it never depends on the first frame's dialect.
    detection,
    |bytes: &[u8]| {
        let limits = DecodeLimits::default();
        let dialect = Dialect::detect(bytes);
        assert_eq!(format!("{:?}", dialect.decode(bytes, &limits)), format!("{:?}", dialect.decode(bytes, &limits)));
    }
);

fuzz!(server_events_json, |bytes: &[u8]| drop(decode_events(false, bytes)));
fuzz!(server_events_msgpack, |bytes: &[u8]| drop(decode_events(true, bytes)));

fuzz!(stored_envelope, |bytes: &[u8]| {
    drop(envelope::decode(sample::channel("system"), None, bytes.to_vec().into()));
});

fuzz!(
    /// What parses is printed in a form that parses to the same.
    names,
    |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        if let Ok(position) = text.parse::<Position>() {
            assert_eq!(position.to_string().parse::<Position>().ok(), Some(position));
        }
        if let Ok(channel) = ChannelName::new(&text) {
            assert_eq!(channel.as_str(), text);
        }
    }
);

fuzz!(filter, |bytes: &[u8]| {
    if let Ok(filter) = Filter::parse(&String::from_utf8_lossy(bytes)) {
        let tags = [("side", "buy"), ("size", "10.5"), ("symbol", "BTC/USDT")];
        filter.matches(&tags.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    }
});

fuzz!(preferences, |bytes: &[u8]| {
    if let Ok(document) = RawJson::parse(bytes.to_vec()) {
        drop(Preferences::parse(&document));
        Preferences::of_stored(&document);
    }
});
