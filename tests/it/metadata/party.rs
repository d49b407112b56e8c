//! The parties of these tests: IdPs with entity ids and keys of choice, and a gateway that knows them.

use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{TimeDelta, Utc};
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::sign::Signer;
use openssl::x509::X509;
use reqwest::StatusCode;
use rolegate::demo::idp::{DemoIdp, DemoUser, IdpKey, IdpSettings};
use rolegate::demo::sts::SandboxSts;
use rolegate::model::{Clock, FixedClock, OsEntropy, SystemClock};
use serde_json::Value;

use crate::gateway::{AUDIENCE, Ended, Gateway, command, free_port, pair, role, sandbox};

/// A folder and an address, before there is a gateway.
pub(super) struct Place {
    pub(super) folder: tempfile::TempDir,
    public_url: String,
}

/// A gateway at its place.
pub(super) struct Desk {
    pub(super) place: Place,
    _sts: SandboxSts,
    pub(super) gateway: Gateway,
}

impl Place {
    pub(super) fn new() -> Self {
        // STS knows none of these IdPs, and the library would print each of its refusals.
        rolegate::saml::prepare().unwrap();
        Self {
            folder: tempfile::tempdir().unwrap(),
            public_url: format!("http://127.0.0.1:{}", free_port()),
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).unwrap();
    }

    /// An IdP called `https://{name}.example.org` with one user, and a key of its own.
    pub(super) async fn idp(&self, name: &str, user: &str) -> DemoIdp {
        self.idp_with(name, user, None).await
    }

    /// As [`Place::idp`], with a certificate that ends in `days`.
    pub(super) async fn idp_ending_in(&self, name: &str, days: i64) -> DemoIdp {
        let made = SystemClock.now() - TimeDelta::days(365 - days) + TimeDelta::minutes(1);
        let key = IdpKey::generate(&FixedClock::new(made), &OsEntropy).unwrap();
        self.idp_with(name, "alice", Some(key)).await
    }

    async fn idp_with(&self, name: &str, user: &str, key: Option<IdpKey>) -> DemoIdp {
        DemoIdp::start(IdpSettings {
            entity_id: Some(format!("https://{name}.example.org")),
            acs_url: format!("{}/saml/acs", self.public_url),
            sp_entity_id: AUDIENCE.to_owned(),
            users: vec![DemoUser {
                name: user.to_owned(),
                password: "password".to_owned(),
                role_session_name: user.to_owned(),
                roles: vec![pair("reader")],
                session_duration: None,
                extra: Vec::new(),
            }],
            key,
            clock: Arc::new(SystemClock),
            entropy: Arc::new(OsEntropy),
        })
        .await
        .unwrap()
    }

    /// Writes the configuration with these IdPs.
    pub(super) fn configure(&self, server: &str, idps: &str) {
        let (_, listen) = self.public_url.split_once("://").unwrap();
        let allowed = role("reader");
        self.write(
            "rolegate.toml",
            &format!(
                "[server]\nlisten = \"{listen}\"\npublic_url = \"{}\"\n{server}\n{idps}\n[roles]\nallowed = [\"{allowed}\"]\n",
                self.public_url
            ),
        );
    }

    /// Starts a gateway that knows these IdPs.
    pub(super) async fn start(self, server: &str, idps: &str) -> Desk {
        self.configure(server, idps);
        let sts = self.sts().await;
        let gateway = Gateway::start(self.path(), &self.public_url, sts.url()).await;
        Desk {
            place: self,
            _sts: sts,
            gateway,
        }
    }

    /// As [`Place::start`], with a SIGHUP once `begun` says that the start is under way.
    pub(super) async fn start_hung_up(self, idps: &str, begun: impl Future<Output = ()>) -> Desk {
        self.configure("", idps);
        let sts = self.sts().await;
        let (folder, url) = (self.path(), &self.public_url);
        let gateway = Gateway::start_hung_up(folder, url, sts.url(), begun).await;
        Desk {
            place: self,
            _sts: sts,
            gateway,
        }
    }

    async fn sts(&self) -> SandboxSts {
        let acs = format!("{}/saml/acs", self.public_url);
        let provider = "arn:aws:iam::123456789012:saml-provider/Demo";
        let metadata = self.idp("sts", "nobody").await.metadata().to_owned();
        sandbox(&acs, provider, &metadata, &["reader"]).await
    }

    pub(super) async fn check(&self, variables: &[(&str, &str)]) -> Ended {
        command(self.path(), &["check"], variables).await
    }
}

/// `[[saml.idp]]` called `name` with `source` and further lines.
pub(super) fn table(name: &str, source: &str, lines: &str) -> String {
    format!("[[saml.idp]]\nname = \"{name}\"\n{source}\n{lines}\n")
}

/// `metadata_url`.
pub(super) fn url(url: &str) -> String {
    format!("metadata_url = \"{url}/metadata?app=1\"")
}

impl Desk {
    /// Signs the IdP's user in by a fresh response; whether that was accepted.
    pub(super) async fn accepts(&self, idp: &DemoIdp, user: &str) -> bool {
        let (status, body) = self.post(&idp.sign(&idp.plan(user))).await;
        assert!(
            matches!(status, StatusCode::OK | StatusCode::FORBIDDEN),
            "{status} {body}"
        );
        status == StatusCode::OK
    }

