//! `[[oidc.provider]]` and `assignments`: what is taken, what is refused with which mend, what is warned of.

use super::*;

/// A provider that starts; more keys follow it.
const PROVIDER: &str = "[[oidc.provider]]\nname = \"entra\"\nissuer = \"https://login.example.org/t/v2.0\"\nclient_id = \"0f3a\"\nclient_secret = \"hush-hush\"\n";
const SAML: &str = "[[saml.idp]]\nname = \"okta\"\nmetadata_file = \"okta.xml\"\n";

#[test]
fn defaults_are_those_that_posit_documents() {
    let config = Desk::new().load(&format!("{LEAST}{PROVIDER}"));
    let [provider] = config.oidc.as_slice() else {
        panic!("{:?}", config.oidc);
    };
    assert_eq!(provider.name.as_str(), "entra");
    assert_eq!(provider.issuer, "https://login.example.org/t/v2.0");
    assert_eq!(provider.scopes, ["openid", "email", "offline_access"]);
    assert_eq!(provider.role_claim, "aws_role_arn");
    assert_eq!(provider.session_name_claim, "aws_role_session_name");
    assert_eq!(provider.duration_claim, "aws_session_duration");
    assert!(provider.user_domains.is_empty() && provider.authorization_parameters.is_empty());
    assert!(provider.assignments);
    assert!(config.without_assignments().is_empty());
    assert_eq!(config.warnings, [Warning::NoEntry]);
    assert!(!format!("{config:?}").contains("hush-hush"));
}

#[test]
fn every_key_is_taken_as_written() {
    let keys = "scopes = [\"groups\", \"openid\", \"groups\"]\nrole_claim = \"aws.roles\"\nsession_name_claim = \"/user/name\"\nduration_claim = \"https://example.org/duration\"\nuser_domains = [\"Example.org\"]\nauthorization_parameters = { prompt = \"\", access_type = \"offline\" }\nassignments = \"off\"\n";
    let config = Desk::new().load(&format!("{LEAST}{PROVIDER}{keys}"));
    let provider = &config.oidc[0];
    assert_eq!(provider.scopes, ["openid", "groups"]);
    assert_eq!(provider.role_claim, "aws.roles");
    assert_eq!(provider.session_name_claim, "/user/name");
    assert_eq!(provider.duration_claim, "https://example.org/duration");
    assert_eq!(provider.user_domains, ["example.org"]);
    assert_eq!(provider.authorization_parameters["prompt"], "");
    assert_eq!(provider.authorization_parameters["access_type"], "offline");
    assert!(!provider.assignments);
}

#[test]
fn assignments_are_on_until_they_are_switched_off() {
    let config = Desk::new().load(&format!(
        "{LEAST}{SAML}assignments = \"off\"\n{}assignments = \"on\"\n{PROVIDER}assignments = \"off\"\n",
        SAML.replace("okta\"", "keycloak\""),
    ));
    let without: Vec<_> = config.without_assignments().into_iter().collect();
    let names: Vec<&str> = without.iter().map(IdpName::as_str).collect();
    assert_eq!(names, ["entra", "okta"]);
    let all: Vec<&str> = config.idp_names().map(IdpName::as_str).collect();
    assert_eq!(all, ["okta", "keycloak", "entra"]);
}

