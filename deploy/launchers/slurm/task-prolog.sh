#!/bin/sh
# Slurm TaskProlog, as the user before each task: what it prints as `export` and `unset` becomes the task's
# environment, `print` its output. The agent that the prolog started writes the same words.
set -eu

# shellcheck source=/dev/null
. "${ROLEGATE_SLURM_CONF:-/etc/rolegate/slurm.conf}"

folder=$ROLEGATE_RUN/$SLURM_JOB_ID
[ -d "$folder" ] || exit 0
left=15
while [ ! -s "$folder/environment" ]; do
    if [ -s "$folder/refused" ]; then
        sed 's/^/print /' "$folder/refused"
        exit 0
    fi
    left=$((left - 1))
    if [ "$left" -le 0 ]; then
        echo "print rolegate: no credentials yet: see $folder/log on $(uname -n)"
        exit 0
    fi
    sleep 1
done
cat "$folder/environment"
