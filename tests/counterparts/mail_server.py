"""A mail server (aiosmtpd) that keeps what it is sent.

Usage: mail_server.py MODE CERTIFICATE KEY FILE

MODE is `tls` (from the first byte), `starttls` (required, with a user and a password) or `plain`
(it offers no TLS at all). Prints where it listens, and adds a line of JSON to FILE for each command
that begins a message and for each message.
"""

import asyncio
import json
import signal
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

MODE, CERTIFICATE, KEY, FILE = sys.argv[1:5]


class Keeper:
    def keep(self, **what):
        with open(FILE, "a", encoding="utf-8") as file:
            file.write(json.dumps(what) + "\n")

    async def handle_MAIL(self, server, session, envelope, address, options):
        self.keep(begun=address, tls=session.ssl is not None)
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("full@"):
            return "452 4.2.2 mailbox full"
        if address.startswith("gone@"):
            return "550 5.1.1 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        self.keep(to=envelope.rcpt_tos, text=envelope.content.decode("utf-8"))
        return "250 OK"


def authenticator(server, session, envelope, mechanism, data):
    good = isinstance(data, LoginPassword) and data == LoginPassword(b"cloakroom", b"correct horse")
    return AuthResult(success=good)


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(CERTIFICATE, KEY)
named = {}
if MODE == "starttls":
    named = {
        "tls_context": context,
        "require_starttls": True,
        "authenticator": authenticator,
        "auth_required": True,
    }


async def serve():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(Keeper(), hostname="localhost", loop=loop, **named),
        host="127.0.0.1",
        port=0,
        ssl=context if MODE == "tls" else None,
    )
    print(f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


signal.signal(signal.SIGTERM, lambda *_: sys.exit())
asyncio.run(serve())
