//! An issuer's signing keys: fetched over loopback http or read from a folder, and cached.
//!
//! Nothing beyond this machine is ever asked: an issuer elsewhere must be mapped to a loopback base or
//! a folder in the settings. As at AWS, keys for encryption, keys with `key_ops`, keys without `kid` and
//! more than 100 keys of a kind are of no use.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use josekit::jwk::Jwk;
use serde_json::{Map, Value};

use super::answer::Failure;
use super::settings::is_loopback;

/// AWS wants the keys within about this time.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most keys of one kind.
const MOST: usize = 100;

/// Where issuers are found, and the keys that were found there.
pub(super) struct IssuerKeys {
    documents: HashMap<String, PathBuf>,
    bases: HashMap<String, String>,
    cache: Mutex<HashMap<String, Vec<Jwk>>>,
    /// Made once: OpenSSL reads the system's authorities for each client, and sixty calls at once would wait for
    /// that by seconds.
    client: OnceLock<reqwest::Client>,
}

/// `InvalidIdentityToken`: the documents are not what AWS's prerequisites ask for.
fn no_key() -> Failure {
    Failure::token(
        "Couldn't retrieve verification key from your identity provider,  \
         please reference AssumeRoleWithWebIdentity documentation for requirements",
    )
}

impl IssuerKeys {
    pub(super) fn new(documents: HashMap<String, PathBuf>, bases: HashMap<String, String>) -> Self {
        Self {
            documents,
            bases,
            cache: Mutex::default(),
            client: OnceLock::new(),
        }
    }

    /// The keys of `issuer` that can verify a signature; asked once, until the cache is cleared.
    pub(super) async fn of(&self, issuer: &str) -> Result<Vec<Jwk>, Failure> {
        if let Some(known) = self.locked().get(issuer) {
            return Ok(known.clone());
        }
        let found = self.fetch(issuer).await?;
        self.locked().insert(issuer.to_owned(), found.clone());
        Ok(found)
    }

    pub(super) fn clear(&self) {
        self.locked().clear();
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, HashMap<String, Vec<Jwk>>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn fetch(&self, issuer: &str) -> Result<Vec<Jwk>, Failure> {
        let base = issuer.trim_end_matches('/');
        let address = format!("{base}/.well-known/openid-configuration");
        let document = self.document(issuer, &address).await?;
        if document.get("issuer").and_then(Value::as_str) != Some(issuer) {
            return Err(no_key());
        }
        for required in [
            "response_types_supported",
            "subject_types_supported",
            "id_token_signing_alg_values_supported",
        ] {
            let list = document.get(required).and_then(Value::as_array);
            if list.is_none_or(Vec::is_empty) {
                return Err(no_key());
            }
        }
        let address = document.get("jwks_uri").and_then(Value::as_str);
        let set = self.document(issuer, address.ok_or_else(no_key)?).await?;
        usable(&set)
    }

    /// The JSON object at `address`, wherever the settings say that it is.
    async fn document(&self, issuer: &str, address: &str) -> Result<Map<String, Value>, Failure> {
        let text = if let Some(folder) = self.documents.get(issuer) {
            let path = below(issuer, address).ok_or_else(no_key)?;
            read(folder, path).await?
        } else if let Some(base) = self.bases.get(issuer) {
            let path = below(issuer, address).ok_or_else(no_key)?;
            let address = format!("{}/{path}", base.trim_end_matches('/'));
            get(self.client()?, &address).await?
        } else {
            get(self.client()?, address).await?
        };
        serde_json::from_slice(&text).map_err(|_| no_key())
    }

    fn client(&self) -> Result<&reqwest::Client, Failure> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            // An issuer may be restarted between two questions.
            .pool_max_idle_per_host(0)
            .timeout(PATIENCE)
            .build()
            .map_err(|_| Failure::issuer_away())?;
        Ok(self.client.get_or_init(|| client))
    }
}

/// What follows the issuer in `address`.
fn below<'a>(issuer: &str, address: &'a str) -> Option<&'a str> {
    let rest = address.strip_prefix(issuer.trim_end_matches('/'))?;
    rest.strip_prefix('/')
}

async fn read(folder: &Path, path: &str) -> Result<Vec<u8>, Failure> {
    let path = Path::new(path);
    let inside = |part: Component<'_>| matches!(part, Component::Normal(_));
    if !path.components().all(inside) {
        return Err(no_key());
    }
    let read = tokio::fs::read(folder.join(path)).await;
    read.map_err(|_| no_key())
}

async fn get(client: &reqwest::Client, address: &str) -> Result<Vec<u8>, Failure> {
    let near = url::Url::parse(address).is_ok_and(|url| is_loopback(&url));
    if !near {
        tracing::warn!(address, "the sandbox STS asks nobody but loopback");
        return Err(Failure::issuer_away());
    }
    let response = client.get(address).send().await;
    let response = response.map_err(|_| Failure::issuer_away())?;
    if !response.status().is_success() {
        return Err(no_key());
    }
    let bytes = response.bytes().await.map_err(|_| Failure::issuer_away())?;
    Ok(bytes.to_vec())
}

fn usable(set: &Map<String, Value>) -> Result<Vec<Jwk>, Failure> {
    let keys = set.get("keys").and_then(Value::as_array);
    let keys = keys.ok_or_else(no_key)?;
    let keys = keys.iter().filter_map(Value::as_object);
    let keys: Vec<Jwk> = keys
        .filter_map(|key| Jwk::from_map(key.clone()).ok())
        .collect();
    let mut good = Vec::new();
    for kind in ["RSA", "EC"] {
        let of_kind = || keys.iter().filter(|key| key.key_type() == kind);
        if of_kind().count() <= MOST {
            good.extend(of_kind().filter(|key| signs(key)).cloned());
        }
    }
    Ok(good)
}

/// A key with a name, none for encryption, and none that lists operations.
fn signs(key: &Jwk) -> bool {
    let usage = key.parameter("use").is_none_or(|usage| usage == "sig");
    usage && key.parameter("key_ops").is_none() && key.parameter("kid").is_some()
}
