"""Checks a proof of `cloakroom audit prove` with nothing of ours: the signed note of C2SP with
`cryptography`, and the inclusion path as RFC 9162, 2.1.3.2, says it is checked.

Arguments: the verifier key's file, the proof's file. Prints the event's line.
"""

import base64
import hashlib
import sys

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def sha256(data):
    return hashlib.sha256(data).digest()


def opened(vkey, note):
    """The lines of a note's text, when the key has signed it."""
    name, key_hash, key = vkey.strip().split("+", 2)
    key = base64.b64decode(key)
    assert key[:1] == b"\x01", "Ed25519"
    assert sha256(name.encode() + b"\n" + key)[:4].hex() == key_hash
    text, signatures = note.split("\n\n", 1)
    text += "\n"
    for line in signatures.splitlines():
        dash, signer, signature = line.split(" ")
        signature = base64.b64decode(signature)
        if (dash, signer, signature[:4].hex()) == ("\u2014", name, key_hash):
            Ed25519PublicKey.from_public_bytes(key[1:]).verify(signature[4:], text.encode())
            origin, size, root = text.splitlines()
            assert origin == name
            return int(size), base64.b64decode(root)
    raise AssertionError("nobody we know has signed it")


def root_of(leaf, index, size, path):
    """RFC 9162, 2.1.3.2."""
    assert index < size
    fn, sn, node = index, size - 1, sha256(b"\0" + leaf)
    for other in path:
        assert sn > 0
        if fn & 1 or fn == sn:
            node = sha256(b"\1" + other + node)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            node = sha256(b"\1" + node + other)
        fn, sn = fn >> 1, sn >> 1
    assert sn == 0
    return node


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        vkey = file.read()
    with open(sys.argv[2], encoding="utf-8") as file:
        proof, note = file.read().split("\n\n", 1)
    version, extra, index, *path = proof.splitlines()
    assert version == "c2sp.org/tlog-proof@v1"
    line = base64.b64decode(extra.removeprefix("extra "))
    size, root = opened(vkey, note)
    path = [base64.b64decode(hash) for hash in path]
    assert root_of(line, int(index.removeprefix("index ")), size, path) == root
    print(line.decode())


main()
