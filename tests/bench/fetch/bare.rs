//! The floor: an actix handler that returns the JSON of a fetch, and does nothing else.

use std::net::TcpListener;
use std::process::ExitCode;

use actix_web::{App, HttpResponse, HttpServer, web};
use serde::Serialize;

/// The argument that makes this program the floor; a port follows.
pub(crate) const MODE: &str = "--bare-handler";

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Credentials<'a> {
    access_key_id: &'a str,
    secret_access_key: &'a str,
    token: &'a str,
    expiration: String,
    account_id: &'a str,
    role_arn: &'a str,
}

async fn credentials() -> HttpResponse {
    HttpResponse::Ok().json(Credentials {
        access_key_id: super::seed::ACCESS_KEY,
        secret_access_key: super::seed::SECRET,
        token: &super::seed::SESSION_TOKEN,
        expiration: "2026-01-01T00:00:00Z".to_owned(),
        account_id: "123456789012",
        role_arn: super::seed::ROLE,
    })
}

/// Serves until it is killed.
pub(crate) fn serve() -> ExitCode {
    let port: u16 = std::env::args().nth(2).unwrap().parse().unwrap();
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    actix_web::rt::System::new()
        .block_on(async move {
            let server = HttpServer::new(|| {
                App::new()
                    .route("/healthz", web::get().to(HttpResponse::Ok))
                    .route("/v1/credentials", web::get().to(credentials))
            });
            server.workers(1).listen(listener).unwrap().run().await
        })
        .unwrap();
    ExitCode::SUCCESS
}
