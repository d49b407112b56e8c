//! What an ID token says, and what becomes of it.

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::stage::{Plan, Stage, offering};
use crate::gateway::role;
use crate::parts::oidc_provider::browser;

fn arns(list: &Value) -> Vec<&str> {
    let list = list.as_array().unwrap().iter();
    list.map(|item| item["role_arn"].as_str().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_of_every_shape_become_what_they_say() {
    let accounts = json!({
        "alice": offering(&["reader", "writer", "admin"]),
        "bob": { "aws_role_arn": role("reader"), "email": "Bob@example.org", "email_verified": false },
        "carol": { "aws_role_arn": [], "email": "carol@example.org", "email_verified": true },
        "dave": {
            "aws_role_arn": format!("{},{}", role("reader"), role("writer")),
            "aws_role_session_name": "dave.of-science", "aws_session_duration": 1800,
        },
        "erin": { "email": "erin@example.org", "email_verified": "true" },
        "frank": { "aws_role_arn": [role("reader"), "arn:aws:iam::123456789012:user/x"] },
        "grace": { "aws_role_arn": role("reader"), "aws_session_duration": "7200" },
    });
    let stage = Stage::start(Plan::new(accounts), &["reader", "writer"]).await;
    let (reader, writer, admin) = (role("reader"), role("writer"), role("admin"));
    let bad = "arn:aws:iam::123456789012:user/x".to_owned();
    // The account, its user, the roles granted, those denied, seconds.
    let people = [
        (
            "alice",
            "alice",
            &[&reader, &writer][..],
            &[&admin][..],
            3600,
        ),
        ("bob", "bob", &[&reader], &[], 3600),
        ("carol", "carol@example.org", &[], &[], 0),
        ("dave", "dave.of-science", &[&reader, &writer], &[], 1800),
        ("erin", "erin@example.org", &[], &[], 0),
        ("frank", "frank", &[&reader], &[&bad], 3600),
        ("grace", "grace", &[&reader], &[], 7200),
    ];
    for (account, user, granted, denied, seconds) in people {
        let me = stage.sign_in(account).await;
        assert_eq!(
            (&me["user"], &me["idp"]),
            (&json!(user), &json!("op")),
            "{me}"
        );
        assert_eq!(arns(&me["grants"]), granted, "{me}");
        assert_eq!(arns(&me["denied"]), denied, "{me}");
        for grant in me["grants"].as_array().unwrap() {
            assert_eq!(grant["method"], "web-identity", "{me}");
            assert_eq!(grant["duration_seconds"], seconds, "{me}");
        }
    }
    let launcher = stage.gateway.launcher().await;
    let lease = stage.lease(&launcher, "dave.of-science", "writer").await;
    assert_eq!(lease["method"], "web-identity");
    let (status, credentials) = stage.fetched(&lease).await;
    assert_eq!(
        status,
        StatusCode::OK,
        "{credentials}\n{}",
        stage.gateway.log()
    );
    let sessions = stage.sts.issued_for(&writer);
    let [session] = sessions.as_slice() else {
        panic!("{} sessions", sessions.len());
    };
    assert!(
        session
            .arn
            .ends_with(":assumed-role/writer/dave.of-science")
    );
    assert_eq!(
        (session.expires_at - session.issued_at)
            .num_minutes()
            .max(29),
        29
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_is_no_user_or_no_duration_refuses_and_explains() {
    let accounts = json!({
        "blank": { "aws_role_session_name": "b lank", "email": "b@example.org", "email_verified": true },
        "number": { "aws_role_session_name": 7 },
        "auth0|5f7c8ec7c33c6c004bbafe82": offering(&["reader"]),
        "long": { "aws_session_duration": 43201 },
        "part": { "aws_session_duration": 900.5 },
    });
    let stage = Stage::start(Plan::new(accounts), &["reader"]).await;
    // The account, and what the mend names.
    for (account, named) in [
        ("blank", "aws_role_session_name"),
        ("number", "aws_role_session_name"),
        ("auth0|5f7c8ec7c33c6c004bbafe82", "session_name_claim"),
        ("long", "duration claim"),
        ("part", "duration claim"),
    ] {
        let (status, problem) = stage.try_sign_in("op", account).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{account}: {problem}");
        let reference = problem["reference"].as_str().unwrap();
        let text = problem.to_string();
        assert!(!text.contains("claim") && !text.contains("aws_"), "{text}");
        let explained = ["explain", "--reference", reference];
        let explained = stage.gateway.command(&explained).await;
        let told = explained.stdout + &explained.stderr;
        assert!(told.contains(named), "{account}: {told}");
    }
    assert!(stage.sts.calls().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_says_no_and_a_callback_that_comes_twice_are_refused_alike() {
    let accounts = json!({ "alice": offering(&["reader"]) });
    let stage = Stage::start(Plan::new(accounts), &["reader"]).await;
    let client = browser();
    let url = stage.begin(&client, "/oidc/op/login").await;
    let back = stage.op().deny(&client, &url).await;
    let (status, denied) = stage.call_back(&client, &back).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{denied}");
    let back = stage
        .callback(&client, "/oidc/op/login", "op", "alice")
        .await;
    let (status, elsewhere) = stage.call_back(&browser(), &back).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "another browser's");
    let back = stage
        .callback(&client, "/oidc/op/login", "op", "alice")
        .await;
    let (status, me) = stage.call_back(&client, &back).await;
    assert_eq!(status, StatusCode::OK, "{me}");
    let (status, again) = stage.call_back(&client, &back).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    for mut problem in [denied, elsewhere, again.clone()] {
        assert_ne!(problem["reference"], again["code"]);
        problem["reference"] = again["reference"].clone();
        assert_eq!(problem, again, "one answer for all");
    }
}
