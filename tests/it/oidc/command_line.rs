//! `rolegate-agent login`, allowed by a browser that signs in at an OpenID provider.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use super::stage::{Plan, Stage, offering};
use crate::gateway::role;
use crate::parts::oidc_provider::browser;

/// Waiting longer is a failure.
const PATIENCE: Duration = Duration::from_mins(1);

fn agent(home: &Path, url: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rolegate-agent"));
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", home)
        .env("ROLEGATE_URL", url)
        .args(arguments)
        .current_dir(home)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

fn after<'a>(text: &'a str, before: &str) -> &'a str {
    let rest = text.split_once(before).expect(text).1;
    rest.split_once('"').unwrap().0
}

/// The page that the agent names, with the code that it shows.
fn page_of(line: &str, gateway: &str) -> Option<String> {
    let (_, rest) = line.split_once(gateway)?;
    let path = rest.split([' ', ',']).next()?;
    let code = rest.split_once("the code ")?.1.trim();
    Some(format!("{path}?code={code}"))
}

async fn text(client: &Client, url: String) -> String {
    client.get(url).send().await.unwrap().text().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_without_a_browser_is_signed_in_by_one_that_comes_through_the_provider() {
    let accounts = json!({ "alice": offering(&["reader"]) });
    let stage = Stage::start(Plan::new(accounts), &["reader"]).await;
    let (home, url) = (tempfile::tempdir().unwrap(), stage.gateway.at(""));
    let mut login = agent(home.path(), &url, &["login", "--no-browser"])
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(login.stderr.take().unwrap()).lines();
    let told = async {
        loop {
            let line = lines.next_line().await.unwrap();
            if let Some(page) = page_of(&line.expect("it ended"), &url) {
                break page;
            }
        }
    };
    let told = tokio::time::timeout(PATIENCE, told).await;
    let page = told.expect("it gives no address");

    let client = browser();
    let login_page = stage.begin(&client, &page).await;
    // There is one provider to choose from.
    let start = stage.begin(&client, &login_page).await;
    let back = stage.callback(&client, &start, "op", "alice").await;
    let answer = client.get(back).send().await.unwrap();
    assert_eq!(answer.headers()["location"].to_str().unwrap(), page);
    let shown = text(&client, stage.gateway.at(&page)).await;
    let code = page.split_once("code=").unwrap().1;
    let form = [
        ("csrf", after(&shown, "name=\"csrf\" value=\"")),
        ("code", code),
        ("answer", "allow"),
    ];
    let allowed = client
        .post(stage.gateway.at("/login/device"))
        .header("Origin", &url)
        .form(&form)
        .send()
        .await
        .unwrap();
    assert_eq!(allowed.status(), StatusCode::OK);
    let ended = tokio::time::timeout(PATIENCE, login.wait_with_output()).await;
    let ended = ended.expect("the command line waits on").unwrap();
    let told = String::from_utf8(ended.stdout).unwrap();
    assert!(
        ended.status.success() && told.contains("alice (op)"),
        "{told}"
    );

    let arguments = ["credential-process", "--role", &role("reader")];
    let printed = agent(home.path(), &url, &arguments).output().await.unwrap();
    let errors = String::from_utf8(printed.stderr).unwrap();
    assert!(
        printed.status.success(),
        "{errors}\n{}",
        stage.gateway.log()
    );
    let printed: Value = serde_json::from_slice(&printed.stdout).unwrap();
    assert!(printed["AccessKeyId"].as_str().unwrap().starts_with("ASIA"));
    assert_eq!(stage.sts.issued_for(&role("reader")).len(), 1);
}
