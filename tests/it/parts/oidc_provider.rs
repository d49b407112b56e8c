//! npm's oidc-provider: an OpenID provider that we did not write, and a browser's part in signing in there.
//!
//! One Node process a value, with keys, sessions and ports of its own; it is killed when the value is dropped,
//! and ends by itself when the process of the tests is gone. What it does stands in `tests/parts/node/oidc_provider.mjs`.

use std::process::Stdio;
use std::time::Duration;

use reqwest::{Client, Response, StatusCode, redirect::Policy};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use url::Url;

/// What the gateway is known by there.
pub(crate) const CLIENT_ID: &str = "rolegate";

/// The secret of [`CLIENT_ID`].
pub(crate) const CLIENT_SECRET: &str = "of-this-test-and-no-other-0123456789";

/// An answer that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(20);

/// How a provider treats the gateway and who its people are.
pub(crate) struct Settings {
    /// Where people are sent back to.
    pub(crate) redirect_uris: Vec<String>,
    /// Where they may go after a sign-out.
    pub(crate) post_logout_redirect_uris: Vec<String>,
    /// Claims by account.
    pub(crate) accounts: Value,
    /// Whether a refresh token is good once.
    pub(crate) rotate: bool,
    /// Seconds by kind, in oidc-provider's words.
    pub(crate) lifetimes: Value,
    /// What ID tokens are signed with.
    pub(crate) algorithm: &'static str,
}

impl Settings {
    /// For a gateway at `public_url`, where the provider is called `name`.
    pub(crate) fn new(public_url: &str, name: &str, accounts: Value) -> Self {
        Self {
            redirect_uris: vec![format!("{public_url}/oidc/{name}/callback")],
            post_logout_redirect_uris: vec![format!("{public_url}/login")],
            accounts,
            rotate: true,
            lifetimes: json!({}),
            algorithm: "RS256",
        }
    }

    fn argument(&self) -> String {
        let client = json!({
            "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "redirect_uris": self.redirect_uris,
            "post_logout_redirect_uris": self.post_logout_redirect_uris,
        });
        json!({
            "clients": [client], "accounts": self.accounts, "rotate": self.rotate, "lifetimes": self.lifetimes,
            "algorithm": self.algorithm,
        })
        .to_string()
    }
}

/// A running provider.
pub(crate) struct OidcProvider {
    issuer: String,
    control: String,
    /// Its standard input, among others: it ends when that does.
    _child: Child,
}

impl OidcProvider {
    /// Starts one, and waits until it says that it serves.
    pub(crate) async fn start(settings: &Settings) -> Self {
        let parts = super::part("node/node_modules/oidc-provider");
        let mut child = Command::new("node")
            .arg(super::kept("node").join("oidc_provider.mjs"))
            .arg(settings.argument())
            .env("NODE_PARTS", parts.parent().unwrap().parent().unwrap())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("node is missing: run tests/setup test");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let told = tokio::time::timeout(PATIENCE, lines.next_line()).await;
        let told = told.expect("the provider does not start").unwrap();
        let told: Value = serde_json::from_str(&told.expect("the provider ended")).unwrap();
        let text = |key: &str| told[key].as_str().unwrap().to_owned();
        Self {
            issuer: text("issuer"),
            control: text("control"),
            _child: child,
        }
    }

    /// Its issuer's identifier.
    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// New signing keys; those before are published on if they are kept.
    pub(crate) async fn rotate_keys(&self, keep: bool) {
        self.control("/keys", json!({ "keep": keep })).await;
    }

    /// What an account's ID tokens say from now on.
    pub(crate) async fn set_claims(&self, account: &str, claims: Value) {
        let change = json!({ "account": account, "claims": claims });
        self.control("/claims", change).await;
    }

    /// Ends all grants and tokens of an account.
    pub(crate) async fn revoke(&self, account: &str) {
        self.control("/revoke", json!({ "account": account })).await;
    }

    /// The token endpoint answers so from now on; `None` mends it.
    pub(crate) async fn trouble(&self, status: Option<u16>) {
        self.control("/trouble", json!({ "status": status })).await;
    }

    /// How often what was counted so far.
    pub(crate) async fn count(&self, counter: &str) -> u64 {
        self.counted(counter, 0).await
    }

    /// Waits until the counter has reached `least`, and gives it.
    pub(crate) async fn counted(&self, counter: &str, least: u64) -> u64 {
        let url = format!("{}/counters?{counter}={least}", self.control);
        let answer = client().get(url).send().await;
        let answer = answer.unwrap_or_else(|_| panic!("{counter} does not reach {least}"));
        told(answer).await[counter].as_u64().unwrap()
    }

