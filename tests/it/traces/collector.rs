//! A collector on loopback that takes traces by OTLP over HTTP, and remembers them as the protocol's own types.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

/// The server; it ends with the process.
pub(crate) struct Collector {
    pub(crate) url: String,
    got: Arc<Mutex<Got>>,
}

#[derive(Default)]
struct Got {
    heads: Vec<String>,
    bodies: Vec<Vec<u8>>,
    /// Those who are never answered.
    kept: Vec<TcpStream>,
}

impl Collector {
    /// One that takes everything.
    pub(crate) fn start() -> Self {
        Self::serve("127.0.0.1:0", true)
    }

    /// One that takes everything at `address`.
    pub(crate) fn start_at(address: &str) -> Self {
        Self::serve(address, true)
    }

    /// One that reads and never answers.
    pub(crate) fn silent() -> Self {
        Self::serve("127.0.0.1:0", false)
    }

    fn serve(address: &str, answers: bool) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let got = Arc::new(Mutex::new(Got::default()));
        let shared = Arc::clone(&got);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || meet(stream, &shared, answers));
            }
        });
        Self { url, got }
    }

    /// The heads of the posts so far, in small letters.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.got.lock().unwrap().heads.clone()
    }

    /// All bytes of the posts so far.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.got.lock().unwrap().bytes_of_all()
    }

    /// The spans so far.
    pub(crate) fn spans(&self) -> Spans {
        let posts = self.got.lock().unwrap().posts();
        let scopes = posts
            .into_iter()
            .flat_map(|post| post.resource_spans)
            .flat_map(|resource| resource.scope_spans);
        Spans(scopes.flat_map(|scope| scope.spans).collect())
    }

    /// An attribute of who sent the first post.
    pub(crate) fn sender(&self, key: &str) -> String {
        let posts = self.got.lock().unwrap().posts();
        let resource = posts[0].resource_spans[0].resource.clone().unwrap();
        text(&resource.attributes, key).unwrap()
    }
}

impl Got {
    fn posts(&self) -> Vec<ExportTraceServiceRequest> {
        let decode = |body: &Vec<u8>| ExportTraceServiceRequest::decode(body.as_slice()).unwrap();
        self.bodies.iter().map(decode).collect()
    }

    fn bytes_of_all(&self) -> Vec<u8> {
        self.bodies.concat()
    }
}

fn meet(mut stream: TcpStream, got: &Mutex<Got>, answers: bool) {
    while let Some((head, body)) = read(&mut stream) {
        let mut got = got.lock().unwrap();
        got.heads.push(head);
        got.bodies.push(body);
        if !answers {
            got.kept.push(stream);
            return;
        }
        drop(got);
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        if stream.write_all(answer).is_err() {
            return;
        }
    }
}

fn read(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let length = head.split_once("content-length: ").unwrap().1;
    let length: usize = length.split_once("\r\n").unwrap().0.parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((head, body))
}

/// Spans that were sent.
pub(crate) struct Spans(pub(crate) Vec<Span>);

impl Spans {
    /// The spans of this name.
    pub(crate) fn named(&self, name: &str) -> Vec<&Span> {
        self.0.iter().filter(|span| span.name == name).collect()
    }

    /// The first span of this name.
    pub(crate) fn first(&self, name: &str) -> &Span {
        let known: Vec<_> = self.0.iter().map(|span| &span.name).collect();
        let found = self.named(name).first().copied();
        found.unwrap_or_else(|| panic!("no {name} in {known:?}"))
    }

    /// The spans right below `parent`, by name.
    pub(crate) fn below(&self, parent: &Span) -> Vec<&str> {
        let is_below = |span: &&Span| {
            span.parent_span_id == parent.span_id && span.trace_id == parent.trace_id
        };
        let below = self.0.iter().filter(is_below);
        below.map(|span| span.name.as_str()).collect()
    }

    /// The first span of this name right below `parent`.
    pub(crate) fn child(&self, parent: &Span, name: &str) -> &Span {
        let mut children = self.named(name).into_iter();
        let found = children.find(|span| span.parent_span_id == parent.span_id);
        found.unwrap_or_else(|| panic!("no {name} below {}: {:?}", parent.name, self.below(parent)))
    }
}

/// An attribute as text.
pub(crate) fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.clone()?.value? {
        Value::StringValue(text) => Some(text),
        Value::IntValue(number) => Some(number.to_string()),
        other => Some(format!("{other:?}")),
    }
}
