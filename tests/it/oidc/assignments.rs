//! Roles that admins assign to people whose ID tokens name none.

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::stage::{Plan, Stage, offering};
use crate::gateway::role;

#[tokio::test(flavor = "multi_thread")]
async fn an_assignment_is_used_until_the_provider_names_a_role() {
    let accounts = json!({ "carol": {} });
    let stage = Stage::start(Plan::new(accounts), &["reader", "writer"]).await;
    let me = stage.sign_in("carol").await;
    assert_eq!(me["grants"], json!([]), "{me}");
    let session = me["session_token"].as_str().unwrap().to_owned();
    let explained = stage.gateway.command(&["explain", "--user", "carol"]).await;
    assert!(explained.good().contains("no role is offered"));
    let reader = role("reader");
    let set = [
        "users",
        "set-role-arns",
        "carol",
        &reader,
        "--reason",
        "a test",
    ];
    stage.gateway.command(&set).await.good();
    // Who is signed in already has it too, soon.
    let granted = async |session: &str| -> Vec<Value> {
        let (status, me) = stage.api("GET", "/api/v1/me", session, None).await;
        assert_eq!(status, StatusCode::OK, "{me}");
        let grants = me["grants"].as_array().unwrap().iter();
        grants.map(|grant| grant["role_arn"].clone()).collect()
    };
    let mut ticks = tokio::time::interval(std::time::Duration::from_millis(50));
    for _ in 0..1200 {
        ticks.tick().await;
        if granted(&session).await == [json!(reader)] {
            break;
        }
    }
    assert_eq!(granted(&session).await, [json!(reader)]);
    let launcher = stage.gateway.launcher().await;
    let lease = stage.lease(&launcher, "carol", "reader").await;
    let (status, credentials) = stage.fetched(&lease).await;
    assert_eq!(
        status,
        StatusCode::OK,
        "{credentials}\n{}",
        stage.gateway.log()
    );
    let me = stage.sign_in("carol").await;
    assert_eq!(
        me["grants"][0]["role_arn"],
        json!(reader),
        "a sign-in without a role uses it"
    );
    let get = ["users", "get-role-arns", "carol"];
    assert!(stage.gateway.command(&get).await.good().contains(&reader));

    stage.op().set_claims("carol", offering(&["writer"])).await;
    let me = stage.sign_in("carol").await;
    assert_eq!(me["grants"].as_array().unwrap().len(), 1, "{me}");
    assert_eq!(me["grants"][0]["role_arn"], json!(role("writer")));
    let (status, refused) = stage.fetch(&lease).await;
    assert_eq!(
        (status, &refused["code"]),
        (StatusCode::FORBIDDEN, &json!("not_offered")),
        "{refused}"
    );
    let left = stage.gateway.command(&get).await;
    assert!(!left.stdout.contains(&reader), "{}", left.stdout);
    for kind in ["assignment_set", "assignment_overwritten"] {
        let events = stage.events(kind).await;
        assert_eq!(events.len(), 1, "{kind}");
        assert!(events[0].to_string().contains("carol"), "{events:?}");
    }
    stage.op().set_claims("carol", json!({})).await;
    let me = stage.sign_in("carol").await;
    assert_eq!(me["grants"], json!([]), "it is gone for good");
}
