//! Why a user was refused: by reference, by file, by user; from the command line, the API and the page.

use std::time::Duration;

use openssl::base64::encode_block;
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use rolegate::demo::idp::Sign;
use serde_json::{Value, json};

use crate::gateway::{Setting, World, command, pair, role};

const EXPLAIN: &str = "/api/v1/admin/explain";
const SESSION_NAME: &str = "https://aws.amazon.com/SAML/Attributes/RoleSessionName";

fn browser() -> Client {
    Client::builder()
        .cookie_store(true)
        .redirect(Policy::none())
        .build()
        .unwrap()
}

async fn auditor(world: &World) -> String {
    let create = ["tokens", "create", "eyes", "--role", "auditor"];
    world.gateway.command(&create).await.good()
}

/// Posts a bad `response`; returns the reference of its refusal.
async fn refused(world: &World, response: &str) -> String {
    let (status, problem) = world.post(response).await;
    assert!(status.is_client_error(), "{problem}");
    problem["reference"].as_str().unwrap().to_owned()
}

/// What the gateway says of `reference`, once its check results are kept and `check` among them.
async fn by_reference(world: &World, token: &str, reference: &str, check: &str) -> Value {
    let question = json!({ "reference": reference });
    for _ in 0..3000 {
        let question = Some(question.clone());
        let (status, told) = world.api("POST", EXPLAIN, token, question).await;
        if status == StatusCode::OK && find(&told, check).is_some() {
            return told;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("no {check} under {reference}");
}

fn find<'a>(told: &'a Value, check: &str) -> Option<&'a Value> {
    let checks = told["checks"].as_array().unwrap();
    checks.iter().find(|one| one["check"] == check)
}

