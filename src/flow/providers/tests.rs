//! The providers beside one on loopback that answers what it is told.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use chrono::TimeDelta;
use josekit::jwk::Jwk;
use josekit::jwk::alg::ec::EcCurve;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::*;
use crate::model::{FixedClock, OsEntropy};
use crate::oidc::KeySet;

/// What the provider does.
#[derive(Clone)]
enum Mood {
    /// Answers with so many keys.
    Good(usize),
    /// Answers with status 500.
    Broken,
    /// Answers with the metadata of another.
    Strange,
    /// Never answers.
    Silent,
}

/// A provider on loopback; tells how often its keys were asked for.
struct Party {
    issuer: String,
    mood: Arc<Mutex<Mood>>,
    asked: watch::Receiver<u32>,
}

impl Party {
    async fn start(mood: Mood) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let mood = Arc::new(Mutex::new(mood));
        let (count, asked) = watch::channel(0);
        let (own, mine) = (issuer.clone(), Arc::clone(&mood));
        tokio::spawn(async move {
            let mut hanging = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let mood = mine.lock().unwrap().clone();
                if matches!(mood, Mood::Silent) {
                    hanging.push(stream);
                    continue;
                }
                let keys = read_path(&mut stream).await.ends_with("/jwks");
                let (status, body) = reply(&own, &mood, keys);
                let text = format!(
                    "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                stream.write_all(text.as_bytes()).await.unwrap();
                if keys {
                    count.send_modify(|count| *count += 1);
                }
            }
        });
        Self {
            issuer,
            mood,
            asked,
        }
    }

    fn is(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    fn asked(&self) -> u32 {
        *self.asked.borrow()
    }
}

fn reply(issuer: &str, mood: &Mood, keys: bool) -> (u16, String) {
    let body = match mood {
        Mood::Broken | Mood::Silent => return (500, String::new()),
        Mood::Good(count) if keys => {
            let key = |_| {
                let key = Jwk::generate_ec_key(EcCurve::P256).unwrap();
                key.to_public_key().unwrap()
            };
            json!({ "keys": (0..*count).map(key).collect::<Vec<_>>() })
        }
        Mood::Good(_) => metadata(issuer),
        Mood::Strange => metadata("http://127.0.0.1:1"),
    };
    (200, body.to_string())
}

fn metadata(issuer: &str) -> serde_json::Value {
    json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/jwks"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    })
}

async fn read_path(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    while !bytes.windows(4).any(|end| end == b"\r\n\r\n") {
        let count = stream.read(&mut buffer).await.unwrap();
        assert!(count > 0, "no whole request");
        bytes.extend_from_slice(&buffer[..count]);
    }
    let text = String::from_utf8(bytes).unwrap();
    text.split_whitespace().nth(1).unwrap().to_owned()
}

struct Bench {
    folder: tempfile::TempDir,
    clock: Arc<FixedClock>,
    providers: Arc<Providers>,
}

impl Bench {
    fn new(issuers: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("secret"), "first\n").unwrap();
        let clock = Arc::new(FixedClock::new("2026-01-02T03:04:05Z".parse().unwrap()));
        let providers = load(folder.path(), issuers, &clock).unwrap();
        Self {
            folder,
            clock,
            providers: Arc::new(providers),
        }
    }

    fn first(&self) -> &Arc<Provider> {
        &self.providers.all()[0]
    }

    fn write_secret(&self, text: &[u8]) {
        std::fs::write(self.folder.path().join("secret"), text).unwrap();
    }
}

