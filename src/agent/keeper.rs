//! Credentials held in memory: had ahead of need, one request to the gateway at a time, however many ask here.
//!
//! It never gives out credentials that are over, keeps good ones while the gateway is away, and drops them at
//! 401 and 403. Asking again at least every five minutes, it notices a revocation though its credentials last.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::error::Trouble;
use super::say;
use super::source::Source;
use super::wire::JobCredentials;
use crate::model::{Clock, Entropy};

/// How long a caller waits where nothing is held: SDKs give up after 2 to 3 s.
const PATIENCE: Duration = Duration::from_millis(1500);
/// Longest time between two questions.
const PROBE: Duration = Duration::from_secs(300);
/// A caller who finds that the last answer is older has it asked again, behind its back.
const STALE: Duration = Duration::from_secs(60);
/// After a refusal the gateway is left alone so long, whoever asks.
const AFTER_REFUSAL: Duration = Duration::from_secs(2);
/// And asked so often where nobody asks.
const WHILE_REFUSED: Duration = Duration::from_secs(60);
/// First and longest pause while the gateway is away.
const AWAY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));

/// What is held, and who is asked for it.
pub(super) struct Keeper {
    source: Arc<Source>,
    state: watch::Sender<State>,
    wanted: Notify,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

#[derive(Clone)]
struct State {
    held: Option<Arc<JobCredentials>>,
    trouble: Option<Trouble>,
    is_asking: bool,
    answered_at: Option<Instant>,
    /// Until then the gateway is left alone.
    quiet_until: Instant,
}

impl Keeper {
    /// A keeper that holds nothing yet; it asks once [`Self::keep`] runs.
    pub(super) fn new(
        source: Arc<Source>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        let state = State {
            held: None,
            trouble: None,
            is_asking: false,
            answered_at: None,
            quiet_until: Instant::now(),
        };
        Self {
            source,
            state: watch::Sender::new(state),
            wanted: Notify::new(),
            clock,
            entropy,
        }
    }

    /// Asks, for as long as the process lives.
    pub(super) async fn keep(self: Arc<Self>) {
        let mut failures = 0;
        loop {
            // Waiters need not hear of it.
            self.state.send_if_modified(|state| {
                state.is_asking = true;
                false
            });
            let answer = self.source.credentials().await;
            failures = match answer {
                Err(Trouble::Away(_)) => failures + 1,
                _ => 0,
            };
            let (quiet, pause) = self.take(answer, failures);
            sleep_until(quiet).await;
            tokio::select! {
                () = sleep(pause) => {}
                () = self.wanted.notified() => {}
            }
        }
    }

    /// Takes an answer in; says until when the gateway is left alone, and how long after that it may be.
    fn take(&self, answer: Result<JobCredentials, Trouble>, failures: u32) -> (Instant, Duration) {
        let now = Instant::now();
        let jitter = self.jitter();
        let (quiet, pause) = match &answer {
            Ok(had) => {
                let left = had.left(self.clock.now());
                (
                    Duration::from_millis(200),
                    next_check(had.life(), left, jitter),
                )
            }
            Err(Trouble::Refused { .. }) => (AFTER_REFUSAL, WHILE_REFUSED),
            Err(Trouble::Away(_)) => {
                let pause = back_off(failures, jitter);
                (AWAY.0.min(pause), pause)
            }
        };
        self.state.send_modify(|state| {
            state.tell_of(&answer);
            state.is_asking = false;
            state.quiet_until = now + quiet;
            match answer {
                Ok(had) => {
                    state.held = Some(Arc::new(had));
                    state.trouble = None;
                }
                Err(trouble) => {
                    if trouble.ends_it() {
                        state.held = None;
                    }
                    state.trouble = Some(trouble);
                }
            }
            state.answered_at = Some(now);
        });
        (now + quiet, pause)
    }

    /// Credentials that are not over, or why there are none, within a second and a half.
    pub(super) async fn get(&self) -> Result<Arc<JobCredentials>, Trouble> {
        let mut changes = self.state.subscribe();
        let state = changes.borrow_and_update().clone();
        if let Some(held) = self.good(&state) {
            if state.is_stale() && !state.is_asking {
                self.wanted.notify_one();
            }
            return Ok(held);
        }
        if Instant::now() < state.quiet_until
            && let Some(trouble) = state.trouble
        {
            return Err(trouble);
        }
        if !state.is_asking {
            self.wanted.notify_one();
        }
        let answered = timeout(PATIENCE, changes.changed()).await;
        let state = changes.borrow().clone();
        match (self.good(&state), state.trouble, answered) {
            (Some(held), _, _) => Ok(held),
            (None, Some(trouble), Ok(_)) => Err(trouble),
            (None, Some(Trouble::Away(text)), Err(_)) => Err(Trouble::Away(text)),
            _ => Err(Trouble::Away(
                "the gateway has not answered yet; the SDK asks again by itself".to_owned(),
            )),
        }
    }