/// What is refused after [`LEAST`] and [`PROVIDER`]: text, key, words of the mend.
const REFUSED: &[(&str, &str, &str)] = &[
    ("scope = []", "scope", "write one of: name, issuer"),
    ("scopes = \"openid\"", "scopes", "a list of texts"),
    ("scopes = [\"openid email\"]", "scopes[1]", "without blanks"),
    (
        "scopes = [\"openid\", \"\"]",
        "scopes[2]",
        "a text of its own",
    ),
    ("role_claim = \"\"", "role_claim", "the claim's name"),
    (
        "session_name_claim = \" a\"",
        "session_name_claim",
        "without blanks around",
    ),
    (
        "duration_claim = \"a\\nb\"",
        "duration_claim",
        "control characters",
    ),
    ("user_domains = []", "user_domains", "one domain at least"),
    (
        "user_domains = [\"@example.org\"]",
        "user_domains[1]",
        "without @",
    ),
    ("assignments = \"yes\"", "assignments", "on, off"),
    ("assignments = false", "assignments", "one of on, off"),
    (
        "authorization_parameters = [\"prompt\"]",
        "authorization_parameters",
        "a table of texts",
    ),
    (
        "authorization_parameters = { \"a b\" = \"x\" }",
        "authorization_parameters.a b",
        "printable ASCII",
    ),
    (
        "authorization_parameters = { prompt = \"a\\u0000\" }",
        "authorization_parameters.prompt",
        "at most 1024",
    ),
    (
        "client_secret_file = \"entra.secret\"",
        "client_secret",
        "keep one of the two",
    ),
];

#[test]
fn every_refusal_names_its_key_and_the_mend() {
    let desk = Desk::new();
    for (text, key, mend) in REFUSED {
        let problems = desk.refused(&format!("{LEAST}{PROVIDER}{text}\n"));
        let wanted = format!("oidc.provider.entra.{key}");
        let problem = problems.iter().find(|problem| problem.key == wanted);
        let shown = problem.map_or_else(|| panic!("{text}\n{problems:#?}"), ToString::to_string);
        assert!(shown.contains(mend), "{text}\n{shown}");
    }
}

#[test]
fn the_protocols_own_parameters_cannot_be_set() {
    let desk = Desk::new();
    for name in [
        "client_id",
        "redirect_uri",
        "response_type",
        "response_mode",
        "scope",
        "state",
        "nonce",
        "code_challenge",
        "code_challenge_method",
        "request",
        "request_uri",
        "State",
    ] {
        let text = format!("authorization_parameters = {{ {name} = \"x\" }}\n");
        let problems = desk.refused(&format!("{LEAST}{PROVIDER}{text}"));
        assert_eq!(problems[0].error, ConfigError::ReservedParameter, "{name}");
    }
    desk.load(&format!(
        "{LEAST}{PROVIDER}authorization_parameters = {{ hd = \"example.org\" }}\n"
    ));
}

#[test]
fn an_issuer_is_https_and_written_as_the_provider_writes_it() {
    let desk = Desk::new();
    for (issuer, mend) in [
        ("https://login.example.org/t/v2.0/", None),
        ("http://127.0.0.1:9000", None),
        ("http://localhost:9000/realms/r", None),
        ("http://login.example.org", Some("write https://")),
        ("https://login.example.org/?p=1", Some("it has a query")),
        ("https://login.example.org/#x", Some("it has a fragment")),
        ("https://me@login.example.org/", Some("it names a user")),
        (" https://login.example.org/", Some("it has a blank")),
        ("https://login.example.org/a b", Some("it has a blank")),
        (
            "https://login.example.org/t/v2.0/.well-known/openid-configuration",
            Some("without /.well-known/openid-configuration"),
        ),
        ("login.example.org", Some("it cannot be read")),
        ("ftp://login.example.org", Some("neither http nor https")),
    ] {
        let text = PROVIDER.replace("https://login.example.org/t/v2.0", issuer);
        match (desk.load_with(&format!("{LEAST}{text}"), &[]), mend) {
            (Ok(config), None) => assert_eq!(config.oidc[0].issuer, issuer),
            (Err(errors), Some(mend)) => {
                let problem = &errors.problems()[0];
                assert_eq!(problem.key, "oidc.provider.entra.issuer");
                assert!(errors.to_string().contains(mend), "{errors}");
            }
            (found, _) => panic!("{issuer}: {found:?}"),
        }
    }
}

