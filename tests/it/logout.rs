//! rolegate's own keys before a real identity provider: signed requests, single logout from both ends,
//! encrypted assertions.

use std::sync::Arc;
use std::time::Duration;

use regex_lite::Regex;
use reqwest::cookie::Jar;
use reqwest::{Client, StatusCode, redirect::Policy};
use rolegate::demo::sts::SandboxSts;
use serde_json::{Value, json};
use sqlx::Connection;

use crate::gateway::{Gateway, Setting, configure, free_port, role, sandbox};
use crate::parts::simplesamlphp::{Options, SimpleSamlPhp};

const PROVIDER: &str = "arn:aws:iam::123456789012:saml-provider/SSP";
const PASSWORD: &str = "alice-password";

struct Stage {
    folder: tempfile::TempDir,
    _sts: SandboxSts,
    idp: SimpleSamlPhp,
    gateway: Gateway,
    public_url: String,
}

/// A gateway with a key of each use, and an IdP that knows them and takes signed messages alone.
async fn set(idp_lines: &'static str, sign_response: bool, more: Value) -> Stage {
    let folder = tempfile::tempdir().unwrap();
    let public_url = format!("http://127.0.0.1:{}", free_port());
    let acs = format!("{public_url}/saml/acs");
    let idp = SimpleSamlPhp::start_with(&Options {
        sign_response,
        ..Options::new(&acs)
    });
    let metadata = idp.metadata().await;
    let sts = sandbox(&acs, PROVIDER, &metadata, &["data-scientist"]).await;
    let setting = Setting {
        allowed: vec![role("data-scientist")],
        idp_lines,
        ..Setting::default()
    };
    configure(folder.path(), &public_url, "ssp", &metadata, &setting);
    let gateway = Gateway::start(folder.path(), &public_url, sts.url()).await;
    for usage in ["signing", "encryption"] {
        let made = gateway.command(&["keys", "generate", "--use", usage]).await;
        assert!(made.good().starts_with("key_"));
    }
    let stage = Stage {
        folder,
        _sts: sts,
        idp,
        gateway,
        public_url,
    };
    stage.introduce(more).await;
    stage
}

impl Stage {
    /// Tells the IdP what the gateway publishes, and `more`.
    async fn introduce(&self, more: Value) {
        let published = self.published().await;
        let key = |(usage, certificate): (String, String)| {
            json!({ "type": "X509Certificate", "X509Certificate": certificate,
                "signing": usage == "signing", "encryption": usage == "encryption" })
        };
        let mut known = json!({
            "SingleLogoutService": format!("{}/saml/slo", self.public_url),
            "keys": published.into_iter().map(key).collect::<Vec<Value>>(),
            "validate.authnrequest": true, "validate.logout": true, "sign.logout": true,
        });
        for (name, value) in more.as_object().unwrap() {
            known[name] = value.clone();
        }
        self.idp.register(&known);
    }

    /// The keys in the gateway's metadata, once it has taken up both: by contract within a second.
    async fn published(&self) -> Vec<(String, String)> {
        let key = r#"use="(\w+)">\s*<ds:KeyInfo><ds:X509Data><ds:X509Certificate>([^<]+)<"#;
        let key = Regex::new(key).unwrap();
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        for _ in 0..1200 {
            ticks.tick().await;
            let text = Client::new()
                .get(self.gateway.at("/saml/metadata"))
                .send()
                .await;
            let text = text.unwrap().text().await.unwrap();
            let found: Vec<(String, String)> = key
                .captures_iter(&text)
                .map(|found| (found[1].to_owned(), found[2].to_owned()))
                .collect();
            if found.len() == 2 {
                return found;
            }
        }
        panic!("the keys are not published: {}", self.gateway.log());
    }

    /// Signs alice in with `browser`, from the gateway's own start.
    async fn sign_in(&self, browser: &Browser) -> StatusCode {
        let start = browser
            .looking
            .get(self.gateway.at("/saml/ssp/login"))
            .send()
            .await
            .unwrap();
        let target = start.headers()["location"].to_str().unwrap().to_owned();
        let posted = self
            .idp
            .login_with(&browser.following, &target, "alice", PASSWORD)
            .await;
        let mut form = vec![("SAMLResponse", posted.saml_response)];
        form.extend(posted.relay_state.map(|state| ("RelayState", state)));
        let answer = browser
            .looking
            .post(&posted.action)
            .form(&form)
            .send()
            .await
            .unwrap();
        answer.status()
    }

