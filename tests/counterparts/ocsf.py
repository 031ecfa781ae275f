"""Holds events, a JSON array on standard input, against OCSF 1.3's API activity without a profile.

Prints a JSON array of what is against it: the event's number, the place in it and the rule."""

import json
import sys

from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

schema = OcsfJsonSchemaEmbedded(get_ocsf_schema(version="1.3.0"))
validator = Draft202012Validator(schema.get_class_schema(class_name="api_activity", profiles=[]))
found = [
    f"{number}: {error.json_path}: {error.validator}"
    for number, event in enumerate(json.load(sys.stdin))
    for error in validator.iter_errors(event)
]
json.dump(found, sys.stdout)
