//! The way into the AWS console: the portal's button and the API, against a federation endpoint on loopback.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::{Client, StatusCode, Url, redirect::Policy};
use rolegate::model::{Clock, SystemClock};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::gateway::{Setting, World, is_within, role};

const TOKEN: &str = "the+signin/token==";

/// A federation endpoint that answers every question alike, and keeps the questions.
struct Federation {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Federation {
    /// Answers with `status` and `body`; nothing at all with status 0.
    async fn start(status: u16, body: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let answer = format!(
            "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        let kept = Arc::clone(&asked);
        tokio::spawn(async move {
            let mut silent = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = Vec::new();
                while !is_whole(&request) && stream.read_buf(&mut request).await.unwrap() > 0 {}
                let request = String::from_utf8(request).unwrap();
                kept.lock().unwrap().push(request);
                if status == 0 {
                    silent.push(stream);
                } else {
                    let _gone = stream.write_all(answer.as_bytes()).await;
                }
            }
        });
        Self { url, asked }
    }

    async fn good() -> Self {
        Self::start(200, &json!({ "SigninToken": TOKEN }).to_string()).await
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// The form that was posted.
    fn form(&self) -> Vec<(String, String)> {
        let asked = self.asked();
        let body = asked[0].split_once("\r\n\r\n").unwrap().1;
        url::form_urlencoded::parse(body.as_bytes())
            .into_owned()
            .collect()
    }

    async fn world(&self, tables: &str) -> World {
        World::with(Setting {
            tables: tables.to_owned(),
            variables: vec![("AWS_ENDPOINT_URL_SIGNIN", self.url.clone())],
            ..Setting::default()
        })
        .await
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse().unwrap())
    });
    body.len() >= length.unwrap_or(0)
}

