//! The settings and their defaults, to be read.

use std::fmt::Write;

use figment::value::{Dict, Value};
use serde::Serialize;

use super::PREFIX;

/// All keys of `T` with their defaults as TOML, each followed by the variable that sets it. An optional key without a
/// default is commented out. Secrets print as `[redacted]` where their type does so.
///
/// # Panics
/// Never for a struct of plain settings; a `T` that serialises to no table gives an empty text.
pub fn defaults<T: Default + Serialize>() -> String {
    let mut out = String::new();
    if let Ok(Value::Dict(_, sections)) = Value::serialize(T::default()) {
        for (name, section) in &sections {
            if let Value::Dict(_, keys) = section {
                table(&mut out, name, keys);
            }
        }
    }
    out
}

fn table(out: &mut String, path: &str, keys: &Dict) {
    let mut text = format!("[{path}]\n");
    let mut nested = Vec::new();
    for (key, value) in keys {
        let variable = format!("{PREFIX}{}__{}", path.replace('.', "__"), key).to_ascii_uppercase();
        match value {
            Value::Dict(_, inner) if !inner.is_empty() => nested.push((format!("{path}.{key}"), inner)),
            Value::Empty(..) => drop(writeln!(text, "# {key} =  # {variable}")),
            _ => drop(writeln!(text, "{key} = {}  # {variable}", plain(value))),
        }
    }
    let blank = if out.is_empty() { "" } else { "\n" };
    out.push_str(blank);
    out.push_str(&text);
    for (path, inner) in nested {
        table(out, &path, inner);
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(_, text) => format!("{text:?}"),
        Value::Char(_, char) => format!("{:?}", char.to_string()),
        Value::Bool(_, bool) => bool.to_string(),
        Value::Num(_, number) => match (number.to_u128(), number.to_i128(), number.to_f64()) {
            (Some(whole), ..) => whole.to_string(),
            (_, Some(whole), _) => whole.to_string(),
            (_, _, Some(float)) => format!("{float:?}"),
            _ => String::new(),
        },
        Value::Empty(..) => "\"\"".to_owned(),
        Value::Array(_, list) => format!("[{}]", list.iter().map(plain).collect::<Vec<_>>().join(", ")),
        Value::Dict(_, table) => {
            let entries: Vec<String> = table.iter().map(|(key, value)| format!("{key} = {}", plain(value))).collect();
            format!("{{ {} }}", entries.join(", "))
        }
    }
}
