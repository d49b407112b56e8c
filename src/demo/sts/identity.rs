//! `GetCallerIdentity` for what was issued here, its signature checked for real.

use std::collections::HashMap;

use actix_web::HttpRequest;
use chrono::TimeDelta;

use super::Inner;
use super::answer::{Failure, element};
use super::checks::Checks;
use super::sessions::Session;
use crate::demo::sigv4::{Authorization, Signed};

impl Inner {
    /// The result's XML.
    pub(super) fn caller_identity(
        &self,
        request: &HttpRequest,
        body: &[u8],
        checks: &mut Checks,
    ) -> Result<String, Failure> {
        let headers = headers(request);
        let header = |name: &str| headers.get(name).map(String::as_str);
        let missing = "Request is missing Authentication Token";
        let authorization = header("authorization")
            .and_then(Authorization::parse)
            .ok_or_else(|| Failure::new(403, "MissingAuthenticationToken", missing));
        let authorization = checks.note("authorization header", authorization)?;
        let session = self.session(&authorization, header("x-amz-security-token"));
        let session = checks.note("access key and session token", session)?;
        let signed = Signed {
            method: request.method().as_str(),
            path: request.path(),
            query: request.query_string(),
            headers: &headers,
            body,
        };
        let now = self.clock.now();
        let fits = authorization.service() == "sts"
            && signed.is_by(&authorization, &session.secret)
            && signed
                .time()
                .is_some_and(|at| (now - at).abs() <= TimeDelta::minutes(15));
        checks.require("request signature and its date", fits, || {
            let text = "The request signature we calculated does not match the signature you provided. \
                Check your AWS Secret Access Key and signing method.";
            Failure::new(403, "SignatureDoesNotMatch", text)
        })?;
        checks.require("expiry", now < session.expires_at, || {
            let text = "The security token included in the request is expired";
            Failure::new(403, "ExpiredToken", text)
        })?;
        let result = [
            element("Arn", &session.arn),
            element("UserId", &session.user_id),
            element("Account", &session.account),
        ];
        Ok(result.concat())
    }

    fn session(
        &self,
        authorization: &Authorization<'_>,
        token: Option<&str>,
    ) -> Result<Session, Failure> {
        let session = self.sessions.find(authorization.access_key_id);
        let session = session.filter(|session| token == Some(session.token.as_str()));
        let text = "The security token included in the request is invalid.";
        session.ok_or_else(|| Failure::new(403, "InvalidClientTokenId", text))
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
