//! Who administers in a browser: `[admin]` held against a session, on every request.
//!
//! Trusts the session's sealed parts. Without `[admin]`, or without its IdP, nobody does.

use crate::config::Admin;
use crate::model::Subject;

/// The people of `[admin]`.
#[derive(Debug)]
pub struct Admins(Option<Admin>);

impl Admins {
    /// As configured.
    pub fn new(admin: Option<Admin>) -> Self {
        Self(admin)
    }

    /// Whether `subject` is of the admins' IdP and is listed, or all of `when` hold.
    pub fn include(&self, subject: &Subject) -> bool {
        let Some(admin) = &self.0 else {
            return false;
        };
        let parts = subject.parts();
        let person = &parts.person;
        if admin.idp.as_ref() != Some(&person.idp) {
            return false;
        }
        let has = |attribute: &str, wanted: &String| {
            let values = parts.attributes.get(attribute);
            values.is_some_and(|values| values.contains(wanted))
        };
        // No condition names nobody.
        let meets = !admin.when.is_empty()
            && admin
                .when
                .iter()
                .all(|(attribute, wanted)| has(attribute, wanted));
        admin.users.contains(&person.user) || meets
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::SessionState;
    use crate::store::testing::{Bench, TestSignIn, person};

    fn admin(users: &[&str], when: &[(&str, &str)]) -> Admins {
        Admins::new(Some(Admin {
            idp: Some("okta".parse().unwrap()),
            users: users.iter().map(|user| user.parse().unwrap()).collect(),
            when: when
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        }))
    }

    #[tokio::test]
    async fn admins_are_listed_or_meet_every_condition_at_their_idp() {
        let bench = Bench::new();
        let store = bench.open().await;
        let ann = bench.session(&store, "a").await;
        let name = ann.person().user.to_string();
        assert_eq!(ann.person().idp.as_str(), "okta");
        assert!(admin(&[&name], &[]).include(&ann));
        assert!(!admin(&["somebody"], &[]).include(&ann));
        assert!(!admin(&[], &[]).include(&ann), "no condition names nobody");
        let department = ("department", "hush-hush");
        assert!(admin(&[], &[department]).include(&ann));
        let both = [department, ("groups", "none-such")];
        assert!(!admin(&[], &both).include(&ann), "all must hold");
        assert!(!Admins::new(None).include(&ann));
        let elsewhere = TestSignIn::new("b").by(person("entra", &name));
        let open = bench.new_session(SessionState::Confirmed);
        let elsewhere = bench.open_as(&store, elsewhere, open).await;
        assert!(!admin(&[&name], &[]).include(&elsewhere), "another IdP's");
    }
}
