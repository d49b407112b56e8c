//! A certificate that is replaced while many connections are in use.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::future::join_all;
use reqwest::Client;

use super::certify;
use crate::gateway::{Setting, World};

const CONNECTIONS: usize = 50;

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
    let clients = (0..CONNECTIONS).map(|number| {
        let (health, ends, answered) = (health.clone(), Arc::clone(&ends), Arc::clone(&answered));
        tokio::spawn(async move {
            // Every tenth comes over a new connection each time.
            let kept = if number % 10 == 0 { 0 } else { 1 };
            let client = Client::builder()
                .danger_accept_invalid_certs(true)
                .pool_max_idle_per_host(kept)
                .build()
                .unwrap();
            while !ends.load(Ordering::Relaxed) {
                let answer = client.get(&health).send().await.unwrap();
                assert!(answer.status().is_success());
                answer.bytes().await.unwrap();
                answered.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        })
    });
    let clients: Vec<_> = clients.collect();
    for swap in 1..=5 {
        certify(world.folder.path());
        world.gateway.hang_up();
        world
            .gateway
            .logged_times("tls_certificate_changed", swap)
            .await;
    }
    ends.store(true, Ordering::Relaxed);
    for ended in join_all(clients).await {
        ended.unwrap();
    }
    assert!(answered.load(Ordering::Relaxed) > CONNECTIONS);
}
