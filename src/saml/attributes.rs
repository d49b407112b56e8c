//! The attributes of a verified assertion: who it is, and which roles are offered.
//!
//! Names are compared by exact bytes. A bad Role value is an offer refused with its reason; a repeated
//! attribute, a bad session name or duration refuses the sign-in. Whether an offer is permitted is not
//! asked here.

use std::collections::BTreeMap;

use super::context::{Context, Seen};
use super::lexis::is_white_space;
use super::refusal::{Refusal, cut, listed};
use super::xml::{Element, Space};
use crate::model::{
    Attributes, Offer, OfferRefusal, RefusedOffer, RoleArn, SamlProviderArn, SessionDuration,
    SessionName, UserName,
};

/// AWS's names (IAM user guide, "Configure SAML assertions for the authentication response").
pub(super) const AWS_ROLE: &str = "https://aws.amazon.com/SAML/Attributes/Role";
pub(super) const AWS_SESSION_NAME: &str = "https://aws.amazon.com/SAML/Attributes/RoleSessionName";
pub(super) const AWS_SESSION_DURATION: &str =
    "https://aws.amazon.com/SAML/Attributes/SessionDuration";
/// A refused value is shown up to this many characters.
const SHOWN: usize = 256;
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

/// The offers of an assertion and the Role values that are none.
pub(super) struct Offers {
    pub(super) offers: Vec<Offer>,
    pub(super) refused: Vec<RefusedOffer>,
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
        let (mut offers, mut refused) = (Vec::<Offer>::new(), Vec::new());
        // A map of places keeps a thousand values linear.
        let mut places = BTreeMap::<RoleArn, usize>::new();
        for value in self.statements.values(&self.expectation.attributes.role) {
            let read = value.map_or_else(
                || Err(OfferRefusal::NotAnArn(STRUCTURED.to_owned())),
                read_offer,
            );
            let offer = match read {
                Ok(offer) => offer,
                Err(reason) => {
                    let value = value.unwrap_or_default().chars().take(SHOWN).collect();
                    refused.push(RefusedOffer { value, reason });
                    continue;
                }
            };
            if let Some(known) = places
                .get(&offer.role)
                .and_then(|place| offers.get_mut(*place))
            {
                // A pair says more than the bare role did.
                known.provider = known.provider.take().or(offer.provider);
            } else {
                places.insert(offer.role.clone(), offers.len());
                offers.push(offer);
            }
        }
        Offers { offers, refused }
    }
}

/// Reads a Role value: a role ARN, or role and saml-provider ARN in either order. Commas are legal in role
/// names, so that a value is cut only where a comma, and blanks if any, stand before `arn:`.
pub(super) fn read_offer(value: &str) -> Result<Offer, OfferRefusal> {
    let value = value.trim_matches(is_white_space);
    if value.is_empty() {
        return Err(OfferRefusal::Empty);
    }
    let arns = value.matches("arn:").count();
    let parts = cut_before_arn(value);
    if arns > parts.len() || parts.len() > 2 {
        return Err(OfferRefusal::TooMany(arns.max(parts.len())));
    }
    match parts.as_slice() {
        [role] => Ok(Offer {
            role: role.parse()?,
            provider: None,
        }),
        [first, second] => pair(first, second),
        _ => Err(OfferRefusal::Empty),
    }
}

fn pair(first: &str, second: &str) -> Result<Offer, OfferRefusal> {
    let is_provider = |arn: &str| arn.contains(":saml-provider/");
    let (role, provider) = match (is_provider(first), is_provider(second)) {
        (false, true) => (first, second),
        (true, false) => (second, first),
        _ => return Err(OfferRefusal::NotAPair),
    };
    let role: RoleArn = role.parse()?;
    let provider: SamlProviderArn = provider.parse()?;
    if role.account() != provider.account() || role.partition() != provider.partition() {
        return Err(OfferRefusal::AccountsDiffer);
    }
    Ok(Offer {
        role,
        provider: Some(provider),
    })
}

