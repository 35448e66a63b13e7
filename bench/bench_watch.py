"""What telling a hundred watchers of one stream of changes costs: CPU seconds per event.

``fan_out`` is one measurement with one client, whoever serves: the embedded Kubernetes or the real
one. Alone, the program runs it against both (against the first only, without the tools of
``make live-tools``) and keeps ``bench/results/watch.json``.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from measured import cpu_seconds, machine, write_result

sys.path[:0] = [str(Path(__file__).parent.parent / name) for name in ("tests", "tools")]
import live_tools  # noqa: E402

from embedded_stack import EmbeddedStack  # noqa: E402
from live_stack import COMPONENTS, LiveStack  # noqa: E402

MERGE = "application/merge-patch+json"
NAMES = 10
"""Objects that the changes go round."""
_CHUNK_END = b"\r\n"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a cluster is served, and as whom to call."""

    host: str
    port: int
    prefix: str
    tls: ssl.SSLContext
    token: str

    @classmethod
    def of(cls, kubeconfig: Path, folder: Path) -> Address:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        tls = ssl.create_default_context(cadata=authority)
        if "client-certificate-data" in user and "token" not in user:
            pair = folder / "client.pem"
            parts = (user["client-certificate-data"], user["client-key-data"])
            pair.write_bytes(b"".join(base64.b64decode(part) for part in parts))
            tls.load_cert_chain(pair)
        url = urlsplit(cluster["server"])
        assert url.hostname is not None
        return cls(url.hostname, url.port or 443, url.path.rstrip("/"), tls, user.get("token", ""))


class Connection:
    """One connection, as little as HTTP/1.1 needs: what it costs us is not measured."""

    def __init__(self, address: Address) -> None:
        self._address = address

    async def open(self) -> None:
        address = self._address
        self._reader, self._writer = await asyncio.open_connection(
            address.host, address.port, ssl=address.tls, limit=1 << 20
        )

    async def request(self, method: str, path: str, body: Any = None, media: str = "") -> int:
        """Send a request and read the head of the answer; the status."""
        content = b"" if body is None else json.dumps(body).encode()
        address = self._address
        head = [
            f"{method} {address.prefix}{path} HTTP/1.1",
            f"Host: {address.host}:{address.port}",
            f"Content-Type: {media or 'application/json'}",
            f"Content-Length: {len(content)}",
            "Accept: application/json",
        ]
        head += [f"Authorization: Bearer {address.token}"] if address.token else []
        self._writer.write("\r\n".join([*head, "", ""]).encode() + content)
        await self._writer.drain()
        answer = await self._reader.readuntil(b"\r\n\r\n")
        lines = answer.decode().lower().split("\r\n")
        self._headers = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
        return int(lines[0].split()[1])

    async def body(self) -> bytes:
        """The whole body of an answer."""
        if "content-length" in self._headers:
            return await self._reader.readexactly(int(self._headers["content-length"]))
        parts = []
        while part := await self.chunk():
            parts.append(part)
        return b"".join(parts)

    async def chunk(self) -> bytes:
        """The next part of a body that comes in parts; empty at its end."""
        size = int(await self._reader.readuntil(_CHUNK_END), 16)
        return (await self._reader.readexactly(size + 2))[:size]

    async def call(self, method: str, path: str, body: Any = None, media: str = "") -> Any:
        """A request that must be answered well; the body."""
        status = await self.request(method, path, body, media)
        content = await self.body()
        assert status < 300, f"{method} {path}: {status} {content[:300]!r}"
        return json.loads(content)

    def close(self) -> None:
        self._writer.close()


@dataclass(slots=True)
class Watcher:
    """One watch; it counts lines."""

    connection: Connection
    events: int = 0
    arrived: list[float] = field(default_factory=list)

    async def read(self) -> None:
        while part := await self.connection.chunk():
            self.events += part.count(b"\n")
            self.arrived.append(time.monotonic())


Cost = Callable[[], float]


