#!/usr/bin/env python3
"""What a billing service does with Cloakroom, without an SDK: charge, retry, capture, refund, listen.

    python3 docs/billing.py --dir .cloakroom

talks to a running `cloakroom dev`. Only the standard library is used.
"""

import argparse
import json
import ssl
import time
import urllib.error
import urllib.request
import uuid

RETRY_ATTEMPTS_MAX = 8


class Problem(Exception):
    """An RFC 9457 answer: `code` is stable, `retryable` says whether this very request may pass."""

    def __init__(self, status, body):
        super().__init__(f"{status} {body.get('code')}: {body.get('detail') or body.get('title')}")
        self.status, self.body = status, body


class Client:
    """One client certificate, one plane."""

    def __init__(self, base, directory, certificate=None):
        self.base = base
        self.tls = ssl.create_default_context(cafile=f"{directory}/ca.pem")
        if certificate:
            self.tls.load_cert_chain(f"{directory}/{certificate}.pem", f"{directory}/{certificate}.key")

    def once(self, method, path, body=None, headers=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, headers or {}, method=method)
        if data is not None:
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=60, context=self.tls) as answer:
                return answer.status, dict(answer.headers), json.load(answer)
        except urllib.error.HTTPError as refused:
            body = json.load(refused)
            body["retry_after_s"] = int(refused.headers.get("Retry-After", 0))
            raise Problem(refused.code, body) from None

    def until_answered(self, method, path, body, key):
        """Sends the same request under the same key until there is an answer: it is done once.

        A decline is an answer: `decline.retryable` is about the card on another day, under a new key.
        """
        for attempt in range(RETRY_ATTEMPTS_MAX):
            try:
                return self.once(method, path, body, {"Idempotency-Key": key})
            except Problem as problem:
                if not problem.body["retryable"] or attempt + 1 == RETRY_ATTEMPTS_MAX:
                    raise
                time.sleep(problem.body["retry_after_s"] or 2**attempt)
            except (urllib.error.URLError, TimeoutError, ConnectionError):
                # Whether it arrived is not known, and does not matter.
                if attempt + 1 == RETRY_ATTEMPTS_MAX:
                    raise
                time.sleep(2**attempt)
        raise AssertionError("unreachable")


def settled(billing, charge):
    """A charge that is still `processing` settles by itself; the feed and webhooks tell, too."""
    while charge["status"] == "processing":
        time.sleep(1)
        _, _, charge = billing.once("GET", f"/v1/charges/{charge['id']}")
    return charge


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--dir", default=".cloakroom")
    arguments.add_argument("--internal", default="https://localhost:8444")
    arguments.add_argument("--capture", default="https://localhost:8443")
    arguments = arguments.parse_args()
    checkout = Client(arguments.internal, arguments.dir, "client-checkout")
    billing = Client(arguments.internal, arguments.dir, "client-billing")
    browser = Client(arguments.capture, arguments.dir)

    # A token. In real life the shopper's browser posts the card; billing only ever sees the id.
    _, _, session = checkout.once("POST", "/v1/capture_sessions", {"customer_ref": f"demo-{uuid.uuid4()}"})
    card = {"number": "4242424242424242", "exp_month": 12, "exp_year": 2034, "cvc": "123"}
    secret = {"Authorization": f"Bearer {session['client_secret']}"}
    _, _, token = browser.once("POST", "/v1/tokens", {"card": card}, secret)
    print("token   ", token["id"], token["card"]["brand"], token["card"]["last4"])

    # A charge, and its retry: one key is one charge, however often it is sent.
    order = {"token": token["id"], "amount": 1250, "currency": "eur"}
    key = f"invoice-{uuid.uuid4()}"
    _, _, charge = billing.until_answered("POST", "/v1/charges", order, key)
    _, headers, again = billing.until_answered("POST", "/v1/charges", order, key)
    assert again["id"] == charge["id"] and headers.get("idempotent-replayed") == "true"
    charge = settled(billing, charge)
    print("charge  ", charge["id"], charge["status"], charge["amount"], charge["currency"])

    # Authorized now, taken later, in part.
    order["capture"] = False
    _, _, held = billing.until_answered("POST", "/v1/charges", order, f"{key}-held")
    path = f"/v1/charges/{held['id']}/capture"
    _, _, held = billing.until_answered("POST", path, {"amount": 500}, f"{key}-capture")
    print("captured", held["id"], held["status"], held["amount_captured"])

    # Money back; more than was taken is refused.
    part = {"charge": charge["id"], "amount": 250, "reason": "requested_by_customer"}
    _, _, refund = billing.until_answered("POST", "/v1/refunds", part, f"{key}-refund")
    print("refund  ", refund["id"], refund["status"], refund["amount"])
    try:
        billing.until_answered("POST", "/v1/refunds", {"charge": charge["id"], "amount": 9999}, f"{key}-more")
        raise AssertionError("more than was taken")
    except Problem as problem:
        print("refused ", problem)

    # What happened, in order; keep the last id and ask for what came after it.
    wanted, seen, after = {f"charge.succeeded {charge['id']}", f"refund.succeeded {refund['id']}"}, set(), ""
    deadline = time.monotonic() + 30
    while not wanted <= seen and time.monotonic() < deadline:
        _, _, page = billing.once("GET", f"/v1/events?limit=100{after}")
        seen |= {f"{event['type']} {event['data']['id']}" for event in page["data"]}
        if page["data"]:
            after = f"&after={page['data'][-1]['id']}"
        time.sleep(0.2)
    assert wanted <= seen, "the feed tells of both"
    print("feed    ", len(seen), "events")


if __name__ == "__main__":
    main()
