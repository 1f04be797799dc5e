//! Settings: defaults, then the TOML file that `TICKWIRE_CONFIG` names, then `TICKWIRE_<SECTION>__<KEY>`.
//!
//! All services of a deployment may share one file and one environment: each reads its own sections and passes over
//! those of others. An unknown key in an own section, and a section nobody has, are errors.
//!
//! A value from the environment is read as what the key wants, not as what it looks like: `1234` for a secret is a
//! text, `a` for a list is a list of one, `a,b` of two, an empty value for an optional key is none. Tables and lists
//! of tables can be given as JSON.

mod env;
mod render;
mod setting;

use std::{ffi::OsString, path::PathBuf};

use figment::{
    Figment, Profile,
    providers::{Format, Toml},
    value::Value,
};
use serde::de::DeserializeOwned;

pub use render::defaults;

/// Every section that some service has. A section outside this list is a mistake.
pub const SECTIONS: [&str; 15] = [
    "algorithm",
    "auth",
    "backplane",
    "edge",
    "emitter",
    "escalation",
    "feed",
    "limits",
    "namespaces",
    "risk",
    "sdk",
    "session",
    "standalone",
    "telemetry",
    "trading",
];

/// What every variable begins with.
pub const PREFIX: &str = "TICKWIRE_";
/// The variable that names the file.
pub const FILE_VARIABLE: &str = "TICKWIRE_CONFIG";

/// Why settings cannot be used. `Display` names the key and where it was set, never a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// `TICKWIRE_CONFIG` names a file that cannot be read.
    #[error("the file {} that TICKWIRE_CONFIG names cannot be read: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        reason: String,
    },
    /// The file is not TOML.
    #[error("the file {} is not TOML: {reason}", path.display())]
    NotToml {
        /// The file.
        path: PathBuf,
        /// The parser's reason, without the line it stumbled over.
        reason: String,
    },
    /// A section that no service has.
    #[error("unknown section `{section}` in {source_name}; there are {}", SECTIONS.join(", "))]
    UnknownSection {
        /// The section.
        section: String,
        /// File or environment variable.
        source_name: String,
    },
    /// A variable that was meant for a section but lacks the second underscore.
    #[error("{variable} sets nothing: section and key are joined by two underscores, as in {meant}")]
    SingleUnderscore {
        /// The variable.
        variable: String,
        /// What was probably meant.
        meant: String,
    },
    /// A variable whose value is not UTF-8.
    #[error("the value of {variable} is not UTF-8")]
    NotUtf8 {
        /// The variable.
        variable: String,
    },
    /// A key that does not exist, or a value of the wrong type.
    #[error("{key} in {source_name}: {reason}")]
    Invalid {
        /// Dotted path, such as `auth.leeway_s`.
        key: String,
        /// File or environment variable.
        source_name: String,
        /// What is wrong.
        reason: String,
    },
}

/// Reads `sections` from the file and the environment of this process into `T`, a struct with one field a section,
/// each with a default.
pub fn load<T: DeserializeOwned>(sections: &[&str]) -> Result<T, ConfigError> {
    load_from("", sections, std::env::vars_os())
}

/// [`load`] over `base`, a TOML text of a service's own defaults: unlike a `Default` of `T` they hold key by key, also in a
/// section of which the file or the environment sets another key.
pub fn load_over<T: DeserializeOwned>(base: &str, sections: &[&str]) -> Result<T, ConfigError> {
    load_from(base, sections, std::env::vars_os())
}

/// [`load_over`] with the environment given as `variables`.
pub fn load_from<T: DeserializeOwned>(
    base: &str,
    sections: &[&str],
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<T, ConfigError> {
    let environment = env::Environment::read(variables)?;
    let mut layers = Figment::new().merge(Toml::string(base));
    if let Some(path) = &environment.file {
        layers = layers.merge(file(path)?);
    }
    layers = layers.merge(environment);
    let root = own_sections(&layers, sections)?;
    setting::extract(&root, &layers)
}

/// The file as a layer, read once here for errors that can be understood: the provider takes a missing file for an
/// empty one.
fn file(path: &std::path::Path) -> Result<figment::providers::Data<Toml>, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| ConfigError::Unreadable { path: path.to_owned(), reason: error.to_string() })?;
    if let Err(error) = Toml::from_str::<Value>(&text) {
        // The parser quotes the line, and the line may hold a secret.
        let message = error.to_string();
        let unquoted: Vec<&str> = message.lines().map(str::trim).filter(|line| !line.contains('|')).collect();
        return Err(ConfigError::NotToml { path: path.to_owned(), reason: unquoted.join(" ") });
    }
    Ok(Toml::file_exact(path))
}

fn own_sections(layers: &Figment, sections: &[&str]) -> Result<Value, ConfigError> {
    let mut own = figment::value::Dict::new();
    let all = layers.find_value("").map_err(|_| ConfigError::Invalid {
        key: "settings".to_owned(),
        source_name: "the service's own defaults".to_owned(),
        reason: "not TOML".to_owned(),
    })?;
    let Value::Dict(tag, all) = all else {
        return Ok(Value::from(own));
    };
    for (name, value) in all {
        if sections.contains(&name.as_str()) {
            own.insert(name, value);
        } else if !SECTIONS.contains(&name.as_str()) {
            let source_name = setting::source_name(layers, &value, &name);
            return Err(ConfigError::UnknownSection { section: name, source_name });
        }
    }
    Ok(Value::Dict(tag, own))
}

/// The one profile in use; figment has more.
const PROFILE: Profile = Profile::Default;
