//! Credentials on loopback whose life the test chooses, and an STS that takes them for so long, and little longer: a
//! job may be kept waiting between the decision that its credentials are good and the call.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, SubsecRound, TimeDelta, Utc};
use rolegate::model::{Clock, SystemClock};
use serde_json::{Value, json};

/// What it takes for a lease token.
const TOKEN: &str = "rgj_of-this-test";

/// What GetCallerIdentity says to who has good credentials.
pub(crate) const ARN: &str = "arn:aws:sts::123456789012:assumed-role/data-scientist/alice";

/// How long a call may be on its way with credentials that were good when it began.
const ON_ITS_WAY: TimeDelta = TimeDelta::seconds(10);

/// The endpoint; its threads end with the test's process.
pub(crate) struct Scripted {
    url: String,
    uri: String,
    state: Arc<Mutex<State>>,
}

struct State {
    life: Duration,
    refusal: Option<(&'static str, Value)>,
    fetches: usize,
    exchanges: usize,
    ends: HashMap<String, DateTime<Utc>>,
    /// When each key was issued.
    issued: HashMap<String, DateTime<Utc>>,
    /// The keys of calls that were answered, in order.
    used: Vec<String>,
}

impl Scripted {
    /// Gives credentials of so long a life.
    pub(crate) fn start(life: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State {
            life,
            refusal: None,
            fetches: 0,
            exchanges: 0,
            ends: HashMap::new(),
            issued: HashMap::new(),
            used: Vec::new(),
        }));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let state = Arc::clone(&shared);
                thread::spawn(move || answer(stream.unwrap(), &state));
            }
        });
        Self {
            uri: format!("{url}/v1/credentials"),
            url,
            state,
        }
    }

    /// The environment of a job that fetches its credentials here.
    pub(crate) fn container(&self) -> [(&str, &str); 3] {
        [
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &self.uri),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN", TOKEN),
            self.sts(),
        ]
    }

    /// The variable that names the STS.
    pub(crate) fn sts(&self) -> (&str, &str) {
        ("AWS_ENDPOINT_URL_STS", &self.url)
    }

    /// From now on a fetch is answered so.
    pub(crate) fn refuse(&self, status: &'static str, body: Value) {
        self.state.lock().unwrap().refusal = Some((status, body));
    }

    /// How often credentials were asked for, also in vain.
    pub(crate) fn fetches(&self) -> usize {
        self.state.lock().unwrap().fetches
    }

    /// How often a web identity token was brought to STS.
    pub(crate) fn exchanges(&self) -> usize {
        self.state.lock().unwrap().exchanges
    }

    /// Whether the last call came with credentials that were issued after the first ones had ended.
    pub(crate) fn outlived(&self) -> bool {
        let state = self.state.lock().unwrap();
        let (first, last) = (state.used.first().unwrap(), state.used.last().unwrap());
        state.issued[last] >= state.ends[first]
    }

    /// Credentials of the set life, in the `credential_process` form.
    pub(crate) fn issue(&self) -> Value {
        let had = self.state.lock().unwrap().issue();
        json!({
            "Version": 1, "AccessKeyId": had["AccessKeyId"], "SecretAccessKey": had["SecretAccessKey"],
            "SessionToken": had["Token"], "Expiration": had["Expiration"],
        })
    }
}

impl State {
    fn issue(&mut self) -> Value {
        let key = format!("ASIA{:016}", self.ends.len());
        let now = SystemClock.now();
        // As it is told: in whole seconds.
        let end = (now + self.life).trunc_subsecs(0);
        self.issued.insert(key.clone(), now);
        self.ends.insert(key.clone(), end);
        json!({
            "AccessKeyId": key, "SecretAccessKey": "secret", "Token": "token",
            "Expiration": end.to_rfc3339_opts(SecondsFormat::Secs, true),
        })
    }

    fn respond(&mut self, head: &str, body: &str) -> (&'static str, String) {
        let lower = head.to_ascii_lowercase();
        if lower.starts_with("get /v1/credentials ") {
            self.fetches += 1;
            if let Some((status, body)) = &self.refusal {
                return (status, body.to_string());
            }
            if lower.contains(&format!("authorization: {TOKEN}")) {
                return ("200 OK", self.issue().to_string());
            }
            let problem = json!({ "code": "unknown_token", "message": "unknown token" });
            return ("401 Unauthorized", problem.to_string());
        }
        if body.contains("Action=AssumeRoleWithWebIdentity") {
            self.exchanges += 1;
            assert!(body.contains("WebIdentityToken=of-this-test"), "{body}");
            return ("200 OK", exchanged(&self.issue()));
        }
        self.identify(head)
    }

    fn identify(&mut self, head: &str) -> (&'static str, String) {
        let signed = head.split_once("Credential=").unwrap().1;
        let (key, _) = signed.split_once('/').unwrap();
        match self.ends.get(key) {
            Some(end) if *end + ON_ITS_WAY > SystemClock.now() => {
                self.used.push(key.to_owned());
                let result = format!(
                    "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
                     <GetCallerIdentityResult><Arn>{ARN}</Arn><UserId>AROAEXAMPLE:alice</UserId>\
                     <Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"
                );
                ("200 OK", result)
            }
            Some(_) => refused("ExpiredToken"),
            None => refused("InvalidClientTokenId"),
        }
    }
}

fn refused(code: &str) -> (&'static str, String) {
    let problem = format!(
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
         <Code>{code}</Code><Message>{code}</Message></Error></ErrorResponse>"
    );
    ("403 Forbidden", problem)
}

fn exchanged(had: &Value) -> String {
    let text = |key: &str| had[key].as_str().unwrap();
    format!(
        "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
         <AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>{}</AccessKeyId>\
         <SecretAccessKey>{}</SecretAccessKey><SessionToken>{}</SessionToken><Expiration>{}</Expiration>\
         </Credentials><AssumedRoleUser><Arn>{ARN}</Arn><AssumedRoleId>AROAEXAMPLE:alice</AssumedRoleId>\
         </AssumedRoleUser></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>",
        text("AccessKeyId"),
        text("SecretAccessKey"),
        text("Token"),
        text("Expiration")
    )
}

fn answer(mut stream: TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut head = String::new();
    // Who connects and says nothing has gone.
    while reader.read_line(&mut head).is_ok_and(|read| read > 2) {}
    if head.is_empty() {
        return;
    }
    let length = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(0, |(_, length)| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let body = String::from_utf8(body).unwrap();
    let (status, text) = state.lock().unwrap().respond(&head, &body);
    let kind = if text.starts_with('{') {
        "application/json"
    } else {
        "text/xml"
    };
    // A client that gave up meanwhile is no failure of ours.
    let _sent = write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
        text.len()
    );
}
