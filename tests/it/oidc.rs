//! The main job through OpenID Connect, beside real parts: npm's oidc-provider signs people in, the sandbox STS checks its
//! ID tokens against its keys by the trust policies that we print, boto3 and the AWS SDK for JavaScript are the jobs.

mod assignments;
mod claims;
mod command_line;
mod ends;
mod jobs;
mod refreshes;
mod several;
mod stage;
mod traces;
