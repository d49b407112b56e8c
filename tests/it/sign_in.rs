//! Sign-in through the front door: JSON, browser, confirm page, SP-initiated, replays, refusals.

use std::time::Duration;

use reqwest::{Client, StatusCode, redirect::Policy};
use rolegate::demo::idp::Sign;
use rolegate::model::{Clock, SystemClock};
use serde_json::Value;

use crate::gateway::{Setting, World, is_within, role};

fn browser() -> Client {
    Client::builder()
        .cookie_store(true)
        .redirect(Policy::none())
        .build()
        .unwrap()
}

/// The value of the form field `name` of a page.
fn field(page: &str, name: &str) -> String {
    let after = page
        .split_once(&format!("name=\"{name}\" value=\""))
        .expect(page)
        .1;
    after.split_once('"').unwrap().0.to_owned()
}

fn location(answer: &reqwest::Response) -> String {
    answer.headers()["location"].to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_json_client_gets_grants_and_reasons() {
    let world = World::start().await;
    let (token, me) = world.sign_in().await;
    assert_eq!(me["user"], "alice");
    assert_eq!(me["idp"], "demo");
    let granted: Vec<&str> = me["grants"]
        .as_array()
        .unwrap()
        .iter()
        .map(|g| g["role_arn"].as_str().unwrap())
        .collect();
    assert_eq!(granted, [role("reader"), role("writer")]);
    assert!(
        me["grants"][0]["credentials_expire_at"]
            .as_str()
            .unwrap()
            .ends_with('Z'),
        "{me}"
    );
    assert_eq!(me["denied"][0]["role_arn"], role("admin"));
    assert!(!me["denied"][0]["reasons"].as_array().unwrap().is_empty());
    let (status, again) = world.api("GET", "/api/v1/me", &token, None).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(again["grants"], me["grants"]);
    assert_eq!(world.sts.calls_for(&role("reader")), 1);
    assert_eq!(
        world.sts.calls_for(&role("admin")),
        0,
        "what is denied is not asked for"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_idp_s_end_of_session_ends_ours() {
    let world = World::start().await;
    let mut plan = world.plan();
    let end = plan.issue_instant + chrono::TimeDelta::minutes(20);
    plan.session_not_on_or_after = Some(end);
    let (_, me) = world.post(&world.idp.sign(&plan)).await;
    assert_eq!(me["session_expires_at"], rolegate::model::rfc3339(end));
    assert_eq!(
        me["grants"][0]["duration_seconds"].as_u64().unwrap() / 60,
        19,
        "{me}"
    );
    let token = me["session_token"].as_str().unwrap();
    let (_, again) = world.api("GET", "/api/v1/me", token, None).await;
    assert_eq!(again["session_expires_at"], me["session_expires_at"]);
    let (_, me) = world.sign_in().await;
    assert_ne!(
        me["session_expires_at"], again["session_expires_at"],
        "the good twin"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_copies_at_once_are_one_sign_in() {
    let mut world = World::with(Setting {
        server_lines: "limits = { refused_sign_ins_per_minute = 1000 }",
        ..Setting::default()
    })
    .await;
    let response = world.response();
    let posts = (0..64).map(|_| world.post(&response));
    let answers = futures_util::future::join_all(posts).await;
    let accepted = answers
        .iter()
        .filter(|(status, _)| *status == StatusCode::OK)
        .count();
    let refused = answers
        .iter()
        .filter(|(status, _)| *status == StatusCode::FORBIDDEN)
        .count();
    assert_eq!((accepted, refused), (1, 63));
    assert_eq!(world.sts.calls_for(&role("reader")), 1);
    world.gateway.kill_and_restart().await;
    assert_eq!(
        world.post(&response).await.0,
        StatusCode::FORBIDDEN,
        "a restart forgets nothing"
    );
    assert_eq!(
        world.post(&world.response()).await.0,
        StatusCode::OK,
        "a new one is taken"
    );
    assert_eq!(world.sts.calls_for(&role("reader")), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_keeps_what_was_acknowledged() {
    let mut world = World::start().await;
    let (token, me) = world.sign_in().await;
    let launcher = world.launcher().await;
    let (status, lease) = world.lease(&launcher, "reader").await;
    assert_eq!(status, StatusCode::CREATED, "{lease}");
    world.gateway.kill_and_restart().await;
    let (status, again) = world.api("GET", "/api/v1/me", &token, None).await;
    assert_eq!((status, &again["grants"]), (StatusCode::OK, &me["grants"]));
    let (status, credentials) = world.fetch(lease["token"].as_str().unwrap()).await;
    assert_eq!(status, StatusCode::OK, "{credentials}");
    assert_eq!(
        world.sts.calls_for(&role("reader")),
        1,
        "nothing was asked for again"
    );
    world.gateway.command(&["audit", "verify"]).await.good();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_under_load_loses_no_sign_in_that_was_acknowledged() {
    let mut world = World::start().await;
    let (told, mut acknowledged) = tokio::sync::mpsc::unbounded_channel();
    for _ in 0..4 {
        let responses: Vec<String> = (0..60).map(|_| world.response()).collect();
        let (acs, told) = (world.gateway.at("/saml/acs"), told.clone());
        tokio::spawn(async move {
            let client = Client::new();
            for response in responses {
                let form = [("SAMLResponse", response.as_str())];
                let answer = client
                    .post(&acs)
                    .header("Accept", "application/json")
                    .form(&form)
                    .send()
                    .await;
                // An answer that broke off, or never came, acknowledged nothing.
                let Ok(answer) = answer else { continue };
                if answer.status() == StatusCode::OK
                    && let Ok(me) = answer.json::<Value>().await
                {
                    let token = me["session_token"].as_str().unwrap().to_owned();
                    told.send((response, token)).unwrap();
                }
            }
        });
    }
    drop(told);
    let mut accepted = Vec::new();
    for _ in 0..40 {
        accepted.push(acknowledged.recv().await.unwrap());
    }
    world.gateway.kill_and_restart().await;
    while let Some(one) = acknowledged.recv().await {
        accepted.push(one);
    }
    for (response, token) in &accepted {
        assert_eq!(
            world.post(response).await.0,
            StatusCode::FORBIDDEN,
            "accepted a second time"
        );
        assert_eq!(
            world.api("GET", "/api/v1/me", token, None).await.0,
            StatusCode::OK
        );
    }
    world.gateway.command(&["audit", "verify"]).await.good();
    assert_eq!(
        world.post(&world.response()).await.0,
        StatusCode::OK,
        "the good twin"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_confirms_before_it_becomes_somebody() {
    let world = World::start().await;
    let alice = browser();
    let post = |client: &Client| {
        client
            .post(world.gateway.at("/saml/acs"))
            .form(&[("SAMLResponse", world.response())])
            .send()
    };
    let answer = post(&alice).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let page = answer.text().await.unwrap();
    assert!(page.contains("Continue as alice"), "{page}");
    let portal = alice.get(world.gateway.at("/")).send().await.unwrap();
    assert_eq!(
        location(&portal),
        "/login",
        "nobody is signed in before the button"
    );
    let form = [("token", field(&page, "token"))];
    let origin = world.gateway.at("");
    let press = |client: &Client, origin: &str| {
        client
            .post(world.gateway.at("/saml/confirm"))
            .header("Origin", origin)
            .form(&form)
            .send()
    };
    let stranger = browser();
    assert_eq!(
        press(&stranger, &origin).await.unwrap().status(),
        StatusCode::FORBIDDEN,
        "no cookie"
    );
    assert_eq!(
        press(&alice, "https://evil.example")
            .await
            .unwrap()
            .status(),
        StatusCode::FORBIDDEN
    );
    let answer = press(&alice, &origin).await.unwrap();
    assert_eq!(
        (answer.status(), location(&answer).as_str()),
        (StatusCode::SEE_OTHER, "/")
    );
    let portal = alice
        .get(world.gateway.at("/"))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(
        portal.contains(&role("reader")) && portal.contains("Sign out"),
        "{portal}"
    );
    assert!(portal.contains(&role("admin")), "denials are shown");
    assert_eq!(
        press(&alice, &origin).await.unwrap().status(),
        StatusCode::FORBIDDEN,
        "once only"
    );

    let csrf = field(&portal, "csrf");
    let out = |csrf: &str| {
        alice
            .post(world.gateway.at("/logout"))
            .header("Origin", &origin)
            .form(&[("csrf", csrf)])
            .send()
    };
    assert_eq!(out("wrong").await.unwrap().status(), StatusCode::FORBIDDEN);
    assert_eq!(location(&out(&csrf).await.unwrap()), "/login");
    let portal = alice.get(world.gateway.at("/")).send().await.unwrap();
    assert_eq!(location(&portal), "/login");
}

/// Begins a sign-in at the gateway; returns the id of its request and where the IdP was asked.
async fn begin(world: &World, client: &Client, query: &str) -> (String, String) {
    let answer = client
        .get(world.gateway.at(&format!("/saml/demo/login{query}")))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    let target = location(&answer);
    assert!(target.starts_with(world.idp.url()), "{target}");
    let login = client.get(&target).send().await.unwrap();
    assert_eq!(
        login.status(),
        StatusCode::OK,
        "the IdP takes our AuthnRequest"
    );
    let page = login.text().await.unwrap();
    (page, target)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_that_we_began_needs_no_confirmation_and_returns() {
    let world = World::start().await;
    let alice = browser();
    let (page, _) = begin(&world, &alice, "?return_to=/%3Ffrom=job").await;
    let posted = world
        .idp
        .submit_login(&alice, &page, "alice", "alice-password")
        .await
        .unwrap();
    let form = [("SAMLResponse", posted.saml_response.as_str())];
    let post = |client: &Client| {
        client
            .post(world.gateway.at("/saml/acs"))
            .form(&form)
            .send()
    };
    assert_eq!(
        post(&browser()).await.unwrap().status(),
        StatusCode::FORBIDDEN,
        "another browser's"
    );
    let answer = post(&alice).await.unwrap();
    assert_eq!(
        (answer.status(), location(&answer).as_str()),
        (StatusCode::SEE_OTHER, "/?from=job")
    );
    let portal = alice.get(world.gateway.at("/")).send().await.unwrap();
    assert_eq!(portal.status(), StatusCode::OK);
    assert_eq!(
        post(&alice).await.unwrap().status(),
        StatusCode::FORBIDDEN,
        "used"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn new_metadata_is_taken_up_and_bad_metadata_is_not() {
    let world = World::start().await;
    let other = World::start().await;
    let file = world.folder.path().join("idp.xml");
    let entity = |metadata: &str| metadata.replace(other.idp.entity_id(), world.idp.entity_id());
    std::fs::write(&file, entity(other.idp.metadata())).unwrap();
    world.gateway.hang_up();
    world.gateway.logged("idp_metadata_changed").await;
    assert_eq!(
        world.post(&world.response()).await.0,
        StatusCode::FORBIDDEN,
        "the old key"
    );
    let mut plan = world.plan();
    plan.attributes = other.plan().attributes;
    assert_eq!(
        world.post(&other.idp.sign(&plan)).await.0,
        StatusCode::OK,
        "the new key"
    );
    std::fs::write(&file, "<broken").unwrap();
    // Without a signal, within ten seconds.
    world.gateway.logged("idp_metadata_bad").await;
    let mut plan = world.plan();
    plan.attributes = other.plan().attributes;
    assert_eq!(
        world.post(&other.idp.sign(&plan)).await.0,
        StatusCode::OK,
        "the key in force is kept"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_not_ours_is_refused() {
    let world = World::start().await;
    let mut plan = world.plan();
    plan.in_response_to = Some("_0123456789abcdef0123456789abcdef".to_owned());
    let (status, problem) = world.post(&world.idp.sign(&plan)).await;
    assert_eq!(
        (status, problem["code"].as_str()),
        (StatusCode::FORBIDDEN, Some("sign_in_refused"))
    );
    world.gateway.said("request_unknown").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idp_that_may_not_begin_is_refused() {
    let setting = Setting {
        idp_lines: "idp_initiated = \"refuse\"",
        ..Setting::default()
    };
    let world = World::with(setting).await;
    assert_eq!(world.post(&world.response()).await.0, StatusCode::FORBIDDEN);
    world.gateway.said("idp_initiated_refused").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_look_alike_outside_and_differ_inside() {
    let world = World::start().await;
    let mut unsigned = world.plan();
    unsigned.sign = Sign::None;
    let mut elsewhere = world.plan();
    elsewhere.recipient = "https://elsewhere.example/acs".to_owned();
    let mut bodies = Vec::new();
    for plan in [unsigned, elsewhere] {
        let (status, mut problem) = world.post(&world.idp.sign(&plan)).await;
        assert_eq!(status, StatusCode::FORBIDDEN);
        let reference = problem
            .as_object_mut()
            .unwrap()
            .remove("reference")
            .unwrap();
        let reference = reference.as_str().unwrap().to_owned();
        assert!(
            world.gateway.log().contains(&reference),
            "the log has the reference"
        );
        bodies.push(problem);
    }
    assert_eq!(bodies[0], bodies[1]);
    let log = world.gateway.log();
    let codes: Vec<Value> = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|line| line["fields"]["event"] == "sign_in_refused")
        .map(|line| line["fields"]["code"].clone())
        .collect();
    assert_eq!(codes.len(), 2);
    assert_ne!(codes[0], codes[1]);
    assert!(world.sts.calls().is_empty(), "nothing refused reaches STS");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_form_with_one_response_is_400_and_too_much_is_413() {
    let world = World::start().await;
    let acs = world.gateway.at("/saml/acs");
    let client = Client::new();
    let status = |body: String, content_type: &'static str| {
        let request = client
            .post(&acs)
            .header("Content-Type", content_type)
            .body(body)
            .send();
        async move { request.await.unwrap().status() }
    };
    let form = "application/x-www-form-urlencoded";
    for (body, content_type) in [
        (String::new(), form),
        ("SAMLResponse=%%%".to_owned(), form),
        ("SAMLResponse=AAAA&SAMLResponse=AAAA".to_owned(), form),
        (
            "SAMLResponse=AAAA".to_owned(),
            "multipart/form-data; boundary=x",
        ),
        ("{}".to_owned(), "application/json"),
    ] {
        assert_eq!(
            status(body.clone(), content_type).await,
            StatusCode::BAD_REQUEST,
            "{body}"
        );
    }
    let large = format!("SAMLResponse={}", "A".repeat(300_000));
    assert_eq!(status(large, form).await, StatusCode::PAYLOAD_TOO_LARGE);
    let got = client.get(&acs).send().await.unwrap();
    assert_eq!(got.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reference_to_a_device_opens_nothing_and_takes_no_time() {
    let world = World::start().await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let fifo = world.folder.path().join("fifo");
    let made = std::process::Command::new("mkfifo")
        .arg(&fifo)
        .status()
        .unwrap();
    assert!(made.success());
    let http = format!("http://{}/x", listener.local_addr().unwrap());
    let fifo = format!("file://{}", fifo.display());
    let good = rolegate_text(&world.response());
    let uri = good
        .split_once("Reference URI=\"")
        .expect(&good)
        .1
        .split_once('"')
        .unwrap()
        .0
        .to_owned();
    for target in ["file:///dev/zero", fifo.as_str(), http.as_str()] {
        let forged = good.replace(&format!("URI=\"{uri}\""), &format!("URI=\"{target}\""));
        assert_ne!(forged, good);
        let forged = encode(&forged);
        for _ in 0..5 {
            let refused = tokio::time::timeout(Duration::from_secs(30), world.post(&forged)).await;
            assert_eq!(refused.expect(target).0, StatusCode::FORBIDDEN, "{target}");
        }
    }
    assert!(listener.accept().is_err(), "nobody called");
    let taken = world.gateway.microseconds("/saml/acs");
    assert!(
        taken.iter().min() < Some(&100_000),
        "the quickest of {taken:?} us"
    );
    assert_eq!(
        world.post(&world.response()).await.0,
        StatusCode::OK,
        "the good twin"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_never_ends_is_not_waited_for() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let world = World::with(Setting {
        tables: "[server.limits]\nrequest_timeout_seconds = 1\n".to_owned(),
        ..Setting::default()
    })
    .await;
    let url = world.gateway.at("");
    let address = url.trim_start_matches("http://");
    for path in ["/saml/acs", "/saml/confirm"] {
        let mut slow = tokio::net::TcpStream::connect(address).await.unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {address}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\n"
        );
        slow.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        let read = slow.read_exact(&mut answer);
        let begun = SystemClock.now();
        let read = tokio::time::timeout(Duration::from_mins(1), read).await;
        read.expect(path).unwrap();
        is_within(path, begun, Duration::from_secs(4));
        assert_eq!(&answer, b"HTTP/1.1 408", "{path}");
    }
}

fn rolegate_text(base64: &str) -> String {
    String::from_utf8(openssl::base64::decode_block(base64).unwrap()).unwrap()
}

fn encode(text: &str) -> String {
    openssl::base64::encode_block(text.as_bytes())
}
