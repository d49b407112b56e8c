//! What is refused before there is a document: the forms that are none, at a running gateway.
//!
//! Each carries a genuine response, so that the form alone is at issue, and each names its class. The
//! good twin, the same response posted as it should be, is taken at the end.

use std::io::Write;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::gateway::World;

const FORM: &str = "application/x-www-form-urlencoded";

/// Name, class, request, the status, and the code in the log where one is written.
type Post = (
    &'static str,
    &'static str,
    RequestBuilder,
    u16,
    &'static str,
);

/// The classes that [`posts`] shows.
pub(super) const SHOWN: &[&str] = &["XML-10", "XML-11", "XML-12", "WEB-05"];

fn posts(world: &World, good: &str) -> Vec<Post> {
    let acs = world.gateway.at("/saml/acs");
    let client = Client::new();
    let escaped = percent_encode(good.as_bytes(), NON_ALPHANUMERIC).to_string();
    let whole = format!("SAMLResponse={escaped}");
    let send = |content_type: &str, body: String| {
        let request = client.post(&acs).header("Content-Type", content_type);
        request.body(body)
    };
    let form = |body: String| send(FORM, body);
    let encoded = |coding: &str, body: Vec<u8>| {
        let request = client.post(&acs).header("Content-Type", FORM);
        request.header("Content-Encoding", coding).body(body)
    };
    let value = |text: String| form(format!("SAMLResponse={text}"));
    let asked = |method: Method| client.request(method, format!("{acs}?{whole}"));
    let xml = openssl::base64::decode_block(good).unwrap();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(whole.as_bytes()).unwrap();
    let mut deflated = DeflateEncoder::new(Vec::new(), Compression::default());
    deflated.write_all(&xml).unwrap();
    let deflated = openssl::base64::encode_block(&deflated.finish().unwrap());
    let deflated = percent_encode(deflated.as_bytes(), NON_ALPHANUMERIC).to_string();
    let part = format!(
        "--x\r\nContent-Disposition: form-data; name=\"SAMLResponse\"\r\n\r\n{good}\r\n--x--\r\n"
    );
    let url_alphabet = good.replace('+', "-").replace('/', "_");
    vec![
        (
            "twice",
            "XML-12",
            form(format!("{whole}&{whole}")),
            400,
            "repeated_parameter",
        ),
        (
            "second in disguise",
            "XML-12",
            form(format!("{whole}&%53AMLResponse=AAAA")),
            400,
            "repeated_parameter",
        ),
        (
            "empty first",
            "XML-12",
            form(format!("SAMLResponse=&{whole}")),
            400,
            "repeated_parameter",
        ),
        (
            "two relay states",
            "XML-12",
            form(format!("{whole}&RelayState=/a&RelayState=/b")),
            400,
            "repeated_parameter",
        ),
        (
            "as an array",
            "XML-12",
            form(format!("SAMLResponse[]={escaped}")),
            400,
            "no_response",
        ),
        (
            "lower case",
            "XML-12",
            form(format!("samlresponse={escaped}")),
            400,
            "no_response",
        ),
        (
            "NUL in the name",
            "XML-12",
            form(format!("SAMLResponse%00={escaped}")),
            400,
            "no_response",
        ),
        (
            "semicolon",
            "XML-12",
            form(format!("a=b;{whole}")),
            400,
            "no_response",
        ),
        (
            "as a request",
            "XML-12",
            form(format!("SAMLRequest={escaped}")),
            400,
            "no_response",
        ),
        (
            "artifact",
            "XML-12",
            form("SAMLart=AAQAAMFbLinlXaCM".to_owned()),
            400,
            "no_response",
        ),
        ("empty", "XML-12", form(String::new()), 400, "no_response"),
        (
            "in the query too",
            "XML-12",
            client
                .post(format!("{acs}?{whole}"))
                .header("Content-Type", FORM)
                .body(whole.clone()),
            400,
            "",
        ),
        (
            "in the query alone",
            "XML-12",
            client
                .post(format!("{acs}?{whole}"))
                .header("Content-Type", FORM),
            400,
            "",
        ),
        (
            "multipart",
            "XML-12",
            send("multipart/form-data; boundary=x", part),
            400,
            "not_a_form",
        ),
        (
            "text",
            "XML-12",
            send("text/plain", whole.clone()),
            400,
            "not_a_form",
        ),
        (
            "JSON",
            "XML-12",
            send(
                "application/json",
                format!("{{\"SAMLResponse\":\"{good}\"}}"),
            ),
            400,
            "not_a_form",
        ),
        (
            "XML",
            "XML-12",
            send("application/samlassertion+xml", whole.clone()),
            400,
            "not_a_form",
        ),
        (
            "no type",
            "XML-12",
            client.post(&acs).body(whole.clone()),
            400,
            "not_a_form",
        ),
        (
            "bad escape",
            "XML-12",
            form(format!("{whole}&RelayState=%zz")),
            400,
            "bad_form",
        ),
        (
            "no text",
            "XML-12",
            form(format!("{whole}&RelayState=%ff%fe")),
            400,
            "bad_form",
        ),
        (
            "gzip",
            "XML-11",
            encoded("gzip", gzip.finish().unwrap()),
            400,
            "content_encoding",
        ),
        (
            "deflate",
            "XML-11",
            encoded("deflate", whole.clone().into()),
            400,
            "content_encoding",
        ),
        (
            "two codings",
            "XML-11",
            encoded("identity, gzip", whole.clone().into()),
            400,
            "content_encoding",
        ),
        (
            "unknown coding",
            "XML-11",
            encoded("x-rot13", whole.clone().into()),
            400,
            "content_encoding",
        ),
        (
            "not base64",
            "XML-11",
            value("%21%21%21%21".to_owned()),
            400,
            "not_base64",
        ),
        (
            "alphabet of URLs",
            "XML-11",
            value(format!("{url_alphabet}-_-_")),
            400,
            "not_base64",
        ),
        (
            "NUL behind",
            "XML-11",
            value(format!("{escaped}%00")),
            400,
            "not_base64",
        ),
        (
            "NUL in front",
            "XML-11",
            value(format!("%00{escaped}")),
            400,
            "not_base64",
        ),
        (
            "more padding",
            "XML-11",
            value(format!("{escaped}%3D%3D%3D%3D")),
            400,
            "not_base64",
        ),
        (
            "address of data",
            "XML-11",
            value(format!("data%3Atext%2Fxml%3Bbase64%2C{escaped}")),
            400,
            "not_base64",
        ),
        (
            "escaped twice",
            "XML-11",
            value(percent_encode(escaped.as_bytes(), NON_ALPHANUMERIC).to_string() + "%2525"),
            400,
            "not_base64",
        ),
        (
            "form feed",
            "XML-11",
            value(format!("%0C{escaped}")),
            400,
            "not_base64",
        ),
        (
            "as for a redirect",
            "XML-11",
            value(deflated),
            403,
            "not_utf8",
        ),
        (
            "longer than STS takes",
            "XML-10",
            value("A".repeat(100_004)),
            400,
            "too_long",
        ),
        (
            "body of 300 KB",
            "XML-10",
            form(format!("{whole}&x={}", "x".repeat(300_000))),
            413,
            "",
        ),
        (
            "200,000 parameters",
            "XML-10",
            form("&".repeat(200_000)),
            400,
            "no_response",
        ),
        ("GET", "WEB-05", asked(Method::GET), 405, ""),
        ("HEAD", "WEB-05", asked(Method::HEAD), 405, ""),
        ("PUT", "WEB-05", asked(Method::PUT), 405, ""),
        (
            "another method by header",
            "WEB-05",
            client.get(&acs).header("X-HTTP-Method-Override", "POST"),
            405,
            "",
        ),
    ]
}

