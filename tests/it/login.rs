//! Signing a command line in: codes, the page where they are allowed, the token that comes of it.

use reqwest::{Client, StatusCode, redirect::Policy};
use serde_json::{Value, json};
use sqlx::Connection;

use crate::gateway::{Setting, World};

/// A browser that is signed in, and the portal's form token.
struct Person {
    client: Client,
    csrf: String,
}

fn browser() -> Client {
    Client::builder()
        .cookie_store(true)
        .redirect(Policy::none())
        .build()
        .unwrap()
}

fn field(page: &str, name: &str) -> String {
    let after = page.split_once(&format!("name=\"{name}\" value=\""));
    let after = after.expect(page).1;
    after.split_once('"').unwrap().0.to_owned()
}

fn location(answer: &reqwest::Response) -> String {
    answer.headers()["location"].to_str().unwrap().to_owned()
}

/// Follows `start` to the IdP and back; gives where the gateway sends the browser next.
async fn through_the_idp(world: &World, client: &Client, start: &str) -> String {
    let answer = client.get(world.gateway.at(start)).send().await.unwrap();
    let page = client.get(location(&answer)).send().await.unwrap();
    let page = page.text().await.unwrap();
    let posted = world
        .idp
        .submit_login(client, &page, "alice", "alice-password");
    let posted = posted.await.unwrap();
    let mut form = vec![("SAMLResponse", posted.saml_response)];
    form.extend(posted.relay_state.map(|state| ("RelayState", state)));
    let answer = client.post(posted.action).form(&form).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    location(&answer)
}

async fn signed_in(world: &World) -> Person {
    let client = browser();
    through_the_idp(world, &client, "/saml/demo/login").await;
    let portal = client.get(world.gateway.at("/")).send().await.unwrap();
    let csrf = field(&portal.text().await.unwrap(), "csrf");
    Person { client, csrf }
}

async fn begin(world: &World) -> Value {
    let url = world.gateway.at("/api/v1/login/codes");
    let answer = Client::new().post(url).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED);
    assert!(answer.headers().get("set-cookie").is_none());
    assert_eq!(answer.headers()["cache-control"], "no-store");
    answer.json().await.unwrap()
}

async fn poll(world: &World, begun: &Value) -> (StatusCode, Value) {
    let answer = Client::new()
        .post(world.gateway.at("/api/v1/login/tokens"))
        .json(&json!({ "device_code": begun["device_code"] }))
        .send()
        .await
        .unwrap();
    let status = answer.status();
    if status != StatusCode::OK {
        let kind = answer.headers()["content-type"].to_str().unwrap();
        assert_eq!(kind, "application/problem+json");
    }
    assert!(answer.headers().get("set-cookie").is_none());
    (status, answer.json().await.unwrap())
}

async fn refused(world: &World, begun: &Value) -> String {
    let (status, problem) = poll(world, begun).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{problem}");
    problem["code"].as_str().unwrap().to_owned()
}

impl Person {
    /// Presses a button of the page as a browser does.
    async fn answer(&self, world: &World, begun: &Value, answer: &str) -> (StatusCode, String) {
        let code = begun["user_code"].as_str().unwrap();
        let form = [
            ("csrf", self.csrf.as_str()),
            ("code", code),
            ("answer", answer),
        ];
        let origin = world.gateway.at("");
        self.post(world, &form, Some(&origin)).await
    }

    async fn post(
        &self,
        world: &World,
        form: &[(&str, &str)],
        origin: Option<&str>,
    ) -> (StatusCode, String) {
        let mut request = self
            .client
            .post(world.gateway.at("/login/device"))
            .form(form);
        if let Some(origin) = origin {
            request = request.header("Origin", origin);
        }
        let answer = request.send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    }

