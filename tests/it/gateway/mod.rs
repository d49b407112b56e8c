//! A whole gateway as a child process, beside a demo IdP and a strict sandbox STS, on loopback.

mod account;
mod pace;
mod process;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use reqwest::{Client, StatusCode};
use rolegate::demo::idp::{DemoIdp, DemoUser, IdpSettings, ResponsePlan};
use rolegate::demo::sts::{Account, RoleTrust, SamlProvider, SandboxSts, StsSettings};
use rolegate::model::{OsEntropy, SystemClock};
use serde_json::{Value, json};

pub(crate) use pace::{each_request, is_within};
pub(crate) use process::{
    Ended, Gateway, Variables, begin, command, command_hung_up, free_port, silent_port,
};

/// The account of every role in these tests.
pub(crate) const ACCOUNT: &str = "123456789012";

/// The audience that STS of the commercial partition wants.
pub(crate) const AUDIENCE: &str = "urn:amazon:webservices";

/// The ARN of a role of [`ACCOUNT`].
pub(crate) fn role(name: &str) -> String {
    format!("arn:aws:iam::{ACCOUNT}:role/{name}")
}

fn provider() -> String {
    format!("arn:aws:iam::{ACCOUNT}:saml-provider/Demo")
}

/// The Role value that offers `name` with the provider.
pub(crate) fn pair(name: &str) -> String {
    format!("{},{}", role(name), provider())
}

/// A client that every call may share. To make one for each of many calls at once takes longer than the server waits
/// for the first one's request; and none is over TLS, so that no authorities are read.
fn client() -> &'static Client {
    static CLIENT: LazyLock<Client> = LazyLock::new(|| {
        // A connection belongs to the runtime of the test that opened it.
        let builder = Client::builder().pool_max_idle_per_host(0);
        builder.tls_certs_only([]).build().unwrap()
    });
    &CLIENT
}

/// Everything that a test needs.
pub(crate) struct World {
    /// Holds configuration, database and key.
    pub(crate) folder: tempfile::TempDir,
    /// The IdP.
    pub(crate) idp: Arc<DemoIdp>,
    /// AWS's part.
    pub(crate) sts: SandboxSts,
    /// rolegate.
    pub(crate) gateway: Gateway,
}

/// What differs from one test's world to another's.
pub(crate) struct Setting {
    /// The Role values of user `alice`.
    pub(crate) roles: Vec<String>,
    /// The roles that the file allows.
    pub(crate) allowed: Vec<String>,
    /// `http` or `https`.
    pub(crate) scheme: &'static str,
    /// Puts further files into the folder before the gateway starts.
    pub(crate) prepare: fn(&std::path::Path),
    /// More lines for `[server]`.
    pub(crate) server_lines: &'static str,
    /// More lines for `[[saml.idp]]`.
    pub(crate) idp_lines: &'static str,
    /// More tables of the configuration.
    pub(crate) tables: String,
    /// More environment variables of the gateway.
    pub(crate) variables: Variables,
    /// Roles that trust rolegate itself, each by the policy that `trust-policy` prints: name and method.
    pub(crate) trusting: Vec<(&'static str, &'static str)>,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            roles: vec![pair("reader"), pair("writer"), pair("admin")],
            allowed: vec![role("reader"), role("writer")],
            scheme: "http",
            prepare: |_| {},
            server_lines: "",
            idp_lines: "",
            tables: String::new(),
            variables: Variables::new(),
            trusting: Vec::new(),
        }
    }
}

/// STS for an account whose `names` trust `provider`, with `metadata`, for responses sent to `acs`.
pub(crate) async fn sandbox(
    acs: &str,
    provider: &str,
    metadata: &str,
    names: &[&str],
) -> SandboxSts {
    sandbox_with(acs, provider, metadata, names, Account::default()).await
}

/// As [`sandbox`], with more of an account.
async fn sandbox_with(
    acs: &str,
    provider: &str,
    metadata: &str,
    names: &[&str],
    account: Account,
) -> SandboxSts {
    let trust = |name: &&str| RoleTrust {
        role_arn: role(name),
        provider_arns: vec![provider.to_owned()],
        saml_aud: vec![acs.to_owned()],
        max_session_duration: 43_200,
    };
    let settings = StsSettings {
        trusts: names.iter().map(trust).collect(),
        providers: vec![SamlProvider {
            arn: provider.to_owned(),
            metadata_xml: metadata.to_owned(),
        }],
        clock: Arc::new(SystemClock),
        entropy: Arc::new(OsEntropy),
    };
    SandboxSts::start_with(settings, account).await.unwrap()
}

