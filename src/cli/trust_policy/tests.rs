//! What is printed, held against what IAM takes.

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

/// What is wanted of `role`, for everybody.
fn wanted(role: &RolePattern, method: Method) -> Wanted<'_> {
    Wanted {
        role,
        method,
        user: None,
        idp: None,
        entry: None,
        principal: None,
        trusted: None,
    }
}

fn printed(wanted: &Wanted<'_>, config: &Config) -> Value {
    serde_json::from_str(&trust_policy(wanted, config).unwrap()).unwrap()
}

fn parsed(user: Option<&UserName>) -> Value {
    let role = ROLE.parse().unwrap();
    let wanted = Wanted {
        user,
        ..wanted(&role, Method::Saml)
    };
    printed(&wanted, &with_provider())
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
    let (config, role) = (with_provider(), ROLE.parse().unwrap());
    let everybody = wanted(&role, Method::Saml);
    let alone = Wanted {
        user: Some(&user),
        ..wanted(&role, Method::Saml)
    };
    assert_eq!(
        alone.notes(&config).len(),
        everybody.notes(&config).len() + 1
    );
    assert!(alone.notes(&config).concat().contains("NameID"));
}

#[test]
fn what_it_cannot_say_it_refuses_with_the_mend() {
    let refused = |role: &str, method, config: &Config| {
        trust_policy(&wanted(&role.parse().unwrap(), method), config).unwrap_err()
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
    let none = refused(ROLE, Method::WebIdentity, &with_provider());
    assert!(none.contains("OpenID Connect provider"), "{none}");
}

#[test]
fn relay_pins_the_role_and_who() {
    let role = "arn:aws:iam::123456789012:role/te$am,a/reader"
        .parse()
        .unwrap();
    let config = config("[relay]\nissuer = \"https://keys.example.org/rolegate\"\n");
    let policy = printed(&wanted(&role, Method::Relay), &config);
    let expected = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow",
        "Principal": { "Federated": "arn:aws:iam::123456789012:oidc-provider/keys.example.org/rolegate" },
        "Action": ["sts:AssumeRoleWithWebIdentity", "sts:TagSession", "sts:SetSourceIdentity"],
        "Condition": {
            "StringEquals": { "keys.example.org/rolegate:aud": "sts.amazonaws.com" },
            "StringLike": { "keys.example.org/rolegate:sub": "role:123456789012/te${$}am,a/reader:idp:*:user:*" },
        },
    }] });
    assert_eq!(policy, expected);
    let user: UserName = "alice".parse().unwrap();
    let alone = Wanted {
        user: Some(&user),
        ..wanted(&role, Method::Relay)
    };
    let condition = &printed(&alone, &config)["Statement"][0]["Condition"];
    let sub = &condition["StringLike"]["keys.example.org/rolegate:sub"];
    assert_eq!(*sub, "role:123456789012/te${$}am,a/reader:idp:*:user:alice");
    assert!(
        alone
            .notes(&config)
            .concat()
            .contains("every identity provider")
    );
}

fn entry(change: impl FnOnce(&mut crate::model::EntryDraft)) -> Entry {
    let mut draft = crate::model::EntryDraft::allowing(ROLE.parse().unwrap());
    change(&mut draft);
    Entry {
        id: "ent_1".parse().unwrap(),
        version: 1,
        draft,
        source: crate::model::EntrySource::File,
    }
}

#[test]
fn relay_for_one_person_of_one_identity_provider_leaves_nothing_open() {
    let (role, user) = (ROLE.parse().unwrap(), "alice".parse().unwrap());
    let entry = entry(|draft| draft.idp = Some("okta".parse().unwrap()));
    let alone = Wanted {
        user: Some(&user),
        entry: Some(&entry),
        ..wanted(&role, Method::Relay)
    };
    let condition = &printed(&alone, &config(""))["Statement"][0]["Condition"];
    let expected = json!({ "StringEquals": {
        "gate.example.org/x:aud": "sts.amazonaws.com",
        "gate.example.org/x:sub": "role:123456789012/reader:idp:okta:user:alice",
    } });
    assert_eq!(*condition, expected);
}

#[test]
fn relay_pins_the_identity_provider_that_is_asked_for_and_else_the_only_one() {
    let provider = "[[oidc.provider]]\nname = \"corp\"\nissuer = \"https://login.example.org\"\nclient_id = \"gate\"\nclient_secret = \"a-secret-of-tests\"\n";
    let (role, user) = (ROLE.parse().unwrap(), "alice".parse().unwrap());
    let sub = |idp: Option<&IdpName>, tables: &str| {
        let alone = Wanted {
            user: Some(&user),
            idp,
            ..wanted(&role, Method::Relay)
        };
        let policy = printed(&alone, &config(tables));
        let condition = policy["Statement"][0]["Condition"].as_object().unwrap();
        let mut keys = condition.values().filter_map(Value::as_object).flatten();
        let found = keys.find(|(key, _)| key.ends_with(":sub"));
        found.unwrap().1.as_str().unwrap().to_owned()
    };
    let other = provider.replace("corp", "lab");
    assert!(sub(None, provider).ends_with(":idp:corp:user:alice"));
    let both = format!("{provider}{other}");
    assert!(sub(None, &both).ends_with(":idp:*:user:alice"));
    let lab = "lab".parse().unwrap();
    assert!(sub(Some(&lab), &both).ends_with(":idp:lab:user:alice"));
}

#[test]
fn broker_names_the_principal_the_external_id_and_the_user() {
    let (role, user) = (ROLE.parse().unwrap(), "alice".parse().unwrap());
    let entry = entry(|draft| draft.external_id = Some("tenant-1".to_owned()));
    let own = "arn:aws:iam::111111111111:role/gate";
    let alone = Wanted {
        user: Some(&user),
        entry: Some(&entry),
        principal: Some(own),
        ..wanted(&role, Method::Broker)
    };
    let allow =
        |action: &str| json!({ "Effect": "Allow", "Principal": { "AWS": own }, "Action": action });
    let mut expected = [
        allow("sts:AssumeRole"),
        allow("sts:SetSourceIdentity"),
        allow("sts:TagSession"),
    ];
    expected[0]["Condition"] =
        json!({ "StringEquals": { "sts:ExternalId": "tenant-1", "sts:SourceIdentity": "alice" } });
    expected[1]["Condition"] = json!({ "StringEquals": { "sts:SourceIdentity": "alice" } });
    let policy = printed(&alone, &config(""));
    assert_eq!(policy["Statement"], json!(expected));

    let everybody = wanted(&role, Method::Broker);
    let policy = printed(&everybody, &config(""));
    assert_eq!(policy["Statement"][0]["Principal"]["AWS"], NOBODY);
    assert!(policy["Statement"][0].get("Condition").is_none());
    assert!(
        everybody
            .notes(&config(""))
            .concat()
            .contains("--principal")
    );
}

#[test]
fn a_session_s_role_is_the_principal() {
    let session = "arn:aws-cn:sts::111111111111:assumed-role/gate/i-0123";
    assert_eq!(principal(session), "arn:aws-cn:iam::111111111111:role/gate");
    let user = "arn:aws:iam::111111111111:user/gate";
    assert_eq!(principal(user), user);
}
