"""What the embedded store does per second, beside raw sqlite3 with the same synchronous.

Run: python bench/bench_store.py [--writers 100] [--seconds 0.2]
The raw side runs the same upserts of ``objects`` (and, for the fair line, the same rows of
``changes`` and ``scopes``) in transactions of as many rows as there are concurrent writers.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import sqlite3
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from types import NoneType
from typing import Any

from measured import machine, synchronous_read, write_result

from poolwright.model.agent_pool import AGENT_POOL, AgentPoolSpec, AgentPoolStatus
from poolwright.model.record import Kind
from poolwright.ports.store import Create, Update
from poolwright.store import SqlStore

ROUNDS = 11
NOW = datetime(2026, 1, 1, tzinfo=UTC)
BLOB = Kind("Pod", bytes, NoneType)
BODY = os.urandom(1500).hex().encode()
SPEC = AgentPoolSpec("gpunp", "Standard_NC24ads_A100_v4", 3, "1.35.4", "image")
SCHEMA = """
CREATE TABLE objects (scope TEXT, kind TEXT, name TEXT, uid TEXT, revision INTEGER,
  generation INTEGER, spec BLOB, status BLOB, created_at INTEGER, deleted_at INTEGER,
  PRIMARY KEY (scope, kind, name));
CREATE TABLE changes (scope TEXT, revision INTEGER, kind TEXT, name TEXT, deleted BOOLEAN, uid TEXT,
  generation INTEGER, spec BLOB, status BLOB, created_at INTEGER, deleted_at INTEGER,
  PRIMARY KEY (scope, revision));
CREATE TABLE scopes (scope TEXT PRIMARY KEY, revision INTEGER);
"""


class RealClock:
    def monotonic(self) -> float:
        return time.monotonic()


def open_raw(path: Path, synchronous: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(f"PRAGMA synchronous={synchronous}")
    connection.executescript(SCHEMA)
    return connection


def put_raw(
    connection: sqlite3.Connection, batch: int, count: int, body: bytes, *, logged: bool
) -> None:
    """One commit of a batch."""
    status = b"y" * 500 if logged else None
    rows = [
        ("arm/s/g/c", "AgentPool", str(i), "uid", count + i, 1, body, status, 0, None)
        for i in range(batch)
    ]
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany("INSERT OR REPLACE INTO objects VALUES (?,?,?,?,?,?,?,?,?,?)", rows)
    if logged:
        connection.executemany(
            "INSERT INTO changes VALUES (?,?,?,?,?,?,?,?,?,?,?)",
            [(r[0], r[4], r[1], r[2], 0, r[3], *r[5:]) for r in rows],
        )
    connection.execute("INSERT OR REPLACE INTO scopes VALUES (?,?)", ("arm/s/g/c", count))
    connection.execute("COMMIT")


def raw(
    path: Path, batch: int, seconds: float, *, body: bytes, logged: bool, synchronous: str
) -> float:
    """Rows of ``objects`` per second."""
    connection = open_raw(path, synchronous)
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        put_raw(connection, batch, count, body, logged=logged)
        count += batch
    took = time.perf_counter() - began
    connection.close()
    return count / took


def two_files(folder: Path, seconds: float) -> dict[str, float]:
    """Ticks per second with 10 ARM rows and 90 Kubernetes rows each: one commit or two."""
    found: dict[str, float] = {}
    for name, names in (("one_file", ["one"]), ("two_files", ["arm", "kube"])):
        files = [
            open_raw(folder / f"{uuid.uuid4()}.db", "NORMAL" if file == "kube" else "FULL")
            for file in names
        ]
        count, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            if len(files) == 1:
                put_raw(files[0], 100, count * 100, BODY, logged=False)
            else:
                put_raw(files[0], 10, count * 10, BODY, logged=False)
                put_raw(files[1], 90, count * 90, BODY, logged=False)
            count += 1
        found[name] = count / (time.perf_counter() - began)
        for file in files:
            file.close()
    return found


def alternatives(folder: Path, seconds: float) -> dict[str, float]:
    """What the decisions of ADR 0001 are about, on raw sqlite3; medians of interleaved rounds."""

    def rows(batch: int, *, logged: bool, synchronous: str) -> float:
        path = folder / f"{uuid.uuid4()}.db"
        return raw(path, batch, seconds, body=BODY, logged=logged, synchronous=synchronous)

    rounds: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for name, value in (
            ("full_alone_rows", rows(1, logged=False, synchronous="FULL")),
            ("full_by_100_rows", rows(100, logged=False, synchronous="FULL")),
            ("normal_by_100_rows", rows(100, logged=False, synchronous="NORMAL")),
            ("normal_by_100_with_log_rows", rows(100, logged=True, synchronous="NORMAL")),
            *((f"{n}_ticks", v) for n, v in two_files(folder, seconds).items()),
        ):
            rounds.setdefault(name, []).append(value)
    return {name: round(statistics.median(values)) for name, values in rounds.items()}


async def ours(
    target: Path | None, scope: str, kind: Kind[Any, Any], writers: int, seconds: float
) -> float:
    """Transactions per second, each of one update of its writer's own record."""
    store = SqlStore.open(target, clock=RealClock())  # type: ignore[arg-type]
    typed = kind is AGENT_POOL
    spec, status = (SPEC, AgentPoolStatus()) if typed else (BODY, None)
    await store.transact(
        scope, [Create(kind, str(i), "uid", spec, status, NOW) for i in range(writers)]
    )
    count, end = 0, time.perf_counter() + seconds

    async def write(name: str) -> None:
        nonlocal count
        while time.perf_counter() < end:
            if typed:
                update = Update(kind, name, status=AgentPoolStatus(machine_count=count))
            else:
                update = Update(kind, name, spec=BODY)
            await store.transact(scope, [update])
            count += 1

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for i in range(writers):
            group.create_task(write(str(i)))
    took = time.perf_counter() - began
    await store.close()
    return count / took


