//! A gateway between a rogue provider and a strict STS, and browsers that sign in there.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::{Client, StatusCode, redirect::Policy};
use rolegate::demo::sts::{Account, OidcProvider, Role, SandboxSts, StsSettings};
use rolegate::model::{OsEntropy, SystemClock};
use serde_json::{Value, json};
use url::Url;

use crate::gateway::{ACCOUNT, Gateway, Variables, free_port, role};
use crate::parts::rogue_provider::{CLIENT_SECRET, RogueProvider};

/// How often something is looked for that must come, 20 ms apart.
const LOOKS: usize = 3000;

/// What a test needs.
pub(super) struct Stage {
    /// Holds configuration, database and key.
    pub(super) folder: tempfile::TempDir,
    /// Provider `rogue`.
    pub(super) rogue: RogueProvider,
    /// Provider `other`.
    pub(super) other: RogueProvider,
    /// AWS's part.
    pub(super) sts: SandboxSts,
    /// rolegate.
    pub(super) gateway: Gateway,
    /// A program without cookies.
    pub(super) client: Client,
    /// References of refusals, with their codes.
    refusals: Mutex<BTreeMap<String, String>>,
}

/// What the gateway answered.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: Vec<(String, String)>,
    pub(super) text: String,
}

impl Answer {
    pub(super) async fn of(response: reqwest::Response) -> Self {
        let mut headers: Vec<_> = response
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        headers.sort();
        Self {
            status: response.status(),
            headers,
            text: response.text().await.unwrap(),
        }
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).expect(&self.text)
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(known, _)| known == name);
        found.next().map(|(_, value)| value.as_str())
    }

    /// The token of the session that it opened.
    pub(super) fn token(&self) -> String {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text);
        self.json()["session_token"].as_str().unwrap().to_owned()
    }

    fn reference(&self) -> String {
        let text = match serde_json::from_str::<Value>(&self.text) {
            Ok(problem) => problem["reference"].as_str().expect(&self.text).to_owned(),
            Err(_page) => {
                let pattern = regex_lite::Regex::new(
                    "Reference[^A-Za-z0-9]*(?:<[^>]*>\\s*)*([A-Za-z0-9_-]{8,})",
                );
                let found = pattern.unwrap();
                let found = found.captures(&self.text).expect(&self.text);
                found[1].to_owned()
            }
        };
        assert!(text.len() >= 8, "{}", self.text);
        text
    }

    /// All of it that a stranger may compare: without the reference and the date.
    pub(super) fn outside(&self) -> String {
        let text = match serde_json::from_str::<Value>(&self.text) {
            Ok(problem) if problem["reference"].is_null() => self.text.clone(),
            _ => self.text.replace(&self.reference(), "REFERENCE"),
        };
        let headers = self.headers.iter().filter(|(name, _)| name != "date");
        format!("{} {:?} {text}", self.status, headers.collect::<Vec<_>>())
    }
}

/// A browser, or a program with a cookie jar.
pub(super) struct Browser {
    pub(super) client: Client,
    accept: &'static str,
}

impl Browser {
    /// A program: a sign-in ends with JSON.
    pub(super) fn json() -> Self {
        Self::accepting("application/json")
    }

    /// A person's: a sign-in ends with a page or a way to one.
    pub(super) fn html() -> Self {
        Self::accepting("text/html,application/xhtml+xml;q=0.9")
    }

    fn accepting(accept: &'static str) -> Self {
        // Nothing here is over TLS, and reading the system's authorities would take longer than a sign-in.
        let builder = Client::builder().cookie_store(true).tls_certs_only([]);
        let client = builder.redirect(Policy::none()).build().unwrap();
        Self { client, accept }
    }

    pub(super) async fn get(&self, url: &str) -> Answer {
        let request = self.client.get(url).header("Accept", self.accept);
        Answer::of(request.send().await.unwrap()).await
    }

