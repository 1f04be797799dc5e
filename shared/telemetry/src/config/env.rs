//! The environment as a layer of settings.

use std::{ffi::OsString, path::PathBuf};

use figment::{
    Metadata, Profile, Provider,
    value::{Dict, Map, Value},
};

use super::{ConfigError, FILE_VARIABLE, PREFIX, PROFILE};

/// The layer's name, by which a value is known to come from here and to be untyped text.
pub(super) const ENVIRONMENT: &str = "environment";

/// The variables that are settings, as a tree of texts.
pub(super) struct Environment {
    /// The file that `TICKWIRE_CONFIG` names.
    pub(super) file: Option<PathBuf>,
    sections: Dict,
}

impl Environment {
    pub(super) fn read(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Self, ConfigError> {
        let mut read = Self { file: None, sections: Dict::new() };
        for (name, value) in variables {
            let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
            if name == FILE_VARIABLE {
                read.file = (!value.is_empty()).then(|| PathBuf::from(value));
                continue;
            }
            let path = name[PREFIX.len()..].to_ascii_lowercase();
            let keys: Vec<&str> = path.split("__").collect();
            if keys.len() == 1 {
                refuse_near_miss(name, &path)?;
                continue;
            }
            let Ok(value) = value.into_string() else {
                return Err(ConfigError::NotUtf8 { variable: name.to_owned() });
            };
            insert(&mut read.sections, &keys, value);
        }
        Ok(read)
    }
}

/// Sections whose variables are checked for a missing underscore. Not those named after a service: Kubernetes itself
/// sets `TICKWIRE_EDGE_SERVICE_HOST`, `TICKWIRE_EDGE_PORT` and more for a Service called `tickwire-edge`.
const CHECKED: [&str; 5] = ["auth", "backplane", "limits", "namespaces", "telemetry"];

/// `TICKWIRE_AUTH_HS256_SECRET` would be passed over in silence, and the service run without it. Variables without a
/// section's name belong to a command line (`TICKWIRE_LISTEN`).
fn refuse_near_miss(name: &str, path: &str) -> Result<(), ConfigError> {
    let Some((section, key)) = path.split_once('_') else { return Ok(()) };
    if !CHECKED.contains(&section) {
        return Ok(());
    }
    let meant = format!("{PREFIX}{}__{}", section.to_ascii_uppercase(), key.to_ascii_uppercase());
    Err(ConfigError::SingleUnderscore { variable: name.to_owned(), meant })
}

fn insert(table: &mut Dict, keys: &[&str], value: String) {
    let Some((first, rest)) = keys.split_first() else { return };
    if rest.is_empty() {
        table.insert((*first).to_owned(), Value::from(value));
        return;
    }
    let entry = table.entry((*first).to_owned()).or_insert_with(|| Value::from(Dict::new()));
    if !matches!(entry, Value::Dict(..)) {
        *entry = Value::from(Dict::new());
    }
    if let Value::Dict(_, inner) = entry {
        insert(inner, rest, value);
    }
}

impl Provider for Environment {
    fn metadata(&self) -> Metadata {
        Metadata::named(ENVIRONMENT)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(PROFILE.collect(self.sections.clone()))
    }
}
