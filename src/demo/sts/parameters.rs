//! The parameters of the Assume actions, by the limits of the service model.

use std::collections::{BTreeMap, HashMap};

use super::answer::Failure;
use super::session_policy;
use crate::model::{RoleArn, SamlProviderArn, SessionName};

/// What every Assume action is asked.
pub(super) struct Asked<'a> {
    pub(super) role: RoleArn,
    /// DurationSeconds, or its default.
    pub(super) seconds: u32,
    /// The session policy.
    pub(super) policy: Option<&'a str>,
}

/// What `AssumeRoleWithSAML` is asked.
pub(super) struct Call<'a> {
    pub(super) asked: Asked<'a>,
    pub(super) provider: SamlProviderArn,
    /// The base64 of the response.
    pub(super) encoded: &'a str,
}

impl<'a> Asked<'a> {
    pub(super) fn read(form: &'a HashMap<String, String>) -> Result<Self, Failure> {
        let role = sized(form, "RoleArn", "roleArn", 20..=2048)?;
        let policy = policies(form)?;
        Ok(Self {
            role: role.parse().map_err(|_| bad_arn())?,
            seconds: seconds(form)?,
            policy,
        })
    }
}

impl<'a> Call<'a> {
    pub(super) fn read(form: &'a HashMap<String, String>) -> Result<Self, Failure> {
        let provider = sized(form, "PrincipalArn", "principalArn", 20..=2048)?;
        let encoded = sized(form, "SAMLAssertion", "sAMLAssertion", 4..=100_000)?;
        Ok(Self {
            asked: Asked::read(form)?,
            provider: provider.parse().map_err(|_| bad_arn())?,
            encoded,
        })
    }
}

fn bad_arn() -> Failure {
    Failure::invalid("Request ARN is invalid")
}

/// A parameter breaks a constraint, in AWS's words.
pub(super) fn constraint(value: &str, name: &str, rule: &str) -> Failure {
    // AWS repeats the value; what may be a token is left out of logs here.
    let shown: String = value.chars().take(64).collect();
    Failure::invalid(format!(
        "1 validation error detected: Value '{shown}' at '{name}' failed to satisfy constraint: Member must {rule}"
    ))
}

/// A parameter that must be there, with a length in `lengths`.
pub(super) fn sized<'a>(
    form: &'a HashMap<String, String>,
    parameter: &str,
    name: &str,
    lengths: std::ops::RangeInclusive<usize>,
) -> Result<&'a str, Failure> {
    let value = form.get(parameter);
    let value = value.ok_or_else(|| constraint("null", name, "not be null"))?;
    let length = value.chars().count();
    if length < *lengths.start() {
        let rule = format!("have length greater than or equal to {}", lengths.start());
        return Err(constraint(value, name, &rule));
    }
    if length > *lengths.end() {
        let rule = format!("have length less than or equal to {}", lengths.end());
        return Err(constraint(value, name, &rule));
    }
    Ok(value)
}

/// `RoleSessionName`, by its pattern.
pub(super) fn session_name(form: &HashMap<String, String>) -> Result<SessionName, Failure> {
    let name = sized(form, "RoleSessionName", "roleSessionName", 2..=64)?;
    let rule = "satisfy regular expression pattern: [\\w+=,.@-]*";
    name.parse()
        .map_err(|_| constraint(name, "roleSessionName", rule))
}

/// `SourceIdentity`, which may be absent and is none of AWS's own names.
pub(super) fn source_identity(form: &HashMap<String, String>) -> Result<Option<String>, Failure> {
    if !form.contains_key("SourceIdentity") {
        return Ok(None);
    }
    let name = sized(form, "SourceIdentity", "sourceIdentity", 2..=64)?;
    let good = name.parse::<SessionName>().is_ok() && !name.starts_with("aws:");
    if !good {
        let rule = "satisfy regular expression pattern: [\\w+=,.@-]*";
        return Err(constraint(name, "sourceIdentity", rule));
    }
    Ok(Some(name.to_owned()))
}

/// `ExternalId`, which may be absent.
pub(super) fn external_id(form: &HashMap<String, String>) -> Result<Option<&str>, Failure> {
    if !form.contains_key("ExternalId") {
        return Ok(None);
    }
    let id = sized(form, "ExternalId", "externalId", 2..=1224)?;
    let good =
        |character: char| character.is_ascii_alphanumeric() || "_+=,.@:/-".contains(character);
    if !id.chars().all(good) {
        let rule = "satisfy regular expression pattern: [\\w+=,.@:\\/-]*";
        return Err(constraint(id, "externalId", rule));
    }
    Ok(Some(id))
}

/// The fields of `NAME.member.1`, `.2` and so on, without a gap; a plain value's field is empty.
pub(super) fn members<'a>(
    form: &'a HashMap<String, String>,
    name: &str,
) -> Result<Vec<Vec<(&'a str, &'a str)>>, Failure> {
    let start = format!("{name}.member.");
    let mut found: BTreeMap<usize, Vec<(&str, &str)>> = BTreeMap::new();
    for (key, value) in form {
        let Some(rest) = key.strip_prefix(&start) else {
            continue;
        };
        let (number, field) = rest.split_once('.').unwrap_or((rest, ""));
        let number = number.parse().map_err(|_| malformed(key))?;
        found.entry(number).or_default().push((field, value));
    }
    let gap = (1..)
        .zip(found.keys())
        .find(|(wanted, found)| wanted != *found);
    if gap.is_some() {
        return Err(malformed(name));
    }
    Ok(found.into_values().collect())
}

fn malformed(key: &str) -> Failure {
    Failure::new(
        400,
        "MalformedInput",
        format!("Unexpected list element at {key}"),
    )
}

fn seconds(form: &HashMap<String, String>) -> Result<u32, Failure> {
    let Some(text) = form.get("DurationSeconds") else {
        return Ok(3600);
    };
    let seconds: u32 = text
        .parse()
        .map_err(|_| constraint(text, "durationSeconds", "be an integer"))?;
    match seconds {
        0..900 => Err(constraint(
            text,
            "durationSeconds",
            "have value greater than or equal to 900",
        )),
        900..=43_200 => Ok(seconds),
        43_201.. => Err(constraint(
            text,
            "durationSeconds",
            "have value less than or equal to 43200",
        )),
    }
}

/// The session policy, checked for size and syntax.
fn policies(form: &HashMap<String, String>) -> Result<Option<&str>, Failure> {
    let arns = form.keys().filter(|key| key.starts_with("PolicyArns."));
    if arns.count() > 10 {
        let rule = "have length less than or equal to 10";
        return Err(constraint("...", "policyArns", rule));
    }
    if !form.contains_key("Policy") {
        return Ok(None);
    }
    let policy = sized(form, "Policy", "policy", 1..=2048)?;
    session_policy::check(policy)?;
    Ok(Some(policy))
}
