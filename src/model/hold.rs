//! A hold: what an admin refuses until he releases it.

use std::fmt;

use chrono::{DateTime, Utc};

use super::{HoldId, IdpName, Person, RoleArn, RolePattern, TokenName, UserName};

/// What a hold refuses: whatever all of its fields fit. Without any field, everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HoldScope {
    /// A user of this name.
    pub user: Option<UserName>,
    /// At this IdP; with a user, that one person.
    pub idp: Option<IdpName>,
    /// These roles.
    pub role: Option<RolePattern>,
    /// Launchers of this name.
    pub launcher: Option<TokenName>,
}

impl HoldScope {
    /// Whether it refuses this person, with this role, through this launcher. What is not given fits no
    /// field that is: a sign-in has no role, so that a hold on a role lets it pass.
    pub fn covers(
        &self,
        person: Option<&Person>,
        role: Option<&RoleArn>,
        launcher: Option<&TokenName>,
    ) -> bool {
        let user = person.map(|person| &person.user);
        let idp = person.map(|person| &person.idp);
        self.covers_named(user, idp, role, launcher)
    }

    /// Whether it refuses everything.
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// As [`Self::covers`], of a user whose IdP may not be known.
    pub fn covers_named(
        &self,
        user: Option<&UserName>,
        idp: Option<&IdpName>,
        role: Option<&RoleArn>,
        launcher: Option<&TokenName>,
    ) -> bool {
        let is_role = |pattern: &RolePattern| role.is_some_and(|role| pattern.matches(role));
        self.user.as_ref().is_none_or(|held| user == Some(held))
            && self.idp.as_ref().is_none_or(|held| idp == Some(held))
            && self.role.as_ref().is_none_or(is_role)
            && self
                .launcher
                .as_ref()
                .is_none_or(|held| launcher == Some(held))
    }
}

impl fmt::Display for HoldScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = [
            ("user", self.user.as_ref().map(UserName::as_str)),
            ("idp", self.idp.as_ref().map(IdpName::as_str)),
            ("role", self.role.as_ref().map(RolePattern::as_str)),
            ("launcher", self.launcher.as_ref().map(TokenName::as_str)),
        ];
        let mut any = false;
        for (name, value) in fields {
            if let Some(value) = value {
                let space = if any { " " } else { "" };
                write!(f, "{space}{name} {value}")?;
                any = true;
            }
        }
        if any { Ok(()) } else { f.write_str("all") }
    }
}

/// A hold in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Its identifier.
    pub id: HoldId,
    /// What it refuses.
    pub scope: HoldScope,
    /// The admin's words.
    pub reason: String,
    /// Since when.
    pub created_at: DateTime<Utc>,
    /// Who placed it.
    pub created_by: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(idp: &str, user: &str) -> Person {
        Person {
            idp: idp.parse().unwrap(),
            user: user.parse().unwrap(),
        }
    }

    #[test]
    fn a_hold_refuses_what_all_its_fields_fit() {
        let role: RoleArn = "arn:aws:iam::123456789012:role/team/a".parse().unwrap();
        let other: RoleArn = "arn:aws:iam::123456789012:role/b".parse().unwrap();
        let nightly: TokenName = "nightly".parse().unwrap();
        let (ann, elsewhere) = (person("okta", "ann"), person("entra", "ann"));
        let all = HoldScope::default();
        assert!(all.covers(None, None, None) && all.covers(Some(&ann), Some(&role), None));

        let user = HoldScope {
            user: Some(ann.user.clone()),
            ..all.clone()
        };
        assert!(user.covers(Some(&ann), None, None) && user.covers(Some(&elsewhere), None, None));
        assert!(!user.covers(Some(&person("okta", "bob")), None, None));
        let one = HoldScope {
            idp: Some(ann.idp.clone()),
            ..user.clone()
        };
        assert!(one.covers(Some(&ann), Some(&role), Some(&nightly)));
        assert!(!one.covers(Some(&elsewhere), None, None));
        assert!(!one.covers(None, Some(&role), None));

        let team = HoldScope {
            role: Some("arn:aws:iam::123456789012:role/team/*".parse().unwrap()),
            ..all.clone()
        };
        assert!(team.covers(Some(&ann), Some(&role), None));
        assert!(!team.covers(Some(&ann), Some(&other), None));
        assert!(!team.covers(Some(&ann), None, None), "sign-ins pass");
        let launcher = HoldScope {
            launcher: Some(nightly.clone()),
            ..all.clone()
        };
        assert!(launcher.covers(Some(&ann), Some(&role), Some(&nightly)));
        assert!(!launcher.covers(Some(&ann), Some(&role), None));
        assert_eq!(
            (all.to_string(), one.to_string()),
            ("all".to_owned(), "user ann idp okta".to_owned())
        );
    }
}
