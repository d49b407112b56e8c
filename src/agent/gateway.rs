//! The one HTTP client of the job side: a call to the gateway, its limits, and what an answer means.
//!
//! It trusts the host that `--url` names, by the system's authorities or those of `SSL_CERT_FILE`, which is the
//! point for a private CA. It follows no redirect, sends a token to https or loopback alone, and reads at most
//! 64 KiB. Authorities are loaded at the first call, and for https alone.

use std::error::Error;
use std::sync::OnceLock;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Method, RequestBuilder, Response};
use serde_json::Value;
use url::{Host, Url};

use super::error::{AgentError, Trouble};
use crate::model::Secret;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(2);
/// How long the whole may take.
const WHOLE: Duration = Duration::from_secs(5);
/// A longer answer is none of a gateway's.
const MAX_ANSWER: usize = 64 * 1024;

/// The gateway.
pub(super) struct Gateway {
    base: Url,
    client: OnceLock<Client>,
}

/// An answer: its status, and its body.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

impl Gateway {
    /// The gateway at `url`, or what is wrong with how it was named. Nothing of the URL is repeated: it may
    /// hold a password by mistake.
    pub(super) fn new(url: &str) -> Result<Self, AgentError> {
        let base: Url = url.parse().map_err(AgentError::BadUrl)?;
        let parts = [
            (
                !base.username().is_empty() || base.password().is_some(),
                "user or password",
            ),
            (base.query().is_some(), "query"),
            (base.fragment().is_some(), "fragment"),
        ];
        if let Some((_, what)) = parts.into_iter().find(|(is_there, _)| *is_there) {
            return Err(AgentError::UrlHolds(what));
        }
        if base.scheme() != "https" && !(base.scheme() == "http" && is_loopback(&base)) {
            return Err(AgentError::Cleartext);
        }
        Ok(Self {
            base,
            client: OnceLock::new(),
        })
    }

    /// Its address, the same however it was written.
    pub(super) fn url(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// Sets TLS up now, to hear early what is wrong with it.
    pub(super) fn prepare(&self) -> Result<(), AgentError> {
        self.client().map(drop)
    }

    /// Asks for `path` with `authorization` as it stands.
    pub(super) async fn get(&self, path: &str, authorization: &Secret) -> Result<Answer, Trouble> {
        let request = self.request(Method::GET, path)?;
        send(request.header(AUTHORIZATION, header(authorization.expose())?)).await
    }

    /// Posts `body` to `path`, with a bearer token where there is one.
    pub(super) async fn post(
        &self,
        path: &str,
        bearer: Option<&Secret>,
        body: &Value,
    ) -> Result<Answer, Trouble> {
        let mut request = self.request(Method::POST, path)?.json(body);
        if let Some(token) = bearer {
            let value = zeroize::Zeroizing::new(format!("Bearer {}", token.expose()));
            request = request.header(AUTHORIZATION, header(&value)?);
        }
        send(request).await
    }

    fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, Trouble> {
        let client = self
            .client()
            .map_err(|error| Trouble::Away(error.to_string()))?;
        let request = client.request(method, format!("{}{path}", self.url()));
        Ok(request.header(ACCEPT, "application/json"))
    }

    fn client(&self) -> Result<&Client, AgentError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = build(&self.base)?;
        Ok(self.client.get_or_init(|| client))
    }
}

