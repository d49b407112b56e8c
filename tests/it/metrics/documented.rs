//! The handbook's pages of metrics and of the log, the dashboard and the rules, held against the code.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use regex_lite::Regex;
use rolegate::audit::EventKind;
use rolegate::flow::{Limit, METRICS};
use serde_json::Value;

use super::start;
use crate::gateway::{Setting, command};
use crate::parts::python::watching;

pub(super) fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

pub(super) fn text(path: &str) -> String {
    std::fs::read_to_string(file(path)).unwrap()
}

/// The cells of the page's tables whose heading begins so.
fn table(page: &str, heading: &str) -> Vec<Vec<String>> {
    let lines = page
        .lines()
        .map(|line| line.trim_start_matches("//!").trim());
    let lines = lines.skip_while(|line| !line.starts_with(heading)).skip(2);
    let rows = lines.take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let row = row.trim_start_matches('|').trim_end_matches('|');
        let cells = row.split('|');
        cells.map(|cell| cell.trim().to_owned()).collect()
    })
    .collect()
}

/// The words of a cell that stand between backticks.
fn quoted(cell: &str) -> Vec<String> {
    let words = cell.split('`').skip(1).step_by(2);
    words.map(str::to_owned).collect()
}

/// Each metric of the page: type, labels and meaning by name.
fn page() -> BTreeMap<String, (String, Vec<String>, String)> {
    let rows = table(&text("src/manual/metrics.rs"), "| metric |");
    rows.into_iter()
        .map(|row| {
            let name = quoted(&row[0]).remove(0);
            (name, (row[1].clone(), quoted(&row[2]), row[3].clone()))
        })
        .collect()
}

