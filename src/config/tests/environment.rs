//! Variables: what they win over, how they are read, and which are refused.

use super::*;

#[test]
fn the_environment_wins_and_is_typed_by_the_key() {
    let desk = Desk::new();
    let config = desk
        .load_with(
            &format!("{LEAST}listen = \"nonsense\"\n{OKTA}"),
            &[
                ("ROLEGATE_SERVER__LISTEN", "127.0.0.1:9999"),
                ("ROLEGATE_SERVER__BEHIND_PROXY", "true"),
                ("ROLEGATE_SERVER__TRUSTED_PROXIES", "[\"10.0.0.0/8\"]"),
                ("ROLEGATE_SERVER__LIMITS__BAD_TOKENS_PER_MINUTE", "7"),
                ("ROLEGATE_SAML__IDP__OKTA_EU__METADATA_FILE", "okta.xml"),
                ("ROLEGATE_SAML__IDP__OKTA_EU__USER_ATTRIBUTE", "123"),
                (
                    "ROLEGATE_ROLES__SAML_PROVIDERS",
                    "{ \"123456789012\" = \"arn:aws:iam::123456789012:saml-provider/Okta\" }",
                ),
                ("ROLEGATE_PORT", "tcp://10.0.0.1:80"),
                ("ROLEGATE_LISTEN", "ignored"),
                ("OTHER__KEY", "ignored"),
            ],
        )
        .unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(config.server.listen.port(), 9999);
    assert_eq!(config.server.trusted_proxies.len(), 1);
    assert_eq!(config.server.limits.bad_tokens_per_minute.get(), 7);
    let idp = &config.saml.idps[0];
    assert_eq!(idp.metadata, MetadataSource::File(desk.path("okta.xml")));
    assert_eq!(idp.user_attribute, "123");
    assert_eq!(config.roles.saml_providers.len(), 1);
}

#[test]
fn a_bad_variable_is_refused_by_its_name_and_its_value_stays_hidden() {
    let desk = Desk::new();
    desk.write("none.xml", "<x/>");
    let text = format!("{LEAST}{OKTA}");
    for (variable, value, words) in [
        ("ROLEGATE_SERVER__LISTNE", "s3cret", "write one of: listen"),
        ("ROLEGATE_SREVER__LISTEN", "s3cret", "write one of: server"),
        ("ROLEGATE__SERVER__LISTEN", "s3cret", "write one of: server"),
        ("ROLEGATE_SERVER__LISTEN__X", "s3cret", "remove it"),
        ("ROLEGATE_SERVER__LISTEN", "s3cret", "server.listen"),
        ("ROLEGATE_SERVER__BEHIND_PROXY", "s3cret", "true or false"),
        (
            "ROLEGATE_SERVER__TRUSTED_PROXIES",
            "10.0.0.0/8",
            "list of texts",
        ),
        (
            "ROLEGATE_SESSION__MAX_AGE_SECONDS",
            "1\nx = 2",
            "whole number",
        ),
        (
            "ROLEGATE_SESSION__MAX_AGE_SECONDS",
            "\"60\"",
            "whole number",
        ),
        (
            "ROLEGATE_SAML__IDP__ENTRA__METADATA_FILE",
            "s3cret",
            "add it there",
        ),
        ("ROLEGATE_SAML__IDP__OKTA_EU", "s3cret", "metadata_file"),
        (
            "ROLEGATE_SAML__IDP__OKTA_EU__NAME",
            "s3cret",
            "metadata_file",
        ),
        ("ROLEGATE_ALLOWED_ROLES", "reader", "IAM ARN"),
        (
            "AWS_ENDPOINT_URL_STS",
            "http://sts.example.org",
            "write https://",
        ),
        (
            "AWS_ENDPOINT_URL_SIGNIN",
            "http://signin.example.org",
            "write https://",
        ),
    ] {
        let Err(errors) = desk.load_with(&text, &[(variable, value)]) else {
            panic!("{variable} was taken");
        };
        let shown = errors.to_string();
        assert_eq!(errors.problems().len(), 1, "{shown}");
        assert_eq!(errors.problems()[0].variable.as_deref(), Some(variable));
        assert!(shown.contains(variable) && shown.contains(words), "{shown}");
        assert!(!shown.contains("s3cret"), "{shown}");
    }
    desk.load_with(&text, &[]).unwrap();
}

#[test]
fn names_that_differ_in_marks_alone_cannot_be_meant() {
    let desk = Desk::new();
    let two = OKTA.replace("none.xml", "okta.xml");
    let text = format!("{LEAST}{two}{}", two.replace("okta-eu", "okta_eu"));
    desk.load(&text);
    let variable = ("ROLEGATE_SAML__IDP__OKTA_EU__IDP_INITIATED", "allow");
    let errors = desk.load_with(&text, &[variable]).unwrap_err();
    assert!(
        errors.to_string().contains("rename one of them"),
        "{errors}"
    );
}

#[test]
fn allowed_roles_of_the_environment_are_added() {
    let desk = Desk::new();
    let list = format!("{ROLE},with-comma, {ROLE}");
    let config = desk
        .load_with(
            &format!("{LEAST}[roles]\nallowed = [\"{ROLE}\"]\n"),
            &[
                ("ROLEGATE_ALLOWED_ROLES", list.as_str()),
                ("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:4566"),
                ("AWS_ENDPOINT_URL_SIGNIN", "https://signin.example.org"),
            ],
        )
        .unwrap();
    let entries: Vec<(String, EntrySource)> = config
        .roles
        .entries
        .iter()
        .map(|entry| (entry.draft.arn.to_string(), entry.source))
        .collect();
    assert_eq!(
        entries,
        [
            (ROLE.to_owned(), EntrySource::File),
            (format!("{ROLE},with-comma"), EntrySource::Environment),
            (ROLE.to_owned(), EntrySource::Environment),
        ]
    );
    assert!(config.roles.entries[1].id.as_str().starts_with("ent_env-"));
    assert!(config.sts.endpoint.is_some());
    let console = config.sts.console_endpoint.unwrap();
    assert_eq!(console.as_str(), "https://signin.example.org/");
    let by_key = desk
        .load_with(
            &format!("{LEAST}[roles]\nallowed = [\"x\"]\n"),
            &[("ROLEGATE_ROLES__ALLOWED", &format!("[\"{ROLE}\"]"))],
        )
        .unwrap();
    assert_eq!(by_key.roles.entries.len(), 1);
    assert_eq!(by_key.roles.entries[0].source, EntrySource::Environment);
}
