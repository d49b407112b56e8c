//! Signatures and the protocol's claims: every refusal beside its positive twin.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use josekit::jws::JwsHeader;

use super::signing::{
    assembled, key_set, other_rsa_key, p256_key, p384_key, p521_key, weak_rsa_key,
};
use super::*;

fn signed_code(token: &str, keys: &[&Key]) -> &'static str {
    verify_with(token, keys).map_or_else(|refusal| refusal.code(), |_| "ok")
}

#[test]
fn a_good_token_says_who_signed_in() {
    let token = rsa_key().sign("RS256", &claims(&json!({})));
    let verified = verify_with(&token, &[rsa_key()]).unwrap();
    assert_eq!(verified.in_response_to(), Some("the-state"));
    assert_eq!(
        verified.remember_until(),
        now() + TimeDelta::seconds(300 + 60)
    );
    assert_eq!(verified.replay_ids().len(), 1);
    let shown = format!("{verified:?}");
    assert!(!shown.contains(&token) && !shown.contains("refresh-1"));

    let (parts, tokens) = verified.into_parts();
    assert_eq!(parts.person.idp.as_str(), "main");
    assert_eq!(parts.person.user.as_str(), "alice@example.org");
    assert_eq!(parts.offers[0].role.as_str(), ROLE);
    assert_eq!(parts.issued_at, now() - TimeDelta::seconds(5));
    assert!(parts.forwarding.is_none() && parts.not_after.is_none() && !parts.assigned);
    let web = parts.web_identity.unwrap();
    assert_eq!(
        (&*web.issuer, &*web.subject, &*web.audience),
        (ISSUER, "subject-1", CLIENT)
    );
    assert_eq!(web.redeemable_until, None);
    assert_eq!(tokens.id_token.jwt.expose(), token);
    assert_eq!(tokens.id_token.subject, "subject-1");
    assert_eq!(tokens.id_token.audience, CLIENT);
    assert_eq!(tokens.id_token.expires_at, now() + TimeDelta::seconds(300));
    assert_eq!(tokens.refresh_token, Some(secret("refresh-1")));
}

#[test]
fn without_a_refresh_token_the_id_token_ends_it() {
    let token = rsa_key().sign("RS256", &claims(&json!({})));
    let keys = key_set(&[rsa_key()]);
    let expectation = IdTokenExpectation {
        settings: &settings(),
        keys: &keys,
        nonce: &secret(NONCE),
        state: "the-state",
        now: now(),
    };
    let only = TokenAnswer::new(Some(secret(&token)), None);
    let (parts, tokens) = verify(&only, &expectation).unwrap().into_parts();
    let until = parts.web_identity.unwrap().redeemable_until;
    assert_eq!(until, Some(now() + TimeDelta::seconds(300)));
    assert_eq!(tokens.refresh_token, None);

    let none = TokenAnswer::new(None, Some(secret("refresh-1")));
    let refusal = verify(&none, &expectation).unwrap_err();
    assert_eq!(refusal, Refusal::NoIdToken {});
}

#[test]
fn the_allowed_algorithms_verify() {
    let plain = rsa_key().shown_as(&json!({"alg": null}), Some("rsa-1"));
    for algorithm in ["RS256", "RS384", "RS512"] {
        let token = plain.sign(algorithm, &claims(&json!({})));
        assert_eq!(signed_code(&token, &[&plain]), "ok", "{algorithm}");
    }
    for (key, algorithm) in [(p256_key(), "ES256"), (p384_key(), "ES384")] {
        let token = key.sign(algorithm, &claims(&json!({})));
        assert_eq!(signed_code(&token, &[rsa_key(), key]), "ok", "{algorithm}");
    }
}

#[test]
fn other_algorithms_are_refused_whatever_the_metadata_says() {
    let none = json!({"alg": "none", "typ": "JWT"});
    for alg in ["none", "None", "nOnE", ""] {
        let header = json!({"alg": alg});
        let token = assembled(&header, &claims(&json!({})), "");
        assert_eq!(signed_code(&token, &[rsa_key()]), "algorithm", "{alg}");
    }
    let token = assembled(&none, &claims(&json!({})), "AAAA");
    assert_eq!(signed_code(&token, &[rsa_key()]), "algorithm");
    let any = rsa_key().shown_as(&json!({"alg": null}), Some("rsa-1"));
    for algorithm in ["HS256", "PS256"] {
        let token = any.sign(algorithm, &claims(&json!({})));
        assert_eq!(signed_code(&token, &[&any]), "algorithm", "{algorithm}");
    }
    let token = p521_key().sign("ES512", &claims(&json!({})));
    assert_eq!(signed_code(&token, &[p521_key(), rsa_key()]), "algorithm");
    let eddsa = assembled(&json!({"alg": "EdDSA"}), &claims(&json!({})), "AAAA");
    assert_eq!(signed_code(&eddsa, &[rsa_key()]), "algorithm");
}

