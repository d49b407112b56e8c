//! What a response says: good by default, and free to be made bad field by field.

use chrono::{DateTime, TimeDelta, Utc};

use super::Inner;
use crate::model::hex;

const ATTRIBUTES: &str = "https://aws.amazon.com/SAML/Attributes/";
const PERSISTENT: &str = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent";
const SUCCESS: &str = "urn:oasis:names:tc:SAML:2.0:status:Success";

/// What is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// The Assertion.
    Assertion,
    /// The Response.
    Response,
    /// Each, the Assertion first.
    Both,
    /// Nothing.
    None,
}

/// Everything that a response says. What is `None` or empty is left out of the document.
#[derive(Debug, Clone)]
pub struct ResponsePlan {
    /// NameID.
    pub name_id: String,
    /// NameID's Format; empty leaves the attribute out.
    pub name_id_format: String,
    /// The Issuer of Response and Assertion.
    pub issuer: String,
    /// InResponseTo of the Response and of the SubjectConfirmationData.
    pub in_response_to: Option<String>,
    /// IssueInstant of the Assertion.
    pub issue_instant: DateTime<Utc>,
    /// IssueInstant of the Response, where it is another.
    pub response_issue_instant: Option<DateTime<Utc>>,
    /// The audiences of the one AudienceRestriction; without any there is no restriction.
    pub audiences: Vec<String>,
    /// Further AudienceRestrictions.
    pub further_audiences: Vec<Vec<String>>,
    /// Recipient of the SubjectConfirmationData; empty leaves the attribute out.
    pub recipient: String,
    /// Destination of the Response.
    pub destination: Option<String>,
    /// NotBefore of the Conditions.
    pub not_before: DateTime<Utc>,
    /// NotOnOrAfter of the Conditions.
    pub not_on_or_after: DateTime<Utc>,
    /// Whether there are Conditions at all.
    pub has_conditions: bool,
    /// NotOnOrAfter of the SubjectConfirmationData.
    pub confirmation_not_on_or_after: Option<DateTime<Utc>>,
    /// How many times the SubjectConfirmation stands there.
    pub confirmations: usize,
    /// SessionNotOnOrAfter of the AuthnStatement.
    pub session_not_on_or_after: Option<DateTime<Utc>>,
    /// What is signed.
    pub sign: Sign,
    /// The attributes, in this order.
    pub attributes: Vec<(String, Vec<String>)>,
    /// ID of the Assertion.
    pub assertion_id: String,
    /// ID of the Response.
    pub response_id: String,
    /// Value of the StatusCode.
    pub status: String,
}

impl ResponsePlan {
    /// Gives AWS's attribute `name`, such as `Role`, these values, and adds it if it is not there.
    pub fn set_aws_attribute(&mut self, name: &str, values: &[&str]) {
        let name = full(name);
        let values: Vec<String> = values.iter().map(|&value| value.to_owned()).collect();
        match self.attributes.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = values,
            None => self.attributes.push((name, values)),
        }
    }

    /// Takes AWS's attribute `name` out.
    pub fn remove_aws_attribute(&mut self, name: &str) {
        let name = full(name);
        self.attributes.retain(|(known, _)| *known != name);
    }

    /// Moves every time by `step`, as if the response had been made then.
    pub fn shift(&mut self, step: TimeDelta) {
        self.issue_instant += step;
        self.not_before += step;
        self.not_on_or_after += step;
        for time in [
            &mut self.response_issue_instant,
            &mut self.confirmation_not_on_or_after,
            &mut self.session_not_on_or_after,
        ] {
            *time = time.map(|time| time + step);
        }
    }
}

fn full(name: &str) -> String {
    format!("{ATTRIBUTES}{name}")
}

impl Inner {
    pub(super) fn plan(&self, user: &str) -> ResponsePlan {
        let settings = &self.settings;
        let now = settings.clock.now();
        let end = now + TimeDelta::minutes(5);
        ResponsePlan {
            name_id: user.to_owned(),
            name_id_format: PERSISTENT.to_owned(),
            issuer: self.entity_id.clone(),
            in_response_to: None,
            issue_instant: now,
            response_issue_instant: None,
            audiences: vec![settings.sp_entity_id.clone()],
            further_audiences: Vec::new(),
            recipient: settings.acs_url.clone(),
            destination: Some(settings.acs_url.clone()),
            not_before: now - TimeDelta::seconds(30),
            not_on_or_after: end,
            has_conditions: true,
            confirmation_not_on_or_after: Some(end),
            confirmations: 1,
            session_not_on_or_after: Some(now + TimeDelta::hours(8)),
            sign: Sign::Assertion,
            attributes: self.attributes(user),
            assertion_id: self.id(),
            response_id: self.id(),
            status: SUCCESS.to_owned(),
        }
    }

    fn attributes(&self, user: &str) -> Vec<(String, Vec<String>)> {
        let users = &self.settings.users;
        let known = users.iter().find(|known| known.name == user);
        let Some(known) = known.or(users.first()) else {
            return Vec::new();
        };
        let mut attributes = vec![
            (full("Role"), known.roles.clone()),
            (
                full("RoleSessionName"),
                vec![known.role_session_name.clone()],
            ),
        ];
        let duration = known.session_duration.iter();
        attributes.extend(duration.map(|text| (full("SessionDuration"), vec![text.clone()])));
        attributes.extend(known.extra.iter().cloned());
        attributes
    }

    fn id(&self) -> String {
        let mut bytes = [0; 16];
        self.settings.entropy.fill(&mut bytes);
        format!("_{}", hex(&bytes))
    }
}