    /// Begins at the gateway with `path`; returns where the browser is sent.
    pub(super) async fn begin(&self, stage: &Stage, path: &str) -> Url {
        let answer = self.get(&stage.gateway.at(path)).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
        answer.header("location").unwrap().parse().unwrap()
    }

    /// Goes to the provider with `url`; returns where it sends the browser.
    pub(super) async fn visit(&self, url: &Url) -> Url {
        let answer = self.get(url.as_str()).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
        answer.header("location").unwrap().parse().unwrap()
    }

    /// The callback's URL of a sign-in that was begun with `provider`.
    pub(super) async fn callback(&self, stage: &Stage, provider: &str) -> Url {
        let path = format!("/oidc/{provider}/login");
        let url = self.begin(stage, &path).await;
        self.visit(&url).await
    }

    /// The whole way with `provider`.
    pub(super) async fn sign_in(&self, stage: &Stage, provider: &str) -> Answer {
        let back = self.callback(stage, provider).await;
        self.get(back.as_str()).await
    }
}

/// A role whose trust policy lets `providers` in, each for its client.
fn trusting(name: &str, providers: &[(&RogueProvider, &str)]) -> Role {
    let statements: Vec<Value> = providers
        .iter()
        .map(|(provider, client)| {
            let host = provider.host();
            let principal = format!("arn:aws:iam::{ACCOUNT}:oidc-provider/{host}");
            let aud = format!("{host}:aud");
            json!({
                "Effect": "Allow", "Principal": { "Federated": principal },
                "Action": ["sts:AssumeRoleWithWebIdentity", "sts:TagSession", "sts:SetSourceIdentity"],
                "Condition": { "StringEquals": { aud: client } },
            })
        })
        .collect();
    let policy = json!({ "Version": "2012-10-17", "Statement": statements });
    Role::new(&role(name), &policy.to_string()).unwrap()
}

/// The names and client ids of the two.
pub(super) const CLIENTS: [(&str, &str); 2] =
    [("rogue", "gate-at-rogue"), ("other", "gate-at-other")];

/// The roles that the allow-list names, by method web-identity.
pub(super) const ROLES: [&str; 2] = ["long", "wide"];

impl Stage {
    pub(super) async fn set() -> Self {
        Self::with(Variables::new()).await
    }

