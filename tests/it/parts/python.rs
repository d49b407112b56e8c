//! A job as users write them: Python with boto3 or the AWS CLI, in an environment that holds nothing but what is given.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::long_job::{Limits, LongJob};

/// The interpreter that has boto3.
pub(crate) fn python() -> PathBuf {
    super::part("venv/bin/python")
}

/// Runs a script of `tests/parts/python` to its end.
///
/// No variable of ours reaches it, so no credentials, region or profile of the machine do; the home
/// folder is empty, and the instance metadata service is not asked.
pub(crate) fn run_job(script: &str, env: &[(&str, &str)]) -> Output {
    let home = tempfile::tempdir().unwrap();
    Command::new(python())
        .arg("-I")
        .arg(super::kept("python").join(script))
        .env_clear()
        .env("HOME", home.path())
        .env("LANG", "C.UTF-8")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .envs(env.iter().copied())
        .current_dir(home.path())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// What `watching.py` makes of `text`: `openmetrics` by Prometheus's own client, or `yaml`.
pub(crate) fn watching(kind: &str, text: &str) -> serde_json::Value {
    let mut child = Command::new(python())
        .arg("-I")
        .arg(super::kept("python").join("watching.py"))
        .arg(kind)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut input, text.as_bytes()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{kind}: {text}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Starts a job with one boto3 client.
pub(crate) fn long_job(limits: Limits, env: &[(&str, &str)]) -> LongJob {
    start("long_job.py", limits, env)
}

/// Starts a job with one boto3 client as the command of `program`, which is given these arguments before it.
pub(crate) fn long_job_under(
    program: &Path,
    before: &[&str],
    limits: Limits,
    env: &[(&str, &str)],
) -> LongJob {
    let mut arguments: Vec<String> = before.iter().map(|text| (*text).to_owned()).collect();
    let script = super::kept("python").join("long_job.py");
    for text in [&python(), Path::new("-I"), &script] {
        arguments.push(text.to_str().unwrap().to_owned());
    }
    arguments.extend(limits.arguments());
    LongJob::start(program, &arguments, env)
}

/// Starts a job that runs the AWS CLI (version 1) for each call.
pub(crate) fn cli_job(limits: Limits, env: &[(&str, &str)]) -> LongJob {
    start("cli_job.py", limits, env)
}

fn start(script: &str, limits: Limits, env: &[(&str, &str)]) -> LongJob {
    let script = super::kept("python").join(script);
    let mut arguments = vec!["-I".to_owned(), script.to_str().unwrap().to_owned()];
    arguments.extend(limits.arguments());
    LongJob::start(&python(), &arguments, env)
}

mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::thread;

    use serde_json::Value;

    use super::run_job;

    const TOKEN: &str = "rgj_of-this-test";
    const KEY_ID: &str = "ASIAEXAMPLEEXAMPLE00";

    /// Serves credentials to who has the token, and says who they belong to; gives its URL.
    fn serve() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        // Ends with the test's process: a thread blocked in accept holds nothing.
        thread::spawn(move || {
            for stream in listener.incoming() {
                answer(stream.unwrap());
            }
        });
        url
    }

    fn answer(mut stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut head = String::new();
        while reader.read_line(&mut head).unwrap() > 2 {}
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("Content-Length: "))
            .map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let (status, text) = respond(&head);
        write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
            text.len()
        )
        .unwrap();
    }

    fn respond(head: &str) -> (&'static str, String) {
        if head.starts_with("POST / ") && head.contains(KEY_ID) {
            let result = "<GetCallerIdentityResponse><GetCallerIdentityResult>\
                <Arn>arn:aws:sts::123456789012:assumed-role/data-scientist/alice</Arn>\
                <UserId>AROAEXAMPLE:alice</UserId><Account>123456789012</Account>\
                </GetCallerIdentityResult></GetCallerIdentityResponse>";
            return ("200 OK", result.to_owned());
        }
        if head.starts_with("GET /v1/credentials ") && head.contains(TOKEN) {
            let credentials = format!(
                r#"{{"AccessKeyId": "{KEY_ID}", "SecretAccessKey": "secret", "Token": "token", "Expiration": "2999-01-01T00:00:00Z"}}"#
            );
            return ("200 OK", credentials);
        }
        (
            "401 Unauthorized",
            r#"{"message": "unknown token"}"#.to_owned(),
        )
    }

    fn run_with(token: &str) -> std::process::Output {
        let url = serve();
        run_job(
            "job.py",
            &[
                (
                    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                    &format!("{url}/v1/credentials"),
                ),
                ("AWS_CONTAINER_AUTHORIZATION_TOKEN", token),
                ("AWS_ENDPOINT_URL_STS", &url),
            ],
        )
    }

    #[test]
    fn a_job_tells_who_it_is_and_how_long() {
        let output = run_with(TOKEN);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(
            told["arn"],
            "arn:aws:sts::123456789012:assumed-role/data-scientist/alice"
        );
        assert_eq!(told["source"], "container-role");
        assert_eq!(told["expires_at"], "2999-01-01T00:00:00+00:00");
        assert!(told["seconds_left"].as_i64().unwrap() > 900);
        assert!(!String::from_utf8_lossy(&output.stdout).contains(KEY_ID));
    }

    #[test]
    fn a_job_without_a_good_token_fails_and_says_why() {
        let output = run_with("rgj_of-another");
        assert_eq!(output.status.code(), Some(1));
        assert!(output.stdout.is_empty());
        let told: Value = serde_json::from_slice(&output.stderr).unwrap();
        assert!(
            told["message"].as_str().unwrap().contains("unknown token"),
            "{told}"
        );
    }
}
