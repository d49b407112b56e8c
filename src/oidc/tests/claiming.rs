//! What claims say of the person.

use super::*;
use crate::model::{OfferRefusal, SessionDuration};

const OTHER: &str = "arn:aws:iam::123456789012:role/a,b";
const SAML: &str = "arn:aws:iam::123456789012:saml-provider/Okta";

/// The roles offered, and how many values offered none.
fn roles(changes: &Value) -> (Vec<String>, usize) {
    let parts = parts(changes).unwrap();
    let offers = parts.offers.iter();
    let roles = offers.map(|offer| offer.role.to_string()).collect();
    (roles, parts.refused_offers.len())
}

fn path(text: &str) -> ClaimPath {
    text.parse().unwrap()
}

#[test]
fn roles_come_as_text_or_as_texts() {
    let one = || vec![ROLE.to_owned()];
    let two = || vec![ROLE.to_owned(), OTHER.to_owned()];
    for (value, wanted) in [
        (json!(ROLE), (one(), 0)),
        (json!([ROLE]), (one(), 0)),
        (json!([ROLE, OTHER, ROLE]), (two(), 0)),
        (json!(format!("{ROLE},{OTHER}")), (two(), 0)),
        (json!(format!("{ROLE}, {OTHER}")), (two(), 0)),
        (json!([format!("{ROLE},{OTHER}"), ROLE]), (two(), 0)),
        (json!(format!("{ROLE},{SAML}")), (one(), 0)),
        (json!(null), (vec![], 0)),
        (json!([]), (vec![], 0)),
        (json!(7), (vec![], 1)),
        (json!({"role": ROLE}), (vec![], 1)),
        (json!(true), (vec![], 1)),
        (json!(""), (vec![], 1)),
        (json!("data-scientist"), (vec![], 1)),
        (json!([ROLE, 7, null, [ROLE], "x"]), (one(), 4)),
        (json!(format!("{ROLE},{OTHER},{SAML}")), (vec![], 1)),
    ] {
        assert_eq!(roles(&json!({"aws_role_arn": value})), wanted, "{value}");
    }
}

#[test]
fn null_is_no_role_value() {
    let mut all = claims(&json!({}));
    all["aws_role_arn"] = Value::Null;
    let token = rsa_key().sign("RS256", &all);
    let parts = verify_with(&token, &[rsa_key()]).unwrap().into_parts().0;
    assert!(parts.offers.is_empty() && parts.refused_offers.is_empty());
}

#[test]
fn a_refused_role_says_why() {
    let parts = parts(&json!({"aws_role_arn": 7})).unwrap();
    let OfferRefusal::NotAnArn(reason) = &parts.refused_offers[0].reason else {
        panic!("{:?}", parts.refused_offers)
    };
    assert!(
        reason.contains("of the claim aws_role_arn is no text"),
        "{reason}"
    );
}

#[test]
fn claims_are_found_by_name_path_and_pointer() {
    let nested = json!({
        "aws_role_arn": null,
        "resource_access": {"roles": {"aws": ROLE}, "a/b": {"~": ROLE}, "list": [OTHER, ROLE]},
        "https://example.org/claims/role": ROLE,
        "a.b": ROLE,
        "a": {"b": OTHER},
    });
    for name in [
        "resource_access.roles.aws",
        "resource_access.list.1",
        "/resource_access/roles/aws",
        "/resource_access/a~1b/~0",
        "/resource_access/list/1",
        "https://example.org/claims/role",
        // The whole name comes first.
        "a.b",
    ] {
        let mut settings = settings();
        settings.claims.role = path(name);
        let parts = parts_for(&nested, &settings).unwrap();
        assert_eq!(parts.offers[0].role.as_str(), ROLE, "{name}");
    }
    for name in [
        "resource_access.roles.gcp",
        "/a/b/c",
        "/resource_access/list/2",
        "a.b.c",
    ] {
        let mut settings = settings();
        settings.claims.role = path(name);
        let parts = parts_for(&nested, &settings).unwrap();
        assert!(
            parts.offers.is_empty() && parts.refused_offers.is_empty(),
            "{name}"
        );
    }
}

#[test]
fn a_claims_name_is_checked() {
    for good in [
        "a",
        "/a~1b",
        "a b",
        "https://example.org/x~y",
        &"x".repeat(256),
    ] {
        assert_eq!(path(good).to_string(), good);
    }
    for bad in ["", "a\n", &"x".repeat(257)] {
        assert_eq!(
            bad.parse::<ClaimPath>(),
            Err(ClaimPathError::Name),
            "{bad:?}"
        );
    }
    for bad in ["/a~2", "/a~"] {
        assert_eq!(
            bad.parse::<ClaimPath>(),
            Err(ClaimPathError::Escape),
            "{bad:?}"
        );
    }
}

#[test]
fn the_duration_is_a_number_or_digits() {
    let duration = |value: &Value| parts(&json!({"aws_session_duration": value}));
    for good in [json!(3600), json!("3600")] {
        let found = duration(&good).unwrap().session_duration;
        assert_eq!(found, Some(SessionDuration::DEFAULT), "{good}");
    }
    for none in [json!(null), json!("")] {
        assert_eq!(duration(&none).unwrap().session_duration, None, "{none}");
    }
    for bad in [
        json!(899),
        json!(43201),
        json!(3600.5),
        json!(-3600),
        json!("1h"),
        json!("03600"),
        json!(true),
        json!([3600]),
    ] {
        assert_eq!(
            duration(&bad).unwrap_err().code(),
            "session_duration",
            "{bad}"
        );
    }
}

