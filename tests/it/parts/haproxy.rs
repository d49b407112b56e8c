//! HAProxy before gateways, by the file that we ship; only addresses, ports and the certificate's place are changed.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A start that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// The proxy; killed when dropped.
pub(crate) struct HaProxy {
    child: Child,
}

impl HaProxy {
    /// Starts it at `port` of 127.0.0.1, for TLS with `gate.pem` and `gate.key` of `folder`, before the gateways at
    /// `backends`.
    pub(crate) async fn start(folder: &Path, port: u16, plain: u16, backends: &[String]) -> Self {
        let both = ["gate.pem", "gate.key"].map(|name| std::fs::read(folder.join(name)).unwrap());
        std::fs::write(folder.join("proxy.pem"), both.concat()).unwrap();
        let file = folder.join("haproxy.cfg");
        std::fs::write(&file, configuration(folder, port, plain, backends)).unwrap();
        let log = std::fs::File::create(folder.join("haproxy.log")).unwrap();
        let child = Command::new(super::part("haproxy/haproxy"))
            .arg("-db")
            .arg("-f")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut proxy = Self { child };
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        let begun = std::time::Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let over = proxy.child.try_wait().unwrap().is_some() || begun.elapsed() > PATIENCE;
            let log = || std::fs::read_to_string(folder.join("haproxy.log")).unwrap();
            assert!(!over, "HAProxy does not serve: {}", log());
            ticks.tick().await;
        }
        proxy
    }
}

impl Drop for HaProxy {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// The file of `deploy/replicas`, each line that names a place rewritten.
fn configuration(folder: &Path, port: u16, plain: u16, backends: &[String]) -> String {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/replicas/haproxy.cfg");
    let shipped = std::fs::read_to_string(shipped).unwrap();
    let mut backends = backends.iter();
    let mut binds = 0;
    let lines = shipped.lines().map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["bind", ":443", "ssl", "crt", _, ref more @ ..] => {
                binds += 1;
                let pem = folder.join("proxy.pem");
                format!(
                    "bind 127.0.0.1:{port} ssl crt {} {}",
                    pem.display(),
                    more.join(" ")
                )
            }
            ["bind", ":80"] => {
                binds += 1;
                format!("bind 127.0.0.1:{plain}")
            }
            ["server", name, _] => {
                let at = backends.next().expect("the file has more servers");
                format!("server {name} {at}")
            }
            _ => line.to_owned(),
        }
    });
    let text = lines.collect::<Vec<String>>().join("\n") + "\n";
    assert_eq!(binds, 2, "{text}");
    assert_eq!(backends.next(), None, "the file has fewer servers");
    text
}
