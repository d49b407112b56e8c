//! A soak: thousands of good and bad posts at one gateway, whose resident memory must stay flat.
//!
//! `make test` runs a short one; `make soak` sets `ROLEGATE_SOAK_POSTS=100000`. What is posted: good responses,
//! signed afresh, for programs and for browsers; the same again; responses signed and refused for what
//! they say; the museum; bodies too large, and as large as may be; no forms; logout messages. Sessions and
//! audit grow in the store on disk, as they must. It samples the gateway's own process and nothing of this one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Client, StatusCode};
use rolegate::demo::idp::Sign;
use tokio::sync::Mutex;

use crate::gateway::{Setting, World, pair, role};

/// How many posts without `ROLEGATE_SOAK_POSTS`.
const SHORT: usize = 3_000;
/// Posts under way at once.
const CONNECTIONS: usize = 4;
/// Samples of a run; the first tenths fill caches, pools and arenas.
const SAMPLES: usize = 20;
const WARM_UP: usize = 4;
/// How far memory may move once it is warm, in KiB.
const FLAT: u64 = 10 * 1024;

/// What is posted by number, over and over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Post {
    Good,
    Browser,
    Again,
    Unsigned,
    Audience,
    Museum,
    TooLarge,
    LargeJunk,
    NoForm,
    LogoutQuery,
    LogoutForm,
}

const ROUND: &[Post] = &[
    Post::Good,
    Post::Museum,
    Post::Again,
    Post::Museum,
    Post::Unsigned,
    Post::LogoutQuery,
    Post::Museum,
    Post::Audience,
    Post::TooLarge,
    Post::Museum,
    Post::LogoutForm,
    Post::Browser,
    Post::Museum,
    Post::LargeJunk,
    Post::NoForm,
    Post::Museum,
];

impl Post {
    fn wanted(self) -> StatusCode {
        match self {
            Self::Good | Self::Browser => StatusCode::OK,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NoForm => StatusCode::BAD_REQUEST,
            _ => StatusCode::FORBIDDEN,
        }
    }
}

/// A logout message of the right shape that nobody signed.
const LOGOUT: &str = r#"<samlp:LogoutRequest xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="_r1" Version="2.0" IssueInstant="2026-01-15T12:00:00Z" Destination="https://gate.example.org/saml/slo"><saml:Issuer>https://idp.example.org/saml</saml:Issuer><saml:NameID>alice</saml:NameID></samlp:LogoutRequest>"#;

struct Soak {
    world: World,
    museum: Vec<String>,
    /// The last good response.
    last: Mutex<String>,
}

/// Every document of the museum that fits into a form.
fn museum() -> Vec<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/saml");
    let files = ["attacks", "valid"]
        .iter()
        .flat_map(|hall| std::fs::read_dir(format!("{folder}/{hall}")).unwrap());
    let documents: Vec<String> = files
        .map(|file| STANDARD.encode(std::fs::read(file.unwrap().path()).unwrap()))
        .filter(|encoded| encoded.len() <= 100_000)
        .collect();
    assert!(documents.len() > 150, "{}", documents.len());
    documents
}

impl Soak {
    /// The response to post, for those that post one.
    async fn response(&self, post: Post, number: usize) -> String {
        let mut plan = self.world.plan();
        plan.set_aws_attribute("RoleSessionName", &[&format!("user-{number}")]);
        match post {
            Post::Again => return self.last.lock().await.clone(),
            Post::Museum => return self.museum[number % self.museum.len()].clone(),
            Post::TooLarge => return "A".repeat(300 * 1024),
            Post::LargeJunk => return "PGEv".repeat(25_000),
            Post::Unsigned => plan.sign = Sign::None,
            Post::Audience => plan.audiences = vec!["urn:somebody:else".to_owned()],
            _ => {}
        }
        self.world.idp.sign(&plan)
    }

