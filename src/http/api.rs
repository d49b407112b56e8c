//! `me`, `credentials` and `users/{user}/grants`.

use actix_web::http::StatusCode;
use actix_web::{Error, HttpResponse, web};
use serde::{Deserialize, Serialize};

use super::actor::{Reader, Sent, User};
use super::{Problem, Site};
use crate::flow::{Access, Fetch, Grants, Served};
use crate::model::{IdpName, Role, RoleArn, SessionDuration, UserName, rfc3339};

/// `GET /api/v1/me`.
pub(super) async fn me(user: User, grants: web::Data<Grants>) -> Result<HttpResponse, Error> {
    Ok(HttpResponse::Ok().json(grants.of(user.live(), None).await.map_err(Problem::from)?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CredentialsOrder {
    role_arn: RoleArn,
    /// With method saml it is read for its range alone: the length was settled at the sign-in.
    #[serde(default)]
    duration_seconds: Option<SessionDuration>,
}

/// What `credential_process` takes.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ProcessCredentials<'a> {
    version: u8,
    access_key_id: &'a str,
    secret_access_key: &'a str,
    session_token: &'a str,
    expiration: String,
}

/// `POST /api/v1/credentials`.
pub(super) async fn credentials(
    user: User,
    order: Sent<web::Json<CredentialsOrder>>,
    fetch: web::Data<Fetch>,
    site: web::Data<Site>,
) -> Result<HttpResponse, Error> {
    let order = order?.0.into_inner();
    let served = fetch
        .for_subject(
            &user.live().subject,
            &order.role_arn,
            order.duration_seconds,
        )
        .await
        .map_err(|error| Problem::from(error).with_login(&site, None))?;
    Ok(in_process_form(&served))
}

fn in_process_form(served: &Served) -> HttpResponse {
    let credentials = &served.credentials;
    HttpResponse::Ok().json(ProcessCredentials {
        version: 1,
        access_key_id: &credentials.access_key_id,
        secret_access_key: credentials.secret_access_key.expose(),
        session_token: credentials.session_token.expose(),
        expiration: rfc3339(credentials.expires_at),
    })
}

#[derive(Deserialize)]
pub(super) struct GrantsQuery {
    idp: Option<IdpName>,
}

/// `GET /api/v1/users/{user}/grants`: what a launcher may count on for a user.
pub(super) async fn grants_of(
    reader: Reader,
    user: Sent<web::Path<UserName>>,
    query: Sent<web::Query<GrantsQuery>>,
    access: web::Data<Access>,
    grants: web::Data<Grants>,
    site: web::Data<Site>,
) -> Result<HttpResponse, Error> {
    let (token, user) = (reader.token(), user?.0.into_inner());
    let launcher = (token.role == Role::Launcher).then_some(&token.name);
    let covered = token
        .for_users
        .as_ref()
        .is_some_and(|pattern| pattern.matches(user.as_str()));
    if launcher.is_some() && !covered {
        let title = format!("token {} is not for user {user}", token.name);
        return Err(Problem::new(StatusCode::FORBIDDEN, "outside_token", title).into());
    }
    let sessions = access
        .sessions_of(&user, query?.0.into_inner().idp.as_ref())
        .await
        .map_err(Problem::from)?;
    let [live] = sessions.as_slice() else {
        let idps = sessions
            .iter()
            .map(|live| live.subject.person().idp.to_string());
        return Err(no_single_idp(&user, idps.collect())
            .with_login(&site, None)
            .into());
    };
    let mut me = grants.of(live, launcher).await.map_err(Problem::from)?;
    if let Some(pattern) = &token.for_roles {
        me.grants.retain(|grant| pattern.matches(&grant.role_arn));
        me.denied.retain(|denied| pattern.matches(&denied.role_arn));
    }
    Ok(HttpResponse::Ok().json(me))
}

fn no_single_idp(user: &UserName, idps: Vec<String>) -> Problem {
    if idps.is_empty() {
        let title = format!("{user} has no live session; have {user} sign in");
        return Problem::new(StatusCode::CONFLICT, "sign_in_needed", title);
    }
    let title = format!("{user} is signed in at several IdPs; name one with ?idp=");
    Problem::new(StatusCode::CONFLICT, "user_ambiguous", title).with("idps", idps)
}
