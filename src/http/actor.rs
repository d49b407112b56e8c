//! Who is calling. An actor can be made by its extractor alone, so that a handler that has one knows.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, ORIGIN};
use actix_web::{FromRequest, HttpRequest, web};

use super::cookies::Kind;
use super::csrf::{csrf, same_origin};
use super::middleware::InTime;
use super::peer::{self, Peer};
use super::{Problem, Site};
use crate::flow::{Access, Admins, LiveSession, Orderer};
use crate::model::{CertificateName, Role, Token, TokenKind, TokenRecord};

type Extracted<T> = Pin<Box<dyn Future<Output = Result<T, Problem>>>>;

/// What came with the call. A result, so that an actor's refusal is told before the call's own faults.
pub(super) type Sent<T> = Result<InTime<T>, actix_web::Error>;

/// A person, by a session's bearer token.
pub(super) struct User(LiveSession);

impl User {
    pub(super) fn live(&self) -> &LiveSession {
        &self.0
    }
}

/// A launcher, or a person for himself.
pub(super) struct Ordering(Orderer);

impl Ordering {
    pub(super) fn into_orderer(self) -> Orderer {
        self.0
    }
}

/// A launcher, a person for himself, or an admin: who may see and revoke leases.
pub(super) struct Managing(Orderer);

impl Managing {
    pub(super) fn orderer(&self) -> &Orderer {
        &self.0
    }

    pub(super) fn into_orderer(self) -> Orderer {
        self.0
    }
}

/// An admin's token.
pub(super) struct Administering(TokenRecord);

impl Administering {
    /// As audit and holds name who did it.
    pub(super) fn name(&self) -> String {
        format!("admin:{}", self.0.name)
    }
}

/// A launcher, an admin or an auditor.
pub(super) struct Reader(TokenRecord);

impl Reader {
    pub(super) fn token(&self) -> &TokenRecord {
        &self.0
    }
}

/// An admin's or an auditor's token.
pub(super) struct Auditing;

/// A browser that has a session cookie that counts.
pub(super) struct Browser {
    live: LiveSession,
    csrf: String,
}

impl Browser {
    pub(super) fn live(&self) -> &LiveSession {
        &self.live
    }

    pub(super) fn into_live(self) -> LiveSession {
        self.live
    }

    /// What a form of this session's pages must carry: only who has the cookie can know it.
    pub(super) fn csrf(&self) -> &str {
        &self.csrf
    }

    /// Refuses a form that came from another page than one of this session's: `sent` is what it carried.
    pub(super) fn require_form(
        &self,
        request: &HttpRequest,
        site: &Site,
        sent: &str,
    ) -> Result<(), Problem> {
        let (sent, csrf) = (sent.as_bytes(), self.csrf.as_bytes());
        let genuine = sent.len() == csrf.len() && openssl::memcmp::eq(sent, csrf);
        if genuine && same_origin(request, site) {
            return Ok(());
        }
        let title = "This form is not of your session. Open the portal again.";
        Err(Problem::new(StatusCode::FORBIDDEN, "csrf", title))
    }
}

/// A browser whose person is an admin by `[admin]`, now.
pub(super) struct AdminBrowser;

fn access(request: &HttpRequest) -> Result<web::Data<Access>, Problem> {
    let access = request.app_data::<web::Data<Access>>();
    access.cloned().ok_or_else(Problem::store_away)
}

/// The token of `Authorization: Bearer`, of one of `kinds`.
fn bearer(request: &HttpRequest, kinds: &[TokenKind]) -> Result<Token, Problem> {
    let missing = || {
        let wanted: Vec<&str> = kinds.iter().map(|kind| kind.prefix()).collect();
        let wanted = wanted.join(" or ");
        Problem::unauthorized(format!(
            "send `Authorization: Bearer` with a token that starts with {wanted}"
        ))
    };
    let header = request.headers().get(AUTHORIZATION).ok_or_else(missing)?;
    let text = header.to_str().map_err(|_| missing())?;
    let token = text.strip_prefix("Bearer ").ok_or_else(missing)?;
    let token: Token = token.trim().parse().map_err(|_| missing())?;
    if kinds.contains(&token.kind()) {
        Ok(token)
    } else {
        Err(missing())
    }
}

