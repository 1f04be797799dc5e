use super::Cursor;

/// What a standard parser accepts, the cursor passes over wholly.
#[test]
fn valid_json_is_passed_over_to_its_end() {
    for text in [
        "{}",
        "[]",
        " [ 1 , -2.5e+3, \"a\\\"b\\u00e9\", null, true, false, {\"a\":{}} ] ",
        r#"{"a":[[["x"]]],"\u0062":0}"#,
    ] {
        let mut cursor = Cursor::new(text);
        cursor.skip().and_then(|()| cursor.end()).unwrap_or_else(|error| panic!("{text}: {error}"));
    }
}

#[test]
fn broken_json_is_an_error_and_not_a_panic() {
    for text in [
        "",
        "{",
        "[1",
        "\"",
        "\"\\",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1,}",
        "[1,]",
        "{1:2}",
        "[1 2]",
        "{}x",
        "\"\\x\"",
        ",",
    ] {
        let mut cursor = Cursor::new(text);
        assert!(cursor.skip().and_then(|()| cursor.end()).is_err(), "{text}");
    }
}

#[test]
fn nesting_is_bounded() {
    let deep = "[".repeat(100_000);
    assert_eq!(Cursor::new(&deep).skip().map_err(|error| error.expected), Err("less depth"));
}

#[test]
fn digits_are_handed_over_as_sent() {
    let mut cursor = Cursor::new("[0.00005100, \"1.50\", 1.0E-7]");
    let mut read = Vec::new();
    cursor
        .array(|cursor| {
            read.push(cursor.decimal()?.to_string());
            Ok(())
        })
        .unwrap();
    assert_eq!(read, ["0.00005100", "1.50", "0.00000010"]);
}

#[test]
fn fields_come_in_any_order_and_unknown_ones_are_counted() {
    let mut cursor = Cursor::new(r#"{"new":{"deep":[1,2]},"b":2,"a":"1"}"#);
    let (mut a, mut b) = (0, 0);
    cursor
        .object(|cursor, key| {
            match key {
                "a" => a = cursor.unsigned()?,
                "b" => b = cursor.unsigned()?,
                _ => cursor.unknown()?,
            }
            Ok(())
        })
        .unwrap();
    assert_eq!((a, b, cursor.unknown_fields()), (1, 2, 1));
}
