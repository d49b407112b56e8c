//! A client that costs little: one connection, kept alive, blocking.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::process::Process;

/// Connections of a paced load.
const CONNECTIONS: u32 = 4;

pub(crate) struct Client(BufReader<TcpStream>);

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(BufReader::new(stream))
    }

    /// Fetches credentials by a lease token; anything but 200 ends the bench.
    pub(crate) fn fetch(&mut self, token: &str) {
        let status = self.ask(token);
        assert_eq!(status, 200);
    }

    /// As [`Client::fetch`], whatever the answer.
    pub(crate) fn ask(&mut self, token: &str) -> u16 {
        let request = format!(
            "GET /v1/credentials HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {token}\r\n\r\n"
        );
        self.0.get_mut().write_all(request.as_bytes()).unwrap();
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        let status = line.split(' ').nth(1).unwrap().parse().unwrap();
        let mut length = 0;
        loop {
            line.clear();
            self.0.read_line(&mut line).unwrap();
            let header = line.trim_end().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("content-length: ") {
                length = value.parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        assert_eq!(status == 200, body.starts_with(b"{\"AccessKeyId\""));
        status
    }
}

/// So many fetches a second, begun on time whether or not the ones before were answered; how long each took
/// from when it should have begun.
pub(crate) fn paced(
    server: &Process,
    tokens: &[String],
    rate: u32,
    time: Duration,
) -> Vec<Duration> {
    let step = Duration::from_secs(1) * CONNECTIONS / rate;
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let loads: Vec<_> = (0..CONNECTIONS)
            .map(|connection| {
                scope.spawn(move || {
                    let mut client = Client::connect(server.address);
                    let mut tokens = tokens.iter().cycle().skip(7919 * connection as usize);
                    let mut due = step * connection / CONNECTIONS;
                    let mut times = Vec::new();
                    while due < time {
                        std::thread::sleep(due.saturating_sub(begun.elapsed()));
                        client.fetch(tokens.next().unwrap());
                        times.push(begun.elapsed().saturating_sub(due));
                        due += step;
                    }
                    times
                })
            })
            .collect();
        loads
            .into_iter()
            .flat_map(|load| load.join().unwrap())
            .collect()
    })
}

/// The 99th percentile, in microseconds.
pub(crate) fn percentile(times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    let p99 = times[times.len() * 99 / 100].as_secs_f64() * 1e6;
    let median = times[times.len() / 2].as_secs_f64() * 1e6;
    println!(
        "{} fetches: median {median:.0} us, p99 {p99:.0} us",
        times.len()
    );
    p99
}
