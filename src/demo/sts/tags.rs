//! Session tags by AWS's limits, whichever way they come: parameters, attributes, claims, or a chain.

use std::collections::{HashMap, HashSet};

use super::answer::{Failure, element};
use super::parameters::{constraint, members};

/// The most session tags of one request.
const MOST: usize = 50;

/// A session tag.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Tag {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// The tags of a request, and which of them go on to the next role of a chain.
#[derive(Debug, Clone, Default)]
pub(super) struct Tags {
    pub(super) all: Vec<Tag>,
    pub(super) transitive: Vec<String>,
}

impl Tags {
    /// Tags as given, held to the limits.
    pub(super) fn checked(all: Vec<Tag>, transitive: Vec<String>) -> Result<Self, Failure> {
        if all.len() > MOST {
            let rule = "have length less than or equal to 50";
            return Err(constraint("[...]", "tags", rule));
        }
        let mut seen = HashSet::new();
        for (number, tag) in (1..).zip(&all) {
            limits(number, tag)?;
            if !seen.insert(tag.key.to_lowercase()) {
                let text =
                    "Duplicate tag keys found. Please note that Tag keys are case insensitive.";
                return Err(Failure::new(400, "InvalidParameterValue", text));
            }
        }
        if let Some(missing) = transitive
            .iter()
            .find(|key| !seen.contains(&key.to_lowercase()))
        {
            let text = format!(
                "One or more specified transitive tag keys are not among the session tags: {missing}"
            );
            return Err(Failure::new(400, "InvalidParameterValue", text));
        }
        Ok(Self { all, transitive })
    }

    /// `Tags.member.N` and `TransitiveTagKeys.member.N`.
    pub(super) fn read(form: &HashMap<String, String>) -> Result<Self, Failure> {
        let mut all = Vec::new();
        for fields in members(form, "Tags")? {
            let field = |name: &str, shown: &str| {
                let found = fields.iter().find(|(field, _)| *field == name);
                found
                    .map(|(_, value)| (*value).to_owned())
                    .ok_or_else(|| constraint("null", shown, "not be null"))
            };
            all.push(Tag {
                key: field("Key", "tags.member.key")?,
                value: field("Value", "tags.member.value")?,
            });
        }
        let transitive = members(form, "TransitiveTagKeys")?;
        let transitive = transitive.into_iter().flatten();
        Self::checked(all, transitive.map(|(_, key)| key.to_owned()).collect())
    }

    /// With what the caller's own session hands on, which no request can override.
    pub(super) fn inheriting(mut self, inherited: &Tags) -> Result<Self, Failure> {
        for tag in &inherited.all {
            let same = |key: &String| key.to_lowercase() == tag.key.to_lowercase();
            if !inherited.transitive.iter().any(same) {
                continue;
            }
            if self.all.iter().any(|own| same(&own.key)) {
                let text = format!(
                    "The transitive session tag {} cannot be overridden",
                    tag.key
                );
                return Err(Failure::new(400, "InvalidParameterValue", text));
            }
            self.all.push(tag.clone());
            self.transitive.push(tag.key.clone());
        }
        Ok(self)
    }

    /// As XML.
    pub(super) fn xml(&self) -> String {
        let tags = self.all.iter().map(|tag| {
            let pair = [element("Key", &tag.key), element("Value", &tag.value)].concat();
            format!("<member>{pair}</member>")
        });
        let tags: String = tags.collect();
        let keys: String = self
            .transitive
            .iter()
            .map(|key| element("member", key))
            .collect();
        format!("<Tags>{tags}</Tags><TransitiveTagKeys>{keys}</TransitiveTagKeys>")
    }
}

fn limits(number: usize, tag: &Tag) -> Result<(), Failure> {
    let at = |field: &str| format!("tags.{number}.member.{field}");
    for (text, field, least, most) in [(&tag.key, "key", 1, 128), (&tag.value, "value", 0, 256)] {
        let length = text.chars().count();
        if length < least {
            let rule = "have length greater than or equal to 1";
            return Err(constraint(text, &at(field), rule));
        }
        if length > most {
            let rule = format!("have length less than or equal to {most}");
            return Err(constraint(text, &at(field), &rule));
        }
        if !text.chars().all(is_tag_character) {
            let rule = "satisfy regular expression pattern: [\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]*";
            return Err(constraint(text, &at(field), rule));
        }
    }
    if tag.key.to_lowercase().starts_with("aws:") {
        let text = "Tag keys that begin with aws: are reserved for system use";
        return Err(Failure::new(400, "InvalidParameterValue", text));
    }
    Ok(())
}

/// `[\p{L}\p{Z}\p{N}_.:/=+\-@]`; the standard library's letters include a few combining marks more.
fn is_tag_character(character: char) -> bool {
    let space = character.is_whitespace() && !character.is_control();
    character.is_alphanumeric() || space || "_.:/=+-@".contains(character)
}
