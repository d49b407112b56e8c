#!/bin/sh
# Slurm Epilog, as root on each node: ends the agent by its process id, revokes what the job had leased, and
# takes its folder away. What cannot be done is said, and never drains the node.
set -eu
umask 077

# shellcheck source=/dev/null
. "${ROLEGATE_SLURM_CONF:-/etc/rolegate/slurm.conf}"

folder=$ROLEGATE_RUN/$SLURM_JOB_ID
[ -d "$folder" ] || exit 0

# The file is the user's, who may have put a pipe there: it is read for a moment alone, only a number counts, and
# only a process of that user's is ended.
pid=
if [ -f "$folder/pid" ] && [ ! -L "$folder/pid" ]; then
    pid=$(timeout 2 head -c 12 "$folder/pid" 2>/dev/null || true)
fi
case $pid in
    '' | *[!0-9]*) ;;
    *)
        owner=$(stat -c %u "/proc/$pid" 2>/dev/null || true)
        if [ "$owner" = "$SLURM_JOB_UID" ]; then kill -TERM "$pid" 2>/dev/null || true; fi
        ;;
esac

header=$(mktemp)
trap 'rm -f "$header"' EXIT
printf 'Authorization: Bearer %s\n' "$(cat "$ROLEGATE_LAUNCHER_TOKEN_FILE")" >"$header"
curl -sS --fail --max-time 15 -o /dev/null -X DELETE -H @"$header" \
    "$ROLEGATE_URL/api/v1/leases?job=slurm-$SLURM_JOB_ID" ||
    echo "rolegate: the leases of job $SLURM_JOB_ID were not revoked; they end by themselves" >&2
rm -rf "$folder"
exit 0
