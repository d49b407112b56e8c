//! `[server]`: addresses, the public URL, TLS, and the rule on plain http.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use url::Url;

use super::files::{Folder, certificate, is_strong, private_key};
use super::findings::Findings;
use super::limits;
use super::problem::ConfigError;
use super::raw::{RawServer, RawTls};
use super::urls;
use super::values::{Server, Tls};
use super::warning::Warning;

const LISTEN: &str = "127.0.0.1:8080";

impl Server {
    /// Whether clients are asked for a certificate.
    pub fn asks_for_certificates(&self) -> bool {
        let tls = self.tls.as_ref();
        tls.is_some_and(|tls| tls.client_ca_file.is_some())
    }
}

pub(super) fn check(raw: RawServer, folder: &Folder, findings: &mut Findings) -> Option<Server> {
    let listen = raw.listen.as_deref().unwrap_or(LISTEN);
    let listen = address("server.listen", listen, findings);
    let metrics_listen = raw
        .metrics_listen
        .map(|text| address("server.metrics_listen", &text, findings));
    let public_url = raw
        .public_url
        .and_then(|text| findings.take("server.public_url", urls::public(&text)));
    let wants_tls = raw.tls.is_some();
    let tls = raw.tls.map(|raw| tls(raw, folder, findings));
    let behind_proxy = raw.behind_proxy.unwrap_or(false);
    let trusted_proxies = proxies(behind_proxy, raw.trusted_proxies, findings);
    let return_origins = origins(raw.return_origins, findings);
    if let (Some(listen), Some(url)) = (listen, &public_url) {
        check_transport(listen, url, wants_tls, behind_proxy, findings);
    }
    Some(Server {
        listen: listen?,
        metrics_listen: flatten(metrics_listen)?,
        public_url: public_url?,
        tls: flatten(tls)?,
        behind_proxy,
        trusted_proxies,
        return_origins,
        limits: limits::check(&raw.limits),
    })
}

/// `None` only where a value was there and bad.
#[expect(
    clippy::option_option,
    reason = "absent, bad and good are three things"
)]
fn flatten<T>(value: Option<Option<T>>) -> Option<Option<T>> {
    value.map_or(Some(None), |value| value.map(Some))
}

fn address(key: &str, text: &str, findings: &mut Findings) -> Option<SocketAddr> {
    let address = text.parse().map_err(|_| ConfigError::Address(LISTEN));
    findings.take(key, address)
}

/// Plain http is for loopback, or for the way from a proxy that serves https.
fn check_transport(
    listen: SocketAddr,
    url: &Url,
    tls: bool,
    behind_proxy: bool,
    findings: &mut Findings,
) {
    let https = url.scheme() == "https";
    if tls {
        if !https {
            findings.refuse("server.public_url", ConfigError::HttpDespiteTls);
        }
    } else if !behind_proxy {
        if https {
            findings.refuse("server.public_url", ConfigError::HttpsWithoutTls);
        }
        if !listen.ip().is_loopback() {
            findings.refuse("server.listen", ConfigError::PlainHttp);
        }
    }
}

fn tls(raw: RawTls, folder: &Folder, findings: &mut Findings) -> Option<Tls> {
    const CERTIFICATE: &str = "server.tls.certificate_file";
    const KEY: &str = "server.tls.key_file";
    const CLIENT_CA: &str = "server.tls.client_ca_file";
    let certificate_file = raw.certificate_file.map(|path| folder.path(&path));
    let key_file = raw.key_file.map(|path| folder.path(&path));
    let leaf = certificate_file
        .as_deref()
        .and_then(|path| findings.take(CERTIFICATE, certificate(path)));
    let key = key_file
        .as_deref()
        .and_then(|path| findings.take(KEY, private_key(path)));
    let client_ca_file = raw.client_ca.map(|path| folder.path(&path));
    let authority = client_ca_file
        .as_deref()
        .map(|path| findings.take(CLIENT_CA, certificate(path)));
    let (leaf, key) = (leaf?, key?);
    flatten(authority)?;
    if !leaf.public_key().is_ok_and(|public| public.public_eq(&key)) {
        findings.refuse(KEY, ConfigError::KeyMismatch);
    } else if !is_strong(&key) {
        findings.refuse(KEY, ConfigError::WeakKey);
    }
    Some(Tls {
        certificate_file: certificate_file?,
        key_file: key_file?,
        client_ca_file,
    })
}

fn proxies(
    behind_proxy: bool,
    networks: Option<Vec<String>>,
    findings: &mut Findings,
) -> Vec<IpNet> {
    const KEY: &str = "server.trusted_proxies";
    let networks = networks.unwrap_or_default();
    match (behind_proxy, networks.is_empty()) {
        (true, true) => findings.refuse(
            KEY,
            ConfigError::Missing("trusted_proxies = [\"10.0.0.0/8\"] with the proxies' addresses"),
        ),
        (false, false) => findings.refuse(KEY, ConfigError::Needs("behind_proxy = true")),
        _ => {}
    }
    let mut checked = Vec::new();
    for (at, text) in networks.iter().enumerate() {
        let key = format!("{KEY}[{}]", at + 1);
        let network = text
            .parse::<IpNet>()
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
            .map_err(|_| ConfigError::Network);
        if let Some(network) = findings.take(&key, network) {
            if network.prefix_len() == 0 {
                findings.warn(Warning::TrustsEveryone {
                    network: text.clone(),
                });
            }
            checked.push(network);
        }
    }
    checked
}

fn origins(origins: Option<Vec<String>>, findings: &mut Findings) -> Vec<String> {
    let origins = origins.unwrap_or_default();
    let checked = origins.iter().enumerate().filter_map(|(at, text)| {
        let key = format!("server.return_origins[{}]", at + 1);
        findings.take(&key, urls::origin(text))
    });
    checked.collect()
}
