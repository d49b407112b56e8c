//! An STS that answers what it is told, and keeps what it was asked.

use super::*;

/// What the server does with one connection.
#[derive(Clone)]
pub(super) enum Reply {
    Answer(u16, String),
    /// Closes after the request.
    Drop,
    /// Promises more than it sends, then closes.
    Cut,
    /// Answers after a while.
    Late(Duration, String),
    /// Never answers.
    Hang,
}

pub(super) struct Server {
    pub(super) url: String,
    pub(super) requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Answers with `replies` in turn, then with 418.
    pub(super) async fn start(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        tokio::spawn(async move {
            let mut replies = replies.into_iter();
            let mut hanging = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let request = read_request(&mut stream).await;
                seen.lock().unwrap().push(request);
                match replies.next().unwrap_or(Reply::Answer(418, String::new())) {
                    Reply::Answer(status, body) => {
                        answer(&mut stream, status, body.len(), &body).await;
                    }
                    Reply::Drop => {}
                    Reply::Cut => answer(&mut stream, 200, 5000, "<AssumeRole").await,
                    Reply::Late(pause, body) => {
                        tokio::time::sleep(pause).await;
                        answer(&mut stream, 200, body.len(), &body).await;
                    }
                    Reply::Hang => hanging.push(stream),
                }
            }
        });
        Self { url, requests }
    }

    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    pub(super) fn form(&self, index: usize) -> Vec<(String, String)> {
        let requests = self.requests();
        let body = requests[index].split_once("\r\n\r\n").unwrap().1;
        url::form_urlencoded::parse(body.as_bytes())
            .into_owned()
            .collect()
    }
}

pub(super) async fn read_request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).await.unwrap();
        bytes.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8(bytes.clone()).unwrap();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            assert!(count > 0, "no whole request: {text}");
            continue;
        };
        let length = head
            .to_ascii_lowercase()
            .lines()
            .find_map(|line| {
                line.strip_prefix("content-length: ")
                    .map(|n| n.parse().unwrap())
            })
            .unwrap_or(0);
        if body.len() >= length {
            return text;
        }
    }
}

pub(super) async fn answer(stream: &mut TcpStream, status: u16, length: usize, body: &str) {
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: text/xml\r\nx-amzn-requestid: req-1\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body.as_bytes()).await.unwrap();
}

/// A good answer, whose parts a test may change.
pub(super) struct Good {
    pub(super) role: &'static str,
    pub(super) audience: &'static str,
    pub(super) issuer: &'static str,
    pub(super) subject: &'static str,
    pub(super) lasts: i64,
}

pub(super) const GOOD: Good = Good {
    role: SESSION_ARN,
    audience: ACS,
    issuer: ISSUER,
    subject: "alice",
    lasts: 3600,
};

impl Good {
    pub(super) fn xml(&self) -> String {
        let Self {
            role,
            audience,
            issuer,
            subject,
            lasts,
        } = self;
        let expiration = rfc3339(now() + TimeDelta::seconds(*lasts));
        format!(
            r#"<AssumeRoleWithSAMLResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithSAMLResult>
<Issuer>{issuer}</Issuer><AssumedRoleUser><Arn>{role}</Arn><AssumedRoleId>AROAEXAMPLE:alice@example.org</AssumedRoleId></AssumedRoleUser>
<Credentials><AccessKeyId>ASIAEXAMPLE</AccessKeyId><SecretAccessKey>{SECRET_KEY}</SecretAccessKey><SessionToken>the-token</SessionToken><Expiration>{expiration}</Expiration></Credentials>
<Audience>{audience}</Audience><SubjectType>persistent</SubjectType><Subject>{subject}</Subject>
</AssumeRoleWithSAMLResult><ResponseMetadata><RequestId>req-1</RequestId></ResponseMetadata></AssumeRoleWithSAMLResponse>"#
        )
    }

    pub(super) fn reply(&self) -> Reply {
        Reply::Answer(200, self.xml())
    }
}

pub(super) fn refusal(status: u16, code: &str, message: &str) -> Reply {
    Reply::Answer(
        status,
        format!(
            r#"<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error><RequestId>req-1</RequestId></ErrorResponse>"#
        ),
    )
}

pub(super) fn too_long() -> Reply {
    let message = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.";
    refusal(400, "ValidationError", message)
}
