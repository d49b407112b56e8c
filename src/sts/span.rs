//! The span of one request to STS, for traces: the call's name, AWS's request id, and the code of a failure.

use tracing::field::Empty;
use tracing::{Instrument, Span};

use super::ask::Call;
use super::proof::Proof;
use super::{IssueError, Issued};
use crate::model::TRACES;

/// Has `asked`, the request of `call`, traced.
pub(super) async fn traced(
    call: &Call<'_>,
    asked: impl Future<Output = Result<Issued, IssueError>>,
) -> Result<Issued, IssueError> {
    let span = tracing::info_span!(
        target: TRACES,
        "sts",
        otel.name = format!("STS/{}", method(&call.proof)),
        otel.kind = "client",
        otel.status_code = Empty,
        rpc.system = "aws-api",
        rpc.service = "STS",
        rpc.method = method(&call.proof),
        cloud.region = call.region,
        aws.request_id = Empty,
        "error.type" = Empty,
    );
    let answer = asked.instrument(span.clone()).await;
    if !span.is_disabled() {
        tell(&span, &answer);
    }
    answer
}

fn tell(span: &Span, answer: &Result<Issued, IssueError>) {
    let request_id = match answer {
        Ok(issued) => issued.request_id.as_deref(),
        Err(error) => {
            span.record("otel.status_code", "error");
            span.record("error.type", error.code());
            error.request_id()
        }
    };
    if let Some(request_id) = request_id {
        span.record("aws.request_id", request_id);
    }
}

fn method(proof: &Proof<'_>) -> &'static str {
    match proof {
        Proof::Saml(..) => "AssumeRoleWithSAML",
        Proof::Web(_) => "AssumeRoleWithWebIdentity",
        Proof::Own => "AssumeRole",
    }
}
