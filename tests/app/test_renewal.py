"""Certificates that are renewed in their files while they are served."""

from __future__ import annotations

import contextlib
import ssl

import pytest

from poolwright.app.certificates import Certificates
from poolwright.app.renewal import Renewal


@pytest.fixture
def context(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.folder / "server.crt", authority.folder / "server.key")
    return context


def served(context, authority):
    """The subject that a client of the context meets."""
    trusting = ssl.create_default_context(cafile=str(authority.ca))
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting.wrap_bio(back, there, server_hostname="localhost")
    server = context.wrap_bio(there, back, server_side=True)
    for side in (client, server, client, server):
        with contextlib.suppress(ssl.SSLWantReadError):
            side.do_handshake()
    subject = dict(pair for part in client.getpeercert()["subject"] for pair in part)
    return subject["commonName"]


def files(authority):
    folder = authority.folder
    return Certificates(authority.ca, folder / "server.crt", folder / "server.key", authority.ca)


def replace(authority, *suffixes):
    for suffix in suffixes:
        data = (authority.folder / f"other.{suffix}").read_bytes()
        (authority.folder / f"server.{suffix}").write_bytes(data)


def test_a_new_pair_is_served_once_it_is_whole(authority, context):
    renewal = Renewal(context, files(authority))
    renewal.look()
    assert served(context, authority) == "first"
    replace(authority, "crt")
    renewal.look()  # the certificate of one pair, and the key of another
    assert served(context, authority) == "first"
    replace(authority, "key")
    renewal.look()
    assert served(context, authority) == "second"


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_what_cannot_be_used_changes_nothing(authority, context, content):
    renewal = Renewal(context, files(authority))
    (authority.folder / "server.crt").unlink()
    if content is not None:
        (authority.folder / "server.crt").write_bytes(content)
    renewal.look()
    assert served(context, authority) == "first"
    replace(authority, "crt", "key")
    renewal.look()
    assert served(context, authority) == "second"
