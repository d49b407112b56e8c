"""Reads what Prometheus reads, with Prometheus's own client and a real YAML parser, and says in JSON what it found.

    watching.py openmetrics   a scrape on standard input: each family with its type, help and samples
    watching.py yaml          a YAML document on standard input, as JSON
"""

import json
import sys

import yaml
from prometheus_client.openmetrics.parser import text_string_to_metric_families


def families(text):
    for family in text_string_to_metric_families(text):
        yield {
            "name": family.name,
            "type": family.type,
            "help": family.documentation,
            "samples": [
                {"name": sample.name, "labels": sample.labels, "value": sample.value}
                for sample in family.samples
            ],
        }


text = sys.stdin.read()
if sys.argv[1] == "openmetrics":
    found = list(families(text))
else:
    found = yaml.safe_load(text)
json.dump(found, sys.stdout)
