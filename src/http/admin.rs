//! What admins and auditors ask: why a response was refused, what would become of one, what a user has.
//!
//! Only translates. The answer of the API is to the letter what `rolegate explain --json` prints.

use actix_web::http::StatusCode;
use actix_web::{Error, HttpRequest, HttpResponse, web};
use serde::Deserialize;

use super::actor::{AdminBrowser, Auditing};
use super::people::to_login;
use super::{Problem, Site, middleware, page};
use crate::flow::{Explain, Explanation};
use crate::model::{IdpName, Reference, RoleArn, UserName};

/// A response as JSON text: base64 of 100,000 characters, or XML with every quote escaped.
const BODY_LIMIT: usize = 256 * 1024;

/// One of three questions.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    #[serde(default)]
    saml_response: Option<String>,
    #[serde(default)]
    reference: Option<Reference>,
    #[serde(default)]
    user: Option<UserName>,
    #[serde(default)]
    idp: Option<IdpName>,
    #[serde(default)]
    role_arn: Option<RoleArn>,
}

/// `POST /api/v1/admin/explain`.
pub(super) async fn explain(
    _: Auditing,
    payload: web::Payload,
    explain: web::Data<Explain>,
    site: web::Data<Site>,
) -> Result<HttpResponse, Error> {
    let body = middleware::read_body(payload, BODY_LIMIT, site.request_timeout).await?;
    let question: Question =
        serde_json::from_slice(&body).map_err(|error| Problem::bad_request(error.to_string()))?;
    Ok(HttpResponse::Ok().json(answer(question, &explain).await?))
}

async fn answer(question: Question, explain: &Explain) -> Result<Explanation, Problem> {
    match question {
        Question {
            saml_response: Some(text),
            reference: None,
            user: None,
            idp,
            role_arn: None,
        } => Ok(explain.response(&text, idp, None).await?),
        Question {
            saml_response: None,
            reference: Some(reference),
            user: None,
            idp: None,
            role_arn: None,
        } => explain.reference(&reference).await?.ok_or_else(|| {
            let title = Explain::unknown_reference(&reference);
            Problem::new(StatusCode::NOT_FOUND, "unknown_reference", title)
        }),
        Question {
            saml_response: None,
            reference: None,
            user: Some(user),
            idp,
            role_arn,
        } => Ok(explain.user(&user, idp.as_ref(), role_arn.as_ref()).await?),
        _ => Err(Problem::bad_request(
            "send one of saml_response, reference and user; idp goes with the first and the last, role_arn with user",
        )),
    }
}

#[derive(Deserialize)]
pub(super) struct Asked {
    reference: Option<String>,
}

/// `GET /admin/explain`: a form, and what the reference in the query stands for.
pub(super) async fn explain_page(
    request: HttpRequest,
    admin: Result<AdminBrowser, Problem>,
    asked: Option<web::Query<Asked>>,
    explain: web::Data<Explain>,
) -> HttpResponse {
    if let Err(problem) = admin {
        return to_login(&request, &problem);
    }
    let asked = asked.and_then(|asked| asked.into_inner().reference);
    let asked = asked.as_deref().map_or("", str::trim);
    if asked.is_empty() {
        return page::explain(StatusCode::OK, "", None, None);
    }
    let Ok(reference) = asked.parse::<Reference>() else {
        let problem =
            "That is no reference: one starts with ref_ and stands on the page that the user saw.";
        return page::explain(StatusCode::BAD_REQUEST, asked, Some(problem), None);
    };
    match explain.reference(&reference).await {
        Ok(Some(found)) => page::explain(StatusCode::OK, asked, None, Some(&found)),
        Ok(None) => {
            let problem = Explain::unknown_reference(&reference);
            page::explain(StatusCode::NOT_FOUND, asked, Some(&problem), None)
        }
        Err(error) => Problem::from(error).answer(&request),
    }
}
