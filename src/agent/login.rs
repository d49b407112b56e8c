//! `login`: a session for this person on this machine, confirmed in a browser here or anywhere (RFC 8628).
//!
//! It trusts the gateway alone; a browser is started with nothing but an https address (or loopback's). It waits
//! no longer than the code lasts.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use url::Url;
use zeroize::Zeroizing;

use super::error::{AgentError, Trouble};
use super::gateway::{Gateway, printable, trouble};
use super::say;
use super::sign_in::{Session, SignIns};
use crate::model::rfc3339;

/// How much slower to ask at `slow_down`, as RFC 8628 says.
const SLOWER: Duration = Duration::from_secs(5);
/// No code lasts longer.
const LONGEST: Duration = Duration::from_secs(1800);

#[derive(Deserialize)]
struct Code {
    device_code: String,
    user_code: String,
    verification_uri: String,
    verification_uri_complete: Option<String>,
    expires_in: u64,
    interval: Option<u64>,
}

/// Signs in, and keeps the session.
pub(super) async fn run(gateway: &Gateway, no_browser: bool) -> Result<u8, AgentError> {
    gateway.prepare()?;
    let sign_ins = SignIns::of_this_user()?;
    let answer = gateway
        .post("/api/v1/login/codes", None, &json!({}))
        .await?;
    if !matches!(answer.status, 200 | 201) {
        return Err(trouble(&answer).into());
    }
    let code: Code = serde_json::from_slice(&answer.body).map_err(|_| AgentError::Unexpected)?;
    show(&code, no_browser);
    let session = poll(gateway, &code).await?;
    sign_ins.keep(gateway.url(), &session)?;
    say::result(&format!(
        "signed in as {} ({}) until {}",
        printable(&session.user),
        printable(&session.idp),
        rfc3339(session.expires_at)
    ))?;
    Ok(0)
}

/// Forgets the session.
pub(super) fn logout(gateway: &Gateway) -> Result<u8, AgentError> {
    let was_there = SignIns::of_this_user()?.forget(gateway.url())?;
    say::result(if was_there {
        "signed out on this machine"
    } else {
        "nobody was signed in on this machine"
    })?;
    Ok(0)
}

fn show(code: &Code, no_browser: bool) {
    say::note(&format!(
        "open {} in any browser, and confirm the code {}",
        printable(&code.verification_uri),
        printable(&code.user_code)
    ));
    let complete = code.verification_uri_complete.as_ref();
    let uri = complete.unwrap_or(&code.verification_uri);
    // An address of a gateway's, as `Gateway` takes it, and never the start of an option or another scheme.
    let is_safe = uri.parse::<Url>().is_ok_and(|url| is_browsable(&url));
    if !no_browser && is_safe {
        open_browser(uri);
    }
}

fn is_browsable(url: &Url) -> bool {
    url.scheme() == "https"
        || (url.scheme() == "http" && matches!(url.host_str(), Some("127.0.0.1" | "localhost")))
}

fn open_browser(uri: &str) {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let program = if cfg!(target_os = "macos") {
        "open"
    } else if is_set("DISPLAY") || is_set("WAYLAND_DISPLAY") {
        "xdg-open"
    } else {
        return;
    };
    // Without one, the person opens the address; it was shown.
    let _opened = Command::new(program)
        .arg(uri)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
}

async fn poll(gateway: &Gateway, code: &Code) -> Result<Session, AgentError> {
    let end = Instant::now() + Duration::from_secs(code.expires_in).min(LONGEST);
    let mut interval = Duration::from_secs(code.interval.unwrap_or(5).max(1));
    let body = json!({ "device_code": code.device_code });
    while Instant::now() + interval < end {
        sleep(interval).await;
        let answer = match gateway.post("/api/v1/login/tokens", None, &body).await {
            Ok(answer) => answer,
            // It may come back while the code lasts.
            Err(_) => continue,
        };
        if answer.status == 200 {
            let body = Zeroizing::new(answer.body);
            return serde_json::from_slice(&body).map_err(|_| AgentError::Unexpected);
        }
        let problem: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let said = problem.get("code").or_else(|| problem.get("error"));
        match (said.and_then(Value::as_str), trouble(&answer)) {
            (Some("authorization_pending"), _) | (_, Trouble::Away(_)) => {}
            (Some("slow_down"), _) => interval += SLOWER,
            (Some("access_denied"), _) => return Err(AgentError::LoginDenied),
            (Some("expired_token"), _) => return Err(AgentError::LoginTimedOut),
            (_, refused) => return Err(refused.into()),
        }
    }
    Err(AgentError::LoginTimedOut)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_is_given_nothing_but_web_addresses() {
        for (uri, is_good) in [
            ("https://gate.example.org/device?code=A", true),
            ("http://127.0.0.1:8080/device", true),
            ("http://gate.example.org/device", false),
            ("file:///etc/passwd", false),
            ("javascript:alert(1)", false),
        ] {
            assert_eq!(is_browsable(&uri.parse().unwrap()), is_good, "{uri}");
        }
    }
}
