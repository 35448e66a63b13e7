"""The contract of the store (docs/contracts/store.md), on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import NoneType
from typing import Any

import psycopg
import pytest

from poolwright.model.record import Kind
from poolwright.ports.store import Change, Create
from poolwright.store import ScopedStore, SqlStore

sys.path.insert(0, str(Path(__file__).parents[1]))
from postgresql_server import postgresql_server, require_binaries

NOW = datetime(2026, 5, 4, 3, 2, 1, 123456, tzinfo=UTC)
SCOPE = "arm/sub/group/cluster"


@dataclass(frozen=True, slots=True)
class Wish:
    count: int = 0
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class State:
    word: str = ""


POOL = Kind("Pool", Wish, State)
OTHER = Kind("Other", Wish, State)
BLOB = Kind("Blob", bytes, NoneType)


class HandClock:
    """Moves when told to."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def monotonic(self) -> float:
        return self.seconds


class Place:
    """Somewhere to keep a store; opening it again is a restart (or, shared, a replica)."""

    def __init__(self, target: Any, *, shared: bool) -> None:
        self.target = target
        self.is_shared = shared
        self.clock = HandClock()

    def open(self, kinds: tuple[Kind[Any, Any], ...] = (POOL, OTHER, BLOB)) -> ScopedStore:
        return SqlStore.open(self.target, clock=self.clock, kinds=kinds)

    def run(self, story: Callable[[ScopedStore], Coroutine[Any, Any, Any]]) -> Any:
        """Open, run, close."""

        async def whole() -> Any:
            store = self.open()
            try:
                async with asyncio.timeout(30):
                    return await story(store)
            finally:
                await store.close()

        return asyncio.run(whole())


@pytest.fixture(scope="module")
def postgresql_url() -> Iterator[str]:
    require_binaries()
    with postgresql_server() as url:
        yield url


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def place(request: pytest.FixtureRequest, tmp_path: Any) -> Place:
    match request.param:
        case "memory":
            return Place(None, shared=False)
        case "sqlite":
            return Place(tmp_path / "store.db", shared=False)
        case _:
            url = request.getfixturevalue("postgresql_url")
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("DROP SCHEMA public CASCADE")
                connection.execute("CREATE SCHEMA public")
            return Place(url, shared=True)


@pytest.fixture
def lasting(place: Place) -> Place:
    """A place that survives its process."""
    if place.target is None:
        pytest.skip("a store in memory ends with its process")
    return place


def create(name: str, count: int = 0, kind: Kind[Any, Any] = POOL) -> Create:
    return Create(kind, name, f"uid-{name}", Wish(count), State(), NOW)


def blob(name: str, body: bytes) -> Create:
    return Create(BLOB, name, f"uid-{name}", body, None, NOW)


async def take(changes: AsyncIterator[Change], count: int) -> list[Change]:
    """The next changes; ends the iterator."""
    found: list[Change] = []
    try:
        while len(found) < count:
            found.append(await anext(changes))
    finally:
        await changes.aclose()
    return found


async def subscribed(store: ScopedStore, prefix: str) -> tuple[AsyncIterator[Change], Any]:
    """A follower whose subscription is in effect, and its first change to come."""
    changes = store.follow(prefix)
    first = asyncio.ensure_future(anext(changes))
    # The subscription is in effect as soon as a change that comes later is heard.
    probe = 0
    while not first.done():
        probe += 1
        await store.transact(f"{prefix}probe", [blob(str(probe), b"")])
        await asyncio.wait([first], timeout=0.02)
    return changes, first


async def until(
    changes: AsyncIterator[Change], last: Callable[[Change], bool]
) -> AsyncIterator[Change]:
    async for change in changes:
        yield change
        if last(change):
            return
