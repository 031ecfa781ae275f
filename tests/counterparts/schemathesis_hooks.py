"""What schemathesis must know of our planes: who may ask for what, and a few things that exist.

CLOAKROOM_DIR names the directory of a running `cloakroom dev`, CLOAKROOM_INTERNAL the address of its
internal plane, CLOAKROOM_TOKENS, CLOAKROOM_CHARGES, CLOAKROOM_HELD (authorized charges) and
CLOAKROOM_REFUNDS ids of things that exist, CLOAKROOM_DOOMED tokens that may be deleted.
"""

import hashlib
import hmac
import itertools
import json
import os
import random
import time

import requests
import schemathesis

DIRECTORY = os.environ["CLOAKROOM_DIR"]
INTERNAL = os.environ["CLOAKROOM_INTERNAL"]
TOKENS = itertools.cycle(os.environ["CLOAKROOM_TOKENS"].split())
# Good cards and cards that are declined at a charge.
CHARGED = os.environ["CLOAKROOM_TOKENS"].split()
# Half of them to be captured, the others to be canceled: nobody can be both.
HELD = os.environ["CLOAKROOM_HELD"].split()
# What exists, for the parameter in a path.
REAL = {
    ("GET", "/problems/{code}"): itertools.cycle(["internal", "not_found", "card_declined"]),
    ("GET", "/v1/tokens/{id}"): TOKENS,
    ("DELETE", "/v1/tokens/{id}"): itertools.cycle(os.environ["CLOAKROOM_DOOMED"].split()),
    ("GET", "/v1/charges/{id}"): itertools.cycle(os.environ["CLOAKROOM_CHARGES"].split()),
    ("POST", "/v1/charges/{id}/capture"): itertools.cycle(HELD[::2]),
    ("POST", "/v1/charges/{id}/cancel"): itertools.cycle(HELD[1::2]),
    ("GET", "/v1/refunds/{id}"): itertools.cycle(os.environ["CLOAKROOM_REFUNDS"].split()),
}
CHARGES = itertools.cycle(os.environ["CLOAKROOM_CHARGES"].split())
with open(f"{DIRECTORY}/stripe-webhook.secret", encoding="ascii") as file:
    WEBHOOK_SECRET = file.read().strip().encode()
NOTICES = itertools.count()
# Approved, declined at a charge, asking for 3-D Secure.
CARDS = itertools.cycle(["4242424242424242", "4000000000000341", "4000002500003155"])
# By chance, but the same each time.
CHANCE = random.Random(20261123)


def certificate(method, path):
    """The development client that is granted this operation."""
    name = "billing"
    if path.startswith("/v1/capture_sessions") or path == "/v1/tokens/attach":
        name = "checkout"
    elif method == "DELETE" or path in ("/v1/reports", "/status") or path.startswith("/v1/keys/"):
        name = "admin"
    return tuple(f"{DIRECTORY}/client-{name}.{kind}" for kind in ("pem", "key"))


@schemathesis.auth(refresh_interval=None).apply_to(path="/v1/tokens", method="POST")
class CaptureSession:
    """A session of its own for each card: one session makes one token."""

    ORDER = {"customer_ref": "schemathesis"}

    def get(self, case, context):
        answer = requests.post(
            f"{INTERNAL}/v1/capture_sessions",
            json=self.ORDER,
            cert=certificate("POST", "/v1/capture_sessions"),
            verify=f"{DIRECTORY}/ca.pem",
            timeout=30,
        )
        answer.raise_for_status()
        return answer.json()["client_secret"]

    def set(self, case, data, context):
        case.headers["Authorization"] = f"Bearer {data}"


@schemathesis.auth(refresh_interval=None).apply_to(path="/v1/security_codes", method="POST")
class CodeSession(CaptureSession):
    """A session of its own for the code of a saved card."""

    ORDER = {"token": os.environ["CLOAKROOM_TOKENS"].split()[0]}


@schemathesis.hook
def before_call(context, case, kwargs):
    kwargs["cert"] = certificate(case.method, case.path)
    # What is malformed on purpose stays so; of the rest, two in three are about what exists.
    well_formed = case.meta is not None and case.meta.generation.mode.is_positive
    if well_formed and (case.method, case.path) == ("POST", "/webhooks/stripe"):
        sign(case)
    if well_formed and CHANCE.random() < 2 / 3:
        make_real(case)


def sign(case):
    """A notice as the processor sends it: its schema does not say what only a signature can."""
    case.body = {
        "id": f"evt_{next(NOTICES)}",
        "object": "event",
        "type": "customer.created",
        "livemode": False,
        "created": int(time.time()),
        "data": {"object": {"id": "cus_1"}},
    }
    signed_at = int(time.time())
    signed = f"{signed_at}.{json.dumps(case.body)}".encode()
    tag = hmac.new(WEBHOOK_SECRET, signed, hashlib.sha256).hexdigest()
    case.headers["Stripe-Signature"] = f"t={signed_at},v1={tag}"


def make_real(case):
    """Puts what exists in place of what was made up, and leaves the rest."""
    operation = (case.method, case.path)
    body = case.body if isinstance(case.body, dict) else {}
    if operation == ("POST", "/v1/tokens") and isinstance(body.get("card"), dict):
        body["card"] = {"number": next(CARDS), "exp_month": 12, "exp_year": 2034, "cvc": "123"}
    elif operation == ("POST", "/v1/security_codes") and "cvc" in body:
        body["cvc"] = "123"
    elif operation == ("POST", "/v1/charges") and "token" in body:
        # By chance and not in turn: every second request may be one that is refused.
        body["token"] = CHANCE.choice(CHARGED)
        # What is made up is no code of that token, and the charge would not get as far.
        body.pop("security_code", None)
        if "statement_descriptor_suffix" in body:
            body["statement_descriptor_suffix"] = "NIGHTS"
    elif operation == ("POST", "/v1/refunds") and "charge" in body:
        body.update(charge=next(CHARGES), amount=1)
    elif operation == ("GET", "/v1/refunds"):
        case.query["charge"] = next(CHARGES)
    elif operation in REAL:
        for name in case.path_parameters:
            case.path_parameters[name] = next(REAL[operation])
