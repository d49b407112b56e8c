//! Sign-in through an OpenID provider, beside a SAML one, from the chooser to the way out.

mod party;

use reqwest::{Client, StatusCode, redirect::Policy};
use serde_json::{Value, json};

use crate::gateway::{Setting, World, role};
use party::{CLIENT, Fault, Party};

const ROLE: &str = "reader";

async fn start() -> (World, Party) {
    let party = Party::start().await;
    party.says(json!({ "aws_role_arn": role(ROLE), "aws_role_session_name": "alice" }));
    let world = World::with(Setting {
        tables: format!(
            "[[oidc.provider]]\nname = \"party\"\nissuer = \"{}\"\nclient_id = \"{CLIENT}\"\nclient_secret = \"hush-hush\"\n",
            party.issuer
        ),
        ..Setting::default()
    })
    .await;
    (world, party)
}

fn browser() -> Client {
    let builder = Client::builder().cookie_store(true);
    builder.redirect(Policy::none()).build().unwrap()
}

fn location(answer: &reqwest::Response) -> String {
    answer.headers()["location"].to_str().unwrap().to_owned()
}

async fn get(client: &Client, url: &str) -> reqwest::Response {
    client.get(url).send().await.unwrap()
}

/// Goes to the provider and takes its answer; gives the callback's address, which is not visited.
async fn there(world: &World, client: &Client, query: &str) -> String {
    let start = world.gateway.at(&format!("/oidc/party/login{query}"));
    let start = get(client, &start).await;
    assert_eq!(start.status(), StatusCode::SEE_OTHER);
    let callback = location(&get(client, &location(&start)).await);
    let wanted = world.gateway.at("/oidc/party/callback?");
    assert!(callback.starts_with(&wanted), "{callback}");
    callback
}

/// Signs in as a program does.
async fn as_program(world: &World) -> (StatusCode, Value) {
    let client = browser();
    let callback = there(world, &client, "").await;
    let asked = client.get(&callback).header("Accept", "application/json");
    let answer = asked.send().await.unwrap();
    let cookies: Vec<_> = answer.headers().get_all("set-cookie").iter().collect();
    assert!(cookies.is_empty(), "{cookies:?}");
    (answer.status(), answer.json().await.unwrap())
}

