"""A long job: one boto3 client asks STS who it is, again and again, and botocore renews its credentials.

    long_job.py CALLS SECONDS PAUSE

Ends after CALLS calls or SECONDS seconds, whichever comes first, with PAUSE seconds between calls. Prints a
JSON line a call: {"call": N, "arn": ...}, or {"call": N, "error": type, "message": ...}. An error does not
end it; the exit status says whether there was one. Prints no credentials.
"""

import json
import logging
import os
import sys
import time

import boto3
import botocore.exceptions


class Job:
    """One session and, once there are credentials, one client: botocore asks for them before it makes one."""

    def __init__(self):
        self.session = boto3.Session()
        self.client = None

    def identity(self):
        if self.client is None:
            # botocore reads AWS_DEFAULT_REGION, the other SDKs AWS_REGION.
            region = self.session.region_name or os.environ.get("AWS_REGION", "us-east-1")
            self.client = self.session.client("sts", region_name=region)
        return self.client.get_caller_identity()


def ask(job):
    try:
        return {"arn": job.identity()["Arn"]}
    # RuntimeError: what botocore raises when renewed credentials are expired already.
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError, RuntimeError) as error:
        return {"error": type(error).__name__, "message": str(error)}


def main():
    calls, seconds, pause = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
    # botocore tells of renewals that failed while the old credentials still do.
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    end = time.monotonic() + seconds
    job = Job()
    failed = False
    for call in range(1, calls + 1):
        told = ask(job)
        failed = failed or "error" in told
        print(json.dumps({"call": call, **told}), flush=True)
        if time.monotonic() + pause > end:
            break
        if call < calls:
            time.sleep(pause)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
