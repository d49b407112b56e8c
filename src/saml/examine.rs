//! Every check of a response as it is evaluated, for `explain`.
//!
//! It runs the very functions that `verify` runs, in the same order; it only goes on after a condition
//! that failed, and shows what it saw. It makes no [`VerifiedAssertion`](super::VerifiedAssertion).

use serde::Serialize;

use super::conditions::Condition;
use super::gate::{Rule, UnverifiedResponse};
use super::refusal::{Refusal, cut};
use super::verify::{self, Expectation};
use super::{RawResponse, signature};
use crate::model::SubjectParts;

/// One check and its outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its stable name.
    pub check: String,
    /// Whether it held.
    pub ok: bool,
    /// What was wanted.
    pub expected: String,
    /// What was found.
    pub found: String,
    /// What to change, where it failed; else empty.
    pub mend: String,
}

/// What an examination found.
#[derive(Debug)]
pub struct Examination {
    /// Every check that was evaluated, in order.
    pub checks: Vec<Check>,
    /// The first refusal: what `verify` would have said. `None`: it would have taken the response.
    pub refusal: Option<Refusal>,
    /// What the assertion says, where its signature held and it can be read, even if a condition failed.
    pub subject: Option<SubjectParts>,
}

/// Examines `response`. `pick` gives the expectation for its Issuer and the request it names, or
/// `None` where no identity provider has that Issuer; the gate's rules are shown all the same.
pub fn examine<'e>(
    response: RawResponse,
    pick: impl FnOnce(&UnverifiedResponse) -> Option<Expectation<'e>>,
) -> Examination {
    let mut notes = Notes::default();
    let Some(response) = notes.gate(response) else {
        return notes.end(None);
    };
    let Some(expectation) = pick(&response) else {
        notes.failed(
            "issuer",
            "a configured identity provider",
            Refusal::Issuer {
                found: cut(response.issuer_hint()),
                expected: "the entity id of a configured identity provider".to_owned(),
            },
        );
        return notes.end(None);
    };
    let wanted = "every signature verifies with one key of the identity provider";
    let covered = match verify::covered(&response, &expectation) {
        Ok(covered) => covered,
        Err(refusal) => {
            notes.failed("signature", wanted, refusal);
            return notes.end(None);
        }
    };
    notes.held("signature", wanted, "verified".to_owned());
    let subject = notes.conditions(&response, &covered, &expectation);
    notes.end(subject)
}

#[derive(Default)]
struct Notes {
    checks: Vec<Check>,
    refusal: Option<Refusal>,
}

impl Notes {
    fn gate(&mut self, response: RawResponse) -> Option<UnverifiedResponse> {
        let mut passed = 0;
        let result = response.read_noting(&mut |rule: Rule| {
            passed += 1;
            self.held(rule.name(), rule.expected(), "as expected".to_owned());
        });
        match result {
            Ok(response) => Some(response),
            Err(refusal) => {
                let rule = Rule::ALL.get(passed).copied().unwrap_or(Rule::Signatures);
                self.failed(rule.name(), rule.expected(), refusal);
                None
            }
        }
    }

    fn conditions(
        &mut self,
        response: &UnverifiedResponse,
        covered: &str,
        expectation: &Expectation<'_>,
    ) -> Option<SubjectParts> {
        let wanted = "what was verified is what the gate saw";
        let root = match signature::read(covered, response.view()) {
            Ok(root) => root,
            Err(refusal) => {
                self.failed("verified", wanted, refusal);
                return None;
            }
        };
        self.held("verified", wanted, "the same".to_owned());
        let assertion = signature::assertion(&root).ok()?;
        let context = verify::context(response, assertion, expectation);
        for condition in Condition::ALL {
            let expected = condition.expected(expectation);
            match condition.check(&context) {
                Ok(found) => self.held(condition.name(), &expected, cut(&found)),
                Err(refusal) => self.failed(condition.name(), &expected, refusal),
            }
        }
        verify::subject_parts(&context).ok()
    }

    fn held(&mut self, check: &str, expected: &str, found: String) {
        self.checks.push(Check {
            check: check.to_owned(),
            ok: true,
            expected: expected.to_owned(),
            found,
            mend: String::new(),
        });
    }

    fn failed(&mut self, check: &str, expected: &str, refusal: Refusal) {
        self.checks.push(Check {
            check: check.to_owned(),
            ok: false,
            expected: expected.to_owned(),
            found: refusal.to_string(),
            mend: refusal.mend().to_owned(),
        });
        self.refusal.get_or_insert(refusal);
    }

    fn end(self, subject: Option<SubjectParts>) -> Examination {
        Examination {
            checks: self.checks,
            refusal: self.refusal,
            subject,
        }
    }
}
