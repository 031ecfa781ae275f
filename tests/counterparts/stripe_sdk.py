"""Stripe's own SDK as a client of our sandbox: what it can do there proves the sandbox Stripe-shaped.

Usage: stripe_sdk.py BASE_URL DIRECTORY

DIRECTORY is the one of `cloakroom sandbox`: its CA is trusted, and nothing else. The SDK speaks its
own API version, parses answers into its own types and turns errors into its own exceptions; what is
asserted here is what a merchant's code would see. Only published test card numbers are used.
"""

import http.server
import json
import pathlib
import queue
import ssl
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
import uuid

import stripe

# The sandbox posts signed events to /v1/webhook_endpoints' addresses. False until it does.
WEBHOOKS = True

VISA = "4242424242424242"
CHARGE_FAILS = "4000000000000341"
AUTHENTICATE_ALWAYS = "4000002760003184"
AUTHENTICATE_ONCE = "4000002500003155"
DECLINED = {
    # number: (code, decline_code)
    "4000000000000002": ("card_declined", "generic_decline"),
    "4000000000009995": ("card_declined", "insufficient_funds"),
    "4000000000009987": ("card_declined", "lost_card"),
    "4000000000009979": ("card_declined", "stolen_card"),
    "4000000000000069": ("expired_card", "expired_card"),
    "4000000000000127": ("incorrect_cvc", "incorrect_cvc"),
    "4000000000000119": ("processing_error", "processing_error"),
    CHARGE_FAILS: ("card_declined", "generic_decline"),
}

STEPS = []


def step(function):
    """A step of the test, run in the order of this file and told by its docstring."""
    STEPS.append(function)
    return function


class Shop:
    """A merchant with Stripe's SDK, pointed at the sandbox."""

    def __init__(self, base_url, directory):
        self.base_url, self.directory = base_url, directory
        stripe.ca_bundle_path = str(directory / "ca.pem")
        stripe.enable_telemetry = False
        self.stripe = self.client((directory / "stripe-internal.key").read_text().strip())
        self.api = self.stripe.v1

    def client(self, key):
        return stripe.StripeClient(
            key, base_addresses={"api": self.base_url}, max_network_retries=0
        )

    def method(self, number=VISA, **more):
        card = {"number": number, "exp_month": 12, "exp_year": 2034, "cvc": "123", **more}
        return self.api.payment_methods.create({"type": "card", "card": card})

    def saved(self, number=VISA):
        """A customer and a method attached to it without a set-up."""
        customer = self.api.customers.create()
        method = self.api.payment_methods.attach(
            self.method(number).id, {"customer": customer.id}
        )
        return customer, method

    def pay(self, number=VISA, amount=1250, options=None, **more):
        customer, method = self.saved(number)
        order = {
            "amount": amount,
            "currency": "eur",
            "customer": customer.id,
            "payment_method": method.id,
            "confirm": True,
            "off_session": True,
            **more,
        }
        return self.api.payment_intents.create(order, options or {})

    def answer_issuer(self, action, outcome):
        """The shopper at the issuer's page; answers where the page sends the browser."""
        assert action.type == "redirect_to_url", action
        context = ssl.create_default_context(cafile=str(self.directory / "ca.pem"))

        class Stay(urllib.request.HTTPRedirectHandler):
            def redirect_request(self, *_):
                return None

        opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), Stay)
        url = action.redirect_to_url.url
        page = opener.open(url, timeout=10).read().decode()
        assert "3-D Secure" in page, page
        body = urllib.parse.urlencode({"outcome": outcome}).encode()
        try:
            answer = opener.open(url, body, timeout=10)
        except urllib.error.HTTPError as redirect:
            answer = redirect
        assert answer.status in (302, 303), answer.status
        return answer.headers["Location"]


def refused(kind, call):
    """The SDK's exception of exactly that type."""
    try:
        done = call()
    except stripe.StripeError as error:
        assert type(error) is kind, f"{type(error).__name__}, not {kind.__name__}: {error}"
        return error
    raise AssertionError(f"not refused: {done}")


