//! Metadata, the authorization request, the callback and logout: all without a network.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, Ordering};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use url::Url;

use super::*;
use crate::model::Entropy;

/// Bytes that count: each fill another number.
#[derive(Default)]
struct Counting(AtomicU8);

impl Entropy for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(self.0.fetch_add(1, Ordering::Relaxed));
    }
}

fn requested(settings: &ProviderSettings) -> Result<(Authorization, Url), OidcError> {
    let made = authorize(settings, &metadata(&json!({})), &Counting::default())?;
    let url = made.url.parse().unwrap();
    Ok((made, url))
}

/// The parameters of a request; each stands once.
fn parameters(settings: &ProviderSettings) -> HashMap<String, String> {
    let (_, url) = requested(settings).unwrap();
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let map: HashMap<_, _> = pairs.iter().cloned().collect();
    assert_eq!(map.len(), pairs.len(), "{url}");
    map
}

fn with(parameters: &[(&str, &str)]) -> ProviderSettings {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    ProviderSettings {
        authorization_parameters: parameters.iter().map(own).collect(),
        ..settings()
    }
}

fn parse(issuer: &str, changes: &Value) -> Result<ProviderMetadata, OidcError> {
    let settings = ProviderSettings {
        issuer: issuer.to_owned(),
        ..settings()
    };
    ProviderMetadata::parse(&settings, &document(issuer, changes))
}

fn parse_error(changes: &Value) -> OidcError {
    parse(ISSUER, changes).unwrap_err()
}

#[test]
fn a_request_is_for_a_code_with_pkce() {
    let (made, url) = requested(&settings()).unwrap();
    assert_eq!(
        url.as_str().split('?').next(),
        Some(&*format!("{ISSUER}/authorize"))
    );
    let sent = parameters(&settings());
    let challenge = openssl::sha::sha256(made.verifier.expose().as_bytes());
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", CLIENT),
        (
            "redirect_uri",
            "https://rolegate.example.org/oidc/main/callback",
        ),
        ("scope", "openid email offline_access"),
        ("state", &made.state),
        ("nonce", made.nonce.expose()),
        ("code_challenge_method", "S256"),
        ("code_challenge", &URL_SAFE_NO_PAD.encode(challenge)),
        ("prompt", "consent"),
    ] {
        assert_eq!(sent[name], value, "{name}");
    }
    assert_eq!(sent.len(), 9);
    let secrets = [&made.state, made.nonce.expose(), made.verifier.expose()];
    assert!(secrets.iter().all(|text| text.len() == 43));
    assert!(secrets[0] != secrets[1] && secrets[1] != secrets[2]);
    assert!(!made.url.contains(made.verifier.expose()));
}

#[test]
fn openid_is_always_asked_for_and_each_scope_once() {
    let scopes = |scopes: &[&str]| {
        let mut settings = settings();
        settings.scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        parameters(&settings)["scope"].clone()
    };
    assert_eq!(scopes(&[]), "openid");
    assert_eq!(scopes(&["email"]), "openid email");
    assert_eq!(scopes(&["email", "openid", "email"]), "openid email");
}

#[test]
fn consent_is_asked_for_with_offline_access() {
    let mut without = settings();
    without.scopes = vec!["email".to_owned()];
    assert!(!parameters(&without).contains_key("prompt"));
    without.authorization_parameters = with(&[("prompt", "login")]).authorization_parameters;
    assert_eq!(parameters(&without)["prompt"], "login");
    assert_eq!(
        parameters(&with(&[("prompt", "select_account")]))["prompt"],
        "select_account"
    );
    assert!(!parameters(&with(&[("prompt", "")])).contains_key("prompt"));
}

#[test]
fn more_parameters_are_added_and_none_replaced() {
    let google = with(&[("access_type", "offline"), ("hd", "example.org")]);
    let sent = parameters(&google);
    assert_eq!(
        (&*sent["access_type"], &*sent["hd"]),
        ("offline", "example.org")
    );
    for ours in [
        "state",
        "nonce",
        "redirect_uri",
        "response_type",
        "response_mode",
        "client_id",
        "scope",
        "code_challenge",
        "code_challenge_method",
        "request",
        "request_uri",
    ] {
        let refused = requested(&with(&[(ours, "x")])).unwrap_err();
        assert_eq!(refused, OidcError::Parameter(ours.to_owned()));
    }
}

