//! `rolegate trust-policy`: what a role's trust policy must say so that STS lets rolegate's users in.
//!
//! Prints; never talks to AWS. The audience key of IAM, `SAML:aud`, holds the assertion's Recipient,
//! which is rolegate's ACS, not the Audience.

use serde_json::{Value, json};

use crate::config::Config;
use crate::model::{Method, RolePattern, SamlProviderArn, UserName};

/// The trust policy of `role` for `method`, pretty JSON; or why there is none and what to do.
///
/// With `user`, the policy admits that one person: IAM's `SAML:sub` is the assertion's NameID.
pub(super) fn trust_policy(
    role: &RolePattern,
    method: Method,
    config: &Config,
    user: Option<&UserName>,
) -> Result<String, String> {
    if method != Method::Saml {
        return Err(format!(
            "a trust policy for method {method} is not available in this version; use --method saml"
        ));
    }
    let mut equals = json!({ "SAML:aud": config.acs_url() });
    if let (Some(user), Value::Object(keys)) = (user, &mut equals) {
        keys.insert("SAML:sub".to_owned(), json!(user.as_str()));
    }
    let policy = json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": { "Federated": provider(role, config)?.as_str() },
            // Without TagSession STS refuses every assertion that carries a PrincipalTag.
            "Action": ["sts:AssumeRoleWithSAML", "sts:TagSession"],
            "Condition": { "StringEquals": equals },
        }],
    });
    serde_json::to_string_pretty(&policy).map_err(|error| error.to_string())
}

/// The one provider configured for the role's account.
fn provider<'a>(role: &RolePattern, config: &'a Config) -> Result<&'a SamlProviderArn, String> {
    let Some(account) = role.account() else {
        return Err(format!(
            "{role} names no account, and a trust policy belongs to one; write its twelve digits"
        ));
    };
    let mut providers = config
        .roles
        .saml_providers
        .iter()
        .filter(|arn| arn.account() == account && arn.partition() == role.partition());
    providers.next().ok_or_else(|| {
        format!(
            "no SAML provider is configured for account {account}; upload the IdP's metadata in IAM, and set in {}: [roles] saml_providers = {{ \"{account}\" = \"arn:{}:iam::{account}:saml-provider/<name>\" }}",
            config.path.display(),
            role.partition(),
        )
    })
}

/// What an admin should know beside the policy; for standard error, so that the JSON stays alone.
pub(super) fn notes(config: &Config, user: Option<&UserName>) -> Vec<String> {
    let mut notes = vec![
        "With method saml the allow-list bounds what rolegate hands out, not what a user's browser could redeem at STS by itself within 5 minutes of signing in; this trust policy bounds both.".to_owned(),
        "To keep an existing sign-in to the AWS console, make SAML:aud a list of the value printed and the sign-in URL that stands there now (in partition aws https://signin.aws.amazon.com/saml).".to_owned(),
        "Where the IdP sends SourceIdentity, add sts:SetSourceIdentity to the actions.".to_owned(),
    ];
    if let Some(user) = user {
        notes.push(format!(
            "SAML:sub is the assertion's NameID, which AWS compares: the policy works only where the IdP sends {user} as NameID. rolegate itself takes the user from user_attribute."
        ));
    }
    if config.loopback_http() {
        notes.push(format!(
            "{} is reached on this machine alone; print the policy again once server.public_url is final.",
            config.acs_url()
        ));
    }
    notes
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const ROLE: &str = "arn:aws:iam::123456789012:role/reader";

    fn config(more: &str) -> Config {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rolegate.toml");
        let text = format!(
            "[server]\npublic_url = \"https://gate.example.org/x/\"\nbehind_proxy = true\ntrusted_proxies = [\"10.0.0.1\"]\n{more}"
        );
        std::fs::write(&path, text).unwrap();
        crate::config::load(&path, &BTreeMap::new()).unwrap()
    }

    fn with_provider() -> Config {
        config(
            "[roles]\nsaml_providers = { \"123456789012\" = \"arn:aws:iam::123456789012:saml-provider/Okta\" }",
        )
    }

    fn parsed(user: Option<&UserName>) -> Value {
        let text = trust_policy(&ROLE.parse().unwrap(), Method::Saml, &with_provider(), user);
        serde_json::from_str(&text.unwrap()).unwrap()
    }

    #[test]
    fn names_provider_and_acs() {
        let policy = parsed(None);
        assert_eq!(
            policy["Statement"][0]["Principal"]["Federated"],
            "arn:aws:iam::123456789012:saml-provider/Okta"
        );
        assert_eq!(
            policy["Statement"][0]["Condition"]["StringEquals"],
            json!({ "SAML:aud": "https://gate.example.org/x/saml/acs" })
        );
    }

    #[test]
    fn one_user_is_pinned_by_name_id_and_the_note_says_so() {
        let user = "alice@example.org".parse().unwrap();
        let policy = parsed(Some(&user));
        assert_eq!(
            policy["Statement"][0]["Condition"]["StringEquals"]["SAML:sub"],
            "alice@example.org"
        );
        let config = with_provider();
        assert_eq!(
            notes(&config, Some(&user)).len(),
            notes(&config, None).len() + 1
        );
        assert!(notes(&config, Some(&user)).concat().contains("NameID"));
    }

    #[test]
    fn what_it_cannot_say_it_refuses_with_the_mend() {
        let refused = |role: &str, method, config: &Config| {
            trust_policy(&role.parse().unwrap(), method, config, None).unwrap_err()
        };
        let none = refused(ROLE, Method::Saml, &config(""));
        assert!(
            none.contains("saml_providers = { \"123456789012\""),
            "{none}"
        );
        let other = refused(
            "arn:aws-cn:iam::123456789012:role/reader",
            Method::Saml,
            &with_provider(),
        );
        assert!(other.contains("arn:aws-cn:iam::123456789012"), "{other}");
        let any = refused("arn:aws:iam::*:role/reader", Method::Saml, &with_provider());
        assert!(any.contains("twelve digits"), "{any}");
        for method in [Method::WebIdentity, Method::Relay, Method::Broker] {
            let later = refused(ROLE, method, &with_provider());
            assert!(later.contains("not available in this version"), "{later}");
        }
    }
}
