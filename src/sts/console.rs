//! Credentials become a way into the AWS console: the federation endpoint of their partition gives a
//! sign-in token for them, and a URL carries it (IAM User Guide, "custom identity broker").
//!
//! Trusts that endpoint for the token alone, by TLS under the system's authorities or those of
//! `SSL_CERT_FILE`. Credentials travel in a body, never in a URL; no redirect is followed with them, and
//! nothing that was sent or that came back is repeated in an error. `SessionDuration` is never asked for:
//! AWS refuses it for some credentials, and without it the console ends when they do.

use std::fmt;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Response, StatusCode};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::OnceCell;
use tracing::instrument::WithSubscriber;
use tracing::subscriber::NoSubscriber;
use url::Url;
use zeroize::Zeroizing;

use super::refusal::chain;
use crate::model::{Credentials, Partition, Secret};

/// How long everything may take.
const WHOLE: Duration = Duration::from_secs(5);
/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(2);
/// An answer holds one token of a few kilobytes.
pub(super) const MOST: usize = 64 * 1024;

/// Why there is no way into the console.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FederationError {
    /// AWS names no public federation endpoint for the partition.
    #[error("no console is known for partition {0}; use the role with the AWS CLI or an SDK")]
    NoConsole(Partition),
    /// The client cannot be made.
    #[error("the way to AWS's console sign-in cannot be opened ({0}); look at SSL_CERT_FILE")]
    Client(String),
    /// No connection, or it broke.
    #[error(
        "AWS's console sign-in cannot be reached ({0}); try again, and look at DNS, firewall and the trusted authorities if it persists"
    )]
    Unreachable(String),
    /// No whole answer in time.
    #[error("AWS's console sign-in did not answer within 5 seconds; try again")]
    TimedOut,
    /// It is overloaded or broken.
    #[error("AWS's console sign-in is unavailable (HTTP {0}); try again in a minute")]
    Unavailable(u16),
    /// It does not take these credentials.
    #[error(
        "AWS's console sign-in refused the credentials of this role (HTTP {0}); they may have been revoked in the account; sign in again"
    )]
    Refused(u16),
    /// An answer without a token.
    #[error("the answer is none of AWS's console sign-in ({0}); look for a proxy on the way to it")]
    BadAnswer(&'static str),
}

/// The two URLs of a partition (AWS General Reference; the same in aws-vault and saml2aws).
struct Place {
    signin: &'static str,
    console: &'static str,
}

fn place(partition: Partition) -> Result<Place, FederationError> {
    let (signin, console) = match partition {
        Partition::Aws => (
            "https://signin.aws.amazon.com",
            "https://console.aws.amazon.com/",
        ),
        Partition::AwsUsGov => (
            "https://signin.amazonaws-us-gov.com",
            "https://console.amazonaws-us-gov.com/",
        ),
        Partition::AwsCn => (
            "https://signin.amazonaws.cn",
            "https://console.amazonaws.cn/",
        ),
        Partition::AwsEusc
        | Partition::AwsIso
        | Partition::AwsIsoB
        | Partition::AwsIsoE
        | Partition::AwsIsoF => return Err(FederationError::NoConsole(partition)),
    };
    Ok(Place { signin, console })
}

/// Where browsers are led by a console URL, as sources of a Content-Security-Policy: AWS passes them on
/// from the sign-in to a region's console, and Chromium holds `form-action` against each step.
pub const CONSOLE_SOURCES: &str =
    "https://*.aws.amazon.com https://*.amazonaws-us-gov.com https://*.amazonaws.cn";

/// The way to the federation endpoints.
pub struct Federation {
    /// Takes the place of every partition's endpoint.
    endpoint: Option<Url>,
    issuer: String,
    pub(super) patience: Duration,
    client: OnceCell<Client>,
}

impl fmt::Debug for Federation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Federation")
            .field("endpoint", &self.endpoint.as_ref().map(Url::as_str))
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

