//! People, launchers, jobs and admins at work, each writing down what was acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join;
use reqwest::StatusCode;
use rolegate::demo::idp::DemoIdp;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::chance::Chance;
use super::fleet::{Answer, Reach, response};
use super::journal::{Journal, Lease, State};
use crate::gateway::role;

/// What goes on while things break.
pub(super) struct Load {
    journal: Arc<Journal>,
    stop: Arc<AtomicBool>,
    workers: Vec<JoinHandle<()>>,
}

/// How long one who was cut off waits before asking again.
const AGAIN: Duration = Duration::from_millis(40);
/// How long it asks.
const PATIENCE: Duration = Duration::from_mins(2);
/// By when everybody has done what they do.
const ENOUGH: Duration = Duration::from_mins(2);

#[derive(Clone)]
struct Worker {
    reach: Reach,
    journal: Arc<Journal>,
    numbers: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    chance: Chance,
}

impl Load {
    /// Starts people at `reach`, whose sign-ins `idp` signs.
    pub(super) fn start(
        reach: &Reach,
        idp: &Arc<DemoIdp>,
        journal: &Arc<Journal>,
        chance: &mut Chance,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let numbers = Arc::new(AtomicUsize::new(journal.open().responses.len()));
        let mut worker = || Worker {
            reach: reach.clone(),
            journal: Arc::clone(journal),
            numbers: Arc::clone(&numbers),
            stop: Arc::clone(&stop),
            chance: chance.fork(),
        };
        let workers = vec![
            tokio::spawn(worker().people(Arc::clone(idp))),
            tokio::spawn(worker().launchers()),
            tokio::spawn(worker().launchers()),
            tokio::spawn(worker().jobs()),
            tokio::spawn(worker().jobs()),
            tokio::spawn(worker().admins()),
        ];
        Self {
            journal: Arc::clone(journal),
            stop,
            workers,
        }
    }

    /// Ends it once some of each was acknowledged, for which nothing may be broken any more; what was begun is
    /// finished.
    pub(super) async fn end(self) {
        let begun = Instant::now();
        while self.goes_on() && begun.elapsed() < ENOUGH && !self.journal.open().has_some_of_each()
        {
            tokio::time::sleep(AGAIN).await;
        }
        self.stop.store(true, Ordering::Relaxed);
        for worker in self.workers {
            worker.await.unwrap();
        }
    }

    /// Whether everybody is still at work: one who found something wrong is not.
    pub(super) fn goes_on(&self) -> bool {
        !self.workers.iter().any(JoinHandle::is_finished)
    }
}

/// Whether an answer says that the store, or the gateway, is away.
fn is_away(answer: &Answer) -> bool {
    matches!(answer, None | Some((StatusCode::SERVICE_UNAVAILABLE, _)))
}

impl Worker {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    fn url(&mut self) -> String {
        self.chance.pick(&self.reach.urls).clone()
    }

    fn number(&self) -> usize {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Asks at any gateway until one answers.
    async fn until_answered(
        &mut self,
        method: &str,
        path: &str,
        token: &str,
        body: Option<&Value>,
        key: Option<&str>,
    ) -> (StatusCode, Value) {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            let url = self.url() + path;
            let answer = self.reach.api(method, &url, token, body, key).await;
            match answer {
                Some(answer) if answer.0 != StatusCode::SERVICE_UNAVAILABLE => return answer,
                _ => tokio::time::sleep(AGAIN).await,
            }
        }
        panic!("nobody answers {method} {path}");
    }