fn build(base: &Url) -> Result<Client, AgentError> {
    let bad = |error: &dyn Error| AgentError::Tls(chain(error));
    let mut builder = Client::builder()
        .redirect(Policy::none())
        .referer(false)
        .connect_timeout(CONNECT)
        .timeout(WHOLE)
        .user_agent(concat!("rolegate-agent/", env!("CARGO_PKG_VERSION")));
    if is_loopback(base) {
        // A proxy would look for the gateway on its own loopback.
        builder = builder.no_proxy();
    }
    if base.scheme() == "http" {
        builder = builder.tls_certs_only(std::iter::empty());
    } else if let Some(file) = std::env::var_os("SSL_CERT_FILE").filter(|file| !file.is_empty()) {
        let pem = std::fs::read(file).map_err(|error| bad(&error))?;
        let authorities = Certificate::from_pem_bundle(&pem).map_err(|error| bad(&error))?;
        builder = builder.tls_certs_only(authorities);
    }
    builder.build().map_err(|error| bad(&error))
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

fn header(text: &str) -> Result<HeaderValue, Trouble> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| Trouble::Away("the token holds what no header can".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

async fn send(request: RequestBuilder) -> Result<Answer, Trouble> {
    let unreachable = |error: &reqwest::Error| {
        let what = chain(error);
        Trouble::Away(format!(
            "the gateway cannot be reached ({what}); check --url, the network and the gateway's certificate"
        ))
    };
    let mut response: Response = request.send().await.map_err(|error| unreachable(&error))?;
    let status = response.status().as_u16();
    let mut body = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| unreachable(&error))?
    {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_ANSWER {
            return Err(unexpected());
        }
    }
    Ok(Answer { status, body })
}

/// What an answer that is not the wanted one means.
pub(super) fn trouble(answer: &Answer) -> Trouble {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let text = |key: &str| body.get(key).and_then(Value::as_str).map(printable);
    let message = text("message")
        .or_else(|| text("detail"))
        .or_else(|| text("title"));
    let status = answer.status;
    match (status, message) {
        (300..=399, _) => Trouble::Away(
            "the gateway redirects, which is not followed; let --url be its own address".to_owned(),
        ),
        (400..=499, Some(message)) if status != 429 => Trouble::Refused {
            status,
            code: text("code").unwrap_or_else(|| "refused".to_owned()),
            message,
        },
        // Without a sentence it may be anything on the way; a 401 or 403 counts all the same.
        (401 | 403, None) => Trouble::Refused {
            status,
            code: "refused".to_owned(),
            message: "something before the gateway, or no gateway, refused; is --url the address of a rolegate?".to_owned(),
        },
        (_, Some(message)) => Trouble::Away(format!("the gateway answered {status}: {message}")),
        (_, None) => Trouble::Away(format!(
            "the gateway answered {status}; is --url the address of a rolegate?"
        )),
    }
}

/// An answer of 200 that cannot be read.
pub(super) fn unexpected() -> Trouble {
    Trouble::Away(AgentError::Unexpected.to_string())
}

/// Text from elsewhere, fit for a terminal and a log.
pub(super) fn printable(text: &str) -> String {
    let keep = text.chars().filter(|char| !char.is_control());
    keep.take(1000).collect()
}

/// An error with its causes; reqwest's own text names the URL alone, which is no secret.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_https_and_loopback_alone_and_names_what_is_too_much() {
        for (good, url) in [
            ("https://gate.example.org", "https://gate.example.org"),
            ("https://gate.example.org/", "https://gate.example.org"),
            (
                "https://gate.example.org/sub/",
                "https://gate.example.org/sub",
            ),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://localhost:8080", "http://localhost:8080"),
            ("http://[::1]:8080", "http://[::1]:8080"),
        ] {
            assert_eq!(Gateway::new(good).unwrap().url(), url);
        }
        for (bad, why) in [
            ("http://gate.example.org", "in the clear"),
            ("http://localhost.example.org", "in the clear"),
            ("ftp://127.0.0.1", "in the clear"),
            ("https://user:hunter2@gate.example.org", "user or password"),
            ("https://gate.example.org?token=hunter2", "query"),
            ("https://gate.example.org#hunter2", "fragment"),
            ("gate.example.org", "no URL"),
        ] {
            let error = Gateway::new(bad).err().unwrap().to_string();
            assert!(error.contains(why) && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn tells_refusals_from_trouble() {
        let says = |status, body: &str| {
            trouble(&Answer {
                status,
                body: body.as_bytes().to_vec(),
            })
        };
        let refused = says(
            403,
            r#"{"code":"revoked","message":"the lease\nwas revoked"}"#,
        );
        assert_eq!(
            refused,
            Trouble::Refused {
                status: 403,
                code: "revoked".to_owned(),
                message: "the leasewas revoked".to_owned(),
            }
        );
        assert!(refused.ends_it());
        assert!(says(401, "").ends_it());
        let problem = says(409, r#"{"code":"sign_in_needed","title":"sign in"}"#);
        assert!(matches!(problem, Trouble::Refused { status: 409, .. }));
        for away in [
            says(429, r#"{"code":"x","message":"slow down"}"#),
            says(503, r#"{"code":"x","message":"STS is away"}"#),
            says(500, "<html>"),
            says(404, "<html>"),
            says(302, ""),
        ] {
            assert!(matches!(away, Trouble::Away(_)), "{away:?}");
        }
        assert!(!problem.ends_it());
    }
}