@step
def customers(shop):
    """a customer is made, read and found in a list"""
    made = shop.api.customers.create(
        {"name": "Zoë Ångström", "email": "zoe@example.org", "metadata": {"ref": "7"}}
    )
    assert type(made) is stripe.Customer and made.id.startswith("cus_")
    read = shop.api.customers.retrieve(made.id)
    assert (read.name, read.email, read.metadata["ref"]) == ("Zoë Ångström", "zoe@example.org", "7")
    listed = shop.api.customers.list({"limit": 1}).data
    assert [customer.id for customer in listed] == [made.id]


@step
def payment_methods(shop):
    """a raw test card becomes a PaymentMethod, is attached and detached, and is then spent"""
    method = shop.method()
    assert type(method) is stripe.PaymentMethod and method.customer is None
    card = method.card
    assert (card.brand, card.last4, card.exp_month, card.exp_year) == ("visa", "4242", 12, 2034)
    assert card.fingerprint == shop.method().card.fingerprint
    assert VISA not in json.dumps(method.to_dict())
    customer = shop.api.customers.create()
    attached = shop.api.payment_methods.attach(method.id, {"customer": customer.id})
    assert attached.customer == customer.id
    assert shop.api.payment_methods.detach(method.id).customer is None
    error = refused(
        stripe.InvalidRequestError,
        lambda: shop.api.payment_methods.attach(method.id, {"customer": customer.id}),
    )
    assert error.http_status == 400


@step
def bad_cards(shop):
    """what cannot be a card is a CardError with the parameter at fault"""
    for change, code, param in [
        ({"number": "4242424242424241"}, "incorrect_number", "number"),
        ({"exp_month": 13}, "invalid_expiry_month", "exp_month"),
        ({"exp_year": 2020}, "invalid_expiry_year", "exp_year"),
        ({"cvc": "1"}, "invalid_cvc", "cvc"),
    ]:
        error = refused(stripe.CardError, lambda: shop.method(**change))
        assert (error.http_status, error.code) == (402, code), (change, error.code)
        assert param in error.param, (change, error.param)


@step
def setup_intents(shop):
    """a SetupIntent makes a card reusable, after 3-D Secure where the issuer wants it"""
    customer = shop.api.customers.create()

    def set_up(number):
        return shop.api.setup_intents.create(
            {
                "customer": customer.id,
                "payment_method": shop.method(number).id,
                "confirm": True,
                "usage": "off_session",
                "return_url": "https://shop.example/back",
            }
        )

    done = set_up(VISA)
    assert (type(done), done.status) == (stripe.SetupIntent, "succeeded")
    assert shop.api.payment_methods.retrieve(done.payment_method).customer == customer.id

    for outcome, status in [("complete", "succeeded"), ("fail", "requires_payment_method")]:
        waiting = set_up(AUTHENTICATE_ONCE)
        assert waiting.status == "requires_action"
        back = shop.answer_issuer(waiting.next_action, outcome)
        assert back.startswith("https://shop.example/back") and waiting.id in back, back
        assert shop.api.setup_intents.retrieve(waiting.id).status == status


@step
def automatic_capture(shop):
    """a PaymentIntent is confirmed off session and takes the money at once"""
    paid = shop.pay(metadata={"order": "o-1"}, description="Two nights")
    assert (type(paid), paid.status) == (stripe.PaymentIntent, "succeeded")
    assert (paid.amount, paid.amount_received, paid.currency) == (1250, 1250, "eur")
    assert (paid.metadata["order"], paid.description) == ("o-1", "Two nights")
    charge = shop.api.charges.retrieve(paid.latest_charge)
    assert (charge.captured, charge.paid, charge.amount_captured) == (True, True, 1250)
    again = shop.api.payment_intents.retrieve(paid.id)
    assert again.status == "succeeded"


