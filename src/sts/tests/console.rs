//! The way to the console against an endpoint that answers what it is told.

use std::time::Duration;

use url::Url;

use super::server::{Reply, Server};
use crate::model::{Credentials, Partition, Secret};
use crate::sts::console::{Federation, FederationError, MOST};

const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const SESSION_TOKEN: &str = "FwoG+a/session=token";

fn credentials() -> Credentials {
    Credentials {
        access_key_id: "ASIAEXAMPLE".to_owned(),
        secret_access_key: Secret::new(SECRET_KEY.to_owned()),
        session_token: Secret::new(SESSION_TOKEN.to_owned()),
        issued_at: "2026-01-02T03:04:05Z".parse().unwrap(),
        expires_at: "2026-01-02T04:04:05Z".parse().unwrap(),
    }
}

fn federation(endpoint: Option<&str>) -> Federation {
    let endpoint = endpoint.map(|url| url.parse().unwrap());
    Federation::new("https://gate.example.org/login".to_owned(), endpoint)
}

async fn ask(reply: Reply) -> (Result<Secret, FederationError>, Server) {
    let server = Server::start(vec![reply]).await;
    let federation = federation(Some(&server.url));
    let answer = federation.sign_in_url(Partition::Aws, &credentials()).await;
    (answer, server)
}

fn good() -> Reply {
    Reply::Answer(200, r#"{"SigninToken":"a+token/of&AWS="}"#.to_owned())
}

#[tokio::test]
async fn a_url_carries_the_token_and_the_request_s_own_url_nothing() {
    let (url, server) = ask(good()).await;
    let url: Url = url.unwrap().expose().parse().unwrap();
    assert_eq!(url.path(), "/federation");
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        pairs,
        [
            pair("Action", "login"),
            pair("Issuer", "https://gate.example.org/login"),
            pair("Destination", "https://console.aws.amazon.com/"),
            pair("SigninToken", "a+token/of&AWS="),
        ]
    );
    let request = &server.requests()[0];
    assert!(
        request.starts_with("POST /federation HTTP/1.1\r\n"),
        "{request}"
    );
    let form = server.form(0);
    assert_eq!(form[0], pair("Action", "getSigninToken"));
    assert_eq!(form.len(), 2, "no SessionDuration: {form:?}");
    let session: serde_json::Value = serde_json::from_str(&form[1].1).unwrap();
    let wanted = serde_json::json!({ "sessionId": "ASIAEXAMPLE", "sessionKey": SECRET_KEY,
        "sessionToken": SESSION_TOKEN });
    assert_eq!(session, wanted);
}

#[tokio::test]
async fn each_partition_has_its_console_or_none() {
    let server = Server::start(vec![good(), good(), good()]).await;
    let federation = federation(Some(&server.url));
    for (partition, console) in [
        (Partition::Aws, "https%3A%2F%2Fconsole.aws.amazon.com%2F"),
        (
            Partition::AwsUsGov,
            "https%3A%2F%2Fconsole.amazonaws-us-gov.com%2F",
        ),
        (Partition::AwsCn, "https%3A%2F%2Fconsole.amazonaws.cn%2F"),
    ] {
        let url = federation.sign_in_url(partition, &credentials()).await;
        assert!(url.unwrap().expose().contains(console), "{console}");
    }
    for partition in [Partition::AwsEusc, Partition::AwsIso, Partition::AwsIsoF] {
        let error = federation.sign_in_url(partition, &credentials()).await;
        let error = error.unwrap_err();
        assert_eq!(error, FederationError::NoConsole(partition));
        let text = error.to_string();
        assert!(text.contains("no console is known for partition"), "{text}");
        assert!(text.contains(partition.as_str()), "{text}");
    }
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn what_is_no_token_is_told_apart_and_nothing_is_repeated() {
    let echo = format!("{SECRET_KEY} {SESSION_TOKEN}");
    let long = format!("{{\"SigninToken\":\"{}\"}}", "x".repeat(MOST));
    let none = FederationError::BadAnswer("it holds no SigninToken");
    for (reply, wanted) in [
        (
            Reply::Answer(400, echo.clone()),
            FederationError::Refused(400),
        ),
        (
            Reply::Answer(403, echo.clone()),
            FederationError::Refused(403),
        ),
        (
            Reply::Answer(429, echo.clone()),
            FederationError::Unavailable(429),
        ),
        (
            Reply::Answer(503, echo.clone()),
            FederationError::Unavailable(503),
        ),
        (
            Reply::Answer(302, echo.clone()),
            FederationError::BadAnswer("its status is not 200"),
        ),
        (Reply::Answer(200, echo), none.clone()),
        (
            Reply::Answer(200, r#"{"SigninToken":""}"#.to_owned()),
            none.clone(),
        ),
        (Reply::Answer(200, "{}".to_owned()), none),
        (
            Reply::Answer(200, long),
            FederationError::BadAnswer("it is too long"),
        ),
    ] {
        let (answer, server) = ask(reply).await;
        let error = answer.unwrap_err();
        assert_eq!(error, wanted);
        let text = format!("{error} {error:?}");
        assert!(
            !text.contains(SECRET_KEY) && !text.contains(SESSION_TOKEN),
            "{text}"
        );
        assert_eq!(
            server.requests().len(),
            1,
            "no redirect is followed, nothing sent twice"
        );
    }
    for reply in [Reply::Drop, Reply::Cut] {
        let error = ask(reply).await.0.unwrap_err();
        assert!(matches!(error, FederationError::Unreachable(_)), "{error}");
        assert!(!error.to_string().contains(SECRET_KEY));
    }
    assert!(ask(good()).await.0.is_ok());
}

#[tokio::test]
async fn a_silent_endpoint_is_given_up() {
    let server = Server::start(vec![good(), Reply::Hang, good()]).await;
    let mut federation = federation(Some(&server.url));
    // The first call makes the client, which may take longer than the patience of the second.
    let url = federation.sign_in_url(Partition::Aws, &credentials()).await;
    url.unwrap();
    federation.patience = Duration::from_secs(1);
    let error = federation.sign_in_url(Partition::Aws, &credentials()).await;
    assert_eq!(error.unwrap_err(), FederationError::TimedOut);
    assert_eq!(server.requests().len(), 2, "nothing is sent twice");
}