fn assert_hides(party: &Party, text: &str) {
    for secret in party.given() {
        assert!(!text.contains(&secret), "a token is shown");
    }
    assert!(!text.contains("hush-hush"), "the client secret is shown");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_chooses_signs_in_and_signs_out() {
    let (world, party) = start().await;
    let alice = browser();
    let chooser = get(&alice, &world.gateway.at("/login?return_to=/x")).await;
    let chooser = chooser.text().await.unwrap();
    for wanted in [
        "/saml/demo/login",
        "/oidc/party/login",
        "Sign in with party",
    ] {
        assert!(chooser.contains(wanted), "{chooser}");
    }
    let callback = there(&world, &alice, "?return_to=/%3Ffrom=job").await;
    let stranger = get(&browser(), &callback).await;
    assert_eq!(
        stranger.status(),
        StatusCode::FORBIDDEN,
        "another browser's"
    );
    let answer = get(&alice, &callback).await;
    assert_eq!(
        (answer.status(), location(&answer).as_str()),
        (StatusCode::SEE_OTHER, "/?from=job")
    );
    assert_eq!(answer.headers()["referrer-policy"], "no-referrer");
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let again = get(&alice, &callback).await;
    assert_eq!(again.status(), StatusCode::FORBIDDEN, "used");
    let portal = get(&alice, &world.gateway.at("/")).await;
    let portal = portal.text().await.unwrap();
    assert!(portal.contains(&role(ROLE)), "{portal}");
    assert_hides(&party, &portal);

    let after = portal.split_once("name=\"csrf\" value=\"").unwrap().1;
    let csrf = after.split_once('"').unwrap().0;
    let out = alice
        .post(world.gateway.at("/logout"))
        .header("Origin", world.gateway.at(""))
        .form(&[("csrf", csrf)]);
    let page = out.send().await.unwrap().text().await.unwrap();
    assert_hides(&party, &page);
    let after = page
        .split_once("href=\"/oidc/party/logout?")
        .expect(&page)
        .1;
    let path = format!("/oidc/party/logout?{}", after.split_once('"').unwrap().0);
    let leave = world.gateway.at(&path);
    assert_eq!(location(&get(&browser(), &leave).await), "/login");
    let end = url::Url::parse(&location(&get(&alice, &leave).await)).unwrap();
    assert!(end.as_str().starts_with(&format!("{}/end?", party.issuer)));
    let said: std::collections::HashMap<_, _> = end.query_pairs().collect();
    assert_eq!(said["client_id"], CLIENT);
    // AWS would still take it, from whoever reads the address.
    assert!(!said.contains_key("id_token_hint"));
    assert_hides(&party, end.as_str());
    assert_eq!(said["post_logout_redirect_uri"], world.gateway.at("/login"));
    assert_eq!(location(&get(&alice, &leave).await), "/login", "once");
    let portal = get(&alice, &world.gateway.at("/")).await;
    assert_eq!(location(&portal), "/login");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_gets_what_the_person_has_and_what_is_assigned() {
    let (world, party) = start().await;
    let (status, me) = as_program(&world).await;
    assert_eq!(status, StatusCode::OK, "{me}");
    assert_eq!(
        (&me["user"], &me["idp"]),
        (&json!("alice"), &json!("party"))
    );
    let token = me["session_token"].as_str().unwrap();
    let (status, again) = world.api("GET", "/api/v1/me", token, None).await;
    assert_eq!((status, &again["denied"]), (StatusCode::OK, &me["denied"]));
    assert_eq!(again["denied"][0]["role_arn"], role(ROLE), "{again}");
    assert_hides(&party, &me.to_string());

    party.says(json!({ "aws_role_session_name": "alice" }));
    let assign = [
        "users",
        "set-role-arns",
        "alice",
        &role("writer"),
        "--idp",
        "party",
    ];
    world.gateway.command(&assign).await.good();
    let (_, me) = as_program(&world).await;
    assert_eq!(me["denied"][0]["role_arn"], role("writer"), "{me}");
    party.says(json!({ "aws_role_arn": [role(ROLE)], "aws_role_session_name": "alice" }));
    let (_, me) = as_program(&world).await;
    assert_eq!(me["denied"].as_array().unwrap().len(), 1, "{me}");
    assert_eq!(me["denied"][0]["role_arn"], role(ROLE));
    let audit = world.gateway.command(&["audit", "export"]).await.good();
    assert!(audit.contains("\"assignment_overwritten\""), "{audit}");
    assert_hides(&party, &audit);
    world.gateway.command(&["audit", "verify"]).await.good();
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_look_alike_outside_and_differ_inside() {
    let (world, party) = start().await;
    let faults = [
        (Fault::Denies, "provider_error"),
        (Fault::NamesAnother, "mix_up"),
        (Fault::Nonce, "nonce"),
        (Fault::Audience, "audience"),
        (Fault::Grant, "invalid_grant"),
        (Fault::Key, "key_unknown"),
    ];
    for (fault, code) in faults {
        party.has(fault);
        let (status, mut problem) = as_program(&world).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{problem}");
        let reference = problem["reference"].take();
        let wanted = json!({
            "type": "about:blank",
            "title": "The sign-in was refused. Give the reference to an administrator, who can see why.",
            "status": 403,
            "code": "sign_in_refused",
            "reference": null,
        });
        assert_eq!(problem, wanted);
        let reference = reference.as_str().unwrap();
        let asked = ["explain", "--reference", reference, "--json"];
        let explained = world.gateway.command(&asked).await;
        assert_eq!(explained.status.code(), Some(1), "{}", explained.stderr);
        let explained: Value = serde_json::from_str(&explained.stdout).unwrap();
        let check = &explained["checks"][0];
        assert_eq!(
            (&check["check"], &check["ok"]),
            (&json!(code), &json!(false))
        );
        assert!(!check["mend"].as_str().unwrap().is_empty(), "{check}");
    }
    party.has(Fault::Away);
    let (status, problem) = as_program(&world).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(problem["code"], "provider_away");
    party.has(Fault::None);
    assert_eq!(as_program(&world).await.0, StatusCode::OK, "the good twin");
    // The sign-in that was accepted is recorded behind those that were not.
    let audit = world.gateway.command(&["audit", "export"]).await.good();
    let refusals = audit
        .lines()
        .filter(|line| line.contains("\"sign_in_refused\""));
    assert_eq!(refusals.clone().count(), faults.len());
    assert!(refusals.into_iter().all(|line| line.contains("\"party\"")));
    let query = "/oidc/party/callback?state=nobodys&code=x";
    let strange = get(&browser(), &world.gateway.at(query)).await;
    assert_eq!(strange.status(), StatusCode::FORBIDDEN);
    assert!(strange.text().await.unwrap().contains("Reference"));
    let unknown = get(&browser(), &world.gateway.at("/oidc/nobody/login")).await;
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
    assert_hides(&party, &world.gateway.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_stands_beside_the_idps_in_lists_and_in_check() {
    let (world, party) = start().await;
    let list = ["idps", "list", "--json"];
    let list = world.gateway.command(&list).await.good();
    let list: Value = serde_json::from_str(&list).unwrap();
    let found = |at: usize, key: &str| list[at][key].clone();
    assert_eq!(
        (found(0, "name"), found(0, "protocol")),
        (json!("demo"), json!("saml"))
    );
    assert_eq!(
        (found(1, "name"), found(1, "protocol")),
        (json!("party"), json!("oidc"))
    );
    assert_eq!(
        (found(1, "ready"), found(1, "key_count")),
        (json!(true), json!(1))
    );
    assert_eq!(found(1, "location"), json!(party.issuer));
    let check = world.gateway.command(&["check"]).await.good();
    assert!(check.contains("/oidc/party/callback"), "{check}");
    let ready = get(&browser(), &world.gateway.at("/readyz")).await;
    assert_eq!(ready.status(), StatusCode::OK);
}