#[test]
fn what_must_be_there_is_asked_for() {
    let problems = Desk::new().refused(&format!("{LEAST}[[oidc.provider]]\nname = \"e\"\n"));
    let keys: Vec<&str> = problems
        .iter()
        .map(|problem| problem.key.as_str())
        .collect();
    assert_eq!(
        keys,
        [
            "oidc.provider.e.issuer",
            "oidc.provider.e.client_id",
            "oidc.provider.e"
        ]
    );
    assert!(problems[2].to_string().contains("client_secret_file"));
}

#[test]
fn a_secret_file_holds_the_secret_alone() {
    let desk = Desk::new();
    let text = PROVIDER.replace(
        "client_secret = \"hush-hush\"",
        "client_secret_file = \"s\"",
    );
    let load = || desk.load_with(&format!("{LEAST}{text}"), &[]);
    let key = "oidc.provider.entra.client_secret_file";
    let long = "x".repeat(4097);
    for (content, words) in [
        (Vec::new(), "it is empty"),
        (b" \n".to_vec(), "it is empty"),
        (long.clone().into_bytes(), "more than 4 KiB"),
        (vec![0xff, 0xfe], "it is no text"),
    ] {
        desk.write("s", content);
        let errors = load().unwrap_err();
        assert_eq!(errors.problems()[0].key, key);
        assert!(errors.to_string().contains(words), "{errors}");
    }
    std::fs::remove_file(desk.path("s")).unwrap();
    assert!(load().unwrap_err().to_string().contains("cannot be read"));
    let most = "x".repeat(4096);
    for (content, secret) in [("one\n", "one"), ("two\r\n", "two"), (&most, &most)] {
        desk.write("s", content);
        let config = load().unwrap_or_else(|errors| panic!("{errors}"));
        let found = &config.oidc[0].client_secret;
        assert_eq!(*found, ClientSecret::File(desk.path("s")));
        assert_eq!(found.read().unwrap(), Secret::new(secret.to_owned()));
        desk.write("s", "another");
        assert_eq!(found.read().unwrap(), Secret::new("another".to_owned()));
    }
}

#[test]
fn a_name_is_taken_once_across_saml_and_openid_connect() {
    let desk = Desk::new();
    for other in ["okta", "OKTA"] {
        let text = PROVIDER.replace("\"entra\"", &format!("\"{other}\""));
        let problems = desk.refused(&format!("{LEAST}{SAML}{text}"));
        assert_eq!(problems[0].key, format!("oidc.provider.{other}.name"));
        assert_eq!(problems[0].error, ConfigError::DuplicateName);
    }
    let twice = desk.refused(&format!("{LEAST}{PROVIDER}{PROVIDER}"));
    assert_eq!(twice[0].key, "oidc.provider[2].name");
    desk.load(&format!("{LEAST}{SAML}{PROVIDER}"));
}

#[test]
fn admins_and_entries_may_name_a_provider() {
    let desk = Desk::new();
    let two = format!("{LEAST}{SAML}{PROVIDER}");
    let config = desk.load(&format!(
        "{two}[admin]\nidp = \"entra\"\nusers = [\"ada\"]\n"
    ));
    assert_eq!(config.admin.unwrap().idp.unwrap().as_str(), "entra");
    let none = desk.refused(&format!("{two}[admin]\nusers = [\"ada\"]\n"));
    assert_eq!(none[0].error, ConfigError::AdminIdp);
    let other = desk.refused(&format!("{two}[admin]\nidp = \"x\"\nusers = [\"ada\"]\n"));
    assert!(other[0].to_string().contains("write one of: okta, entra"));
    let alone = desk.load(&format!("{LEAST}{PROVIDER}[admin]\nusers = [\"ada\"]\n"));
    assert_eq!(alone.admin.unwrap().idp.unwrap().as_str(), "entra");
    let entry = |idp: &str| {
        format!(
            "{two}[[roles.entry]]\narn = \"{ROLE}\"\nmethod = \"web-identity\"\nidp = \"{idp}\"\n"
        )
    };
    desk.load(&entry("entra"));
    assert_eq!(desk.refused(&entry("x"))[0].key, "roles.entry[1].idp");
}