async def fan_out(
    kubeconfig: Path,
    cost: Cost,
    *,
    watchers: int = 100,
    changes: int = 300,
    namespace: str = "default",
) -> dict[str, float]:
    """Change objects in turn, unwatched and then watched; ``cost`` is the server's CPU so far.

    What an event costs is the difference between the two, by the events that were delivered.
    """
    with tempfile.TemporaryDirectory() as folder:
        address = Address.of(kubeconfig, Path(folder))
    writer = Connection(address)
    await writer.open()
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    for index in range(NAMES):
        await writer.call("POST", path, _map(index))
    try:
        await _write(writer, path, changes // 4)  # warm
        alone_cpu, alone_wall = await _measured(cost, _write(writer, path, changes))
        listed = await writer.call("GET", path)
        version = listed["metadata"]["resourceVersion"]
        watching = [Watcher(Connection(address)) for _ in range(watchers)]
        before_opening = cost()
        await _open(watching, f"{path}?watch=1&resourceVersion={version}&timeoutSeconds=600")
        opening_cpu = cost() - before_opening
        expected = watchers * changes
        async with asyncio.TaskGroup() as group:
            readers = [group.create_task(each.read()) for each in watching]
            told = _told(writer, path, changes, watching)
            watched_cpu, watched_wall = await _measured(cost, told)
            for reader in readers:
                reader.cancel()
        assert sum(each.events for each in watching) == expected
        for each in watching:
            each.connection.close()
    finally:
        for index in range(NAMES):
            await writer.call("DELETE", f"{path}/bench-{index}")
        writer.close()
    per_event = (watched_cpu - alone_cpu) / expected
    return {
        "watchers": watchers,
        "changes": changes,
        "events": expected,
        "cpu_microseconds_per_event": round(per_event * 1e6, 2),
        "cpu_milliseconds_per_change_unwatched": round(alone_cpu / changes * 1e3, 3),
        "cpu_milliseconds_per_change_watched": round(watched_cpu / changes * 1e3, 3),
        "cpu_milliseconds_per_watch_opened": round(opening_cpu / watchers * 1e3, 3),
        "events_per_second": round(expected / watched_wall),
        "wall_seconds_unwatched": round(alone_wall, 2),
        "wall_seconds_watched": round(watched_wall, 2),
    }


def _map(index: int) -> Any:
    """About 1 KB, as most objects are."""
    return {"metadata": {"name": f"bench-{index}"}, "data": {"n": "0", "text": "x" * 700}}


async def _write(writer: Connection, path: str, changes: int) -> None:
    base = time.monotonic_ns()
    for index in range(changes):
        body = {"data": {"n": str(base + index)}}
        await writer.call("PATCH", f"{path}/bench-{index % NAMES}", body, MERGE)


async def _open(watching: Sequence[Watcher], path: str) -> None:
    for each in watching:
        await each.connection.open()
        status = await each.connection.request("GET", path)
        assert status == 200, status


async def _told(writer: Connection, path: str, changes: int, watching: Sequence[Watcher]) -> None:
    """Write, and wait until everybody was told of everything."""
    await _write(writer, path, changes)
    deadline = time.monotonic() + 120
    while any(each.events < changes for each in watching):
        assert time.monotonic() < deadline, "not every event came"
        await asyncio.sleep(0.01)


async def _measured(cost: Cost, work: Any) -> tuple[float, float]:
    cpu, wall = cost(), time.monotonic()
    await work
    return cost() - cpu, time.monotonic() - wall


def cost_of(pids: Sequence[int]) -> Cost:
    """The CPU time of these processes together."""
    return lambda: sum(cpu_seconds(pid) for pid in pids)


def summary(results: Sequence[dict[str, float]]) -> dict[str, Any]:
    """The median figure by figure, and between what a busy machine let the cost of an event lie."""
    costs = [each["cpu_microseconds_per_event"] for each in results]
    middle = {name: statistics.median(each[name] for each in results) for name in results[0]}
    return {**middle, "cpu_microseconds_per_event_range": [min(costs), max(costs)]}


def main() -> None:
    began = machine()
    measured: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        embedded = EmbeddedStack(Path(folder) / "embedded", nodes=1)
        stacks: dict[str, Any] = {"embedded": embedded}
        try:
            live_tools.require(*COMPONENTS)
        except live_tools.ToolsMissing as missing:
            print(f"the real one is left out: {missing}")
        else:
            stacks["real"] = LiveStack(Path(folder) / "real", nodes=1)
        for name, stack in stacks.items():
            stack.start()
            try:
                pids = (
                    [stack.server.process.pid]
                    if name == "embedded"
                    else [stack.pids()[each] for each in ("etcd", "kube-apiserver")]
                )
                runs = [asyncio.run(fan_out(stack.kubeconfig, cost_of(pids))) for _ in range(3)]
                measured[name] = summary(runs)
            finally:
                stack.stop()
            print(name, json.dumps(measured[name]), flush=True)
    write_result("watch", began, {"fan_out": measured})


if __name__ == "__main__":
    main()
