//! An OpenID provider on loopback that does whatever a test wants: by itself it is as strict and as honest as a
//! provider can be, and a [`Script`] changes any of its answers.
//!
//! It notes every breach of the protocol by its client, every secret that it gave or was given, and how often
//! each of its endpoints was asked.

mod core;
mod forge;
mod script;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::http::StatusCode;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use serde_json::Value;
use tokio::sync::watch;

pub(crate) use core::CLIENT_SECRET;
pub(crate) use forge::{Draft, Key, Sign};
pub(crate) use script::{Brought, Edit, Gate, Reply, Script, brought, reply, token};

use core::{Asked, Core};

/// An event that takes longer to come does not come.
const PATIENCE: Duration = Duration::from_mins(1);

/// The provider; it ends when dropped.
pub(crate) struct RogueProvider {
    url: String,
    shared: Arc<Shared>,
    handle: ServerHandle,
}

struct Shared {
    core: Mutex<Core>,
    /// Changes whenever something was asked.
    asked: watch::Sender<u64>,
}

/// What nobody but provider and client may ever see.
#[derive(Debug, Clone, Default)]
pub(crate) struct Secrets {
    /// Authorization codes.
    pub(crate) codes: BTreeSet<String>,
    /// PKCE verifiers.
    pub(crate) verifiers: BTreeSet<String>,
    /// Nonces.
    pub(crate) nonces: BTreeSet<String>,
    /// ID tokens.
    pub(crate) id_tokens: BTreeSet<String>,
    /// Access tokens.
    pub(crate) access_tokens: BTreeSet<String>,
    /// Refresh tokens.
    pub(crate) refresh_tokens: BTreeSet<String>,
}

impl RogueProvider {
    /// Serves client `client_id`, which is redirected to `redirect_uri` alone and has [`CLIENT_SECRET`].
    pub(crate) fn start(client_id: &str, redirect_uri: &str) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            core: Mutex::new(Core::new(&url, client_id, redirect_uri)),
            asked: watch::Sender::new(0),
        });
        let data = web::Data::from(Arc::clone(&shared));
        let server = HttpServer::new(move || {
            App::new()
                .app_data(data.clone())
                .app_data(web::PayloadConfig::new(4 * 1024 * 1024))
                .default_service(web::to(answer))
        });
        let server = server
            .workers(1)
            // A test's own machine may be slow.
            .client_request_timeout(Duration::from_mins(1))
            .disable_signals()
            .shutdown_timeout(1)
            .listen(listener)
            .unwrap()
            .run();
        let handle = server.handle();
        tokio::spawn(server);
        Self {
            url,
            shared,
            handle,
        }
    }

    /// The issuer, which is where it listens.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// `HOST:PORT`, as AWS names the provider.
    pub(crate) fn host(&self) -> &str {
        self.url.split_once("://").unwrap().1
    }

    /// Changes what it does from now on.
    pub(crate) fn script(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.shared.core.lock().unwrap().script);
    }

    /// Is honest from now on.
    pub(crate) fn behave(&self) {
        self.script(|script| *script = Script::default());
    }

    /// The claims of the person who signs in from now on, beside the protocol's own.
    pub(crate) fn person(&self, claims: Value) {
        self.shared.core.lock().unwrap().person = claims;
    }

    /// The key that signs.
    pub(crate) fn key(&self) -> Key {
        self.shared.core.lock().unwrap().keys[0].clone()
    }

    /// Signs with the first of these from now on, and publishes all.
    pub(crate) fn set_keys(&self, keys: Vec<Key>) {
        self.shared.core.lock().unwrap().keys = keys;
    }

    /// How often `path` was asked; a refresh counts as `refresh` and an exchange as `exchange`.
    pub(crate) fn count(&self, path: &str) -> usize {
        let core = self.shared.core.lock().unwrap();
        core.counts.get(path).copied().unwrap_or(0)
    }

    /// How often anything was asked that it does not have.
    pub(crate) fn strays(&self) -> usize {
        self.count("stray")
    }

    /// Waits until `path` was asked so many times in all.
    pub(crate) async fn asked(&self, path: &str, times: usize) {
        let mut changes = self.shared.asked.subscribe();
        let enough =
            tokio::time::timeout(PATIENCE, changes.wait_for(|_| self.count(path) >= times));
        if let Err(_late) = enough.await {
            panic!("{path} was asked {} times, not {times}", self.count(path));
        }
    }

    /// What the client did against the protocol.
    pub(crate) fn breaches(&self) -> Vec<String> {
        self.shared.core.lock().unwrap().breaches.clone()
    }

    /// Every secret so far.
    pub(crate) fn secrets(&self) -> Secrets {
        self.shared.core.lock().unwrap().secrets.clone()
    }

    /// The bodies of the requests to the token endpoint so far.
    pub(crate) fn token_requests(&self) -> Vec<String> {
        self.shared.core.lock().unwrap().token_requests.clone()
    }

    /// Ends every grant: refreshes get `invalid_grant` from now on.
    pub(crate) fn revoke_all(&self) {
        self.shared.core.lock().unwrap().revoke_all();
    }
}

impl Drop for RogueProvider {
    fn drop(&mut self) {
        // The command is sent at once; only hearing of its end would need to be awaited.
        drop(self.handle.stop(false));
    }
}

async fn answer(request: HttpRequest, body: web::Bytes, shared: web::Data<Shared>) -> HttpResponse {
    let asked = Asked::of(&request, &body);
    let reply = shared.core.lock().unwrap().respond(&asked);
    shared.asked.send_modify(|count| *count += 1);
    if let Some(gate) = &reply.gate {
        gate.passed().await;
    }
    let mut response = HttpResponse::build(StatusCode::from_u16(reply.status).unwrap());
    response.insert_header(("Content-Type", reply.kind));
    for (name, value) in reply.headers {
        response.insert_header((name, value));
    }
    match reply.raw {
        Some(raw) => response.body(raw),
        None => response.body(reply.json.to_string()),
    }
}