    pub(super) async fn post(&self, response: &str) -> (StatusCode, Value) {
        let answer = reqwest::Client::new()
            .post(self.gateway.at("/saml/acs"))
            .header("Accept", "application/json")
            .form(&[("SAMLResponse", response)])
            .send()
            .await
            .unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    pub(super) async fn get(&self, path: &str) -> (StatusCode, String) {
        let answer = reqwest::get(self.gateway.at(path)).await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    }

    /// Has files read and URLs asked, and waits until the log holds `words` once more than before.
    pub(super) async fn refresh(&self, words: &str) {
        let before = self.gateway.log().matches(words).count();
        self.gateway.hang_up();
        self.logged(words, before + 1).await;
    }

    /// Waits until the log holds `words` so often, at most a minute.
    pub(super) async fn logged(&self, words: &str, times: usize) {
        let mut ticks = tokio::time::interval(std::time::Duration::from_millis(50));
        for _ in 0..1200 {
            ticks.tick().await;
            if self.gateway.log().matches(words).count() >= times {
                return;
            }
        }
        panic!("no {words} in {}", self.gateway.log());
    }

    /// A new auditor's token.
    pub(super) async fn auditor(&self) -> String {
        let create = ["tokens", "create", "eyes", "--role", "auditor"];
        self.gateway.command(&create).await.good()
    }

    /// What the API says of the IdPs.
    pub(super) async fn idps(&self, token: &str) -> Vec<Value> {
        let answer = reqwest::Client::new()
            .get(self.gateway.at("/api/v1/admin/idps"))
            .bearer_auth(token)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let page: Value = answer.json().await.unwrap();
        assert_eq!(page["next"], Value::Null);
        page["items"].as_array().unwrap().clone()
    }

    /// What the command says of the IdPs.
    pub(super) async fn listed(&self) -> Vec<Value> {
        let told = self.gateway.command(&["idps", "list", "--json"]).await;
        serde_json::from_str(&told.good()).unwrap()
    }

    /// Waits until the command tells of no error any more, at most a minute.
    pub(super) async fn forgot_the_error(&self) {
        let mut ticks = tokio::time::interval(std::time::Duration::from_millis(100));
        for _ in 0..600 {
            ticks.tick().await;
            if self.listed().await[0]["last_error"] == Value::Null {
                return;
            }
        }
        panic!("{:?}", self.listed().await);
    }

    /// The audit's events of this kind.
    pub(super) async fn audited(&self, kind: &str) -> Vec<Value> {
        let exported = self.gateway.command(&["audit", "export"]).await.good();
        let events = exported
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        events
            .filter(|event: &Value| event["kind"] == kind)
            .collect()
    }
}

/// `document` with the keys of `other` beside its own.
pub(super) fn with_keys_of(document: &str, other: &str) -> String {
    let end = "</md:KeyDescriptor>";
    let from = other.find("<md:KeyDescriptor").unwrap();
    let to = other.find(end).unwrap() + end.len();
    document.replacen(end, &format!("{end}{}", &other[from..to]), 1)
}

/// A key for metadata, in the fixtures.
pub(super) struct MetadataKey {
    key: PKey<Private>,
    pub(super) pem: String,
}

impl MetadataKey {
    pub(super) fn load(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/saml");
        let read = |ending: &str| {
            std::fs::read_to_string(folder.join(format!("{name}.{ending}"))).unwrap()
        };
        let pem = read("crt");
        X509::from_pem(pem.as_bytes()).unwrap();
        Self {
            key: PKey::private_key_from_pem(read("key").as_bytes()).unwrap(),
            pem,
        }
    }

    /// A demo IdP's metadata with an enveloped signature. What is signed is written in canonical form.
    pub(super) fn sign(&self, metadata: &str) -> String {
        let canonical = metadata
            .replacen(" entityID=", " ID=\"_metadata\" entityID=", 1)
            .replace("/sso\"/>", "/sso\"></md:SingleSignOnService>");
        let method = |name: &str, algorithm: &str| {
            format!("<ds:{name} Algorithm=\"http://www.w3.org/{algorithm}\"></ds:{name}>")
        };
        let digest = STANDARD.encode(openssl::sha::sha256(canonical.as_bytes()));
        let info = format!(
            "{}{}<ds:Reference URI=\"#_metadata\"><ds:Transforms>{}{}</ds:Transforms>{}\
             <ds:DigestValue>{digest}</ds:DigestValue></ds:Reference></ds:SignedInfo>",
            method("CanonicalizationMethod", "2001/10/xml-exc-c14n#"),
            method("SignatureMethod", "2001/04/xmldsig-more#rsa-sha256"),
            method("Transform", "2000/09/xmldsig#enveloped-signature"),
            method("Transform", "2001/10/xml-exc-c14n#"),
            method("DigestMethod", "2001/04/xmlenc#sha256"),
        );
        let ds = "xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\"";
        let mut signer = Signer::new(MessageDigest::sha256(), &self.key).unwrap();
        signer
            .update(format!("<ds:SignedInfo {ds}>{info}").as_bytes())
            .unwrap();
        let value = STANDARD.encode(signer.sign_to_vec().unwrap());
        let signature = format!(
            "<ds:Signature {ds}><ds:SignedInfo>{info}<ds:SignatureValue>{value}</ds:SignatureValue></ds:Signature>"
        );
        canonical.replacen(
            "<md:IDPSSODescriptor",
            &format!("{signature}<md:IDPSSODescriptor"),
            1,
        )
    }
}

/// A time some days away, as metadata writes it.
pub(super) fn in_days(days: i64) -> String {
    let at = SystemClock.now() + TimeDelta::days(days);
    rolegate::model::rfc3339(at.with_timezone(&Utc))
}
