"""What no HTTP client sends, over TLS to a real server: it answers or closes, and serves on."""

from __future__ import annotations

import json
import socket
import ssl

import pytest

from server_process import ServerProcess

pytestmark = pytest.mark.slow  # a server process

PATH = "/subscriptions/11111111-1111-1111-1111-111111111111/resourcegroups/raw"
TOKEN = "raw"
CONFIG = f"""
[arm]
body_timeout = "PT0.3S"
body_bytes_max = 65536
development_tokens = ["{TOKEN}"]
"""
HEAD = (
    f"PUT {PATH}?api-version=2024-11-01 HTTP/1.1\r\nhost: localhost\r\n"
    f"authorization: Bearer {TOKEN}\r\ncontent-type: application/json\r\n"
).encode()
GOOD = b'{"location":"eastus"}'


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    process = ServerProcess(tmp_path_factory.mktemp("raw") / "data", config=CONFIG)
    process.start()
    yield process
    assert process.stop() == 0
    assert "Traceback" not in process.log()


def connected(server):
    context = ssl.create_default_context(cafile=server.variables()["REQUESTS_CA_BUNDLE"])
    plain = socket.create_connection(("localhost", server.port), timeout=10)
    return context.wrap_socket(plain, server_hostname="localhost")


def answer_to(server, sent, *, ends=False):
    """The bytes that come back until the server closes or has answered; b"" if it only closes."""
    got = b""
    with connected(server) as wire:
        try:
            wire.sendall(sent)
            if ends:
                wire.unwrap().shutdown(socket.SHUT_WR)
                return got
            while b"\r\n\r\n" not in got or not is_whole(got):
                piece = wire.recv(65536)
                if not piece:
                    break
                got += piece
        except TimeoutError:
            pytest.fail("neither an answer nor a close")
        except OSError:  # closed, with TLS or without
            pass
    return got


def is_whole(got):
    head, _, body = got.partition(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return len(body) >= int(line.partition(b":")[2])
    return True


def status_of(got):
    return int(got.split(b" ", 2)[1]) if got else 0


def serves_on(server):
    got = answer_to(server, b"GET /metadata/endpoints?api-version=2022-09-01 HTTP/1.1\r\n"
                            b"host: localhost\r\nconnection: close\r\n\r\n")  # fmt: skip
    assert status_of(got) == 200


def group_is_absent(server):
    got = answer_to(server, HEAD.replace(b"PUT", b"GET", 1) + b"connection: close\r\n\r\n")
    assert status_of(got) == 404, got


def test_a_slow_body_is_408(server):
    got = answer_to(server, HEAD + b"content-length: 21\r\n\r\n" + GOOD[:5])
    assert status_of(got) == 408
    assert json.loads(got.partition(b"\r\n\r\n")[2])["error"]["code"] == "RequestTimeout"
    group_is_absent(server)
    serves_on(server)


def test_a_body_that_ends_early_changes_nothing(server):
    answer_to(server, HEAD + b"content-length: 22\r\n\r\n" + GOOD, ends=True)
    group_is_absent(server)
    serves_on(server)


REFUSED = {
    "a header of a megabyte": HEAD + b"x-a: " + b"a" * 1_000_000 + b"\r\n\r\n",
    "a hundred thousand headers": HEAD + b"x-a: 1\r\n" * 100_000 + b"\r\n",
    "a path of a megabyte": b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "no HTTP": b"\x16\x03\x01 nonsense\r\n\r\n",
    "another HTTP": b"GET / HTTP/9.9\r\nhost: localhost\r\n\r\n",
    "a length that is none": HEAD + b"content-length: x\r\n\r\n" + GOOD,
    "a negative length": HEAD + b"content-length: -1\r\n\r\n" + GOOD,
    "two lengths": HEAD + b"content-length: 21\r\ncontent-length: 5\r\n\r\n" + GOOD,
    "a length and chunks": HEAD
    + b"content-length: 21\r\ntransfer-encoding: chunked\r\n\r\n15\r\n"
    + GOOD
    + b"\r\n0\r\n\r\n",
    "a chunk that is none": HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n" + GOOD,
    "a header without a name": HEAD + b": x\r\n\r\n",
    "a bare line feed": HEAD + b"x-a: a\rb\r\n\r\n",
    "a body above the limit": HEAD + b"content-length: 70000\r\n\r\n" + b" " * 70000,
    "a body above the limit in chunks": HEAD
    + b"transfer-encoding: chunked\r\n\r\n"
    + (b"2000\r\n" + b" " * 0x2000 + b"\r\n") * 9
    + b"0\r\n\r\n",
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_request_that_is_none_is_refused(server, name):
    got = answer_to(server, REFUSED[name])
    expected = {413} if name.startswith("a body above") else {0, *range(400, 500)}
    assert status_of(got) in expected, got[:200]
    group_is_absent(server)
    serves_on(server)