async fn user(access: &Access, token: &Token) -> Result<LiveSession, Problem> {
    let live = access.session(token).await?;
    live.ok_or_else(|| Problem::unauthorized("this session has ended or is unknown; sign in again"))
}

/// What a caller shows: a token, or else the certificate of its connection.
struct Shown {
    /// What is wrong with `Authorization`, where nothing else counts.
    token: Result<Token, Problem>,
    /// Whether there is none, and a certificate may stand for it.
    tokenless: bool,
    peer: Option<Arc<Peer>>,
}

impl Shown {
    fn by(request: &HttpRequest, kinds: &[TokenKind]) -> Self {
        let headers = request.headers();
        // A browser sends a certificate along with what any page has it send.
        let of_a_page = headers.contains_key(ORIGIN) || headers.contains_key("Sec-Fetch-Site");
        Self {
            token: bearer(request, kinds),
            tokenless: kinds.contains(&TokenKind::Launcher)
                && !headers.contains_key(AUTHORIZATION)
                && !of_a_page,
            peer: peer::of(request),
        }
    }

    /// The record of the API token, or of the launcher that needs none.
    async fn record(self, access: &Access) -> Result<TokenRecord, Problem> {
        let peer = self.peer.as_deref();
        let names = peer.map_or(&[][..], |peer| peer.names(access.clock.now()));
        match self.token {
            Ok(token) => api_token(access, &token, names).await,
            Err(missing) if !self.tokenless || names.is_empty() => Err(missing),
            Err(_) => by_certificate(access, names).await,
        }
    }
}

async fn api_token(
    access: &Access,
    token: &Token,
    names: &[CertificateName],
) -> Result<TokenRecord, Problem> {
    let record = access.api_token(token).await?.ok_or_else(|| {
        Problem::unauthorized(
            "this token is unknown, expired or revoked; `rolegate tokens create` makes one",
        )
    })?;
    let Some(needed) = &record.certificate_subject else {
        return Ok(record);
    };
    if names.contains(needed) {
        return Ok(record);
    }
    // A token in the wrong hands, perhaps.
    tracing::warn!(
        event = "client_certificate_needed",
        token = %record.id,
        name = %record.name,
        %needed,
        "a token was shown without its client certificate"
    );
    let title = "this token counts only over a connection with the client certificate that it is bound to; `rolegate tokens list` shows which";
    Err(Problem::new(
        StatusCode::FORBIDDEN,
        "client_certificate_needed",
        title,
    ))
}

async fn by_certificate(
    access: &Access,
    names: &[CertificateName],
) -> Result<TokenRecord, Problem> {
    access.launcher_by_certificate(names).await?.ok_or_else(|| {
        let texts: Vec<&str> = names.iter().map(CertificateName::as_str).collect();
        Problem::unauthorized(format!(
            "the client certificate is of no launcher, of one that has expired or was revoked, or of several; send a token, or have `rolegate tokens create --without-token` name one of: {}",
            texts.join(" or ")
        ))
    })
}

impl FromRequest for User {
    type Error = Problem;
    type Future = Extracted<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let token = bearer(request, &[TokenKind::Session]);
        let access = access(request);
        Box::pin(async move {
            let access = access?;
            Ok(Self(user(&access, &token?).await?))
        })
    }
}

impl FromRequest for Ordering {
    type Error = Problem;
    type Future = Extracted<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let shown = Shown::by(request, &[TokenKind::Launcher, TokenKind::Session]);
        let access = access(request);
        Box::pin(async move {
            let access = access?;
            Ok(Self(orderer(&access, shown).await?))
        })
    }
}

