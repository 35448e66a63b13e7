"""The load generator: keep-alive connections of one process, one selector, no event loop.

Run: python bench/load.py HOST PORT SECONDS CONNECTIONS REQUESTS [--ca FILE]
REQUESTS is a file with a JSON list of whole HTTP/1.1 requests; they are sent in turn, and ``{n}``
in them is replaced by a running number of six digits. Prints one JSON line.

A peer that closes a connection (after each answer, or at any time) is connected to again. An
answer that takes longer than `ANSWER_SECONDS` is an error, and so is a connection that fails; the
run always ends `GRACE_SECONDS` after its time.
"""

from __future__ import annotations

import argparse
import json
import selectors
import socket
import ssl
import time
from collections import Counter
from pathlib import Path

import httptools

ANSWER_SECONDS = 10.0
GRACE_SECONDS = 10.0
WAIT_SECONDS = 0.5
ERRORS_MAX = 100
READ_BYTES = 65_536


class Requests:
    """What is sent, one after the other."""

    def __init__(self, texts: list[str]) -> None:
        self._requests = [text.encode() for text in texts]
        self._is_numbered = any(b"{n}" in each for each in self._requests)
        self._count = 0

    def next(self) -> bytes:
        request = self._requests[self._count % len(self._requests)]
        self._count += 1
        return request.replace(b"{n}", b"%06d" % self._count) if self._is_numbered else request


class Run:
    """What happened so far."""

    def __init__(self) -> None:
        self.statuses: Counter[int] = Counter()
        self.errors: Counter[str] = Counter()
        self.latencies: list[float] = []
        self.bytes = 0
        self.connects = 0

    def failed(self, reason: str) -> None:
        self.errors[reason] += 1
        if sum(self.errors.values()) > ERRORS_MAX:
            raise SystemExit(f"too many errors: {dict(self.errors)}")


class Client:
    """One connection with at most one request on its way. Methods are httptools' callbacks too."""

    def __init__(
        self,
        address: tuple[str, int],
        context: ssl.SSLContext | None,
        requests: Requests,
        run: Run,
        selector: selectors.BaseSelector,
    ) -> None:
        self._address, self._context = address, context
        self._requests, self._run, self._selector = requests, run, selector
        self._socket: socket.socket | None = None
        self.sent_at = 0.0
        self._is_whole, self._is_kept = True, False

    def connect(self) -> None:
        plain = socket.create_connection(self._address, ANSWER_SECONDS)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._context is not None:
            plain = self._context.wrap_socket(plain, server_hostname=self._address[0])
        plain.setblocking(False)
        self._socket = plain
        self._selector.register(plain, selectors.EVENT_READ, self)
        self._parser = httptools.HttpResponseParser(self)
        self._run.connects += 1

    def close(self) -> None:
        if self._socket is not None:
            self._selector.unregister(self._socket)
            self._socket.close()
            self._socket = None

    def send(self) -> None:
        """Send the next request; once more over a new connection where the kept one is gone."""
        request = self._requests.next()
        self.sent_at = time.perf_counter()
        self._is_whole = False
        for attempt in range(2):
            try:
                if self._socket is None:
                    self.connect()
                assert self._socket is not None
                taken = self._socket.send(request)
                assert taken == len(request), "a request is smaller than a socket's buffer"
            except OSError as error:
                self.close()
                if attempt:
                    self._run.failed(type(error).__name__)
            else:
                return

    def on_message_complete(self) -> None:
        self._is_whole = True
        self._is_kept = self._parser.should_keep_alive()

    def receive(self) -> bool:
        """Read what is there; whether an answer is whole (or lost), so that the next may go."""
        assert self._socket is not None
        while True:
            try:
                data = self._socket.recv(READ_BYTES)
            except (ssl.SSLWantReadError, BlockingIOError):
                return False
            except OSError as error:
                return self._lost(type(error).__name__)
            if not data:
                return self._lost("closed before the answer")
            self._run.bytes += len(data)
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserError as error:
                return self._lost(str(error))
            if self._is_whole:
                self._run.statuses[self._parser.get_status_code()] += 1
                self._run.latencies.append(time.perf_counter() - self.sent_at)
                if not self._is_kept:
                    self.close()
                return True

    def _lost(self, reason: str) -> bool:
        self.close()
        self._run.failed(reason)
        return True

    def check(self, now: float) -> bool:
        """Whether the answer is overdue: then it counts as lost."""
        return now - self.sent_at > ANSWER_SECONDS and self._lost("no answer in time")


def drive(
    clients: list[Client], selector: selectors.BaseSelector, seconds: float
) -> tuple[float, float, int]:
    """Let the clients ask for so long: real seconds, CPU seconds, and who was never answered."""
    for client in clients:
        client.connect()
    cpu, began = time.process_time(), time.perf_counter()
    end = began + seconds
    for client in clients:
        client.send()
    busy = set(clients)
    while busy and (now := time.perf_counter()) < end + GRACE_SECONDS:
        ready = [key.data for key, _ in selector.select(WAIT_SECONDS)]
        free = [each for each in ready if each.receive()]
        free += [] if ready else [each for each in busy if each.check(now)]
        for client in free:
            if now < end:
                client.send()
            else:
                busy.discard(client)
    return time.perf_counter() - began, time.process_time() - cpu, len(busy)


def work(options: argparse.Namespace) -> dict[str, object]:
    context = ssl.create_default_context(cafile=options.ca) if options.ca else None
    requests = Requests(json.loads(Path(options.requests).read_text()))
    run, selector = Run(), selectors.DefaultSelector()
    clients = [
        Client((options.host, options.port), context, requests, run, selector)
        for _ in range(options.connections)
    ]
    try:
        took, cpu, busy = drive(clients, selector, options.seconds)
    finally:
        for client in clients:
            client.close()
        selector.close()
    if busy:
        run.errors["no answer in time"] += busy
    latencies = sorted(run.latencies) or [0.0]
    return {
        "requests": len(run.latencies),
        "seconds": round(took, 3),
        "statuses": {str(status): count for status, count in sorted(run.statuses.items())},
        "errors": dict(run.errors),
        "connects": run.connects,
        "bytes_per_answer": round(run.bytes / max(1, len(run.latencies))),
        "latency_ms": {
            "median": round(latencies[len(latencies) // 2] * 1e3, 2),
            "p99": round(latencies[int(len(latencies) * 0.99)] * 1e3, 2),
        },
        "generator_cpu_share": round(cpu / took, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("connections", type=int)
    parser.add_argument("requests")
    parser.add_argument("--ca")
    print(json.dumps(work(parser.parse_args())))


if __name__ == "__main__":
    main()
