//! What goes on at a gateway, as a real Prometheus and the dashboard see it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use regex_lite::Regex;
use reqwest::StatusCode;
use serde_json::Value;

use super::documented::{file, text};
use super::start;
use crate::gateway::{Setting, World, pair, role};
use crate::parts::prometheus::{Prometheus, promtool};
use crate::parts::python::watching;

/// Panels that show nothing where nothing is wrong, or that are about what this gateway does not have.
const MAY_BE_EMPTY: &[&str] = &[
    "Problems",
    "Server errors by route",
    "Refresh tokens shown to providers",
    "Own certificate ends in",
    "Metadata is valid for",
    "Age of the relay key",
    "Turned away with 429",
    "Turned away by a limit",
    "Jobs that fail",
    "Intervals since a job last succeeded",
    "What jobs remove and renew",
];

/// How long the first scrapes may take, and what they say to be there.
const PATIENCE: Duration = Duration::from_mins(3);

#[test]
fn prometheus_takes_the_rules_and_each_fires_for_what_is_ill_alone() {
    promtool(
        &["check", "config"],
        &file("deploy/prometheus/prometheus.yml"),
    );
    promtool(
        &["test", "rules"],
        &file("deploy/prometheus/rules_test.yml"),
    );
}

#[test]
fn every_alert_has_its_test_with_every_label_that_its_text_names() {
    let rules = watching("yaml", &text("deploy/prometheus/rules.yml"));
    let tests = watching("yaml", &text("deploy/prometheus/rules_test.yml"));
    let mut fires: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let label = Regex::new(r#"([a-z_]+)=""#).unwrap();
    for test in tests["tests"].as_array().unwrap() {
        let expected = &test["promql_expr_test"][0];
        let name = test["name"].as_str().unwrap();
        assert!(expected["expr"].as_str().unwrap().contains(name), "{name}");
        let Some(sample) = expected["exp_samples"][0]["labels"].as_str() else {
            continue;
        };
        let labels = label.captures_iter(sample).map(|found| found[1].to_owned());
        fires.insert(name, labels.collect());
        // A twin that is well: more series than the one that is ill would need.
        let series = test["input_series"].as_array().unwrap();
        assert!(series.len() > 1 || name == "RolegateGone", "{name}");
    }
    let named = Regex::new(r"\$labels\.([a-z_]+)").unwrap();
    let groups = rules["groups"].as_array().unwrap();
    for rule in groups
        .iter()
        .flat_map(|group| group["rules"].as_array().unwrap())
    {
        let name = rule["alert"].as_str().unwrap();
        let labels = fires
            .get(name)
            .unwrap_or_else(|| panic!("{name} has no test"));
        for said in ["summary", "description"] {
            let said = rule["annotations"][said].as_str().unwrap();
            for found in named.captures_iter(said) {
                assert!(labels.contains(&found[1]), "{name}: {said}");
            }
        }
    }
}

fn config(metrics: &str) -> String {
    let rules = file("deploy/prometheus/rules.yml");
    format!(
        "global:\n  scrape_interval: 2s\n  scrape_timeout: 2s\n  evaluation_interval: 1s\n\
         rule_files:\n  - {}\n\
         scrape_configs:\n  - job_name: rolegate\n    static_configs:\n      - targets: [\"{metrics}\"]\n",
        rules.display()
    )
}

/// Everything that a day brings: sign-ins, one refused; a lease, fetches, one refused; a route that is none.
async fn a_day(world: &World) {
    let response = world.response();
    assert_eq!(world.post(&response).await.0, StatusCode::OK);
    assert_eq!(world.post(&response).await.0, StatusCode::FORBIDDEN);
    let launcher = world.launcher().await;
    let (status, lease) = world.lease(&launcher, "reader").await;
    assert_eq!(status, StatusCode::CREATED);
    let token = lease["token"].as_str().unwrap();
    for _ in 0..3 {
        assert_eq!(world.fetched(token).await.0, StatusCode::OK);
    }
    let guess = format!("rgj_{}", "A".repeat(43));
    assert_eq!(world.fetch(&guess).await.0, StatusCode::UNAUTHORIZED);
    let long = world.gateway.at(&format!("/{}", "a".repeat(40_000)));
    let long = reqwest::get(long).await.unwrap().status();
    assert_eq!(long, StatusCode::URI_TOO_LONG);
    let nowhere = reqwest::get(world.gateway.at("/nowhere")).await.unwrap();
    assert_eq!(nowhere.status(), StatusCode::NOT_FOUND);
    let large = vec![b'a'; 400_000];
    let client = reqwest::Client::new();
    // Cut while it still sends, or answered.
    let _answer = client
        .post(world.gateway.at("/saml/acs"))
        .body(large)
        .send()
        .await;
}

/// Each expression of the dashboard, with the panel's title and the legend, as Grafana asks it.
fn expressions() -> Vec<(String, String, String)> {
    let board: Value = serde_json::from_str(&text("deploy/grafana/rolegate.json")).unwrap();
    let panels = board["panels"].as_array().unwrap().clone();
    let mut found = Vec::new();
    for panel in panels {
        let title = panel["title"].as_str().unwrap();
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expression = target["expr"].as_str().unwrap();
            let expression = expression
                .replace("$job", "rolegate")
                .replace("$instance", ".*")
                .replace("$__rate_interval", "5m");
            let legend = target["legendFormat"].as_str().unwrap_or_default();
            found.push((title.to_owned(), expression, legend.to_owned()));
        }
    }
    found
}

