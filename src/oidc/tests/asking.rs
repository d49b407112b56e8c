//! Discovery, keys and the token endpoint, asked of a provider on loopback.

use std::sync::LazyLock;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::provider::{Provider, Reply, json as ok, refused};
use super::signing::{key_document, p256_key};
use super::*;

const SECRET: &str = "the client's secret: ä/+%";

fn client() -> OidcClient {
    // Reading the system's authorities takes its time.
    static CLIENT: LazyLock<OidcClient> = LazyLock::new(|| OidcClient::new().unwrap());
    CLIENT.clone()
}

fn at(issuer: &str) -> ProviderSettings {
    ProviderSettings {
        issuer: issuer.to_owned(),
        ..settings()
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

/// A provider whose token endpoint gives `replies`, and its metadata with `changes`.
async fn token_endpoint(
    changes: &Value,
    replies: Vec<Reply>,
) -> (Provider, ProviderSettings, ProviderMetadata) {
    let provider = Provider::start(|_| replies).await;
    let settings = at(&provider.url);
    let metadata = ProviderMetadata::parse(&settings, &document(&provider.url, changes)).unwrap();
    (provider, settings, metadata)
}

/// What the token endpoint's `reply` becomes at a refresh.
async fn refresh_by(reply: Reply) -> Result<TokenAnswer, OidcError> {
    let (_provider, settings, metadata) = token_endpoint(&json!({}), vec![reply]).await;
    let (secret_, token) = (secret(SECRET), secret("refresh-1"));
    client()
        .refresh(&settings, &metadata, &secret_, &token)
        .await
}

fn refusal_of(answer: Result<TokenAnswer, OidcError>) -> OidcError {
    answer.map(|_| ()).unwrap_err()
}

#[tokio::test]
async fn metadata_is_asked_for_at_the_issuer() {
    for (path, asked) in [
        ("", "/.well-known/openid-configuration"),
        ("/", "/.well-known/openid-configuration"),
        ("/realms/a", "/realms/a/.well-known/openid-configuration"),
        ("/realms/a/", "/realms/a/.well-known/openid-configuration"),
    ] {
        let provider = Provider::start(|url| {
            let issuer = format!("{url}{path}");
            vec![ok(text(document(&issuer, &json!({}))))]
        })
        .await;
        let settings = at(&format!("{}{path}", provider.url));
        let metadata = client().discover(&settings).await.unwrap();
        assert_eq!(metadata.issuer(), settings.issuer);
        let request = &provider.requests()[0];
        assert!(
            request.starts_with(&format!("GET {asked} HTTP/1.1\r\n")),
            "{request}"
        );
        assert!(request.contains("accept: application/json"), "{request}");
    }
}

#[tokio::test]
async fn keys_come_with_how_long_they_keep() {
    let keys = key_document(&[rsa_key(), p256_key()]);
    for (header, wanted) in [
        ("", None),
        ("cache-control: no-store\r\n", None),
        ("cache-control: public, max-age=300\r\n", Some(300)),
        ("cache-control: Max-Age=\"0\"\r\n", Some(60)),
        ("cache-control: max-age=4000000000\r\n", Some(86_400)),
    ] {
        let reply = Reply::Answer(200, header, keys.clone());
        let (_provider, _, metadata) = token_endpoint(&json!({}), vec![reply]).await;
        let (keys, kept) = client().keys(&metadata).await.unwrap();
        assert_eq!(
            (keys.len(), kept),
            (2, wanted.map(Duration::from_secs)),
            "{header}"
        );
    }
    let none = ok(json!({"keys": [{"kty": "oct", "k": "AAAA"}, 7, {"kty": "OKP"}]}));
    let (_provider, _, metadata) = token_endpoint(&json!({}), vec![none, ok("{}")]).await;
    let client = client();
    assert_eq!(client.keys(&metadata).await.unwrap_err(), OidcError::NoKeys);
    let malformed = client.keys(&metadata).await.unwrap_err();
    assert_eq!(malformed.code(), "provider_answer_malformed");
}

#[tokio::test]
async fn nothing_but_a_whole_short_answer_is_taken() {
    let moved = Reply::Answer(302, "location: http://127.0.0.1:9/\r\n", Vec::new());
    let replies = vec![
        moved,
        Reply::Answer(404, "", b"<html>".to_vec()),
        Reply::Answer(503, "", Vec::new()),
        Reply::Endless,
        Reply::Cut,
        Reply::Drop,
        ok("[]"),
    ];
    let provider = Provider::start(|_| replies).await;
    let (client, settings) = (client(), at(&provider.url));
    for (code, transient) in [
        ("provider_status", false),
        ("provider_status", false),
        ("provider_status", true),
        ("provider_answer_too_large", false),
        ("provider_connection_broken", true),
        ("provider_connection_broken", true),
        ("provider_answer_malformed", false),
    ] {
        let error = client.discover(&settings).await.unwrap_err();
        assert_eq!(
            (error.code(), error.is_transient()),
            (code, transient),
            "{error}"
        );
    }
    assert_eq!(provider.requests().len(), 7);
}

#[tokio::test]
async fn a_provider_that_takes_its_time_is_not_waited_for() {
    let hasty = client().within(Duration::from_millis(200));
    let (secret_, token) = (secret(SECRET), secret("refresh-1"));
    for reply in [|| Reply::Hang, || Reply::Drip] {
        let provider = Provider::start(|_| vec![reply()]).await;
        let discovered = hasty.discover(&at(&provider.url)).await.map(|_| ());
        let (_keys, _, metadata) = token_endpoint(&json!({}), vec![reply()]).await;
        let keys = hasty.keys(&metadata).await.map(|_| ());
        let (_tokens, settings, metadata) = token_endpoint(&json!({}), vec![reply()]).await;
        let refreshed = hasty.refresh(&settings, &metadata, &secret_, &token);
        let refreshed = refreshed.await.map(|_| ());
        for answer in [discovered, keys, refreshed] {
            let error = answer.unwrap_err();
            assert_eq!(error, OidcError::TimedOut);
            assert!(error.is_transient());
        }
    }
}

#[tokio::test]
async fn keys_and_tokens_are_asked_of_no_other_address() {
    let moved = || Reply::Answer(307, "location: http://127.0.0.1:9/\r\n", Vec::new());
    let replies = vec![moved(), Reply::Endless, moved(), Reply::Endless];
    let (provider, settings, metadata) = token_endpoint(&json!({}), replies).await;
    let (client, secret_, token) = (client(), secret(SECRET), secret("refresh-1"));
    let mut codes = Vec::new();
    for _ in 0..2 {
        codes.push(client.keys(&metadata).await.unwrap_err().code());
    }
    for _ in 0..2 {
        let refreshed = client.refresh(&settings, &metadata, &secret_, &token);
        codes.push(refusal_of(refreshed.await).code());
    }
    let each = ["provider_status", "provider_answer_too_large"];
    assert_eq!(codes, each.repeat(2));
    assert_eq!(provider.requests().len(), 4);
}

#[tokio::test]
async fn a_provider_that_is_away_is_transient() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = client().discover(&at(&url)).await.unwrap_err();
    assert!(error.is_transient() && !error.is_invalid_grant(), "{error}");
}

#[tokio::test]
async fn a_code_is_redeemed_with_its_verifier() {
    let reply = ok(json!({
        "access_token": "secret-access", "token_type": "Bearer", "expires_in": "3600",
        "id_token": "the-token", "refresh_token": "refresh-1", "scope": "openid email",
    }));
    let (provider, settings, metadata) = token_endpoint(&json!({}), vec![reply]).await;
    let answer = client()
        .exchange(
            &settings,
            &metadata,
            &secret(SECRET),
            "the-code",
            &secret("v".repeat(43).as_str()),
        )
        .await
        .unwrap();
    assert_eq!(answer.id_token, Some(secret("the-token")));
    assert!(answer.has_refresh_token() && !format!("{answer:?}").contains("the-token"));

    let request = &provider.requests()[0];
    assert!(request.starts_with("POST /token HTTP/1.1\r\n"), "{request}");
    let encoded: String = url::form_urlencoded::byte_serialize(SECRET.as_bytes()).collect();
    let basic = STANDARD.encode(format!("{CLIENT}:{encoded}"));
    assert!(
        request.contains(&format!("authorization: Basic {basic}\r\n")),
        "{request}"
    );
    let mut form = provider.form(0);
    form.sort();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        form,
        [
            pair("code", "the-code"),
            pair("code_verifier", &"v".repeat(43)),
            pair("grant_type", "authorization_code"),
            pair("redirect_uri", &settings.redirect_url),
        ]
    );
}

