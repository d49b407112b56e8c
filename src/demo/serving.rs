//! A server on a loopback port that the system chooses.
//!
//! It trusts nobody: an address that is not loopback is refused before anything is bound, so that
//! neither the IdP that signs whatever it is told nor the STS can be reached from another machine.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer, web};
use tokio::task::JoinHandle;

/// A server at work; dropping it ends it too.
pub(super) struct Serving {
    pub(super) url: String,
    handle: ServerHandle,
    task: Option<JoinHandle<io::Result<()>>>,
}

impl Serving {
    /// Serves what `routes` registers.
    pub(super) fn start(
        listener: TcpListener,
        routes: impl Fn(&mut web::ServiceConfig) + Clone + Send + 'static,
    ) -> io::Result<Self> {
        let url = url_of(&listener)?;
        let server = HttpServer::new(move || App::new().configure(routes.clone()))
            .workers(1)
            .disable_signals()
            .shutdown_timeout(1)
            .listen(listener)?
            .run();
        Ok(Self {
            url,
            handle: server.handle(),
            task: Some(tokio::spawn(server)),
        })
    }

    /// Ends it: no connection is taken from now on, and requests that hang are cut. One that was kept
    /// alive may be answered until its thread has gone.
    pub(super) async fn stop(mut self) {
        self.handle.stop(false).await;
        if let Some(task) = self.task.take() {
            // The server's own outcome is of no use once it was told to end.
            let _ended = task.await;
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // The command is sent at once; only hearing of its end would need to be awaited.
        drop(self.handle.stop(false));
    }
}

/// A free port of 127.0.0.1.
pub(super) fn loopback() -> io::Result<TcpListener> {
    listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
}

/// Binds `address` if it is loopback.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    if !address.ip().is_loopback() {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!(
                "{address} is not loopback; the demo's servers listen on 127.0.0.1 or ::1 only"
            ),
        ));
    }
    TcpListener::bind(address)
}

/// Where `listener` is reached, without a slash at the end.
pub(super) fn url_of(listener: &TcpListener) -> io::Result<String> {
    Ok(format!("http://{}", listener.local_addr()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listens_on_loopback_and_nowhere_else() {
        for near in ["127.0.0.1:0", "127.8.9.1:0"] {
            let listener = listen(near.parse().unwrap()).unwrap();
            assert!(listener.local_addr().unwrap().ip().is_loopback());
        }
        for far in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
            let refused = listen(far.parse().unwrap()).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied, "{far}");
        }
    }
}
