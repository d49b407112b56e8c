//! What of the environment the job's process gets: everything but what would win over what it is given, and
//! rolegate's own tokens, of which it needs none.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use zeroize::Zeroizing;

/// What an SDK would prefer, or what is none of the job's business.
pub(super) const REMOVED: [&str; 16] = [
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_CREDENTIAL_EXPIRATION",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "ROLEGATE_LEASE_TOKEN",
    "ROLEGATE_TOKEN",
];

const PROXIES: [&str; 6] = [
    "http_proxy",
    "HTTP_PROXY",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
];
const LOOPBACK: &str = "127.0.0.1";

/// The child's environment, made of ours and of what it is `given`.
pub(super) fn for_child(
    ours: impl Iterator<Item = (OsString, OsString)>,
    given: &[(&str, Zeroizing<String>)],
) -> BTreeMap<OsString, OsString> {
    let mut variables: BTreeMap<_, _> = ours
        .filter(|(name, _)| !REMOVED.iter().any(|removed| name == OsStr::new(removed)))
        .collect();
    for (name, value) in given {
        variables.insert(name.into(), value.as_str().into());
    }
    spare_loopback(&mut variables);
    variables
}

/// A proxy would look for the agent on its own loopback.
fn spare_loopback(variables: &mut BTreeMap<OsString, OsString>) {
    let is_set = |name: &&str| {
        variables
            .get(OsStr::new(name))
            .is_some_and(|value| !value.is_empty())
    };
    if !PROXIES.iter().any(|name| is_set(&name)) {
        return;
    }
    let (lower, upper) = ("no_proxy", "NO_PROXY");
    for (name, other) in [(lower, upper), (upper, lower)] {
        let known = variables
            .get(OsStr::new(name))
            .or_else(|| variables.get(OsStr::new(other)))
            .map(|value| value.to_string_lossy().into_owned())
            .unwrap_or_default();
        let has_it = known
            .split(',')
            .any(|host| matches!(host.trim(), "*" | LOOPBACK));
        let value = match (has_it, known.is_empty()) {
            (true, _) => known,
            (false, true) => LOOPBACK.to_owned(),
            (false, false) => format!("{known},{LOOPBACK}"),
        };
        variables.insert(name.into(), value.into());
    }
}

/// The same as lines that a shell reads, and that a Slurm task prolog prints: values hold no blank or quote.
pub(super) fn lines(given: &[(&str, Zeroizing<String>)]) -> Zeroizing<String> {
    let is_given = |name: &&&str| !given.iter().any(|(given, _)| given == *name);
    let mut text = Zeroizing::new(String::new());
    for name in REMOVED.iter().filter(is_given) {
        text.push_str("unset ");
        text.push_str(name);
        text.push('\n');
    }
    for (name, value) in given {
        for part in ["export ", name, "=", value.as_str(), "\n"] {
            text.push_str(part);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn child(ours: &[(&str, &str)]) -> BTreeMap<String, String> {
        let given = [(
            "AWS_CONTAINER_AUTHORIZATION_TOKEN",
            Zeroizing::new("t".to_owned()),
        )];
        let ours = ours.iter().map(|(name, value)| (name.into(), value.into()));
        for_child(ours, &given)
            .into_iter()
            .map(|(name, value)| (name.into_string().unwrap(), value.into_string().unwrap()))
            .collect()
    }

    #[test]
    fn removes_what_would_win_and_keeps_the_rest() {
        let mut ours: Vec<_> = REMOVED.iter().map(|name| (*name, "x")).collect();
        ours.extend([
            ("AWS_REGION", "eu-west-1"),
            ("PATH", "/bin"),
            ("ROLEGATE_URL", "u"),
        ]);
        let child = child(&ours);
        let names: Vec<_> = child.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "AWS_CONTAINER_AUTHORIZATION_TOKEN",
                "AWS_REGION",
                "PATH",
                "ROLEGATE_URL"
            ]
        );
        assert_eq!(child["AWS_CONTAINER_AUTHORIZATION_TOKEN"], "t");
    }

    #[test]
    fn a_proxy_never_hears_of_loopback() {
        assert!(!child(&[("PATH", "x")]).contains_key("NO_PROXY"));
        for (known, wanted) in [
            (vec![], "127.0.0.1"),
            (
                vec![("NO_PROXY", "a.example.org")],
                "a.example.org,127.0.0.1",
            ),
            (vec![("no_proxy", "a, 127.0.0.1")], "a, 127.0.0.1"),
            (vec![("no_proxy", "*")], "*"),
        ] {
            let mut ours = vec![("HTTP_PROXY", "http://proxy:3128")];
            ours.extend(known);
            let child = child(&ours);
            assert_eq!((&*child["NO_PROXY"], &*child["no_proxy"]), (wanted, wanted));
        }
    }

    #[test]
    fn lines_unset_and_export() {
        let text = lines(&[("AWS_ROLE_ARN", Zeroizing::new("arn".to_owned()))]);
        assert!(text.contains("unset AWS_ACCESS_KEY_ID\n"));
        assert!(text.ends_with("\nexport AWS_ROLE_ARN=arn\n"));
        assert!(!text.contains("unset AWS_ROLE_ARN\n"));
    }
}
