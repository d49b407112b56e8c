//! Ten thousand leases that all wake at once: one call of STS for each of their hundred grants.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rolegate::demo::sts::{Account, Fault, OidcProvider, Role, SandboxSts, StsSettings};
use rolegate::model::{OsEntropy, SystemClock};

use super::load::Client;
use super::process::Process;
use super::seed::{Plan, ROLE, Seeded, seed};

const GRANTS: usize = 100;
const LEASES_EACH: usize = 100;
const CONNECTIONS: usize = 64;

const PLAN: Plan = Plan {
    persons: GRANTS,
    leases_each: LEASES_EACH,
    issued: false,
    workers: None,
    store: None,
};

/// What the calls of STS came to, as figures with their bounds.
pub(crate) fn figures(runtime: &tokio::runtime::Runtime) -> [(&'static str, f64, f64); 2] {
    let (calls, answered, _) = runtime.block_on(run(Fault::Slow(Duration::from_millis(300))));
    assert_eq!(answered, GRANTS * LEASES_EACH, "not every lease was served");
    assert!(calls >= GRANTS, "{calls} calls");
    let (refused, served, took) = runtime.block_on(run(Fault::Denied));
    assert_eq!(served, 0);
    // A failure is remembered for two seconds.
    let periods = (took.as_secs_f64() / 2.0).ceil() + 1.0;
    [
        (
            "calls of STS for 10,000 leases over 100 grants",
            calls as f64,
            100.0,
        ),
        (
            "calls of STS a grant and two seconds where it refuses",
            refused as f64 / GRANTS as f64 / periods,
            1.0,
        ),
    ]
}

/// Calls of STS, leases that were served, and how long it took.
async fn run(fault: Fault) -> (usize, usize, Duration) {
    let seeded = seed(PLAN).await;
    let sts = sandbox(&seeded).await;
    let gateway = Process::gateway(&seeded, sts.url());
    sts.set_fault(fault);
    let (served, took) = tokio::task::spawn_blocking(move || {
        let begun = Instant::now();
        let served = all_at_once(&gateway, &seeded.tokens);
        (served, begun.elapsed())
    })
    .await
    .unwrap();
    let calls = sts.calls_for(ROLE);
    sts.stop().await;
    (calls, served, took)
}

/// Every lease until it is served or refused for good; a lease asks as SDKs do, thrice a second apart.
fn all_at_once(gateway: &Process, tokens: &[String]) -> usize {
    let parts = tokens.chunks(tokens.len().div_ceil(CONNECTIONS));
    std::thread::scope(|scope| {
        let parts: Vec<_> = parts
            .map(|part| {
                scope.spawn(move || {
                    let mut client = Client::connect(gateway.address);
                    let ask = |token: &String| {
                        (0..3).any(|_| match client.ask(token) {
                            200 => true,
                            503 => {
                                std::thread::sleep(Duration::from_secs(1));
                                false
                            }
                            _ => false,
                        })
                    };
                    part.iter().map(ask).filter(|served| *served).count()
                })
            })
            .collect();
        parts.into_iter().map(|part| part.join().unwrap()).sum()
    })
}

pub(crate) async fn sandbox(seeded: &Seeded) -> SandboxSts {
    let issuer = format!("http://127.0.0.1:{}", seeded.port);
    let provider = format!(
        "arn:aws:iam::123456789012:oidc-provider/127.0.0.1:{}",
        seeded.port
    );
    let policy = serde_json::json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": { "Federated": provider },
            "Action": ["sts:AssumeRoleWithWebIdentity", "sts:TagSession", "sts:SetSourceIdentity"],
            "Condition": { "StringEquals": {
                format!("127.0.0.1:{}:aud", seeded.port): "sts.amazonaws.com",
            } },
        }],
    });
    let account = Account {
        roles: vec![Role::new(ROLE, &policy.to_string()).unwrap()],
        oidc_providers: vec![OidcProvider {
            arn: provider,
            issuer,
            client_ids: vec!["sts.amazonaws.com".to_owned()],
        }],
        ..Account::default()
    };
    let settings = StsSettings {
        trusts: Vec::new(),
        providers: Vec::new(),
        clock: Arc::new(SystemClock),
        entropy: Arc::new(OsEntropy),
    };
    SandboxSts::start_with(settings, account).await.unwrap()
}
