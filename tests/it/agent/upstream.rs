//! A gateway that answers as it is told: for the troubles that a real one has when nobody wants them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{SecondsFormat, TimeDelta};
use rolegate::model::{Clock, SystemClock};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

/// What a path answers.
#[derive(Clone)]
pub(super) enum Plan {
    /// A status and a body.
    Answer(u16, Value),
    /// Credentials with this key id and so many seconds to live.
    Credentials(&'static str, i64),
    /// A web identity token with so many seconds to live; each answer has another.
    WebIdentity(i64),
    /// Credentials as soon as there is a permit.
    Held(Arc<Semaphore>),
    /// Nothing, for ever.
    Hang,
    /// The connection is closed.
    Drop,
}

/// A request that came.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) line: String,
    pub(super) authorization: String,
    pub(super) body: String,
}

/// The server; it ends with the test.
pub(super) struct Upstream {
    pub(super) url: String,
    plans: Arc<Mutex<BTreeMap<String, Plan>>>,
    asked: watch::Sender<Vec<Asked>>,
}

pub(super) fn in_seconds(seconds: i64) -> String {
    let at = SystemClock.now() + TimeDelta::seconds(seconds);
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

pub(super) fn refusal(status: u16, code: &str, message: &str) -> Plan {
    let body = json!({ "code": code, "message": message, "Code": code, "Message": message });
    Plan::Answer(status, body)
}

fn credentials(key: &str, seconds: i64) -> Value {
    json!({
        "AccessKeyId": key, "SecretAccessKey": "a-secret-key", "Token": "a-session-token",
        "Expiration": in_seconds(seconds), "AccountId": "123456789012",
        "RoleArn": "arn:aws:iam::123456789012:role/reader",
    })
}

impl Upstream {
    /// Answers `GET /v1/credentials` and `POST /api/v1/credentials` by `plan`.
    pub(super) async fn start(plan: Plan) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let this = Self {
            url,
            plans: Arc::default(),
            asked: watch::Sender::new(Vec::new()),
        };
        this.plan("/api/v1/credentials", plan.clone());
        this.plan("/v1/credentials", plan);
        let (plans, asked) = (Arc::clone(&this.plans), this.asked.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&plans), asked.clone()));
            }
        });
        this
    }

    /// From now on `path` answers by `plan`.
    pub(super) fn plan(&self, path: &str, plan: Plan) {
        self.plans.lock().unwrap().insert(path.to_owned(), plan);
    }

    /// The same for credentials.
    pub(super) fn then(&self, plan: Plan) {
        self.plan("/v1/credentials", plan);
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.borrow().clone()
    }

    /// Waits for one more request than there were.
    pub(super) async fn asked_again(&self) -> Asked {
        let before = self.asked().len();
        self.asked_times(before + 1).await
    }

    /// Waits until there were so many requests.
    pub(super) async fn asked_times(&self, count: usize) -> Asked {
        let mut changes = self.asked.subscribe();
        let enough = changes.wait_for(|asked| asked.len() >= count);
        let asked = tokio::time::timeout(Duration::from_mins(1), enough).await;
        asked.expect("no further request").unwrap()[count - 1].clone()
    }
}

async fn answer(
    mut stream: TcpStream,
    plans: Arc<Mutex<BTreeMap<String, Plan>>>,
    asked: watch::Sender<Vec<Asked>>,
) {
    let mut bytes = Vec::new();
    let (head, body) = loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n")
            && body.len() >= header(head, "content-length").parse().unwrap_or(0)
        {
            break (head.to_owned(), body.to_owned());
        }
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
    };
    let line = head.lines().next().unwrap().to_owned();
    let path = line.split(' ').nth(1).unwrap().to_owned();
    let plan = plans.lock().unwrap().get(&path).cloned();
    let count = asked.borrow().len();
    asked.send_modify(|asked| {
        asked.push(Asked {
            authorization: header(&head, "authorization"),
            line,
            body,
        });
    });
    let (status, body) = match plan {
        Some(Plan::Answer(status, body)) => (status, body),
        Some(Plan::Credentials(key, seconds)) => (200, credentials(key, seconds)),
        Some(Plan::WebIdentity(seconds)) => {
            let role = "arn:aws:iam::123456789012:role/reader";
            let token = format!("web.identity.{count}");
            let given =
                json!({ "token": token, "role_arn": role, "expires_at": in_seconds(seconds) });
            (200, given)
        }
        Some(Plan::Held(permits)) => {
            permits.acquire().await.unwrap().forget();
            (200, credentials("ASIAHELD", 3600))
        }
        Some(Plan::Hang) => std::future::pending().await,
        Some(Plan::Drop) => return,
        None => (404, json!({})),
    };
    let body = body.to_string();
    let text = format!(
        "HTTP/1.1 {status} Told\r\nContent-Type: application/json\r\nLocation: /elsewhere\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let _gone = stream.write_all(text.as_bytes()).await;
}

fn header(head: &str, name: &str) -> String {
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    let mut found = lines.filter(|(found, _)| found.eq_ignore_ascii_case(name));
    found
        .next()
        .map(|(_, value)| value.to_owned())
        .unwrap_or_default()
}