fn load(
    folder: &Path,
    issuers: &[&str],
    clock: &Arc<FixedClock>,
) -> Result<Providers, ProviderError> {
    let provider = |(at, issuer): (usize, &&str)| {
        format!(
            "[[oidc.provider]]\nname = \"p{at}\"\nissuer = \"{issuer}\"\nclient_id = \"gate\"\nclient_secret_file = \"secret\"\n"
        )
    };
    let providers: String = issuers.iter().enumerate().map(provider).collect();
    let text = format!("[server]\npublic_url = \"http://127.0.0.1:8080\"\n{providers}");
    let file = folder.join("rolegate.toml");
    std::fs::write(&file, text).unwrap();
    let config = crate::config::load(&file, &BTreeMap::new()).unwrap();
    let clock: Arc<dyn Clock> = clock.clone();
    Providers::load(&config, &clock, Arc::new(OsEntropy))
}

#[tokio::test]
async fn what_a_provider_gives_is_in_force_until_it_gives_something_else() {
    let party = Party::start(Mood::Good(1)).await;
    let bench = Bench::new(&[&party.issuer]);
    let (providers, name) = (&bench.providers, "p0".parse().unwrap());
    assert_eq!(providers.waiting(), [name]);
    assert!(providers.names().is_empty());
    assert!(!providers.views(bench.clock.now())[0].ready);
    assert!(providers.ask_all().await.is_empty());
    let first = bench.first();
    assert_eq!(providers.names(), providers.names_where(|_| true));
    assert_eq!(first.discovered().unwrap().keys.len(), 1);
    let wanted = "http://127.0.0.1:8080/oidc/p0/callback";
    assert_eq!(first.settings.redirect_url, wanted);
    for bad in [Mood::Broken, Mood::Strange] {
        party.is(bad);
        bench.clock.advance(TimeDelta::minutes(1));
        assert_eq!(providers.ask_all().await.len(), 1);
        assert_eq!(first.discovered().unwrap().keys.len(), 1, "it stays");
    }
    let view = &providers.views(bench.clock.now())[0];
    assert_eq!((view.ready, view.refresh_failures), (true, 2));
    assert_eq!(view.metadata_age_seconds, Some(120));
    let said = view.last_error.as_deref().unwrap();
    assert!(said.starts_with("oidc.provider.p0.issuer: "), "{said}");
    party.is(Mood::Good(2));
    assert!(providers.ask_all().await.is_empty());
    assert_eq!(first.discovered().unwrap().keys.len(), 2);
    let view = &providers.views(bench.clock.now())[0];
    assert_eq!((view.key_count, view.last_error.as_deref()), (2, None));
}

#[tokio::test]
async fn tokens_have_keys_asked_for_twice_a_minute_at_most() {
    let party = Party::start(Mood::Good(1)).await;
    let bench = Bench::new(&[&party.issuer]);
    let provider = bench.first();
    let nothing = Arc::new(KeySet::default());
    assert!(provider.refresh_keys(&nothing).await.is_none(), "not ready");
    provider.ask().await.unwrap();
    let first = provider.discovered().unwrap().keys;
    assert_eq!(party.asked(), 1);
    party.is(Mood::Good(2));
    let second = provider.refresh_keys(&first).await.unwrap();
    assert_eq!((second.len(), party.asked()), (2, 2));
    let known = provider.refresh_keys(&first).await.unwrap();
    assert!(Arc::ptr_eq(&known, &second), "the newer ones are at hand");
    assert!(provider.refresh_keys(&second).await.is_none());
    bench.clock.advance(TimeDelta::seconds(29));
    assert!(provider.refresh_keys(&second).await.is_none());
    assert_eq!(party.asked(), 2, "nobody was asked");
    bench.clock.advance(TimeDelta::seconds(1));
    party.is(Mood::Broken);
    assert!(provider.refresh_keys(&second).await.is_none());
    assert_eq!(party.asked(), 3);
    let kept = provider.discovered().unwrap().keys;
    assert!(Arc::ptr_eq(&kept, &second), "a failure changes nothing");
    assert!(provider.refresh_keys(&second).await.is_none());
    assert_eq!(party.asked(), 3, "a failure counts too");
}