fn cut_before_arn(value: &str) -> Vec<&str> {
    let (mut parts, mut start) = (Vec::new(), 0);
    for (comma, _) in value.match_indices(',') {
        let after = value.get(comma + 1..).unwrap_or_default();
        if after.trim_start_matches(is_white_space).starts_with("arn:") {
            parts.push(value.get(start..comma).unwrap_or_default());
            start = comma + 1;
        }
    }
    parts.push(value.get(start..).unwrap_or_default());
    parts
        .into_iter()
        .map(|part| part.trim_matches(is_white_space))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLE: &str = "arn:aws:iam::123456789012:role/data-scientist";
    const PROVIDER: &str = "arn:aws:iam::123456789012:saml-provider/Okta";

    #[test]
    fn takes_a_role_or_a_pair_in_either_order() {
        for value in [ROLE, &format!("  {ROLE}\n")] {
            let offer = read_offer(value).unwrap();
            assert_eq!((offer.role.as_str(), offer.provider), (ROLE, None));
        }
        for value in [
            format!("{ROLE},{PROVIDER}"),
            format!("{PROVIDER},{ROLE}"),
            format!("{ROLE} , {PROVIDER}"),
            format!("{PROVIDER},\n  {ROLE}"),
        ] {
            let offer = read_offer(&value).unwrap();
            assert_eq!(offer.role.as_str(), ROLE);
            assert_eq!(offer.provider.unwrap().as_str(), PROVIDER);
        }
    }

    #[test]
    fn commas_belong_to_role_names() {
        let offer = read_offer(
            "arn:aws:iam::123456789012:role/a,b,arn:aws:iam::123456789012:saml-provider/P",
        )
        .unwrap();
        assert_eq!(offer.role.name(), "a,b");
    }

    #[test]
    fn refuses_what_is_no_offer() {
        let other = "arn:aws:iam::210987654321:saml-provider/Okta";
        let china = "arn:aws-cn:iam::123456789012:saml-provider/Okta";
        for (value, wanted) in [
            (String::new(), OfferRefusal::Empty),
            (" \n".to_owned(), OfferRefusal::Empty),
            (format!("{ROLE},{other}"), OfferRefusal::AccountsDiffer),
            (format!("{ROLE},{china}"), OfferRefusal::AccountsDiffer),
            (format!("{ROLE},{ROLE}"), OfferRefusal::NotAPair),
            (format!("{PROVIDER},{PROVIDER}"), OfferRefusal::NotAPair),
            (
                format!("{ROLE},{PROVIDER},{ROLE}"),
                OfferRefusal::TooMany(3),
            ),
            (format!("{ROLE};{PROVIDER}"), OfferRefusal::TooMany(2)),
            (format!("{ROLE}|{ROLE}"), OfferRefusal::TooMany(2)),
            (format!("{ROLE} {ROLE}"), OfferRefusal::TooMany(2)),
        ] {
            assert_eq!(read_offer(&value), Err(wanted), "{value:?}");
        }
        for value in [
            "data-scientist".to_owned(),
            PROVIDER.to_owned(),
            ROLE.replace(":role/", ":user/"),
            format!("\u{200b}{ROLE}"),
            format!("{ROLE}\u{202e}"),
            format!("\u{a0}{ROLE}"),
            ROLE.replace("123456789012", "12345678901"),
            ROLE.replace("123456789012", "1234567890123"),
            ROLE.replace("data-scientist", "*"),
            ROLE.replace("data-scientist", "../admin"),
            ROLE.replace("arn:aws:", "arn:aws-xx:"),
            format!("{ROLE}{}", "x".repeat(2048)),
            ROLE.to_uppercase(),
        ] {
            assert!(
                matches!(read_offer(&value), Err(OfferRefusal::NotAnArn(_))),
                "{value:?}: {:?}",
                read_offer(&value)
            );
        }
    }
}
