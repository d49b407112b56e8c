#!/bin/sh
# Slurm Prolog, as root on the job's first node and each other: a lease for the job's user, and an agent that
# serves its credentials on this node for as long as the job runs.
#
# A job asks for it with `sbatch --comment=rolegate:ROLE_ARN`; others are left alone. It exits with 0 where the
# gateway refuses, and leaves the reason for the task prolog: another exit code would drain the node.
# Slurm sets SLURM_JOB_ID, SLURM_JOB_USER, SLURM_JOB_UID, SLURM_JOB_GID and (23.02 and later) SLURM_JOB_COMMENT.
set -eu
umask 077

# shellcheck source=/dev/null
. "${ROLEGATE_SLURM_CONF:-/etc/rolegate/slurm.conf}"

case ${SLURM_JOB_COMMENT-} in
    rolegate:arn:*) role=${SLURM_JOB_COMMENT#rolegate:} ;;
    *) exit 0 ;;
esac
# What goes into JSON below holds nothing that JSON or a URL would read otherwise.
case $role$SLURM_JOB_USER$SLURM_JOB_ID in
    *[!A-Za-z0-9:/_+=,.@-]*) echo "rolegate: odd characters in role, user or job" >&2; exit 0 ;;
esac

folder=$ROLEGATE_RUN/$SLURM_JOB_ID
mkdir -p "$ROLEGATE_RUN"
chmod 0711 "$ROLEGATE_RUN"
rm -rf "$folder"
mkdir "$folder"

# The launcher's token goes to curl as a file of headers: in no process's arguments, and never in a user's folder.
private=$(mktemp -d)
trap 'rm -rf "$private"' EXIT
printf 'Authorization: Bearer %s\n' "$(cat "$ROLEGATE_LAUNCHER_TOKEN_FILE")" >"$private/header"

# Each node has a lease of its own, all under the job's name: the epilog revokes by that.
status=$(printf '{"user":"%s","role_arn":"%s","job":"slurm-%s"}' \
    "$SLURM_JOB_USER${ROLEGATE_USER_SUFFIX-}" "$role" "$SLURM_JOB_ID" |
    curl -sS --max-time 15 -o "$private/answer" -w '%{http_code}' -H @"$private/header" \
        -H 'Content-Type: application/json' --data @- "$ROLEGATE_URL/api/v1/leases") || status=000

# All that root writes is written before the folder is the user's, who could lead a later write elsewhere.
give() {
    chown "$SLURM_JOB_UID:$SLURM_JOB_GID" "$@"
}

if [ "$status" != 201 ]; then
    reason=$(sed -n 's/.*"title" *: *"\([^"]*\)".*/\1/p' "$private/answer" 2>/dev/null || true)
    printf 'rolegate: no lease (%s) %s\n' "$status" "$reason" >"$folder/refused"
    give "$folder/refused" "$folder"
    exit 0
fi

# No newline at its end. The token is base64url: it holds no quote.
printf '%s' "$(sed -n 's/.*"token" *: *"\(rgj_[^"]*\)".*/\1/p' "$private/answer")" >"$folder/lease"
chmod 0400 "$folder/lease"
exec 3>"$folder/log"
give "$folder/lease" "$folder/log" "$folder"

# As the user, so that it can be no more than the job itself. It writes `environment` once it has credentials.
# Nothing of it holds the prolog's own output open: slurmd waits for that.
(
    exec >&3 2>&3 3>&- </dev/null
    set -- setsid "${ROLEGATE_AGENT:-/usr/local/bin/rolegate-agent}" agent --url "$ROLEGATE_URL" \
        --lease-token-file "$folder/lease" --env-file "$folder/environment" --pid-file "$folder/pid"
    [ "$(id -u)" = "$SLURM_JOB_UID" ] ||
        set -- setpriv --reuid "$SLURM_JOB_UID" --regid "$SLURM_JOB_GID" --clear-groups "$@"
    exec "$@"
) &
exit 0
