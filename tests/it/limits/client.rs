//! A client that sends what it likes, from the loopback address that it likes.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// Longer than anything here may take.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);

/// Has this process open as many sockets as the system lets it.
pub(super) fn many_sockets() {
    let before = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: before.maximum,
        ..before
    };
    setrlimit(Resource::Nofile, raised).unwrap();
}

/// The address behind a URL.
pub(super) fn address(url: &str) -> SocketAddr {
    let (_, rest) = url.split_once("://").unwrap();
    rest.split('/').next().unwrap().parse().unwrap()
}

/// A connection to `url`'s host from 127.0.`from`.
pub(super) async fn connect(url: &str, from: [u8; 2]) -> TcpStream {
    connect_by(TcpSocket::new_v4().unwrap(), url, from).await
}

/// One that takes four KiB before it has to be read.
pub(super) async fn connect_deaf(url: &str, from: [u8; 2]) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    connect_by(socket, url, from).await
}

async fn connect_by(socket: TcpSocket, url: &str, from: [u8; 2]) -> TcpStream {
    let [third, fourth] = from;
    let here = SocketAddr::from(([127, 0, third, fourth], 0));
    socket.bind(here).unwrap();
    let connected = timeout(PATIENCE, socket.connect(address(url))).await;
    connected.expect("no connection").unwrap()
}

/// All that comes until the other side ends, or until nothing has come for `quiet`; whether it has ended.
pub(super) async fn read_on(stream: &mut TcpStream, quiet: Duration) -> (String, bool) {
    let mut all = Vec::new();
    let mut buffer = vec![0; 16_384];
    let ended = loop {
        match timeout(quiet, stream.read(&mut buffer)).await {
            Err(_) => break false,
            Ok(Ok(0) | Err(_)) => break true,
            Ok(Ok(read)) => all.extend_from_slice(&buffer[..read]),
        }
    };
    (String::from_utf8_lossy(&all).into_owned(), ended)
}

/// The status of an answer's first line.
pub(super) fn status(answer: &str) -> Option<u16> {
    answer.split(' ').nth(1)?.parse().ok()
}

/// The next answer that comes, to its end; whether the other side has ended instead.
pub(super) async fn read_answer(stream: &mut TcpStream) -> (String, bool) {
    let mut all = String::new();
    let is_whole = |all: &str| {
        let Some((head, body)) = all.split_once("\r\n\r\n") else {
            return false;
        };
        let head = head.to_ascii_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        length.is_some_and(|length| body.len() >= length.parse::<usize>().unwrap())
    };
    let begun = Instant::now();
    while !is_whole(&all) {
        assert!(begun.elapsed() < PATIENCE, "no answer: {all}");
        let (more, ended) = read_on(stream, Duration::from_millis(50)).await;
        all.push_str(&more);
        if ended {
            return (all, true);
        }
    }
    (all, false)
}

/// Sends `request`; what comes back within a minute.
pub(super) async fn say(url: &str, request: &[u8]) -> String {
    let mut stream = connect(url, [0, 1]).await;
    // Who is answered early may not be listened to to the end.
    let _cut = stream.write_all(request).await;
    let mut answer = String::new();
    for _ in 0..600 {
        let (more, ended) = read_on(&mut stream, Duration::from_millis(100)).await;
        answer.push_str(&more);
        if ended || (!answer.is_empty() && more.is_empty()) {
            break;
        }
    }
    answer
}
