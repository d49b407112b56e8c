//! `[telemetry]`: what is taken, what is refused with which mend, and that nothing of the headers is printed.

use super::*;

const ENDPOINT: &str = "otlp_endpoint = \"https://collector.example.org:4318\"";

fn load(desk: &Desk, lines: &str) -> Result<Config, ConfigErrors> {
    desk.load_with(&format!("{LEAST}[telemetry]\n{lines}\n"), &[])
}

fn telemetry(lines: &str) -> Telemetry {
    load(&Desk::new(), lines).unwrap().telemetry.unwrap()
}

#[test]
fn an_endpoint_is_all_that_is_needed() {
    let told = telemetry(ENDPOINT);
    let url = "https://collector.example.org:4318/v1/traces";
    assert_eq!(told.endpoint.as_str(), url);
    assert_eq!(
        (told.service_name.as_str(), told.sample_ratio),
        ("rolegate", 0.1)
    );
    assert!(told.headers().unwrap().is_empty());
    assert!(Desk::new().load(LEAST).telemetry.is_none());
}

#[test]
fn every_key_is_taken_as_written() {
    for (ratio, is) in [("0", 0.0), ("1", 1.0), ("0.25", 0.25)] {
        let lines = format!("{ENDPOINT}\nsample_ratio = {ratio}\nservice_name = \"gate eu\"");
        let told = telemetry(&lines);
        assert!((told.sample_ratio - is).abs() < f64::EPSILON, "{ratio}");
        assert_eq!(told.service_name, "gate eu");
    }
    for (endpoint, is) in [
        ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
        (
            "https://otlp.example.org/otlp/",
            "https://otlp.example.org/otlp/v1/traces",
        ),
    ] {
        let told = telemetry(&format!("otlp_endpoint = \"{endpoint}\""));
        assert_eq!(told.endpoint.as_str(), is);
    }
}

#[test]
fn headers_are_read_anew_and_never_printed() {
    let desk = Desk::new();
    desk.write(
        "otlp.headers",
        "# a key\nX-Api-Key: hush-hush\n\nAuthorization:Bearer b\n",
    );
    let config = load(
        &desk,
        &format!("{ENDPOINT}\notlp_headers_file = \"otlp.headers\""),
    );
    let config = config.unwrap();
    assert!(!format!("{config:?}").contains("hush-hush"));
    let telemetry = config.telemetry.unwrap();
    let expected = [("X-Api-Key", "hush-hush"), ("Authorization", "Bearer b")];
    let expected = expected.map(|(name, value)| (name.to_owned(), Secret::new(value.to_owned())));
    assert_eq!(telemetry.headers().unwrap(), expected);
    desk.write("otlp.headers", "X-Api-Key hush-hush\n");
    let error = telemetry.headers().unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hush-hush"));
}

#[test]
fn what_could_not_be_sent_is_refused() {
    let desk = Desk::new();
    for (name, content) in [
        ("colon", "X-Api-Key hush"),
        ("name", "X Api Key: hush"),
        ("value", "X-Api-Key:"),
        ("sign", "X-Api-Key: h\u{fc}sh"),
        ("host", "Host: elsewhere"),
    ] {
        desk.write(name, content);
        let lines = format!("{ENDPOINT}\notlp_headers_file = \"{name}\"");
        let errors = load(&desk, &lines).unwrap_err();
        let [problem] = errors.problems() else {
            panic!("{errors}");
        };
        assert_eq!(problem.key, "telemetry.otlp_headers_file", "{name}");
        assert!(errors.to_string().contains("write a line `Name: value`"));
    }
    for (lines, key, mend) in [
        ("sample_ratio = 1", "otlp_endpoint", "otlp_endpoint = "),
        (
            "otlp_endpoint = \"http://collector.example.org:4318\"",
            "otlp_endpoint",
            "write https://",
        ),
        (
            "otlp_endpoint = \"https://collector.example.org/v1/traces\"",
            "otlp_endpoint",
            "which is added to it",
        ),
        (
            "otlp_endpoint = \"https://collector.example.org\"\nsample_ratio = 1.5",
            "sample_ratio",
            "is 1.5; write a number from 0 to 1",
        ),
        (
            "otlp_endpoint = \"https://collector.example.org\"\nsample_ratio = 2",
            "sample_ratio",
            "is 2; write a number from 0 to 1",
        ),
        (
            "otlp_endpoint = \"https://collector.example.org\"\nsample_ratio = \"0.5\"",
            "sample_ratio",
            "a number from 0 to 1",
        ),
        (
            "otlp_endpoint = \"https://collector.example.org\"\nservice_name = \"\"",
            "service_name",
            "the name of this gateway",
        ),
    ] {
        let errors = load(&desk, lines).unwrap_err();
        let [problem] = errors.problems() else {
            panic!("{errors}");
        };
        assert_eq!(problem.key, format!("telemetry.{key}"), "{lines}");
        assert!(errors.to_string().contains(mend), "{errors}");
    }
}
