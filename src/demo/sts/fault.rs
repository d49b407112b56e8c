//! How the Assume actions misbehave when told to, for every role or for one.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use actix_web::HttpResponse;
use chrono::{DateTime, TimeDelta, Utc};

use super::answer::{self, Failure};

/// How the Assume actions misbehave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Not at all.
    None,
    /// Throttles every call.
    Throttle,
    /// Throttles what goes over so many calls in such a time.
    RateLimit {
        /// How many calls are answered.
        calls: usize,
        /// In which time, by the STS's clock.
        every: Duration,
    },
    /// Answers 503.
    ServiceUnavailable,
    /// Never answers.
    Hang,
    /// Answers 200 with no XML.
    Garbage,
    /// Answers for another role.
    WrongRole,
    /// Answers for another audience.
    WrongAudience,
    /// Denies every call.
    Denied,
    /// Cannot reach the issuer of any web identity token.
    IssuerAway,
    /// Cuts the connection.
    DropConnection,
    /// Answers after this time.
    Slow(Duration),
    /// One way for some calls, then another.
    FirstThen {
        /// How the first calls go.
        first: Box<Fault>,
        /// How many those are.
        calls: usize,
        /// How all later ones go.
        then: Box<Fault>,
    },
}

impl Fault {
    /// The fault of the next call.
    fn next(&mut self) -> Self {
        match self {
            Self::FirstThen { first, calls, then } => {
                if let Some(left) = calls.checked_sub(1) {
                    *calls = left;
                    return first.next();
                }
                *self = (**then).clone();
                self.next()
            }
            one => one.clone(),
        }
    }

    /// What is answered instead, `None` where the fault is in a good answer.
    pub(super) fn failure(&self, action: &str) -> Option<Failure> {
        match self {
            Self::Throttle => Some(Failure::new(400, "Throttling", "Rate exceeded")),
            Self::ServiceUnavailable => {
                let text = "Service is unavailable";
                Some(Failure::new(503, "ServiceUnavailable", text))
            }
            Self::Denied => Some(Failure::denied(action)),
            Self::IssuerAway => Some(Failure::issuer_away()),
            Self::Hang | Self::Garbage | Self::DropConnection => {
                Some(Failure::new(200, "Misbehaved", ""))
            }
            _ => None,
        }
    }

    /// Answers `failure`, or in no way at all.
    pub(super) async fn answer(&self, failure: &Failure, request_id: &str) -> HttpResponse {
        match self {
            Self::Hang => std::future::pending().await,
            Self::Garbage => HttpResponse::Ok().body("this is no XML"),
            Self::DropConnection => answer::cut(),
            _ => failure.answer(request_id),
        }
    }
}

/// A fault, and the times of the calls that it let through.
struct Scope {
    fault: Fault,
    answered: VecDeque<DateTime<Utc>>,
}

impl Scope {
    fn new(fault: Fault) -> Self {
        Self {
            fault,
            answered: VecDeque::new(),
        }
    }

    fn next(&mut self, now: DateTime<Utc>) -> Fault {
        let (calls, every) = match self.fault.next() {
            Fault::RateLimit { calls, every } => (calls, every),
            other => return other,
        };
        let every = TimeDelta::from_std(every).unwrap_or(TimeDelta::MAX);
        while self.answered.front().is_some_and(|at| now - *at >= every) {
            self.answered.pop_front();
        }
        if self.answered.len() >= calls {
            return Fault::Throttle;
        }
        self.answered.push_back(now);
        Fault::None
    }
}

/// The faults set now.
pub(super) struct Faults {
    all: Scope,
    by_role: HashMap<String, Scope>,
}

impl Faults {
    pub(super) fn new() -> Self {
        Self {
            all: Scope::new(Fault::None),
            by_role: HashMap::new(),
        }
    }

    pub(super) fn set(&mut self, fault: Fault) {
        self.all = Scope::new(fault);
    }

    /// For one role, before what holds for all; [`Fault::None`] gives it back to that.
    pub(super) fn set_for(&mut self, role: &str, fault: Fault) {
        if fault == Fault::None {
            self.by_role.remove(role);
        } else {
            self.by_role.insert(role.to_owned(), Scope::new(fault));
        }
    }

    pub(super) fn next(&mut self, role: Option<&str>, now: DateTime<Utc>) -> Fault {
        let own = role.and_then(|role| self.by_role.get_mut(role));
        own.unwrap_or(&mut self.all).next(now)
    }
}