    async fn portal(&self, browser: &Browser) -> Option<String> {
        let answer = browser
            .looking
            .get(self.gateway.at("/"))
            .send()
            .await
            .unwrap();
        match answer.status() {
            StatusCode::OK => Some(answer.text().await.unwrap()),
            StatusCode::SEE_OTHER => None,
            other => panic!("{other}"),
        }
    }

    /// The IdP's request, with which it sends `browser` here to be signed out.
    async fn logout_request(&self, browser: &Browser) -> String {
        let mut url = self.idp.logout_url(&self.gateway.at("/healthz"));
        for _ in 0..5 {
            let step = browser.looking.get(url.clone()).send().await.unwrap();
            let next = step.headers().get("location");
            let next = next
                .unwrap_or_else(|| panic!("{url} leads nowhere"))
                .to_str()
                .unwrap();
            url = url.join(next).unwrap();
            if url.path() == "/saml/slo" {
                return url.into();
            }
        }
        panic!("the IdP asks nothing");
    }

    /// A lease of alice's; gives its token.
    async fn lease(&self) -> String {
        let answer = Client::new()
            .post(self.gateway.at("/api/v1/leases"))
            .bearer_auth(self.gateway.launcher().await)
            .json(&json!({ "user": "alice@example.org", "role_arn": role("data-scientist"), "job": "j" }))
            .send()
            .await
            .unwrap();
        let lease: Value = answer.json().await.unwrap();
        lease["token"]
            .as_str()
            .unwrap_or_else(|| panic!("{lease}"))
            .to_owned()
    }

    async fn fetch(&self, token: &str) -> StatusCode {
        let answer = Client::new()
            .get(self.gateway.at("/v1/credentials"))
            .header("Authorization", token);
        answer.send().await.unwrap().status()
    }
}

/// A browser: one jar of cookies, and redirects followed or looked at.
struct Browser {
    looking: Client,
    following: Client,
}

impl Browser {
    fn new() -> Self {
        let jar = Arc::new(Jar::default());
        let builder = || {
            Client::builder()
                .cookie_provider(Arc::clone(&jar))
                .no_proxy()
        };
        Self {
            looking: builder().redirect(Policy::none()).build().unwrap(),
            following: builder().build().unwrap(),
        }
    }
}

