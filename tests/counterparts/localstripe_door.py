"""TLS in front of localstripe, and the few words in which it and today's Stripe differ.

Usage: localstripe_door.py CERTIFICATE KEY DIRECTORY

Starts localstripe 1.15.10 as a process of its own on a free loopback port, its file in DIRECTORY,
then serves HTTPS on a free loopback port, prints that URL, and passes everything through: methods,
paths, headers, bodies and answers, byte for byte, except what TRANSLATIONS names. Nothing is
remembered here, nothing is retried, and nothing that localstripe cannot do is done for it.
"""

import asyncio
import json
import re
import signal
import ssl
import sys
import urllib.parse

import aiohttp
from aiohttp import web

TRANSLATIONS = [
    # (name, where, why)
    (
        "types",
        "POST /v1/setup_intents, /v1/payment_intents: allowed_payment_method_types becomes"
        " payment_method_types",
        "Stripe renamed it in 2026-09-30.endive; localstripe has the older name",
    ),
    (
        "confirm",
        "POST /v1/setup_intents with confirm=true becomes a create and a POST …/confirm",
        "localstripe refuses confirm and payment_method at creation",
    ),
    (
        "return_url",
        "POST /v1/setup_intents, /v1/payment_intents: return_url is dropped",
        "localstripe refuses it, having no page to return from",
    ),
    (
        "reasons",
        "POST …/cancel: cancellation_reason is dropped; POST /v1/refunds: reason is dropped",
        "localstripe refuses both; they are remarks and change nothing",
    ),
    (
        "card_error",
        "answers of status 402: type invalid_request_error becomes card_error",
        "localstripe types every error invalid_request_error; Stripe types each 402 card_error",
    ),
]

# Of one connection only, or set anew by whoever sends the message on.
HOP_BY_HOP = {
    "connection",
    "content-encoding",
    "content-length",
    "host",
    "keep-alive",
    "transfer-encoding",
}


class Door:
    def __init__(self, localstripe, session):
        self.localstripe, self.session = localstripe, session

    async def ask(self, method, path, headers, body=None):
        headers = {
            name: value for name, value in headers.items() if name.lower() not in HOP_BY_HOP
        }
        url = self.localstripe + path
        async with self.session.request(method, url, headers=headers, data=body) as answer:
            return answer.status, answer.headers, await answer.read()

    async def pass_through(self, request):
        body = await request.read()
        if request.method == "POST":
            body, held_back = translate_form(request.path, body)
        else:
            held_back = None
        answer = await self.ask(request.method, request.path_qs, request.headers, body or None)
        if held_back and answer[0] == 200:
            # "confirm"
            made = json.loads(answer[2])["id"]
            path = f"/v1/setup_intents/{made}/confirm"
            answer = await self.ask("POST", path, request.headers, held_back)
        status, headers, body = answer
        if status == 402:
            body = translate_decline(body)
        kept = {name: value for name, value in headers.items() if name.lower() not in HOP_BY_HOP}
        return web.Response(status=status, headers=kept, body=body)


def translate_decline(body):
    document = json.loads(body)
    # "card_error"
    document["error"]["type"] = "card_error"
    return json.dumps(document).encode()


def translate_form(path, body):
    """The form as localstripe takes it, and the form of the confirmation that is to follow."""
    pairs = urllib.parse.parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=bool(body))
    before = list(pairs)
    held_back = None
    if path in ("/v1/setup_intents", "/v1/payment_intents"):
        # "types"
        pairs = [(re.sub(r"^allowed_(payment_method_types\b)", r"\1", k), v) for k, v in pairs]
        # "return_url"
        pairs = [(k, v) for k, v in pairs if k != "return_url"]
    if path == "/v1/setup_intents" and ("confirm", "true") in pairs:
        # "confirm"
        later = [(k, v) for k, v in pairs if k == "payment_method"]
        held_back = urllib.parse.urlencode(later).encode()
        pairs = [(k, v) for k, v in pairs if k not in ("confirm", "payment_method")]
    # "reasons"
    if path.endswith("/cancel"):
        pairs = [(k, v) for k, v in pairs if k != "cancellation_reason"]
    if path == "/v1/refunds":
        pairs = [(k, v) for k, v in pairs if k != "reason"]
    if pairs != before:
        body = urllib.parse.urlencode(pairs).encode()
    return body, held_back


async def start_localstripe(directory):
    """The process, and where it listens: it says so on its standard output."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-u", str(__file__).replace("localstripe_door", "loopback_only"), directory),
        *("localstripe", "--from-scratch", "--port", "0"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    while line := await process.stdout.readline():
        if found := re.search(rb"http://127\.0\.0\.1:\d+", line):
            return process, found.group().decode()
    raise SystemExit("localstripe did not start")


async def main():
    certificate, key, directory = sys.argv[1:]
    asked_to_stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked_to_stop.set)
    process, localstripe = await start_localstripe(directory)
    try:
        async with aiohttp.ClientSession(auto_decompress=True) as session:
            application = web.Application()
            application.router.add_route("*", "/{path:.*}", Door(localstripe, session).pass_through)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key)
            runner = web.AppRunner(application)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
            print(f"https://127.0.0.1:{runner.addresses[0][1]}", flush=True)
            await asked_to_stop.wait()
            await runner.cleanup()
    finally:
        process.terminate()
        await process.wait()


if __name__ == "__main__":
    asyncio.run(main())
