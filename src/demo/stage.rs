//! What the tests of this room play on: an IdP, an STS that trusts it, and a clock that stands.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use chrono::{DateTime, Utc};

use super::idp::{DemoIdp, DemoUser, IdpKey, IdpSettings, ResponsePlan};
use super::sigv4::{Authorization, Signed};
use super::sts::{Account, RoleTrust, SamlProvider, SandboxSts, StsSettings};
use super::xml::{self, Element};
use crate::model::{Clock, FixedClock, OsEntropy};

pub(super) const ACS: &str = "https://gate.example.org/saml/acs";
pub(super) const AUDIENCE: &str = "urn:amazon:webservices";
pub(super) const ENTITY: &str = "https://idp.example.org/metadata";
pub(super) const ROLE: &str = "arn:aws:iam::123456789012:role/team,a/reader";
pub(super) const SHORT: &str = "arn:aws:iam::123456789012:role/short";
pub(super) const PROVIDER: &str = "arn:aws:iam::123456789012:saml-provider/Demo";
pub(super) const OTHER_PROVIDER: &str = "arn:aws:iam::123456789012:saml-provider/Other";

pub(super) struct Stage {
    pub(super) idp: DemoIdp,
    pub(super) sts: SandboxSts,
    pub(super) clock: Arc<FixedClock>,
}

pub(super) fn start_of_time() -> DateTime<Utc> {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

/// Made once: a key takes long.
pub(super) fn key() -> IdpKey {
    static KEY: OnceLock<IdpKey> = OnceLock::new();
    KEY.get_or_init(another_key).clone()
}

pub(super) fn another_key() -> IdpKey {
    IdpKey::generate(&FixedClock::new(start_of_time()), &OsEntropy).unwrap()
}

pub(super) fn idp_settings(key: IdpKey, clock: Arc<FixedClock>) -> IdpSettings {
    IdpSettings {
        entity_id: Some(ENTITY.to_owned()),
        acs_url: ACS.to_owned(),
        sp_entity_id: AUDIENCE.to_owned(),
        users: vec![DemoUser {
            name: "alice".to_owned(),
            password: "wonder<land>".to_owned(),
            role_session_name: "alice@example.org".to_owned(),
            roles: vec![format!("{ROLE},{PROVIDER}"), format!("{SHORT},{PROVIDER}")],
            session_duration: None,
            extra: vec![("groups".to_owned(), vec!["science & art".to_owned()])],
        }],
        key: Some(key),
        clock,
        entropy: Arc::new(OsEntropy),
    }
}

impl Stage {
    pub(super) async fn start() -> Self {
        Self::with(Account::default()).await
    }

    /// With an account that has more than SAML.
    pub(super) async fn with(account: Account) -> Self {
        let clock = Arc::new(FixedClock::new(start_of_time()));
        let settings = idp_settings(key(), Arc::clone(&clock));
        let idp = DemoIdp::start(settings).await.unwrap();
        let trust = |role: &str, longest: u32| RoleTrust {
            role_arn: role.to_owned(),
            provider_arns: vec![PROVIDER.to_owned()],
            saml_aud: vec![ACS.to_owned()],
            max_session_duration: longest,
        };
        let provider = |arn: &str| SamlProvider {
            arn: arn.to_owned(),
            metadata_xml: idp.metadata().to_owned(),
        };
        let settings = StsSettings {
            trusts: vec![trust(ROLE, 43_200), trust(SHORT, 3600)],
            providers: vec![provider(PROVIDER), provider(OTHER_PROVIDER)],
            clock: clock.clone(),
            entropy: Arc::new(OsEntropy),
        };
        let sts = SandboxSts::start_with(settings, account).await.unwrap();
        Self { idp, sts, clock }
    }

    pub(super) fn plan(&self) -> ResponsePlan {
        self.idp.plan("alice")
    }

    /// Asks for [`ROLE`] with a plan's response.
    pub(super) async fn assume(&self, plan: &ResponsePlan) -> Answer {
        self.assume_with(&self.idp.sign(plan), &[]).await
    }

    /// Asks with the usual parameters, but for those that `other` has; an empty one is left out.
    pub(super) async fn assume_with(&self, response: &str, other: &[(&str, &str)]) -> Answer {
        let usual = [
            ("Action", "AssumeRoleWithSAML"),
            ("Version", "2011-06-15"),
            ("RoleArn", ROLE),
            ("PrincipalArn", PROVIDER),
            ("SAMLAssertion", response),
        ];
        let replaced = |name: &str| other.iter().any(|(known, _)| *known == name);
        let mut form: Vec<(&str, &str)> = usual
            .into_iter()
            .filter(|(name, _)| !replaced(name))
            .collect();
        form.extend(other.iter().filter(|(_, value)| !value.is_empty()));
        let request = reqwest::Client::new().post(self.sts.url()).form(&form);
        Answer::of(request.send().await.unwrap()).await
    }

    /// Calls `action` unsigned.
    pub(super) async fn call(&self, action: &str, form: &[(&str, &str)]) -> Answer {
        let body = body(action, form);
        let request = reqwest::Client::new().post(self.sts.url()).body(body);
        Answer::of(request.send().await.unwrap()).await
    }

    /// Calls `action`, signed as SDKs sign it.
    pub(super) async fn signed(&self, by: &Keys, action: &str, form: &[(&str, &str)]) -> Answer {
        let body = body(action, form);
        let now = self.clock.now();
        let scope = format!("{}/us-east-1/sts/aws4_request", now.format("%Y%m%d"));
        let time = now.format("%Y%m%dT%H%M%SZ").to_string();
        let mut headers = vec![
            ("host", self.sts.url().trim_start_matches("http://")),
            ("x-amz-date", time.as_str()),
        ];
        headers.extend(
            by.token
                .as_deref()
                .map(|token| ("x-amz-security-token", token)),
        );
        let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
        let start = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={}, Signature=",
            by.key,
            names.join(";")
        );
        let headers: HashMap<String, String> = headers
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let request = Signed {
            method: "POST",
            path: "/",
            query: "",
            headers: &headers,
            body: body.as_bytes(),
        };
        let made = request.signature(&Authorization::parse(&start).unwrap(), &by.secret);
        let mut sent = reqwest::Client::new()
            .post(self.sts.url())
            .header("authorization", format!("{start}{}", made.unwrap()));
        for (name, value) in &headers {
            sent = sent.header(name, value);
        }
        Answer::of(sent.body(body).send().await.unwrap()).await
    }
}