    /// With more variables of the gateway.
    pub(super) async fn with(variables: Variables) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let public_url = format!("http://127.0.0.1:{}", free_port());
        let [rogue, other] = CLIENTS.map(|(name, client)| {
            RogueProvider::start(client, &format!("{public_url}/oidc/{name}/callback"))
        });
        rogue.person(alice());
        other.person(alice());
        configure(folder.path(), &public_url, [&rogue, &other]);
        let clients = [(&rogue, CLIENTS[0].1), (&other, CLIENTS[1].1)];
        let account = Account {
            roles: ROLES.map(|name| trusting(name, &clients)).to_vec(),
            oidc_providers: clients
                .map(|(provider, client)| OidcProvider {
                    arn: format!("arn:aws:iam::{ACCOUNT}:oidc-provider/{}", provider.host()),
                    issuer: provider.url().to_owned(),
                    client_ids: vec![client.to_owned()],
                })
                .to_vec(),
            ..Account::default()
        };
        let settings = StsSettings {
            trusts: Vec::new(),
            providers: Vec::new(),
            clock: Arc::new(SystemClock),
            entropy: Arc::new(OsEntropy),
        };
        let sts = SandboxSts::start_with(settings, account).await.unwrap();
        let path = folder.path();
        let gateway = Gateway::start_with(path, &public_url, sts.url(), variables).await;
        let stage = Self {
            folder,
            rogue,
            other,
            sts,
            gateway,
            client: Browser::json().client,
            refusals: Mutex::default(),
        };
        stage.ready("rogue").await;
        stage.ready("other").await;
        stage
    }

    /// Another gateway on the same store, under its own port and the same name.
    pub(super) async fn replica(&self) -> Gateway {
        let port = free_port();
        let variables = vec![("ROLEGATE_SERVER__LISTEN", format!("127.0.0.1:{port}"))];
        let url = format!("http://127.0.0.1:{port}");
        Gateway::start_with(self.folder.path(), &url, self.sts.url(), variables).await
    }

    /// Waits until sign-ins with `provider` can begin.
    pub(super) async fn ready(&self, provider: &str) {
        let url = self.gateway.at(&format!("/oidc/{provider}/login"));
        let mut ticks = ticks();
        for _ in 0..LOOKS {
            let answer = Browser::json().get(&url).await;
            if answer.status == StatusCode::SEE_OTHER {
                return;
            }
            assert_eq!(
                answer.status,
                StatusCode::SERVICE_UNAVAILABLE,
                "{}",
                answer.text
            );
            ticks.tick().await;
        }
        panic!("{provider} is not ready: {}", self.gateway.log());
    }

    /// Signs in with provider `rogue` in a browser of its own.
    pub(super) async fn sign_in(&self) -> Answer {
        Browser::json().sign_in(self, "rogue").await
    }

    /// That `answer` refuses by `code`: 403 to the outside, the code in the log.
    pub(super) async fn refused(&self, answer: &Answer, code: &str, what: &str) {
        assert_eq!(
            answer.status,
            StatusCode::FORBIDDEN,
            "{what}: {}",
            answer.text
        );
        assert_eq!(answer.header("set-cookie"), None, "{what}");
        let found = self.logged_code(&answer.reference()).await;
        assert_eq!(found, code, "{what}");
        let mut refusals = self.refusals.lock().unwrap();
        refusals.insert(answer.reference(), code.to_owned());
    }

    /// The code that the log has under `reference`.
    pub(super) async fn logged_code(&self, reference: &str) -> String {
        let mut ticks = ticks();
        for _ in 0..LOOKS {
            let log = self.gateway.log();
            let lines = log.lines().filter(|line| line.contains(reference));
            let lines = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
            let mut codes = lines.filter_map(|line| {
                let fields = &line["fields"];
                let refusal = fields["event"] == "sign_in_refused";
                refusal.then(|| fields["code"].as_str().unwrap().to_owned())
            });
            if let Some(code) = codes.next() {
                return code;
            }
            ticks.tick().await;
        }
        panic!("{reference} is not in {}", self.gateway.log());
    }

    /// That the audit has each refusal so far under its reference, with the very code, but for those of a flood.
    pub(super) async fn audited(&self) {
        let refusals = self.refusals.lock().unwrap().clone();
        let mut ticks = ticks();
        let mut missing = String::new();
        for _ in 0..LOOKS {
            let records = self.audit().await;
            let found = |reference: &str, code: &str| {
                records.iter().any(|record| {
                    let reason = record["reason"].as_str().unwrap_or("");
                    record["reference"] == reference && reason.starts_with(&format!("{code}: "))
                })
            };
            // Of those alike the first twenty in a minute are recorded one by one, the others are counted.
            let alike = |code: &str| {
                let alike = refusals.iter().filter(|(_, other)| *other == code);
                alike.filter(|(key, code)| found(key, code)).count()
            };
            let mut lost = refusals
                .iter()
                .filter(|(key, code)| !found(key, code) && alike(code) < 20);
            match lost.next() {
                None => return,
                Some(lost) => missing = format!("{lost:?} is not in {records:?}"),
            }
            ticks.tick().await;
        }
        panic!("{missing}");
    }

    /// The audit's records.
    pub(super) async fn audit(&self) -> Vec<Value> {
        let text = self.gateway.command(&["audit", "export"]).await.good();
        let lines = text.lines().map(serde_json::from_str);
        lines.collect::<Result<_, _>>().unwrap()
    }

    /// Sessions that are alive.
    pub(super) async fn sessions(&self) -> usize {
        let text = self
            .gateway
            .command(&["sessions", "list", "--json"])
            .await
            .good();
        let all: Vec<Value> = serde_json::from_str(&text).unwrap();
        all.iter()
            .filter(|session| session["ended_at"].is_null())
            .count()
    }

    /// Calls `path` at `gateway`.
    pub(super) async fn call(
        &self,
        method: &str,
        path: &str,
        token: &str,
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        let mut request = self
            .client
            .request(method.parse().unwrap(), self.gateway.at(path))
            .bearer_auth(token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = Answer::of(request.send().await.unwrap()).await;
        let json = serde_json::from_str(&answer.text);
        (answer.status, json.unwrap_or(Value::String(answer.text)))
    }

    /// Whether the session is alive.
    pub(super) async fn is_signed_in(&self, token: &str) -> bool {
        let (status, _) = self.call("GET", "/api/v1/me", token, None).await;
        status == StatusCode::OK
    }

    /// Leases `name` for `alice`, with more to it; returns the lease token.
    pub(super) async fn lease(&self, launcher: &str, name: &str, more: Value) -> String {
        let mut order =
            json!({ "user": "alice", "idp": "rogue", "role_arn": role(name), "job": "job-1" });
        for (key, value) in more.as_object().unwrap() {
            order[key] = value.clone();
        }
        let made = self.call("POST", "/api/v1/leases", launcher, Some(order));
        let (status, lease) = made.await;
        assert_eq!(status, StatusCode::CREATED, "{lease}");
        lease["token"].as_str().unwrap().to_owned()
    }

    /// Fetches once.
    pub(super) async fn fetch_at(&self, gateway: &Gateway, token: &str) -> (StatusCode, Value) {
        let request = self
            .client
            .get(gateway.at("/v1/credentials"))
            .header("Authorization", token);
        let answer = Answer::of(request.send().await.unwrap()).await;
        (answer.status, answer.json())
    }

    /// Fetches as a job does, again and again while it is told to wait.
    pub(super) async fn fetch(&self, token: &str) -> (StatusCode, Value) {
        let mut ticks = ticks();
        for _ in 0..LOOKS {
            let (status, answer) = self.fetch_at(&self.gateway, token).await;
            if answer["code"] != "pending" {
                return (status, answer);
            }
            ticks.tick().await;
        }
        panic!("a fetch is pending for ever");
    }
}