#[test]
fn metadata_is_of_the_configured_issuer() {
    for (found, code) in [
        (format!("{ISSUER}/"), "metadata_issuer"),
        ("https://evil.example".to_owned(), "metadata_issuer"),
        (
            "https://login.microsoftonline.com/{tenantid}/v2.0".to_owned(),
            "metadata_issuer_template",
        ),
    ] {
        let error = parse_error(&json!({"issuer": found}));
        assert_eq!(error.code(), code, "{error}");
    }
    let entra =
        parse_error(&json!({"issuer": "https://login.microsoftonline.com/{tenantid}/v2.0"}));
    assert!(entra.to_string().contains("your own tenant"), "{entra}");
}

#[test]
fn endpoints_are_https_or_loopback_like_the_issuer() {
    for name in ["authorization_endpoint", "token_endpoint", "jwks_uri"] {
        for bad in [
            "http://idp.example.org/x",
            "http://127.0.0.1/x",
            "file:///etc/passwd",
            "ftp://idp.example.org/",
        ] {
            let error = parse_error(&json!({name: bad}));
            assert_eq!(error.code(), "metadata_endpoint", "{name} {bad}");
        }
        assert_eq!(
            parse_error(&json!({name: "nothing"})).code(),
            "provider_answer_malformed"
        );
        let elsewhere = json!({name: "https://keys.example.com/x"});
        assert!(parse(ISSUER, &elsewhere).is_ok(), "{name}");
    }
    for good in [
        "http://127.0.0.1:9/a",
        "http://[::1]:9",
        "http://localhost:9",
    ] {
        assert!(parse(good, &json!({})).is_ok(), "{good}");
    }
    let out = parse(
        "http://127.0.0.1:9",
        &json!({"token_endpoint": "http://10.0.0.1/t"}),
    );
    assert_eq!(out.unwrap_err().code(), "metadata_endpoint");
    for bad in [
        "http://idp.example.org",
        "idp",
        "https://idp.example.org/?a",
        "https://idp.example.org/#a",
        "https://u:p@idp.example.org",
        "file:///x",
    ] {
        assert_eq!(
            parse(bad, &json!({})).unwrap_err().code(),
            "setting",
            "{bad}"
        );
    }
}

#[test]
fn metadata_without_what_rolegate_needs_is_refused() {
    assert_eq!(
        parse_error(&json!({"token_endpoint": null})).code(),
        "metadata_unsupported"
    );
    let methods = |methods: Value| json!({"token_endpoint_auth_methods_supported": methods});
    assert_eq!(
        parse_error(&methods(json!(["private_key_jwt", "none"]))).code(),
        "metadata_unsupported"
    );
    for good in [
        json!(["client_secret_basic", "client_secret_post"]),
        json!(["client_secret_post"]),
        json!(null),
    ] {
        assert!(parse(ISSUER, &methods(good)).is_ok());
    }
    let error = parse_error(&json!({"jwks_uri": null}));
    assert_eq!(error.code(), "provider_answer_malformed");
}

#[test]
fn what_rolegate_does_not_read_may_be_odd_or_missing() {
    for odd in [
        json!({"op_policy_uri": "", "service_documentation": "n/a", "grant_types_supported": "code"}),
        json!({"response_types_supported": null, "subject_types_supported": null}),
        json!({"id_token_signing_alg_values_supported": null}),
        json!({"end_session_endpoint": "", "userinfo_endpoint": ""}),
    ] {
        assert!(parse(ISSUER, &odd).is_ok(), "{odd}");
    }
    assert_eq!(
        parse_error(&json!({"issuer": null})).code(),
        "metadata_issuer"
    );
}