    /// Every token that it gave out.
    pub(crate) async fn issued(&self) -> Vec<String> {
        let url = format!("{}/issued", self.control);
        let issued = told(client().get(url).send().await.unwrap()).await;
        serde_json::from_value(issued).unwrap()
    }

    async fn control(&self, path: &str, body: Value) {
        let url = format!("{}{path}", self.control);
        told(client().post(url).json(&body).send().await.unwrap()).await;
    }

    /// Follows the gateway's redirect to `url`, signs `account` in, and gives the URL that the browser is
    /// sent back to.
    pub(crate) async fn sign_in(&self, browser: &Client, url: &str, account: &str) -> String {
        self.interact(browser, url, &[("login", account)]).await
    }

    /// As [`Self::sign_in`], with a person who says no.
    pub(crate) async fn deny(&self, browser: &Client, url: &str) -> String {
        self.interact(browser, url, &[("deny", "access_denied")])
            .await
    }

    async fn interact(&self, browser: &Client, url: &str, form: &[(&str, &str)]) -> String {
        let asked = browser.get(url).send().await.unwrap();
        let mut next = location(asked).await;
        assert!(next.starts_with("/interaction/"), "sent to {next}");
        let page = browser.get(self.at(&next)).send().await.unwrap();
        let page = page.text().await.unwrap();
        assert!(page.contains("name=\"login\""), "{page}");
        let posted = browser.post(self.at(&next)).form(form).send();
        next = location(posted.await.unwrap()).await;
        // Back to where it was asked, and from there to the client.
        let back = browser.get(self.at(&next)).send().await.unwrap();
        location(back).await
    }

    /// Follows the gateway's redirect to the end of the provider's session, says yes there, and gives the URL
    /// that the browser is sent back to.
    pub(crate) async fn sign_out(&self, browser: &Client, url: &str) -> String {
        assert!(url.starts_with(&self.issuer), "sent to {url}");
        let page = browser.get(url).send().await.unwrap();
        let page = page.text().await.unwrap();
        let field = page.split_once("name=\"xsrf\" value=\"").expect(&page).1;
        let xsrf = field.split_once('"').unwrap().0;
        let form = [("xsrf", xsrf), ("logout", "yes")];
        let confirm = self.at("/session/end/confirm");
        let done = browser.post(confirm).form(&form).send().await.unwrap();
        location(done).await
    }

    /// A URL of the provider's, from a path or a whole URL.
    fn at(&self, target: &str) -> Url {
        let base = Url::parse(&self.issuer).unwrap();
        let url = base.join(target).unwrap();
        assert!(url.as_str().starts_with(&self.issuer), "sent to {url}");
        url
    }
}

/// A browser with cookies of its own, that is told where to go next and knows no proxy.
pub(crate) fn browser() -> Client {
    Client::builder()
        .cookie_store(true)
        .redirect(Policy::none())
        .no_proxy()
        .timeout(PATIENCE)
        .build()
        .unwrap()
}

fn client() -> Client {
    Client::builder()
        .no_proxy()
        .timeout(PATIENCE)
        .build()
        .unwrap()
}

/// Where an answer sends the browser.
async fn location(answer: Response) -> String {
    let (url, status) = (answer.url().clone(), answer.status());
    let Some(location) = answer.headers().get("location").cloned() else {
        panic!("{url}: {status} {}", answer.text().await.unwrap());
    };
    location.to_str().unwrap().to_owned()
}

async fn told(answer: Response) -> Value {
    let status = answer.status();
    let text = answer.text().await.unwrap();
    assert_eq!(status, StatusCode::OK, "{text}");
    serde_json::from_str(&text).unwrap()
}

mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use reqwest::StatusCode;
    use serde_json::{Value, json};
    use url::Url;

    use super::{CLIENT_ID, CLIENT_SECRET, OidcProvider, Settings, browser, client};

    const CALLBACK: &str = "http://127.0.0.1:9/oidc/op/callback";
    const VERIFIER: &str = "of-this-test-of-this-test-of-this-test-of-this-test";

    async fn start() -> OidcProvider {
        let alice = json!({ "email": "alice@example.org", "deep": { "roles": ["a", "b"] } });
        let accounts = json!({ "alice": alice });
        OidcProvider::start(&Settings::new("http://127.0.0.1:9", "op", accounts)).await
    }

    /// As the gateway asks, for `prompt`.
    fn request(provider: &OidcProvider, prompt: &str) -> String {
        let digest = openssl::sha::sha256(VERIFIER.as_bytes());
        let mut url = Url::parse(&format!("{}/auth", provider.issuer())).unwrap();
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", CLIENT_ID)
            .append_pair("redirect_uri", CALLBACK)
            .append_pair("scope", "openid email offline_access")
            .append_pair("prompt", prompt)
            .append_pair("state", "state-1")
            .append_pair("nonce", "nonce-1")
            .append_pair("code_challenge_method", "S256")
            .append_pair("code_challenge", &URL_SAFE_NO_PAD.encode(digest));
        url.into()
    }

    async fn tokens(provider: &OidcProvider, form: &[(&str, &str)]) -> (StatusCode, Value) {
        let answer = client()
            .post(format!("{}/token", provider.issuer()))
            .basic_auth(CLIENT_ID, Some(CLIENT_SECRET))
            .form(form)
            .send()
            .await
            .unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    async fn sign_in(provider: &OidcProvider) -> Value {
        let url = request(provider, "consent");
        let back = provider.sign_in(&browser(), &url, "alice").await;
        let back = Url::parse(&back).unwrap();
        let field = |name: &str| {
            let mut pairs = back.query_pairs();
            pairs.find(|(key, _)| key == name).unwrap().1.into_owned()
        };
        assert_eq!(
            (field("state"), field("iss")),
            ("state-1".to_owned(), provider.issuer().to_owned())
        );
        let (status, answer) = tokens(
            provider,
            &[
                ("grant_type", "authorization_code"),
                ("code", &field("code")),
                ("redirect_uri", CALLBACK),
                ("code_verifier", VERIFIER),
            ],
        )
        .await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer
    }

    async fn refresh(provider: &OidcProvider, before: &Value) -> (StatusCode, Value) {
        let token = before["refresh_token"].as_str().unwrap();
        tokens(
            provider,
            &[("grant_type", "refresh_token"), ("refresh_token", token)],
        )
        .await
    }

    fn part(answer: &Value, at: usize) -> Value {
        let token = answer["id_token"].as_str().unwrap();
        let part = token.split('.').nth(at).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    }

    #[tokio::test]
    async fn it_signs_people_in_and_refreshes_by_tokens_that_are_good_once() {
        let provider = start().await;
        let first = sign_in(&provider).await;
        let claims = part(&first, 1);
        assert_eq!(
            (&claims["sub"], &claims["nonce"], &claims["deep"]["roles"]),
            (&json!("alice"), &json!("nonce-1"), &json!(["a", "b"]))
        );
        provider
            .set_claims("alice", json!({ "team": "science" }))
            .await;
        provider.rotate_keys(false).await;
        let (_, second) = refresh(&provider, &first).await;
        assert_eq!(part(&second, 1)["team"], "science");
        assert_ne!(part(&second, 0)["kid"], part(&first, 0)["kid"]);
        assert_ne!(second["refresh_token"], first["refresh_token"]);
        let (status, again) = refresh(&provider, &first).await;
        assert_eq!(
            (status, &again["error"]),
            (StatusCode::BAD_REQUEST, &json!("invalid_grant"))
        );
        let (status, _) = refresh(&provider, &second).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "a replay ends all");
        assert_eq!(provider.counted("refused", 2).await, 2);
        assert_eq!(provider.count("refresh_token").await, 1);
        let issued = provider.issued().await;
        for answer in [&first, &second] {
            let token = answer["refresh_token"].as_str().unwrap();
            assert!(issued.iter().any(|known| known == token));
        }
    }

    #[tokio::test]
    async fn it_ends_what_it_is_told_to_and_is_away_when_told_to() {
        let provider = start().await;
        let tokens = sign_in(&provider).await;
        provider.trouble(Some(503)).await;
        let url = format!("{}/token", provider.issuer());
        let answer = client().post(url).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        provider.trouble(None).await;
        let (status, tokens) = refresh(&provider, &tokens).await;
        assert_eq!(status, StatusCode::OK, "{tokens}");
        provider.revoke("alice").await;
        let (_, refused) = refresh(&provider, &tokens).await;
        assert_eq!(refused["error"], "invalid_grant");
        let url = request(&provider, "consent");
        let back = provider.deny(&browser(), &url).await;
        assert!(back.contains("error=access_denied"), "{back}");
    }
}
