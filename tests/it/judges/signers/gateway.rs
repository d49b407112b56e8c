//! The same signers at a running gateway, in every way of signing, beside a strict STS.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Client, StatusCode};
use rolegate::demo::sts::SandboxSts;
use serde_json::Value;

use super::{METADATA, copies, now, wish};
use crate::gateway::{Gateway, Setting, configure, free_port, role, sandbox};
use crate::judges::door::Door;
use crate::judges::opinions;
use crate::parts::signers::Signer;
use crate::parts::simplesamlphp::{Options, SimpleSamlPhp};

struct Stage {
    _folder: tempfile::TempDir,
    _sts: SandboxSts,
    gateway: Gateway,
    acs: String,
}

fn free_acs() -> String {
    format!("http://127.0.0.1:{}/saml/acs", free_port())
}

impl Stage {
    /// A gateway at `acs` that knows the provider of `metadata`, and an STS that knows it as `provider`.
    async fn set(acs: &str, metadata: &str, provider: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let public_url = acs.strip_suffix("/saml/acs").unwrap();
        let names = ["reader", "path/deep", "data-scientist"];
        let sts = sandbox(acs, provider, metadata, &names).await;
        let setting = Setting {
            allowed: names.map(role).into(),
            ..Setting::default()
        };
        configure(folder.path(), public_url, "judged", metadata, &setting);
        let gateway = Gateway::start(folder.path(), public_url, sts.url()).await;
        Self {
            _folder: folder,
            _sts: sts,
            gateway,
            acs: acs.to_owned(),
        }
    }

    async fn post(&self, document: &str) -> (StatusCode, Value) {
        let answer = Client::new()
            .post(&self.acs)
            .header("Accept", "application/json")
            .form(&[("SAMLResponse", STANDARD.encode(document))])
            .send()
            .await
            .unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    /// Posts a copy with another user, which must be refused, then the response itself, which must not.
    async fn takes(&self, document: &str, user: &str) -> Value {
        let forged = document.replace(user, &format!("x{user}"));
        assert_ne!(forged, document);
        let (status, _) = self.post(&forged).await;
        assert_eq!(status, StatusCode::FORBIDDEN);
        let (status, me) = self.post(document).await;
        assert_eq!(status, StatusCode::OK, "{me}\n{}", self.gateway.log());
        assert_eq!(me["user"], user);
        // STS verified the document too, or there would be no credentials.
        let grants = me["grants"].as_array().unwrap();
        assert!(!grants.is_empty(), "{me}");
        for grant in grants {
            assert!(grant["credentials_expire_at"].is_string(), "{me}");
        }
        me
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_takes_pysaml2_and_signxml_in_every_way_of_signing() {
    let acs = free_acs();
    let provider = "arn:aws:iam::123456789012:saml-provider/Demo";
    let stage = Stage::set(&acs, METADATA, provider).await;
    for signer in Signer::ALL {
        let make = || signer.make(&wish(&acs), "idp", &["--hash", "sha256"]);
        for made in tokio::task::block_in_place(make) {
            if made.sign == "none" {
                let (status, _) = stage.post(&made.document).await;
                assert_eq!(status, StatusCode::FORBIDDEN, "{signer:?}, unsigned");
            } else {
                let me = stage.takes(&made.document, "alice@example.org").await;
                assert_eq!(me["grants"].as_array().unwrap().len(), 2, "{me}");
                assert_eq!(me["grants"][0]["duration_seconds"], 7200);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn simplesamlphp_is_taken_in_every_way_of_signing_and_no_changed_copy_is() {
    for (assertion, response) in [(true, false), (false, true), (true, true)] {
        let acs = free_acs();
        let idp = start(&acs, assertion, response);
        let metadata = idp.metadata().await;
        let document = document(&idp).await;
        let mut door = Door::new(&metadata, now());
        door.acs.clone_from(&acs);
        let reading = door.judge(&document).unwrap();
        assert_eq!(reading.parts.person.user.as_str(), "alice@example.org");
        let signed = opinions::signed_elements(&document);
        assert_eq!(signed.contains(&"Assertion"), assertion);
        assert_eq!(signed.contains(&"Response"), response);
        assert_eq!(opinions::all(&metadata, &document), Ok(()), "{signed:?}");
        copies::all_refused(&door, &document);
        if !response {
            copies::never_another(&door, &reading, &document);
        }
        let provider = "arn:aws:iam::123456789012:saml-provider/SSP";
        let stage = Stage::set(&acs, &metadata, provider).await;
        stage.takes(&document, "alice@example.org").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn simplesamlphp_is_refused_where_it_signs_nothing() {
    let acs = free_acs();
    let idp = start(&acs, false, false);
    let metadata = idp.metadata().await;
    let document = document(&idp).await;
    let mut door = Door::new(&metadata, now());
    door.acs.clone_from(&acs);
    assert_eq!(door.judge(&document), Err("unsigned"));
    assert!(opinions::bergshamra(&metadata, &document).is_err());
}

fn start(acs: &str, sign_assertion: bool, sign_response: bool) -> SimpleSamlPhp {
    SimpleSamlPhp::start_with(&Options {
        sign_assertion,
        sign_response,
        ..Options::new(acs)
    })
}

/// Signs alice in and gives the response.
async fn document(idp: &SimpleSamlPhp) -> String {
    let posted = idp
        .login_idp_initiated("alice", "alice-password", None)
        .await;
    String::from_utf8(STANDARD.decode(posted.saml_response).unwrap()).unwrap()
}
