//! Environment variables laid over the file: names with `__` are keys, and win.
//!
//! Names that start with `ROLEGATE_` and hold no `__` are other things (orchestrators make such names
//! for their services) and are left alone; of them `ROLEGATE_ALLOWED_ROLES` is read in `roles`.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::findings::{Findings, join};
use super::problem::ConfigError;
use super::schema::{Key, Kind, ROOT, item_labels, named, unknown};

const PREFIX: &str = "ROLEGATE_";
const SEPARATOR: &str = "__";

/// Lays every variable that is a key over `table`.
pub(super) fn overlay(
    table: &mut Table,
    environment: &BTreeMap<String, String>,
    findings: &mut Findings,
) {
    for (variable, text) in environment {
        let Some(rest) = variable.strip_prefix(PREFIX) else {
            continue;
        };
        if !rest.contains(SEPARATOR) {
            continue;
        }
        let segments: Vec<String> = rest.split(SEPARATOR).map(str::to_ascii_lowercase).collect();
        match place(table, ROOT, &segments, "", text) {
            Ok(key) => findings.places.set_by(&key, variable),
            Err(error) => findings.refuse_variable(variable, error),
        }
    }
}

/// Puts `text` at the key that `segments` name, beneath `table`; gives the key, dotted.
fn place(
    table: &mut Table,
    keys: &'static [Key],
    segments: &[String],
    path: &str,
    text: &str,
) -> Result<String, ConfigError> {
    let Some((first, rest)) = segments.split_first() else {
        return Err(unknown(keys));
    };
    let key = named(keys, first).ok_or_else(|| unknown(keys))?;
    let path = join(path, key.name);
    if rest.is_empty() {
        table.insert(key.name.to_owned(), typed(key.kind, text)?);
        return Ok(path);
    }
    match key.kind {
        Kind::Table(inner) => {
            let value = table
                .entry(key.name)
                .or_insert_with(|| Value::Table(Table::new()));
            let Value::Table(within) = value else {
                return Err(wrong(key));
            };
            place(within, inner, rest, &path, text)
        }
        Kind::Named(inner) => {
            let Some(Value::Array(items)) = table.get_mut(key.name) else {
                return Err(ConfigError::NoSuchEntry(rest.concat()));
            };
            place_in_entry(items, inner, rest, &path, text)
        }
        _ => Err(unknown(keys)),
    }
}

fn place_in_entry(
    items: &mut [Value],
    keys: &'static [Key],
    segments: &[String],
    path: &str,
    text: &str,
) -> Result<String, ConfigError> {
    let Some((name, rest)) = segments.split_first() else {
        return Err(unknown(keys));
    };
    // The name is how the entry is found, so it is the file's alone.
    if rest.is_empty() || rest.first().is_some_and(|key| key == "name") {
        return Err(unknown(keys.get(1..).unwrap_or(keys)));
    }
    let labels = item_labels(items);
    let mut found = labels.iter().zip(items).filter(|(_, item)| {
        item.get("name")
            .and_then(Value::as_str)
            .is_some_and(|has| fold(has) == fold(name))
    });
    match (found.next(), found.next()) {
        (Some((label, Value::Table(table))), None) => {
            place(table, keys, rest, &format!("{path}{label}"), text)
        }
        (Some(_), Some(_)) => Err(ConfigError::AmbiguousEntry),
        _ => Err(ConfigError::NoSuchEntry(name.clone())),
    }
}

/// Case does not count, and `-`, which shells take in no name, is `_`.
fn fold(name: &str) -> String {
    name.to_ascii_lowercase().replace('-', "_")
}

fn typed(kind: Kind, text: &str) -> Result<Value, ConfigError> {
    if kind.is_text() {
        return Ok(Value::String(text.to_owned()));
    }
    text.trim().parse().map_err(|_| ConfigError::NotToml {
        expected: kind.expected(),
    })
}

fn wrong(key: &Key) -> ConfigError {
    ConfigError::NotToml {
        expected: key.kind.expected(),
    }
}