#[test]
fn an_entry_that_no_sign_in_serves_is_warned_of() {
    let desk = Desk::new();
    let warned = |idps: &str, method: &str, idp: &str| {
        let entry = format!("[[roles.entry]]\narn = \"{ROLE}\"\nmethod = \"{method}\"\n{idp}\n");
        let warnings = desk.load(&format!("{LEAST}{idps}{entry}")).warnings;
        let key = || "roles.entry[1]".to_owned();
        (
            warnings.contains(&Warning::NoProviderSignIn { key: key() }),
            warnings.contains(&Warning::NoSamlSignIn { key: key() }),
        )
    };
    let both = format!("{SAML}{PROVIDER}");
    for (idps, method, idp, wanted) in [
        ("", "web-identity", "", (true, false)),
        (SAML, "web-identity", "", (true, false)),
        (PROVIDER, "web-identity", "", (false, false)),
        (&both, "web-identity", "", (false, false)),
        (&both, "web-identity", "idp = \"okta\"", (true, false)),
        ("", "saml", "", (false, false)),
        (PROVIDER, "saml", "", (false, true)),
        (&both, "saml", "", (false, false)),
        (&both, "saml", "idp = \"entra\"", (false, true)),
        (PROVIDER, "relay", "", (false, false)),
        (SAML, "broker", "", (false, false)),
    ] {
        assert_eq!(warned(idps, method, idp), wanted, "{idps} {method} {idp}");
    }
}

#[test]
fn the_environment_reaches_a_provider_by_its_name() {
    let desk = Desk::new();
    let text = PROVIDER.replace("client_secret = \"hush-hush\"\n", "");
    let variables = [
        (
            "ROLEGATE_OIDC__PROVIDER__ENTRA__CLIENT_SECRET",
            "of-the-environment",
        ),
        ("ROLEGATE_OIDC__PROVIDER__ENTRA__SCOPES", "[\"openid\"]"),
        (
            "ROLEGATE_OIDC__PROVIDER__ENTRA__AUTHORIZATION_PARAMETERS",
            "{ access_type = \"offline\" }",
        ),
    ];
    let config = desk
        .load_with(&format!("{LEAST}{text}"), &variables)
        .unwrap_or_else(|errors| panic!("{errors}"));
    let provider = &config.oidc[0];
    let secret = Secret::new("of-the-environment".to_owned());
    assert_eq!(provider.client_secret, ClientSecret::Inline(secret));
    assert_eq!(provider.scopes, ["openid"]);
    assert_eq!(provider.authorization_parameters["access_type"], "offline");
    let nobody = [("ROLEGATE_OIDC__PROVIDER__OKTA__CLIENT_SECRET", "hush-hush")];
    let errors = desk
        .load_with(&format!("{LEAST}{text}"), &nobody)
        .unwrap_err();
    let shown = errors.to_string();
    assert!(
        shown.contains("add it there") && !shown.contains("hush-hush"),
        "{shown}"
    );
}

#[test]
fn an_issuer_that_aws_would_not_take_is_told_where_web_identity_is_used() {
    let desk = Desk::new();
    let told = |issuer: &str, method: &str| {
        let provider = PROVIDER.replace("https://login.example.org/t/v2.0", issuer);
        let entry = format!("[[roles.entry]]\narn = \"{ROLE}\"\nmethod = \"{method}\"\n");
        let warnings = desk.load(&format!("{LEAST}{provider}{entry}")).warnings;
        warnings.into_iter().find_map(|warning| match warning {
            Warning::ProviderIssuer { problem, .. } => Some(problem),
            _ => None,
        })
    };
    let port = "https://login.example.org:8443";
    assert_eq!(told(port, "web-identity"), Some("names a port"));
    assert_eq!(told(port, "relay"), None);
    assert_eq!(told("https://login.example.org/t", "web-identity"), None);
    assert_eq!(told("http://127.0.0.1:9000", "web-identity"), None);
}
