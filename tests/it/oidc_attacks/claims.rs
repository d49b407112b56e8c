//! What claims say of the person: subject, user name, duration.

use serde_json::{Value, json};

use super::stage::Stage;
use super::tokens::{bad, good, hold};
use crate::parts::rogue_provider::Draft;

fn claim(name: &'static str, value: Value) -> impl Fn(&mut Draft) {
    move |draft| draft.claims[name] = value.clone()
}

fn without(names: &'static [&'static str]) -> impl Fn(&mut Draft) {
    move |draft| {
        let claims = draft.claims.as_object_mut().unwrap();
        claims.retain(|name, _| !names.contains(&name.as_str()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subject_is_a_text_of_its_length() {
    let stage = Stage::set().await;
    let malformed = "claims_malformed";
    let cases = vec![
        bad("no sub", malformed, without(&["sub"])),
        bad("an empty sub", malformed, claim("sub", json!(""))),
        bad("a number", malformed, claim("sub", json!(1_234_567_890))),
        bad("null", malformed, claim("sub", Value::Null)),
        bad("an array", malformed, claim("sub", json!(["1234567890"]))),
        bad("too long", malformed, claim("sub", json!("x".repeat(256)))),
        good("as long as may be", claim("sub", json!("x".repeat(255)))),
        bad("not ASCII", malformed, claim("sub", json!("1234\u{e9}"))),
        bad("a line feed", malformed, claim("sub", json!("1234\n5678"))),
    ];
    hold(&stage, cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_name_is_one_or_the_sign_in_is_refused() {
    let stage = Stage::set().await;
    let name = |value: Value| claim("aws_role_session_name", value);
    let nameless = |email: Value, verified: Value, sub: &'static str| {
        move |draft: &mut Draft| {
            draft.claims["email"] = email.clone();
            draft.claims["email_verified"] = verified.clone();
            draft.claims["sub"] = json!(sub);
            let claims = draft.claims.as_object_mut().unwrap();
            claims.remove("aws_role_session_name");
        }
    };
    let cases = vec![
        bad("a line feed", "user_name", name(json!("alice\n"))),
        bad("two lines", "user_name", name(json!("alice\nevent=forged"))),
        bad("a slash", "user_name", name(json!("alice/admin"))),
        bad("a colon", "user_name", name(json!("idp:alice"))),
        bad("a blank", "user_name", name(json!(" alice"))),
        bad("Cyrillic", "user_name", name(json!("\u{430}lice"))),
        bad("full width", "user_name", name(json!("\u{ff41}lice"))),
        bad(
            "a zero width joiner",
            "user_name",
            name(json!("ali\u{200d}ce")),
        ),
        bad("a combining sign", "user_name", name(json!("alice\u{301}"))),
        bad("NUL", "user_name", name(json!("alice\0"))),
        bad("one character", "user_name", name(json!("a"))),
        bad("too long", "user_name", name(json!("a".repeat(65)))),
        bad("empty", "user_name", name(json!(""))),
        bad("a number", "user_name", name(json!(42))),
        bad("an array", "user_name", name(json!(["alice"]))),
        bad("an object", "user_name", name(json!({ "name": "alice" }))),
        bad("true", "user_name", name(json!(true))),
        good("as long as may be", name(json!("a".repeat(64)))),
        good("alice", name(json!("alice"))),
        good(
            "by mail",
            nameless(json!("alice@example.org"), json!(true), "x|1"),
        ),
        good(
            "by mail, said in text",
            nameless(json!("alice@example.org"), json!("true"), "x|1"),
        ),
        bad(
            "a mail that nobody verified",
            "user_name",
            nameless(json!("alice@example.org"), json!(false), "x|1"),
        ),
        bad(
            "a mail verified by 1",
            "user_name",
            nameless(json!("alice@example.org"), json!(1), "x|1"),
        ),
        bad(
            "a mail that says nothing",
            "user_name",
            nameless(json!("alice@example.org"), Value::Null, "x|1"),
        ),
        bad(
            "a mail that is none",
            "user_name",
            nameless(json!("alice/x@example.org"), json!(true), "x1"),
        ),
        good("by sub", nameless(Value::Null, Value::Null, "alice")),
    ];
    hold(&stage, cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_that_nobody_verified_speaks_for_nobody() {
    let stage = Stage::set().await;
    stage
        .rogue
        .person(json!({ "sub": "s-1", "email": "alice@example.org", "email_verified": false }));
    let me = stage.sign_in().await;
    assert_eq!(me.json()["user"], "s-1", "{}", me.text);
    stage
        .rogue
        .person(json!({ "sub": "s-1", "email": "alice@example.org", "email_verified": true }));
    let me = stage.sign_in().await;
    assert_eq!(me.json()["user"], "alice@example.org", "{}", me.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duration_is_one_or_the_sign_in_is_refused() {
    let stage = Stage::set().await;
    let duration = |value: Value| claim("aws_session_duration", value);
    let code = "session_duration";
    let cases = vec![
        bad("too short", code, duration(json!(899))),
        bad("too long", code, duration(json!(43_201))),
        bad("a fraction", code, duration(json!(3600.5))),
        bad("negative", code, duration(json!(-3600))),
        bad("a word", code, duration(json!("hour"))),
        bad("a sign", code, duration(json!("+3600"))),
        bad("true", code, duration(json!(true))),
        bad("an array", code, duration(json!([3600]))),
        good("a number", duration(json!(3600))),
        good("digits", duration(json!("3600"))),
        good("nothing", duration(Value::Null)),
    ];
    hold(&stage, cases).await;
}
