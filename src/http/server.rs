//! Puts the routes behind a listener, with limits on time and size, in the clear or over TLS.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::{Server, ServerHandle};
use actix_web::error::{JsonPayloadError, UrlencodedError};
use actix_web::web;
use ipnet::IpNet;
use openssl::error::ErrorStack;
use thiserror::Error;
use tokio::task::JoinHandle;

use super::connections::{self, Connections, Terms};
use super::{Limits, Problem, RequestIds, Tls, TlsError, listening};
use crate::flow::{
    Access, Admins, Assignments, Console, Explain, Fetch, Grants, Idps, Leases, Login, Logout,
    Metrics, Pressure, Providers, Readiness, RelayKeys, Revoke, ServiceKeys, SignIn, Underway,
};
use crate::model::IdpName;

/// A JSON body of ours is small; a session policy has 2,048 characters.
const JSON_LIMIT: usize = 32 * 1024;
/// So is a form of our pages.
const FORM_LIMIT: usize = 16 * 1024;

/// What pages and answers say of the place they come from.
pub struct Site {
    /// `server.public_url`.
    pub public_url: String,
    /// Its origin.
    pub origin: String,
    /// `server.return_origins`.
    pub return_origins: Vec<String>,
    /// The IdPs that speak OpenID Connect; the others speak SAML.
    pub oidc_providers: BTreeSet<IdpName>,
    /// Whether cookies are Secure and `__Host-`: everywhere but on loopback http.
    pub secure_cookies: bool,
    /// Whether this process itself speaks TLS.
    pub tls: bool,
    /// How long a whole request may take to arrive.
    pub request_timeout: Duration,
    /// The longest address and headers of a request, in bytes.
    pub max_head_bytes: usize,
    /// The longest body of a request, in bytes.
    pub max_body_bytes: usize,
    /// Whether people come by https only, so that a proxy's word on plain http counts.
    pub https_only: bool,
    /// Where the portal's console button leads browsers, as sources of a Content-Security-Policy.
    pub console_sources: String,
    /// Whose `X-Forwarded-For` and `X-Forwarded-Proto` count.
    pub trusted_proxies: Vec<IpNet>,
}

impl Site {
    /// The Content-Security-Policy of every answer but the portal. Browsers hold `form-action` against
    /// redirects too, so it names where a confirmed sign-in may go on to.
    pub(super) fn policy(&self) -> String {
        policy(&self.return_origins.join(" "))
    }

    /// Where a sign-in at `idp` begins.
    pub(super) fn login_path(&self, idp: &IdpName) -> String {
        let protocol = if self.oidc_providers.contains(idp) {
            "oidc"
        } else {
            "saml"
        };
        format!("/{protocol}/{idp}/login")
    }

    /// The portal's: its forms may lead to the console as well.
    pub(super) fn portal_policy(&self) -> String {
        policy(&self.console_sources)
    }
}

fn policy(targets: &str) -> String {
    format!(
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self' {targets}; frame-ancestors 'none'; base-uri 'none'"
    )
}

/// Everything that handlers may be given.
#[derive(Clone)]
pub struct Flows {
    /// Sign-in.
    pub sign_in: Arc<SignIn>,
    /// What a person has.
    pub grants: Arc<Grants>,
    /// Credentials.
    pub fetch: Arc<Fetch>,
    /// Leases.
    pub leases: Arc<Leases>,
    /// The kill switch.
    pub revoke: Arc<Revoke>,
    /// Roles that admins name for a person.
    pub assignments: Arc<Assignments>,
    /// The IdPs in force.
    pub idps: Arc<Idps>,
    /// The OpenID providers in force.
    pub providers: Arc<Providers>,
    /// What is measured.
    pub metrics: Arc<Metrics>,
    /// Single logout.
    pub logout: Arc<Logout>,
    /// Our own key pairs in force.
    pub keys: Arc<ServiceKeys>,
    /// The keys of rolegate as an OIDC issuer.
    pub relay_keys: Arc<RelayKeys>,
    /// Whether all that is needed is there.
    pub readiness: Arc<Readiness>,
    /// Names requests.
    pub request_ids: Arc<RequestIds>,
    /// Who callers are.
    pub access: Arc<Access>,
    /// Says why.
    pub explain: Arc<Explain>,
    /// Who administers.
    pub admins: Arc<Admins>,
    /// Opens the AWS console.
    pub console: Arc<Console>,
    /// Signs command lines in.
    pub login: Arc<Login>,
    /// Who is refused too often.
    pub limits: Arc<Limits>,
    /// What was turned away.
    pub pressure: Arc<Pressure>,
    /// Sees through what a request has begun to change.
    pub underway: Arc<Underway>,
    /// What pages say of the place.
    pub site: Arc<Site>,
}

/// What holds for connections.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Threads that serve requests; `None` is one for each core.
    pub workers: Option<usize>,
    /// Connections at once; beyond them the system's queue fills.
    pub max_connections: usize,
    /// Connections at once of one address that is no trusted proxy.
    pub connections_per_address: usize,
    /// How long a TLS handshake may take.
    pub tls_handshake_timeout: Duration,
    /// For how long a client may leave an answer unread.
    pub unread_answer_timeout: Duration,
    /// How long a connection may be idle between two requests.
    pub keep_alive: Duration,
    /// How long requests under way have when the server stops.
    pub shutdown_timeout: Duration,
}

