//! Fetching metadata from the URL that an admin configured.
//!
//! It trusts the TLS certificate of that host, by the system's authorities or those of `SSL_CERT_FILE`,
//! and nothing that the host says: the answer is cut off at 1 MiB and after ten seconds, and a redirect is
//! followed within the same origin only, three times at most. It never asks a URL that was found in a
//! message or in metadata, and never reads what it fetches.

use std::error::Error;
use std::time::Duration;

use reqwest::header::{
    ACCEPT, CACHE_CONTROL, ETAG, HeaderMap, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    LAST_MODIFIED, LOCATION,
};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Response, StatusCode};
use thiserror::Error;
use url::Url;

use super::metadata::MAX_METADATA;
use super::refusal::cut;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long the host may say nothing.
const SILENCE: Duration = Duration::from_secs(5);
/// How long the whole may take, redirects included.
const WHOLE: Duration = Duration::from_secs(10);
/// How many redirects are followed.
const REDIRECTS: usize = 3;
/// A validator that is longer is not kept.
const MAX_VALIDATOR: usize = 1024;

/// Why a URL gave no metadata.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MetadataFetchError {
    /// The authorities of `SSL_CERT_FILE` cannot be used.
    #[error("the authorities in SSL_CERT_FILE cannot be used ({0}); let it name a PEM file")]
    Authorities(String),
    /// No answer.
    #[error("cannot be reached ({0}); check the URL, the network and the host's certificate")]
    Unreachable(String),
    /// No whole answer in time.
    #[error("did not answer whole within 10 seconds; check the URL and the network")]
    TimedOut,
    /// Another status than 200.
    #[error("answered with status {0}, not 200; check the URL")]
    Status(u16),
    /// A redirect to another host.
    #[error(
        "redirects to {0:?}, which is another host, port or scheme and is not followed; if you trust it, write that URL"
    )]
    Redirect(String),
    /// More redirects than are followed.
    #[error("redirects more than 3 times; write the URL that it ends at")]
    Redirects,
    /// A long answer.
    #[error("answers with more than 1 MiB; take the URL of the one EntityDescriptor")]
    TooLarge,
}

/// What a host said of its answer, to be shown to it next time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Validators {
    /// `ETag`.
    pub etag: Option<String>,
    /// `Last-Modified`.
    pub last_modified: Option<String>,
}

/// What a URL gave.
#[derive(Debug)]
pub struct Answer {
    /// The document; `None` where it is the one that the validators belong to.
    pub document: Option<Vec<u8>>,
    /// What to show next time.
    pub validators: Validators,
    /// `Cache-Control: max-age`.
    pub max_age: Option<Duration>,
}

/// Asks metadata URLs; a clone shares its connections.
#[derive(Debug, Clone)]
pub struct MetadataClient {
    http: Client,
    /// [`WHOLE`], or what a test can wait for.
    patience: Duration,
}

impl MetadataClient {
    /// A client that trusts the authorities of `SSL_CERT_FILE`, where that is set, else the system's.
    pub fn new() -> Result<Self, MetadataFetchError> {
        let mut builder = Client::builder()
            .redirect(Policy::none())
            .referer(false)
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .pool_max_idle_per_host(0)
            .user_agent(concat!("rolegate/", env!("CARGO_PKG_VERSION")));
        if let Some(file) = std::env::var_os("SSL_CERT_FILE") {
            let bad = |error: &dyn Error| MetadataFetchError::Authorities(chain(error));
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
            .map_err(|error| MetadataFetchError::Authorities(chain(&error)))
    }

    /// Asks `url`, for another document than the one that `known` belongs to. Nothing else is asked.
    pub async fn fetch(&self, url: &Url, known: &Validators) -> Result<Answer, MetadataFetchError> {
        let asked = tokio::time::timeout(self.patience, self.ask(url, known)).await;
        asked.unwrap_or(Err(MetadataFetchError::TimedOut))
    }

    async fn ask(&self, first: &Url, known: &Validators) -> Result<Answer, MetadataFetchError> {
        let mut url = first.clone();
        for _ in 0..=REDIRECTS {
            let response = self.get(&url, known).await?;
            let status = response.status();
            if !status.is_redirection() || status == StatusCode::NOT_MODIFIED {
                return read(response, known).await;
            }
            url = target(first, &url, response.headers())?;
        }
        Err(MetadataFetchError::Redirects)
    }

    async fn get(&self, url: &Url, known: &Validators) -> Result<Response, MetadataFetchError> {
        let mut request = self.http.get(url.clone()).header(
            ACCEPT,
            "application/samlmetadata+xml, application/xml, text/xml",
        );
        if let Some(etag) = &known.etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        if let Some(since) = &known.last_modified {
            request = request.header(IF_MODIFIED_SINCE, since);
        }
        request.send().await.map_err(unreachable)
    }
}

/// Where a redirect leads: within the origin of the configured URL, or nowhere.
fn target(first: &Url, here: &Url, headers: &HeaderMap) -> Result<Url, MetadataFetchError> {
    let named = text(headers, &LOCATION).unwrap_or_default();
    let target = here.join(&named).ok().filter(|_| !named.is_empty());
    target
        .filter(|target| target.origin() == first.origin())
        .ok_or_else(|| MetadataFetchError::Redirect(cut(&named)))
}

async fn read(mut response: Response, known: &Validators) -> Result<Answer, MetadataFetchError> {
    let max_age = text(response.headers(), &CACHE_CONTROL).and_then(|text| max_age(&text));
    let validators = Validators {
        etag: text(response.headers(), &ETAG),
        last_modified: text(response.headers(), &LAST_MODIFIED),
    };
    let asked = *known != Validators::default();
    match response.status() {
        StatusCode::NOT_MODIFIED if asked => {
            return Ok(Answer {
                document: None,
                validators: known.clone(),
                max_age,
            });
        }
        StatusCode::OK => {}
        other => return Err(MetadataFetchError::Status(other.as_u16())),
    }
    let mut document = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        if document.len() + chunk.len() > MAX_METADATA {
            return Err(MetadataFetchError::TooLarge);
        }
        document.extend_from_slice(&chunk);
    }
    Ok(Answer {
        document: Some(document),
        validators,
        max_age,
    })
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let text = headers.get(name)?.to_str().ok()?;
    (text.len() <= MAX_VALIDATOR).then(|| text.to_owned())
}