#[test]
fn the_page_has_every_metric_and_no_other() {
    let mut page = page();
    for metric in METRICS {
        let said = page.remove(metric.name);
        let (kind, labels, help) = said.unwrap_or_else(|| panic!("{} is not told of", metric.name));
        assert_eq!(kind, metric.kind, "{}", metric.name);
        assert_eq!(labels, metric.labels, "{}", metric.name);
        assert_eq!(help, metric.help, "{}", metric.name);
        assert_eq!(
            metric.name.ends_with("_total"),
            kind == "counter",
            "{}",
            metric.name
        );
    }
    assert!(page.is_empty(), "told of and not there: {page:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_served_is_what_the_table_says() {
    let (world, url) = start(Setting::default()).await;
    world.sign_in().await;
    let launcher = world.launcher().await;
    world.lease(&launcher, "reader").await;
    let scrape = reqwest::get(&url).await.unwrap().text().await.unwrap();
    let families = watching("openmetrics", &scrape);
    let families = families.as_array().unwrap();
    let mut served = BTreeSet::new();
    for family in families {
        let mut name = family["name"].as_str().unwrap().to_owned();
        if family["type"] == "counter" {
            name.push_str("_total");
        }
        let metric = METRICS.iter().find(|metric| metric.name == name);
        let metric = metric.unwrap_or_else(|| panic!("{name} is not in the table"));
        assert_eq!(family["type"], metric.kind, "{name}");
        assert_eq!(family["help"], metric.help, "{name}");
        for sample in family["samples"].as_array().unwrap() {
            let labels = sample["labels"].as_object().unwrap().keys();
            let labels: BTreeSet<_> = labels
                .map(String::as_str)
                .filter(|label| *label != "le")
                .collect();
            assert_eq!(labels, metric.labels.iter().copied().collect(), "{name}");
        }
        assert!(served.insert(name));
    }
    let all: BTreeSet<String> = METRICS
        .iter()
        .map(|metric| metric.name.to_owned())
        .collect();
    assert_eq!(served, all);
    let auditor = ["tokens", "create", "eyes", "--role", "auditor"];
    let auditor = world.gateway.command(&auditor).await.good();
    let (status, inside) = world.api("GET", "/metrics", &auditor, None).await;
    assert!(status.is_success());
    let inside = watching("openmetrics", inside.as_str().unwrap());
    assert_eq!(inside.as_array().unwrap().len(), families.len());
}

/// The metrics that an expression names and that are not told of.
fn unknown(expression: &str) -> Vec<String> {
    let page = page();
    let names = Regex::new(r"\b(rolegate|process)_[a-z0-9_]+").unwrap();
    let is_known = |name: &str| {
        let series = ["_bucket", "_sum", "_count"];
        let histogram = series.iter().find_map(|end| name.strip_suffix(end));
        let histogram = histogram.and_then(|name| page.get(name));
        page.contains_key(name) || histogram.is_some_and(|(kind, ..)| kind == "histogram")
    };
    let found = names.find_iter(expression).map(|found| found.as_str());
    found
        .filter(|name| !is_known(name))
        .map(str::to_owned)
        .collect()
}

/// The words between backticks of the page's sentence that begins so; what stands in brackets explains them.
fn words(begin: &str) -> Vec<String> {
    let page = text("src/manual/metrics.rs").replace("//!", "");
    let page = page.split_whitespace().collect::<Vec<_>>().join(" ");
    let page = Regex::new(r"\([^)]*\)").unwrap().replace_all(&page, "");
    let (_, said) = page.split_once(begin).unwrap_or_else(|| panic!("{begin}"));
    quoted(said.split('.').next().unwrap())
}

/// The values that a label of a metric can have, where they are of a closed list.
fn values(metric: &str, label: &str) -> Option<Vec<String>> {
    let listed = |words: &[&str]| Some(words.iter().map(|&word| word.to_owned()).collect());
    match (label, metric) {
        ("outcome", "rolegate_sign_ins_total") => Some(words("`outcome` of sign-ins:")),
        ("outcome", "rolegate_fetches_total") => Some(words("`outcome` of fetches:")),
        ("outcome", "rolegate_sts_calls_total") => Some(words("`outcome` of calls of STS:")),
        ("outcome", "rolegate_oidc_refreshes_total") => Some(words("`outcome` of refreshes:")),
        ("outcome", _) => listed(&["done", "failed"]),
        ("kind", _) => listed(
            &EventKind::ALL
                .iter()
                .map(|kind| kind.as_str())
                .collect::<Vec<_>>(),
        ),
        ("limit", _) => listed(&Limit::ALL.map(Limit::name)),
        ("check", _) => {
            let rows = table(&text("src/manual/metrics.rs"), "| check |");
            Some(rows.iter().map(|row| quoted(&row[0]).remove(0)).collect())
        }
        ("needed", _) => listed(&["true", "false"]),
        ("pool", _) => listed(&["reader", "writer"]),
        ("role", _) => listed(&["launcher", "admin", "auditor"]),
        ("job", _) => listed(&["rolegate", "$job"]),
        ("instance", _) => listed(&["$instance"]),
        ("route", _) => {
            let routes = text("src/http/routes.rs");
            let known = ["(none)", "/v1/credentials"];
            let there = known
                .iter()
                .filter(|route| **route == "(none)" || routes.contains(&format!("\"{route}\"")));
            Some(there.map(|&route| route.to_owned()).collect())
        }
        _ => None,
    }
}

/// What an expression asks a metric for that it does not have: labels, or values of a label.
fn wrong(expression: &str) -> Vec<String> {
    let page = page();
    let of = |name: &str| {
        let plain = ["_bucket", "_sum", "_count"];
        let plain = plain.iter().find_map(|end| name.strip_suffix(end));
        let own = page.get(name).or_else(|| page.get(plain?));
        let own = own.map_or_else(Vec::new, |(_, labels, _)| labels.clone());
        let given = ["job", "instance"].into_iter();
        let given = given.chain(name.ends_with("_bucket").then_some("le"));
        own.into_iter()
            .chain(given.map(str::to_owned))
            .collect::<BTreeSet<_>>()
    };
    let mut wrong = Vec::new();
    let names = Regex::new(r"\b((?:rolegate|process)_[a-z0-9_]+|up)\b(?:\{([^}]*)\})?").unwrap();
    let matcher = Regex::new(r#"([a-z_]+)\s*(?:=~|!=|!~|=)\s*"([^"]*)""#).unwrap();
    let mut all = BTreeSet::new();
    for found in names.captures_iter(expression) {
        let (name, asked) = (&found[1], found.get(2).map_or("", |asked| asked.as_str()));
        let labels = of(name);
        for found in matcher.captures_iter(asked) {
            let (label, value) = (&found[1], &found[2]);
            if !labels.contains(label) {
                wrong.push(format!("{label} of {name}"));
            }
            let known = values(name, label);
            for value in value.split('|') {
                let fits = |known: &String| match value.strip_suffix(".*") {
                    Some(begin) => known.starts_with(begin),
                    None => known == value,
                };
                if known.as_ref().is_some_and(|known| !known.iter().any(fits)) {
                    wrong.push(format!("{label}={value} of {name}"));
                }
            }
        }
        all.extend(labels);
    }
    let by = Regex::new(r"\bby\s*\(([^)]*)\)").unwrap();
    for found in by.captures_iter(expression) {
        let labels = found[1].split(',').map(str::trim);
        wrong.extend(
            labels
                .filter(|label| !all.contains(*label))
                .map(str::to_owned),
        );
    }
    wrong
}

#[test]
fn the_check_of_names_finds_what_is_not_there() {
    let none = Vec::<String>::new();
    assert_eq!(unknown("rate(rolegate_fetches_total[5m]) > 0"), none);
    assert_eq!(unknown("rolegate_sts_call_duration_seconds_bucket"), none);
    assert_eq!(
        unknown("rolegate_sessions_count"),
        ["rolegate_sessions_count"]
    );
    assert_eq!(
        unknown("1 - rolegate_fetched_total"),
        ["rolegate_fetched_total"]
    );
    for good in [
        "sum by (idp) (rolegate_sign_ins_total{outcome=~\"busy|idp_away\",job=\"rolegate\"})",
        "sum by (le) (rolegate_http_request_duration_seconds_bucket{route=\"/v1/credentials\"})",
        "rolegate_audit_records_total{kind=~\"lease_.*\"} and up{job=\"rolegate\"}",
        "rolegate_problem{check=\"audit\"} + rolegate_limits_turned_away_total{limit=\"minting\"}",
    ] {
        assert_eq!(wrong(good), none, "{good}");
    }
    for (bad, told) in [
        (
            "rolegate_fetches_total{idp=\"a\"}",
            "idp of rolegate_fetches_total",
        ),
        ("sum by (idp) (rolegate_fetches_total)", "idp"),
        (
            "rolegate_sign_ins_total{outcome=~\"busy|away\"}",
            "outcome=away of rolegate_sign_ins_total",
        ),
        (
            "rolegate_problem{check=\"audits\"}",
            "check=audits of rolegate_problem",
        ),
        (
            "rolegate_audit_records_total{kind=~\"hire_.*\"}",
            "kind=hire_.* of rolegate_audit_records_total",
        ),
        ("rolegate_ready{le=\"1\"}", "le of rolegate_ready"),
    ] {
        assert_eq!(wrong(bad), [told], "{bad}");
    }
}

fn check_expression(expression: &str) {
    assert_eq!(unknown(expression), Vec::<String>::new(), "{expression}");
    assert_eq!(wrong(expression), Vec::<String>::new(), "{expression}");
}

/// How the command ends where nothing is configured: 2 where it is not typed as it must be.
async fn typed(said: &str) -> Option<i32> {
    let words = said.replace("{{ $labels.name }}", "batch");
    let words: Vec<&str> = words.split_whitespace().collect();
    // A reference has a form, other placeholders pass as they stand.
    let words: Vec<&str> = words
        .iter()
        .map(|&word| if word == "R" { "ref_1" } else { word })
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let ended = command(folder.path(), &words[1..], &[]).await;
    ended.status.code()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_that_a_rule_advises_can_be_typed() {
    let rules = watching("yaml", &text("deploy/prometheus/rules.yml"));
    let groups = rules["groups"].as_array().unwrap();
    let rules = groups
        .iter()
        .flat_map(|group| group["rules"].as_array().unwrap());
    let advised: BTreeSet<String> = rules
        .flat_map(|rule| quoted(rule["annotations"]["description"].as_str().unwrap()))
        .filter(|said| said.starts_with("rolegate "))
        .collect();
    assert!(advised.len() > 5, "{advised:?}");
    for said in &advised {
        assert_eq!(typed(said).await, Some(1), "{said}");
    }
    for wrong in [
        "rolegate tokens create batch --role launcher",
        "rolegate store backup",
    ] {
        assert_eq!(typed(wrong).await, Some(2), "{wrong}");
    }
}

#[test]
fn the_dashboard_speaks_of_metrics_that_there_are() {
    let board: Value = serde_json::from_str(&text("deploy/grafana/rolegate.json")).unwrap();
    let panels = board["panels"].as_array().unwrap();
    let mut expressions = 0;
    let mut ids = BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        for target in panel["targets"].as_array().into_iter().flatten() {
            check_expression(target["expr"].as_str().unwrap());
            assert_eq!(target["datasource"]["uid"], "${datasource}");
            expressions += 1;
        }
    }
    assert!(expressions > 40, "{expressions}");
    let rows = panels.iter().filter(|panel| panel["type"] == "row").count();
    assert_eq!(rows, 8);
    let variables = board["templating"]["list"].as_array().unwrap();
    let names: Vec<_> = variables
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["datasource", "job", "instance"]);
}

#[test]
fn every_rule_names_metrics_that_there_are_and_what_mends_it() {
    let rules = watching("yaml", &text("deploy/prometheus/rules.yml"));
    let groups = rules["groups"].as_array().unwrap();
    let rules = groups
        .iter()
        .flat_map(|group| group["rules"].as_array().unwrap());
    let mut names = BTreeSet::new();
    for rule in rules {
        let name = rule["alert"].as_str().unwrap();
        assert!(names.insert(name.to_owned()), "{name} twice");
        check_expression(rule["expr"].as_str().unwrap());
        assert!(rule["for"].as_str().is_some(), "{name}");
        let severity = rule["labels"]["severity"].as_str().unwrap();
        assert!(["critical", "warning"].contains(&severity), "{name}");
        for said in ["summary", "description"] {
            let said = rule["annotations"][said].as_str().unwrap();
            assert!(said.len() > 20, "{name}: {said}");
        }
    }
    assert!(names.len() >= 25, "{names:?}");
    let config = watching("yaml", &text("deploy/prometheus/prometheus.yml"));
    assert_eq!(config["scrape_configs"][0]["job_name"], "rolegate");
}

#[test]
fn the_page_of_readiness_has_every_check() {
    let source = text("src/flow/readiness.rs");
    let made = Regex::new(r#"(needed|told)\("([a-z_]+)""#).unwrap();
    let checks: BTreeMap<String, &str> = made
        .captures_iter(&source)
        .map(|found| {
            let status = if &found[1] == "needed" { "503" } else { "200" };
            (found[2].to_owned(), status)
        })
        .collect();
    let rows = table(&text("src/manual/metrics.rs"), "| check |");
    let told: BTreeMap<String, &str> = rows
        .iter()
        .map(|row| (quoted(&row[0]).remove(0), row[2].as_str()))
        .collect();
    assert!(checks.len() >= 7);
    assert_eq!(told, checks);
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn the_page_of_the_log_has_every_event_with_its_levels() {
    let mut files = Vec::new();
    sources(&file("src"), &mut files);
    let event = Regex::new(r#"event = "([a-z_]+)""#).unwrap();
    let level = Regex::new(r"tracing::(error|warn|info|debug|trace)!\(").unwrap();
    let mut logged: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        for found in event.captures_iter(&text) {
            let at = found.get(0).unwrap().start();
            let before = level.captures_iter(&text[..at]).last();
            let level = before.unwrap()[1].to_owned();
            logged.entry(found[1].to_owned()).or_default().insert(level);
        }
    }
    let rows = table(&text("src/manual/request_log.rs"), "| event |");
    let told: BTreeMap<String, BTreeSet<String>> = rows
        .iter()
        .map(|row| {
            let levels = row[1].split(", ").map(str::to_owned).collect();
            assert!(row[2].len() > 20, "{row:?}");
            (quoted(&row[0]).remove(0), levels)
        })
        .collect();
    assert!(logged.len() > 40);
    assert_eq!(told, logged);
}

#[test]
fn the_page_of_the_log_has_every_field_of_a_request() {
    let middleware = text("src/http/middleware.rs");
    let line = middleware
        .lines()
        .find(|line| line.contains("tracing::info!(event = \"request\""))
        .unwrap();
    let (_, fields) = line.split_once("\"request\",").unwrap();
    let (fields, _) = fields.rsplit_once(", \"request\")").unwrap();
    let logged: BTreeSet<String> = fields
        .split(',')
        .map(|field| field.trim().trim_start_matches('%').to_owned())
        .collect();
    let rows = table(&text("src/manual/request_log.rs"), "| field |");
    let told: BTreeSet<String> = rows.iter().map(|row| quoted(&row[0]).remove(0)).collect();
    assert_eq!(told, logged);
}
