//! ARNs of roles and SAML providers (IAM identifiers; the service model's patterns).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// STS takes ARNs of 20 to 2,048 characters.
const MAX_ARN: usize = 2048;

/// A group of regions with its own accounts; credentials never cross from one to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Partition {
    /// The commercial regions.
    Aws,
    /// AWS `GovCloud` (US).
    AwsUsGov,
    /// The China regions.
    AwsCn,
    /// The European Sovereign Cloud.
    AwsEusc,
    /// The isolated partitions, by their name.
    AwsIso,
    /// As `AwsIso`.
    AwsIsoB,
    /// As `AwsIso`.
    AwsIsoE,
    /// As `AwsIso`.
    AwsIsoF,
}

impl Partition {
    /// Every partition.
    pub const ALL: [Self; 8] = [
        Self::Aws,
        Self::AwsUsGov,
        Self::AwsCn,
        Self::AwsEusc,
        Self::AwsIso,
        Self::AwsIsoB,
        Self::AwsIsoE,
        Self::AwsIsoF,
    ];

    /// The name as it stands in an ARN.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::AwsUsGov => "aws-us-gov",
            Self::AwsCn => "aws-cn",
            Self::AwsEusc => "aws-eusc",
            Self::AwsIso => "aws-iso",
            Self::AwsIsoB => "aws-iso-b",
            Self::AwsIsoE => "aws-iso-e",
            Self::AwsIsoF => "aws-iso-f",
        }
    }

    /// The audience that STS of this partition wants in a SAML assertion, where AWS names one.
    pub fn saml_audience(self) -> Option<&'static str> {
        match self {
            Self::Aws => Some("urn:amazon:webservices"),
            Self::AwsUsGov => Some("urn:amazon:webservices:govcloud"),
            Self::AwsCn => Some("urn:amazon:webservices:cn-north-1"),
            Self::AwsEusc | Self::AwsIso | Self::AwsIsoB | Self::AwsIsoE | Self::AwsIsoF => None,
        }
    }

    /// The partition called `name`.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|partition| partition.as_str() == name)
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Twelve digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccountId(String);

impl AccountId {
    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AccountId {
    type Err = ArnError;

    fn from_str(text: &str) -> Result<Self, ArnError> {
        if text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ArnError::Account)
        }
    }
}

impl TryFrom<String> for AccountId {
    type Error = ArnError;

    fn try_from(text: String) -> Result<Self, ArnError> {
        text.parse()
    }
}

impl From<AccountId> for String {
    fn from(account: AccountId) -> Self {
        account.0
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is no such ARN.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ArnError {
    /// Not five colons with `arn` and `iam` where they belong.
    #[error("is no IAM ARN; write arn:aws:iam::<12-digit account>:{0}/<name>")]
    Shape(&'static str),
    /// A partition that AWS does not have.
    #[error("names no AWS partition; write aws, aws-us-gov or aws-cn after `arn:`")]
    Partition,
    /// An account that is not twelve digits.
    #[error("has an account that is not twelve digits")]
    Account,
    /// Another kind of resource.
    #[error("names no {0}; the part after the account must start with `{0}/`")]
    Resource(&'static str),
    /// A path that IAM does not allow.
    #[error(
        "has a path that IAM does not allow; it is `/`-separated printable ASCII without empty, `.` or `..` parts"
    )]
    Path,
    /// A name that IAM does not allow.
    #[error(
        "has a name that IAM does not allow; it is 1 to {0} of letters, digits and the punctuation that IAM permits"
    )]
    Name(usize),
    /// A wildcard where one exact ARN is wanted.
    #[error("has a wildcard; name one exact role")]
    Wildcard,
    /// Longer than STS takes.
    #[error("is longer than the 2048 characters that AWS takes")]
    TooLong,
}

/// The parts of `arn:{partition}:iam::{account}:{kind}/{rest}`.
struct Parts<'a> {
    partition: Partition,
    account: AccountId,
    rest: &'a str,
}

fn split<'a>(text: &'a str, kind: &'static str) -> Result<Parts<'a>, ArnError> {
    if text.len() > MAX_ARN {
        return Err(ArnError::TooLong);
    }
    let mut fields = text.splitn(6, ':');
    let mut next = || fields.next().ok_or(ArnError::Shape(kind));
    let (arn, partition, service) = (next()?, next()?, next()?);
    let (region, account, resource) = (next()?, next()?, next()?);
    if arn != "arn" || service != "iam" || !region.is_empty() {
        return Err(ArnError::Shape(kind));
    }
    let rest = resource
        .strip_prefix(kind)
        .and_then(|rest| rest.strip_prefix('/'))
        .ok_or(ArnError::Resource(kind))?;
    Ok(Parts {
        partition: Partition::named(partition).ok_or(ArnError::Partition)?,
        account: account.parse()?,
        rest,
    })
}

fn name_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte)
}

/// The ARN of one IAM role, `arn:{partition}:iam::{account}:role{path}{name}`.
///
/// IAM would allow `*` and `?` in a path; rolegate does not, so that an exact ARN can never be taken
/// for a pattern. Comparison is by exact bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RoleArn {
    text: String,
    partition: Partition,
    account: AccountId,
}

impl RoleArn {
    /// The ARN as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The partition that the role lives in.
    pub fn partition(&self) -> Partition {
        self.partition
    }

    /// The account that the role lives in.
    pub fn account(&self) -> &AccountId {
        &self.account
    }

    /// Path and name without the leading `/`: `team-a/reader` of `...:role/team-a/reader`.
    pub fn path_and_name(&self) -> &str {
        self.text.split_once(":role/").map_or("", |(_, rest)| rest)
    }

