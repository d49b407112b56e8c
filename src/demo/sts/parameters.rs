//! The parameters of `AssumeRoleWithSAML`, by the limits of the service model.

use std::collections::HashMap;

use super::answer::Failure;
use crate::model::{RoleArn, SamlProviderArn};

/// What was asked.
pub(super) struct Call<'a> {
    pub(super) role: RoleArn,
    pub(super) provider: SamlProviderArn,
    /// The base64 of the response.
    pub(super) encoded: &'a str,
    /// DurationSeconds, or its default.
    pub(super) seconds: u32,
}

impl<'a> Call<'a> {
    pub(super) fn read(form: &'a HashMap<String, String>) -> Result<Self, Failure> {
        let role = sized(form, "RoleArn", "roleArn", 20..=2048)?;
        let provider = sized(form, "PrincipalArn", "principalArn", 20..=2048)?;
        let encoded = sized(form, "SAMLAssertion", "sAMLAssertion", 4..=100_000)?;
        policies(form)?;
        let bad_arn = || Failure::invalid("Request ARN is invalid");
        Ok(Self {
            role: role.parse().map_err(|_| bad_arn())?,
            provider: provider.parse().map_err(|_| bad_arn())?,
            encoded,
            seconds: seconds(form)?,
        })
    }
}

fn constraint(value: &str, name: &str, rule: &str) -> Failure {
    // AWS repeats the value; what may be a token is left out of logs here.
    let shown: String = value.chars().take(64).collect();
    Failure::invalid(format!(
        "1 validation error detected: Value '{shown}' at '{name}' failed to satisfy constraint: Member must {rule}"
    ))
}

fn sized<'a>(
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

/// Session policies are checked for size and syntax; nothing here enforces permissions.
fn policies(form: &HashMap<String, String>) -> Result<(), Failure> {
    if form.contains_key("Policy") {
        let policy = sized(form, "Policy", "policy", 1..=2048)?;
        let parsed: Result<serde_json::Map<String, serde_json::Value>, _> =
            serde_json::from_str(policy);
        if parsed.is_err() {
            let text = "Syntax errors in policy.";
            return Err(Failure::new(400, "MalformedPolicyDocument", text));
        }
    }
    let arns = form.keys().filter(|key| key.starts_with("PolicyArns."));
    if arns.count() > 10 {
        let rule = "have length less than or equal to 10";
        return Err(constraint("...", "policyArns", rule));
    }
    Ok(())
}