#[test]
fn only_the_providers_keys_verify() {
    let token = rsa_key().sign("RS256", &claims(&json!({})));
    assert_eq!(signed_code(&token, &[other_rsa_key(), rsa_key()]), "ok");
    assert_eq!(signed_code(&token, &[other_rsa_key()]), "key_unknown");
    assert_eq!(signed_code(&token, &[p256_key()]), "key_unknown");

    let impostor = other_rsa_key().shown_as(&json!({"kid": "rsa-1"}), Some("rsa-1"));
    let refusal = verify_with(&token, &[&impostor]).unwrap_err();
    assert_eq!(refusal, Refusal::Signature {});
    assert!(refusal.wants_newer_keys());
    let refusal = verify_with(&token, &[other_rsa_key()]).unwrap_err();
    assert!(refusal.wants_newer_keys() && refusal.to_string().contains("\"rsa-1\""));
}

#[test]
fn keys_of_real_providers_verify() {
    let bare = json!({"alg": null, "use": null, "kid": null});
    for (key, token_kid) in [
        // No kid anywhere, a kid in the token alone, in the key alone.
        (rsa_key().shown_as(&bare, None), None),
        (rsa_key().shown_as(&bare, Some("rsa-1")), Some("rsa-1")),
        (rsa_key().shown_as(&json!({}), None), None),
    ] {
        let token = key.sign("RS256", &claims(&json!({})));
        assert_eq!(signed_code(&token, &[&key]), "ok", "{token_kid:?}");
        // A second key without a kid is another candidate, not a contradiction.
        let other = other_rsa_key().shown_as(&bare, None);
        assert_eq!(signed_code(&token, &[&other, &key]), "ok", "{token_kid:?}");
    }
    let operations =
        rsa_key().shown_as(&json!({"use": null, "key_ops": ["verify"]}), Some("rsa-1"));
    let token = operations.sign("RS256", &claims(&json!({})));
    assert_eq!(signed_code(&token, &[&operations]), "ok");
}

#[test]
fn keys_for_something_else_do_not_verify() {
    let token = rsa_key().sign("RS256", &claims(&json!({})));
    for changes in [
        json!({"use": "enc"}),
        json!({"use": null, "key_ops": ["encrypt"]}),
        json!({"alg": "RS512"}),
        json!({"alg": "PS256"}),
        json!({"alg": "RSA-OAEP"}),
        json!({"kty": "oct", "k": "AAAA"}),
        json!({"n": null}),
    ] {
        let key = rsa_key().shown_as(&changes, Some("rsa-1"));
        let code = signed_code(&token, &[&key, other_rsa_key()]);
        assert_eq!(code, "key_unknown", "{changes}");
    }
    let token = weak_rsa_key().sign("RS256", &claims(&json!({})));
    assert_eq!(
        signed_code(&token, &[weak_rsa_key(), rsa_key()]),
        "key_unknown"
    );
}

#[test]
fn a_changed_token_is_refused() {
    let token = rsa_key().sign("RS256", &claims(&json!({})));
    let parts: Vec<&str> = token.split('.').collect();
    let other = BASE64URL.encode(claims(&json!({"sub": "admin"})).to_string());
    let changed = format!("{}.{other}.{}", parts[0], parts[2]);
    assert_eq!(signed_code(&changed, &[rsa_key()]), "signature");
    for bad in [
        String::new(),
        "...".to_owned(),
        parts[..2].join("."),
        format!("{token}."),
        format!("{token}.{}.{}", parts[0], parts[1]),
        format!("{token}="),
        format!("{}.{} .{}", parts[0], parts[1], parts[2]),
        format!("{}.{}.{}", parts[0], parts[1], "*"),
        format!("bm8.{}.{}", parts[1], parts[2]),
        format!("{token}{}", "A".repeat(20_000)),
    ] {
        assert_eq!(signed_code(&bad, &[rsa_key()]), "token_form", "{bad}");
    }
}

#[test]
fn headers_of_other_things_are_refused() {
    let payload = claims(&json!({})).to_string();
    let with = |name: &str, value: Value| {
        let mut header = JwsHeader::new();
        header.set_claim(name, Some(value)).unwrap();
        let token = rsa_key().sign_with(header, "RS256", payload.as_bytes());
        signed_code(&token, &[rsa_key()])
    };
    for good in ["JWT", "jwt", "application/jwt", "JOSE"] {
        assert_eq!(with("typ", json!(good)), "ok", "{good}");
    }
    for bad in ["at+jwt", "logout+jwt", "application/at+jwt", ""] {
        assert_eq!(with("typ", json!(bad)), "token_form", "{bad}");
    }
    assert_eq!(with("cty", json!("JWT")), "token_form");
    assert_eq!(with("crit", json!(["exp"])), "token_form");
    // A key in the header is nobody's.
    let jwk = other_rsa_key().jwk.clone();
    assert_eq!(with("jwk", jwk), "ok");
}

#[test]
fn claims_must_be_an_object() {
    for payload in ["[]", "\"x\"", "", "{", "{\"iss\":1"] {
        let token = rsa_key().sign_with(JwsHeader::new(), "RS256", payload.as_bytes());
        assert_eq!(signed_code(&token, &[rsa_key()]), "token_form", "{payload}");
    }
}

