//! STS's answers: XML as AWS sends it (API version 2011-06-15).

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use futures_util::stream;

use crate::demo::xml::escape;

const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// An error in AWS's words.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) status: u16,
    pub(super) code: &'static str,
    pub(super) message: String,
}

impl Failure {
    pub(super) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
        }
    }

    /// IAM says no to `action`: role, provider, and what was signed do not go together.
    pub(super) fn denied(action: &str) -> Self {
        let text = format!("Not authorized to perform sts:{action}");
        Self::new(403, "AccessDenied", text)
    }

    /// The assertion is not one that this provider may be believed for.
    pub(super) fn token(message: impl Into<String>) -> Self {
        Self::new(400, "InvalidIdentityToken", message)
    }

    /// The assertion is too old.
    pub(super) fn expired(message: impl Into<String>) -> Self {
        Self::new(400, "ExpiredTokenException", message)
    }

    /// The documents of a token's issuer cannot be reached.
    pub(super) fn issuer_away() -> Self {
        let text = "Error communicating with the identity provider";
        Self::new(400, "IDPCommunicationError", text)
    }

    /// A parameter breaks the service model.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, "ValidationError", message)
    }

    pub(super) fn answer(&self, request_id: &str) -> HttpResponse {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::BAD_REQUEST);
        let kind = if status.is_server_error() {
            "Receiver"
        } else {
            "Sender"
        };
        let (code, message) = (self.code, escape(&self.message));
        send(
            status,
            request_id,
            format!(
                "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>{kind}</Type><Code>{code}</Code>\
                 <Message>{message}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
            ),
        )
    }
}

/// A good answer to `action`, whose result's children are `result`.
pub(super) fn ok(action: &str, result: &str, request_id: &str) -> HttpResponse {
    let body = format!(
        "<{action}Response xmlns=\"{NAMESPACE}\"><{action}Result>{result}</{action}Result>\
         <ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{action}Response>"
    );
    send(StatusCode::OK, request_id, body)
}

fn send(status: StatusCode, request_id: &str, body: String) -> HttpResponse {
    HttpResponse::build(status)
        .content_type("text/xml")
        .insert_header(("x-amzn-RequestId", request_id))
        .body(body)
}

/// An answer that breaks off before its body: the connection is closed.
pub(super) fn cut() -> HttpResponse {
    let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
    HttpResponse::Ok().streaming(stream::iter([Err::<actix_web::web::Bytes, _>(broken)]))
}

/// `<name>value</name>`.
pub(super) fn element(name: &str, value: &str) -> String {
    format!("<{name}>{}</{name}>", escape(value))
}