impl Bounds {
    /// How many threads serve requests.
    pub(super) fn workers(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(2, NonZero::get);
        self.workers.unwrap_or_else(cores)
    }
}

/// Where certificate chain and key are.
pub struct TlsFiles {
    /// The chain, PEM.
    pub certificate: PathBuf,
    /// The key, PEM.
    pub key: PathBuf,
    /// The authorities of clients' certificates, PEM, where clients are asked for one.
    pub client_ca: Option<PathBuf>,
}

/// Why nothing is served.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("server.listen: {0}: {1}; choose another address or stop what uses it")]
    Listen(SocketAddr, std::io::Error),
    /// The metrics' address cannot be listened on.
    #[error("server.metrics_listen: {0}: {1}; choose another address or stop what uses it")]
    ListenMetrics(SocketAddr, std::io::Error),
    /// Certificate or key cannot be used.
    #[error("server.tls: {0}; give a PEM chain and the key that belongs to it")]
    Tls(#[from] ErrorStack),
    /// The files of certificate and key cannot be used.
    #[error("server.tls: {0}")]
    TlsFiles(#[from] TlsError),
}

/// A server at work.
pub struct Serving {
    handle: ServerHandle,
    task: JoinHandle<std::io::Result<()>>,
    watch: Option<JoinHandle<()>>,
}

impl Serving {
    pub(super) fn of(server: Server) -> Self {
        Self {
            handle: server.handle(),
            task: tokio::spawn(server),
            watch: None,
        }
    }

    /// Finishes the requests under way, then ends.
    pub async fn stop(self) {
        self.handle.stop(true).await;
        if let Ok(Err(error)) = self.task.await {
            tracing::error!(event = "server_failed", %error, "the server did not end well");
        }
        if let Some(watch) = self.watch {
            watch.abort();
        }
    }
}

/// Serves `flows` on `listener` until the returned server is stopped.
pub fn serve(
    flows: Flows,
    listener: TcpListener,
    tls: Option<&Arc<Tls>>,
    bounds: &Bounds,
) -> Result<Serving, ServeError> {
    let request = flows.site.request_timeout;
    let terms = Terms {
        most: bounds.connections_per_address,
        trusted: flows.site.trusted_proxies.clone(),
        unread: bounds.unread_answer_timeout,
        head: request,
        quiet: request + bounds.keep_alive,
    };
    let connections = Connections::new(terms, Arc::clone(&flows.pressure));
    let watch = Arc::clone(&connections).watch();
    connections::take_little(&listener);
    let server = listening::listen(flows, listener, tls, connections, bounds)?;
    Ok(Serving {
        watch: Some(tokio::spawn(watch)),
        ..Serving::of(server)
    })
}

/// Hands `flows` to `app`, and says how what cannot be read is refused.
pub(super) fn provide(app: &mut web::ServiceConfig, flows: &Flows) {
    let flows = flows.clone();
    app.app_data(web::Data::from(flows.sign_in))
        .app_data(web::Data::from(flows.grants))
        .app_data(web::Data::from(flows.fetch))
        .app_data(web::Data::from(flows.leases))
        .app_data(web::Data::from(flows.revoke))
        .app_data(web::Data::from(flows.assignments))
        .app_data(web::Data::from(flows.idps))
        .app_data(web::Data::from(flows.providers))
        .app_data(web::Data::from(flows.metrics.requests()))
        .app_data(web::Data::from(flows.metrics))
        .app_data(web::Data::from(flows.keys))
        .app_data(web::Data::from(flows.relay_keys))
        .app_data(web::Data::from(flows.logout))
        .app_data(web::Data::from(flows.readiness))
        .app_data(web::Data::from(flows.request_ids))
        .app_data(web::Data::from(flows.access))
        .app_data(web::Data::from(flows.explain))
        .app_data(web::Data::from(flows.admins))
        .app_data(web::Data::from(flows.login))
        .app_data(web::Data::from(flows.console))
        .app_data(web::Data::from(flows.limits))
        .app_data(web::Data::from(flows.pressure))
        .app_data(web::Data::from(flows.underway))
        .app_data(web::Data::from(flows.site))
        .app_data(
            web::JsonConfig::default()
                .limit(JSON_LIMIT)
                .error_handler(|error, request| unread_json(&error).answered(request)),
        )
        .app_data(web::PathConfig::default().error_handler(|error, request| {
            Problem::bad_request(error.to_string()).answered(request)
        }))
        .app_data(web::QueryConfig::default().error_handler(|error, request| {
            Problem::bad_request(error.to_string()).answered(request)
        }))
        .app_data(
            web::FormConfig::default()
                .limit(FORM_LIMIT)
                .error_handler(|error, request| unread_form(&error).answered(request)),
        );
}

fn unread_json(error: &JsonPayloadError) -> Problem {
    match error {
        JsonPayloadError::OverflowKnownLength { limit, .. }
        | JsonPayloadError::Overflow { limit } => Problem::too_large(*limit),
        other => Problem::bad_request(other.to_string()),
    }
}

fn unread_form(error: &UrlencodedError) -> Problem {
    match error {
        UrlencodedError::Overflow { limit, .. } => Problem::too_large(*limit),
        other => Problem::bad_request(other.to_string()),
    }
}
