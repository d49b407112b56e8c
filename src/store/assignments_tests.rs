//! Assignments, against a database in a temporary folder.

use super::*;
use crate::store::SessionState;
use crate::store::testing::{Bench, TestSignIn, idp, person, role};

fn assignment(bench: &Bench, user: &str, roles: &[&str]) -> Assignment {
    Assignment {
        person: person("okta", user),
        roles: roles.iter().map(|name| role(name)).collect(),
        by: "local:root".to_owned(),
        reason: Some("the IdP cannot yet".to_owned()),
        at: bench.at(0),
    }
}

fn refused() -> crate::model::RefusedOffer {
    crate::model::RefusedOffer {
        value: "nonsense".to_owned(),
        reason: crate::model::OfferRefusal::NotAPair,
    }
}

fn roles_of(parts: &SubjectParts) -> Vec<&str> {
    parts.offers.iter().map(|offer| offer.role.name()).collect()
}

async fn told(store: &Store, position: &mut i64) -> usize {
    let news = store.arrivals(*position).await.unwrap();
    *position = news.position;
    news.persons.unwrap().len()
}

#[tokio::test]
async fn setting_and_removing_give_the_one_before_and_are_told_elsewhere() {
    let bench = Bench::new();
    let (store, elsewhere) = (bench.open().await, bench.open().await);
    let mut here = store.last_arrival().await.unwrap();
    let mut there = here;
    let one = assignment(&bench, "ann", &["reader"]);
    let two = assignment(&bench, "ann", &["writer", "reader"]);
    assert_eq!(store.assignment(&one.person).await.unwrap(), None);
    assert_eq!(store.set_assignment(&one).await.unwrap(), None);
    assert_eq!(store.set_assignment(&two).await.unwrap(), Some(one.clone()));
    assert_eq!(told(&store, &mut here).await, 2);
    assert_eq!(told(&elsewhere, &mut there).await, 2);
    let namesake = person("entra", "ann");
    assert_eq!(store.assignment(&namesake).await.unwrap(), None);
    assert_eq!(store.remove_assignment(&namesake).await.unwrap(), None);
    assert_eq!(told(&store, &mut here).await, 0);
    assert_eq!(
        elsewhere.assignment(&one.person).await.unwrap(),
        Some(two.clone())
    );
    assert_eq!(
        store.remove_assignment(&one.person).await.unwrap(),
        Some(two)
    );
    assert_eq!(store.remove_assignment(&one.person).await.unwrap(), None);
    assert_eq!(told(&elsewhere, &mut there).await, 1);
}

#[tokio::test]
async fn assignments_are_listed_by_user_and_idp_in_pages() {
    let bench = Bench::new();
    let store = bench.open().await;
    for (name, user) in [("okta", "bob"), ("okta", "ann"), ("entra", "bob")] {
        let mut made = assignment(&bench, "ann", &["reader"]);
        made.person = person(name, user);
        store.set_assignment(&made).await.unwrap();
    }
    let list = async |user: Option<&str>, name: Option<&str>, after: Option<&Person>, limit| {
        let filter = AssignmentFilter {
            user: user.map(|user| user.parse().unwrap()),
            idp: name.map(idp),
        };
        let found = store.assignments(&filter, after, limit).await.unwrap();
        found.into_iter().map(|one| one.person).collect::<Vec<_>>()
    };
    let (ann, bob) = (person("okta", "ann"), person("okta", "bob"));
    let other = person("entra", "bob");
    let all = vec![ann.clone(), other.clone(), bob.clone()];
    assert_eq!(list(None, None, None, 10).await, all);
    assert_eq!(list(None, None, None, 2).await, all[..2]);
    assert_eq!(list(None, None, Some(&other), 2).await, all[2..]);
    assert_eq!(list(Some("bob"), None, None, 9).await, all[1..]);
    assert_eq!(
        list(None, Some("okta"), None, 9).await,
        vec![ann, bob.clone()]
    );
    assert_eq!(list(Some("bob"), Some("okta"), None, 9).await, vec![bob]);
    assert_eq!(list(Some("eve"), None, None, 9).await, vec![]);
}