/// The seconds of `max-age` (RFC 9111, 5.2.2.1).
fn max_age(cache_control: &str) -> Option<Duration> {
    cache_control.split(',').find_map(|directive| {
        let (name, value) = directive.trim().split_once('=')?;
        let seconds = value.trim_matches('"').parse::<u32>().ok()?;
        name.eq_ignore_ascii_case("max-age")
            .then(|| Duration::from_secs(u64::from(seconds)))
    })
}

fn unreachable(error: reqwest::Error) -> MetadataFetchError {
    if error.is_timeout() {
        return MetadataFetchError::TimedOut;
    }
    MetadataFetchError::Unreachable(chain(&error.without_url()))
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// What `first` and then a byte every `pause` becomes, for whoever waits half a second.
    async fn dripped(first: &'static str, pause: Duration) -> Result<Answer, MetadataFetchError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/metadata", listener.local_addr().unwrap());
        let host = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _asked = stream.read(&mut [0; 4096]).await.unwrap();
            stream.write_all(first.as_bytes()).await.unwrap();
            loop {
                tokio::time::sleep(pause).await;
                if stream.write_all(b" ").await.is_err() {
                    break;
                }
            }
        });
        let mut client = MetadataClient::new().unwrap();
        client.patience = Duration::from_millis(500);
        let (url, known) = (url.parse().unwrap(), Validators::default());
        let answer = client.fetch(&url, &known);
        let answer = tokio::time::timeout(Duration::from_secs(20), answer).await;
        host.abort();
        answer.expect("it is waited for without end")
    }

    #[tokio::test]
    async fn a_host_has_so_long_for_the_whole_however_it_spends_it() {
        let late = |answer: Result<Answer, _>| answer.map(|_| ()).unwrap_err();
        let (often, never) = (Duration::from_millis(10), Duration::from_hours(1));
        for (first, pause) in [
            ("", never),
            ("HTTP/1.1 200 OK\r\nX-Slow:", often),
            ("HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n", never),
            ("HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n", often),
        ] {
            let error = late(dripped(first, pause).await);
            assert_eq!(error, MetadataFetchError::TimedOut, "{first}");
        }
        let whole = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n<a>";
        let answer = dripped(whole, never).await.unwrap();
        assert_eq!(answer.document.as_deref(), Some(&b"<a>"[..]));
    }

    #[test]
    fn max_age_is_read_whatever_stands_around_it() {
        let seconds = |text| max_age(text).map(|age| age.as_secs());
        assert_eq!(seconds("max-age=300"), Some(300));
        assert_eq!(seconds("public, Max-Age=\"60\", immutable"), Some(60));
        for none in [
            "",
            "no-store",
            "s-maxage=5",
            "max-age",
            "max-age=-1",
            "max-age=1h",
        ] {
            assert_eq!(seconds(none), None, "{none}");
        }
    }

    #[test]
    fn a_redirect_stays_within_the_origin() {
        let first: Url = "https://idp.example.org/a/b".parse().unwrap();
        let to = |location: &str| {
            let headers = HeaderMap::from_iter([(LOCATION, location.parse().unwrap())]);
            target(&first, &first, &headers).map(|url| url.to_string())
        };
        for (good, wanted) in [
            ("/c?d=1", "https://idp.example.org/c?d=1"),
            ("c", "https://idp.example.org/a/c"),
            ("https://IDP.example.org:443/c", "https://idp.example.org/c"),
        ] {
            assert_eq!(to(good).unwrap(), wanted);
        }
        for bad in [
            "http://idp.example.org/c",
            "https://idp.example.org:8443/c",
            "https://evil.example/c",
            "//evil.example/c",
            "https://idp.example.org.evil.example/c",
            "https://idp.example.org@evil.example/c",
            "file:///etc/passwd",
            "data:text/xml,x",
        ] {
            assert_eq!(to(bad), Err(MetadataFetchError::Redirect(bad.to_owned())));
        }
        let nowhere = target(&first, &first, &HeaderMap::new());
        assert_eq!(nowhere, Err(MetadataFetchError::Redirect(String::new())));
    }
}
