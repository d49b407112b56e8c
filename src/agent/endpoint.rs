//! `GET /v1/credentials` on loopback, as every AWS SDK asks for it.
//!
//! It trusts who holds its own random token, which nobody but the job is given. It answers no other path, no
//! request that names another host than loopback (a browser that was led here by a name), and nobody else's
//! address: it listens on loopback alone.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, CACHE_CONTROL, HOST};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use zeroize::Zeroizing;

use super::error::{AgentError, Trouble};
use super::keeper::Keeper;
use crate::model::{Entropy, Secret};

/// Where credentials are.
const PATH: &str = "/v1/credentials";
/// How long a whole request may take to arrive.
const WHOLE_REQUEST: Duration = Duration::from_secs(5);

/// A listener at work, and how the job reaches it.
pub(super) struct Endpoint {
    uri: String,
    token: Secret,
}

struct Desk {
    keeper: Arc<Keeper>,
    token: Secret,
}

/// Any free port of loopback.
pub(super) fn any_port() -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0)
}

impl Endpoint {
    /// Listens on `address`, and answers from what `keeper` holds for as long as the process lives.
    pub(super) fn open(
        address: SocketAddr,
        keeper: Arc<Keeper>,
        entropy: &dyn Entropy,
    ) -> Result<Self, AgentError> {
        if !address.ip().is_loopback() {
            return Err(AgentError::NotLoopback);
        }
        let failed = |problem| AgentError::Listen { address, problem };
        let listener = TcpListener::bind(address).map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        let token = fresh_token(entropy);
        let desk = web::Data::new(Desk {
            keeper,
            token: token.clone(),
        });
        let server = HttpServer::new(move || {
            App::new()
                .app_data(desk.clone())
                .default_service(web::to(answer))
        })
        .workers(1)
        .client_request_timeout(WHOLE_REQUEST)
        .disable_signals()
        .shutdown_timeout(1)
        .listen(listener)
        .map_err(failed)?
        .run();
        tokio::spawn(server);
        Ok(Self {
            uri: format!("http://{bound}{PATH}"),
            token,
        })
    }

    /// What the job's environment needs.
    pub(super) fn variables(&self) -> Vec<(&'static str, Zeroizing<String>)> {
        vec![
            (
                "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                Zeroizing::new(self.uri.clone()),
            ),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN", self.token()),
        ]
    }

    /// The token alone.
    pub(super) fn token(&self) -> Zeroizing<String> {
        Zeroizing::new(self.token.expose().to_owned())
    }
}

fn fresh_token(entropy: &dyn Entropy) -> Secret {
    let mut bytes = Zeroizing::new([0; 32]);
    entropy.fill(&mut *bytes);
    Secret::new(URL_SAFE_NO_PAD.encode(*bytes))
}

async fn answer(request: HttpRequest, desk: web::Data<Desk>) -> HttpResponse {
    let header = |name| request.headers().get(name)?.to_str().ok();
    if !header(HOST).is_some_and(is_loopback_name) {
        let message = "this endpoint is asked as http://127.0.0.1 and in no other name";
        return refusal(StatusCode::FORBIDDEN, "wrong_host", message);
    }
    if request.path() != PATH {
        let message = "there is nothing here but /v1/credentials";
        return refusal(StatusCode::NOT_FOUND, "not_found", message);
    }
    if request.method() != actix_web::http::Method::GET {
        let message = "credentials are asked for with GET";
        return refusal(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            message,
        );
    }
    let shown = header(AUTHORIZATION).unwrap_or_default();
    let shown = shown.strip_prefix("Bearer ").unwrap_or(shown);
    if !is_same(shown, desk.token.expose()) {
        let message = "send the value of AWS_CONTAINER_AUTHORIZATION_TOKEN that this agent gave, as Authorization";
        return refusal(StatusCode::UNAUTHORIZED, "unknown_token", message);
    }
    match desk.keeper.get().await {
        Ok(held) => match held.container() {
            Ok(text) => HttpResponse::Ok()
                .insert_header((CACHE_CONTROL, "no-store"))
                .content_type("application/json")
                .body(text.to_string()),
            Err(_) => refusal(StatusCode::INTERNAL_SERVER_ERROR, "internal", "no JSON"),
        },
        Err(trouble) => tell(&trouble),
    }
}

/// In constant time; that a length differs is no secret.
fn is_same(shown: &str, own: &str) -> bool {
    shown.len() == own.len() && openssl::memcmp::eq(shown.as_bytes(), own.as_bytes())
}

/// Whether a Host header names loopback; the port may be any, as a forwarded one is.
fn is_loopback_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let inner = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    name.eq_ignore_ascii_case("localhost")
        || inner
            .unwrap_or(name)
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

fn tell(trouble: &Trouble) -> HttpResponse {
    match trouble {
        Trouble::Refused {
            status,
            code,
            message,
        } => {
            let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::FORBIDDEN);
            refusal(status, code, message)
        }
        Trouble::Away(message) => refusal(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message),
    }
}

/// Both spellings: some SDKs read one, some the other.
fn refusal(status: StatusCode, code: &str, message: &str) -> HttpResponse {
    HttpResponse::build(status)
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(json!({ "code": code, "message": message, "Code": code, "Message": message }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_names_of_loopback() {
        for good in [
            "127.0.0.1",
            "127.0.0.1:80",
            "localhost:1",
            "[::1]:80",
            "[::1]",
            "127.9.9.9:1",
        ] {
            assert!(is_loopback_name(good), "{good}");
        }
        for bad in [
            "",
            "evil.example.org:80",
            "127.0.0.1.example.org",
            "10.0.0.1:80",
            "localhost.example.org",
            "127.0.0.1:80:evil",
        ] {
            assert!(!is_loopback_name(bad), "{bad}");
        }
    }

    #[test]
    fn compares_whole_tokens() {
        assert!(is_same("abc", "abc"));
        for other in ["", "ab", "abd", "abcd"] {
            assert!(!is_same(other, "abc"));
        }
    }
}
