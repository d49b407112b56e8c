//! The proof that nothing acknowledged is lost and nothing was accepted twice: the journal is held against what the
//! gateways and the store say.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::StreamExt;
use reqwest::StatusCode;
use serde_json::Value;

use super::fleet::Reach;
use super::journal::{Journal, State};

/// Questions under way at once.
const AT_ONCE: usize = 8;

/// What the audit says, by kind.
struct Audit(Vec<Value>);

impl Audit {
    async fn read(reach: &Reach) -> Self {
        let text = reach.command(&["audit", "export"]).await.unwrap();
        let lines = text.lines();
        Self(
            lines
                .map(|line| serde_json::from_str(line).unwrap())
                .collect(),
        )
    }

    /// Those of `kind`, by what `key` takes of them.
    fn of(&self, kind: &str, key: impl Fn(&Value) -> Option<String>) -> BTreeMap<String, usize> {
        let mut found = BTreeMap::new();
        for record in self.0.iter().filter(|record| event(record)["kind"] == kind) {
            if let Some(key) = key(event(record)) {
                *found.entry(key).or_default() += 1;
            }
        }
        found
    }
}

/// What happened, in a record of the export.
fn event(record: &Value) -> &Value {
    record.get("event").unwrap_or(record)
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// Holds `journal` against what `reach` says. Nothing may be on its way any more.
pub(super) async fn prove(reach: &Reach, journal: &Journal) {
    let (some, summary) = {
        let journal = journal.open();
        (journal.has_some_of_each(), journal.summary())
    };
    assert!(some, "nothing of a kind was done: {summary}");
    let whole = reach.command(&["audit", "verify"]).await.unwrap();
    assert!(whole.ends_with("are as they were written"), "{whole}");
    nothing_is_accepted_twice(reach, journal).await;
    sessions_stand(reach, journal).await;
    leases_stand(reach, journal).await;
    edits_stand(reach, journal).await;
    tokens_stand(reach, journal).await;
    audit_knows(reach, journal).await;
}

/// Every response again: each is refused, at whichever gateway.
async fn nothing_is_accepted_twice(reach: &Reach, journal: &Journal) {
    let accepted: Vec<(String, usize)> = {
        let journal = journal.open();
        let responses = journal.responses.iter();
        responses
            .map(|(response, (_, times))| (response.clone(), *times))
            .collect()
    };
    let posted = futures_util::stream::iter(accepted.into_iter().enumerate());
    posted
        .for_each_concurrent(AT_ONCE, |(at, (response, times))| async move {
            assert!(times <= 1, "accepted {times} times");
            let url = &reach.urls[at % reach.urls.len()];
            let (status, answer) = reach.post(url, &response).await.unwrap();
            if times == 1 {
                assert_eq!(status, StatusCode::FORBIDDEN, "a replay: {answer}");
            }
        })
        .await;
}

async fn sessions_stand(reach: &Reach, journal: &Journal) {
    let sessions = journal.open().sessions.clone();
    let asked = futures_util::stream::iter(sessions.into_iter().enumerate());
    asked
        .for_each_concurrent(AT_ONCE, |(at, (user, (token, state)))| async move {
            let url = format!("{}/api/v1/me", reach.urls[at % reach.urls.len()]);
            let (status, me) = reach.api("GET", &url, &token, None, None).await.unwrap();
            match state {
                State::Stands => assert_eq!((status, &me["user"]), (StatusCode::OK, &user.into())),
                State::Gone => assert_eq!(status, StatusCode::UNAUTHORIZED, "{user}: {me}"),
                State::Going => {}
            }
        })
        .await;
}

async fn leases_stand(reach: &Reach, journal: &Journal) {
    let leases: Vec<_> = {
        let journal = journal.open();
        let leases = journal.leases.iter();
        leases
            .map(|(id, lease)| (id.clone(), lease.clone(), journal.is_live(lease)))
            .collect()
    };
    let asked = futures_util::stream::iter(leases.into_iter().enumerate());
    asked
        .for_each_concurrent(AT_ONCE, |(at, (id, lease, live))| async move {
            let url = &reach.urls[at % reach.urls.len()];
            let path = format!("{url}/api/v1/leases/{id}");
            let (status, shown) = reach
                .api("GET", &path, &reach.launcher, None, None)
                .await
                .unwrap();
            assert_eq!(status, StatusCode::OK, "{id}: {shown}");
            if lease.state == State::Gone {
                assert!(shown["revoked_at"].is_string(), "{shown}");
            }
            let (mut status, mut body) = reach.fetch(url, &lease.token).await.unwrap();
            // The first fetch may ask STS, and a failure is remembered for two seconds.
            let mut ticks = tokio::time::interval(Duration::from_millis(100));
            for _ in 0..600 {
                if status != StatusCode::SERVICE_UNAVAILABLE {
                    break;
                }
                ticks.tick().await;
                (status, body) = reach.fetch(url, &lease.token).await.unwrap();
            }
            if live {
                assert_eq!(status, StatusCode::OK, "{id}: {body}");
            } else if lease.state == State::Gone {
                assert_eq!(status, StatusCode::FORBIDDEN, "{id}: {body}");
            }
        })
        .await;
}

/// Entries and assignments.
async fn edits_stand(reach: &Reach, journal: &Journal) {
    let listed = reach.command(&["roles", "list", "--json"]).await.unwrap();
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let listed: BTreeSet<&str> = listed
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|entry| entry["id"].as_str())
        .collect();
    for (id, state) in &journal.open().entries {
        match state {
            State::Stands => assert!(listed.contains(id.as_str()), "entry {id} is lost"),
            State::Gone => assert!(!listed.contains(id.as_str()), "entry {id} is back"),
            State::Going => {}
        }
    }
    let assigned = journal.open().assigned.clone();
    for (user, arn) in assigned {
        let url = format!("{}/api/v1/admin/users/{user}/role-arns", reach.urls[0]);
        let (status, shown) = reach
            .api("GET", &url, &reach.admin, None, None)
            .await
            .unwrap();
        assert_eq!(status, StatusCode::OK, "{user}: {shown}");
        assert!(shown.to_string().contains(&arn), "{user}: {shown}");
    }
}