fn failed(told: &Value) -> Vec<&str> {
    let checks = told["checks"].as_array().unwrap().iter();
    let failed = checks.filter(|one| one["ok"] == false);
    failed.map(|one| one["check"].as_str().unwrap()).collect()
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).expect(text)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reference_shows_every_check_and_the_decisions_everywhere_alike() {
    let mut world = World::start().await;
    let token = auditor(&world).await;
    let mut plan = world.plan();
    plan.audiences = vec!["urn:other".to_owned()];
    plan.recipient = "https://elsewhere.example/acs".to_owned();
    let response = world.idp.sign(&plan);
    let reference = refused(&world, &response).await;
    let told = by_reference(&world, &token, &reference, "audience").await;
    assert_eq!(
        failed(&told),
        ["audience", "recipient"],
        "not only the first"
    );
    assert!(told["checks"].as_array().unwrap().len() > 20, "{told}");
    let audience = find(&told, "audience").unwrap();
    assert!(audience["found"].as_str().unwrap().contains("urn:other"));
    let expected = audience["expected"].as_str().unwrap();
    assert!(expected.contains("urn:amazon:webservices"));
    let mend = audience["mend"].as_str().unwrap();
    for label in [
        "Audience URI (SP Entity ID)",
        "Identifier (Entity ID)",
        "\"Entity ID\"",
        "\"Client ID\"",
    ] {
        assert!(mend.contains(label), "{label}: {mend}");
    }
    let decisions = told["decisions"].as_array().unwrap();
    assert_eq!(decisions.len(), 3);
    let why = decisions[0]["reasons"].to_string();
    assert!(why.contains("audience"), "STS would refuse it too: {why}");

    // A restart forgets nothing, and the command line says the same, from the store and from the gateway.
    world.gateway.kill_and_restart().await;
    let by = ["explain", "--reference", &reference, "--json"];
    let local = world.gateway.command(&by).await;
    assert_eq!(local.status.code(), Some(1));
    assert_eq!(json_of(&local.stdout), told);
    let elsewhere = tempfile::tempdir().unwrap();
    let url = world.gateway.at("");
    let variables = [("ROLEGATE_URL", url.as_str()), ("ROLEGATE_TOKEN", &token)];
    let remote = command(elsewhere.path(), &by, &variables).await;
    assert_eq!(remote.status.code(), Some(1), "{}", remote.stderr);
    assert_eq!(json_of(&remote.stdout), told);
    let text = world
        .gateway
        .command(&["explain", "--reference", &reference])
        .await;
    let first = text.stdout.lines().next().unwrap();
    assert_eq!(first, "refused by: audience, recipient");
    assert!(text.stdout.contains("REFUSED  audience"), "{}", text.stdout);
    assert!(text.stdout.contains("DENIED "), "{}", text.stdout);

    // The assertion is not kept.
    let name = b"https://elsewhere.example/acs";
    for file in std::fs::read_dir(world.folder.path()).unwrap() {
        let path = file.unwrap().path();
        if path.to_string_lossy().contains("rolegate.db") {
            let bytes = std::fs::read(&path).unwrap();
            let clear = bytes.windows(name.len()).filter(|part| part == name);
            // Only the audit's reason, which is of the first failure, may be read there.
            assert_eq!(clear.count(), 0, "{}", path.display());
            let held = response.as_bytes();
            assert!(!bytes.windows(80).any(|part| part == &held[..80]));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_document_does_not_show_is_a_check_of_its_own() {
    let world = World::start().await;
    let token = auditor(&world).await;
    let good = world.response();
    assert_eq!(world.post(&good).await.0, StatusCode::OK);
    let reference = refused(&world, &good).await;
    let told = by_reference(&world, &token, &reference, "replay").await;
    assert_eq!(failed(&told), ["replay"]);
    assert_eq!(find(&told, "signature").unwrap()["ok"], true);
    assert_eq!(told["decisions"].as_array().unwrap().len(), 3);

    let mut unasked = world.plan();
    unasked.in_response_to = Some("_0123456789abcdef0123456789abcdef".to_owned());
    let reference = refused(&world, &world.idp.sign(&unasked)).await;
    let told = by_reference(&world, &token, &reference, "request").await;
    assert_eq!(failed(&told), ["request"]);

    let alice = browser();
    let begun = alice.get(world.gateway.at("/saml/demo/login")).send();
    let target = begun.await.unwrap().headers()["location"].clone();
    let page = alice.get(target.to_str().unwrap()).send().await.unwrap();
    let page = page.text().await.unwrap();
    let posted = world
        .idp
        .submit_login(&alice, &page, "alice", "alice-password")
        .await
        .unwrap();
    let reference = refused(&world, &posted.saml_response).await;
    let told = by_reference(&world, &token, &reference, "browser_binding").await;
    assert_eq!(failed(&told), ["browser_binding"]);

    let mut stranger = world.plan();
    stranger.issuer = "https://stranger.example/".to_owned();
    let reference = refused(&world, &world.idp.sign(&stranger)).await;
    let told = by_reference(&world, &token, &reference, "issuer").await;
    assert_eq!(failed(&told), ["issuer"]);

    let reference = refused(&world, "%%%").await;
    let told = by_reference(&world, &token, &reference, "form").await;
    assert_eq!(failed(&told), ["form"]);
    let found = told["checks"][0]["found"].as_str().unwrap();
    assert!(found.starts_with("not_base64: "), "{told}");

    let refusing = World::with(Setting {
        idp_lines: "idp_initiated = \"refuse\"",
        ..Setting::default()
    })
    .await;
    let token = auditor(&refusing).await;
    let reference = refused(&refusing, &refusing.response()).await;
    let told = by_reference(&refusing, &token, &reference, "request").await;
    assert_eq!(failed(&told), ["request"]);
    let mend = find(&told, "request").unwrap()["mend"].as_str().unwrap();
    assert!(mend.contains("/saml/demo/login"), "{mend}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_held_against_the_store_and_nothing_is_consumed() {
    let world = World::start().await;
    let here = world.folder.path();
    let explain = async |file: &str, more: &[&str]| {
        let base = ["explain", file, "--json"];
        let ended = world.gateway.command(&[&base[..], more].concat()).await;
        (ended.status.code().unwrap(), json_of(&ended.stdout))
    };
    let good = world.response();
    std::fs::write(here.join("good.txt"), &good).unwrap();
    for _ in 0..2 {
        let (code, told) = explain("good.txt", &[]).await;
        assert_eq!((code, failed(&told).len()), (0, 0), "{told}");
        assert_eq!(find(&told, "replay").unwrap()["found"], "new");
        assert_eq!(find(&told, "request").unwrap()["found"], "none is named");
    }
    assert_eq!(world.post(&good).await.0, StatusCode::OK);
    let (code, told) = explain("good.txt", &[]).await;
    assert_eq!((code, failed(&told)), (1, vec!["replay"]));
    let found = find(&told, "replay").unwrap()["found"].as_str().unwrap();
    assert!(found.starts_with("accepted at 2"), "{found}");
    let now = rolegate::model::rfc3339(world.plan().issue_instant);
    let (code, told) = explain("good.txt", &["--at", &now]).await;
    assert_eq!(code, 0, "{told}");
    for check in ["request", "replay"] {
        assert_eq!(find(&told, check).unwrap()["found"], "not checked");
    }

    let mut unasked = world.plan();
    unasked.in_response_to = Some("_0123456789abcdef0123456789abcdef".to_owned());
    std::fs::write(here.join("unasked.txt"), world.idp.sign(&unasked)).unwrap();
    let (code, told) = explain("unasked.txt", &[]).await;
    assert_eq!((code, failed(&told)), (1, vec!["request"]));

    let mut poor = world.plan();
    poor.attributes.retain(|(name, _)| !name.ends_with("/Role"));
    std::fs::write(here.join("poor.txt"), world.idp.sign(&poor)).unwrap();
    let (code, told) = explain("poor.txt", &[]).await;
    assert_eq!(code, 0, "no role refuses nobody: {told}");
    let mend = find(&told, "roles").unwrap()["mend"].as_str().unwrap();
    assert!(mend.contains("user.assignedroles"), "{mend}");

    for (bytes, check) in [
        (&b"what is this?"[..], "form"),
        (b"", "form"),
        (b"<html/>", "names"),
        (b"<a>\xff</a>", "characters"),
    ] {
        std::fs::write(here.join("odd.txt"), bytes).unwrap();
        let (code, told) = explain("odd.txt", &[]).await;
        assert_eq!((code, failed(&told)), (1, vec![check]), "{told}");
        assert_eq!(told["decisions"], json!([]));
    }
    let missing = world.gateway.command(&["explain", "none.txt"]).await;
    assert_eq!(missing.status.code(), Some(1));
    let both = ["explain", "good.txt", "--user", "alice"];
    assert_eq!(world.gateway.command(&both).await.status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_takes_one_question_of_those_who_may_ask() {
    let world = World::with(Setting {
        roles: vec![pair("reader"), pair("admin")],
        ..Setting::default()
    })
    .await;
    let token = auditor(&world).await;
    let ask = async |question: Value| world.api("POST", EXPLAIN, &token, Some(question)).await;
    let (status, told) = ask(json!({ "user": "alice" })).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(failed(&told), ["session"], "nobody signed in yet");
    let response = world.response();
    let (status, told) = ask(json!({ "saml_response": response })).await;
    assert_eq!((status, failed(&told).len()), (StatusCode::OK, 0), "{told}");
    world.sign_in().await;
    let (_, told) = ask(json!({ "user": "alice", "idp": "demo" })).await;
    assert_eq!(told["decisions"].as_array().unwrap().len(), 2);
    let local = ["explain", "--user", "alice", "--json"];
    let local = world.gateway.command(&local).await.good();
    assert_eq!(
        json_of(&local),
        told,
        "to the letter what the command prints"
    );
    let (_, told) = ask(json!({ "user": "alice", "role_arn": role("admin") })).await;
    assert_eq!(told["decisions"][0]["granted"], false);
    let reasons = told["decisions"][0]["reasons"][0].as_str().unwrap();
    assert!(reasons.contains("rolegate roles allow"), "{reasons}");
    let (_, told) = ask(json!({ "user": "alice", "role_arn": role("late") })).await;
    let reasons = told["decisions"][0]["reasons"][0].as_str().unwrap();
    assert!(reasons.contains("does not offer"), "{reasons}");
    for bad in [
        json!({}),
        json!({ "idp": "demo" }),
        json!({ "user": "alice", "reference": "ref_1" }),
        json!({ "saml_response": response, "user": "alice" }),
        json!({ "reference": "ref_1", "idp": "demo" }),
        json!({ "reference": "nonsense" }),
        json!({ "user": "alice", "colour": "red" }),
    ] {
        let (status, told) = ask(bad.clone()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{bad}: {told}");
    }
    let (status, told) = ask(json!({ "reference": "ref_unknown" })).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(told["title"].as_str().unwrap().contains("30 days"));
    let unknown = ["explain", "--reference", "ref_unknown"];
    let unknown = world.gateway.command(&unknown).await;
    assert_eq!(unknown.status.code(), Some(1));
    assert!(unknown.stderr.contains("30 days"), "{}", unknown.stderr);

    let url = world.gateway.at("");
    let here = world.folder.path();
    let asked = ["explain", "--user", "alice", "--url", &url];
    let tokenless = command(here, &asked, &[]).await;
    assert_eq!(tokenless.status.code(), Some(2));
    assert!(tokenless.stderr.contains("ROLEGATE_TOKEN"));
    let launcher = world.launcher().await;
    let wrong = command(here, &asked, &[("ROLEGATE_TOKEN", &launcher)]).await;
    assert_eq!(wrong.status.code(), Some(1));
    let right = command(here, &asked, &[("ROLEGATE_TOKEN", &token)]).await;
    assert!(right.good().contains("DENIED"));
    let clear = [
        "explain",
        "--user",
        "alice",
        "--url",
        "http://gate.example.org",
    ];
    let clear = command(here, &clear, &[("ROLEGATE_TOKEN", &token)]).await;
    assert_eq!(clear.status.code(), Some(2));
    assert!(clear.stderr.contains("https"), "{}", clear.stderr);
    let unset = [("ROLEGATE_URL", "")];
    let local = ["explain", "--user", "alice"];
    command(here, &local, &unset).await.good();
}

/// A browser in which the person of `plan` is signed in.
async fn enter(world: &World, user: &str, group: &str) -> Client {
    let mut plan = world.plan();
    for (name, values) in &mut plan.attributes {
        if name == SESSION_NAME {
            *values = vec![user.to_owned()];
        } else if name == "groups" {
            *values = vec![group.to_owned()];
        }
    }
    let client = browser();
    let answer = client
        .post(world.gateway.at("/saml/acs"))
        .form(&[("SAMLResponse", world.idp.sign(&plan))])
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    client
}

async fn open(world: &World, client: &Client, path: &str) -> (StatusCode, String) {
    let answer = client.get(world.gateway.at(path)).send().await.unwrap();
    (answer.status(), answer.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_for_admins_and_escapes_what_it_shows() {
    let admins =
        "[admin]\nidp = \"demo\"\nusers = [\"carol\"]\nwhen = { \"groups\" = \"aws-admins\" }\n";
    let world = World::with(Setting {
        idp_lines: "idp_initiated = \"allow\"",
        tables: admins.to_owned(),
        ..Setting::default()
    })
    .await;
    let mut plan = world.plan();
    plan.audiences = vec!["<script>alert(1)</script>".to_owned()];
    plan.destination = Some("https://elsewhere.example/acs".to_owned());
    let reference = refused(&world, &world.idp.sign(&plan)).await;
    let token = auditor(&world).await;
    by_reference(&world, &token, &reference, "audience").await;
    let path = format!("/admin/explain?reference={reference}");
    for (user, group) in [("carol", "science"), ("dave", "aws-admins")] {
        let admin = enter(&world, user, group).await;
        let (_, portal) = open(&world, &admin, "/").await;
        assert!(portal.contains("/admin/explain"), "{user}");
        let (status, form) = open(&world, &admin, "/admin/explain").await;
        assert_eq!(status, StatusCode::OK);
        assert!(form.contains("Reference") && !form.contains("<table"));
        let (status, page) = open(&world, &admin, &path).await;
        assert_eq!(status, StatusCode::OK);
        assert!(page.contains("Refused: audience"), "{page}");
        assert!(page.contains("Audience URI (SP Entity ID)"), "{page}");
        assert!(page.contains(&role("reader")), "decisions: {page}");
        assert!(
            page.contains("alert(1)") && !page.contains("<script"),
            "{page}"
        );
        assert!(!page.contains("style="), "{page}");
        let unknown = "/admin/explain?reference=ref_unknown";
        let (status, page) = open(&world, &admin, unknown).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert!(page.contains("30 days"), "{page}");
        let odd = "/admin/explain?reference=%22%3E%3Cb%3E";
        let (status, page) = open(&world, &admin, odd).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(!page.contains("<b>"), "{page}");
    }
    let bob = enter(&world, "bob", "science").await;
    for path in ["/admin/explain", path.as_str()] {
        let (status, page) = open(&world, &bob, path).await;
        assert_eq!(status, StatusCode::FORBIDDEN);
        assert!(!page.contains("audience"), "{page}");
    }
    let (status, portal) = open(&world, &bob, "/").await;
    assert_eq!(status, StatusCode::OK);
    assert!(!portal.contains("/admin/explain"), "{portal}");
    let (status, _) = open(&world, &browser(), &path).await;
    assert_eq!(status, StatusCode::SEE_OTHER, "nobody goes to the sign-in");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_strangers_leaves_room_for_who_is_refused_after_it() {
    let world = World::start().await;
    let token = auditor(&world).await;
    let mut unsigned = world.plan();
    unsigned.sign = Sign::None;
    let unsigned = world.idp.sign(&unsigned);
    let (client, acs) = (Client::new(), world.gateway.at("/saml/acs"));
    let form = [("SAMLResponse", unsigned.as_str())];
    let posts = (0..200).map(|_| client.post(&acs).form(&form).send());
    let answers = futures_util::future::join_all(posts).await.into_iter();
    let answers: Vec<_> = answers.map(|answer| answer.unwrap().status()).collect();
    // Who has waited five seconds for a turn is told to come again, which a slow machine may make so.
    let busy = StatusCode::SERVICE_UNAVAILABLE;
    let count = |wanted| answers.iter().filter(|status| **status == wanted).count();
    let refused_at_once = count(StatusCode::FORBIDDEN);
    assert!(refused_at_once > 20, "{answers:?}");
    assert_eq!(refused_at_once + count(busy), 200, "{answers:?}");
    let mut plan = world.plan();
    plan.audiences = vec!["urn:other".to_owned()];
    // The queue is short on purpose: who comes while it is full is in the audit alone.
    let response = world.idp.sign(&plan);
    tokio::time::timeout(Duration::from_mins(2), async {
        loop {
            let reference = refused(&world, &response).await;
            let by = json!({ "reference": reference });
            tokio::time::sleep(Duration::from_millis(200)).await;
            let (_, told) = world.api("POST", EXPLAIN, &token, Some(by)).await;
            if failed(&told) == ["audience"] && told["checks"].as_array().unwrap().len() > 20 {
                break;
            }
        }
    })
    .await
    .unwrap();
    world.gateway.command(&["audit", "verify"]).await.good();
}

/// Status, headers and body of a refusal, without its reference and the time.
async fn seen(world: &World, response: &str, accept: &str) -> (StatusCode, Vec<String>, String) {
    let answer = Client::new()
        .post(world.gateway.at("/saml/acs"))
        .header("Accept", accept)
        .form(&[("SAMLResponse", response)])
        .send()
        .await
        .unwrap();
    let status = answer.status();
    let headers = answer.headers().iter();
    let headers = headers.filter(|(name, _)| name.as_str() != "date");
    // Their order is random in this server, whatever it answers.
    let mut headers: Vec<String> = headers
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    headers.sort_unstable();
    let body = answer.text().await.unwrap();
    let (_, after) = body.split_once("ref_").expect(&body);
    let reference: String = after
        .chars()
        .take_while(char::is_ascii_alphanumeric)
        .collect();
    let body = body.replace(&reference, "");
    (status, headers, body)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_cannot_tell_refusals_apart() {
    let world = World::start().await;
    let other = World::start().await;
    let plan = |change: fn(&mut rolegate::demo::idp::ResponsePlan)| {
        let mut plan = world.plan();
        change(&mut plan);
        plan
    };
    let hours = chrono::TimeDelta::hours(1);
    let mut expired = world.plan();
    expired.not_before -= hours;
    expired.not_on_or_after -= hours;
    let replayed = world.response();
    assert_eq!(world.post(&replayed).await.0, StatusCode::OK);
    let bomb = "<!DOCTYPE a [<!ENTITY b \"bbbbbbbb\"><!ENTITY c \"&b;&b;&b;&b;\">]><a>&c;</a>";
    let responses = [
        (
            "unsigned",
            world.idp.sign(&plan(|plan| plan.sign = Sign::None)),
        ),
        ("other key", other.idp.sign(&world.plan())),
        ("replayed", replayed),
        ("expired", world.idp.sign(&expired)),
        (
            "audience",
            world
                .idp
                .sign(&plan(|plan| plan.audiences = vec!["urn:x".to_owned()])),
        ),
        (
            "unknown issuer",
            world
                .idp
                .sign(&plan(|plan| plan.issuer = "https://x.example/".to_owned())),
        ),
        (
            "unknown request",
            world
                .idp
                .sign(&plan(|plan| plan.in_response_to = Some("_none".to_owned()))),
        ),
        ("bomb", encode_block(bomb.as_bytes())),
        ("no XML", encode_block(b"this is no XML")),
    ];
    for accept in ["text/html", "application/json"] {
        let mut first = None;
        for (name, response) in &responses {
            let answer = seen(&world, response, accept).await;
            assert_eq!(answer.0, StatusCode::FORBIDDEN, "{name}");
            let first = first.get_or_insert_with(|| answer.clone());
            assert_eq!(*first, answer, "{name} as {accept}");
        }
        let (_, _, body) = first.unwrap();
        assert!(body.contains("administrator"), "{body}");
    }
    assert!(
        world.sts.calls_for(&role("reader")) == 1,
        "the one good post"
    );
}