/// Writes `rolegate.toml` with one IdP called `name`.
pub(crate) fn configure(
    folder: &std::path::Path,
    public_url: &str,
    name: &str,
    metadata: &str,
    setting: &Setting,
) {
    std::fs::write(folder.join("idp.xml"), metadata).unwrap();
    let (_, listen) = public_url.split_once("://").unwrap();
    let allowed = serde_json::to_string(&setting.allowed).unwrap();
    let (server, idp, tables) = (setting.server_lines, setting.idp_lines, &setting.tables);
    let text = format!(
        "[server]\nlisten = \"{listen}\"\npublic_url = \"{public_url}\"\n{server}\n\
         [[saml.idp]]\nname = \"{name}\"\nmetadata_file = \"idp.xml\"\n{idp}\n\
         [roles]\nallowed = {allowed}\n{tables}"
    );
    std::fs::write(folder.join("rolegate.toml"), text).unwrap();
}

impl World {
    /// A world in which `alice` is offered reader, writer and admin, of which the first two are allowed.
    pub(crate) async fn start() -> Self {
        Self::with(Setting::default()).await
    }

    pub(crate) async fn with(setting: Setting) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let public_url = format!("{}://127.0.0.1:{}", setting.scheme, free_port());
        (setting.prepare)(folder.path());
        let acs = format!("{public_url}/saml/acs");
        let idp = DemoIdp::start(IdpSettings {
            entity_id: None,
            acs_url: acs.clone(),
            sp_entity_id: AUDIENCE.to_owned(),
            users: vec![DemoUser {
                name: "alice".to_owned(),
                password: "alice-password".to_owned(),
                role_session_name: "alice".to_owned(),
                roles: setting.roles.clone(),
                session_duration: Some("3600".to_owned()),
                extra: vec![("groups".to_owned(), vec!["science".to_owned()])],
            }],
            key: None,
            clock: Arc::new(SystemClock),
            entropy: Arc::new(OsEntropy),
        })
        .await
        .unwrap();
        configure(folder.path(), &public_url, "demo", idp.metadata(), &setting);
        let account = account::account(folder.path(), &public_url, &setting.trusting).await;
        let names = ["reader", "writer", "admin", "path/deep", "late"];
        let sts = sandbox_with(&acs, &provider(), idp.metadata(), &names, account).await;
        let (path, variables) = (folder.path(), setting.variables);
        let gateway = Gateway::start_with(path, &public_url, sts.url(), variables).await;
        Self {
            folder,
            idp: Arc::new(idp),
            sts,
            gateway,
        }
    }

    /// A fresh response for `alice`, signed now.
    pub(crate) fn response(&self) -> String {
        self.idp.sign(&self.plan())
    }

    /// What a response for `alice` says, to be changed before it is signed.
    pub(crate) fn plan(&self) -> ResponsePlan {
        self.idp.plan("alice")
    }

    /// Posts `response` to the ACS as a program does.
    pub(crate) async fn post(&self, response: &str) -> (StatusCode, Value) {
        let answer = client()
            .post(self.gateway.at("/saml/acs"))
            .header("Accept", "application/json")
            .form(&[("SAMLResponse", response)])
            .send()
            .await
            .unwrap();
        let status = answer.status();
        (status, answer.json().await.unwrap())
    }

    /// Signs `alice` in; returns her session's token and what she has.
    pub(crate) async fn sign_in(&self) -> (String, Value) {
        let (status, me) = self.post(&self.response()).await;
        assert_eq!(status, StatusCode::OK, "{me}");
        (me["session_token"].as_str().unwrap().to_owned(), me)
    }

    /// A launcher's token that reaches everything.
    pub(crate) async fn launcher(&self) -> String {
        self.gateway.launcher().await
    }

    /// Calls the API with a bearer token.
    pub(crate) async fn api(
        &self,
        method: &str,
        path: &str,
        token: &str,
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        let method = method.parse().unwrap();
        let mut request = client()
            .request(method, self.gateway.at(path))
            .bearer_auth(token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        (
            status,
            serde_json::from_str(&text).unwrap_or(Value::String(text)),
        )
    }

    /// Leases `name` of `alice` for a job.
    pub(crate) async fn lease(&self, launcher: &str, name: &str) -> (StatusCode, Value) {
        let order = json!({ "user": "alice", "role_arn": role(name), "job": "job-1" });
        self.api("POST", "/api/v1/leases", launcher, Some(order))
            .await
    }

    /// What a job gets with `token`.
    pub(crate) async fn fetch(&self, token: &str) -> (StatusCode, Value) {
        let answer = client()
            .get(self.gateway.at("/v1/credentials"))
            .header("Authorization", token)
            .send()
            .await
            .unwrap();
        let status = answer.status();
        (status, answer.json().await.unwrap())
    }

    /// What a job gets with `token` in the end: it asks again while the answer is still on its way, as SDKs do. A
    /// slow machine may rightly take longer than an answer may.
    pub(crate) async fn fetched(&self, token: &str) -> (StatusCode, Value) {
        let mut ticks = tokio::time::interval(Duration::from_millis(200));
        let mut last = self.fetch(token).await;
        for _ in 0..150 {
            if last.0 != StatusCode::SERVICE_UNAVAILABLE || last.1["code"] != "pending" {
                break;
            }
            ticks.tick().await;
            last = self.fetch(token).await;
        }
        last
    }
}