#[tokio::test]
async fn who_needs_newer_keys_meanwhile_waits_for_the_same_answer() {
    let party = Party::start(Mood::Good(1)).await;
    let bench = Bench::new(&[&party.issuer]);
    let provider = bench.first();
    provider.ask().await.unwrap();
    let old = provider.discovered().unwrap().keys;
    party.is(Mood::Good(3));
    let wants = (0..8).map(|_| provider.refresh_keys(&old));
    let got = futures_util::future::join_all(wants).await;
    assert!(got.iter().all(|keys| keys.as_ref().unwrap().len() == 3));
    assert_eq!(party.asked(), 2);
}

#[tokio::test]
async fn who_wants_to_sign_in_has_a_provider_asked_that_never_answered() {
    let party = Party::start(Mood::Broken).await;
    let bench = Bench::new(&[&party.issuer]);
    let provider = bench.first();
    assert!(provider.ready().await.is_none());
    party.is(Mood::Good(1));
    bench.clock.advance(TimeDelta::seconds(29));
    assert!(provider.ready().await.is_none());
    assert_eq!(party.asked(), 0, "nobody was asked");
    bench.clock.advance(TimeDelta::seconds(1));
    assert!(provider.ready().await.is_some());
    party.is(Mood::Broken);
    assert!(provider.ready().await.is_some(), "nobody is asked any more");
    assert_eq!(party.asked(), 1);
}

#[tokio::test]
async fn a_changed_secret_is_taken_up_and_a_bad_file_is_not() {
    let bench = Bench::new(&["http://127.0.0.1:1"]);
    let provider = bench.first();
    let is = |text: &str| provider.secret() == crate::model::Secret::new(text.to_owned());
    assert!(is("first"));
    assert_eq!(provider.look_at_secret().unwrap(), secret::Look::Same);
    for bad in [&b""[..], b"\n", b"\xff\xfe"] {
        bench.write_secret(bad);
        let said = provider.look_at_secret().unwrap_err().to_string();
        assert!(
            said.contains("oidc.provider.p0.client_secret_file"),
            "{said}"
        );
        assert!(is("first"));
    }
    std::fs::remove_file(bench.folder.path().join("secret")).unwrap();
    provider.look_at_secret().unwrap_err();
    assert!(is("first"));
    bench.write_secret(b"second\n");
    assert_eq!(provider.look_at_secret().unwrap(), secret::Look::Taken);
    assert!(is("second"));
}

#[tokio::test]
async fn the_tasks_ask_at_the_start_and_at_once_when_told() {
    let party = Party::start(Mood::Good(1)).await;
    let bench = Bench::new(&[&party.issuer]);
    let mut asked = party.asked.clone();
    let tasks = Arc::clone(&bench.providers).start().await;
    assert_eq!(bench.providers.names().len(), 1, "the start waited for it");
    bench.write_secret(b"second");
    bench.providers.at_once();
    asked.wait_for(|count| *count == 2).await.unwrap();
    for task in tasks {
        task.abort();
    }
}

/// Takes the three seconds that a start waits; a client's own patience is ten.
#[tokio::test]
async fn a_silent_provider_keeps_no_start_waiting_for_long() {
    let (silent, good) = (Mood::Silent, Mood::Good(1));
    let (silent, good) = (Party::start(silent).await, Party::start(good).await);
    let bench = Bench::new(&[&silent.issuer, &good.issuer]);
    let begun = tokio::time::Instant::now();
    let tasks = Arc::clone(&bench.providers).start().await;
    assert!(begun.elapsed() < std::time::Duration::from_secs(9));
    let silent: IdpName = "p0".parse().unwrap();
    assert!(bench.providers.waiting().contains(&silent));
    for task in tasks {
        task.abort();
    }
}

#[tokio::test]
async fn without_a_provider_nothing_runs() {
    let bench = Bench::new(&[]);
    assert!(bench.providers.is_empty());
    assert!(Arc::clone(&bench.providers).start().await.is_empty());
    assert!(bench.providers.ask_all().await.is_empty());
}
