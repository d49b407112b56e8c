//! Where keys stand, and what was found wrong with them.
//!
//! Checks go on after a problem, so that one start tells everything that must be mended.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{ConfigError, ConfigErrors, Problem};
use super::values::Config;
use super::warning::Warning;

/// The labels of an array's entries: the name where there is one and it is the first of that name,
/// else the number from 1 in brackets.
pub(super) fn labels<'a>(names: impl Iterator<Item = Option<&'a str>>) -> Vec<String> {
    let mut labels: Vec<String> = Vec::new();
    for (at, name) in names.enumerate() {
        let label = name
            .map(|name| format!(".{name}"))
            .filter(|label| !labels.iter().any(|seen| seen.eq_ignore_ascii_case(label)))
            .unwrap_or_else(|| format!("[{}]", at + 1));
        labels.push(label);
    }
    labels
}

/// `table.key`, or `key` at the top.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

/// Where each key of the file stands, and which keys the environment set.
#[derive(Debug, Default)]
pub(super) struct Places {
    lines: BTreeMap<String, usize>,
    variables: BTreeMap<String, String>,
}

impl Places {
    /// The lines of every key of `text`.
    pub(super) fn of(text: &str) -> Self {
        let mut places = Self::default();
        if let Ok(table) = DeTable::parse(text) {
            places.walk_table(text, "", table.get_ref());
        }
        places
    }

    fn walk_table(&mut self, text: &str, path: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let path = join(path, key.get_ref());
            self.lines
                .insert(path.clone(), line_at(text, key.span().start));
            self.walk(text, &path, value);
        }
    }

    fn walk(&mut self, text: &str, path: &str, value: &Spanned<DeValue<'_>>) {
        if let Some(table) = value.get_ref().as_table() {
            self.walk_table(text, path, table);
        }
        let Some(items) = value.get_ref().as_array() else {
            return;
        };
        let names = items.iter().map(|item| {
            let table = item.get_ref().as_table()?;
            table.get("name")?.get_ref().as_str()
        });
        for (label, item) in labels(names).into_iter().zip(items.iter()) {
            let path = format!("{path}{label}");
            self.lines
                .insert(path.clone(), line_at(text, item.span().start));
            self.walk(text, &path, item);
        }
    }

    /// Notes that `variable` set `key`; what the file said beneath it is gone.
    pub(super) fn set_by(&mut self, key: &str, variable: &str) {
        let gone = |line: &String| {
            line.strip_prefix(key)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        self.lines.retain(|line, _| !gone(line));
        self.variables.insert(key.to_owned(), variable.to_owned());
    }

    /// The variable or the line of `key`, else of the closest table around it.
    fn find(&self, key: &str) -> (Option<String>, Option<usize>) {
        let mut key = key;
        loop {
            if let Some(variable) = self.variables.get(key) {
                return (Some(variable.clone()), None);
            }
            if let Some(line) = self.lines.get(key) {
                return (None, Some(*line));
            }
            match key.rfind(['.', '[']).and_then(|at| key.get(..at)) {
                Some(around) => key = around,
                None => return (None, None),
            }
        }
    }
}

/// The line, from 1, of the byte at `offset`.
pub(super) fn line_at(text: &str, offset: usize) -> usize {
    text.bytes()
        .take(offset)
        .filter(|byte| *byte == b'\n')
        .count()
        + 1
}

/// What the checks found so far.
#[derive(Debug)]
pub(super) struct Findings {
    file: PathBuf,
    pub(super) places: Places,
    problems: Vec<Problem>,
    warnings: Vec<Warning>,
}

impl Findings {
    pub(super) fn new(file: &Path, places: Places) -> Self {
        Self {
            file: file.to_owned(),
            places,
            problems: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Notes that `key` cannot stand as it is.
    pub(super) fn refuse(&mut self, key: &str, error: impl Into<ConfigError>) {
        let (variable, line) = self.places.find(key);
        self.problems.push(Problem {
            file: self.file.clone(),
            key: key.to_owned(),
            line,
            variable,
            error: error.into(),
        });
    }

    /// Notes a problem with an environment variable that is no key.
    pub(super) fn refuse_variable(&mut self, variable: &str, error: ConfigError) {
        self.problems.push(Problem {
            file: self.file.clone(),
            key: variable.to_owned(),
            line: None,
            variable: Some(variable.to_owned()),
            error,
        });
    }

    /// The good value, or `None` after noting the problem.
    pub(super) fn take<T, E: Into<ConfigError>>(
        &mut self,
        key: &str,
        result: Result<T, E>,
    ) -> Option<T> {
        result.map_err(|error| self.refuse(key, error)).ok()
    }

    pub(super) fn warn(&mut self, warning: Warning) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// Whether the environment set `key` or a table around it.
    pub(super) fn set_by_environment(&self, key: &str) -> bool {
        self.places.find(key).0.is_some()
    }

    /// The configuration with its warnings, if nothing was refused.
    pub(super) fn finish(self, config: Option<Config>) -> Result<Config, ConfigErrors> {
        match config {
            Some(mut config) if self.problems.is_empty() => {
                config.warnings = self.warnings;
                Ok(config)
            }
            _ => Err(ConfigErrors::new(self.problems)),
        }
    }
}
