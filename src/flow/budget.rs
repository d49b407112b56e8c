//! How often STS is asked: so many calls a second for each account, the soonest to expire first.
//!
//! AWS throttles per account, and whoever else works in that account shares its quota. Nothing is refused
//! here: who comes beyond the budget waits for a turn, and a job without credentials goes before one whose
//! credentials still live.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::sync::oneshot;

use crate::model::AccountId;

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
    is_served: bool,
    asked: u64,
}

/// Somebody who waits for a turn: the earliest need first, then who came first.
struct Waiting {
    need: Reverse<(Option<DateTime<Utc>>, u64)>,
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

    /// Waits for a turn at `account`; `need` is when the credentials end that are to be replaced, nothing
    /// where there are none.
    pub async fn turn(&self, account: &AccountId, need: Option<DateTime<Utc>>) {
        let Some(turn) = self.join(account, need) else {
            return;
        };
        // The sender is dropped only with the runtime.
        let _ended = turn.await;
    }

    /// Takes a turn at once if nobody waits and there is one, else joins the queue.
    fn join(
        &self,
        account: &AccountId,
        need: Option<DateTime<Utc>>,
    ) -> Option<oneshot::Receiver<()>> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let state = accounts.entry(account.clone()).or_insert_with(|| Account {
            limiter: Arc::new(RateLimiter::direct(self.quota)),
            waiting: BinaryHeap::new(),
            is_served: false,
            asked: 0,
        });
        if state.waiting.is_empty() && !state.is_served && state.limiter.check().is_ok() {
            return None;
        }
        let (turn, turned) = oneshot::channel();
        state.asked += 1;
        state.waiting.push(Waiting {
            need: Reverse((need, state.asked)),
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
        Some(turned)
    }

    /// Gives the next in line its turn; says whether anybody is left to wait for another.
    fn serve_next(&self, account: &AccountId) -> bool {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(state) = accounts.get_mut(account) else {
            return false;
        };
        while let Some(next) = state.waiting.pop() {
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

    #[tokio::test]
    async fn who_needs_it_soonest_goes_first() {
        let budget = Budget::new(NonZeroU32::new(20).unwrap());
        for _ in 0..20 {
            budget.turn(&account(), None).await;
        }
        let order = Arc::new(Mutex::new(Vec::new()));
        let at = |minute: u32| {
            let text = format!("2026-03-01T12:{minute:02}:00Z");
            Some(text.parse().unwrap())
        };
        let needs = [at(30), at(10), None, at(20), None];
        let waits = needs.into_iter().enumerate().map(|(who, need)| {
            let (budget, order) = (budget.clone(), Arc::clone(&order));
            async move {
                budget.turn(&account(), need).await;
                order.lock().unwrap().push(who);
            }
        });
        join_all(waits).await;
        assert_eq!(*order.lock().unwrap(), [2, 4, 1, 3, 0]);
    }

    #[tokio::test]
    async fn accounts_do_not_wait_for_each_other() {
        let budget = Budget::new(NonZeroU32::new(1).unwrap());
        let other: AccountId = "999999999999".parse().unwrap();
        budget.turn(&account(), None).await;
        let queued = tokio::spawn({
            let budget = budget.clone();
            async move { budget.turn(&account(), None).await }
        });
        let soon = Duration::from_millis(500);
        let free = tokio::time::timeout(soon, budget.turn(&other, None)).await;
        assert!(free.is_ok());
        queued.await.unwrap();
    }
}
