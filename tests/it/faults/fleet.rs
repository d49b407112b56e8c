//! One gateway on SQLite, or two on one PostgreSQL, and those who talk to them.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use reqwest::{Client, StatusCode};
use rolegate::demo::idp::DemoIdp;
use serde_json::Value;

use crate::gateway::{Gateway, Setting, Variables, World, each_request, free_port};
use crate::parts::postgres::{Postgres, Way};

/// By when a gateway serves again (DESIGN.md).
pub(super) const RECOVERED: Duration = Duration::from_secs(10);

/// Whoever does not serve by then does not at all.
const PATIENCE: Duration = Duration::from_mins(1);

/// An SDK does not wait longer for an answer than this.
pub(super) const CALL: Duration = Duration::from_secs(15);

/// What may break.
pub(super) struct Fleet {
    pub(super) world: World,
    /// The second gateway, where there are two.
    pub(super) other: Option<Gateway>,
    /// The way of the second gateway to its store.
    pub(super) way: Option<Way>,
    pub(super) postgres: Option<Postgres>,
}

/// What the load needs of a fleet; a clone is another hand.
#[derive(Clone)]
pub(super) struct Reach {
    /// Where gateways listen.
    pub(super) urls: Vec<String>,
    pub(super) folder: PathBuf,
    pub(super) variables: Vec<(&'static str, String)>,
    pub(super) client: Client,
    /// A launcher's token that reaches everything.
    pub(super) launcher: String,
    /// An admin's.
    pub(super) admin: String,
}

/// An answer, or nothing where the connection broke.
pub(super) type Answer = Option<(StatusCode, Value)>;

impl Fleet {
    pub(super) async fn on_sqlite() -> Self {
        Self::on_sqlite_with(Setting::renewing()).await
    }

    pub(super) async fn on_sqlite_with(setting: Setting) -> Self {
        Self {
            world: World::with(setting).await,
            other: None,
            way: None,
            postgres: None,
        }
    }

    pub(super) async fn on_postgres() -> Self {
        let postgres = Postgres::start();
        let way = Way::to(&postgres).await;
        let mut setting = Setting::renewing();
        setting.tables = format!("[store]\nurl = \"{}\"\n{}", postgres.url(), setting.tables);
        setting.variables.push(each_request());
        let mut variables = setting.variables.clone();
        let world = World::with(setting).await;
        let listen = format!("127.0.0.1:{}", free_port());
        variables.push(("ROLEGATE_SERVER__LISTEN", listen.clone()));
        variables.push(("ROLEGATE_STORE__URL", way.url()));
        let url = format!("http://{listen}");
        let folder = world.folder.path();
        let other = Gateway::start_with(folder, &url, world.sts.url(), variables).await;
        Self {
            world,
            other: Some(other),
            way: Some(way),
            postgres: Some(postgres),
        }
    }

    /// A hand at the fleet.
    pub(super) async fn reach(&self, variables: Variables) -> Reach {
        let mut urls = vec![self.world.gateway.at("")];
        urls.extend(self.other.as_ref().map(|other| other.at("")));
        let admin = ["tokens", "create", "root", "--role", "admin"];
        let admin = self.world.gateway.command(&admin).await.good();
        let mut all = vec![("AWS_ENDPOINT_URL_STS", self.world.sts.url().to_owned())];
        all.extend(variables);
        Reach {
            urls,
            folder: self.world.folder.path().to_owned(),
            variables: all,
            client: Client::builder()
                .timeout(CALL)
                // A connection that is kept may be to a gateway that was killed.
                .pool_max_idle_per_host(0)
                .build()
                .unwrap(),
            launcher: self.world.launcher().await,
            admin,
        }
    }

    /// One of the gateways.
    pub(super) fn gateway(&mut self, number: usize) -> &mut Gateway {
        match &mut self.other {
            Some(other) if number % 2 == 1 => other,
            _ => &mut self.world.gateway,
        }
    }

    pub(super) fn count(&self) -> usize {
        1 + usize::from(self.other.is_some())
    }

    /// What both gateways logged since they were last started.
    pub(super) fn log(&self) -> String {
        let other = self.other.as_ref().map(Gateway::log);
        self.world.gateway.log() + &other.unwrap_or_default()
    }
}

/// A response for `user`, signed now.
pub(super) fn response(idp: &DemoIdp, user: &str) -> String {
    let mut plan = idp.plan("alice");
    user.clone_into(&mut plan.name_id);
    plan.set_aws_attribute("RoleSessionName", &[user]);
    idp.sign(&plan)
}

impl Reach {
    async fn sent(&self, request: reqwest::RequestBuilder) -> Answer {
        let answer = request.send().await.ok()?;
        let status = answer.status();
        // A proxy says so of a gateway that went in the middle of an answer: the connection broke.
        if status == StatusCode::BAD_GATEWAY {
            return None;
        }
        let text = answer.text().await.ok()?;
        Some((
            status,
            serde_json::from_str(&text).unwrap_or(Value::String(text)),
        ))
    }

    /// Posts `response` to the gateway at `url`, as a program does.
    pub(super) async fn post(&self, url: &str, response: &str) -> Answer {
        let request = self.client.post(format!("{url}/saml/acs"));
        let request = request
            .header("Accept", "application/json")
            .form(&[("SAMLResponse", response)]);
        self.sent(request).await
    }

    /// What a job gets with `token`.
    pub(super) async fn fetch(&self, url: &str, token: &str) -> Answer {
        let request = self.client.get(format!("{url}/v1/credentials"));
        self.sent(request.header("Authorization", token)).await
    }

    /// Calls the API with a bearer token.
    pub(super) async fn api(
        &self,
        method: &str,
        url: &str,
        token: &str,
        body: Option<&Value>,
        key: Option<&str>,
    ) -> Answer {
        let mut request = self.client.request(method.parse().unwrap(), url);
        request = request.bearer_auth(token);
        if let Some(body) = body {
            request = request.json(body);
        }
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        self.sent(request).await
    }

    /// Runs an admin's command; its output where it exits with 0, else what it says.
    pub(super) async fn command(&self, arguments: &[&str]) -> Result<String, String> {
        let variables: Vec<(&str, &str)> = self
            .variables
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let ended = crate::gateway::command(&self.folder, arguments, &variables).await;
        if ended.status.success() {
            return Ok(ended.stdout.trim().to_owned());
        }
        assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
        Err(ended.stderr)
    }

    /// Asks the gateway at `url` for the credentials of `token` until it gives them; how long that took.
    pub(super) async fn recovered(&self, url: &str, token: &str) -> Duration {
        let begun = Instant::now();
        let mut ticks = tokio::time::interval(Duration::from_millis(25));
        let mut last = None;
        while begun.elapsed() < PATIENCE {
            ticks.tick().await;
            last = self.fetch(url, token).await;
            if matches!(&last, Some((StatusCode::OK, _))) {
                return begun.elapsed();
            }
        }
        panic!("{url} does not serve: {last:?}");
    }
}
