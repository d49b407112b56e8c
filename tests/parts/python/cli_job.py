"""A long job of the shell: `aws sts get-caller-identity` again and again, each a process of its own.

    cli_job.py CALLS SECONDS PAUSE

As long_job.py, with the AWS CLI's own words on standard error as `message`.
"""

import json
import os
import pathlib
import subprocess
import sys
import time

# The CLI reads AWS_DEFAULT_REGION, the other SDKs AWS_REGION.
REGION = os.environ.get("AWS_REGION", "us-east-1")
AWS = pathlib.Path(sys.executable).parent / "aws"


def ask():
    arguments = ["sts", "get-caller-identity", "--output", "json", "--region", REGION]
    command = [sys.executable, "-I", str(AWS), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode == 0:
        return {"arn": json.loads(done.stdout)["Arn"]}
    return {"error": f"exit {done.returncode}", "message": done.stderr.strip()}


def main():
    calls, seconds, pause = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
    end = time.monotonic() + seconds
    failed = False
    for call in range(1, calls + 1):
        told = ask()
        failed = failed or "error" in told
        print(json.dumps({"call": call, **told}), flush=True)
        if time.monotonic() + pause > end:
            break
        if call < calls:
            time.sleep(pause)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
