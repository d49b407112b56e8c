//! A job as users write them in Rust: this very program, started anew to run one test that is the job.

use std::time::{Duration, Instant};

use aws_config::BehaviorVersion;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use serde_json::json;

use super::long_job::{Limits, LongJob};
use super::scripted::Scripted;

/// Says to the test below that it is a job.
const LIMITS: &str = "LONG_JOB_LIMITS";

/// Starts a job with one client of `aws-sdk-sts` and aws-config's chain of providers, which is compiled here
/// without credential_process.
pub(crate) fn long_job(limits: Limits, env: &[(&str, &str)]) -> LongJob {
    let arguments = [
        "--exact",
        "parts::rust::a_job_outlives_its_credentials",
        "--nocapture",
    ];
    let limits = limits.arguments().join(" ");
    let limits = (LIMITS, limits.as_str());
    LongJob::start(
        &std::env::current_exe().unwrap(),
        &arguments.map(str::to_owned),
        &[env, &[limits]].concat(),
    )
}

#[tokio::test]
async fn a_job_outlives_its_credentials() {
    if let Ok(limits) = std::env::var(LIMITS) {
        return ask(&limits).await;
    }
    let endpoint = Scripted::start(Duration::from_secs(6));
    let limits = Limits::calls(5, Duration::from_secs(2));
    let ended = long_job(limits, &endpoint.container()).end().await;
    assert_eq!(ended.calls.len(), 5, "{ended:?}");
    assert!(ended.calls.iter().all(|call| !call.arn().is_empty()));
    assert!(endpoint.fetches() >= 3, "{}", endpoint.fetches());
    assert!(endpoint.outlived());
}

/// As the jobs in other languages: a JSON line a call.
async fn ask(limits: &str) {
    let mut limits = limits.split(' ');
    let mut number = || limits.next().unwrap().parse::<f64>().unwrap();
    let (calls, duration, pause) = (number(), number(), number());
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https();
    let config = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(http)
        .load()
        .await;
    let client = aws_sdk_sts::Client::new(&config);
    let pause = Duration::from_secs_f64(pause);
    let end = Instant::now() + Duration::from_secs_f64(duration);
    let (mut call, mut is_good) = (0.0, true);
    while call < calls {
        call += 1.0;
        let told = match client.get_caller_identity().send().await {
            Ok(identity) => json!({ "call": call, "arn": identity.arn() }),
            Err(error) => json!({
                "call": call,
                "error": "SdkError",
                "message": format!("{}", aws_sdk_sts::error::DisplayErrorContext(error)),
            }),
        };
        is_good &= told["arn"].is_string();
        println!("{told}");
        if Instant::now() + pause > end {
            break;
        }
        tokio::time::sleep(pause).await;
    }
    assert!(is_good, "a call failed");
}
