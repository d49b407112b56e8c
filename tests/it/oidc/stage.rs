//! A gateway whose people sign in at real OpenID providers, and an account of roles that take those providers' tokens by
//! the very policies that `rolegate trust-policy` prints.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, StatusCode};
use rolegate::demo::sts::{Account, OidcProvider as KnownIssuer, Role, SandboxSts, StsSettings};
use rolegate::model::{OsEntropy, SystemClock};
use serde_json::{Value, json};

use crate::gateway::{ACCOUNT, Gateway, Variables, command, free_port, role};
use crate::parts::oidc_provider::{CLIENT_ID, CLIENT_SECRET, OidcProvider, Settings, browser};

/// A provider, as a test wants it.
pub(super) struct Plan {
    /// What the gateway calls it.
    pub(super) name: &'static str,
    /// Claims by account.
    pub(super) accounts: Value,
    /// Whether a refresh token is good once.
    pub(super) rotate: bool,
    /// How long an ID token is good, in seconds.
    pub(super) id_token_seconds: u32,
    /// More lines of its table in the configuration.
    pub(super) lines: &'static str,
}

impl Plan {
    /// The provider `op` whose refresh tokens rotate and whose ID tokens live an hour.
    pub(super) fn new(accounts: Value) -> Self {
        Self {
            name: "op",
            accounts,
            rotate: true,
            id_token_seconds: 3600,
            lines: "",
        }
    }

    /// As [`Plan::new`], with ID tokens that are too old for the next question to STS already.
    pub(super) fn short_lived(accounts: Value) -> Self {
        Self {
            id_token_seconds: 5,
            ..Self::new(accounts)
        }
    }
}

/// What an account's ID tokens say of roles: an array.
pub(super) fn offering(names: &[&str]) -> Value {
    json!({ "aws_role_arn": names.iter().map(|name| role(name)).collect::<Vec<_>>() })
}

/// Everything that a test needs.
pub(super) struct Stage {
    /// Holds configuration, database and key.
    pub(super) folder: tempfile::TempDir,
    /// AWS's part.
    pub(super) sts: SandboxSts,
    /// rolegate.
    pub(super) gateway: Gateway,
    providers: Vec<(&'static str, OidcProvider)>,
}

impl Stage {
    /// A stage with one provider, where `roles` are allowed by method web-identity, renewed for a week.
    pub(super) async fn start(plan: Plan, roles: &[&str]) -> Self {
        Self::with(vec![plan], roles, "").await
    }

    /// A stage with these providers and more `tables` of the configuration.
    pub(super) async fn with(plans: Vec<Plan>, roles: &[&str], tables: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let public_url = format!("http://127.0.0.1:{}", free_port());
        let starting = plans.iter().map(|plan| provider(plan, &public_url));
        let started = futures_util::future::join_all(starting).await;
        let names = plans.iter().map(|plan| plan.name);
        let providers: Vec<_> = names.zip(started).collect();
        configure(
            folder.path(),
            &public_url,
            &plans,
            &providers,
            roles,
            tables,
        );
        let account = account(folder.path(), &providers, roles).await;
        let settings = StsSettings {
            trusts: Vec::new(),
            providers: Vec::new(),
            clock: Arc::new(SystemClock),
            entropy: Arc::new(OsEntropy),
        };
        let sts = SandboxSts::start_with(settings, account).await.unwrap();
        let gateway =
            Gateway::start_with(folder.path(), &public_url, sts.url(), Variables::new()).await;
        Self {
            folder,
            sts,
            gateway,
            providers,
        }
    }

    /// The provider called `op`.
    pub(super) fn op(&self) -> &OidcProvider {
        self.provider("op")
    }

    /// The provider that the gateway calls `name`.
    pub(super) fn provider(&self, name: &str) -> &OidcProvider {
        let found = self.providers.iter().find(|(known, _)| *known == name);
        &found.unwrap().1
    }