/// 20 ms apart.
pub(super) fn ticks() -> tokio::time::Interval {
    tokio::time::interval(Duration::from_millis(20))
}

/// The claims of a person with both roles.
pub(super) fn alice() -> Value {
    json!({
        "sub": "1234567890", "email": "alice@example.org", "email_verified": true,
        "aws_role_session_name": "alice", "aws_role_arn": ROLES.map(role),
    })
}

fn configure(folder: &std::path::Path, public_url: &str, providers: [&RogueProvider; 2]) {
    let (_, listen) = public_url.split_once("://").unwrap();
    let mut text = format!("[server]\nlisten = \"{listen}\"\npublic_url = \"{public_url}\"\n");
    for (provider, (name, client)) in providers.into_iter().zip(CLIENTS) {
        let issuer = provider.url();
        std::fs::write(folder.join(format!("{name}.secret")), CLIENT_SECRET).unwrap();
        write!(
            text,
            "[[oidc.provider]]\nname = \"{name}\"\nissuer = \"{issuer}\"\nclient_id = \"{client}\"\n\
             client_secret_file = \"{name}.secret\"\n"
        )
        .unwrap();
    }
    for name in ROLES {
        write!(
            text,
            "[[roles.entry]]\narn = \"{}\"\nmethod = \"web-identity\"\nrenew_for_seconds = 604800\n",
            role(name)
        )
        .unwrap();
    }
    std::fs::write(folder.join("rolegate.toml"), text).unwrap();
}
