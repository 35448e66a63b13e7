"""The load generator: it reconnects, it counts what was lost, and it always ends."""

from __future__ import annotations

import argparse
import importlib.util
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"
REQUEST = "GET /{n} HTTP/1.1\r\nHost: x\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

spec = importlib.util.spec_from_file_location("load", BENCH / "load.py")
assert spec is not None
assert spec.loader is not None
load = importlib.util.module_from_spec(spec)
spec.loader.exec_module(load)


@contextmanager
def server(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that treats every connection in a thread of its own; its port."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:

        def accept() -> None:
            while True:
                try:
                    one, _ = listening.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(one,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)


def run(port: int, folder: Path, *, seconds: float = 0.2, connections: int = 2) -> dict:
    requests = folder / "requests.json"
    requests.write_text(json.dumps([REQUEST]))
    return load.work(
        argparse.Namespace(
            host="127.0.0.1",
            port=port,
            seconds=seconds,
            connections=connections,
            requests=str(requests),
            ca=None,
        )
    )


def answer(one: socket.socket, answers: int) -> None:
    """Answer so many requests, then close."""
    with one:
        for _ in range(answers):
            if not one.recv(65_536):
                return
            one.sendall(ANSWER)


def test_a_kept_connection_is_used_again(tmp_path):
    with server(lambda one: answer(one, 1_000_000)) as port:
        found = run(port, tmp_path)

    assert found["statuses"] == {"200": found["requests"]}
    assert found["requests"] > 2
    assert found["connects"] == 2
    assert not found["errors"]


def test_a_peer_that_says_that_it_closes_is_connected_to_again(tmp_path):
    def serve(one: socket.socket) -> None:
        with one:
            one.recv(65_536)
            one.sendall(ANSWER.replace(b"content-length", b"connection: close\r\ncontent-length"))

    with server(serve) as port:
        found = run(port, tmp_path)

    assert found["requests"] > 2
    assert found["connects"] == found["requests"]
    assert not found["errors"]


def test_a_peer_that_closes_without_a_word_costs_an_error_and_not_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(load, "ERRORS_MAX", 10**9)
    with server(lambda one: answer(one, 3)) as port:
        found = run(port, tmp_path)

    assert found["requests"] > 6
    assert found["connects"] > 2


def test_a_peer_that_never_answers_does_not_hold_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(load, "ANSWER_SECONDS", 0.05)
    monkeypatch.setattr(load, "GRACE_SECONDS", 0.1)
    held = []
    with server(held.append) as port:
        found = run(port, tmp_path, seconds=0.1)

    assert found["requests"] == 0
    assert found["seconds"] < 5
    assert found["errors"]["no answer in time"] >= 2
    for one in held:
        one.close()


def test_a_peer_that_is_not_there_ends_the_run_at_once(tmp_path):
    with closing(socket.create_server(("127.0.0.1", 0))) as gone:
        port = gone.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        run(port, tmp_path)