async def reads(seconds: float) -> dict[str, float]:
    store = SqlStore.open(None, clock=RealClock())  # type: ignore[arg-type]
    scope = "arm/s/g/c"
    await store.transact(
        scope,
        [Create(AGENT_POOL, str(i), "u", SPEC, AgentPoolStatus(), NOW) for i in range(100)],
    )
    found = {}
    calls: Iterable[tuple[str, Any]] = (
        ("get", lambda: store.get(scope, AGENT_POOL, "42")),
        ("list_of_100", lambda: store.list(scope, AGENT_POOL)),
        ("list_prefix_of_11", lambda: store.list(scope, AGENT_POOL, prefix="4")),
    )
    for name, call in calls:
        count, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            for _ in range(100):
                await call()
            count += 100
        found[name] = count / (time.perf_counter() - began)
    await store.close()
    return found


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def memory(folder: Path) -> dict[str, float]:
    """25,000 objects of 3,000 bytes, after a restart, and the time to load them."""
    path, scope = folder / "memory.db", "kube/s/g/c"
    store = SqlStore.open(path, clock=RealClock())  # type: ignore[arg-type]
    for start in range(0, 25_000, 1000):
        await store.transact(
            scope,
            [
                Create(BLOB, f"default/pod-{i:06}", f"uid-{i}", BODY, None, NOW)
                for i in range(start, start + 1000)
            ],
        )
    await store.close()
    del store
    gc.collect()
    before = resident_bytes()
    began = time.perf_counter()
    store = SqlStore.open(path, clock=RealClock(), kinds=[BLOB])  # type: ignore[arg-type]
    opened = time.perf_counter()
    records, _ = await store.list(scope, BLOB)
    loaded = time.perf_counter()
    assert len(records) == 25_000
    one = records[9]
    after = resident_bytes()
    await store.close()
    return {
        "objects": 25_000,
        "object_bytes": len(BODY),
        "resident_growth_mib": (after - before) / 2**20,
        "overhead_bytes_per_object": sum(
            sys.getsizeof(part) for part in (one, one.uid, one.name, one.created_at, one.revision)
        ),
        "open_ms": (opened - began) * 1e3,
        "load_ms": (loaded - opened) * 1e3,
    }


def cheap_worlds() -> float:
    """Milliseconds to open and close a store in memory."""

    async def one() -> None:
        store = SqlStore.open(None, clock=RealClock())  # type: ignore[arg-type]
        await store.transact("arm/x", [Create(BLOB, "a", "u", b"", None, NOW)])
        await store.close()

    asyncio.run(one())
    began = time.perf_counter()
    for _ in range(200):
        asyncio.run(one())
    return (time.perf_counter() - began) / 200 * 1e3


PARTS: tuple[tuple[str, Kind[Any, Any], str], ...] = (
    ("arm/s/g/c", AGENT_POOL, "FULL"),
    ("cloud/r", BLOB, "FULL"),
    ("kube/s/g/c", BLOB, "NORMAL"),
)


def with_cpu(measure: Callable[[], float], seconds: float) -> tuple[float, float]:
    """A rate, and the process's CPU microseconds per unit: what a busy machine disturbs least."""
    before = time.process_time()
    rate = measure()
    return rate, (time.process_time() - before) / (rate * seconds) * 1e6


def share(
    folder: Path, writers: int, seconds: float, scope: str, kind: Kind[Any, Any], synchronous: str
) -> dict[str, Any]:
    """Our transactions per second beside the same rows by raw sqlite3."""
    logged = scope.startswith("arm")

    def by_sqlite3() -> float:
        path = folder / f"{uuid.uuid4()}.db"
        body = b"x" * 900 if logged else BODY
        return raw(path, writers, seconds, body=body, logged=logged, synchronous=synchronous)

    def by_store() -> float:
        return asyncio.run(ours(folder / f"{uuid.uuid4()}.db", scope, kind, writers, seconds))

    theirs, mine, shares = [], [], []
    for _ in range(ROUNDS):  # interleaved, for neighbours share the disk
        theirs.append(with_cpu(by_sqlite3, seconds))
        mine.append(with_cpu(by_store, seconds))
        shares.append(mine[-1][0] / theirs[-1][0])
    return {
        "scope": scope,
        "record": "AgentPool, typed" if logged else f"{len(BODY)} bytes",
        "synchronous": synchronous,
        "rows_per_write": "objects + changes" if logged else "objects",
        "writers": writers,
        "transactions_per_second": round(statistics.median(rate for rate, _ in mine)),
        "raw_per_second": round(statistics.median(rate for rate, _ in theirs)),
        "cpu_microseconds": round(statistics.median(cpu for _, cpu in mine)),
        "raw_cpu_microseconds": round(statistics.median(cpu for _, cpu in theirs)),
        "share_of_raw": round(statistics.median(shares), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--writers", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=0.2)
    options = parser.parse_args()
    began = machine()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        result = {
            "pragma_synchronous_read": synchronous_read(),
            "writes": [
                share(folder, writers, options.seconds, *part)
                for writers in (1, 10, options.writers)
                for part in PARTS
            ],
            "alternatives_per_second": alternatives(folder, options.seconds),
            "reads_per_second": {
                name: round(value) for name, value in asyncio.run(reads(0.5)).items()
            },
            "memory": asyncio.run(memory(folder)),
            "world_in_memory_ms": round(cheap_worlds(), 2),
        }
    write_result("store", began, result)


if __name__ == "__main__":
    main()
