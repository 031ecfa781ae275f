"""The specification's own library believes what Cloakroom has sent, and nothing else.

    python standard_webhooks.py MESSAGES

MESSAGES is a JSON file: a list of {"secret", "other", "headers", "body"}. The secret has signed the
message among others, the other one has not.
"""

import json
import sys

from standardwebhooks import Webhook, WebhookVerificationError


def refuses(secret, body, headers):
    try:
        Webhook(secret).verify(body, headers)
    except WebhookVerificationError:
        return True
    return False


messages = json.load(open(sys.argv[1]))
for message in messages:
    secret, headers, body = message["secret"], message["headers"], message["body"]
    event = Webhook(secret).verify(body, headers)
    assert event["id"] == headers["webhook-id"], event
    assert refuses(message["other"], body, headers), "another secret"
    assert refuses(secret, body.replace("event", "tneve", 1), headers), "another body"
    assert refuses(secret, body, {**headers, "webhook-id": "evt_other"}), "another id"
    later = str(int(headers["webhook-timestamp"]) + 1)
    assert refuses(secret, body, {**headers, "webhook-timestamp": later}), "another time"
print(f"{len(messages)} messages believed")
