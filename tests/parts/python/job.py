"""A job: boto3 finds its credentials by itself and asks STS who it is.

Prints one JSON object: what GetCallerIdentity said, where boto3 took the credentials from, when they
expire and how many seconds are left. On failure exits 1 with a JSON object on standard error.
Prints no credentials.
"""

import datetime
import json
import sys

import boto3
import botocore.exceptions


def main():
    session = boto3.Session()
    region = session.region_name or "us-east-1"
    try:
        identity = session.client("sts", region_name=region).get_caller_identity()
        credentials = session.get_credentials()
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        json.dump({"error": type(error).__name__, "message": str(error)}, sys.stderr)
        return 1
    # botocore keeps the expiry to itself; static credentials have none.
    expires_at = getattr(credentials, "_expiry_time", None)
    left = expires_at and expires_at - datetime.datetime.now(datetime.timezone.utc)
    print(
        json.dumps(
            {
                "arn": identity["Arn"],
                "account": identity["Account"],
                "user_id": identity["UserId"],
                "source": credentials.method,
                "expires_at": expires_at and expires_at.isoformat(),
                "seconds_left": left and int(left.total_seconds()),
            }
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