async fn tokens_stand(reach: &Reach, journal: &Journal) {
    let tokens = journal.open().tokens.clone();
    for (at, (name, (token, state))) in tokens.into_iter().enumerate() {
        let url = format!("{}/api/v1/leases", reach.urls[at % reach.urls.len()]);
        let (status, shown) = reach.api("GET", &url, &token, None, None).await.unwrap();
        match state {
            State::Stands => assert_eq!(status, StatusCode::OK, "{name}: {shown}"),
            State::Gone => assert_eq!(status, StatusCode::UNAUTHORIZED, "{name}: {shown}"),
            State::Going => {}
        }
    }
}

/// Each thing that was acknowledged is in the audit, and each sign-in once.
async fn audit_knows(reach: &Reach, journal: &Journal) {
    let audit = Audit::read(reach).await;
    let user = |event: &Value| text(&event["person"]["user"]);
    let signed_in = audit.of("sign_in_accepted", user);
    for (user, times) in &signed_in {
        assert_eq!(*times, 1, "{user} in the audit");
    }
    let journal = journal.open();
    for user in journal.sessions.keys() {
        assert!(signed_in.contains_key(user), "{user} is not in the audit");
    }
    let made = audit.of("lease_created", |event| text(&event["lease"]));
    let revoked = audit.of("lease_revoked", |event| text(&event["lease"]));
    for (id, lease) in &journal.leases {
        assert!(made.contains_key(id), "lease {id} is not in the audit");
        assert!(
            lease.state != State::Gone || revoked.contains_key(id),
            "the end of lease {id} is not in the audit"
        );
    }
    let fetched = audit.of("credentials_fetched", |event| {
        Some(format!(
            "{} {}",
            event["lease"].as_str()?,
            event["access_key_id"].as_str()?
        ))
    });
    for (lease, key) in &journal.fetched {
        let named = format!("{lease} {key}");
        assert!(fetched.contains_key(&named), "{named} is not in the audit");
    }
    let ended = audit.of("access_revoked", |event| text(&event["reason"]));
    for (user, (_, state)) in &journal.sessions {
        let named = |reason: &String| reason.starts_with(&format!("user {user}:"));
        assert!(
            *state != State::Gone || ended.keys().any(named),
            "the end of {user} is not in the audit"
        );
    }
    let added = audit.of("entry_added", |event| text(&event["entry"]));
    let removed = audit.of("entry_removed", |event| text(&event["entry"]));
    for (id, state) in &journal.entries {
        assert!(added.contains_key(id), "entry {id} is not in the audit");
        assert!(*state != State::Gone || removed.contains_key(id), "{id}");
    }
    let created = audit.of("token_created", |event| text(&event["reason"]));
    let assigned = audit.of("assignment_set", user);
    for user in journal.assigned.keys() {
        assert!(assigned.contains_key(user), "{user}'s roles");
    }
    assert!(
        created.values().sum::<usize>() >= journal.tokens.len(),
        "{created:?}"
    );
}
