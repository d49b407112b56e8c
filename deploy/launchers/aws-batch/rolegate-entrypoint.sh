#!/bin/sh
# Entry point of an AWS Batch (or ECS) container: the job's command, with a person's credentials.
#
#   rolegate-entrypoint.sh CMD [ARG..]
#
# Needs ROLEGATE_URL, ROLEGATE_LEASE_TOKEN (from the job definition's `secrets`), and rolegate-agent in PATH
# or in ROLEGATE_AGENT.
set -eu

: "${ROLEGATE_URL:?is not set: the address of the gateway}"
if [ -z "${ROLEGATE_LEASE_TOKEN:-}" ]; then
    echo "rolegate-entrypoint: ROLEGATE_LEASE_TOKEN is not set: name it in the job definition's secrets" >&2
    exit 1
fi

# Where the job has a role of its own, ECS sets this variable, and nearly every SDK prefers it. The agent takes
# it from its child too; here it goes even where the agent is an older one.
unset AWS_CONTAINER_CREDENTIALS_RELATIVE_URI

# Batch ends a job with SIGTERM to this process: `exec`, so that it reaches the agent, which passes it on.
exec "${ROLEGATE_AGENT:-rolegate-agent}" exec -- "$@"
