//! Standard output, standard error, tables and the log.

use std::io::{IsTerminal, Write};

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;
use tracing::Dispatch;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt, registry};

use crate::app::Traces;
use crate::model::TRACES;

/// Prints a line of the result. A reader that went away is none of our trouble.
pub(super) fn line(text: &str) {
    print(&mut std::io::stdout().lock(), text);
}

/// Prints a line beside the result.
pub(super) fn note(text: &str) {
    print(&mut std::io::stderr().lock(), text);
}

/// Byte for byte where a program reads on; what a terminal would obey, it is shown.
fn print(to: &mut (impl Write + IsTerminal), text: &str) {
    let _gone = if to.is_terminal() {
        writeln!(to, "{}", visible(text))
    } else {
        writeln!(to, "{text}")
    };
}

/// `text` with the signs that move a cursor, or turn the order of reading, written as JSON writes them: names and
/// reasons that others chose could hold some.
fn visible(text: &str) -> String {
    use std::fmt::Write as _;

    let obeyed = |sign: char| {
        let turns = matches!(sign, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        turns || sign.is_control() && !matches!(sign, '\n' | '\t')
    };
    let mut shown = String::with_capacity(text.len());
    for sign in text.chars() {
        if obeyed(sign) {
            let _written = write!(shown, "\\u{:04x}", u32::from(sign));
        } else {
            shown.push(sign);
        }
    }
    shown
}

/// Prints what went wrong.
pub(super) fn error(text: &str) {
    note(&format!("rolegate: {text}"));
}

/// Prints `value` as JSON.
pub(super) fn json(value: &impl Serialize) -> Result<(), serde_json::Error> {
    line(&serde_json::to_string_pretty(value)?);
    Ok(())
}

/// Prints rows under their headings.
pub(super) fn table(headings: &[&str], rows: Vec<Vec<String>>) {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_header(headings.iter().copied());
    if std::io::stdout().is_terminal() {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    for row in rows {
        table.add_row(row);
    }
    line(&table.trim_fmt());
}

/// Starts the log: JSON lines on standard error, as `RUST_LOG` says or at `info`; and `traces`, where there are some.
pub(super) fn start_logging(traces: Option<&Traces>) {
    let words = std::env::var("RUST_LOG").ok();
    // A second start in one process, as in the demo, keeps the first.
    let _already = dispatch(levels(words.as_deref()), traces, std::io::stderr).try_init();
}

/// What the log takes; of the spans of traces nothing, so that where there are no traces none is made.
fn levels(words: Option<&str>) -> Targets {
    let written = words.and_then(|words| words.parse::<Targets>().ok());
    let default = || {
        Targets::new()
            .with_default(LevelFilter::INFO)
            .with_target("sqlx", LevelFilter::WARN)
            .with_target("actix_server", LevelFilter::WARN)
    };
    written
        .unwrap_or_else(default)
        .with_target(TRACES, LevelFilter::OFF)
}

fn dispatch<W>(levels: Targets, traces: Option<&Traces>, writer: W) -> Dispatch
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // The last word on what nobody takes: a library that only asks whether a line would be taken, as sqlx does of
    // PostgreSQL's notices, otherwise has the layer's own filter swallow the line that comes next.
    let spans = traces.map_or(LevelFilter::OFF, |_| LevelFilter::TRACE);
    let taken = levels.clone().with_target(TRACES, spans);
    let log = fmt::layer().json().with_writer(writer);
    let log = registry().with(log.with_filter(levels));
    // Not `with(None)`: a layer that does nothing would still have every span made.
    match traces {
        Some(traces) => log.with(traces.layer()).with(taken).into(),
        None => log.with(taken).into(),
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    fn is_made(traces: Option<&Traces>) -> bool {
        let dispatch = dispatch(levels(Some("trace")), traces, std::io::sink);
        let made = || !tracing::info_span!(target: TRACES, "a span").is_disabled();
        tracing::dispatcher::with_default(&dispatch, made)
    }

    #[test]
    fn a_terminal_is_shown_what_it_would_obey() {
        assert_eq!(
            visible("a\u{1b}[2Jb\u{9b}c\u{202e}d\r"),
            "a\\u001b[2Jb\\u009bc\\u202ed\\u000d"
        );
        let plain = "Zürich\t\"ü\"\nline";
        assert_eq!(visible(plain), plain);
    }

    #[test]
    fn a_question_whether_a_line_would_be_taken_swallows_no_other() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let writer = std::sync::Mutex::new(file.reopen().unwrap());
        tracing::dispatcher::with_default(&dispatch(levels(None), None, writer), || {
            assert!(!tracing::enabled!(target: "sqlx::postgres::notice", Level::DEBUG));
            tracing::info!(event = "serving", "the line after");
        });
        let log = std::fs::read_to_string(file.path()).unwrap();
        assert!(log.contains("the line after"), "{log:?}");
    }

    #[tokio::test]
    async fn spans_are_made_for_traces_and_for_nobody_else() {
        let settings = crate::config::Telemetry {
            endpoint: "http://127.0.0.1:9/v1/traces".parse().unwrap(),
            headers_file: None,
            sample_ratio: 1.0,
            service_name: "rolegate".to_owned(),
        };
        assert!(!is_made(None));
        let traces = Traces::start(&settings);
        assert!(is_made(Some(&traces)), "the positive twin");
        traces.stop().await;
    }

    #[test]
    fn the_log_is_at_info_unless_it_is_told_otherwise() {
        let takes = |words, target, level| levels(words).would_enable(target, &level);
        assert!(takes(None, "rolegate::app", Level::INFO));
        assert!(!takes(None, "rolegate::app", Level::DEBUG));
        assert!(!takes(None, "sqlx::query", Level::INFO));
        assert!(takes(Some("rolegate=debug"), "rolegate::app", Level::DEBUG));
        assert!(!takes(Some("rolegate=debug"), "hyper", Level::ERROR));
        assert!(takes(Some("no level=="), "rolegate::app", Level::INFO));
        assert!(!takes(Some("trace"), TRACES, Level::ERROR));
    }
}
