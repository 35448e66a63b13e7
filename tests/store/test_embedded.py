"""The embedded store's own promises: bounds, failures of the disk, and its tables."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from types import NoneType
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from poolwright.model.errors import Expired, Transient, Unknown
from poolwright.model.record import Kind
from poolwright.ports.store import Create, Delete, Update
from poolwright.sim.loop import run as run_virtually
from poolwright.store import ScopedStore, SqlStore, migrations, policy, scoped_store
from poolwright.store.columns import HEAD
from poolwright.store.schema import metadata

BLOB = Kind("Blob", bytes, NoneType)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class NoClock:
    def monotonic(self) -> float:
        return 0.0


def open_store(path: Path | None) -> ScopedStore:
    return SqlStore.open(path, clock=NoClock(), kinds=[BLOB])  # type: ignore[arg-type]


def run(
    path: Path | None,
    story: Callable[[ScopedStore], Coroutine[Any, Any, Any]],
    runner: Callable[[Any], Any] = asyncio.run,
) -> Any:
    async def whole() -> Any:
        store = open_store(path)
        try:
            return await story(store)
        finally:
            await store.close()

    return runner(whole())


def create(name: str) -> Create:
    return Create(BLOB, name, "u", b"x" * 100, None, NOW)


async def overwrite(store: ScopedStore, scope: str, times: int) -> None:
    await store.transact(scope, [create("a")])
    for start in range(0, times, 1000):
        updates = [
            Update(BLOB, "a", spec=b"%d" % n) for n in range(start, min(times, start + 1000))
        ]
        await store.transact(scope, updates)


def test_s6_a_watcher_that_is_too_slow_expires() -> None:
    async def story(store: ScopedStore) -> None:
        watch = store.watch("kube/k", 0)
        first = asyncio.ensure_future(anext(watch))
        await overwrite(store, "kube/k", 10)
        await first
        for _ in range(4):
            await store.transact("kube/k", [Update(BLOB, "a", spec=b"z")] * scoped_store.RING_SIZE)
        with pytest.raises(Expired):
            await anext(watch)

    run(None, story)


def test_s6_the_ring_serves_at_least_its_size() -> None:
    async def story(store: ScopedStore) -> None:
        await overwrite(store, "kube/k", 3 * scoped_store.RING_SIZE)
        head = await store.revision("kube/k")
        watch = store.watch("kube/k", head - scoped_store.RING_SIZE)
        for revision in range(head - scoped_store.RING_SIZE + 1, head + 1):
            assert (await anext(watch)).revision == revision
        await watch.aclose()
        with pytest.raises(Expired):
            await anext(store.watch("kube/k", 1))

    run(None, story)


def test_s6_the_log_reaches_beyond_the_ring_and_is_compacted(tmp_path: Path) -> None:
    total = policy.LOG_LIMIT + 3 * policy.LOG_SLACK

    async def write(store: ScopedStore) -> None:
        await overwrite(store, "arm/c", total)

    async def read(store: ScopedStore) -> None:
        head = await store.revision("arm/c")
        assert head == total + 1
        after = head - policy.LOG_LIMIT
        watch = store.watch("arm/c", after)
        for revision in range(after + 1, head + 1):
            assert (await anext(watch)).revision == revision
        await watch.aclose()
        with pytest.raises(Expired):
            await anext(store.watch("arm/c", 0))

    run(tmp_path / "s.db", write)
    with sqlite3.connect(tmp_path / "s.db") as connection:
        (kept,) = connection.execute("SELECT count(*) FROM changes").fetchone()
    connection.close()
    assert policy.LOG_LIMIT <= kept <= policy.LOG_LIMIT + policy.LOG_SLACK + 1000
    run(tmp_path / "s.db", read)


def test_s7_a_follower_that_leaves_too_much_unread_expires() -> None:
    async def story(store: ScopedStore) -> None:
        follower = store.follow("kube/")
        first = asyncio.ensure_future(anext(follower))
        await asyncio.sleep(0)
        await store.transact("kube/k", [create("a")])
        assert (await first).revision == 1
        for _ in range(scoped_store.FOLLOW_LIMIT // 8192 + 1):
            await store.transact("kube/k", [Update(BLOB, "a", spec=b"z")] * 8192)
        with pytest.raises(Expired):
            await anext(follower)

    run(None, story)


def test_s4_a_full_disk_refuses_and_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "s.db"

    async def story(store: ScopedStore) -> None:
        await store.transact("arm/c", [create("a")])
        connection: sqlite3.Connection = store._file._connection  # type: ignore[attr-defined]
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count={pages}")
        big = Create(BLOB, "big", "u", b"x" * 100_000, None, NOW)
        answers = await asyncio.gather(
            store.transact("arm/c", [big]),
            store.transact("arm/c", [create("b")]),
            store.transact("arm/c", [create("big")]),
            return_exceptions=True,
        )
        assert [type(a) for a in answers] == [Transient] * 3
        assert await store.revision("arm/c") == 1
        connection.execute(f"PRAGMA max_page_count={pages + 1000}")
        assert (await store.transact("arm/c", [big, Delete(BLOB, "a")])).revision == 3

    async def restarted(store: ScopedStore) -> None:
        records, revision = await store.list("arm/c", BLOB)
        assert ([r.name for r in records], revision) == (["big"], 3)

    run(path, story)
    run(path, restarted)


def test_a_store_whose_disk_broke_gives_its_file_back(tmp_path: Path) -> None:
    path = tmp_path / "s.db"

    def broken(batch: Any) -> None:
        del batch
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR
        raise error

    async def story(store: ScopedStore) -> None:
        await store.transact("arm/c", [create("a")])
        store._file.write = broken  # type: ignore[attr-defined]
        with pytest.raises(Unknown):
            await store.transact("arm/c", [create("b")])
        assert "disk I/O error" in store.ended_because

    async def restarted(store: ScopedStore) -> None:
        assert await store.revision("arm/c") == 1

    run(path, story)
    run(path, restarted)


def test_s5_writers_of_one_tick_share_one_commit(tmp_path: Path) -> None:
    async def story(store: ScopedStore) -> None:
        statements: list[str] = []
        connection: sqlite3.Connection = store._file._connection  # type: ignore[attr-defined]
        connection.set_trace_callback(statements.append)
        await asyncio.gather(
            *(store.transact(f"arm/{n % 3}", [create(str(n))]) for n in range(50)),
            store.transact("kube/k", [create("x")]),
        )
        assert statements.count("COMMIT") == 1
        # A batch is as durable as its most demanding write.
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
        await store.transact("kube/k", [create("y")])
        assert connection.execute("PRAGMA synchronous").fetchone() == (1,)
        connection.set_trace_callback(None)

    run(tmp_path / "s.db", story)


def test_a_cancelled_writer_does_not_disturb_the_others() -> None:
    async def story(store: ScopedStore) -> None:
        one = asyncio.ensure_future(store.transact("arm/c", [create("a")]))
        two = asyncio.ensure_future(store.transact("arm/c", [create("b")]))
        await asyncio.sleep(0)
        one.cancel()
        assert (await two).revision == 2
        assert await store.get("arm/c", BLOB, "a") is not None  # Unknown to its writer, but whole

    run(None, story)


def test_it_runs_on_virtual_time() -> None:
    """No threads and no real waits: the same story in a simulated world."""

    async def story(store: ScopedStore) -> list[tuple[str, int]]:
        heard: list[tuple[str, int]] = []

        async def write(scope: str) -> None:
            for number in range(20):
                await asyncio.sleep(60)
                await store.transact(scope, [create(str(number))])

        async def listen() -> None:
            async for change in store.follow("arm/"):
                heard.append((change.scope, change.revision))
                if len(heard) == 40:
                    return

        async with asyncio.TaskGroup() as group:
            group.create_task(listen())
            group.create_task(write("arm/a"))
            group.create_task(write("arm/b"))
        return heard

    first = run(None, story, run_virtually)
    assert first == run(None, story, run_virtually)
    assert first[:3] == [("arm/a", 1), ("arm/b", 1), ("arm/a", 2)]


def test_the_migrations_make_the_tables_of_the_schema(tmp_path: Path) -> None:
    asyncio.run(open_store(tmp_path / "s.db").close())
    engine = create_engine(f"sqlite:///{tmp_path}/s.db")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        assert context.get_current_revision() == HEAD
    engine.dispose()
    settings = Config()
    settings.set_main_option("script_location", str(Path(migrations.__file__).parent))
    settings.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(settings).get_heads() == [HEAD]