    /// Follows `start`, a path of the gateway's, to the provider of this name, where `account` signs in; gives
    /// the callback's URL.
    pub(super) async fn callback(
        &self,
        client: &Client,
        start: &str,
        provider: &str,
        account: &str,
    ) -> String {
        let url = self.begin(client, start).await;
        self.provider(provider).sign_in(client, &url, account).await
    }

    /// Where the gateway sends a browser that begins to sign in.
    pub(super) async fn begin(&self, client: &Client, start: &str) -> String {
        let answer = client.get(self.gateway.at(start)).send().await.unwrap();
        let status = answer.status();
        let Some(target) = answer.headers().get("location").cloned() else {
            let text = answer.text().await.unwrap();
            panic!("{status} {text}\n{}", self.gateway.log());
        };
        target.to_str().unwrap().to_owned()
    }

    /// Signs `account` in as a program does, at the provider of this name.
    pub(super) async fn try_sign_in(&self, provider: &str, account: &str) -> (StatusCode, Value) {
        let client = browser();
        let start = format!("/oidc/{provider}/login");
        let url = self.callback(&client, &start, provider, account).await;
        self.call_back(&client, &url).await
    }

    /// Goes to the callback as a program does.
    pub(super) async fn call_back(&self, client: &Client, url: &str) -> (StatusCode, Value) {
        let answer = client
            .get(url)
            .header("Accept", "application/json")
            .send()
            .await
            .unwrap();
        told(answer).await
    }

    /// Signs `account` in at `op`; gives what they have, with `session_token`.
    pub(super) async fn sign_in(&self, account: &str) -> Value {
        let (status, me) = self.try_sign_in("op", account).await;
        assert_eq!(status, StatusCode::OK, "{me}\n{}", self.gateway.log());
        me
    }

    /// Calls the API with a bearer token.
    pub(super) async fn api(
        &self,
        method: &str,
        path: &str,
        token: &str,
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        let mut request = Client::new()
            .request(method.parse().unwrap(), self.gateway.at(path))
            .bearer_auth(token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        told(request.send().await.unwrap()).await
    }

    /// Leases `name` of `user` for a job.
    pub(super) async fn lease(&self, launcher: &str, user: &str, name: &str) -> Value {
        let order = json!({ "user": user, "role_arn": role(name), "job": name });
        let (status, lease) = self
            .api("POST", "/api/v1/leases", launcher, Some(order))
            .await;
        assert_eq!(
            status,
            StatusCode::CREATED,
            "{lease}\n{}",
            self.gateway.log()
        );
        lease
    }

    /// What a job gets by its lease.
    pub(super) async fn fetch(&self, lease: &Value) -> (StatusCode, Value) {
        let token = lease["token"].as_str().unwrap();
        let request = Client::new().get(self.gateway.at("/v1/credentials"));
        told(request.header("Authorization", token).send().await.unwrap()).await
    }

    /// What a job gets in the end: it asks again while the answer is on its way.
    pub(super) async fn fetched(&self, lease: &Value) -> (StatusCode, Value) {
        let mut ticks = tokio::time::interval(Duration::from_millis(200));
        let mut last = self.fetch(lease).await;
        for _ in 0..300 {
            if last.1["code"] != "pending" {
                break;
            }
            ticks.tick().await;
            last = self.fetch(lease).await;
        }
        last
    }

    /// Fetches again and again until `is_it`, for at most a minute.
    pub(super) async fn fetch_until(
        &self,
        lease: &Value,
        is_it: impl Fn(StatusCode, &Value) -> bool,
    ) -> Value {
        let mut ticks = tokio::time::interval(Duration::from_millis(100));
        let mut last = None;
        for _ in 0..600 {
            ticks.tick().await;
            let (status, answer) = self.fetch(lease).await;
            if is_it(status, &answer) {
                return answer;
            }
            last = Some((status, answer));
        }
        panic!("still {last:?}\n{}", self.gateway.log());
    }

    /// A job's environment, by its lease.
    pub(super) fn environment<'a>(&'a self, lease: &'a Value) -> Vec<(&'a str, &'a str)> {
        let env = lease["env"].as_object().unwrap();
        let mut env: Vec<_> = env
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
            .collect();
        env.push(("AWS_ENDPOINT_URL_STS", self.sts.url()));
        env
    }

