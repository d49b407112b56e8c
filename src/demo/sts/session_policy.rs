//! Session policies: syntax, size, and the packed size that policy and tags take together.
//!
//! Nothing here enforces permissions; the session remembers what it was narrowed to. How AWS packs is
//! not published. Here the packed size is what zlib's best compression makes of the policy followed by
//! `key=value` lines, against [`PACKED_LIMIT`] bytes: enough to provoke every error, no forecast of AWS.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use serde_json::{Map, Value};

use super::answer::Failure;
use super::tags::Tags;

/// The bytes that policy and tags may take once packed.
pub const PACKED_LIMIT: usize = 1024;

fn malformed(text: &str) -> Failure {
    Failure::new(400, "MalformedPolicyDocument", text)
}

/// A policy's syntax, as far as IAM checks it before it looks at services.
pub(super) fn check(policy: &str) -> Result<(), Failure> {
    let document: Result<Map<String, Value>, _> = serde_json::from_str(policy);
    let document = document.map_err(|_| malformed("Syntax errors in policy."))?;
    let version = document.get("Version").map(Value::as_str);
    if !matches!(version, None | Some(Some("2012-10-17" | "2008-10-17"))) {
        return Err(malformed(
            "Policy version must be 2012-10-17 or 2008-10-17.",
        ));
    }
    let known = |key: &String| matches!(key.as_str(), "Version" | "Id" | "Statement");
    if !document.keys().all(known) {
        return Err(malformed("Syntax errors in policy."));
    }
    let statements: Vec<&Value> = match document.get("Statement") {
        Some(Value::Array(several)) => several.iter().collect(),
        Some(one) => vec![one],
        None => Vec::new(),
    };
    if statements.is_empty() {
        return Err(malformed("Syntax errors in policy."));
    }
    statements.into_iter().try_for_each(statement)
}

fn statement(statement: &Value) -> Result<(), Failure> {
    let Some(fields) = statement.as_object() else {
        return Err(malformed("Syntax errors in policy."));
    };
    let effect = fields.get("Effect").and_then(Value::as_str);
    if !matches!(effect, Some("Allow" | "Deny")) {
        return Err(malformed("Syntax errors in policy."));
    }
    if fields.contains_key("Principal") || fields.contains_key("NotPrincipal") {
        return Err(malformed("Policy document should not specify a principal."));
    }
    for (either, or, text) in [
        (
            "Action",
            "NotAction",
            "Policy statement must contain actions.",
        ),
        (
            "Resource",
            "NotResource",
            "Policy statement must contain resources.",
        ),
    ] {
        let named = fields.get(either).or_else(|| fields.get(or));
        if !named.is_some_and(|value| value.is_string() || value.is_array()) {
            return Err(malformed(text));
        }
    }
    Ok(())
}

/// `PackedPolicySize`, a percentage; over 100 nothing is issued.
pub(super) fn packed(policy: Option<&str>, tags: &Tags) -> Result<usize, Failure> {
    if policy.is_none() && tags.all.is_empty() {
        return Ok(0);
    }
    let lines = tags.all.iter();
    let lines = lines.map(|tag| ["\n", &tag.key, "=", &tag.value].concat());
    let text = policy.unwrap_or("").to_owned() + &lines.collect::<String>();
    let mut packer = ZlibEncoder::new(Vec::new(), Compression::best());
    let bytes = packer
        .write_all(text.as_bytes())
        .and_then(|()| packer.finish())
        .map_err(|_| malformed("Syntax errors in policy."))?;
    let percent = (bytes.len() * 100).div_ceil(PACKED_LIMIT);
    if percent <= 100 {
        return Ok(percent);
    }
    let text = if policy.is_some() {
        format!("Packed policy consumes {percent}% of allotted space, please use smaller policy.")
    } else {
        format!("Packed size of session tags consumes {percent}% of allotted space.")
    };
    Err(Failure::new(400, "PackedPolicyTooLarge", text))
}