#[test]
fn the_user_is_the_claims_then_the_verified_mails_then_the_subjects() {
    let user = |changes: Value| {
        parts(&changes).map_or_else(
            |refusal| refusal.code().to_owned(),
            |parts| parts.person.user.to_string(),
        )
    };
    let name = |value: Value| user(json!({"aws_role_session_name": value}));
    assert_eq!(name(json!("alice")), "alice");
    assert_eq!(name(Value::Null), "alice@example.org");
    for bad in [
        json!(""),
        json!("a b"),
        json!("a"),
        json!(7),
        json!(["alice"]),
    ] {
        assert_eq!(name(bad.clone()), "user_name", "{bad}");
    }

    let mail = |verified: Value| user(json!({"email_verified": verified}));
    for yes in [json!(true), json!("true")] {
        assert_eq!(mail(yes.clone()), "alice@example.org", "{yes}");
    }
    for no in [
        json!(false),
        json!("false"),
        json!(null),
        json!(1),
        json!("True"),
    ] {
        assert_eq!(mail(no.clone()), "subject-1", "{no}");
    }
    assert_eq!(user(json!({"email": null})), "subject-1");
    // What the provider vouches for is the user, or nobody is.
    assert_eq!(user(json!({"email": "ä@example.org"})), "user_name");
    assert_eq!(user(json!({"email": 7})), "user_name");
    assert_eq!(user(json!({"email": null, "sub": "auth0|1"})), "user_name");

    let refusal = parts(&json!({"email": null, "sub": "auth0|1"})).unwrap_err();
    assert!(refusal.mend().contains("session_name_claim"));
}

#[test]
fn users_are_of_the_domains_that_the_provider_may_speak_for() {
    let mut settings = settings();
    settings.user_domains = vec!["example.org".to_owned()];
    assert!(parts_for(&json!({}), &settings).is_ok());
    for bad in [
        "alice@example.com",
        "alice@EXAMPLE.org",
        "alice@a.example.org",
        "alice@example.org@example.com",
        "alice",
    ] {
        let refused = parts_for(&json!({"aws_role_session_name": bad}), &settings);
        assert_eq!(refused.unwrap_err().code(), "user_domain", "{bad}");
    }
}

#[test]
fn claims_become_attributes() {
    let parts = parts(&json!({
        "groups": ["dev", "ops"], "level": 7, "staff": false, "empty": [], "mixed": ["a", 1, null, {"x": 1}],
        "department": {"name": "physics", "cost": {"centre": 42}},
        "department.name": "whole",
    }))
    .unwrap();
    let attributes = &parts.attributes;
    let is = |name: &str, wanted: &[&str]| assert_eq!(attributes[name], wanted, "{name}");
    is("groups", &["dev", "ops"]);
    is("level", &["7"]);
    is("staff", &["false"]);
    is("mixed", &["a", "1"]);
    is("department.cost.centre", &["42"]);
    is("department.name", &["whole"]);
    is("sub", &["subject-1"]);
    is("email_verified", &["true"]);
    for none in ["nonce", "exp", "iat", "empty", "department"] {
        assert!(!attributes.contains_key(none), "{none}");
    }
}

#[test]
fn a_mail_address_that_nobody_checked_is_no_attribute() {
    for unchecked in [json!(false), json!("false"), Value::Null, json!(1)] {
        let changes = json!({"email_verified": unchecked});
        let attributes = parts(&changes).unwrap().attributes;
        assert!(!attributes.contains_key("email"), "{unchecked}");
    }
    for checked in [json!(true), json!("true")] {
        let attributes = parts(&json!({"email_verified": checked}))
            .unwrap()
            .attributes;
        assert_eq!(attributes["email"], ["alice@example.org"]);
    }
}

#[test]
fn absurd_nesting_is_left_out() {
    let mut deep = json!({"leaf": "x"});
    for _ in 0..50 {
        deep = json!({ "d": deep });
    }
    let parts = parts(&json!({"deep": deep, "wide": {("x".repeat(300)): "y"}})).unwrap();
    let longest = parts.attributes.keys().map(String::len).max().unwrap();
    assert!(longest <= 256);
    assert!(!parts.attributes.keys().any(|name| name.starts_with("deep")));
}

#[test]
fn session_tags_are_those_of_saml() {
    const NAMES: &str = "https://aws.amazon.com/SAML/Attributes/";
    let nested = json!({"https://aws.amazon.com/tags": {
        "principal_tags": {"Project": ["blue"], "Cost.Center": "42"},
        "transitive_tag_keys": ["Project"],
    }});
    let flat = json!({
        "https://aws.amazon.com/tags/principal_tags/Project": ["blue"],
        "https://aws.amazon.com/tags/principal_tags/Cost.Center": ["42"],
        "https://aws.amazon.com/tags/transitive_tag_keys": ["Project"],
    });
    for changes in [nested, flat] {
        let attributes = parts(&changes).unwrap().attributes;
        let values = |name: &str| attributes[&format!("{NAMES}{name}")].clone();
        assert_eq!(values("PrincipalTag:Project"), ["blue"]);
        assert_eq!(values("PrincipalTag:Cost.Center"), ["42"]);
        assert_eq!(values("TransitiveTagKeys"), ["Project"]);
    }
    let odd = json!({"https://aws.amazon.com/tags": {"principal_tags": ["x"]}});
    let attributes = parts(&odd).unwrap().attributes;
    assert!(!attributes.keys().any(|name| name.starts_with(NAMES)));
}