/// What the endpoint calls a session.
#[derive(Serialize)]
struct Session<'a> {
    #[serde(rename = "sessionId")]
    id: &'a str,
    #[serde(rename = "sessionKey")]
    key: &'a str,
    #[serde(rename = "sessionToken")]
    token: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    signin_token: String,
}

impl Federation {
    /// A way that opens nothing before the first call. `issuer` is where the console sends people when
    /// their session ends; `endpoint` takes the place of every partition's, `/federation` behind it.
    pub fn new(issuer: String, endpoint: Option<Url>) -> Self {
        Self {
            endpoint,
            issuer,
            patience: WHOLE,
            client: OnceCell::new(),
        }
    }

    /// A URL that signs a browser in with `credentials`. It is a secret, and good for 15 minutes.
    pub async fn sign_in_url(
        &self,
        partition: Partition,
        credentials: &Credentials,
    ) -> Result<Secret, FederationError> {
        let place = place(partition)?;
        let signin = self.endpoint.as_ref().map_or(place.signin, Url::as_str);
        let federation = format!("{}/federation", signin.trim_end_matches('/'));
        let asked = self.token(&federation, credentials);
        let token = tokio::time::timeout(self.patience, asked.with_subscriber(NoSubscriber::new()))
            .await
            .unwrap_or(Err(FederationError::TimedOut))?;
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("Action", "login")
            .append_pair("Issuer", &self.issuer)
            .append_pair("Destination", place.console)
            .append_pair("SigninToken", token.expose())
            .finish();
        Ok(Secret::new(format!("{federation}?{query}")))
    }

    async fn token(
        &self,
        federation: &str,
        credentials: &Credentials,
    ) -> Result<Secret, FederationError> {
        let session = Session {
            id: &credentials.access_key_id,
            key: credentials.secret_access_key.expose(),
            token: credentials.session_token.expose(),
        };
        let session = serde_json::to_string(&session).map(Zeroizing::new);
        let session = session.map_err(|_| FederationError::BadAnswer("the session has no form"))?;
        let client = self.client.get_or_try_init(async || client()).await?;
        let response = client
            .post(federation)
            .form(&[("Action", "getSigninToken"), ("Session", session.as_str())])
            .send()
            .await
            .map_err(unreachable)?;
        read(response).await
    }
}

fn client() -> Result<Client, FederationError> {
    let bad = |error: &dyn std::error::Error| FederationError::Client(chain(error));
    let mut builder = Client::builder()
        .redirect(Policy::none())
        .referer(false)
        .connect_timeout(CONNECT)
        .pool_max_idle_per_host(0)
        .user_agent(concat!("rolegate/", env!("CARGO_PKG_VERSION")));
    if let Some(file) = std::env::var_os("SSL_CERT_FILE") {
        let pem = std::fs::read(file).map_err(|error| bad(&error))?;
        let authorities = Certificate::from_pem_bundle(&pem).map_err(|error| bad(&error))?;
        builder = builder.tls_certs_only(authorities);
    }
    builder.build().map_err(|error| bad(&error))
}

async fn read(mut response: Response) -> Result<Secret, FederationError> {
    let status = response.status();
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        return Err(FederationError::Unavailable(status.as_u16()));
    }
    if status.is_client_error() {
        return Err(FederationError::Refused(status.as_u16()));
    }
    if status != StatusCode::OK {
        return Err(FederationError::BadAnswer("its status is not 200"));
    }
    let mut body = Zeroizing::new(Vec::new());
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        if body.len() + chunk.len() > MOST {
            return Err(FederationError::BadAnswer("it is too long"));
        }
        body.extend_from_slice(&chunk);
    }
    let answer: Result<Answer, _> = serde_json::from_slice(&body);
    match answer.map(|answer| Secret::new(answer.signin_token)) {
        Ok(token) if !token.expose().is_empty() => Ok(token),
        _ => Err(FederationError::BadAnswer("it holds no SigninToken")),
    }
}

fn unreachable(error: reqwest::Error) -> FederationError {
    if error.is_timeout() {
        return FederationError::TimedOut;
    }
    FederationError::Unreachable(chain(&error.without_url()))
}