impl FromRequest for Managing {
    type Error = Problem;
    type Future = Extracted<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let kinds = [TokenKind::Launcher, TokenKind::Session, TokenKind::Admin];
        let shown = Shown::by(request, &kinds);
        let access = access(request);
        Box::pin(async move {
            let access = access?;
            Ok(Self(orderer(&access, shown).await?))
        })
    }
}

async fn orderer(access: &Access, shown: Shown) -> Result<Orderer, Problem> {
    if let Ok(token) = &shown.token
        && token.kind() == TokenKind::Session
    {
        let live = user(access, token).await?;
        return Ok(Orderer::Person(live.subject.person().clone()));
    }
    let record = shown.record(access).await?;
    if record.role == Role::Admin {
        return Ok(Orderer::Admin(record.name));
    }
    require_role(&record, &[Role::Launcher, Role::Admin])?;
    Ok(Orderer::Launcher(record))
}

impl FromRequest for Administering {
    type Error = Problem;
    type Future = Extracted<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let shown = Shown::by(request, &[TokenKind::Admin]);
        let access = access(request);
        Box::pin(async move {
            let access = access?;
            let record = shown.record(&access).await?;
            require_role(&record, &[Role::Admin])?;
            Ok(Self(record))
        })
    }
}

impl FromRequest for Reader {
    type Error = Problem;
    type Future = Extracted<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let shown = Shown::by(request, &[TokenKind::Launcher, TokenKind::Admin]);
        let access = access(request);
        Box::pin(async move {
            let access = access?;
            Ok(Self(shown.record(&access).await?))
        })
    }
}

impl FromRequest for Auditing {
    type Error = Problem;
    type Future = Extracted<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let shown = Shown::by(request, &[TokenKind::Admin]);
        let access = access(request);
        Box::pin(async move {
            let access = access?;
            let record = shown.record(&access).await?;
            require_role(&record, &[Role::Auditor, Role::Admin])?;
            Ok(Self)
        })
    }
}

/// Refuses a token of none of `roles`, of which the first may least.
fn require_role(record: &TokenRecord, roles: &[Role]) -> Result<(), Problem> {
    if roles.contains(&record.role) {
        return Ok(());
    }
    let needed: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
    let title = format!(
        "token {} is of role {}, and this needs one of role {}; `rolegate tokens create NAME {}` makes one",
        record.name,
        record.role,
        needed.join(" or "),
        roles
            .first()
            .map_or("--role admin", |least| least.options())
    );
    Err(Problem::new(StatusCode::FORBIDDEN, "outside_token", title))
}

impl FromRequest for Browser {
    type Error = Problem;
    type Future = Extracted<Self>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let access = access(request);
        let cookie = request
            .app_data::<web::Data<Site>>()
            .and_then(|site| Kind::Session.read(site, request));
        Box::pin(async move {
            let access = access?;
            let token: Option<Token> = cookie.and_then(|cookie| cookie.parse().ok());
            let needed =
                || Problem::new(StatusCode::UNAUTHORIZED, "sign_in_needed", "sign in first");
            let token = token.ok_or_else(needed)?;
            let live = access.session(&token).await?.ok_or_else(needed)?;
            Ok(Self {
                live,
                csrf: csrf(&token.hash()),
            })
        })
    }
}

impl FromRequest for AdminBrowser {
    type Error = Problem;
    type Future = Extracted<Self>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let browser = Browser::from_request(request, payload);
        let admins = request.app_data::<web::Data<Admins>>().cloned();
        Box::pin(async move {
            let browser = browser.await?;
            if admins.is_some_and(|admins| admins.include(&browser.live().subject)) {
                return Ok(Self);
            }
            let title = "This page is for the administrators that [admin] names.";
            Err(Problem::new(StatusCode::FORBIDDEN, "not_admin", title))
        })
    }
}