    async fn send(&self, client: &Client, post: Post, number: usize) -> StatusCode {
        let gateway = &self.world.gateway;
        let mut good = None;
        let request = match post {
            Post::LogoutQuery => {
                client.get(gateway.at("/saml/slo?SAMLRequest=fZBB&SigAlg=a&Signature=AAAA"))
            }
            Post::LogoutForm => client
                .post(gateway.at("/saml/slo"))
                .form(&[("SAMLRequest", STANDARD.encode(LOGOUT))]),
            Post::NoForm => client
                .post(gateway.at("/saml/acs"))
                .json(&serde_json::json!({ "SAMLResponse": "PGEvPg==" })),
            _ => {
                let response = self.response(post, number).await;
                good = (post == Post::Good).then(|| response.clone());
                client
                    .post(gateway.at("/saml/acs"))
                    .form(&[("SAMLResponse", response)])
            }
        };
        let request = if post == Post::Browser {
            request.header("Accept", "text/html")
        } else {
            request.header("Accept", "application/json")
        };
        let answer = request.send().await.unwrap();
        let status = answer.status();
        answer.bytes().await.unwrap();
        if let Some(good) = good {
            // Only now: posted before it is answered, it would not be the second.
            *self.last.lock().await = good;
        }
        status
    }

    /// Posts `posts` more, the first of which has the number `from`; what came back, counted.
    async fn run(
        self: &Arc<Self>,
        clients: &[Client],
        from: usize,
        posts: usize,
    ) -> BTreeMap<(Post, StatusCode), usize> {
        let next = Arc::new(AtomicUsize::new(from));
        let workers = clients.iter().map(|client| {
            let (soak, next, client) = (Arc::clone(self), Arc::clone(&next), client.clone());
            tokio::spawn(async move {
                let mut answers: BTreeMap<(Post, StatusCode), usize> = BTreeMap::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= from + posts {
                        return answers;
                    }
                    let post = ROUND[number % ROUND.len()];
                    let status = soak.send(&client, post, number).await;
                    *answers.entry((post, status)).or_default() += 1;
                }
            })
        });
        let mut answers: BTreeMap<(Post, StatusCode), usize> = BTreeMap::new();
        for worker in workers.collect::<Vec<_>>() {
            for (answer, count) in worker.await.unwrap() {
                *answers.entry(answer).or_default() += count;
            }
        }
        answers
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_stays_flat_under_good_and_bad_posts() {
    let asked = std::env::var("ROLEGATE_SOAK_POSTS").ok();
    let posts: usize = asked.map_or(SHORT, |text| text.parse().unwrap());
    let world = World::with(Setting {
        roles: vec![pair("reader")],
        allowed: vec![role("reader")],
        ..Setting::default()
    })
    .await;
    let soak = Arc::new(Soak {
        last: Mutex::new(world.response()),
        world,
        museum: museum(),
    });
    soak.world.post(&soak.last.lock().await.clone()).await;
    let clients: Vec<Client> = (0..CONNECTIONS).map(|_| Client::new()).collect();
    let mut series = Vec::new();
    let mut answers: BTreeMap<(Post, StatusCode), usize> = BTreeMap::new();
    let begun = std::time::Instant::now();
    for sample in 0..SAMPLES {
        let share = posts / SAMPLES;
        for (answer, count) in soak.run(&clients, sample * share, share).await {
            *answers.entry(answer).or_insert(0) += count;
        }
        series.push(soak.world.gateway.resident_kib());
        println!(
            "{:6} posts, {:4} s: {:6} KiB",
            (sample + 1) * share,
            begun.elapsed().as_secs(),
            series[sample]
        );
    }
    let unwanted: Vec<_> = answers
        .iter()
        .filter(|((post, status), _)| *status != post.wanted())
        .collect();
    println!("{answers:?}");
    assert!(unwanted.is_empty(), "{unwanted:?}");
    let (warm, rest) = (series[WARM_UP - 1], &series[WARM_UP..]);
    let highest = rest.iter().max().unwrap();
    assert!(
        *highest <= warm + FLAT,
        "from {warm} to {highest} KiB: {series:?}"
    );
}
