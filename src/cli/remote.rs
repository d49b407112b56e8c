//! A running gateway in place of the store: `--url` or `ROLEGATE_URL`, with `ROLEGATE_TOKEN`.
//!
//! The token goes to https alone, or to loopback, and follows no redirect.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::{Host, Url};

use super::{Failure, WRONG_USAGE, output};

const TOKEN: &str = "ROLEGATE_TOKEN";
const PATIENCE: Duration = Duration::from_secs(30);

const STORE_AWAY: &str = "the gateway does not hear from its store, so whether this was done is not known, and nothing is handed out meanwhile; look at the database, its disk and the way there (the gateway's log has the reason under event store_away), then run this again";

/// Where a command acts.
#[derive(clap::Args)]
pub(super) struct Place {
    /// Ask a running gateway, with a token in ROLEGATE_TOKEN (an admin's; to list, explain or export an auditor's does), not the store of --config
    #[arg(long, env = "ROLEGATE_URL", value_name = "URL")]
    url: Option<String>,
}

impl Place {
    /// The gateway that was named, if one was; an empty variable names none.
    pub(super) fn gateway(&self) -> Result<Option<Remote>, Misused> {
        let url = self.url.as_deref().filter(|url| !url.is_empty());
        let gateway = url.map(Remote::new).transpose();
        gateway.map_err(|Failure(problem)| Misused(problem))
    }
}

/// A command that was not typed as it must be, which the parser of arguments could not see.
pub(super) struct Misused(pub(super) String);

impl Misused {
    /// Says so, with the exit code of wrong usage.
    pub(super) fn told(&self) -> ExitCode {
        output::error(&self.0);
        ExitCode::from(WRONG_USAGE)
    }
}

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
            "ROLEGATE_TOKEN is not set; `rolegate tokens create NAME --role auditor` or `--role admin` makes a token, at the gateway's store",
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

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.base.as_str().trim_end_matches('/'))
    }

    /// Posts `body` to `path`, and reads the answer; an error's own words become the failure.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        let url = self.at(path);
        let request = self.client.post(url).bearer_auth(&self.token).json(body);
        read(send(request).await?).await
    }

    /// All items of the list at `path`, page after page.
    pub(super) async fn list(&self, path: &str) -> Result<Vec<Value>, Failure> {
        let mut items = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let mut url: Url = self.at(path).parse()?;
            if let Some(after) = &after {
                url.query_pairs_mut().append_pair("after", after);
            }
            let request = self.client.get(url).bearer_auth(&self.token);
            let page: Page = read(send(request).await?).await?;
            items.extend(page.items);
            let Some(next) = page.next else {
                return Ok(items);
            };
            after = Some(next);
        }
    }

    /// What is at `path`; an error with its code.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, Refused> {
        let request = self.client.get(self.with_query(path, query)?);
        let answer = send(request.bearer_auth(&self.token)).await?;
        read_coded(answer).await
    }

    /// Puts `body` at `path`, and reads the answer; an error with its code.
    pub(super) async fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
        body: &impl Serialize,
    ) -> Result<T, Refused> {
        let request = self.client.put(self.with_query(path, query)?).json(body);
        let answer = send(request.bearer_auth(&self.token)).await?;
        read_coded(answer).await
    }

    /// Deletes what is at `path`; an error with its code.
    pub(super) async fn remove(&self, path: &str, query: &[(&str, &str)]) -> Result<(), Refused> {
        let request = self.client.delete(self.with_query(path, query)?);
        let answer = send(request.bearer_auth(&self.token)).await?;
        if answer.status() == StatusCode::NO_CONTENT {
            return Ok(());
        }
        Err(refused(answer).await)
    }

    fn with_query(&self, path: &str, query: &[(&str, &str)]) -> Result<Url, Refused> {
        let mut url: Url = self.at(path).parse()?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }

    /// Deletes what is at `path`; an error's own words become the failure.
    pub(super) async fn delete(&self, path: &str) -> Result<(), Failure> {
        let url = self.at(path);
        let request = self.client.delete(url).bearer_auth(&self.token);
        let answer = send(request).await?;
        if answer.status() == StatusCode::NO_CONTENT {
            return Ok(());
        }
        Err(problem(answer).await.into())
    }
}

/// A page of a list.
#[derive(Deserialize)]
struct Page {
    items: Vec<Value>,
    next: Option<String>,
}

/// Sends it, or says why nobody answered: the error's own text keeps that to its causes.
async fn send(request: RequestBuilder) -> Result<Response, Refused> {
    request.send().await.map_err(|error| {
        let innermost = std::iter::successors(error.source(), |&cause| cause.source()).last();
        let cause = innermost.map_or_else(|| error.to_string(), ToString::to_string);
        Refused {
            code: String::new(),
            title: format!(
                "the gateway cannot be reached ({cause}); check --url, that it runs and, with https, that this machine trusts its certificate"
            ),
        }
    })
}

async fn read<T: DeserializeOwned>(answer: Response) -> Result<T, Failure> {
    if answer.status() == StatusCode::OK {
        return Ok(answer.json().await?);
    }
    Err(problem(answer).await.into())
}

async fn read_coded<T: DeserializeOwned>(answer: Response) -> Result<T, Refused> {
    if answer.status() == StatusCode::OK {
        return Ok(answer.json().await?);
    }
    Err(refused(answer).await)
}

async fn problem(answer: Response) -> String {
    refused(answer).await.title
}

async fn refused(answer: Response) -> Refused {
    let status = answer.status();
    let body: Value = answer.json().await.unwrap_or_default();
    let field = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
    let title = field("title").unwrap_or_else(|| {
        format!("the gateway answered {status}; is --url the address of a rolegate?")
    });
    let code = field("code").unwrap_or_default();
    Refused {
        // The API speaks of the header, which this command wrote, and to callers who cannot see the store.
        title: match status {
            _ if code == "store_away" => STORE_AWAY.to_owned(),
            StatusCode::UNAUTHORIZED => format!(
                "the gateway knows no such token as {TOKEN} has, or it has ended or was revoked; `rolegate tokens list` at the gateway's store shows those there are, and `rolegate tokens create` makes another"
            ),
            _ => title,
        },
        code,
    }
}

/// What a gateway refused, in its own words; or what kept it from being asked, without a code.
pub(super) struct Refused {
    /// The stable code of the problem; empty where there is none.
    pub(super) code: String,
    title: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.title)
    }
}

impl<E: Error> From<E> for Refused {
    fn from(error: E) -> Self {
        Self {
            code: String::new(),
            title: error.to_string(),
        }
    }
}
