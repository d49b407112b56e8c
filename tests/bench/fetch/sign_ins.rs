//! Sign-ins beside the fetches: as many as keep half a core of the gateway busy.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};

use super::process::Process;
use super::seed::Seeded;

/// Responses that show what one costs.
const SAMPLE: usize = 60;
/// Responses made ahead; more than the time takes.
const AHEAD: usize = 3000;

pub(crate) struct SignIns<'a> {
    gateway: &'a Process,
    bodies: Vec<String>,
    step: Duration,
}

/// What was found beside, and how much of a core the sign-ins took.
pub(crate) struct Beside {
    pub(crate) found: f64,
    pub(crate) cores: f64,
}

impl<'a> SignIns<'a> {
    pub(crate) fn prepare(seeded: &Seeded, gateway: &'a Process) -> Self {
        let mut bodies = bodies(seeded, SAMPLE + AHEAD);
        let sample = bodies.split_off(AHEAD);
        let before = gateway.cpu_seconds();
        for body in &sample {
            post(gateway, body);
        }
        let each = (gateway.cpu_seconds() - before) / sample.len() as f64;
        println!("a sign-in takes {:.1} ms of CPU", each * 1000.0);
        Self {
            gateway,
            bodies,
            step: Duration::from_secs_f64(each / 0.5),
        }
    }

    /// Runs `work` while people sign in.
    pub(crate) fn beside(&self, work: impl FnOnce() -> f64) -> Beside {
        let done = AtomicBool::new(false);
        let (begun, cpu) = (Instant::now(), self.gateway.cpu_seconds());
        std::thread::scope(|scope| {
            let people = scope.spawn(|| {
                let mut count: u32 = 0;
                for body in &self.bodies {
                    if done.load(Ordering::Relaxed) {
                        break;
                    }
                    let due = self.step * count;
                    std::thread::sleep(due.saturating_sub(begun.elapsed()));
                    post(self.gateway, body);
                    count += 1;
                }
                f64::from(count) * self.step.as_secs_f64() * 0.5
            });
            let found = work();
            let whole = begun.elapsed().as_secs_f64();
            println!(
                "all of it: {:.2} cores",
                (self.gateway.cpu_seconds() - cpu) / whole
            );
            done.store(true, Ordering::Relaxed);
            Beside {
                found,
                cores: people.join().unwrap() / whole,
            }
        })
    }
}

/// Forms with a response each, signed ahead.
pub(crate) fn bodies(seeded: &Seeded, count: usize) -> Vec<String> {
    let body = |_| {
        let response = seeded.idp.sign(&seeded.idp.plan("visitor"));
        let response = percent_encode(response.as_bytes(), NON_ALPHANUMERIC);
        format!("SAMLResponse={response}")
    };
    (0..count).map(body).collect()
}

/// Posts a response as a program does.
pub(crate) fn post(gateway: &Process, body: &str) {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(gateway.address).unwrap();
    let request = format!(
        "POST /saml/acs HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/json\r\nConnection: close\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
