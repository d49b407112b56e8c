//! How a claim is named: by its whole name, by a dotted path, or by a JSON pointer.
//!
//! It reads claims and never changes them, and it never decides what a claim means.

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};
use thiserror::Error;

/// Longer names are refused.
const LONGEST: usize = 256;

/// The name of a claim. A name is first taken as a whole top-level name, then, where it has dots, as a path
/// into nested objects; with a leading `/` it is a JSON pointer (RFC 6901).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimPath(String);

/// Why a text names no claim.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ClaimPathError {
    /// Empty, too long or with control characters.
    #[error("a claim's name has 1 to 256 printable characters")]
    Name,
    /// A `~` that is neither `~0` nor `~1`.
    #[error(
        "in a JSON pointer `~` is written ~0 and `/` within a name ~1; a name without a leading `/` is taken as it is"
    )]
    Escape,
}

impl ClaimPath {
    /// A name of our own that needs no check.
    pub(super) fn literal(name: &'static str) -> Self {
        Self(name.to_owned())
    }

    /// The name as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The claim that is named, where there is one.
    pub fn find<'c>(&self, claims: &'c Map<String, Value>) -> Option<&'c Value> {
        if let Some(whole) = claims.get(&self.0) {
            return Some(whole);
        }
        if let Some(pointer) = self.0.strip_prefix('/') {
            return walk(claims, pointer.split('/').map(unescaped));
        }
        walk(claims, self.0.split('.').map(str::to_owned))
    }
}

/// Follows `names` from object to object, and by numbers into arrays.
fn walk(claims: &Map<String, Value>, mut names: impl Iterator<Item = String>) -> Option<&Value> {
    let mut found = claims.get(&names.next()?)?;
    for name in names {
        found = match found {
            Value::Object(object) => object.get(&name)?,
            Value::Array(array) => array.get(name.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    Some(found)
}

fn unescaped(name: &str) -> String {
    name.replace("~1", "/").replace("~0", "~")
}

impl FromStr for ClaimPath {
    type Err = ClaimPathError;

    fn from_str(text: &str) -> Result<Self, ClaimPathError> {
        let printable = !text.chars().any(char::is_control);
        if text.is_empty() || text.chars().count() > LONGEST || !printable {
            return Err(ClaimPathError::Name);
        }
        let escaped = |rest: &str| rest.starts_with(['0', '1']);
        let is_pointer = text.starts_with('/');
        if is_pointer && !text.split('~').skip(1).all(escaped) {
            return Err(ClaimPathError::Escape);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
