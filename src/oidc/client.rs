//! How a provider is asked: for its metadata, its keys and tokens.
//!
//! It trusts the TLS certificate of the host, by the system's authorities or those of `SSL_CERT_FILE`, and
//! nothing that the host says: an answer is read up to its bound and for ten seconds, and a redirect is an
//! error. It asks the configured issuer and the endpoints of its checked metadata, and no other address; of an
//! error's body it keeps what [`OidcError`] says and no more.

use std::error::Error;
use std::pin::Pin;
use std::time::Duration;

use openidconnect::http::header::ACCEPT;
use openidconnect::http::{self, Method, StatusCode};
use openidconnect::{
    AsyncHttpClient, AuthorizationCode, HttpRequest, HttpResponse, PkceCodeVerifier, RefreshToken,
    RequestTokenError,
};
use reqwest::header::{CACHE_CONTROL, HeaderMap};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Response};
use url::Url;

use super::discovery::document_url;
use super::party::{Answer, TokenError, relying_party};
use super::refusal::cut;
use super::{KeySet, OidcError, ProviderMetadata, ProviderSettings, TokenAnswer};
use crate::model::Secret;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long the whole of a question may take.
const WHOLE: Duration = Duration::from_secs(10);
/// How long keys are kept at least and at most, whatever their host says.
const KEPT: (Duration, Duration) = (Duration::from_mins(1), Duration::from_hours(24));

const METADATA: Question = Question("the metadata", 256 * 1024);
const KEYS: Question = Question("the key set", 1024 * 1024);
const TOKENS: Question = Question("the token endpoint", 64 * 1024);

/// What is asked for, and how many bytes its answer may have.
#[derive(Debug, Clone, Copy)]
struct Question(&'static str, usize);

/// Asks providers; a clone shares its settings.
#[derive(Debug, Clone)]
pub struct OidcClient {
    http: Client,
    /// [`WHOLE`], or what a test can wait for.
    patience: Duration,
}

impl OidcClient {
    /// A client that trusts the authorities of `SSL_CERT_FILE`, where that is set, else the system's.
    pub fn new() -> Result<Self, OidcError> {
        let mut builder = Client::builder()
            .redirect(Policy::none())
            .referer(false)
            .connect_timeout(CONNECT)
            .read_timeout(WHOLE)
            // A connection that the provider closed meanwhile would lose a code or a refresh token.
            .pool_max_idle_per_host(0)
            .user_agent(concat!("rolegate/", env!("CARGO_PKG_VERSION")));
        if let Some(file) = std::env::var_os("SSL_CERT_FILE") {
            let bad = |error: &dyn Error| OidcError::Authorities(chain(error));
            let pem = std::fs::read(file).map_err(|error| bad(&error))?;
            let authorities = Certificate::from_pem_bundle(&pem).map_err(|error| bad(&error))?;
            builder = builder.tls_certs_only(authorities);
        }
        let client = builder.build();
        client
            .map(|http| Self {
                http,
                patience: WHOLE,
            })
            .map_err(|error| OidcError::Authorities(chain(&error)))
    }

    /// Asks for the provider's metadata, at the issuer's own address (OpenID Connect Discovery 1.0, 4).
    pub async fn discover(
        &self,
        settings: &ProviderSettings,
    ) -> Result<ProviderMetadata, OidcError> {
        let (document, _) = self.get(METADATA, &document_url(settings)?).await?;
        ProviderMetadata::parse(settings, &document)
    }

    /// Asks for the provider's keys, and how long they may be kept: its `Cache-Control: max-age`, where that is
    /// told, but a minute at least and a day at most.
    pub async fn keys(
        &self,
        metadata: &ProviderMetadata,
    ) -> Result<(KeySet, Option<Duration>), OidcError> {
        let (document, headers) = self.get(KEYS, metadata.jwks_uri()).await?;
        let kept = max_age(&headers).map(|age| age.clamp(KEPT.0, KEPT.1));
        Ok((KeySet::parse(&document)?, kept))
    }

    /// Redeems a code (RFC 6749, 4.1.3 and RFC 7636, 4.5).
    ///
    /// # Errors
    ///
    /// [`OidcError::is_invalid_grant`] where the code is used up, expired or not for this verifier.
    pub async fn exchange(
        &self,
        settings: &ProviderSettings,
        metadata: &ProviderMetadata,
        secret: &Secret,
        code: &str,
        verifier: &Secret,
    ) -> Result<TokenAnswer, OidcError> {
        let party = relying_party(settings, metadata, Some(secret))?;
        let asked = party
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .set_pkce_verifier(PkceCodeVerifier::new(verifier.expose().to_owned()))
            .request_async(self)
            .await;
        let answered = asked.map_err(token_error).and_then(Answer::checked);
        let sent = [code, verifier.expose(), secret.expose()];
        answered.map_err(|error| error.without(&sent))
    }

    /// Redeems a refresh token (RFC 6749, 6).
    ///
    /// # Errors
    ///
    /// [`OidcError::is_invalid_grant`] where the provider has ended the person's access.
    pub async fn refresh(
        &self,
        settings: &ProviderSettings,
        metadata: &ProviderMetadata,
        secret: &Secret,
        refresh_token: &Secret,
    ) -> Result<TokenAnswer, OidcError> {
        let party = relying_party(settings, metadata, Some(secret))?;
        let token = RefreshToken::new(refresh_token.expose().to_owned());
        let asked = party
            .exchange_refresh_token(&token)
            .request_async(self)
            .await;
        let answered = asked.map_err(token_error).and_then(Answer::checked);
        let sent = [refresh_token.expose(), secret.expose()];
        answered.map_err(|error| error.without(&sent))
    }

    /// The same client, for `patience` at most.
    #[cfg(test)]
    pub(super) fn within(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    async fn get(&self, question: Question, url: &Url) -> Result<(Vec<u8>, HeaderMap), OidcError> {
        let request = http::Request::builder()
            .uri(url.as_str())
            .method(Method::GET)
            .header(ACCEPT, "application/json")
            .body(Vec::new());
        let request = request.map_err(|error| OidcError::Unreachable(chain(&error)))?;
        let (status, headers, body) = self.ask(question, request).await?;
        if status != StatusCode::OK {
            return Err(status_of(question, status));
        }
        Ok((body, headers))
    }

    /// Sends what the library made for the token endpoint. An error's body ends here.
    async fn post(&self, request: HttpRequest) -> Result<HttpResponse, OidcError> {
        let (status, _, body) = self.ask(TOKENS, request).await?;
        if status == StatusCode::OK {
            // Without the headers: some providers name no JSON, and the reader finds out by itself.
            return Ok(HttpResponse::new(body));
        }
        if status.is_client_error()
            && let Ok(error) = serde_json::from_slice::<TokenError>(&body)
        {
            return Err(error.refusal(status.as_u16()));
        }
        Err(status_of(TOKENS, status))
    }

    async fn ask(
        &self,
        question: Question,
        request: HttpRequest,
    ) -> Result<(StatusCode, HeaderMap, Vec<u8>), OidcError> {
        let request = reqwest::Request::try_from(request).map_err(unreachable)?;
        let asked = tokio::time::timeout(self.patience, async {
            let response = self.http.execute(request).await.map_err(unreachable)?;
            let (status, headers) = (response.status(), response.headers().clone());
            Ok((status, headers, bounded(question, response).await?))
        });
        asked.await.unwrap_or(Err(OidcError::TimedOut))
    }
}

/// How the library asks the token endpoint. A closure in its place would make futures that no task may own.
impl<'c> AsyncHttpClient<'c> for OidcClient {
    type Error = OidcError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, OidcError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.post(request))
    }
}

