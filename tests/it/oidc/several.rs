//! Providers beside each other, and beside SAML.

use std::sync::Arc;

use reqwest::StatusCode;
use rolegate::demo::idp::{DemoIdp, IdpSettings};
use rolegate::model::{OsEntropy, SystemClock};
use serde_json::{Value, json};

use super::stage::{Plan, Stage, offering};
use crate::gateway::{AUDIENCE, role};
use crate::parts::oidc_provider::browser;

const NESTED: &str = "role_claim = \"resource_access.rolegate.roles\"\nsession_name_claim = \"/names/0\"\n\
    duration_claim = \"https://example.org/duration\"\n";

/// Metadata of a SAML IdP: nobody signs in there.
async fn metadata() -> String {
    let idp = DemoIdp::start(IdpSettings {
        entity_id: Some("https://saml.example.org".to_owned()),
        acs_url: "http://127.0.0.1:9/saml/acs".to_owned(),
        sp_entity_id: AUDIENCE.to_owned(),
        users: Vec::new(),
        key: None,
        clock: Arc::new(SystemClock),
        entropy: Arc::new(OsEntropy),
    });
    idp.await.unwrap().metadata().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_providers_and_saml_stand_beside_each_other() {
    let first = Plan::new(json!({ "alice": offering(&["reader"]) }));
    let second = Plan {
        name: "deep",
        lines: NESTED,
        ..Plan::new(json!({ "alice-7": {
            "names": ["alice", "liz"], "https://example.org/duration": "1800",
            "resource_access": { "rolegate": { "roles": [role("reader"), role("writer")] } },
        } }))
    };
    let metadata = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(metadata.path(), self::metadata().await).unwrap();
    let saml = format!(
        "[[saml.idp]]\nname = \"okta\"\nmetadata_file = \"{}\"\n",
        metadata.path().display()
    );
    let stage = Stage::with(vec![first, second], &["reader", "writer"], &saml).await;

    let client = browser();
    let chooser = client.get(stage.gateway.at("/login?return_to=/x")).send();
    let chooser = chooser.await.unwrap().text().await.unwrap();
    for name in ["op", "deep", "okta"] {
        assert!(
            chooser.contains(&format!("Sign in with {name}")),
            "{chooser}"
        );
    }
    for href in ["/oidc/op/login?", "/oidc/deep/login?", "/saml/okta/login?"] {
        assert!(
            chooser.contains(&format!("href=\"{href}")),
            "{href} {chooser}"
        );
    }
    let listed = stage
        .gateway
        .command(&["idps", "list", "--json"])
        .await
        .good();
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 3, "{listed}");

    let alice = stage.sign_in("alice").await;
    assert_eq!(
        (&alice["user"], &alice["idp"]),
        (&json!("alice"), &json!("op"))
    );
    let (status, deep) = stage.try_sign_in("deep", "alice-7").await;
    assert_eq!(status, StatusCode::OK, "{deep}\n{}", stage.gateway.log());
    assert_eq!(
        (&deep["user"], &deep["idp"]),
        (&json!("alice"), &json!("deep"))
    );
    let grants = deep["grants"].as_array().unwrap();
    assert_eq!(grants.len(), 2, "{deep}");
    assert!(
        grants.iter().all(|grant| grant["duration_seconds"] == 1800),
        "{deep}"
    );
    assert_eq!(alice["grants"].as_array().unwrap().len(), 1, "{alice}");

    // The same name at two providers is two people.
    let launcher = stage.gateway.launcher().await;
    let mut order = json!({ "user": "alice", "role_arn": role("reader"), "job": "job" });
    let lease = async |order: &Value| {
        let order = Some(order.clone());
        stage.api("POST", "/api/v1/leases", &launcher, order).await
    };
    let (status, problem) = lease(&order).await;
    assert_eq!(
        (status, &problem["code"]),
        (StatusCode::CONFLICT, &json!("user_ambiguous")),
        "{problem}"
    );
    for idp in ["op", "deep"] {
        order["idp"] = json!(idp);
        let (status, lease) = lease(&order).await;
        assert_eq!(status, StatusCode::CREATED, "{lease}");
        let got = stage
            .fetch_until(&lease, |status, _| status == StatusCode::OK)
            .await;
        assert_eq!(got["RoleArn"], role("reader"));
    }
    let sessions = stage.sts.issued_for(&role("reader"));
    assert_eq!(sessions.len(), 2, "each by its own provider's token");

    // An answer of one provider at the other's callback is refused.
    let url = stage.begin(&client, "/oidc/op/login").await;
    let back = stage.op().sign_in(&client, &url, "alice").await;
    let swapped = back.replace("/oidc/op/callback", "/oidc/deep/callback");
    let (status, problem) = stage.call_back(&client, &swapped).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{problem}");
}