    /// The audit's events of a kind.
    pub(super) async fn events(&self, kind: &str) -> Vec<Value> {
        let exported = self.gateway.command(&["audit", "export"]).await.good();
        let events = exported
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        events.filter(|event| event["kind"] == kind).collect()
    }
}

async fn told(answer: reqwest::Response) -> (StatusCode, Value) {
    let status = answer.status();
    let text = answer.text().await.unwrap();
    let told = serde_json::from_str(&text).unwrap_or(Value::String(text));
    (status, told)
}

async fn provider(plan: &Plan, public_url: &str) -> OidcProvider {
    let settings = Settings {
        rotate: plan.rotate,
        lifetimes: json!({ "IdToken": plan.id_token_seconds }),
        ..Settings::new(public_url, plan.name, plan.accounts.clone())
    };
    OidcProvider::start(&settings).await
}

fn configure(
    folder: &Path,
    public_url: &str,
    plans: &[Plan],
    providers: &[(&str, OidcProvider)],
    roles: &[&str],
    tables: &str,
) {
    let (_, listen) = public_url.split_once("://").unwrap();
    std::fs::write(folder.join("op.secret"), CLIENT_SECRET).unwrap();
    let server = format!("[server]\nlisten = \"{listen}\"\npublic_url = \"{public_url}\"\n");
    let provider = |(plan, (name, provider)): (&Plan, &(&str, OidcProvider))| {
        format!(
            "[[oidc.provider]]\nname = \"{name}\"\nissuer = \"{}\"\nclient_id = \"{CLIENT_ID}\"\n\
             client_secret_file = \"op.secret\"\n{}\n",
            provider.issuer(),
            plan.lines
        )
    };
    let entry = |name: &&str| {
        format!(
            "[[roles.entry]]\narn = \"{}\"\nmethod = \"web-identity\"\nrenew_for_seconds = 604800\n",
            role(name)
        )
    };
    let mut text = vec![server];
    text.extend(plans.iter().zip(providers).map(provider));
    text.extend(roles.iter().map(entry));
    text.push(tables.to_owned());
    std::fs::write(folder.join("rolegate.toml"), text.concat()).unwrap();
}

/// An account that knows the providers, and whose `roles` let their people in by the policies that we print.
async fn account(folder: &Path, providers: &[(&str, OidcProvider)], roles: &[&str]) -> Account {
    let known = providers.iter().map(|(_, provider)| {
        let issuer = provider.issuer();
        let (_, name) = issuer.split_once("://").unwrap();
        KnownIssuer {
            arn: format!("arn:aws:iam::{ACCOUNT}:oidc-provider/{name}"),
            issuer: issuer.to_owned(),
            client_ids: vec![CLIENT_ID.to_owned()],
        }
    });
    let mut account = Account {
        oidc_providers: known.collect(),
        ..Account::default()
    };
    for name in roles {
        let arn = role(name);
        let printing = providers.iter().map(|(idp, _)| printed(folder, &arn, idp));
        let printed = futures_util::future::join_all(printing).await;
        // A policy names one provider; a role that trusts several has the statements of all.
        let mut policy = printed[0].clone();
        let statements = printed
            .iter()
            .flat_map(|one| one["Statement"].as_array().unwrap());
        policy["Statement"] = statements.cloned().collect();
        account
            .roles
            .push(Role::new(&arn, &policy.to_string()).unwrap());
    }
    account
}

/// The trust policy that we print for people of `idp`.
async fn printed(folder: &Path, arn: &str, idp: &str) -> Value {
    let arguments = [
        "trust-policy",
        arn,
        "--method",
        "web-identity",
        "--idp",
        idp,
    ];
    let policy = command(folder, &arguments, &[]).await.good();
    serde_json::from_str(&policy).unwrap()
}
