//! Every check of a response as it is evaluated, for `explain`.
//!
//! It runs the very functions that `verify` runs, in the same order; it only goes on after a condition
//! that failed, and shows what it saw. It makes no [`VerifiedAssertion`](super::VerifiedAssertion).

use serde::{Deserialize, Serialize};

use super::conditions::Condition;
use super::gate::{Rule, UnverifiedResponse};
use super::mend::{Vendor, mend};
use super::refusal::{Refusal, cut};
use super::step::Step;
use super::verify::{self, Covered, Expectation};
use super::{FormError, RawResponse, signature};
use crate::model::{ReplayId, SubjectParts};

/// One check and its outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Its stable name.
    pub check: String,
    /// Whether it held.
    pub ok: bool,
    /// What was wanted.
    pub expected: String,
    /// What was found.
    pub found: String,
    /// What to change, line by line, where it failed or nothing will come of it; else empty.
    pub mend: String,
}

impl Check {
    /// A check that held.
    pub fn held(check: &str, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self {
            check: check.to_owned(),
            ok: true,
            expected: expected.into(),
            found: found.into(),
            mend: String::new(),
        }
    }

    /// A check that failed; `mend` may be empty.
    pub fn failed(
        check: &str,
        expected: impl Into<String>,
        found: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self {
            ok: false,
            mend: mend.into(),
            ..Self::held(check, expected, found)
        }
    }

    /// What is said of text that is no response at all.
    pub fn of_form(problem: &FormError) -> Self {
        let code = problem.code();
        let general = "post the form as the identity provider made it, with one SAMLResponse";
        Self::failed(
            "form",
            "a form with one SAMLResponse in base64, or its XML",
            format!("{code}: {problem}"),
            mend(code, general, None),
        )
    }
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
    /// What the ledger would be asked for; empty where the signature did not hold.
    pub replay_ids: Vec<ReplayId>,
}

/// Examines `response`. `pick` gives the expectation for its Issuer and the request it names, or
/// `None` where no identity provider has that Issuer; the gate's rules are shown all the same.
pub fn examine<'e>(
    response: RawResponse,
    pick: impl FnOnce(&UnverifiedResponse) -> Option<Expectation<'e>>,
) -> Examination {
    let vendor = response.issuer_guess().and_then(Vendor::of);
    let mut notes = Notes {
        vendor,
        ..Notes::default()
    };
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
    let Some(covered) = notes.covered(&response, &expectation) else {
        return notes.end(None);
    };
    let subject = notes.conditions(&response, &covered, &expectation);
    notes.end(subject)
}

#[derive(Default)]
struct Notes {
    vendor: Option<Vendor>,
    checks: Vec<Check>,
    refusal: Option<Refusal>,
    replay_ids: Vec<ReplayId>,
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

    fn covered(
        &mut self,
        response: &UnverifiedResponse,
        expectation: &Expectation<'_>,
    ) -> Option<Covered> {
        let mut steps = Step::of(response).iter();
        let covered = verify::covered(response, expectation, &mut |step: Step| {
            steps.next();
            self.held(step.name(), step.expected(), "as expected".to_owned());
        });
        match covered {
            Ok(covered) => Some(covered),
            Err(refusal) => {
                let step = steps.next().copied().unwrap_or(Step::Signature);
                self.failed(step.name(), step.expected(), refusal);
                None
            }
        }
    }

    fn conditions(
        &mut self,
        response: &UnverifiedResponse,
        covered: &Covered,
        expectation: &Expectation<'_>,
    ) -> Option<SubjectParts> {
        let wanted = "what was verified is what the gate saw";
        let root = match covered.read(response) {
            Ok(root) => root,
            Err(refusal) => {
                self.failed("verified", wanted, refusal);
                return None;
            }
        };
        self.held("verified", wanted, "the same".to_owned());
        let assertion = signature::assertion(&root).ok()?;
        let context = verify::context(response, covered, assertion, expectation);
        for condition in Condition::ALL {
            let expected = condition.expected(expectation);
            match condition.check(&context) {
                Ok(found) => self.held(condition.name(), &expected, cut(&found)),
                Err(refusal) => self.failed(condition.name(), &expected, refusal),
            }
        }
        self.replay_ids = verify::replay_ids(&context);
        verify::readable_parts(&context)
    }

    fn held(&mut self, check: &str, expected: &str, found: String) {
        self.checks.push(Check::held(check, expected, found));
    }

    fn failed(&mut self, check: &str, expected: &str, refusal: Refusal) {
        let mend = mend(refusal.code(), refusal.mend(), self.vendor);
        self.checks
            .push(Check::failed(check, expected, refusal.to_string(), mend));
        self.refusal.get_or_insert(refusal);
    }

    fn end(self, subject: Option<SubjectParts>) -> Examination {
        Examination {
            checks: self.checks,
            refusal: self.refusal,
            subject,
            replay_ids: self.replay_ids,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNSIGNED: &str = include_str!("../../fixtures/saml/attacks/sig-01-unsigned.xml");

    fn mend_of(document: &str) -> String {
        let raw = RawResponse::from_text(document).unwrap();
        let examined = examine(raw, |_| None);
        let last = examined.checks.last().unwrap();
        assert_eq!((last.check.as_str(), last.ok), ("signature_shape", false));
        last.mend.clone()
    }

    #[test]
    fn a_document_that_the_gate_refuses_gets_its_vendor_s_words_too() {
        let raw = RawResponse::from_text(UNSIGNED).unwrap();
        let issuer = raw.issuer_guess().unwrap().to_owned();
        let all = mend_of(UNSIGNED);
        assert!(all.contains("\nOkta: ") && all.contains("\nKeycloak: "));
        let okta = mend_of(&UNSIGNED.replace(&issuer, "http://www.okta.com/exk1"));
        assert!(okta.contains("\nOkta: ") && !okta.contains("Keycloak"));
        let none = RawResponse::from_text("<a/>").unwrap();
        assert_eq!(none.issuer_guess(), None);
    }
}
