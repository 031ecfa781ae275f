"""Runs a Python module as if the machine had one address, 127.0.0.1, and one temporary directory.

Usage: loopback_only.py DIRECTORY MODULE ARGUMENT...

localstripe listens on every interface and writes the card numbers it was sent to a fixed file in
/tmp. It is not ours to change, and here it is not changed: what it asks of Python's standard library
is answered more narrowly. Every socket it binds is bound to 127.0.0.1, and a file that it opens
directly in /tmp is opened in DIRECTORY.
"""

import builtins
import os
import runpy
import socket
import sys

DIRECTORY, MODULE = sys.argv[1:3]
plain_open = builtins.open


class LoopbackSocket(socket.socket):
    """A socket whose listeners nobody but this machine can reach."""

    def __init__(self, family=-1, *arguments, **named):
        # ::1 is not on every machine; 127.0.0.1 is.
        super().__init__(
            socket.AF_INET if family == socket.AF_INET6 else family, *arguments, **named
        )

    def bind(self, address):
        if self.family == socket.AF_INET:
            address = ("127.0.0.1", address[1])
        super().bind(address)


def confined_open(file, *arguments, **named):
    if isinstance(file, str) and os.path.dirname(file) == "/tmp":
        file = os.path.join(DIRECTORY, os.path.basename(file))
    return plain_open(file, *arguments, **named)


socket.socket = LoopbackSocket
builtins.open = confined_open
sys.argv = [MODULE, *sys.argv[3:]]
runpy.run_module(MODULE, run_name="__main__", alter_sys=True)
