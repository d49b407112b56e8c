//! The part of the account that trusts rolegate itself: by its tokens, and by its own identity.

use std::path::Path;

use rolegate::demo::sts::{Account, DemoPrincipal, OidcProvider, Role};

use super::{ACCOUNT, Setting, Variables, command, pair, role};

/// Who rolegate runs as.
const PRINCIPAL: &str = "arn:aws:iam::999999999999:user/rolegate";
const KEY_ID: &str = "AKIAROLEGATEROLEGATE";
const KEY: &str = "rolegates/own/key";

/// An account whose `roles` let rolegate in by the trust policy that `rolegate trust-policy` prints for them.
pub(super) async fn account(
    folder: &Path,
    public_url: &str,
    roles: &[(&'static str, &'static str)],
) -> Account {
    let mut account = Account::default();
    if roles.is_empty() {
        return account;
    }
    for (name, method) in roles {
        let mut arguments = vec!["trust-policy", "", "--method", method];
        let arn = role(name);
        arguments[1] = &arn;
        if *method == "broker" {
            arguments.extend(["--principal", PRINCIPAL]);
        }
        let policy = command(folder, &arguments, &[]).await.good();
        account.roles.push(Role::new(&arn, &policy).unwrap());
    }
    if roles.iter().any(|(_, method)| *method == "relay") {
        let (_, host) = public_url.split_once("://").unwrap();
        account.oidc_providers.push(OidcProvider {
            arn: format!("arn:aws:iam::{ACCOUNT}:oidc-provider/{host}"),
            issuer: public_url.to_owned(),
            client_ids: vec!["sts.amazonaws.com".to_owned()],
        });
    }
    account.principals.push(DemoPrincipal {
        access_key_id: KEY_ID.to_owned(),
        secret_access_key: KEY.to_owned(),
        arn: PRINCIPAL.to_owned(),
    });
    account
}

impl Setting {
    /// `alice` may have `long` by relay and `brokered` by broker, both renewed for a week, beside `reader`.
    pub(crate) fn renewing() -> Self {
        let entry = |name: &str, method: &str, more: &str| {
            format!(
                "[[roles.entry]]\narn = \"{}\"\nmethod = \"{method}\"\nrenew_for_seconds = 604800\n{more}\n",
                role(name)
            )
        };
        let relayed = entry(
            "long",
            "relay",
            "tag_keys = [\"Project\"]\nhand_out_tokens = true",
        );
        let brokered = entry(
            "brokered",
            "broker",
            "external_id = \"tenant-1\"\ntag_keys = [\"Project\"]",
        );
        Self {
            roles: ["reader", "long", "brokered"].map(pair).to_vec(),
            allowed: vec![role("reader")],
            tables: relayed + &brokered,
            variables: own_identity(),
            trusting: vec![("long", "relay"), ("brokered", "broker")],
            ..Self::default()
        }
    }
}

impl Setting {
    /// `alice` may have `long` by broker, renewed for a week, beside `reader`: nobody asks rolegate's own URL for keys.
    pub(crate) fn brokered() -> Self {
        let arn = role("long");
        Self {
            roles: ["reader", "long"].map(pair).to_vec(),
            allowed: vec![role("reader")],
            tables: format!(
                "[[roles.entry]]\narn = \"{arn}\"\nmethod = \"broker\"\nrenew_for_seconds = 604800\nexternal_id = \"tenant-1\"\n"
            ),
            variables: own_identity(),
            trusting: vec![("long", "broker")],
            ..Self::default()
        }
    }
}

/// The keys that AWS's default chain finds.
fn own_identity() -> Variables {
    vec![
        ("AWS_ACCESS_KEY_ID", KEY_ID.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", KEY.to_owned()),
    ]
}