    /// The first good answer or refusal; after `patience`, what is wrong.
    pub(super) async fn first(&self, patience: Duration) -> Result<(), Trouble> {
        let mut changes = self.state.subscribe();
        let settled = changes.wait_for(|state| {
            state.held.is_some() || matches!(state.trouble, Some(Trouble::Refused { .. }))
        });
        let _late = timeout(patience, settled).await.is_err();
        let state = self.state.borrow().clone();
        match (state.held, state.trouble) {
            (Some(_), _) => Ok(()),
            (None, Some(trouble)) => Err(trouble),
            (None, None) => Err(Trouble::Away(
                "the gateway did not answer in time; check --url and the network".to_owned(),
            )),
        }
    }

    fn good(&self, state: &State) -> Option<Arc<JobCredentials>> {
        let now = self.clock.now();
        state.held.clone().filter(|held| !held.is_over(now))
    }

    fn jitter(&self) -> u8 {
        let mut byte = [0];
        self.entropy.fill(&mut byte);
        let [byte] = byte;
        byte
    }
}

impl State {
    fn is_stale(&self) -> bool {
        self.answered_at.is_none_or(|at| at.elapsed() > STALE)
    }

    /// Notes a change, once.
    fn tell_of(&self, answer: &Result<JobCredentials, Trouble>) {
        match (answer, &self.trouble) {
            (Err(trouble), known) if known.as_ref().map(kind) != Some(kind(trouble)) => {
                say::note(&trouble.to_string());
            }
            (Ok(_), Some(_)) => say::note("the gateway gives credentials again"),
            _ => {}
        }
    }
}

/// What makes one trouble another.
fn kind(trouble: &Trouble) -> &str {
    match trouble {
        Trouble::Refused { code, .. } => code,
        Trouble::Away(_) => "",
    }
}

/// When to ask again: with 20 minutes left, or a third of a shorter life, and a little earlier by `jitter`; at
/// least every five minutes; where newer ones cannot be had, more and more often.
fn next_check(life: TimeDelta, left: TimeDelta, jitter: u8) -> Duration {
    let margin = (life / 3).min(TimeDelta::minutes(20));
    let earlier = margin / 10 * i32::from(jitter) / 255;
    let until = (left - margin - earlier).to_std().unwrap_or_default();
    if until.is_zero() {
        let quarter = (left / 4).to_std().unwrap_or_default();
        return quarter.clamp(Duration::from_secs(1), Duration::from_secs(60));
    }
    let probe = PROBE - Duration::from_millis(200) * u32::from(jitter);
    until.clamp(Duration::from_secs(1), probe)
}

/// Twice as long each time, and a little longer by `jitter`.
fn back_off(failures: u32, jitter: u8) -> Duration {
    let (first, longest) = AWAY;
    let twice = 2_u32.saturating_pow(failures.saturating_sub(1).min(10));
    let pause = (first * twice).min(longest);
    pause + pause / 4 * u32::from(jitter) / 255
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_ahead_of_need_and_every_five_minutes() {
        let hour = TimeDelta::hours(1);
        let seconds = |life, left, jitter| next_check(life, left, jitter).as_secs();
        assert_eq!(seconds(hour, hour, 0), 300, "a revocation is to be noticed");
        assert_eq!(seconds(hour, hour, 255), 249);
        let nearly = TimeDelta::minutes(23);
        assert_eq!(seconds(hour, nearly, 0), 180, "with 20 minutes left");
        assert_eq!(seconds(hour, nearly, 255), 60, "or 22");
        let short = TimeDelta::seconds(90);
        assert_eq!(seconds(short, short, 0), 60, "two thirds of a short life");
        assert_eq!(seconds(hour, TimeDelta::minutes(2), 0), 30);
        assert_eq!(seconds(hour, TimeDelta::minutes(10), 0), 60);
        assert_eq!(seconds(hour, TimeDelta::seconds(-5), 0), 1);
    }

    #[test]
    fn leaves_a_gateway_in_trouble_alone_for_longer_and_longer() {
        let pauses: Vec<_> = [1, 2, 3, 6, 60]
            .map(|failures| back_off(failures, 0).as_millis())
            .into();
        assert_eq!(pauses, [500, 1000, 2000, 15_000, 15_000]);
        assert!(back_off(60, 255) < Duration::from_secs(19));
    }
}
