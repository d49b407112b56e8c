//! `[sts]`, `[admin]` and `[relay]`: how AWS is reached, and who administers.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use url::Url;

use crate::model::{IdpName, Partition};

use super::findings::Findings;
use super::idps::Idps;
use super::problem::ConfigError;
use super::raw::{RawAdmin, RawRelay, RawSts};
use super::urls;
use super::values::{Admin, Relay, Server, Sts};

/// The SDKs' own variable for another STS.
const STS_ENDPOINT: &str = "AWS_ENDPOINT_URL_STS";
/// The SDKs' own variable for another console sign-in.
const SIGNIN_ENDPOINT: &str = "AWS_ENDPOINT_URL_SIGNIN";

/// A twelfth of what AWS takes of one account; the rest is for others who work there.
const CALLS_PER_SECOND: NonZeroU32 = NonZeroU32::new(50).unwrap();

pub(super) fn sts(
    raw: RawSts,
    environment: &BTreeMap<String, String>,
    findings: &mut Findings,
) -> Sts {
    let mut regions: BTreeMap<Partition, String> = [
        (Partition::Aws, "us-east-1"),
        (Partition::AwsUsGov, "us-gov-west-1"),
        (Partition::AwsCn, "cn-north-1"),
    ]
    .map(|(partition, region)| (partition, region.to_owned()))
    .into();
    for (name, region) in raw.regions.unwrap_or_default() {
        let key = format!("sts.regions.{name}");
        let Some(partition) = Partition::named(&name) else {
            let known = Partition::ALL.map(Partition::as_str).join(", ");
            findings.refuse(&key, ConfigError::UnknownKey { known });
            continue;
        };
        if fits(partition, &region) {
            regions.insert(partition, region);
        } else {
            findings.refuse(&key, ConfigError::Region(example(partition)));
        }
    }
    let calls = raw.calls_per_second.and_then(NonZeroU32::new);
    Sts {
        regions,
        calls_per_second: calls.unwrap_or(CALLS_PER_SECOND),
        endpoint: endpoint(
            STS_ENDPOINT,
            "https://sts.us-east-1.amazonaws.com",
            environment,
            findings,
        ),
        console_endpoint: endpoint(
            SIGNIN_ENDPOINT,
            "https://us-east-1.signin.aws.amazon.com",
            environment,
            findings,
        ),
    }
}

fn example(partition: Partition) -> &'static str {
    match partition {
        Partition::Aws => "us-east-1",
        Partition::AwsUsGov => "us-gov-west-1",
        Partition::AwsCn => "cn-north-1",
        Partition::AwsEusc => "eusc-de-east-1",
        Partition::AwsIso => "us-iso-east-1",
        Partition::AwsIsoB => "us-isob-east-1",
        Partition::AwsIsoE => "eu-isoe-west-1",
        Partition::AwsIsoF => "us-isof-south-1",
    }
}

/// Whether `region` has a region's form and the partition's mark: the region goes into a host name.
fn fits(partition: Partition, region: &str) -> bool {
    let parts: Vec<&str> = region.split('-').collect();
    let Some((number, words)) = parts.split_last() else {
        return false;
    };
    let lower =
        |word: &&str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
    let form = words.len() >= 2
        && words.iter().all(lower)
        && (1..=2).contains(&number.len())
        && number.bytes().all(|byte| byte.is_ascii_digit());
    let second = words.get(1).copied().unwrap_or("");
    let marks = ["gov", "iso", "isob", "isoe", "isof"];
    form && match partition {
        Partition::Aws => {
            !marks.contains(&second) && !matches!(words.first(), Some(&"cn" | &"eusc"))
        }
        Partition::AwsUsGov => second == "gov",
        Partition::AwsCn => words.first() == Some(&"cn"),
        Partition::AwsEusc => words.first() == Some(&"eusc"),
        Partition::AwsIso => second == "iso",
        Partition::AwsIsoB => second == "isob",
        Partition::AwsIsoE => second == "isoe",
        Partition::AwsIsoF => second == "isof",
    }
}

fn endpoint(
    variable: &str,
    example: &'static str,
    environment: &BTreeMap<String, String>,
    findings: &mut Findings,
) -> Option<Url> {
    let text = environment.get(variable).filter(|text| !text.is_empty())?;
    match urls::https_or_loopback(text, example) {
        Ok(url) => Some(url),
        Err(error) => {
            findings.refuse_variable(variable, error);
            None
        }
    }
}

pub(super) fn admin(
    raw: Option<RawAdmin>,
    idps: Idps<'_>,
    findings: &mut Findings,
) -> Option<Admin> {
    let raw = raw?;
    let users = raw.users.unwrap_or_default();
    let when = raw.when.unwrap_or_default();
    if users.is_empty() && when.is_empty() {
        findings.refuse("admin", ConfigError::AdminNobody);
    }
    if when.keys().any(|attribute| attribute.trim().is_empty()) {
        findings.refuse(
            "admin.when",
            ConfigError::Empty("the attribute's exact Name"),
        );
    }
    let idp = admin_idp(raw.idp.as_deref(), idps, findings);
    let users = users.iter().enumerate().filter_map(|(at, text)| {
        let key = format!("admin.users[{}]", at + 1);
        findings.take(&key, text.parse())
    });
    Some(Admin {
        users: users.collect(),
        idp,
        when,
    })
}

/// The IdP whose users are admins: two IdPs may have users of one name.
fn admin_idp(text: Option<&str>, idps: Idps<'_>, findings: &mut Findings) -> Option<IdpName> {
    const KEY: &str = "admin.idp";
    let Some(text) = text else {
        if idps.names().nth(1).is_some() {
            findings.refuse(KEY, ConfigError::AdminIdp);
        }
        return idps.names().next().cloned();
    };
    let name: IdpName = findings.take(KEY, text.parse())?;
    if !idps.is_empty() && !idps.knows(&name) {
        findings.refuse(KEY, ConfigError::UnknownIdp(text.to_owned(), idps.shown()));
    }
    Some(name)
}

pub(super) fn relay(
    raw: Option<RawRelay>,
    server: Option<&Server>,
    findings: &mut Findings,
) -> Relay {
    let written = raw.and_then(|raw| raw.issuer).map(|text| {
        findings.take("relay.issuer", urls::public(&text));
        text.trim_end_matches('/').to_owned()
    });
    let default = || server.map_or_else(String::new, |server| server.public_url().to_owned());
    Relay {
        issuer: written.unwrap_or_else(default),
    }
}
