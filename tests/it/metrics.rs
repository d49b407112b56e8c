//! What a scrape says after this and that has happened, what `/readyz` says, that page, dashboard and rules
//! speak of the same metrics, and that a real Prometheus takes and shows them.

mod documented;
mod ready;
mod watched;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use reqwest::{Client, Method, StatusCode};

use crate::gateway::{Setting, World, free_port, pair, role};

/// The samples of a scrape, each by its name with its labels.
struct Scrape(BTreeMap<String, f64>);

impl Scrape {
    async fn of(url: &str) -> Self {
        let answer = reqwest::get(url).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        Self::read(&answer.text().await.unwrap())
    }

    fn read(text: &str) -> Self {
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let samples = samples.map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        });
        Self(samples.collect())
    }

    /// What a series says; 0 where there is none yet.
    fn get(&self, series: &str) -> f64 {
        self.0.get(series).copied().unwrap_or(0.0)
    }

    fn series(&self) -> BTreeSet<String> {
        self.0.keys().cloned().collect()
    }
}

/// A gateway with metrics on an address of their own, which stands beside it.
async fn start(setting: Setting) -> (World, String) {
    let listen = format!("127.0.0.1:{}", free_port());
    let mut variables = setting.variables.clone();
    variables.push(("ROLEGATE_SERVER__METRICS_LISTEN", listen.clone()));
    let setting = Setting {
        variables,
        ..setting
    };
    (
        World::with(setting).await,
        format!("http://{listen}/metrics"),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_move_by_exactly_what_happened() {
    let names = ["reader", "writer", "ghost"];
    let (mut world, url) = start(Setting {
        roles: names.map(pair).to_vec(),
        allowed: names.map(role).to_vec(),
        tables: "[audit]\nkeep_days = 400\ncopy = \"audit.jsonl\"\n".to_owned(),
        ..Setting::default()
    })
    .await;
    let before = Scrape::of(&url).await;
    let response = world.response();
    assert_eq!(world.post(&response).await.0, StatusCode::OK);
    assert_eq!(world.post(&response).await.0, StatusCode::FORBIDDEN);
    let launcher = world.launcher().await;
    let (status, lease) = world.lease(&launcher, "reader").await;
    assert_eq!(status, StatusCode::CREATED);
    let token = lease["token"].as_str().unwrap();
    for _ in 0..3 {
        assert_eq!(world.fetch(token).await.0, StatusCode::OK);
    }
    let guess = format!("rgj_{}", "A".repeat(43));
    assert_eq!(world.fetch(&guess).await.0, StatusCode::UNAUTHORIZED);
    let long = world.gateway.at(&format!("/{}", "a".repeat(40_000)));
    let long = reqwest::get(long).await.unwrap();
    assert_eq!(long.status(), StatusCode::URI_TOO_LONG);
    // Written behind the answer.
    world.gateway.logged("sign_in_refused").await;
    let refused = "rolegate_audit_records_total{kind=\"sign_in_refused\"}";
    let mut after = Scrape::of(&url).await;
    for _ in 0..1200 {
        if after.get(refused) > 0.0 && after.get("rolegate_audit_copy_pending") < 0.5 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        after = Scrape::of(&url).await;
    }
    for (series, by) in [
        (
            "rolegate_sign_ins_total{idp=\"demo\",outcome=\"accepted\"}",
            1.0,
        ),
        (
            "rolegate_sign_ins_total{idp=\"demo\",outcome=\"refused\"}",
            1.0,
        ),
        (
            "rolegate_sign_ins_total{idp=\"(none)\",outcome=\"refused\"}",
            0.0,
        ),
        ("rolegate_fetches_total{outcome=\"refused\"}", 1.0),
        ("rolegate_fetches_total{outcome=\"away\"}", 0.0),
        (
            "rolegate_sts_calls_total{method=\"saml\",outcome=\"issued\"}",
            2.0,
        ),
        (
            "rolegate_sts_calls_total{method=\"saml\",outcome=\"refused\"}",
            1.0,
        ),
        (
            "rolegate_sts_calls_total{method=\"saml\",outcome=\"away\"}",
            0.0,
        ),
        (
            "rolegate_sts_calls_total{method=\"relay\",outcome=\"issued\"}",
            0.0,
        ),
        (
            "rolegate_sts_call_duration_seconds_count{method=\"saml\"}",
            3.0,
        ),
        (
            "rolegate_http_requests_total{route=\"/saml/acs\",method=\"POST\",status=\"200\"}",
            1.0,
        ),
        (
            "rolegate_http_requests_total{route=\"/saml/acs\",method=\"POST\",status=\"403\"}",
            1.0,
        ),
        (
            "rolegate_http_requests_total{route=\"/v1/credentials\",method=\"GET\",status=\"200\"}",
            3.0,
        ),
        (
            "rolegate_http_requests_total{route=\"/v1/credentials\",method=\"GET\",status=\"401\"}",
            1.0,
        ),
        (
            "rolegate_http_request_duration_seconds_count{route=\"/v1/credentials\"}",
            4.0,
        ),
        (
            "rolegate_http_request_duration_seconds_bucket{le=\"+Inf\",route=\"/v1/credentials\"}",
            4.0,
        ),
        (
            "rolegate_audit_records_total{kind=\"sign_in_accepted\"}",
            1.0,
        ),
        (
            "rolegate_audit_records_total{kind=\"credentials_issued\"}",
            2.0,
        ),
        ("rolegate_audit_records_total{kind=\"issue_failed\"}", 1.0),
        (
            "rolegate_audit_records_total{kind=\"credentials_fetched\"}",
            1.0,
        ),
        ("rolegate_audit_records_total{kind=\"lease_created\"}", 1.0),
        (refused, 1.0),
        (
            "rolegate_limits_turned_away_total{limit=\"bad_tokens\"}",
            0.0,
        ),
        ("rolegate_limits_turned_away_total{limit=\"head\"}", 1.0),
        ("rolegate_audit_copy_failures_total", 0.0),
        ("rolegate_audit_write_failures_total", 0.0),
    ] {
        let moved = after.get(series) - before.get(series);
        assert!((moved - by).abs() < 1e-9, "{series}: {moved}, not {by}");
    }
    // A gateway forgets what it knows of a person who arrives, itself included, a moment after a sign-in.
    let served = ["served", "served_from_memory"].map(|outcome| {
        let series = format!("rolegate_fetches_total{{outcome=\"{outcome}\"}}");
        after.get(&series) - before.get(&series)
    });
    assert!((served[0] + served[1] - 3.0).abs() < 1e-9, "{served:?}");
    assert!(served[0] > 0.5 && served[1] > 0.5, "{served:?}");
    let recorded = |scrape: &Scrape| -> f64 {
        let all = scrape.0.iter();
        let all = all.filter(|(series, _)| series.starts_with("rolegate_audit_records_total{"));
        all.map(|(_, count)| count).sum()
    };
    let copied = after.get("rolegate_audit_copied_total");
    assert!((copied - recorded(&after)).abs() < 1e-9, "{copied}");
    let every = "rolegate_job_interval_seconds{name=\"prune_audit\",of=\"\"}";
    assert!((after.get(every) - 300.0).abs() < 1e-9);
    let renewals = "rolegate_job_runs_total{name=\"renew_credentials\",of=\"\",outcome=\"done\"}";
    // The first round of a job comes at a random time.
    let mut ticks = tokio::time::interval(Duration::from_millis(250));
    let mut rounds = after.get(renewals);
    for _ in 0..240 {
        if rounds > 0.0 {
            break;
        }
        ticks.tick().await;
        rounds = Scrape::of(&url).await.get(renewals);
    }
    assert!(rounds > 0.0);
    assert!(after.get("rolegate_connections_max") > after.get("rolegate_connections_open"));
    assert!(after.get("rolegate_verification_duration_seconds_count") >= 2.0);
    assert!(after.get("process_resident_memory_bytes") > 1e6);
    // What is counted in the store is there for whoever starts, and the counters of a process begin anew.
    world.gateway.kill_and_restart().await;
    let mut anew = Scrape::of(&url).await;
    for _ in 0..1200 {
        // A look that takes long on a busy machine is there for the next scrape.
        if anew.0.contains_key("rolegate_sessions") {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        anew = Scrape::of(&url).await;
    }
    for (series, value) in [
        ("rolegate_ready", 1.0),
        ("rolegate_store_up", 1.0),
        ("rolegate_sessions", 1.0),
        ("rolegate_leases", 1.0),
        ("rolegate_credentials", 2.0),
        ("rolegate_allowed_role_entries", 3.0),
        ("rolegate_holds", 0.0),
        ("rolegate_audit_first_seq", 1.0),
        ("rolegate_master_keys_held", 1.0),
        ("rolegate_values_under_former_keys", 0.0),
        ("rolegate_fetches_total{outcome=\"served\"}", 0.0),
    ] {
        assert!((anew.get(series) - value).abs() < 1e-9, "{series}");
    }
    for series in [
        "rolegate_audit_head_seq",
        "rolegate_store_size_bytes",
        "rolegate_store_disk_free_bytes",
        "rolegate_token_not_after_seconds{name=\"batch\",role=\"launcher\"}",
    ] {
        assert!(anew.get(series) > 0.0, "{series}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_make_no_series() {
    let (world, url) = start(Setting {
        server_lines: "limits = { refused_sign_ins_per_minute = 10000, sign_in_starts_per_minute = 10000 }",
        ..Setting::default()
    })
    .await;
    let client = Client::new();
    let ask = async |n: usize| {
        let odd: Method = format!("ODD{n}").parse().unwrap();
        for (method, path) in [
            (Method::GET, format!("/nowhere/{n}")),
            (odd, format!("/somewhere/{n}")),
            (Method::GET, format!("/saml/idp-{n}/login")),
            (
                Method::GET,
                format!("/oidc/idp-{n}/callback?state=s{n}&code=c"),
            ),
            (Method::GET, format!("/api/v1/users/user-{n}/grants")),
            (Method::PATCH, "/v1/credentials".to_owned()),
        ] {
            let request = client.request(method, world.gateway.at(&path));
            request.send().await.unwrap();
        }
        let form = [("SAMLResponse", format!("{n}"))];
        let post = client.post(world.gateway.at("/saml/acs")).form(&form);
        post.send().await.unwrap();
    };
    ask(0).await;
    let before = Scrape::of(&url).await;
    for n in 1..=200 {
        ask(n).await;
    }
    let after = Scrape::of(&url).await;
    let new: Vec<_> = after
        .series()
        .difference(&before.series())
        // Jobs run by themselves.
        .filter(|series| !series.starts_with("rolegate_job_"))
        .cloned()
        .collect();
    assert!(new.is_empty(), "{new:?}");
    let unknown = "rolegate_http_requests_total{route=\"(none)\",method=\"GET\",status=\"404\"}";
    assert!(after.get(unknown) >= 201.0, "{}", after.get(unknown));
    let odd = "rolegate_http_requests_total{route=\"(none)\",method=\"other\",status=\"404\"}";
    assert!(after.get(odd) >= 201.0, "{}", after.get(odd));
    let wrong =
        "rolegate_http_requests_total{route=\"/v1/credentials\",method=\"PATCH\",status=\"405\"}";
    assert!(after.get(wrong) >= 201.0, "{}", after.get(wrong));
    for word in ["user-7", "idp-7", "ODD7", "nowhere"] {
        let named = after.0.keys().find(|series| series.contains(word));
        assert_eq!(named, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_found_in_the_log_by_the_id_of_its_answer() {
    let world = World::start().await;
    let client = Client::new();
    let mut ids = BTreeSet::new();
    for path in ["/nowhere", "/login", "/api/v1/me", "/nowhere"] {
        let request = client.get(world.gateway.at(path));
        let answer = request.header("x-request-id", "mine").send().await.unwrap();
        let id = answer.headers()["x-request-id"]
            .to_str()
            .unwrap()
            .to_owned();
        assert!(id.len() == 16 && id != "mine", "{id}");
        ids.insert(id);
    }
    assert_eq!(ids.len(), 4);
    world.gateway.logged_times("request", 4).await;
    let log = world.gateway.log();
    for id in &ids {
        let found = format!("\"request_id\":\"{id}\"");
        assert_eq!(log.matches(&found).count(), 1, "{log}");
    }
    assert!(!log.contains("mine"), "{log}");
}
