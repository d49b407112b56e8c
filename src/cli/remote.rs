//! A running gateway in place of the store: `--url` or `ROLEGATE_URL`, with `ROLEGATE_TOKEN`.
//!
//! The token goes to https alone, or to loopback, and follows no redirect.

use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::{Host, Url};

use super::Failure;

const TOKEN: &str = "ROLEGATE_TOKEN";
const PATIENCE: Duration = Duration::from_secs(30);

/// The gateway, and the token for it.
pub(super) struct Remote {
    base: Url,
    token: String,
    client: Client,
}

impl Remote {
    /// The gateway at `base`, or what is wrong with how it was named.
    pub(super) fn new(base: &str) -> Result<Self, Failure> {
        let base: Url = base
            .parse()
            .map_err(|error| format!("--url {base:?}: {error}; write https://gate.example.org"))?;
        let loopback = match base.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost",
            None => false,
        };
        if base.scheme() != "https" && !(base.scheme() == "http" && loopback) {
            return Err(
                "--url takes https, or http on loopback: a token must not travel in the clear"
                    .into(),
            );
        }
        let token = std::env::var(TOKEN).ok().filter(|token| !token.is_empty());
        let token = token.ok_or(
            "ROLEGATE_TOKEN is not set; `rolegate tokens create NAME --role auditor` makes a token, at the gateway's store",
        )?;
        let client = Client::builder()
            .timeout(PATIENCE)
            .redirect(Policy::none())
            .build()?;
        Ok(Self {
            base,
            token,
            client,
        })
    }

    /// Posts `body` to `path`, and reads the answer; an error's own words become the failure.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        let url = format!("{}{path}", self.base.as_str().trim_end_matches('/'));
        let request = self.client.post(url).bearer_auth(&self.token).json(body);
        let answer = request.send().await?;
        if answer.status() == StatusCode::OK {
            return Ok(answer.json().await?);
        }
        Err(problem(answer).await.into())
    }
}

async fn problem(answer: Response) -> String {
    let status = answer.status();
    let body: Value = answer.json().await.unwrap_or_default();
    match body.get("title").and_then(Value::as_str) {
        Some(title) => title.to_owned(),
        None => format!("the gateway answered {status}; is --url the address of a rolegate?"),
    }
}