#[tokio::test]
async fn the_secret_goes_into_the_form_where_nothing_else_is_taken() {
    let post =
        json!({"token_endpoint_auth_methods_supported": ["private_key_jwt", "client_secret_post"]});
    let (provider, settings, metadata) = token_endpoint(&post, vec![ok("{}")]).await;
    client()
        .refresh(&settings, &metadata, &secret(SECRET), &secret("refresh-1"))
        .await
        .unwrap();
    assert!(!provider.requests()[0].contains("authorization:"));
    let form = provider.form(0);
    for (name, value) in [
        ("client_id", CLIENT),
        ("client_secret", SECRET),
        ("grant_type", "refresh_token"),
        ("refresh_token", "refresh-1"),
    ] {
        assert!(
            form.contains(&(name.to_owned(), value.to_owned())),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_refresh_may_give_little() {
    let rotated = refresh_by(ok(json!({"refresh_token": "refresh-2"}))).await;
    let rotated = rotated.unwrap();
    assert_eq!(rotated.refresh_token, Some(secret("refresh-2")));
    assert_eq!(rotated.id_token, None);
    for little in [
        json!({"access_token": "a", "token_type": 7}),
        json!({"id_token": null, "refresh_token": null}),
        json!({"id_token": "", "refresh_token": ""}),
    ] {
        let answer = refresh_by(ok(&little)).await.unwrap();
        assert!(
            answer.id_token.is_none() && !answer.has_refresh_token(),
            "{little}"
        );
    }
}

#[tokio::test]
async fn a_refusal_that_repeats_what_was_sent_is_kept_without_words() {
    for repeated in ["refresh-1", SECRET] {
        let body =
            json!({"error": "invalid_grant", "error_description": format!("no {repeated} here")});
        let post = json!({"token_endpoint_auth_methods_supported": ["client_secret_post"]});
        let (_provider, settings, metadata) = token_endpoint(&post, vec![refused(400, body)]).await;
        let error = client()
            .refresh(&settings, &metadata, &secret(SECRET), &secret("refresh-1"))
            .await
            .unwrap_err();
        assert!(error.is_invalid_grant(), "{error}");
        assert!(!format!("{error} {error:?}").contains(repeated), "{error}");
    }
}

#[tokio::test]
async fn a_refusal_keeps_its_error_and_a_cut_description() {
    let long = format!("used\r\nup \u{7}{}", "x".repeat(300));
    let body = json!({"error": "invalid_grant", "error_description": long, "token": "secret"});
    for status in [400, 401, 403] {
        let error = refusal_of(refresh_by(refused(status, &body)).await);
        assert!(error.is_invalid_grant() && !error.is_transient(), "{error}");
        let OidcError::Refused { description, .. } = &error else {
            panic!("{error}")
        };
        assert!(description.starts_with("usedup xxx") && description.len() == 256);
        assert!(!error.to_string().contains("secret-"));
    }
    let error = refusal_of(refresh_by(ok(json!({"error": "invalid_grant"}))).await);
    assert!(error.is_invalid_grant(), "{error}");

    let client = refresh_by(refused(401, json!({"error": "invalid_client"}))).await;
    let error = refusal_of(client);
    assert!(
        !error.is_invalid_grant() && !error.is_transient(),
        "{error}"
    );
    let later = refresh_by(refused(400, json!({"error": "temporarily_unavailable"}))).await;
    assert!(refusal_of(later).is_transient());
}

#[tokio::test]
async fn only_a_refusal_ends_the_grant() {
    // A proxy that is in the way must not sign anybody out.
    for (reply, transient) in [
        (refused(503, json!({"error": "invalid_grant"})), true),
        (refused(429, "{}"), true),
        (
            Reply::Answer(400, "", b"<html>invalid_grant".to_vec()),
            false,
        ),
        (
            Reply::Answer(302, "location: /login\r\n", Vec::new()),
            false,
        ),
        (Reply::Endless, false),
        (Reply::Drop, true),
        (ok("\"the-token\""), false),
        (ok(""), false),
    ] {
        let error = refusal_of(refresh_by(reply).await);
        assert!(!error.is_invalid_grant(), "{error}");
        assert_eq!(error.is_transient(), transient, "{error}");
        assert!(!error.to_string().contains("the-token"), "{error}");
    }
}
