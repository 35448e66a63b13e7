"""The store's contract: any history against a model, and replicas (docs/contracts/store.md)."""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from poolwright.model.errors import (
    Precondition,
)
from poolwright.ports.store import Check, Commit, Create, Delete, Update, Write
from poolwright.store import ScopedStore

sys.path.insert(0, str(Path(__file__).parents[1]))
from contracts.store_places import POOL, SCOPE, Place, State, Wish, create, subscribed, take, until

# --- against a model ---

NAMES = st.sampled_from(["a", "b", "c"])
GUARDS = st.fixed_dictionaries(
    {},
    optional={
        "expect_uid": st.sampled_from(["uid-a", "uid-b"]),
        "expect_revision": st.integers(1, 6),
        "expect_generation": st.integers(1, 3),
    },
)


def _update(name: str, count: int | None, word: str | None, guards: dict[str, Any]) -> Update:
    spec = None if count is None else Wish(count)
    return Update(POOL, name, spec, None if word is None else State(word), **guards)


WRITES = st.one_of(
    st.builds(create, NAMES, st.integers(0, 2)),
    st.builds(
        _update, NAMES, st.none() | st.integers(0, 2), st.none() | st.sampled_from("xy"), GUARDS
    ),
    st.builds(lambda name, guards: Delete(POOL, name, **guards), NAMES, GUARDS),
    st.builds(lambda name, guards: Check(POOL, name, **guards), NAMES, GUARDS),
    st.builds(lambda name: Check(POOL, name, expect_absent=True), NAMES),
)


class Model:
    """What the contract says, with a dict."""

    def __init__(self) -> None:
        self.revision = 0
        self.records: dict[str, tuple[Any, ...]] = {}

    def transact(self, writes: list[Write]) -> bool:
        revision, records = self.revision, dict(self.records)
        for write in writes:
            old = records.get(write.name)
            if isinstance(write, Create) or (isinstance(write, Check) and write.expect_absent):
                if old is not None:
                    return False
            else:
                if old is None:
                    return False
                for wanted, found in zip(
                    (write.expect_uid, write.expect_revision, write.expect_generation),
                    old[:3],
                    strict=True,
                ):
                    if wanted is not None and wanted != found:
                        return False
            if isinstance(write, Check):
                continue
            revision += 1
            match write:
                case Create():
                    records[write.name] = (write.uid, revision, 1, write.spec, write.status)
                case Update():
                    assert old is not None
                    uid, _, generation, spec, status = old
                    if write.spec is not None and write.spec != spec:
                        generation, spec = generation + 1, write.spec
                    status = status if write.status is None else write.status
                    records[write.name] = (uid, revision, generation, spec, status)
                case Delete():
                    del records[write.name]
        self.revision, self.records = revision, records
        return True


def _flat(record: Any) -> tuple[Any, ...]:
    return (record.uid, record.revision, record.generation, record.spec, record.status)


async def _same_as_model(store: ScopedStore, scope: str, ticks: list[list[list[Write]]]) -> None:
    model = Model()
    for tick in ticks:
        answers = await asyncio.gather(
            *(store.transact(scope, writes) for writes in tick), return_exceptions=True
        )
        for writes, answer in zip(tick, answers, strict=True):
            assert isinstance(answer, Commit) is model.transact(writes), (writes, answer)
        records, revision = await store.list(scope, POOL)
        assert {r.name: _flat(r) for r in records} == model.records
        assert revision == model.revision
    if model.revision:
        changes = await take(store.watch(scope, 0), model.revision)
        replayed: dict[str, tuple[Any, ...]] = {}
        for number, change in enumerate(changes, 1):
            assert change.revision == number
            if change.deleted:
                del replayed[change.record.name]
            else:
                replayed[change.record.name] = _flat(change.record)
        assert replayed == model.records


def test_s4_s5_s6_any_history_is_that_of_a_dict(place: Place) -> None:
    """Whole ticks of concurrent transactions: the group commit shows nowhere."""

    loop = asyncio.new_event_loop()
    store = place.open()
    count = 0

    @settings(
        max_examples=25 if place.is_shared else 150,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(st.lists(st.lists(WRITES, max_size=3), max_size=4), max_size=6))
    def check(ticks: list[list[list[Write]]]) -> None:
        nonlocal count
        count += 1
        loop.run_until_complete(_same_as_model(store, f"arm/{count}", ticks))

    try:
        check()
    finally:
        loop.run_until_complete(store.close())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
    assert count > 20


# --- replicas ---


@pytest.fixture
def replicas(postgresql_url: str) -> Place:
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    return Place(postgresql_url, shared=True)


@pytest.mark.postgres
def test_s12_writers_on_two_replicas_take_turns(replicas: Place) -> None:
    async def story(one: ScopedStore) -> None:
        two = replicas.open()
        await one.transact(SCOPE, [create("n", 0)])

        async def add(store: ScopedStore) -> None:
            for _ in range(20):
                while True:
                    old = await store.get(SCOPE, POOL, "n")
                    assert old is not None
                    update = Update(
                        POOL, "n", spec=Wish(old.spec.count + 1), expect_revision=old.revision
                    )
                    try:
                        await store.transact(SCOPE, [update])
                    except Precondition:
                        continue
                    break

        async with asyncio.TaskGroup() as group:
            watching = [group.create_task(take(s.watch(SCOPE, 0), 81)) for s in (one, two)]
            for store in (one, two, one, two):
                group.create_task(add(store))
        for store in (one, two):
            found = await store.get(SCOPE, POOL, "n")
            assert found is not None
            assert found.spec == Wish(80)
        for watcher in watching:
            assert [c.revision for c in watcher.result()] == list(range(1, 82))
        one_heard, two_heard = ([c.record for c in w.result()] for w in watching)
        assert one_heard == two_heard
        await two.close()

    replicas.run(story)


@pytest.mark.postgres
def test_s12_a_replica_reads_and_follows_what_another_wrote(replicas: Place) -> None:
    async def story(one: ScopedStore) -> None:
        two = replicas.open()
        changes, first = await subscribed(two, "arm/")
        await first
        await one.transact("arm/x", [create("a", 1)])
        found = await two.get("arm/x", POOL, "a")
        assert found is not None
        await one.transact("arm/x", [Update(POOL, "a", spec=Wish(2))])
        heard = [c async for c in until(changes, lambda c: c.record.spec == Wish(2))]
        assert [c.record.spec for c in heard if c.scope == "arm/x"] == [Wish(1), Wish(2)]
        assert heard[-1].previous == found
        assert await one.lease("k", "one", timedelta(minutes=1)) == 1
        assert await two.lease("k", "two", timedelta(minutes=1)) is None
        await one.drop("arm/x")
        assert await two.list("arm/x", POOL) == ([], 3)
        await two.close()

    replicas.run(story)


@pytest.mark.postgres
def test_s12_listening_survives_a_lost_connection(replicas: Place) -> None:
    async def story(one: ScopedStore) -> None:
        two = replicas.open()
        watch = two.watch(SCOPE, 0)
        first = asyncio.ensure_future(anext(watch))
        await one.transact(SCOPE, [create("a")])
        assert (await first).revision == 1
        with psycopg.connect(replicas.target, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
            )
        await one.transact(SCOPE, [create("b")])
        assert (await anext(watch)).revision == 2
        await one.transact(SCOPE, [create("c")])
        assert (await anext(watch)).revision == 3
        await watch.aclose()
        await two.close()

    replicas.run(story)