/// The codes of the refusals in the log, in order.
pub(super) fn codes(world: &World) -> Vec<String> {
    let log = world.gateway.log();
    let lines = log.lines().map(|line| {
        serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("no line of the log: {line}"))
    });
    lines
        .filter(|line| line["fields"]["event"] == "sign_in_refused")
        .map(|line| line["fields"]["code"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_form_with_one_response_is_refused_for_what_it_is() {
    let world = World::start().await;
    let good = world.response();
    let mut expected = Vec::new();
    for (name, id, request, status, code) in posts(&world, &good) {
        assert!(SHOWN.contains(&id), "{name}: {id} is not listed");
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{name}");
        expected.extend((!code.is_empty()).then(|| code.to_owned()));
        let log = world.gateway.log();
        assert!(
            code.is_empty() || log.contains(&format!("\"{code}\"")),
            "{name}: {log}"
        );
    }
    assert_eq!(codes(&world), expected);
    assert!(world.sts.calls().is_empty(), "nothing refused reaches STS");
    assert_eq!(world.post(&good).await.0, StatusCode::OK, "the good twin");
}

/// What the gateway answers to these bytes.
async fn raw(world: &World, head: &str, body: &str) -> String {
    let url = world.gateway.at("");
    let address = url.trim_start_matches("http://");
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let text = format!(
        "POST /saml/acs HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nAccept: application/json\r\n{head}\r\n{body}"
    );
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    // A gateway that closes while we still write resets the connection: what it said counts.
    let _reset = stream.read_to_string(&mut answer).await;
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_say_their_length_twice_are_refused_and_chunks_are_not() {
    let world = World::start().await;
    let escaped = |good: String| percent_encode(good.as_bytes(), NON_ALPHANUMERIC).to_string();
    let body = format!("SAMLResponse={}", escaped(world.response()));
    let typed = format!("Content-Type: {FORM}\r\n");
    let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let coded = format!("{typed}Transfer-Encoding: chunked\r\n");
    for (name, head, body) in [
        (
            "two lengths",
            format!(
                "{typed}Content-Length: 5\r\nContent-Length: {}\r\n",
                body.len()
            ),
            body.clone(),
        ),
        (
            "chunks of gzip",
            format!("{typed}Transfer-Encoding: gzip, chunked\r\nContent-Encoding: gzip\r\n"),
            chunked.clone(),
        ),
        (
            "a chunk of no number",
            coded.clone(),
            format!("zz\r\n{body}\r\n0\r\n\r\n"),
        ),
        (
            "two types",
            format!(
                "Content-Type: text/plain\r\n{typed}Content-Length: {}\r\n",
                body.len()
            ),
            body.clone(),
        ),
        (
            "two codings",
            format!(
                "{typed}Content-Encoding: gzip\r\nContent-Encoding: identity\r\nContent-Length: {}\r\n",
                body.len()
            ),
            body.clone(),
        ),
    ] {
        let answer = raw(&world, &head, &body).await;
        assert!(!answer.contains("session_token"), "{name}: {answer}");
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{name}: {answer}"
        );
    }
    let endless = format!("{:x}\r\n{}\r\n0\r\n\r\n", 300_000, "x".repeat(300_000));
    let answer = raw(&world, &coded, &endless).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 413"),
        "{answer}"
    );
    let answer = raw(&world, &coded, &chunked).await;
    assert!(
        answer.starts_with("HTTP/1.1 200"),
        "the good twin: {answer}"
    );
}