    async fn page(&self, world: &World, code: &str) -> (StatusCode, String) {
        let url = world.gateway.at(&format!("/login/device?code={code}"));
        let answer = self.client.get(url).send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_line_is_signed_in_by_a_browser_that_comes_back_to_the_page() {
    let world = World::start().await;
    let begun = begin(&world).await;
    assert_eq!(
        (&begun["expires_in"], &begun["interval"]),
        (&json!(600), &json!(2))
    );
    assert!(begun["device_code"].as_str().unwrap().starts_with("rgd_"));
    let code = begun["user_code"].as_str().unwrap();
    assert_eq!(begun["verification_uri"], world.gateway.at("/login/device"));
    let page = format!("/login/device?code={code}");
    assert_eq!(begun["verification_uri_complete"], world.gateway.at(&page));

    let client = browser();
    let answer = client.get(world.gateway.at(&page)).send().await.unwrap();
    assert_eq!(
        answer.status(),
        StatusCode::SEE_OTHER,
        "nobody is signed in"
    );
    let chooser = client
        .get(world.gateway.at(&location(&answer)))
        .send()
        .await
        .unwrap();
    let only = location(&chooser);
    assert!(only.starts_with("/saml/demo/login?return_to="), "{only}");
    let chooser = chooser.text().await.unwrap();
    let start = chooser.split_once("href=\"/saml/").expect(&chooser).1;
    let start = format!("/saml/{}", start.split_once('"').unwrap().0);
    assert_eq!(through_the_idp(&world, &client, &start).await, page);
    let shown = client
        .get(world.gateway.at(&page))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    for words in [
        code,
        "127.0.0.1",
        "alice",
        "only if you started it yourself",
        "sign out of this browser",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    let person = Person {
        client,
        csrf: field(&shown, "csrf"),
    };
    let (status, shown) = person.answer(&world, &begun, "allow").await;
    assert_eq!(status, StatusCode::OK, "{shown}");
    assert!(shown.contains("<h1>Allowed</h1>"), "{shown}");

    let (status, done) = poll(&world, &begun).await;
    assert_eq!(status, StatusCode::OK, "{done}");
    assert_eq!(
        (&done["user"], &done["idp"]),
        (&json!("alice"), &json!("demo"))
    );
    assert!(done["expires_at"].as_str().unwrap().ends_with('Z'));
    let token = done["session_token"].as_str().unwrap();
    let (status, me) = world.api("GET", "/api/v1/me", token, None).await;
    assert_eq!((status, &me["user"]), (StatusCode::OK, &json!("alice")));
    assert_eq!(refused(&world, &begun).await, "expired_token", "once");

    let sign_out = person.client.post(world.gateway.at("/logout"));
    let sign_out = sign_out
        .header("Origin", world.gateway.at(""))
        .form(&[("csrf", &person.csrf)]);
    assert_eq!(
        sign_out.send().await.unwrap().status(),
        StatusCode::SEE_OTHER
    );
    let portal = person
        .client
        .get(world.gateway.at("/"))
        .send()
        .await
        .unwrap();
    assert_eq!(portal.status(), StatusCode::SEE_OTHER, "the browser is out");
    let (status, _) = world.api("GET", "/api/v1/me", token, None).await;
    assert_eq!(status, StatusCode::OK, "the command line is not");

    let audit = world.gateway.command(&["audit", "export"]).await.good();
    for kind in ["login_approved", "login_completed"] {
        assert!(audit.contains(kind), "{audit}");
    }
    for secret in [token, begun["device_code"].as_str().unwrap(), code] {
        assert!(!audit.contains(secret) && !world.gateway.log().contains(secret));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_no_is_a_no_and_a_question_before_the_answer_waits() {
    let world = World::start().await;
    let person = signed_in(&world).await;
    let (denied, allowed) = (begin(&world).await, begin(&world).await);
    let waiting = begin(&world).await;
    assert_eq!(refused(&world, &waiting).await, "authorization_pending");
    assert_eq!(refused(&world, &waiting).await, "slow_down");
    let (status, page) = person.answer(&world, &denied, "deny").await;
    assert!(
        status == StatusCode::OK && page.contains("<h1>Denied</h1>"),
        "{page}"
    );
    let (status, _) = person.answer(&world, &denied, "allow").await;
    assert_eq!(status, StatusCode::NOT_FOUND, "an answer stands");
    assert_eq!(refused(&world, &denied).await, "access_denied");
    assert_eq!(refused(&world, &denied).await, "expired_token");
    person.answer(&world, &allowed, "allow").await;
    assert_eq!(poll(&world, &allowed).await.0, StatusCode::OK);
    let unknown = json!({ "device_code": format!("rgd_{}", "A".repeat(43)) });
    assert_eq!(refused(&world, &unknown).await, "expired_token");
    assert_eq!(
        refused(&world, &json!({ "device_code": "x" })).await,
        "expired_token"
    );
    let audit = world.gateway.command(&["audit", "export"]).await.good();
    assert!(audit.contains("login_denied"), "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_page_s_own_form_answers() {
    let world = World::start().await;
    let (person, other) = (signed_in(&world).await, signed_in(&world).await);
    let begun = begin(&world).await;
    let code = begun["user_code"].as_str().unwrap();
    let origin = world.gateway.at("");
    let forms = [
        (
            person.csrf.as_str(),
            "allow",
            Some("https://evil.example"),
            StatusCode::FORBIDDEN,
        ),
        (person.csrf.as_str(), "allow", None, StatusCode::FORBIDDEN),
        (
            other.csrf.as_str(),
            "allow",
            Some(origin.as_str()),
            StatusCode::FORBIDDEN,
        ),
        ("", "allow", Some(origin.as_str()), StatusCode::FORBIDDEN),
        (
            person.csrf.as_str(),
            "perhaps",
            Some(origin.as_str()),
            StatusCode::BAD_REQUEST,
        ),
    ];
    for (csrf, answer, from, wanted) in forms {
        let form = [("csrf", csrf), ("code", code), ("answer", answer)];
        let (status, page) = person.post(&world, &form, from).await;
        assert_eq!(status, wanted, "{answer} {from:?}: {page}");
    }
    let (_, shown) = person.page(&world, code).await;
    assert!(
        shown.contains("Allow"),
        "looking and failing answered nothing: {shown}"
    );
    assert_eq!(
        person.answer(&world, &begun, "allow").await.0,
        StatusCode::OK
    );
    assert_eq!(poll(&world, &begun).await.0, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_codes_are_limited_for_one_session_and_not_for_others() {
    let world = World::start().await;
    let (person, other) = (signed_in(&world).await, signed_in(&world).await);
    let begun = begin(&world).await;
    let code = begun["user_code"].as_str().unwrap();
    let form = person
        .client
        .get(world.gateway.at("/login/device"))
        .send()
        .await
        .unwrap();
    let form = form.text().await.unwrap();
    assert!(form.contains("<label for=\"code\">Code</label>"), "{form}");
    for _ in 0..5 {
        let (status, page) = person.page(&world, "BBBB-CCCC").await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert!(
            page.contains("name=\"code\""),
            "it can be typed again: {page}"
        );
    }
    let (status, page) = person.page(&world, code).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS, "{page}");
    let (status, _) = person.answer(&world, &begun, "allow").await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused(&world, &begun).await, "authorization_pending");
    let (status, page) = other.page(&world, &code.to_lowercase()).await;
    assert!(status == StatusCode::OK && page.contains(code), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_takes_an_empty_object_or_nothing_and_one_address_has_its_share() {
    let world = World::start().await;
    let url = world.gateway.at("/api/v1/login/codes");
    let post = |body: &'static str| Client::new().post(&url).body(body).send();
    assert_eq!(post("{}").await.unwrap().status(), StatusCode::CREATED);
    for bad in ["[]", "{\"user\":\"alice\"}", "x"] {
        assert_eq!(
            post(bad).await.unwrap().status(),
            StatusCode::BAD_REQUEST,
            "{bad}"
        );
    }
    for _ in 1..100 {
        begin(&world).await;
    }
    let full = post("").await.unwrap();
    assert_eq!(full.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(full.headers().get("retry-after").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_the_client_s_address_and_not_the_proxy_s() {
    let asked_from = async |server_lines| {
        let world = World::with(Setting {
            server_lines,
            ..Setting::default()
        })
        .await;
        let person = signed_in(&world).await;
        let answer = Client::new()
            .post(world.gateway.at("/api/v1/login/codes"))
            .header("X-Forwarded-For", "198.51.100.1, 203.0.113.9")
            .send()
            .await
            .unwrap();
        let begun: Value = answer.json().await.unwrap();
        let (_, page) = person
            .page(&world, begun["user_code"].as_str().unwrap())
            .await;
        let after = page.split_once("<dt>Asked from</dt><dd>").expect(&page).1;
        after.split_once('<').unwrap().0.to_owned()
    };
    let proxy = "behind_proxy = true\ntrusted_proxies = [\"127.0.0.1/32\"]";
    assert_eq!(asked_from(proxy).await, "203.0.113.9");
    assert_eq!(asked_from("").await, "127.0.0.1", "nobody is believed");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ended_session_ends_its_command_lines_and_allows_no_more() {
    let world = World::start().await;
    let (ended, other) = (signed_in(&world).await, signed_in(&world).await);
    let (first, waiting) = (begin(&world).await, begin(&world).await);
    ended.answer(&world, &first, "allow").await;
    ended.answer(&world, &waiting, "allow").await;
    let (_, done) = poll(&world, &first).await;
    let token = done["session_token"].as_str().unwrap();
    assert_eq!(
        world.api("GET", "/api/v1/me", token, None).await.0,
        StatusCode::OK
    );

    // As another process ends it: by the store that both share.
    let database = world.folder.path().join("rolegate.db");
    let database = sqlx::sqlite::SqliteConnectOptions::new().filename(database);
    let mut revoking = sqlx::SqliteConnection::connect_with(&database)
        .await
        .unwrap();
    let sql = "UPDATE sessions SET ended_at = signed_in_at, token = NULL
               WHERE id = (SELECT session FROM session_tokens)";
    let done = sqlx::query(sql).execute(&mut revoking).await.unwrap();
    assert_eq!(done.rows_affected(), 1);
    let (status, _) = world.api("GET", "/api/v1/me", token, None).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert_eq!(refused(&world, &waiting).await, "expired_token");
    let begun = begin(&world).await;
    assert_eq!(
        ended.answer(&world, &begun, "allow").await.0,
        StatusCode::SEE_OTHER
    );
    assert_eq!(refused(&world, &begun).await, "authorization_pending");
    let begun = begin(&world).await;
    assert_eq!(
        other.answer(&world, &begun, "allow").await.0,
        StatusCode::OK
    );
    assert_eq!(
        poll(&world, &begun).await.0,
        StatusCode::OK,
        "another sign-in goes on"
    );
}
