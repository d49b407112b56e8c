//! The IdP's pages, and its answer for scripts. Everything that came from outside is escaped.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use serde::Deserialize;

use super::{DemoUser, Inner, request};
use crate::demo::xml::escape;

const STYLE: &str = "body{font:1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:3rem auto;padding:0 1rem}\
    label{display:block;margin:.75rem 0}input{display:block;width:100%;padding:.4rem;box-sizing:border-box}\
    button{padding:.4rem 1rem}li{margin:.5rem 0}li form{display:inline}.bad{color:#a00}";

pub(super) fn register(app: &mut web::ServiceConfig, inner: &Arc<Inner>) {
    app.app_data(web::Data::from(Arc::clone(inner)))
        .route("/", web::get().to(start_page))
        .route("/metadata", web::get().to(metadata))
        .route("/sso", web::get().to(login_page))
        .route("/sso", web::post().to(login))
        .route("/initiate", web::post().to(initiate))
        .route("/api/response", web::get().to(response_for_scripts));
}

fn page(status: StatusCode, title: &str, body: &str) -> HttpResponse {
    HttpResponse::build(status)
        .content_type("text/html; charset=utf-8")
        .insert_header(("Cache-Control", "no-store"))
        .body(format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
             <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head>\
             <body><h1>{title}</h1>{body}</body></html>"
        ))
}

fn plain(status: StatusCode, text: String) -> HttpResponse {
    HttpResponse::build(status)
        .content_type("text/plain; charset=utf-8")
        .insert_header(("Cache-Control", "no-store"))
        .body(text)
}

async fn metadata(idp: web::Data<Inner>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/samlmetadata+xml")
        .body(idp.metadata.clone())
}

async fn start_page(idp: web::Data<Inner>) -> HttpResponse {
    let line = |user: &DemoUser| {
        let (name, password) = (escape(&user.name), escape(&user.password));
        format!(
            "<li><form method=\"post\" action=\"/initiate\"><input type=\"hidden\" name=\"name\" value=\"{name}\">\
             <button>Sign in as {name}</button></form> (password <code>{password}</code>)</li>"
        )
    };
    let users: String = idp.settings.users.iter().map(line).collect();
    let body = format!(
        "<p>Signs in to <code>{}</code>, starting here:</p><ul>{users}</ul>",
        escape(&idp.settings.acs_url)
    );
    page(StatusCode::OK, "Demo identity provider", &body)
}

/// What the login form carries along.
#[derive(Deserialize)]
struct Query {
    #[serde(rename = "SAMLRequest")]
    request: String,
    #[serde(rename = "RelayState", default)]
    relay_state: String,
}

async fn login_page(idp: web::Data<Inner>, query: web::Query<Query>) -> HttpResponse {
    match request::read(&idp, &query.request) {
        Ok(_) => login_form(StatusCode::OK, &query.request, &query.relay_state, ""),
        Err(why) => plain(StatusCode::BAD_REQUEST, format!("{why}\n")),
    }
}

fn login_form(status: StatusCode, request: &str, relay_state: &str, note: &str) -> HttpResponse {
    let body = format!(
        "{note}<form method=\"post\" action=\"/sso\">\
         <input type=\"hidden\" name=\"SAMLRequest\" value=\"{}\">\
         <input type=\"hidden\" name=\"RelayState\" value=\"{}\">\
         <label>Name <input name=\"name\" autocomplete=\"username\" autofocus></label>\
         <label>Password <input name=\"password\" type=\"password\" autocomplete=\"current-password\"></label>\
         <button>Sign in</button></form>",
        escape(request),
        escape(relay_state)
    );
    page(status, "Demo identity provider", &body)
}

#[derive(Deserialize)]
struct Login {
    name: String,
    password: String,
    #[serde(rename = "SAMLRequest")]
    request: String,
    #[serde(rename = "RelayState", default)]
    relay_state: String,
}

async fn login(idp: web::Data<Inner>, form: web::Form<Login>) -> HttpResponse {
    let id = match request::read(&idp, &form.request) {
        Ok(id) => id,
        Err(why) => return plain(StatusCode::BAD_REQUEST, format!("{why}\n")),
    };
    let good = |user: &DemoUser| user.name == form.name && user.password == form.password;
    if !idp.settings.users.iter().any(good) {
        let note = "<p class=\"bad\" role=\"alert\">Wrong name or password.</p>";
        return login_form(
            StatusCode::UNAUTHORIZED,
            &form.request,
            &form.relay_state,
            note,
        );
    }
    answer(&idp, &form.name, Some(id), &form.relay_state)
}

#[derive(Deserialize)]
struct Initiate {
    name: String,
    #[serde(rename = "RelayState", default)]
    relay_state: String,
}

async fn initiate(idp: web::Data<Inner>, form: web::Form<Initiate>) -> HttpResponse {
    if knows(&idp, &form.name) {
        answer(&idp, &form.name, None, &form.relay_state)
    } else {
        plain(StatusCode::NOT_FOUND, "no such user\n".to_owned())
    }
}

fn knows(idp: &Inner, name: &str) -> bool {
    idp.settings.users.iter().any(|user| user.name == name)
}

/// The page that posts the response, by itself or by its button.
fn answer(
    idp: &Inner,
    user: &str,
    in_response_to: Option<String>,
    relay_state: &str,
) -> HttpResponse {
    let mut plan = idp.plan(user);
    plan.in_response_to = in_response_to;
    // An empty RelayState is none, and none is sent.
    let relay_state = if relay_state.is_empty() {
        String::new()
    } else {
        let value = escape(relay_state);
        format!("<input type=\"hidden\" name=\"RelayState\" value=\"{value}\">")
    };
    let body = format!(
        "<form method=\"post\" action=\"{}\"><input type=\"hidden\" name=\"SAMLResponse\" value=\"{}\">\
         {relay_state}<button>Continue</button></form><script>document.forms[0].submit()</script>",
        escape(&idp.settings.acs_url),
        idp.sign(&plan),
    );
    page(StatusCode::OK, "Signed in", &body)
}

#[derive(Deserialize)]
struct Wanted {
    user: String,
    in_response_to: Option<String>,
}

/// The base64 of a response, alone.
async fn response_for_scripts(idp: web::Data<Inner>, wanted: web::Query<Wanted>) -> HttpResponse {
    if !knows(&idp, &wanted.user) {
        return plain(StatusCode::NOT_FOUND, "no such user\n".to_owned());
    }
    let mut plan = idp.plan(&wanted.user);
    plan.in_response_to.clone_from(&wanted.in_response_to);
    plain(StatusCode::OK, idp.sign(&plan))
}
