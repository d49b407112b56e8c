//! The roles that an IdP names: nothing is permitted yet.
//!
//! A value that names none is kept with its reason, and does not stand in the way of the others.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{ArnError, RoleArn, SamlProviderArn};

/// A refused value is shown up to this many characters.
const SHOWN: usize = 256;

/// A role that the IdP named; nothing is permitted yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// The role.
    pub role: RoleArn,
    /// The SAML provider that came with it, if any.
    pub provider: Option<SamlProviderArn>,
}

/// Why a Role value offers nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum OfferRefusal {
    /// Empty or only white space.
    #[error("the Role value is empty; remove it at the IdP, or write a role ARN")]
    Empty,
    /// Neither a role ARN nor a pair of role and provider.
    #[error("the Role value {0}")]
    NotAnArn(String),
    /// More than a role and a provider in one value.
    #[error(
        "the Role value holds {0} ARNs; send one value for each role, each a role ARN or a pair of role and saml-provider ARN"
    )]
    TooMany(usize),
    /// A pair of two roles, or of two providers.
    #[error("the Role value is no pair of one role and one saml-provider")]
    NotAPair,
    /// Role and provider of different accounts or partitions.
    #[error("role and saml-provider belong to different accounts; they must be of one")]
    AccountsDiffer,
}

impl From<ArnError> for OfferRefusal {
    fn from(error: ArnError) -> Self {
        Self::NotAnArn(error.to_string())
    }
}

/// A Role value that offers nothing, with its reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedOffer {
    /// The value, cut to 256 characters.
    pub value: String,
    /// Why.
    pub reason: OfferRefusal,
}

/// The offers of a sign-in, and the values that are none.
#[derive(Debug, Default)]
pub struct Offers {
    /// Each role once, in the order sent.
    pub offers: Vec<Offer>,
    /// The values that offer nothing.
    pub refused: Vec<RefusedOffer>,
}

impl Offers {
    /// Reads Role values as they were sent; `None` is a value that is no text, for the reason `not_text`.
    pub fn read<'v>(values: impl IntoIterator<Item = Option<&'v str>>, not_text: &str) -> Self {
        let (mut offers, mut refused) = (Vec::<Offer>::new(), Vec::new());
        // A map of places keeps a thousand values linear.
        let mut places = BTreeMap::<RoleArn, usize>::new();
        for value in values {
            let read = value.map_or_else(
                || Err(OfferRefusal::NotAnArn(not_text.to_owned())),
                Offer::read,
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
        Self { offers, refused }
    }
}

impl Offer {
    /// Reads a Role value: a role ARN, or role and saml-provider ARN in either order. Commas are legal in role
    /// names, so that a value is cut only where a comma, and blanks if any, stand before `arn:`.
    pub fn read(value: &str) -> Result<Self, OfferRefusal> {
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

/// XML's white space, and JSON's.
fn is_white_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLE: &str = "arn:aws:iam::123456789012:role/data-scientist";
    const PROVIDER: &str = "arn:aws:iam::123456789012:saml-provider/Okta";

    #[test]
    fn takes_a_role_or_a_pair_in_either_order() {
        for value in [ROLE, &format!("  {ROLE}\n")] {
            let offer = Offer::read(value).unwrap();
            assert_eq!((offer.role.as_str(), offer.provider), (ROLE, None));
        }
        for value in [
            format!("{ROLE},{PROVIDER}"),
            format!("{PROVIDER},{ROLE}"),
            format!("{ROLE} , {PROVIDER}"),
            format!("{PROVIDER},\n  {ROLE}"),
        ] {
            let offer = Offer::read(&value).unwrap();
            assert_eq!(offer.role.as_str(), ROLE);
            assert_eq!(offer.provider.unwrap().as_str(), PROVIDER);
        }
    }

    #[test]
    fn commas_belong_to_role_names() {
        let offer = Offer::read(
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
            assert_eq!(Offer::read(&value), Err(wanted), "{value:?}");
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
                matches!(Offer::read(&value), Err(OfferRefusal::NotAnArn(_))),
                "{value:?}: {:?}",
                Offer::read(&value)
            );
        }
    }
}