/// The value of the portal's hidden field.
fn csrf(page: &str) -> String {
    let field = Regex::new(r#"name="csrf" value="([^"]+)""#).unwrap();
    field.captures(page).unwrap()[1].to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_here_signs_out_at_the_idp() {
    let stage = set("", false, json!({})).await;
    let browser = Browser::new();
    assert_eq!(stage.sign_in(&browser).await, StatusCode::SEE_OTHER);
    let page = stage.portal(&browser).await.unwrap();
    let answer = browser
        .looking
        .post(stage.gateway.at("/logout"))
        .header("Origin", &stage.public_url)
        .form(&[("csrf", csrf(&page))])
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let page = answer.text().await.unwrap();
    let link = Regex::new(r#"<a href="([^"]+)">Sign out of your identity provider"#).unwrap();
    let link = link.captures(&page).unwrap_or_else(|| panic!("{page}"))[1].to_owned();
    let link = quick_xml::escape::unescape(&link).unwrap().into_owned();
    assert!(stage.portal(&browser).await.is_none());

    // The IdP verifies the request, signs out, and sends the browser back with its signed answer.
    let back = browser.following.get(&link).send().await.unwrap();
    assert_eq!(back.url().path(), "/saml/slo", "{}", stage.gateway.log());
    let page = back.text().await.unwrap();
    assert!(page.contains("signed out there"), "{page}");
    let again = browser
        .following
        .get(stage.gateway.at("/saml/ssp/login"))
        .send()
        .await
        .unwrap();
    let page = again.text().await.unwrap();
    assert!(
        page.contains("name=\"password\""),
        "it asks for the password again: {page}"
    );

    // The same request without its signature is refused there, or this would prove nothing.
    let unsigned = link.split("&SigAlg").next().unwrap();
    let refused = browser.following.get(unsigned).send().await.unwrap();
    assert_ne!(refused.url().path(), "/saml/slo");
    let page = refused.text().await.unwrap();
    assert!(page.contains("no signature found on message"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_idps_sign_out_ends_the_browser_session_and_leases_go_on() {
    let stage = set("", false, json!({})).await;
    let browser = Browser::new();
    assert_eq!(stage.sign_in(&browser).await, StatusCode::SEE_OTHER);
    let token = stage.lease().await;
    assert!(stage.portal(&browser).await.is_some());
    let request = stage.logout_request(&browser).await;

    let unsigned = request.split("&SigAlg").next().unwrap();
    let refused = Client::new().get(unsigned).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    let page = refused.text().await.unwrap();
    assert!(page.contains("<dt>Reference</dt>"), "{page}");
    assert!(
        stage.portal(&browser).await.is_some(),
        "a stranger ends nothing"
    );

    let answer = browser.looking.get(&request).send().await.unwrap();
    assert_eq!(
        answer.status(),
        StatusCode::SEE_OTHER,
        "{}",
        stage.gateway.log()
    );
    assert!(stage.portal(&browser).await.is_none());
    assert_eq!(
        stage.fetch(&token).await,
        StatusCode::OK,
        "single_logout = \"browser\""
    );
    let back = answer.headers()["location"].to_str().unwrap();
    let end = browser.following.get(back).send().await.unwrap();
    assert_eq!(
        end.url().path(),
        "/healthz",
        "the IdP takes our signed answer"
    );

    let replayed = browser.looking.get(&request).send().await.unwrap();
    assert_eq!(replayed.status(), StatusCode::FORBIDDEN);
    let events = stage.gateway.command(&["audit", "export"]).await.good();
    for wanted in [
        "single logout of the browser",
        "replay: this logout request",
        "logout_message: the message is not signed",
    ] {
        assert!(events.contains(wanted), "{wanted} is not in {events}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_idps_sign_out_ends_leases_where_the_configuration_says_so() {
    let stage = set("single_logout = \"leases\"", false, json!({})).await;
    let browser = Browser::new();
    assert_eq!(stage.sign_in(&browser).await, StatusCode::SEE_OTHER);
    let token = stage.lease().await;
    assert_eq!(stage.fetch(&token).await, StatusCode::OK);
    let request = stage.logout_request(&browser).await;
    let follow = async || {
        let answer = browser.looking.get(&request).send().await.unwrap();
        answer.status()
    };
    let told = async |what: &str| {
        let events = stage.gateway.command(&["audit", "export"]).await.good();
        events.lines().filter(|line| line.contains(what)).count()
    };
    let file = stage.folder.path().join("rolegate.db");
    let file = sqlx::sqlite::SqliteConnectOptions::new().filename(file);
    let mut store = sqlx::SqliteConnection::connect_with(&file).await.unwrap();
    let leases_cannot =
        "CREATE TRIGGER away BEFORE UPDATE ON leases BEGIN SELECT RAISE(ABORT, 'away'); END";
    sqlx::query(leases_cannot)
        .execute(&mut store)
        .await
        .unwrap();
    assert_eq!(follow().await, StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        stage.portal(&browser).await.is_some(),
        "all of it or nothing"
    );
    sqlx::query("DROP TRIGGER away")
        .execute(&mut store)
        .await
        .unwrap();
    assert_eq!(stage.fetch(&token).await, StatusCode::OK);

    assert_eq!(follow().await, StatusCode::SEE_OTHER);
    assert_eq!(stage.fetch(&token).await, StatusCode::FORBIDDEN);
    assert!(stage.portal(&browser).await.is_none());
    assert_eq!(told("single logout, 1 leases revoked").await, 1);
    let revoked = "\"kind\":\"lease_revoked\"";
    assert_eq!(told(revoked).await, 1);
    assert_eq!(follow().await, StatusCode::FORBIDDEN, "followed once");

    // Of a gateway that was killed before it had remembered the request, the audit is told once more.
    sqlx::query("DELETE FROM replay_ids")
        .execute(&mut store)
        .await
        .unwrap();
    assert_eq!(follow().await, StatusCode::SEE_OTHER);
    assert_eq!(told("single logout, ended before").await, 1);
    assert_eq!(told("single logout, revoked before").await, 1);
    assert_eq!(told(revoked).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_assertion_signs_in_and_says_what_it_cannot_do() {
    let stage = set("", true, json!({ "assertion.encryption": true })).await;
    let posted = stage.idp.login_idp_initiated("alice", PASSWORD, None).await;
    let post = || async {
        let form = [("SAMLResponse", &posted.saml_response)];
        let client = Client::new()
            .post(&posted.action)
            .header("Accept", "application/json");
        let answer = client.form(&form).send().await.unwrap();
        (answer.status(), answer.json::<Value>().await.unwrap())
    };
    let (status, me) = post().await;
    assert_eq!(status, StatusCode::OK, "{me}\n{}", stage.gateway.log());
    assert_eq!(me["user"], "alice@example.org");
    let denied = me["denied"][0]["reasons"][0].as_str().unwrap();
    assert!(denied.contains("encrypted for rolegate"), "{me}");
    assert_eq!(post().await.0, StatusCode::FORBIDDEN, "a replay");

    // The old key is retired: what was encrypted for it no longer opens, and explain says why.
    let keys: Value = serde_json::from_str(
        &stage
            .gateway
            .command(&["keys", "list", "--json"])
            .await
            .good(),
    )
    .unwrap();
    let old = keys
        .as_array()
        .unwrap()
        .iter()
        .find(|key| key["use"] == "encryption")
        .unwrap();
    let old = old["id"].as_str().unwrap();
    assert!(
        stage
            .gateway
            .command(&["keys", "generate", "--use", "encryption"])
            .await
            .status
            .success()
    );
    let both = stage.idp.login_idp_initiated("alice", PASSWORD, None).await;
    std::fs::write(stage.folder.path().join("posted"), &both.saml_response).unwrap();
    let explained = stage.gateway.command(&["explain", "posted"]).await;
    assert!(explained.status.success(), "{}", explained.stdout);
    stage.gateway.command(&["keys", "retire", old]).await.good();
    let refused = stage.gateway.command(&["explain", "posted"]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        refused.stdout.contains("does not decrypt"),
        "{}",
        refused.stdout
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn cbc_that_nobody_signed_is_refused() {
    let stage = set("", false, json!({ "assertion.encryption": true })).await;
    let posted = stage.idp.login_idp_initiated("alice", PASSWORD, None).await;
    let client = Client::new()
        .post(&posted.action)
        .header("Accept", "application/json");
    let answer = client
        .form(&[("SAMLResponse", &posted.saml_response)])
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    let problem: Value = answer.json().await.unwrap();
    let reference = problem["reference"].as_str().unwrap();
    let why = stage
        .gateway
        .command(&["explain", "--reference", reference])
        .await;
    assert!(
        why.stdout.contains("AES-CBC"),
        "{}{}",
        why.stdout,
        why.stderr
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn check_says_when_an_idp_wants_signed_requests_and_nothing_signs() {
    let world = crate::gateway::World::start().await;
    let idp = world.folder.path().join("idp.xml");
    let metadata = std::fs::read_to_string(&idp).unwrap();
    let warned = async || {
        let check = world.gateway.command(&["check"]).await;
        assert!(check.status.success(), "{}", check.stderr);
        check.stderr.contains("wants signed requests")
    };
    assert!(!warned().await);
    let wanting = metadata.replacen(
        "IDPSSODescriptor ",
        "IDPSSODescriptor WantAuthnRequestsSigned=\"true\" ",
        1,
    );
    assert_ne!(wanting, metadata);
    std::fs::write(&idp, wanting).unwrap();
    assert!(warned().await);
    let made = world
        .gateway
        .command(&["keys", "generate", "--use", "signing"]);
    made.await.good();
    assert!(!warned().await);
}
