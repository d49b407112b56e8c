//! The way of a connection within a worker: it is counted when it is taken, shakes hands where there is TLS, and then
//! speaks HTTP/1.1 to the routes.
//!
//! `HttpServer` is put together of the same parts, but lets nobody in before its handshake: `on_connect` comes after it,
//! so that who never finishes one is never seen (actix-web, `server.rs`, `listen_openssl_inner`; actix-http,
//! `service.rs`, `openssl_with_config`).

use std::fmt::Debug;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_http::body::BoxBody;
use actix_http::error::{DispatchError, ParseError};
use actix_http::{HttpServiceBuilder, Request, Response, TlsAcceptorConfig};
use actix_service::map_config;
use actix_tls::accept::TlsError as HandshakeError;
use actix_tls::accept::openssl::TlsStream;
use actix_web::dev::{AppConfig, Extensions, Server, Service, ServiceFactory};
use actix_web::middleware::from_fn;
use actix_web::rt::net::TcpStream;
use actix_web::{App, web};

use super::connections::{self, Connections};
use super::server::provide;
use super::{Bounds, Flows, ServeError, Tls, arrival, limits, middleware, peer, routes};
use crate::flow::Limit;

/// How long the end of a connection may take.
const PARTING: Duration = Duration::from_secs(1);

/// A server of `flows` on `listener`, whose connections are counted in `connections`.
pub(super) fn listen(
    flows: Flows,
    listener: TcpListener,
    tls: Option<&Arc<Tls>>,
    connections: Arc<Connections>,
    bounds: &Bounds,
) -> Result<Server, ServeError> {
    let times = Times::of(&flows, bounds);
    let workers = bounds.workers();
    let each = bounds.max_connections.div_ceil(workers);
    // A handshake that stalls costs no more than a connection, and must keep nobody's from beginning.
    actix_tls::accept::max_concurrent_tls_connect(each);
    let server = Server::build()
        .workers(workers)
        .max_concurrent_connections(each)
        .shutdown_timeout(bounds.shutdown_timeout.as_secs())
        .disable_signals();
    // Without it idle connections would hold the end up for as long as they are kept alive.
    let leaving = server.graceful_shutdown_signal();
    let leaving = move || {
        let leaving = leaving.clone();
        async move { leaving.notified().await }
    };
    let app = move || {
        let app = App::new()
            .configure(|app| provide(app, &flows))
            .wrap(from_fn(limits::hold))
            .wrap(from_fn(arrival::admit))
            .wrap(from_fn(middleware::secure))
            .wrap(from_fn(middleware::log))
            .wrap(from_fn(connections::mark))
            .configure(routes::register)
            .default_service(web::to(super::error::not_found));
        map_config(app, |()| AppConfig::default())
    };
    let address = listener.local_addr().unwrap_or(([0, 0, 0, 0], 0).into());
    let listening = if let Some(tls) = tls {
        let (tls, acceptor) = (Arc::clone(tls), tls.acceptor()?);
        server.listen("https", listener, move || {
            let tls = Arc::clone(&tls);
            let remember = move |stream: &TlsStream<TcpStream>, of: &mut Extensions| {
                connections::known(of);
                peer::remember(&tls, stream, of);
            };
            let http = http(times, leaving.clone()).on_connect_ext(remember);
            let patience = TlsAcceptorConfig::default().handshake_timeout(times.handshake);
            let http = http
                .finish(app())
                .openssl_with_config(acceptor.clone(), patience);
            connections::counted(&connections, http, cut_over_tls)
        })
    } else {
        server.listen("http", listener, move || {
            let http = http(times, leaving.clone())
                .on_connect_ext(|_: &TcpStream, of: &mut Extensions| connections::known(of));
            connections::counted(&connections, http.finish(app()).tcp(), cut)
        })
    };
    let failed = |error| ServeError::Listen(address, error);
    Ok(listening.map_err(failed)?.run())
}

#[derive(Clone, Copy)]
struct Times {
    request: Duration,
    keep_alive: Duration,
    handshake: Duration,
}

impl Times {
    fn of(flows: &Flows, bounds: &Bounds) -> Self {
        Self {
            request: flows.site.request_timeout,
            keep_alive: bounds.keep_alive,
            handshake: bounds.tls_handshake_timeout,
        }
    }
}

/// HTTP, whose idle connections end when `leaving` does.
fn http<T, S, F, Leaving>(times: Times, leaving: F) -> HttpServiceBuilder<T, S>
where
    S: ServiceFactory<Request, Config = ()>,
    S::Error: Into<Response<BoxBody>> + 'static,
    S::InitError: Debug,
    <S::Service as Service<Request>>::Future: 'static,
    F: Fn() -> Leaving + 'static,
    Leaving: Future<Output = ()> + 'static,
{
    HttpServiceBuilder::default()
        .graceful_shutdown_signal(leaving)
        .keep_alive(times.keep_alive)
        .client_request_timeout(times.request)
        .client_disconnect_timeout(PARTING)
}

/// The limit that a connection in the clear ended by, if one did.
fn cut(error: &DispatchError) -> Option<Limit> {
    match error {
        DispatchError::Io(error) if error.kind() == ErrorKind::TimedOut => {
            Some(Limit::UnreadAnswers)
        }
        DispatchError::Parse(ParseError::TooLarge) => Some(Limit::Head),
        DispatchError::Parse(ParseError::Io(_)) => None,
        DispatchError::Parse(_) => Some(Limit::Malformed),
        _ => None,
    }
}

/// The limit that a connection over TLS ended by, if one did.
fn cut_over_tls<E>(error: &HandshakeError<E, DispatchError>) -> Option<Limit> {
    match error {
        HandshakeError::Timeout => Some(Limit::SlowHandshakes),
        HandshakeError::Service(error) => cut(error),
        HandshakeError::Tls(_) => None,
    }
}
