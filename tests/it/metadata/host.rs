//! A small web server on loopback that says what a test wants, in clear or over TLS, and remembers what it was
//! asked.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};

use openssl::ssl::SslAcceptor;

/// What the host does with a request.
#[derive(Clone)]
pub(super) enum Says {
    /// 200 with this body; 304 to whoever shows `etag`.
    Document { body: String, etag: Option<String> },
    /// This status, with this header line.
    Status(u16, String),
    /// So many redirects within the host, then 200 with this body.
    Redirecting(usize, String),
    /// The beginning of an answer, and then nothing until the host says something else.
    Nothing,
}

/// The server; it ends with the process.
pub(super) struct Host {
    pub(super) url: String,
    inner: Arc<Inner>,
}

struct Inner {
    says: Mutex<Says>,
    asked: Mutex<Vec<String>>,
    /// Dropped to let go of those that were kept waiting.
    waiting: Mutex<Vec<Sender<()>>>,
    tls: Option<SslAcceptor>,
}

impl Host {
    pub(super) fn start(says: Says) -> Self {
        Self::with(says, None)
    }

    pub(super) fn with(says: Says, tls: Option<SslAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}", listener.local_addr().unwrap());
        let inner = Arc::new(Inner {
            says: Mutex::new(says),
            asked: Mutex::default(),
            waiting: Mutex::default(),
            tls,
        });
        let shared = Arc::clone(&inner);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || shared.meet(stream));
            }
        });
        Self { url, inner }
    }

    /// What it says from now on.
    pub(super) fn say(&self, says: Says) {
        *self.inner.says.lock().unwrap() = says;
        self.inner.waiting.lock().unwrap().clear();
    }

    pub(super) fn give(&self, body: &str) {
        self.say(document(body));
    }

    /// The heads of the requests so far.
    pub(super) fn asked(&self) -> Vec<String> {
        self.inner.asked.lock().unwrap().clone()
    }
}

pub(super) fn document(body: &str) -> Says {
    Says::Document {
        body: body.to_owned(),
        etag: None,
    }
}

impl Inner {
    fn meet(&self, stream: TcpStream) {
        match &self.tls {
            // A client that does not trust us breaks off here.
            Some(tls) => {
                if let Ok(stream) = tls.accept(stream) {
                    self.answer(stream);
                }
            }
            None => self.answer(stream),
        }
    }

    fn answer(&self, mut stream: impl Read + Write) {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            if !matches!(stream.read(&mut byte), Ok(1)) {
                return;
            }
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        let turn = {
            let mut asked = self.asked.lock().unwrap();
            asked.push(head.clone());
            asked.len()
        };
        let says = self.says.lock().unwrap().clone();
        let text = match says {
            Says::Document { body, etag } => with_document(&head, &body, etag.as_deref()),
            Says::Status(status, line) => {
                format!(
                    "HTTP/1.1 {status} So\r\n{line}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                )
            }
            Says::Redirecting(times, _) if turn <= times => {
                format!(
                    "HTTP/1.1 302 Found\r\nLocation: /{turn}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                )
            }
            Says::Redirecting(_, body) => with_document(&head, &body, None),
            Says::Nothing => {
                let (kept, until) = channel();
                self.waiting.lock().unwrap().push(kept);
                let _gone = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n<");
                let _let_go = until.recv();
                return;
            }
        };
        // Who has read enough may be gone.
        let _gone = stream.write_all(text.as_bytes());
        let _gone = stream.flush();
    }
}

fn with_document(head: &str, body: &str, etag: Option<&str>) -> String {
    let line = etag.map_or_else(String::new, |etag| format!("ETag: {etag}\r\n"));
    let known = etag.is_some_and(|etag| head.contains(&format!("if-none-match: {etag}\r\n")));
    if known {
        return format!("HTTP/1.1 304 Not Modified\r\n{line}Connection: close\r\n\r\n");
    }
    format!(
        "HTTP/1.1 200 OK\r\n{line}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}