/// Reads an answer, and stops at its bound.
async fn bounded(question: Question, mut response: Response) -> Result<Vec<u8>, OidcError> {
    let Question(what, limit) = question;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        if body.len() + chunk.len() > limit {
            return Err(OidcError::TooLarge { what, limit });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn status_of(question: Question, status: StatusCode) -> OidcError {
    OidcError::Status {
        what: question.0,
        status: status.as_u16(),
    }
}

/// What the library says of a failed question, without what the provider wrote.
fn token_error<E: openidconnect::ErrorResponse>(
    error: RequestTokenError<OidcError, E>,
) -> OidcError {
    let malformed = |why: String| OidcError::Malformed {
        what: TOKENS.0,
        why,
    };
    match error {
        RequestTokenError::Request(error) => error,
        // The parser's own words may repeat a token.
        RequestTokenError::Parse(error, _) => malformed(format!(
            "no JSON object with tokens, at {}",
            cut(&error.path().to_string())
        )),
        RequestTokenError::ServerResponse(_) | RequestTokenError::Other(_) => {
            malformed("no answer of a token endpoint".to_owned())
        }
    }
}

/// The seconds of `max-age` (RFC 9111, 5.2.2.1).
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let directives = headers.get(CACHE_CONTROL)?.to_str().ok()?;
    directives.split(',').find_map(|directive| {
        let (name, value) = directive.trim().split_once('=')?;
        let seconds = value.trim_matches('"').parse::<u32>().ok()?;
        name.eq_ignore_ascii_case("max-age")
            .then(|| Duration::from_secs(u64::from(seconds)))
    })
}

fn unreachable(error: reqwest::Error) -> OidcError {
    if error.is_timeout() {
        return OidcError::TimedOut;
    }
    let is_sent = !error.is_connect() && !error.is_builder();
    let words = chain(&error.without_url());
    if is_sent {
        return OidcError::Broken(words);
    }
    OidcError::Unreachable(words)
}

/// An error with its causes: the outermost alone says little.
fn chain(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words.push_str(": ");
        words.push_str(&error.to_string());
        cause = error.source();
    }
    cut(&words)
}