#[test]
fn the_issuer_is_exact() {
    assert_eq!(code(&json!({})), "ok");
    for bad in [
        format!("{ISSUER}/"),
        ISSUER.to_uppercase(),
        "https://idp.example.org".to_owned(),
        "https://login.microsoftonline.com/{tenantid}/v2.0".to_owned(),
        String::new(),
    ] {
        assert_eq!(code(&json!({"iss": bad})), "issuer", "{bad}");
    }
    assert_eq!(code(&json!({"iss": null})), "claims_malformed");
    assert_eq!(code(&json!({"iss": [ISSUER]})), "claims_malformed");
}

#[test]
fn the_audience_is_ours() {
    let azp = |aud: Value, azp: Value| code(&json!({"aud": aud, "azp": azp}));
    let none = Value::Null;
    assert_eq!(azp(json!([CLIENT]), none.clone()), "ok");
    assert_eq!(azp(json!(CLIENT), json!(CLIENT)), "ok");
    assert_eq!(azp(json!([CLIENT, "other"]), json!(CLIENT)), "ok");
    for bad in [json!("other"), json!(["other"]), json!([]), json!("")] {
        assert_eq!(azp(bad.clone(), none.clone()), "audience", "{bad}");
        assert_eq!(azp(bad.clone(), json!(CLIENT)), "audience", "{bad}");
    }
    assert_eq!(azp(json!([CLIENT, "other"]), none.clone()), "azp");
    assert_eq!(azp(json!([CLIENT, "other"]), json!("other")), "azp");
    assert_eq!(azp(json!(CLIENT), json!("other")), "azp");
    assert_eq!(azp(json!(CLIENT), json!([CLIENT])), "claims_malformed");
    for bad in [
        none.clone(),
        json!(1),
        json!([CLIENT, 1]),
        json!({"a": CLIENT}),
    ] {
        assert_eq!(azp(bad.clone(), none.clone()), "claims_malformed", "{bad}");
    }
}

#[test]
fn times_count_with_the_clocks_difference() {
    let at = |claim: &str, seconds: i64| code(&json!({claim: now().timestamp() + seconds}));
    assert_eq!(at("exp", -59), "ok");
    assert_eq!(at("exp", -60), "expired");
    assert_eq!(at("nbf", 60), "ok");
    assert_eq!(at("nbf", 61), "not_yet_valid");
    assert_eq!(at("iat", 60), "ok");
    assert_eq!(at("iat", 61), "not_yet_valid");
    assert_eq!(at("iat", -660), "ok");
    assert_eq!(at("iat", -661), "issued_too_long_ago");
    #[expect(clippy::cast_precision_loss, reason = "a test's own number")]
    #[expect(clippy::as_conversions, reason = "a test's own number")]
    let fraction = now().timestamp() as f64 + 30.5;
    assert_eq!(code(&json!({"exp": fraction})), "ok");
    for bad in [
        json!("1769860800"),
        json!(-1),
        json!(1e300),
        json!(u64::MAX),
        json!(true),
    ] {
        for claim in ["exp", "iat", "nbf"] {
            assert_eq!(
                code(&json!({claim: bad})),
                "claims_malformed",
                "{claim} {bad}"
            );
        }
    }
    assert_eq!(code(&json!({"exp": null})), "claims_malformed");
    assert_eq!(code(&json!({"iat": null})), "claims_malformed");
}

#[test]
fn the_nonce_is_the_requests() {
    assert_eq!(code(&json!({"nonce": NONCE})), "ok");
    for bad in [
        json!(null),
        json!(""),
        json!("other"),
        json!("the-nonce "),
        json!(1),
    ] {
        assert_eq!(code(&json!({"nonce": bad})), "nonce", "{bad}");
    }
}

#[test]
fn the_subject_is_short_ascii() {
    for good in ["a", "auth0|5f7c8ec7c33c6c004bbafe82", &"x".repeat(255)] {
        assert_eq!(code(&json!({"sub": good})), "ok", "{good}");
    }
    for bad in [
        json!(null),
        json!(""),
        json!("x".repeat(256)),
        json!("ä"),
        json!("a\n"),
        json!(7),
    ] {
        assert_eq!(code(&json!({"sub": bad})), "claims_malformed", "{bad}");
    }
}

#[test]
fn every_refusal_has_a_code_and_a_mend() {
    let mut codes = Refusal::CODES.to_vec();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), Refusal::CODES.len());
    assert!(!Refusal::Signature {}.mend().is_empty());
}

#[test]
fn another_signature_over_the_same_is_the_same_token() {
    let (one, two) = (
        p256_key().sign("ES256", &claims(&json!({}))),
        p256_key().sign("ES256", &claims(&json!({}))),
    );
    assert_ne!(one, two);
    let id = |token: &str| verify_with(token, &[p256_key()]).unwrap().replay_ids();
    assert_eq!(id(&one), id(&two));
    let third = p256_key().sign("ES256", &claims(&json!({"jti": "3"})));
    assert_ne!(id(&one), id(&third));
}
