//! Three gateways behind HAProxy by the file that we ship, on one PostgreSQL: any of them is killed, or told to end,
//! at any moment, and who asks through the proxy loses nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::{Certificate, Client};

use super::chance::Chance;
use super::fleet::{CALL, Fleet, RECOVERED, Reach};
use super::journal::Journal;
use super::kills::probe;
use super::load::Load;
use super::proof::prove;
use super::rounds;
use crate::gateway::{Gateway, Setting, Variables, World, free_port};
use crate::parts::haproxy::HaProxy;
use crate::parts::postgres::Postgres;
use crate::tls::certify;

/// Three gateways and what stands before them.
struct Balanced {
    fleet: Fleet,
    third: Gateway,
    /// Dropped with the rest.
    _proxy: HaProxy,
}

impl Balanced {
    async fn start() -> Self {
        let postgres = Postgres::start();
        let mut setting = Setting::brokered();
        setting.scheme = "https";
        setting.server_lines = "behind_proxy = true\ntrusted_proxies = [\"127.0.0.1/32\"]";
        setting.prepare = |folder| drop(certify(folder));
        setting.tables = format!("[store]\nurl = \"{}\"\n{}", postgres.url(), setting.tables);
        let variables = setting.variables.clone();
        let listens: Vec<String> = (0..3)
            .map(|_| format!("127.0.0.1:{}", free_port()))
            .collect();
        let listening = |at: usize| {
            let mut variables = variables.clone();
            variables.push(("ROLEGATE_SERVER__LISTEN", listens[at].clone()));
            variables
        };
        setting.variables = listening(0);
        let world = World::with(setting).await;
        let public_url = world.gateway.at("");
        let folder = world.folder.path().to_owned();
        let more = async |at| {
            Gateway::start_with(&folder, &public_url, world.sts.url(), listening(at)).await
        };
        let (second, third) = (more(1).await, more(2).await);
        let port = public_url.rsplit(':').next().unwrap().parse().unwrap();
        let proxy = HaProxy::start(&folder, port, free_port(), &listens).await;
        Self {
            fleet: Fleet {
                world,
                other: Some(second),
                way: None,
                postgres: Some(postgres),
            },
            third,
            _proxy: proxy,
        }
    }

    /// A hand that knows the proxy alone.
    async fn reach(&self) -> Reach {
        let mut reach = self.fleet.reach(Variables::new()).await;
        let pem = std::fs::read(self.fleet.world.folder.path().join("gate.pem")).unwrap();
        reach.urls = vec![self.fleet.world.gateway.at("")];
        reach.client = Client::builder()
            .timeout(CALL)
            .tls_certs_only([Certificate::from_pem(&pem).unwrap()])
            .build()
            .unwrap();
        reach
    }

    fn gateway(&mut self, number: usize) -> &mut Gateway {
        if number == 2 {
            return &mut self.third;
        }
        self.fleet.gateway(number)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_three_gateways_behind_a_proxy_any_may_go() {
    let mut balanced = Balanced::start().await;
    let mut chance = Chance::of("three behind a proxy");
    let begun = Instant::now();
    let reach = balanced.reach().await;
    let probe = probe(&balanced.fleet, &reach).await;
    let journal = Arc::new(Journal::default());
    let load = Load::start(&reach, &balanced.fleet.world.idp, &journal, &mut chance);
    let mut slowest = Duration::ZERO;
    let goings = rounds(6);
    for going in 0..goings {
        tokio::time::sleep(chance.moment(700)).await;
        let number = chance.below(3);
        let gone = Instant::now();
        if going % 3 == 2 {
            assert!(balanced.gateway(number).end().await.success());
        } else {
            balanced.gateway(number).kill().await;
        }
        // The two that are left serve.
        reach.recovered(&reach.urls[0], &probe).await;
        balanced.gateway(number).restart().await;
        reach.recovered(&reach.urls[0], &probe).await;
        let took = gone.elapsed();
        slowest = slowest.max(took);
        if !load.goes_on() {
            break;
        }
    }
    load.end().await;
    let worked = begun.elapsed();
    prove(&reach, &journal).await;
    let journal = journal.open();
    println!(
        "three behind a proxy: {goings} gone in {worked:?}; slowest end to start {slowest:?}\n\
         three behind a proxy: {}",
        journal.summary()
    );
    assert!(journal.good > 0, "nobody fetched");
    assert!(
        journal.slowest < RECOVERED,
        "a fetch took {:?}",
        journal.slowest
    );
}
