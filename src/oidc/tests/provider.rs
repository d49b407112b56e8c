//! A provider on loopback that answers what it is told, and keeps what it was asked.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What the provider does with one connection.
pub(super) enum Reply {
    /// A status, more headers (each with its line end), a body.
    Answer(u16, &'static str, Vec<u8>),
    /// Closes after the request.
    Drop,
    /// Promises more than it sends, then closes.
    Cut,
    /// Never answers.
    Hang,
    /// Sends without end.
    Endless,
    /// Sends a byte now and then, without end.
    Drip,
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "a list of replies reads better without ampersands"
)]
pub(super) fn json(body: impl ToString) -> Reply {
    let headers = "content-type: application/json\r\n";
    Reply::Answer(200, headers, body.to_string().into_bytes())
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "a list of replies reads better without ampersands"
)]
pub(super) fn refused(status: u16, body: impl ToString) -> Reply {
    let headers = "content-type: application/json\r\n";
    Reply::Answer(status, headers, body.to_string().into_bytes())
}

pub(super) struct Provider {
    pub(super) url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Provider {
    /// Gives each connection what `reply` says to the url of the provider and the request's line, in turn.
    pub(super) async fn start(replies: impl FnOnce(&str) -> Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, mut replies) = (requests.clone(), replies(&url).into_iter());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let request = read_request(&mut stream).await;
                seen.lock().unwrap().push(request);
                let gone = Reply::Answer(418, "", Vec::new());
                reply(&mut stream, replies.next().unwrap_or(gone)).await;
            }
        });
        Self { url, requests }
    }

    /// The requests so far, head and body.
    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// The form that the request of this place carried.
    pub(super) fn form(&self, place: usize) -> Vec<(String, String)> {
        let requests = self.requests();
        let body = requests[place].split_once("\r\n\r\n").unwrap().1;
        url::form_urlencoded::parse(body.as_bytes())
            .into_owned()
            .collect()
    }
}

async fn reply(stream: &mut TcpStream, reply: Reply) {
    match reply {
        Reply::Answer(status, headers, body) => {
            answer(stream, status, headers, body.len(), &body).await;
        }
        Reply::Drop => {}
        Reply::Hang => std::future::pending().await,
        Reply::Cut => answer(stream, 200, "", 5000, b"{").await,
        Reply::Endless => {
            answer(stream, 200, "", usize::MAX / 4, b"{").await;
            // Until the other side has had enough.
            while stream.write_all(&[b' '; 4096]).await.is_ok() {}
        }
        Reply::Drip => {
            answer(stream, 200, "", 5000, b"{").await;
            while stream.write_all(b" ").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

async fn answer(stream: &mut TcpStream, status: u16, headers: &str, length: usize, body: &[u8]) {
    let head = format!(
        "HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n"
    );
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(body).await;
}

async fn read_request(stream: &mut TcpStream) -> String {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let count = stream.read(&mut buffer).await.unwrap();
        bytes.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8(bytes.clone()).unwrap();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            assert!(count > 0, "no whole request: {text}");
            continue;
        };
        let length = head.to_ascii_lowercase();
        let length = length
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.parse().unwrap());
        if body.len() >= length {
            return text;
        }
    }
}
