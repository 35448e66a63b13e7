"""Being a server of a shared store: what is left of a claim that was lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import psycopg
import pytest

from contracts.store_places import Place

pytestmark = pytest.mark.postgres

_LOCK = "SELECT pg_advisory_lock(7665728, 1)"
_LOCKS = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted = %s"
_OTHERS = (
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
    " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
)


@pytest.fixture
def place(postgresql_url: str) -> Place:
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    return Place(postgresql_url, shared=True)


async def poll(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not is_so():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.02)


def rob(rival: psycopg.Connection) -> None:
    """Take the lock from whoever has it."""
    (pid,) = rival.execute(_LOCKS, [True]).fetchone() or (0,)
    rival.execute("SELECT pg_terminate_backend(%s)", [pid])
    rival.execute(_LOCK)


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_store_that_lost_its_claim_is_closed_with_all_its_connections(
    place: Place, is_lost: bool
) -> None:
    async def story() -> None:
        store = place.open()
        await store.claim("one", alone=False)
        with psycopg.connect(place.target, autocommit=True) as rival:
            rob(rival)
            await poll(lambda: rival.execute(_LOCKS, [False]).fetchone() is not None)
            closing = None if is_lost else asyncio.ensure_future(store.close())
            if closing is None:
                await store.ended.wait()
                assert "is given a Kubernetes" in store.ended_because
            else:
                await asyncio.sleep(0)
        await (closing or store.close())
        with psycopg.connect(place.target, autocommit=True) as witness:
            await poll(lambda: not witness.execute(_OTHERS).fetchall())

    asyncio.run(story())


def test_a_lost_claim_is_taken_again(place: Place) -> None:
    async def story() -> None:
        store = place.open()
        await store.claim("one", alone=True)
        with psycopg.connect(place.target, autocommit=True) as rival:
            (pid,) = rival.execute(_LOCKS, [True]).fetchone() or (0,)
            rival.execute("SELECT pg_terminate_backend(%s)", [pid])
            await poll(lambda: rival.execute(_LOCKS, [True]).fetchone() not in ((pid,), None))
        assert not store.ended.is_set()
        await store.close()

    asyncio.run(story())