    /// The role's name without its path.
    pub fn name(&self) -> &str {
        self.text.rsplit('/').next().unwrap_or("")
    }
}

impl FromStr for RoleArn {
    type Err = ArnError;

    fn from_str(text: &str) -> Result<Self, ArnError> {
        let parts = split(text, "role")?;
        if parts.rest.contains(['*', '?']) {
            return Err(ArnError::Wildcard);
        }
        let (path, name) = match parts.rest.rsplit_once('/') {
            Some((path, name)) => (Some(path), name),
            None => (None, parts.rest),
        };
        let good_part = |part: &str| {
            !part.is_empty()
                && part != "."
                && part != ".."
                && part.bytes().all(|byte| (0x21..=0x7e).contains(&byte))
        };
        // IAM's 512 count the slashes at both ends, which `path` is without.
        if path.is_some_and(|path| path.len() > 510 || !path.split('/').all(good_part)) {
            return Err(ArnError::Path);
        }
        if name.is_empty() || name.len() > 64 || !name.bytes().all(name_character) || name == ".." {
            return Err(ArnError::Name(64));
        }
        Ok(Self {
            text: text.to_owned(),
            partition: parts.partition,
            account: parts.account,
        })
    }
}

/// The ARN of a SAML provider in IAM, `arn:{partition}:iam::{account}:saml-provider/{name}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SamlProviderArn {
    text: String,
    partition: Partition,
    account: AccountId,
}

impl SamlProviderArn {
    /// The ARN as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The partition that the provider lives in.
    pub fn partition(&self) -> Partition {
        self.partition
    }

    /// The account that the provider lives in.
    pub fn account(&self) -> &AccountId {
        &self.account
    }

    /// The provider's name.
    pub fn name(&self) -> &str {
        self.text.rsplit('/').next().unwrap_or("")
    }
}

impl FromStr for SamlProviderArn {
    type Err = ArnError;

    fn from_str(text: &str) -> Result<Self, ArnError> {
        let parts = split(text, "saml-provider")?;
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if parts.rest.is_empty() || parts.rest.len() > 128 || !parts.rest.bytes().all(allowed) {
            return Err(ArnError::Name(128));
        }
        Ok(Self {
            text: text.to_owned(),
            partition: parts.partition,
            account: parts.account,
        })
    }
}

macro_rules! text_form {
    ($name:ident) => {
        impl TryFrom<String> for $name {
            type Error = ArnError;

            fn try_from(text: String) -> Result<Self, ArnError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(arn: $name) -> Self {
                arn.text
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.text)
            }
        }
    };
}

text_form!(RoleArn);
text_form!(SamlProviderArn);

/// Splits a list of ARNs only where a comma, and white space if any, is followed by `arn:`: commas are
/// legal within role names. Parts are trimmed; empty ones are left out.
pub fn split_arn_list(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text;
    let mut searched = 0;
    while let Some(comma) = rest.get(searched..).and_then(|tail| tail.find(',')) {
        let at = searched + comma;
        let after = rest.get(at + 1..).unwrap_or("");
        if after.trim_start().starts_with("arn:") || after.trim().is_empty() {
            parts.push(rest.get(..at).unwrap_or(""));
            rest = after;
            searched = 0;
        } else {
            searched = at + 1;
        }
    }
    parts.push(rest);
    parts.retain(|part| !part.trim().is_empty());
    parts.into_iter().map(str::trim).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_roles_with_and_without_a_path() {
        let plain: RoleArn = "arn:aws:iam::123456789012:role/reader".parse().unwrap();
        assert_eq!((plain.name(), plain.path_and_name()), ("reader", "reader"));
        let deep: RoleArn = "arn:aws-us-gov:iam::123456789012:role/team,a/x:y/reader,2"
            .parse()
            .unwrap();
        assert_eq!(deep.partition(), Partition::AwsUsGov);
        assert_eq!(
            (deep.name(), deep.path_and_name()),
            ("reader,2", "team,a/x:y/reader,2")
        );
    }

    #[test]
    fn refuses_what_is_no_role() {
        let long = format!("arn:aws:iam::123456789012:role/{}/x", "p".repeat(2048));
        for bad in [
            "",
            "reader",
            "arn:aws:iam::12345678901:role/reader",
            "arn:aws:iam::1234567890123:role/reader",
            "arn:aws:iam:us-east-1:123456789012:role/reader",
            "arn:azure:iam::123456789012:role/reader",
            "arn:aws:sts::123456789012:assumed-role/reader/alice",
            "arn:aws:iam::123456789012:user/reader",
            "arn:aws:iam::123456789012:role/",
            "arn:aws:iam::123456789012:role//reader",
            "arn:aws:iam::123456789012:role/../reader",
            "arn:aws:iam::123456789012:role/*",
            "arn:aws:iam::*:role/reader",
            "arn:aws:iam::123456789012:role/rea der",
            "arn:aws:iam::123456789012:role/reader\n",
            "arn:aws:iam::123456789012:role/re\u{200b}ader",
            " arn:aws:iam::123456789012:role/reader",
            "ARN:aws:iam::123456789012:role/reader",
            &long,
        ] {
            assert!(bad.parse::<RoleArn>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn lists_split_before_an_arn_only() {
        let list = "arn:aws:iam::123456789012:role/a,b, arn:aws:iam::123456789012:role/c,";
        assert_eq!(
            split_arn_list(list),
            [
                "arn:aws:iam::123456789012:role/a,b",
                "arn:aws:iam::123456789012:role/c"
            ]
        );
        assert!(split_arn_list(" , ").is_empty());
    }
}