/// Credentials to sign with.
pub(super) struct Keys {
    pub(super) key: String,
    pub(super) secret: String,
    pub(super) token: Option<String>,
}

impl Keys {
    /// Those that an answer holds.
    pub(super) fn of(answer: &Answer) -> Self {
        Self {
            key: answer.text("AccessKeyId").to_owned(),
            secret: answer.text("SecretAccessKey").to_owned(),
            token: Some(answer.text("SessionToken").to_owned()),
        }
    }
}

fn body(action: &str, form: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .append_pair("Action", action)
        .append_pair("Version", "2011-06-15")
        .extend_pairs(form)
        .finish()
}

/// What the STS answered.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) request_id: String,
    pub(super) body: Element,
}

impl Answer {
    pub(super) async fn of(response: reqwest::Response) -> Self {
        let request_id = &response.headers()["x-amzn-requestid"];
        Self {
            status: response.status().as_u16(),
            request_id: request_id.to_str().unwrap().to_owned(),
            body: xml::parse(&response.text().await.unwrap()).unwrap(),
        }
    }

    /// The text of the one element called `name`.
    pub(super) fn text(&self, name: &str) -> &str {
        let all = self.body.all();
        let found: Vec<_> = all.iter().filter(|element| element.name == name).collect();
        assert_eq!(found.len(), 1, "{name} in an answer of {}", self.status);
        &found[0].text
    }

    /// The error's code, or `OK`.
    pub(super) fn code(&self) -> &str {
        if self.status == 200 {
            "OK"
        } else {
            self.text("Code")
        }
    }
}