async fn ask(world: &World, token: &str, name: &str) -> (StatusCode, Value) {
    let order = json!({ "role_arn": role(name) });
    world
        .api("POST", "/api/v1/console", token, Some(order))
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_s_credentials_become_a_url() {
    let federation = Federation::good().await;
    let world = federation.world("").await;
    let (token, _) = world.sign_in().await;
    let (status, opened) = ask(&world, &token, "reader").await;
    assert_eq!(status, StatusCode::OK, "{opened}");
    let url: Url = opened["url"].as_str().unwrap().parse().unwrap();
    assert!(
        url.as_str()
            .starts_with(&format!("{}/federation?", federation.url)),
        "{url}"
    );
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let issuer = world.gateway.at("/login");
    assert_eq!(
        pairs,
        [
            pair("Action", "login"),
            pair("Issuer", &issuer),
            pair("Destination", "https://console.aws.amazon.com/"),
            pair("SigninToken", TOKEN),
        ]
    );
    let order = json!({ "role_arn": role("reader") });
    let (_, own) = world
        .api("POST", "/api/v1/credentials", &token, Some(order))
        .await;
    let form = federation.form();
    assert_eq!((form.len(), form[0].1.as_str()), (2, "getSigninToken"));
    let session: Value = serde_json::from_str(&form[1].1).unwrap();
    let wanted = json!({ "sessionId": own["AccessKeyId"], "sessionKey": own["SecretAccessKey"],
        "sessionToken": own["SessionToken"] });
    assert_eq!(session, wanted);
    assert!(federation.asked()[0].starts_with("POST /federation HTTP/1.1\r\n"));

    let audit = world.gateway.command(&["audit", "export"]).await.good();
    assert!(audit.contains("console_opened"), "{audit}");
    let log = world.gateway.log();
    for secret in [TOKEN, own["SecretAccessKey"].as_str().unwrap()] {
        assert!(!audit.contains(secret) && !log.contains(secret));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_person_may_not_use_opens_nothing() {
    let federation = Federation::good().await;
    let tables = format!(
        "[[roles.entry]]\narn = \"{}\"\nlauncher = \"batch\"\n",
        role("admin")
    );
    let world = federation.world(&tables).await;
    let (token, _) = world.sign_in().await;
    for (name, code) in [("admin", "not_allowed"), ("unheard-of", "not_offered")] {
        let (status, problem) = ask(&world, &token, name).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{problem}");
        assert_eq!(problem["code"], code, "{problem}");
    }
    let body = json!({ "role_arn": "reader" });
    let (status, _) = world
        .api("POST", "/api/v1/console", &token, Some(body))
        .await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let launcher = world.launcher().await;
    assert_eq!(
        ask(&world, &launcher, "reader").await.0,
        StatusCode::UNAUTHORIZED
    );
    assert!(federation.asked().is_empty(), "AWS heard of none of it");
    assert_eq!(ask(&world, &token, "writer").await.0, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn aws_s_troubles_are_told_apart() {
    for (status, body, wanted, code) in [
        (400, "no", StatusCode::FORBIDDEN, "refused_by_console"),
        (503, "no", StatusCode::SERVICE_UNAVAILABLE, "console_away"),
        (200, "<html>", StatusCode::BAD_GATEWAY, "console_bad_answer"),
    ] {
        let federation = Federation::start(status, body).await;
        let world = federation.world("").await;
        let (token, _) = world.sign_in().await;
        let (status, problem) = ask(&world, &token, "reader").await;
        assert_eq!(status, wanted, "{problem}");
        assert_eq!(problem["code"], code, "{problem}");
        let audit = world.gateway.command(&["audit", "export"]).await.good();
        assert!(!audit.contains("console_opened"), "{audit}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_endpoint_is_not_waited_for_for_ever() {
    let federation = Federation::start(0, "").await;
    let world = federation.world("").await;
    let (token, _) = world.sign_in().await;
    let asked = ask(&world, &token, "reader");
    let begun = SystemClock.now();
    let answer = tokio::time::timeout(Duration::from_mins(1), asked).await;
    let (status, problem) = answer.expect("five seconds are the limit");
    is_within("the answer", begun, Duration::from_secs(9));
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{problem}");
    assert_eq!(problem["code"], "console_away");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_portal_s_button_leads_to_the_console() {
    let federation = Federation::good().await;
    let world = federation.world("").await;
    let client = Client::builder()
        .cookie_store(true)
        .redirect(Policy::none())
        .build()
        .unwrap();
    let start = client
        .get(world.gateway.at("/saml/demo/login"))
        .send()
        .await
        .unwrap();
    let page = client
        .get(start.headers()["location"].to_str().unwrap())
        .send()
        .await
        .unwrap();
    let page = page.text().await.unwrap();
    let posted = world
        .idp
        .submit_login(&client, &page, "alice", "alice-password")
        .await
        .unwrap();
    let form = [
        ("SAMLResponse", posted.saml_response),
        ("RelayState", posted.relay_state.unwrap_or_default()),
    ];
    client.post(posted.action).form(&form).send().await.unwrap();
    let portal = client.get(world.gateway.at("/")).send().await.unwrap();
    let policy = portal.headers()["content-security-policy"]
        .to_str()
        .unwrap()
        .to_owned();
    for source in [
        "form-action 'self' ",
        &federation.url,
        "https://*.aws.amazon.com",
    ] {
        assert!(
            policy.contains(source),
            "browsers hold it against the redirect: {policy}"
        );
    }
    let portal = portal.text().await.unwrap();
    assert_eq!(
        portal
            .matches("<button type=\"submit\">Console</button>")
            .count(),
        2,
        "{portal}"
    );
    assert!(portal.contains(&format!("name=\"role_arn\" value=\"{}\"", role("reader"))));
    let csrf = portal.split_once("name=\"csrf\" value=\"").unwrap().1;
    let csrf = csrf.split_once('"').unwrap().0;

    let origin = world.gateway.at("");
    let press = |csrf: &str, origin: &str, arn: String| {
        let form = [("csrf", csrf.to_owned()), ("role_arn", arn)];
        let request = client.post(world.gateway.at("/console")).form(&form);
        request.header("Origin", origin).send()
    };
    let refused = press(csrf, "https://evil.example", role("reader"))
        .await
        .unwrap();
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    let refused = press("x", &origin, role("reader")).await.unwrap();
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    let refused = press(csrf, &origin, role("admin")).await.unwrap();
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    let refused = press(csrf, &origin, "reader".to_owned()).await.unwrap();
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    assert!(federation.asked().is_empty());
    let opened = press(csrf, &origin, role("reader")).await.unwrap();
    assert_eq!(opened.status(), StatusCode::SEE_OTHER);
    assert_eq!(opened.headers()["cache-control"], "no-store");
    let location = opened.headers()["location"].to_str().unwrap();
    assert!(
        location.contains("Action=login") && location.contains("SigninToken="),
        "{location}"
    );
}
