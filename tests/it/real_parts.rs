//! The main job between parts that others wrote: SimpleSAMLphp signs a person in, boto3 is the job.

use reqwest::{Client, StatusCode, redirect::Policy};
use rolegate::demo::sts::SandboxSts;
use serde_json::{Value, json};

use crate::gateway::{Gateway, Setting, configure, free_port, role, sandbox};
use crate::parts::python::run_job;
use crate::parts::simplesamlphp::SimpleSamlPhp;

const PROVIDER: &str = "arn:aws:iam::123456789012:saml-provider/SSP";

struct Stage {
    folder: tempfile::TempDir,
    idp: SimpleSamlPhp,
    sts: SandboxSts,
    gateway: Gateway,
}

async fn set() -> Stage {
    let folder = tempfile::tempdir().unwrap();
    let public_url = format!("http://127.0.0.1:{}", free_port());
    let acs = format!("{public_url}/saml/acs");
    let idp = SimpleSamlPhp::start(&acs);
    let metadata = idp.metadata().await;
    let sts = sandbox(
        &acs,
        PROVIDER,
        &metadata,
        &["data-scientist", "team-a/batch"],
    )
    .await;
    let setting = Setting {
        allowed: [role("data-scientist"), role("team-a/*")].into(),
        ..Setting::default()
    };
    configure(folder.path(), &public_url, "ssp", &metadata, &setting);
    let gateway = Gateway::start(folder.path(), &public_url, sts.url()).await;
    Stage {
        folder,
        idp,
        sts,
        gateway,
    }
}

impl Stage {
    async fn lease(&self, user: &str, name: &str) -> Value {
        let answer = Client::new()
            .post(self.gateway.at("/api/v1/leases"))
            .bearer_auth(self.gateway.launcher().await)
            .json(&json!({ "user": user, "role_arn": role(name), "job": "boto3" }))
            .send()
            .await
            .unwrap();
        let status = answer.status();
        let lease: Value = answer.json().await.unwrap();
        assert_eq!(status, StatusCode::CREATED, "{lease}");
        lease
    }

    /// Runs boto3 with the lease's variables and STS's address alone.
    fn job(&self, lease: &Value) -> Value {
        let env = lease["env"].as_object().unwrap();
        let mut env: Vec<(&str, &str)> = env
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
            .collect();
        env.push(("AWS_ENDPOINT_URL_STS", self.sts.url()));
        let ended = tokio::task::block_in_place(|| run_job("job.py", &env));
        assert!(
            ended.status.success(),
            "{}",
            String::from_utf8_lossy(&ended.stderr)
        );
        serde_json::from_slice(&ended.stdout).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_that_the_idp_began_becomes_credentials_in_boto3() {
    let stage = set().await;
    let posted = stage
        .idp
        .login_idp_initiated("bob", "bob-password", None)
        .await;
    assert_eq!(posted.action, stage.gateway.at("/saml/acs"));
    let answer = Client::new()
        .post(&posted.action)
        .header("Accept", "application/json")
        .form(&[("SAMLResponse", &posted.saml_response)])
        .send()
        .await
        .unwrap();
    let status = answer.status();
    let me: Value = answer.json().await.unwrap();
    assert_eq!(status, StatusCode::OK, "{me}\n{}", stage.gateway.log());
    assert_eq!(me["user"], "bob@example.org");
    assert_eq!(me["grants"].as_array().unwrap().len(), 2, "{me}");
    assert_eq!(me["grants"][0]["duration_seconds"], 7200);
    let lease = stage.lease("bob@example.org", "team-a/batch").await;
    let identity = stage.job(&lease);
    assert_eq!(
        identity["arn"],
        "arn:aws:sts::123456789012:assumed-role/batch/bob@example.org"
    );
    assert_eq!(identity["source"], "container-role");
    assert!(
        identity["seconds_left"].as_i64().unwrap() > 7000,
        "{identity}"
    );
    assert!(stage.folder.path().join("rolegate.db").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_that_we_began_becomes_credentials_in_boto3() {
    let stage = set().await;
    let browser = Client::builder()
        .cookie_store(true)
        .redirect(Policy::none())
        .build()
        .unwrap();
    let start = browser
        .get(stage.gateway.at("/saml/ssp/login"))
        .send()
        .await
        .unwrap();
    assert_eq!(start.status(), StatusCode::SEE_OTHER);
    let target = start.headers()["location"].to_str().unwrap();
    let posted = stage
        .idp
        .login_sp_initiated(target, "alice", "alice-password")
        .await;
    let mut form = vec![("SAMLResponse", posted.saml_response)];
    form.extend(posted.relay_state.map(|state| ("RelayState", state)));
    let stranger = Client::new()
        .post(&posted.action)
        .form(&form)
        .send()
        .await
        .unwrap();
    assert_eq!(
        stranger.status(),
        StatusCode::FORBIDDEN,
        "another browser's"
    );
    let answer = browser
        .post(&posted.action)
        .form(&form)
        .send()
        .await
        .unwrap();
    assert_eq!(
        answer.status(),
        StatusCode::SEE_OTHER,
        "{}",
        stage.gateway.log()
    );
    let portal = browser
        .get(stage.gateway.at("/"))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(portal.contains(&role("data-scientist")), "{portal}");
    let lease = stage.lease("alice@example.org", "data-scientist").await;
    let identity = stage.job(&lease);
    assert_eq!(
        identity["arn"],
        "arn:aws:sts::123456789012:assumed-role/data-scientist/alice@example.org"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_without_roles_gets_an_empty_portal_that_says_so() {
    let stage = set().await;
    let posted = stage
        .idp
        .login_idp_initiated("carol", "carol-password", None)
        .await;
    let answer = Client::new()
        .post(&posted.action)
        .header("Accept", "application/json")
        .form(&[("SAMLResponse", &posted.saml_response)])
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::OK, "{}", stage.gateway.log());
    let me: Value = answer.json().await.unwrap();
    assert_eq!((&me["grants"], &me["denied"]), (&json!([]), &json!([])));
    assert!(stage.sts.calls().is_empty());
}