/// Whether a series says anything: a histogram without an observation says `NaN`.
fn says(series: &Value) -> bool {
    series["value"][1] != "NaN"
}

#[tokio::test(flavor = "multi_thread")]
async fn one_dashboard_shows_what_goes_on() {
    let (mut world, url) = start(Setting {
        roles: ["reader", "writer", "ghost"].map(pair).to_vec(),
        allowed: ["reader", "writer", "ghost"].map(role).to_vec(),
        tables: "[audit]\nkeep_days = 400\ncopy = \"audit.jsonl\"\n".to_owned(),
        ..Setting::default()
    })
    .await;
    let metrics = url
        .trim_start_matches("http://")
        .trim_end_matches("/metrics");
    // Once before anybody looks: a series that begins with what it counts shows no change.
    a_day(&world).await;
    let prometheus = Prometheus::start(&config(metrics)).await;
    let scraped = async |times: u32| {
        let expression = format!("count_over_time(up{{job=\"rolegate\"}}[10m]) >= {times}");
        wait("a scrape", async || {
            !prometheus.query(&expression).await.is_empty()
        })
        .await;
    };
    // A rate is of two scrapes at least: what happens first must be seen to change.
    scraped(2).await;
    a_day(&world).await;
    for (title, expression, legend) in expressions() {
        let there = async || prometheus.query(&expression).await.iter().any(says);
        if !MAY_BE_EMPTY.contains(&title.as_str()) {
            wait(&format!("{title}: {expression}"), there).await;
        }
        let labels = Regex::new(r"\{\{\s*([a-z_]+)\s*\}\}").unwrap();
        for series in prometheus.query(&expression).await {
            for label in labels.captures_iter(&legend) {
                // To Prometheus an empty label is none; `of` is empty where a job is not a provider's.
                let is_there = series["metric"][&label[1]].is_string() || &label[1] == "of";
                assert!(is_there, "{title}: {legend} of {series}");
            }
        }
    }
    let accepted = "sum(increase(rolegate_sign_ins_total{outcome=\"accepted\"}[10m])) > 0.5";
    assert!(!prometheus.query(accepted).await.is_empty());
    let rules = prometheus.rules().await;
    let told = text("deploy/prometheus/rules.yml");
    assert_eq!(rules.len(), told.matches("- alert:").count());
    for rule in &rules {
        let told = async || {
            let rules = prometheus.rules().await;
            let now = rules.iter().find(|now| now["name"] == rule["name"]);
            now.unwrap()["health"] == "ok"
        };
        wait(&format!("{rule}"), told).await;
    }
    let state = async |name: &str| {
        let rules = prometheus.rules().await;
        let rule = rules.into_iter().find(|rule| rule["name"] == name).unwrap();
        rule["state"].as_str().unwrap().to_owned()
    };
    // A scrape of a busy machine may have come too late.
    wait("it is up", async || {
        state("RolegateDown").await == "inactive"
    })
    .await;
    world.gateway.kill().await;
    wait("it is down", async || {
        state("RolegateDown").await == "pending"
    })
    .await;
    let log = prometheus.log();
    assert!(
        !log.contains("ingesting") && !log.contains("level=error"),
        "{log}"
    );
}

async fn wait(what: &str, there: impl AsyncFn() -> bool) {
    let mut ticks = tokio::time::interval(Duration::from_millis(250));
    let waiting = async {
        while !there().await {
            ticks.tick().await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    assert!(waited.is_ok(), "not there: {what}");
}