#[tokio::test]
async fn a_session_without_any_role_value_has_what_is_assigned() {
    let bench = Bench::new();
    let store = bench.open().await;
    let open = bench.new_session(SessionState::Confirmed);
    let sign_in = TestSignIn::new("a").without_roles();
    let session = bench.open_as(&store, sign_in, open).await;
    let id = session.session();
    assert!(!session.parts().assigned && session.parts().offers.is_empty());

    let set = assignment(&bench, "ann", &["writer", "reader", "writer"]);
    store.set_assignment(&set).await.unwrap();
    let ann = person("okta", "ann");
    for live in [
        store.session(id).await.unwrap().unwrap(),
        store.newest_session(&ann).await.unwrap().unwrap(),
    ] {
        assert!(live.subject.parts().assigned);
        assert_eq!(roles_of(live.subject.parts()), ["writer", "reader"]);
    }
    // The one who signs in next has them at once, and nothing was overwritten.
    let fresh = store
        .accept(TestSignIn::new("b").without_roles(), None)
        .await;
    let open = bench.new_session(SessionState::Confirmed);
    let opened = store.open_session(fresh.unwrap(), open).await.unwrap();
    assert!(opened.live.subject.parts().assigned);
    assert_eq!(opened.overwritten, None);
    assert_eq!(store.assignment(&ann).await.unwrap(), Some(set));
    // Another person has nothing of it.
    let other = TestSignIn::new("c")
        .without_roles()
        .by(person("entra", "ann"));
    let open = bench.new_session(SessionState::Confirmed);
    let other = bench.open_as(&store, other, open).await;
    assert!(!other.parts().assigned && other.parts().offers.is_empty());

    store.remove_assignment(&ann).await.unwrap();
    let live = store.session(id).await.unwrap().unwrap();
    assert!(!live.subject.parts().assigned && live.subject.parts().offers.is_empty());
}

#[tokio::test]
async fn any_role_value_ends_the_assignment_with_the_session_that_it_opens() {
    let bad_alone = |mut sign_in: TestSignIn| {
        sign_in.parts.refused_offers.push(refused());
        sign_in
    };
    for (sign_in, roles) in [
        (TestSignIn::new("b"), vec!["reader"]),
        (bad_alone(TestSignIn::new("b").without_roles()), vec![]),
    ] {
        for state in [SessionState::Confirmed, SessionState::Pending] {
            let bench = Bench::new();
            let store = bench.open().await;
            let set = assignment(&bench, "ann", &["writer"]);
            store.set_assignment(&set).await.unwrap();
            let open = bench.new_session(SessionState::Confirmed);
            let empty = TestSignIn::new("a").without_roles();
            let before = bench.open_as(&store, empty, open).await;
            let mut at = store.last_arrival().await.unwrap();

            let mut again = TestSignIn::new("b");
            again.parts = sign_in.parts.clone();
            let fresh = store.accept(again, None).await.unwrap();
            let open = bench.new_session(state);
            let opened = store.open_session(fresh, open).await.unwrap();
            assert_eq!(opened.overwritten, Some(set.clone()));
            assert!(!opened.live.subject.parts().assigned);
            assert_eq!(roles_of(opened.live.subject.parts()), roles);
            assert!(told(&store, &mut at).await > 0);
            assert_eq!(store.assignment(&set.person).await.unwrap(), None);
            // The sessions from before lose it too.
            let live = store.session(before.session()).await.unwrap().unwrap();
            assert!(!live.subject.parts().assigned && live.subject.parts().offers.is_empty());
        }
    }
}

