//! Who signed a request: a user's long-term key or credentials issued here, the signature checked for real.

use std::collections::HashMap;

use actix_web::HttpRequest;
use chrono::TimeDelta;

use super::Inner;
use super::answer::Failure;
use super::checks::Checks;
use super::policy::Principal;
use super::sessions::{Session, capitals};
use super::settings::DemoPrincipal;
use crate::demo::sigv4::{Authorization, Signed};

/// Who asks.
pub(super) enum Caller {
    User(DemoPrincipal),
    Role(Box<Session>),
}

impl Caller {
    pub(super) fn arn(&self) -> &str {
        match self {
            Self::User(user) => &user.arn,
            Self::Role(session) => &session.arn,
        }
    }

    pub(super) fn account(&self) -> String {
        match self {
            Self::User(user) => user.account().map_or_else(String::new, |id| id.to_string()),
            Self::Role(session) => session.account.clone(),
        }
    }

    pub(super) fn user_id(&self) -> String {
        match self {
            Self::User(user) => {
                let digest = openssl::sha::sha256(user.arn.as_bytes());
                format!("AIDA{}", capitals(&digest, 17))
            }
            Self::Role(session) => session.user_id.clone(),
        }
    }

    /// `aws:PrincipalArn`: the user, or the role with its path.
    pub(super) fn principal_arn(&self) -> &str {
        match self {
            Self::User(user) => &user.arn,
            Self::Role(session) => session.role.as_str(),
        }
    }

    /// Every name that a trust policy may use: itself, its role, its account.
    pub(super) fn principal(&self) -> Principal {
        let account = self.account();
        let partition = self.arn().split(':').nth(1).unwrap_or("aws");
        Principal::Aws(vec![
            self.arn().to_owned(),
            self.principal_arn().to_owned(),
            format!("arn:{partition}:iam::{account}:root"),
            account,
        ])
    }

    fn secret(&self) -> &str {
        match self {
            Self::User(user) => &user.secret_access_key,
            Self::Role(session) => &session.secret,
        }
    }
}

impl Inner {
    /// The caller of `action`, whose credentials are good now.
    pub(super) fn caller(
        &self,
        action: &str,
        request: &HttpRequest,
        body: &[u8],
        checks: &mut Checks,
    ) -> Result<Caller, Failure> {
        let headers = headers(request);
        let header = |name: &str| headers.get(name).map(String::as_str);
        let missing = "Request is missing Authentication Token";
        let authorization = header("authorization")
            .and_then(Authorization::parse)
            .ok_or_else(|| Failure::new(403, "MissingAuthenticationToken", missing));
        let authorization = checks.note("authorization header", authorization)?;
        let caller = self.known(&authorization, header("x-amz-security-token"));
        let caller = checks.note("access key and session token", caller)?;
        let signed = Signed {
            method: request.method().as_str(),
            path: request.path(),
            query: request.query_string(),
            headers: &headers,
            body,
        };
        let now = self.clock.now();
        let fits = authorization.service() == "sts"
            && signed.is_by(&authorization, caller.secret())
            && signed
                .time()
                .is_some_and(|at| (now - at).abs() <= TimeDelta::minutes(15));
        checks.require("request signature and its date", fits, || {
            let text = "The request signature we calculated does not match the signature you provided. \
                Check your AWS Secret Access Key and signing method.";
            Failure::new(403, "SignatureDoesNotMatch", text)
        })?;
        if let Caller::Role(session) = &caller {
            checks.note("expiry", self.unexpired(session))?;
            let live = !self.sessions.is_revoked(session);
            checks.require("not revoked", live, || {
                let text = format!(
                    "User: {} is not authorized to perform: sts:{action} with an explicit deny in an identity-based policy",
                    session.arn
                );
                Failure::new(403, "AccessDenied", text)
            })?;
        }
        Ok(caller)
    }

    /// Whether a session's credentials are still good.
    pub(super) fn unexpired(&self, session: &Session) -> Result<(), Failure> {
        if self.clock.now() < session.expires_at {
            return Ok(());
        }
        let text = "The security token included in the request is expired";
        Err(Failure::new(403, "ExpiredToken", text))
    }

    fn known(
        &self,
        authorization: &Authorization<'_>,
        token: Option<&str>,
    ) -> Result<Caller, Failure> {
        let id = authorization.access_key_id;
        let user = self.principals.iter().find(|user| user.access_key_id == id);
        if let Some(user) = user.filter(|_| token.is_none()) {
            return Ok(Caller::User(user.clone()));
        }
        let session = self.sessions.find(id);
        let session = session.filter(|session| token == Some(session.token.as_str()));
        let text = "The security token included in the request is invalid.";
        session
            .map(|session| Caller::Role(Box::new(session)))
            .ok_or_else(|| Failure::new(403, "InvalidClientTokenId", text))
    }
}

/// Names in lower case; a header that is repeated counts as its values joined by commas.
fn headers(request: &HttpRequest) -> HashMap<String, String> {
    let mut headers: HashMap<String, String> = HashMap::new();
    for (name, value) in request.headers() {
        let value = String::from_utf8_lossy(value.as_bytes());
        headers
            .entry(name.as_str().to_owned())
            .and_modify(|known| {
                known.push(',');
                known.push_str(&value);
            })
            .or_insert_with(|| value.to_string());
    }
    headers
}
