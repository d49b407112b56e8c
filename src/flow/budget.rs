//! How often STS is asked: so many calls a second for each account, the soonest to expire first.
//!
//! AWS throttles per account, and whoever else works in that account shares its quota. Who comes beyond the
//! budget waits for a turn; a job without credentials goes before one whose credentials live for another
//! minute, and behind one that is about to lose them. One person waits for so many first turns only.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::sync::oneshot;

use crate::model::{AccountId, Person};

/// Turns that one person may wait for at one account.
const MOST: usize = 50;

/// The person waits for more turns than one person should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crowded;

/// Turns at STS.
#[derive(Clone)]
pub struct Budget {
    quota: Quota,
    accounts: Arc<Mutex<HashMap<AccountId, Account>>>,
}

/// The turns of one account.
struct Account {
    limiter: Arc<DefaultDirectRateLimiter>,
    waiting: BinaryHeap<Waiting>,
    by_person: HashMap<Person, usize>,
    is_served: bool,
    asked: u64,
}

/// Somebody who waits for a turn: the earliest need first, then who came first.
struct Waiting {
    need: Reverse<(DateTime<Utc>, u64)>,
    newcomer: Option<Person>,
    turn: oneshot::Sender<()>,
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.need == other.need
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.need.cmp(&other.need)
    }
}

impl Budget {
    /// So many calls a second, and as many at once.
    pub fn new(calls_per_second: NonZeroU32) -> Self {
        Self {
            quota: Quota::per_second(calls_per_second),
            accounts: Arc::default(),
        }
    }

    /// Waits for a turn at `account` for what is needed by `need`: the end of the credentials that are to be
    /// replaced, or a minute from now for a `newcomer`, who has none.
    pub async fn turn(
        &self,
        account: &AccountId,
        newcomer: Option<&Person>,
        need: DateTime<Utc>,
    ) -> Result<(), Crowded> {
        let Some(turn) = self.join(account, newcomer, need)? else {
            return Ok(());
        };
        // The sender is dropped only with the runtime.
        let _ended = turn.await;
        Ok(())
    }

    /// Takes a turn at once if nobody waits and there is one, else joins the queue.
    fn join(
        &self,
        account: &AccountId,
        newcomer: Option<&Person>,
        need: DateTime<Utc>,
    ) -> Result<Option<oneshot::Receiver<()>>, Crowded> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let state = accounts.entry(account.clone()).or_insert_with(|| Account {
            limiter: Arc::new(RateLimiter::direct(self.quota)),
            waiting: BinaryHeap::new(),
            by_person: HashMap::new(),
            is_served: false,
            asked: 0,
        });
        if state.waiting.is_empty() && !state.is_served && state.limiter.check().is_ok() {
            return Ok(None);
        }
        if let Some(person) = newcomer {
            let waiting = state.by_person.entry(person.clone()).or_default();
            if *waiting >= MOST {
                return Err(Crowded);
            }
            *waiting += 1;
        }
        let (turn, turned) = oneshot::channel();
        state.asked += 1;
        state.waiting.push(Waiting {
            need: Reverse((need, state.asked)),
            newcomer: newcomer.cloned(),
            turn,
        });
        if !std::mem::replace(&mut state.is_served, true) {
            let (budget, account) = (self.clone(), account.clone());
            let limiter = Arc::clone(&state.limiter);
            tokio::spawn(async move {
                loop {
                    limiter.until_ready().await;
                    if !budget.serve_next(&account) {
                        break;
                    }
                }
            });
        }
        Ok(Some(turned))
    }

    /// Gives the next in line its turn; says whether anybody is left to wait for another.
    fn serve_next(&self, account: &AccountId) -> bool {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(state) = accounts.get_mut(account) else {
            return false;
        };
        while let Some(next) = state.waiting.pop() {
            if let Some(person) = &next.newcomer
                && let Some(waiting) = state.by_person.get_mut(person)
            {
                *waiting -= 1;
                if *waiting == 0 {
                    state.by_person.remove(person);
                }
            }
            // Who gave up waiting takes no turn.
            if next.turn.send(()).is_ok() {
                break;
            }
        }
        state.is_served = !state.waiting.is_empty();
        state.is_served
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::future::join_all;

    use super::*;

    fn account() -> AccountId {
        "123456789012".parse().unwrap()
    }

    fn person(user: &str) -> Person {
        Person {
            idp: "okta".parse().unwrap(),
            user: user.parse().unwrap(),
        }
    }

    fn at(minute: u32) -> DateTime<Utc> {
        format!("2026-03-01T12:{minute:02}:00Z").parse().unwrap()
    }

    fn budget(calls_per_second: u32) -> Budget {
        Budget::new(NonZeroU32::new(calls_per_second).unwrap())
    }

    #[tokio::test]
    async fn who_needs_it_soonest_goes_first() {
        let budget = budget(20);
        for _ in 0..20 {
            budget
                .turn(&account(), Some(&person("ann")), at(0))
                .await
                .unwrap();
        }
        let order = Arc::new(Mutex::new(Vec::new()));
        let needs = [at(30), at(10), at(1), at(20), at(1)];
        let waits = needs.into_iter().enumerate().map(|(who, need)| {
            let (budget, order) = (budget.clone(), Arc::clone(&order));
            async move {
                budget
                    .turn(&account(), Some(&person("ann")), need)
                    .await
                    .unwrap();
                order.lock().unwrap().push(who);
            }
        });
        join_all(waits).await;
        assert_eq!(*order.lock().unwrap(), [2, 4, 1, 3, 0]);
    }

    #[tokio::test]
    async fn one_person_waits_for_so_many_first_turns_only() {
        let budget = budget(1);
        let join = |user: Option<&str>| {
            let person = user.map(person);
            budget.join(&account(), person.as_ref(), at(0))
        };
        assert!(join(Some("ann")).unwrap().is_none());
        let mut queued = Vec::new();
        for _ in 0..MOST {
            queued.extend(join(Some("ann")).unwrap());
        }
        assert_eq!(join(Some("ann")).unwrap_err(), Crowded);
        assert!(
            join(None).unwrap().is_some(),
            "a renewal waits with all others"
        );
        let other = join(Some("bob")).unwrap().unwrap();
        // Who gave up takes no turn.
        queued.clear();
        other.await.unwrap();
        assert!(join(Some("ann")).is_ok());
    }

    #[tokio::test]
    async fn accounts_do_not_wait_for_each_other() {
        let budget = budget(1);
        let other: AccountId = "999999999999".parse().unwrap();
        budget
            .turn(&account(), Some(&person("ann")), at(0))
            .await
            .unwrap();
        let queued = tokio::spawn({
            let budget = budget.clone();
            async move { budget.turn(&account(), Some(&person("ann")), at(0)).await }
        });
        let soon = Duration::from_millis(500);
        let free =
            tokio::time::timeout(soon, budget.turn(&other, Some(&person("ann")), at(0))).await;
        assert_eq!(free, Ok(Ok(())));
        queued.await.unwrap().unwrap();
    }
}