    /// Signs people in, each once: at one gateway, or at both at once, and again where nothing was acknowledged.
    async fn people(mut self, idp: Arc<DemoIdp>) {
        while self.goes_on() {
            let user = format!("user-{}", self.number());
            let response = response(&idp, &user);
            let noted = (user.clone(), 0);
            self.journal
                .open()
                .responses
                .insert(response.clone(), noted);
            let [here, there] = [self.url(), self.url()];
            if self.chance.below(3) == 0 {
                let both = join(
                    self.reach.post(&here, &response),
                    self.reach.post(&there, &response),
                );
                let (one, other) = both.await;
                self.note_sign_in(&user, &response, one);
                self.note_sign_in(&user, &response, other);
                continue;
            }
            let answer = self.reach.post(&here, &response).await;
            let again = is_away(&answer);
            self.note_sign_in(&user, &response, answer);
            if again {
                // Whether it was accepted is not known: once more, it is accepted now, or was before.
                let answer = self.reach.post(&there, &response).await;
                self.note_sign_in(&user, &response, answer);
                tokio::time::sleep(AGAIN).await;
            }
        }
    }

    fn note_sign_in(&self, user: &str, response: &str, answer: Answer) {
        match answer {
            Some((StatusCode::OK, me)) => {
                assert_eq!(me["user"], user);
                let token = me["session_token"].as_str().unwrap().to_owned();
                let mut journal = self.journal.open();
                journal.responses.get_mut(response).unwrap().1 += 1;
                let before = journal
                    .sessions
                    .insert(user.to_owned(), (token, State::Stands));
                assert!(before.is_none(), "{user} was accepted twice");
            }
            Some((StatusCode::FORBIDDEN, _)) => {}
            away => assert!(is_away(&away), "{away:?}"),
        }
    }

    /// Lease for jobs of whoever is signed in, and take some back.
    async fn launchers(mut self) {
        let launcher = self.reach.launcher.clone();
        while self.goes_on() {
            let Some(user) = self.somebody() else {
                tokio::time::sleep(AGAIN).await;
                continue;
            };
            let number = self.number();
            let name = if self.chance.below(4) == 0 {
                "reader"
            } else {
                "long"
            };
            let order =
                json!({ "user": user, "role_arn": role(name), "job": format!("job-{number}") });
            let key = format!("key-{number}");
            let (status, made) = self
                .until_answered(
                    "POST",
                    "/api/v1/leases",
                    &launcher,
                    Some(&order),
                    Some(&key),
                )
                .await;
            let known = self.journal.open().sessions[&user].1 == State::Stands;
            if status != StatusCode::CREATED {
                // What the assertion was good for is lost where the store was away while STS answered: the person
                // signs in again, and is told so.
                let lost = name == "reader" && made["code"] == "sign_in_needed";
                assert!(
                    lost || !known && status.is_client_error(),
                    "{status} {made}"
                );
                continue;
            }
            let id = made["lease"].as_str().unwrap().to_owned();
            let lease = Lease {
                user,
                token: made["token"].as_str().unwrap().to_owned(),
                state: State::Stands,
            };
            self.journal.open().leases.insert(id.clone(), lease);
            match self.chance.below(12) {
                0 | 1 => self.take_back(&launcher, &id).await,
                2 => self.end_somebody().await,
                _ => {}
            }
        }
    }

    /// Anybody with a session that nobody asked to end.
    fn somebody(&mut self) -> Option<String> {
        let journal = self.journal.open();
        let live = journal.sessions.iter();
        let live: Vec<&String> = live
            .filter(|(_, (_, state))| *state == State::Stands)
            .map(|(user, _)| user)
            .collect();
        if live.is_empty() {
            return None;
        }
        // Mostly the newest.
        let newest = live.len().saturating_sub(20);
        Some((*self.chance.pick(&live[newest..])).clone())
    }

    async fn take_back(&mut self, launcher: &str, id: &str) {
        let mark = |state| {
            let mut journal = self.journal.open();
            journal.leases.get_mut(id).unwrap().state = state;
        };
        mark(State::Going);
        let path = format!("/api/v1/leases/{id}");
        let (status, answer) = self
            .clone()
            .until_answered("DELETE", &path, launcher, None, None)
            .await;
        assert!(status.is_success(), "{status} {answer}");
        mark(State::Gone);
    }

