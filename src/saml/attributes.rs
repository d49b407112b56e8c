//! The attributes of a verified assertion: who it is, and which roles are offered.
//!
//! Names are compared by exact bytes. A bad Role value is an offer refused with its reason; a repeated
//! attribute, a bad session name or duration refuses the sign-in. Whether an offer is permitted is not
//! asked here.

use std::collections::BTreeMap;

use super::context::{Context, Seen};
use super::refusal::{Refusal, cut, listed};
use super::xml::{Element, Space};
use crate::model::{Attributes, Offers, SessionDuration, SessionName, UserName};

/// AWS's names (IAM user guide, "Configure SAML assertions for the authentication response").
pub(super) const AWS_ROLE: &str = "https://aws.amazon.com/SAML/Attributes/Role";
pub(super) const AWS_SESSION_NAME: &str = "https://aws.amazon.com/SAML/Attributes/RoleSessionName";
pub(super) const AWS_SESSION_DURATION: &str =
    "https://aws.amazon.com/SAML/Attributes/SessionDuration";
const STRUCTURED: &str = "holds elements; send the ARN as text";

/// One attribute name's elements, taken together.
#[derive(Debug, Default)]
struct Statement<'c> {
    elements: usize,
    /// `None` for a value with elements inside, which is no text.
    values: Vec<Option<&'c str>>,
}

/// The attributes of an assertion by exact name.
#[derive(Debug)]
pub(super) struct Statements<'c>(BTreeMap<&'c str, Statement<'c>>);

impl<'c> Statements<'c> {
    pub(super) fn read(assertion: &'c Element<'c>) -> Self {
        let mut by_name: BTreeMap<&str, Statement<'_>> = BTreeMap::new();
        let attributes = assertion
            .all(Space::Assertion, "AttributeStatement")
            .flat_map(|statement| statement.all(Space::Assertion, "Attribute"));
        for attribute in attributes {
            let entry = by_name
                .entry(attribute.attribute("Name").unwrap_or_default())
                .or_default();
            entry.elements += 1;
            entry
                .values
                .extend(attribute.all(Space::Assertion, "AttributeValue").map(value));
        }
        Self(by_name)
    }

    fn values(&self, name: &str) -> &[Option<&'c str>] {
        self.0
            .get(name)
            .map(|statement| statement.values.as_slice())
            .unwrap_or_default()
    }

    fn once(&self, name: &str) -> Result<(), Refusal> {
        match self.0.get(name) {
            Some(statement) if statement.elements > 1 => {
                Err(Refusal::AttributeRepeated { name: cut(name) })
            }
            _ => Ok(()),
        }
    }

    /// The value of an attribute that has one; `None` where it is absent.
    fn single(&self, name: &str) -> Result<Option<&'c str>, Refusal> {
        let Some(statement) = self.0.get(name) else {
            return Ok(None);
        };
        match statement.values.as_slice() {
            [Some(value)] => Ok(Some(value)),
            values => Err(Refusal::AttributeValues {
                name: cut(name),
                found: values.len(),
            }),
        }
    }

    fn texts(&self) -> Attributes {
        let texts = |statement: &Statement<'_>| {
            let texts = statement.values.iter().flatten();
            texts.map(|text| (*text).to_owned()).collect::<Vec<_>>()
        };
        self.0
            .iter()
            .map(|(name, statement)| ((*name).to_owned(), texts(statement)))
            .collect()
    }
}

fn value<'c>(element: &'c Element<'c>) -> Option<&'c str> {
    match element.attribute_in(Space::SchemaInstance, "nil") {
        Some("true" | "1") => Some(""),
        _ => element.text(),
    }
}

impl<'c> Context<'c> {
    /// Two elements of one name could say two things, and readers differ in which they take.
    pub(super) fn attributes_once(&self) -> Result<Seen<'c>, Refusal> {
        let names = self.expectation.attributes;
        let read = [
            &names.role,
            &names.session_duration,
            &names.role_session_name,
            &names.user,
        ];
        for name in read {
            self.statements.once(name)?;
        }
        Ok("each once".into())
    }

    /// `SessionDuration`; an empty one counts as absent.
    pub(super) fn session_duration(&self) -> Result<Option<SessionDuration>, Refusal> {
        let name = self.expectation.attributes.session_duration.as_str();
        if self.statements.values(name).is_empty() {
            return Ok(None);
        }
        match self.statements.single(name)? {
            None | Some("") => Ok(None),
            Some(text) => {
                SessionDuration::parse(text)
                    .map(Some)
                    .map_err(|reason| Refusal::SessionDuration {
                        found: cut(text),
                        reason,
                    })
            }
        }
    }

    /// `RoleSessionName` under its configured name.
    pub(super) fn session_name(&self) -> Result<Option<SessionName>, Refusal> {
        self.session_name_of(self.expectation.attributes.role_session_name.as_str())
    }

    fn session_name_of(&self, name: &str) -> Result<Option<SessionName>, Refusal> {
        let Some(text) = self.statements.single(name)? else {
            return Ok(None);
        };
        text.parse()
            .map(Some)
            .map_err(|reason| Refusal::SessionName { reason })
    }

    /// What STS will take as the session name: AWS's own name, whatever ours is.
    pub(super) fn aws_session_name(&self) -> Option<SessionName> {
        self.session_name_of(AWS_SESSION_NAME).ok().flatten()
    }

    /// The user, from the one value of the configured attribute.
    pub(super) fn user(&self) -> Result<UserName, Refusal> {
        let name = self.expectation.attributes.user.as_str();
        self.statements.once(name)?;
        match self.statements.single(name)? {
            None | Some("") => Err(Refusal::NoUser { name: cut(name) }),
            Some(text) => text.parse().map_err(|reason| Refusal::UserName { reason }),
        }
    }

    /// Whether this provider may speak for the user, by exact bytes behind the last `@`.
    pub(super) fn user_domain(&self) -> Result<Seen<'c>, Refusal> {
        let domains = self.expectation.user_domains;
        let user = self.user()?;
        let domain = user.as_str().rsplit_once('@').map(|(_, domain)| domain);
        let fits = |domain: &str| domains.iter().any(|known| known == domain);
        if domains.is_empty() || domain.is_some_and(fits) {
            return Ok(domain.unwrap_or("none").to_owned().into());
        }
        Err(Refusal::UserDomain {
            found: user.to_string(),
            expected: listed(domains.iter().map(String::as_str)),
        })
    }

    /// Every attribute that is text.
    pub(super) fn attributes(&self) -> Attributes {
        self.statements.texts()
    }

    /// The roles offered, each once, in the order sent.
    pub(super) fn offers(&self) -> Offers {
        let values = self.statements.values(&self.expectation.attributes.role);
        Offers::read(values.iter().copied(), STRUCTURED)
    }
}
