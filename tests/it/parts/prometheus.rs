//! Prometheus, which scrapes a gateway, holds the alert rules and answers the dashboard's queries; and its promtool.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::part;
use crate::gateway::free_port;

/// A server that takes longer to start does not.
const PATIENCE: Duration = Duration::from_mins(2);

/// One at work, of an empty database; killed when dropped.
pub(crate) struct Prometheus {
    url: String,
    server: Child,
    folder: TempDir,
}

impl Prometheus {
    /// Starts one with this configuration, and waits until it answers queries.
    pub(crate) async fn start(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("prometheus.yml"), config).unwrap();
        let listen = format!("127.0.0.1:{}", free_port());
        let log = File::create(folder.path().join("log")).unwrap();
        let server = Command::new(part("prometheus").join("prometheus"))
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"])
            .args([
                "--log.level=warn",
                &format!("--web.listen-address={listen}"),
            ])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut started = Self {
            url: format!("http://{listen}"),
            server,
            folder,
        };
        started.is_ready().await;
        started
    }

    async fn is_ready(&mut self) {
        let url = format!("{}/-/ready", self.url);
        let mut ticks = tokio::time::interval(Duration::from_millis(100));
        let waiting = async {
            loop {
                ticks.tick().await;
                let ended = self.server.try_wait().unwrap();
                assert_eq!(ended, None, "Prometheus has ended: {}", self.log());
                let answer = reqwest::get(&url).await;
                if answer.is_ok_and(|answer| answer.status().is_success()) {
                    return;
                }
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        assert!(waited.is_ok(), "Prometheus does not start: {}", self.log());
    }

    /// What it warned of.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// The series that `expression` has now; what cannot be worked out fails the test.
    pub(crate) async fn query(&self, expression: &str) -> Vec<Value> {
        let mut url: url::Url = format!("{}/api/v1/query", self.url).parse().unwrap();
        url.query_pairs_mut().append_pair("query", expression);
        let found = data(url.as_str()).await;
        found["result"].as_array().unwrap().clone()
    }

    /// The alert rules by name, with their health and state.
    pub(crate) async fn rules(&self) -> Vec<Value> {
        let found = data(&format!("{}/api/v1/rules", self.url)).await;
        let groups = found["groups"].as_array().unwrap().iter();
        let rules = groups.flat_map(|group| group["rules"].as_array().unwrap());
        rules.cloned().collect()
    }
}

async fn data(url: &str) -> Value {
    let answer = reqwest::get(url).await.unwrap();
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer["status"], "success", "{url}: {answer}");
    answer["data"].clone()
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _killed = self.server.kill();
        let _ended = self.server.wait();
    }
}

/// Runs promtool on `file`, which it must find nothing wrong with.
pub(crate) fn promtool(arguments: &[&str], file: &Path) {
    let told = Command::new(part("prometheus").join("promtool"))
        .args(arguments)
        .arg(file)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&told.stdout),
        String::from_utf8_lossy(&told.stderr),
    );
    assert!(told.status.success(), "{arguments:?}: {out}{err}");
}