    /// An admin ends all that somebody has.
    async fn end_somebody(&mut self) {
        let Some(user) = self.somebody() else { return };
        let mark = |state| {
            let mut journal = self.journal.open();
            journal.sessions.get_mut(&user).unwrap().1 = state;
        };
        mark(State::Going);
        let order = json!({ "user": user, "reason": "a test" });
        let admin = self.reach.admin.clone();
        let (status, answer) = self
            .clone()
            .until_answered("POST", "/api/v1/admin/revoke", &admin, Some(&order), None)
            .await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        mark(State::Gone);
    }

    /// Fetch credentials: good ones, 503, or nothing.
    async fn jobs(mut self) {
        while self.goes_on() {
            let lease = {
                let journal = self.journal.open();
                let leases: Vec<(&String, &Lease)> = journal.leases.iter().collect();
                if leases.is_empty() {
                    None
                } else {
                    let (id, lease) = *self.chance.pick(&leases);
                    Some((id.clone(), lease.clone()))
                }
            };
            let Some((id, lease)) = lease else {
                tokio::time::sleep(AGAIN).await;
                continue;
            };
            let url = self.url();
            let begun = Instant::now();
            let answer = self.reach.fetch(&url, &lease.token).await;
            let broken = answer.is_none();
            self.note_fetch(id, answer, begun.elapsed());
            if broken {
                tokio::time::sleep(AGAIN).await;
            }
        }
    }

    fn note_fetch(&self, id: String, answer: Answer, took: Duration) {
        let mut journal = self.journal.open();
        let live = journal.is_live(&journal.leases[&id]);
        match answer {
            Some((StatusCode::OK, body)) => {
                assert!(body["SecretAccessKey"].is_string(), "{body}");
                let key = body["AccessKeyId"].as_str().unwrap().to_owned();
                journal.fetched.insert((id, key));
                journal.good += 1;
            }
            Some((StatusCode::SERVICE_UNAVAILABLE, body)) => {
                assert!(body["Code"].is_string(), "{body}");
                journal.away += 1;
            }
            Some((status, body)) => assert!(!live, "{id}: {status} {body}"),
            None => {
                journal.broken += 1;
                return;
            }
        }
        journal.slowest = journal.slowest.max(took);
    }

    /// Edit the allow-list, make and revoke tokens by command, and assign roles by the API.
    async fn admins(mut self) {
        while self.goes_on() {
            match self.chance.below(5) {
                0 | 1 => self.edit().await,
                2 => self.make_token().await,
                _ => self.assign().await,
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn edit(&mut self) {
        let arn = role(&format!("extra-{}", self.number()));
        let allow = ["roles", "allow", &arn, "--reason", "a test"];
        let Ok(id) = self.reach.command(&allow).await else {
            return;
        };
        self.journal
            .open()
            .entries
            .insert(id.clone(), State::Stands);
        if self.chance.below(3) == 0 {
            self.journal.open().entries.insert(id.clone(), State::Going);
            if self.reach.command(&["roles", "remove", &id]).await.is_ok() {
                self.journal.open().entries.insert(id, State::Gone);
            }
        }
    }

    async fn make_token(&mut self) {
        let name = format!("launcher-{}", self.number());
        let mut create = vec!["tokens", "create", &name, "--role", "launcher"];
        create.extend(["--for-roles", "*", "--for-users", "*"]);
        let Ok(token) = self.reach.command(&create).await else {
            return;
        };
        let note = |state| {
            let mut journal = self.journal.open();
            journal.tokens.insert(name.clone(), (token.clone(), state));
        };
        note(State::Stands);
        if self.chance.below(3) == 0 {
            note(State::Going);
            if self
                .reach
                .command(&["tokens", "revoke", &name])
                .await
                .is_ok()
            {
                note(State::Gone);
            }
        }
    }

    async fn assign(&mut self) {
        let user = format!("assigned-{}", self.number());
        let arn = role("reader");
        let path = format!("/api/v1/admin/users/{user}/role-arns");
        let order = json!({ "role_arns": [&arn], "reason": "a test" });
        let admin = self.reach.admin.clone();
        let (status, answer) = self
            .until_answered("PUT", &path, &admin, Some(&order), None)
            .await;
        assert!(status.is_success(), "{status} {answer}");
        self.journal.open().assigned.insert(user, arn);
    }
}