@step
def manual_capture(shop):
    """an authorized PaymentIntent is captured whole, in part, never beyond, and never twice"""
    whole = shop.pay(capture_method="manual")
    assert (whole.status, whole.amount_capturable) == ("requires_capture", 1250)
    captured = shop.api.payment_intents.capture(whole.id)
    assert (captured.status, captured.amount_received) == ("succeeded", 1250)

    part = shop.pay(capture_method="manual")
    beyond = refused(
        stripe.InvalidRequestError,
        lambda: shop.api.payment_intents.capture(part.id, {"amount_to_capture": 1251}),
    )
    assert (beyond.http_status, beyond.code) == (400, "amount_too_large")
    captured = shop.api.payment_intents.capture(part.id, {"amount_to_capture": 400})
    assert (captured.status, captured.amount_received, captured.amount) == ("succeeded", 400, 1250)
    twice = refused(stripe.InvalidRequestError, lambda: shop.api.payment_intents.capture(part.id))
    assert twice.code == "payment_intent_unexpected_state"
    assert twice.error.payment_intent.id == part.id


@step
def cancel(shop):
    """an authorized PaymentIntent is canceled; one that took money is not"""
    held = shop.pay(capture_method="manual")
    canceled = shop.api.payment_intents.cancel(
        held.id, {"cancellation_reason": "requested_by_customer"}
    )
    assert (canceled.status, canceled.amount_received) == ("canceled", 0)
    assert canceled.cancellation_reason == "requested_by_customer"
    paid = shop.pay()
    error = refused(stripe.InvalidRequestError, lambda: shop.api.payment_intents.cancel(paid.id))
    assert error.code == "payment_intent_unexpected_state"


@step
def refunds(shop):
    """refunds go up to what was taken, and one cent more is refused"""
    paid = shop.pay()
    part = shop.api.refunds.create(
        {"payment_intent": paid.id, "amount": 250, "reason": "requested_by_customer"}
    )
    assert (type(part), part.status, part.amount) == (stripe.Refund, "succeeded", 250)
    over = refused(
        stripe.InvalidRequestError,
        lambda: shop.api.refunds.create({"payment_intent": paid.id, "amount": 1001}),
    )
    assert (over.http_status, over.param) == (400, "amount")
    rest = shop.api.refunds.create({"payment_intent": paid.id})
    assert rest.amount == 1000
    empty = refused(
        stripe.InvalidRequestError, lambda: shop.api.refunds.create({"payment_intent": paid.id})
    )
    assert empty.code == "charge_already_refunded"
    assert shop.api.charges.retrieve(paid.latest_charge).refunded is True
    listed = shop.api.refunds.list({"payment_intent": paid.id}).data
    assert sorted(refund.id for refund in listed) == sorted([part.id, rest.id])


@step
def declines(shop):
    """each decline is a CardError with its decline_code and the PaymentIntent in it"""
    for number, (code, decline_code) in DECLINED.items():
        error = refused(stripe.CardError, lambda: shop.pay(number))
        assert (error.http_status, error.code) == (402, code), (number, error.code)
        assert error.error.decline_code == decline_code, (number, error.error.decline_code)
        intent = shop.api.payment_intents.retrieve(error.error.payment_intent.id)
        assert (intent.status, intent.amount_received) == ("requires_payment_method", 0)
        assert intent.last_payment_error.decline_code == decline_code


@step
def three_d_secure(shop):
    """3-D Secure: a redirect with the shopper there, authentication_required without"""
    for outcome, status in [("complete", "succeeded"), ("fail", "requires_payment_method")]:
        waiting = shop.pay(
            AUTHENTICATE_ALWAYS, off_session=False, return_url="https://shop.example/back"
        )
        assert waiting.status == "requires_action"
        back = shop.answer_issuer(waiting.next_action, outcome)
        assert back.startswith("https://shop.example/back") and waiting.id in back, back
        after = shop.api.payment_intents.retrieve(waiting.id)
        assert after.status == status
        assert after.amount_received == (1250 if outcome == "complete" else 0)
    error = refused(stripe.CardError, lambda: shop.pay(AUTHENTICATE_ALWAYS))
    assert (error.http_status, error.code) == (402, "authentication_required")
    assert error.error.payment_intent.id.startswith("pi_")