#[tokio::test]
async fn a_session_with_a_role_value_takes_no_assignment() {
    let bench = Bench::new();
    let store = bench.open().await;
    let good = bench.session(&store, "a").await;
    let mut bad = TestSignIn::new("b").without_roles();
    bad.parts.refused_offers.push(refused());
    let open = bench.new_session(SessionState::Confirmed);
    let bad = bench.open_as(&store, bad, open).await;
    let set = assignment(&bench, "ann", &["writer"]);
    store.set_assignment(&set).await.unwrap();
    for (session, roles) in [(good, vec!["reader"]), (bad, vec![])] {
        let live = store.session(session.session()).await.unwrap().unwrap();
        assert!(!live.subject.parts().assigned);
        assert_eq!(roles_of(live.subject.parts()), roles);
    }
}

#[tokio::test]
async fn an_idp_without_assignments_neither_uses_nor_deletes_them() {
    let bench = Bench::new();
    let (with, without) = (
        bench.open().await,
        bench.open_without_assignments("okta").await,
    );
    let set = assignment(&bench, "ann", &["writer"]);
    with.set_assignment(&set).await.unwrap();
    let open = bench.new_session(SessionState::Confirmed);
    let empty = TestSignIn::new("a").without_roles();
    let session = bench.open_as(&without, empty, open).await;
    assert!(!session.parts().assigned && session.parts().offers.is_empty());
    let read = async |store: &Store| {
        let live = store.session(session.session()).await.unwrap().unwrap();
        live.subject.parts().assigned
    };
    assert!(!read(&without).await);
    assert!(read(&with).await);

    let fresh = without.accept(TestSignIn::new("b"), None).await.unwrap();
    let open = bench.new_session(SessionState::Confirmed);
    let opened = without.open_session(fresh, open).await.unwrap();
    assert_eq!(opened.overwritten, None);
    assert_eq!(without.assignment(&set.person).await.unwrap(), Some(set));
}

#[tokio::test]
async fn an_assignment_that_was_made_moved_or_changed_outside_is_damage() {
    for change in [
        "UPDATE assignments SET user_name = 'bob' WHERE user_name = 'ann'",
        "UPDATE assignments SET sealed = x'00112233'",
        "INSERT INTO assignments (user_name, idp, sealed)
         SELECT 'bob', 'okta', sealed FROM assignments WHERE user_name = 'ann'",
        "INSERT INTO assignments (user_name, idp, sealed)
         SELECT 'bob', 'okta', parts FROM sessions LIMIT 1",
        "INSERT INTO assignments (user_name, idp, sealed) VALUES ('bob', 'okta', 'text')",
    ] {
        let bench = Bench::new();
        let store = bench.open().await;
        let bob = person("okta", "bob");
        let sign_in = TestSignIn::new("a").without_roles().by(bob.clone());
        let open = bench.new_session(SessionState::Confirmed);
        let session = bench.open_as(&store, sign_in, open).await;
        let user = if change.contains("'ann'") {
            "ann"
        } else {
            "bob"
        };
        if !change.contains("sessions") && !change.contains("'text'") {
            let set = assignment(&bench, user, &["writer"]);
            store.set_assignment(&set).await.unwrap();
        }
        assert!(store.session(session.session()).await.is_ok());
        bench.tamper(change).await;
        let damaged = [
            store.session(session.session()).await.map(drop),
            store.newest_session(&bob).await.map(drop),
            store.assignment(&bob).await.map(drop),
            store
                .assignments(&AssignmentFilter::default(), None, 9)
                .await
                .map(drop),
        ];
        for result in damaged {
            assert!(
                matches!(result, Err(StoreError::Corrupt { .. })),
                "{change}"
            );
        }
    }
}

#[tokio::test]
async fn roles_author_and_reason_are_not_in_the_clear() {
    let bench = Bench::new();
    let store = bench.open().await;
    let set = assignment(&bench, "ann", &["a-role-in-the-clear"]);
    store.set_assignment(&set).await.unwrap();
    let text = bench.text_on_disk().await;
    let holds = |wanted: &str| text.contains(wanted);
    assert!(holds("ann"), "the search finds what is there");
    for text in ["a-role-in-the-clear", "local:root", "the IdP cannot yet"] {
        assert!(!holds(text), "{text}");
    }
}
