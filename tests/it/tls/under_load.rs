//! A certificate that is replaced while many connections are in use.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::future::join_all;
use reqwest::Client;

use super::certify;
use crate::gateway::{Setting, World};

const CONNECTIONS: usize = 50;

/// Every tenth comes over a new connection each time.
fn client(number: usize) -> Client {
    let kept = usize::from(!number.is_multiple_of(10));
    let client = Client::builder()
        .danger_accept_invalid_certs(true)
        .pool_max_idle_per_host(kept);
    client.build().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_while_the_certificate_changes() {
    let setting = Setting {
        scheme: "https",
        server_lines: "tls = { certificate_file = \"gate.pem\", key_file = \"gate.key\" }",
        prepare: |folder| drop(certify(folder)),
        ..Setting::default()
    };
    let world = World::with(setting).await;
    let health = world.gateway.at("/healthz");
    let ends = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicUsize::new(0));
    // All made beforehand: that keeps a thread, which the others' handshakes would wait for.
    let clients: Vec<Client> = (0..CONNECTIONS).map(client).collect();
    let at_work = clients.into_iter().map(|client| {
        let (health, ends, answered) = (health.clone(), Arc::clone(&ends), Arc::clone(&answered));
        tokio::spawn(async move {
            while !ends.load(Ordering::Relaxed) {
                let answer = client.get(&health).send().await.unwrap();
                assert!(answer.status().is_success());
                answer.bytes().await.unwrap();
                answered.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        })
    });
    let at_work: Vec<_> = at_work.collect();
    for swap in 1..=5 {
        certify(world.folder.path());
        world.gateway.hang_up();
        world
            .gateway
            .logged_times("tls_certificate_changed", swap)
            .await;
    }
    ends.store(true, Ordering::Relaxed);
    for ended in join_all(at_work).await {
        ended.unwrap();
    }
    assert!(answered.load(Ordering::Relaxed) > CONNECTIONS);
}