@step
def idempotency(shop):
    """a repeated key repeats the answer; with another request it is an IdempotencyError"""
    customer, method = shop.saved()
    order = {
        "amount": 990,
        "currency": "eur",
        "customer": customer.id,
        "payment_method": method.id,
        "confirm": True,
        "off_session": True,
    }
    key = {"idempotency_key": f"sdk-{uuid.uuid4()}"}
    first = shop.api.payment_intents.create(order, key)
    second = shop.api.payment_intents.create(order, key)
    assert second.id == first.id
    assert second.last_response.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.last_response.headers
    other = {**order, "amount": 991}
    error = refused(
        stripe.IdempotencyError, lambda: shop.api.payment_intents.create(other, key)
    )
    assert error.http_status == 400
    # A refusal is remembered as well: the same decline, and no second attempt at the issuer.
    customer, method = shop.saved(CHARGE_FAILS)
    order = {**order, "customer": customer.id, "payment_method": method.id}
    key = {"idempotency_key": f"sdk-{uuid.uuid4()}"}
    ids = {
        refused(
            stripe.CardError, lambda: shop.api.payment_intents.create(order, key)
        ).error.payment_intent.id
        for _ in range(2)
    }
    assert len(ids) == 1, ids


@step
def listing(shop):
    """auto-paging walks every page, newest first, without a gap or a repetition"""
    customer, method = shop.saved()
    order = {"amount": 100, "currency": "eur", "customer": customer.id}
    order |= {"payment_method": method.id, "confirm": True, "off_session": True}
    made = [shop.api.payment_intents.create(order).id for _ in range(7)]
    page = shop.api.payment_intents.list({"customer": customer.id, "limit": 3})
    assert (len(page.data), page.has_more) == (3, True)
    walked = [intent.id for intent in page.auto_paging_iter()]
    assert walked == made[::-1], (walked, made)


@step
def errors(shop):
    """errors are the SDK's own types: authentication, permission, missing, unknown parameter"""
    stranger = shop.client("sk_test_nobody")
    error = refused(stripe.AuthenticationError, lambda: stranger.v1.customers.create())
    assert error.http_status == 401
    restricted = shop.client((shop.directory / "stripe-capture.key").read_text().strip())
    error = refused(stripe.PermissionError, lambda: restricted.v1.customers.create())
    assert error.http_status == 403
    error = refused(
        stripe.InvalidRequestError, lambda: shop.api.payment_intents.retrieve("pi_nobody")
    )
    assert (error.http_status, error.code) == (404, "resource_missing")
    error = refused(
        stripe.InvalidRequestError, lambda: shop.api.customers.create({"nickname": "x"})
    )
    assert (error.http_status, error.code) == (400, "parameter_unknown")
    assert error.request_id and error.request_id.startswith("req_"), error.request_id


@step
def webhooks(shop):
    """events arrive signed; construct_event takes them, and nothing that was altered"""
    if not WEBHOOKS:
        error = refused(
            stripe.InvalidRequestError,
            lambda: shop.api.webhook_endpoints.create(
                {"url": "https://127.0.0.1:1/", "enabled_events": ["*"]}
            ),
        )
        assert error.http_status == 404, error
        print("     (expected: the sandbox has no webhook endpoints yet)")
        return
    arrived = queue.Queue()

    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            arrived.put((body, self.headers["Stripe-Signature"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(shop.directory / "server.pem", shop.directory / "server.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = shop.api.webhook_endpoints.create(
        {
            "url": f"https://127.0.0.1:{server.server_port}/hooks",
            "enabled_events": ["payment_intent.succeeded"],
        }
    )
    paid = shop.pay()
    body, signature = arrived.get(timeout=20)
    event = stripe.Webhook.construct_event(body, signature, endpoint.secret)
    assert event.type == "payment_intent.succeeded"
    assert event.data.object.id == paid.id
    for altered, secret in [
        (body.replace(b"1250", b"1"), endpoint.secret),
        (body, "whsec_of_somebody_else"),
    ]:
        try:
            stripe.Webhook.construct_event(altered, signature, secret)
        except stripe.SignatureVerificationError:
            continue
        raise AssertionError("an altered event was taken")
    server.shutdown()


def main():
    shop = Shop(sys.argv[1], pathlib.Path(sys.argv[2]))
    print(f"stripe {stripe.VERSION}, API {stripe.api_version}, against {shop.base_url}")
    for number, run in enumerate(STEPS, 1):
        print(f"{number:3}. {run.__name__}: {run.__doc__}", flush=True)
        run(shop)
    print(f"{len(STEPS)} steps passed")


if __name__ == "__main__":
    main()