#[test]
fn a_callback_is_one_answer_to_one_request() {
    let plain = metadata(&json!({}));
    let read = Callback::parse("code=the-code&state=s1&session_state=x&scope=openid").unwrap();
    assert_eq!(read.state(), "s1");
    assert!(!format!("{read:?}").contains("the-code"));
    assert_eq!(read.code(&settings(), &plain).unwrap(), secret("the-code"));
    for (bad, wanted) in [
        ("", CallbackError::NoState),
        ("code=c", CallbackError::NoState),
        ("code=c&state=", CallbackError::NoState),
        ("state=s", CallbackError::NeitherOrBoth),
        ("state=s&code=", CallbackError::NeitherOrBoth),
        ("state=s&code=c&error=e", CallbackError::NeitherOrBoth),
        ("state=s&state=s&code=c", CallbackError::Repeated("state")),
        ("state=s&code=c&code=d", CallbackError::Repeated("code")),
        ("state=s&code=c&iss=a&iss=b", CallbackError::Repeated("iss")),
        ("state=s&error=c&error=d", CallbackError::Repeated("error")),
    ] {
        assert_eq!(Callback::parse(bad).unwrap_err(), wanted, "{bad}");
    }
    let long = format!("state=s&code={}", "x".repeat(16 * 1024));
    assert_eq!(Callback::parse(&long).unwrap_err(), CallbackError::TooLong);
}

#[test]
fn a_providers_error_is_kept_short() {
    let query = format!(
        "state=s&error=access_denied&error_description=no%0d%0a{}",
        "x".repeat(300)
    );
    let refusal = Callback::parse(&query)
        .unwrap()
        .code(&settings(), &metadata(&json!({})))
        .unwrap_err();
    let Refusal::ProviderError { error, description } = refusal else {
        panic!("{refusal}")
    };
    assert_eq!(error, "access_denied");
    assert!(description.len() == 256 && description.starts_with("noxx"));
}

#[test]
fn another_providers_answer_is_a_mix_up() {
    let promising = metadata(&json!({"authorization_response_iss_parameter_supported": true}));
    let plain = metadata(&json!({}));
    let outcome = |issuer: &str, metadata: &ProviderMetadata| {
        let mut query = url::form_urlencoded::Serializer::new("state=s&code=c".to_owned());
        if !issuer.is_empty() {
            query.append_pair("iss", issuer);
        }
        let read = Callback::parse(&query.finish()).unwrap();
        read.code(&settings(), metadata)
            .map_or_else(|refusal| refusal.code(), |_| "ok")
    };
    assert_eq!(outcome(ISSUER, &promising), "ok");
    assert_eq!(outcome(ISSUER, &plain), "ok");
    assert_eq!(outcome("", &plain), "ok");
    assert_eq!(outcome("", &promising), "mix_up");
    for other in ["https://evil.example", &format!("{ISSUER}/")] {
        assert_eq!(outcome(other, &plain), "mix_up");
        assert_eq!(outcome(other, &promising), "mix_up");
    }
    // An error in another's name is a mix-up too, not that provider's word.
    let error = Callback::parse("state=s&error=access_denied&iss=https%3A%2F%2Fevil.example");
    let refusal = error.unwrap().code(&settings(), &plain).unwrap_err();
    assert_eq!(refusal.code(), "mix_up");
}

#[test]
fn logout_leads_to_the_provider_and_back() {
    let back = "https://rolegate.example.org/login";
    let with_end = metadata(&json!({"end_session_endpoint": format!("{ISSUER}/end?x=1")}));
    let hint = secret("the-token");
    let url = logout_url(&settings(), &with_end, Some(&hint), back).unwrap();
    let sent: HashMap<_, _> = url.query_pairs().into_owned().collect();
    for (name, value) in [
        ("x", "1"),
        ("client_id", CLIENT),
        ("post_logout_redirect_uri", back),
        ("id_token_hint", "the-token"),
    ] {
        assert_eq!(sent[name], value, "{name}");
    }
    let url = logout_url(&settings(), &with_end, None, back).unwrap();
    assert!(!url.as_str().contains("id_token_hint"));
    for none in [
        json!({}),
        json!({"end_session_endpoint": "http://evil.example/"}),
        json!({"end_session_endpoint": "x"}),
    ] {
        assert_eq!(
            logout_url(&settings(), &metadata(&none), None, back),
            None,
            "{none}"
        );
    }
}
