//! How settings are read. The environment is given, never this process's own.

use std::{collections::BTreeMap, ffi::OsString, io::Write};

use serde::{Deserialize, Serialize};
use tickwire_telemetry::{ConfigError, TelemetryConfig, config};

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Settings {
    auth: Auth,
    emitter: Emitter,
    namespaces: BTreeMap<String, Namespace>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Auth {
    hs256_secret: Option<String>,
    leeway_s: u64,
    offset: i32,
    ratio: f64,
    strict: bool,
    public_keys: Vec<Key>,
}

impl Default for Auth {
    fn default() -> Self {
        Self { hs256_secret: None, leeway_s: 5, offset: -1, ratio: 0.5, strict: true, public_keys: Vec::new() }
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    pem: String,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Emitter {
    api_keys: Vec<String>,
    ports: Vec<u16>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Namespace {
    class: Class,
    access: Access,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Class {
    Latest,
    Reliable,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Access {
    Anyone,
    Role(String),
}

const OWN: [&str; 3] = ["auth", "emitter", "namespaces"];

fn load(variables: &[(&str, &str)]) -> Result<Settings, ConfigError> {
    config::load_from("", &OWN, variables.iter().map(|&(name, value)| (OsString::from(name), OsString::from(value))))
}

fn file(toml: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(toml.as_bytes()).unwrap();
    file
}

fn load_file(toml: &str, variables: &[(&str, &str)]) -> Result<Settings, ConfigError> {
    let file = file(toml);
    let mut variables = variables.to_vec();
    variables.push(("TICKWIRE_CONFIG", file.path().to_str().unwrap()));
    load(&variables)
}

fn invalid(outcome: Result<Settings, ConfigError>) -> (String, String, String) {
    match outcome {
        Err(ConfigError::Invalid { key, source_name, reason }) => (key, source_name, reason),
        other => panic!("{other:?}"),
    }
}

#[test]
fn nothing_set_gives_the_defaults() {
    assert_eq!(load(&[]).unwrap(), Settings::default());
    assert_eq!(load(&[("PATH", "/bin"), ("TICKWIRE_LISTEN", "x")]).unwrap(), Settings::default());
}

#[test]
fn a_variable_is_read_as_what_its_key_wants() {
    let settings = load(&[
        ("TICKWIRE_AUTH__HS256_SECRET", "12345678901234567890"),
        ("TICKWIRE_AUTH__LEEWAY_S", "7"),
        ("TICKWIRE_AUTH__OFFSET", "-3"),
        ("TICKWIRE_AUTH__RATIO", "1"),
        ("TICKWIRE_AUTH__STRICT", "false"),
        ("TICKWIRE_EMITTER__API_KEYS", "007"),
        ("TICKWIRE_EMITTER__PORTS", "1, 2,3,"),
    ])
    .unwrap();
    assert_eq!(settings.auth.hs256_secret.as_deref(), Some("12345678901234567890"));
    assert_eq!((settings.auth.leeway_s, settings.auth.offset), (7, -3));
    assert!((settings.auth.ratio - 1.0).abs() < f64::EPSILON);
    assert!(!settings.auth.strict);
    assert_eq!(settings.emitter.api_keys, ["007"]);
    assert_eq!(settings.emitter.ports, [1, 2, 3]);
    let settings = load(&[("TICKWIRE_AUTH__HS256_SECRET", "[a]{b}=\"true\""), ("TICKWIRE_EMITTER__API_KEYS", "a,b")]);
    let settings = settings.unwrap();
    assert_eq!(settings.auth.hs256_secret.as_deref(), Some("[a]{b}=\"true\""));
    assert_eq!(settings.emitter.api_keys, ["a", "b"]);
}

#[test]
fn an_empty_variable_is_none_or_an_empty_list() {
    let settings = load(&[("TICKWIRE_AUTH__HS256_SECRET", ""), ("TICKWIRE_EMITTER__API_KEYS", "")]).unwrap();
    assert_eq!(settings, Settings::default());
}

#[test]
fn tables_and_lists_of_tables_can_be_given_as_json() {
    let settings = load(&[
        ("TICKWIRE_AUTH__PUBLIC_KEYS", r#"[{"pem":"a,b"}]"#),
        ("TICKWIRE_NAMESPACES", "ignored: a section alone sets nothing"),
        ("TICKWIRE_NAMESPACES__DESK", r#"{"class":"latest","access":{"role":"desk"}}"#),
    ])
    .unwrap();
    assert_eq!(settings.auth.public_keys, [Key { pem: "a,b".to_owned() }]);
    let desk = Namespace { class: Class::Latest, access: Access::Role("desk".to_owned()) };
    assert_eq!(settings.namespaces.get("desk"), Some(&desk));
}

#[test]
fn the_environment_goes_over_the_file_key_by_key() {
    let toml = "
        [auth]
        hs256_secret = 'from the file'
        leeway_s = 9
        [emitter]
        api_keys = ['x']
        [namespaces.price-updates]
        class = 'reliable'
        access = { role = 'desk' }
        [edge]
        somebody = 'else'
    ";
    let settings = load_file(toml, &[("TICKWIRE_AUTH__LEEWAY_S", "10"), ("TICKWIRE_EDGE__ANYTHING", "1")]).unwrap();
    assert_eq!(settings.auth.hs256_secret.as_deref(), Some("from the file"));
    assert_eq!(settings.auth.leeway_s, 10);
    assert_eq!(settings.emitter.api_keys, ["x"]);
    assert_eq!(settings.namespaces["price-updates"].access, Access::Role("desk".to_owned()));
}

#[test]
fn an_unknown_key_of_an_own_section_is_refused_where_it_stands() {
    let (key, source, reason) = invalid(load(&[("TICKWIRE_AUTH__HS256_SECERT", "very secret")]));
    assert_eq!((key.as_str(), source.as_str()), ("auth.hs256_secert", "TICKWIRE_AUTH__HS256_SECERT"));
    assert!(reason.contains("hs256_secret") && !reason.contains("very secret"), "{reason}");
    let (key, source, _) = invalid(load_file("[emitter]\napi_key = 'very secret'", &[]));
    assert_eq!(key, "emitter.api_key");
    assert!(source.contains("tmp"), "{source}");
}

#[test]
fn an_unknown_section_is_refused() {
    let error = load(&[("TICKWIRE_ATUH__HS256_SECRET", "x")]).unwrap_err();
    assert!(
        matches!(&error, ConfigError::UnknownSection { section, source_name }
        if section == "atuh" && source_name == "TICKWIRE_ATUH__HS256_SECRET"),
        "{error}"
    );
    assert!(matches!(load_file("[limit]\nx = 1", &[]), Err(ConfigError::UnknownSection { .. })));
    assert!(matches!(load_file("x = 1", &[]), Err(ConfigError::UnknownSection { .. })));
}

#[test]
fn one_underscore_too_few_is_refused_with_the_right_name() {
    let error = load(&[("TICKWIRE_AUTH_HS256_SECRET", "x")]).unwrap_err();
    assert!(error.to_string().contains("TICKWIRE_AUTH__HS256_SECRET"), "{error}");
    let by_kubernetes = [("TICKWIRE_EDGE_PORT", "tcp://10.0.0.1:8000"), ("TICKWIRE_EDGE_SERVICE_HOST", "10.0.0.1")];
    assert_eq!(load(&by_kubernetes).unwrap(), Settings::default());
}

#[test]
fn values_of_the_wrong_type_are_refused_without_being_shown() {
    for (name, value, wanted) in [
        ("TICKWIRE_AUTH__LEEWAY_S", "hunter2", "whole number"),
        ("TICKWIRE_AUTH__LEEWAY_S", "-5", "u64"),
        ("TICKWIRE_AUTH__LEEWAY_S", "1.5", "whole number"),
        ("TICKWIRE_AUTH__RATIO", "hunter2", "number"),
        ("TICKWIRE_AUTH__STRICT", "hunter2", "true or false"),
        ("TICKWIRE_AUTH__PUBLIC_KEYS", "[hunter2", "list in JSON"),
        ("TICKWIRE_EMITTER__PORTS", "1,hunter2", "whole number"),
        ("TICKWIRE_EMITTER__PORTS", "70000", "u16"),
        ("TICKWIRE_NAMESPACES__X", "hunter2", "table in JSON"),
    ] {
        let (_, source, reason) = invalid(load(&[(name, value)]));
        assert_eq!(source, name);
        assert!(reason.contains(wanted) && !reason.contains("hunter2"), "{name}={value}: {reason}");
    }
    let (key, _, reason) = invalid(load_file("[auth]\nhs256_secret = 4242424242", &[]));
    assert_eq!(key, "auth.hs256_secret");
    assert!(!reason.contains("4242"), "{reason}");
    let (key, ..) = invalid(load_file("[auth]\nleeway_s = '5'", &[]));
    assert_eq!(key, "auth.leeway_s", "a file says what it means");
}

#[test]
fn a_missing_or_broken_file_is_an_error_that_quotes_no_secret() {
    let missing = load(&[("TICKWIRE_CONFIG", "/nonexistent/tickwire.toml")]);
    assert!(matches!(missing, Err(ConfigError::Unreadable { .. })), "{missing:?}");
    let error = load_file("[auth]\nhs256_secret = hunter2 hunter2", &[]).unwrap_err();
    assert!(matches!(error, ConfigError::NotToml { .. }));
    assert!(error.to_string().contains("line 2") && !error.to_string().contains("hunter2"), "{error}");
    assert_eq!(load(&[("TICKWIRE_CONFIG", "")]).unwrap(), Settings::default());
}

#[test]
fn a_services_own_defaults_hold_key_by_key_under_file_and_environment() {
    let base = "[auth]\nhs256_secret = 'development'\nleeway_s = 1\n[emitter]\napi_keys = ['x']";
    let variables = [(OsString::from("TICKWIRE_AUTH__LEEWAY_S"), OsString::from("2"))];
    let settings: Settings = config::load_from(base, &OWN, variables).unwrap();
    assert_eq!((settings.auth.hs256_secret.as_deref(), settings.auth.leeway_s), (Some("development"), 2));
    assert_eq!(settings.emitter.api_keys, ["x"]);
    assert!(config::load_from::<Settings>("[auth\n", &OWN, []).is_err(), "a broken text is not passed over");
}

#[cfg(unix)]
#[test]
fn a_value_that_is_not_utf8_is_refused() {
    use std::os::unix::ffi::OsStringExt;
    let variables = [(OsString::from("TICKWIRE_AUTH__HS256_SECRET"), OsString::from_vec(vec![0xff]))];
    let outcome = config::load_from::<Settings>("", &OWN, variables);
    assert!(matches!(outcome, Err(ConfigError::NotUtf8 { .. })));
}

#[test]
fn the_rendered_defaults_load_to_the_defaults() {
    let text = config::defaults::<Settings>();
    assert!(text.contains("leeway_s = 5  # TICKWIRE_AUTH__LEEWAY_S"), "{text}");
    assert!(text.contains("# hs256_secret =  # TICKWIRE_AUTH__HS256_SECRET"), "{text}");
    assert_eq!(load_file(&text, &[]).unwrap(), Settings::default());
}

#[test]
fn the_telemetry_section_reads_its_own_types() {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Own {
        telemetry: TelemetryConfig,
    }
    let variables = [("TICKWIRE_TELEMETRY__LOG_FORMAT", "json"), ("TICKWIRE_TELEMETRY__SAMPLE_RATIO", "0.25")];
    let own: Own =
        config::load_from("", &["telemetry"], variables.map(|(name, value)| (name.into(), value.into()))).unwrap();
    assert_eq!(own.telemetry.log_format, tickwire_telemetry::LogFormat::Json);
    assert!((own.telemetry.sample_ratio - 0.25).abs() < f64::EPSILON);
}
