"""The store's contract: reading, writing, changes, leases (docs/contracts/store.md)."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from poolwright.model.errors import (
    Expired,
    InvalidRequest,
    NotFound,
    PoolwrightError,
    Precondition,
    Transient,
)
from poolwright.ports.store import Change, Check, Commit, Create, Delete, Update, Write
from poolwright.store import ScopedStore

sys.path.insert(0, str(Path(__file__).parents[1]))
from contracts.store_places import (
    BLOB,
    NOW,
    OTHER,
    POOL,
    SCOPE,
    Place,
    State,
    Wish,
    blob,
    create,
    subscribed,
    take,
    until,
)

# --- reading ---


def test_s1_get_is_the_record_as_committed(place: Place) -> None:
    async def story(store: ScopedStore) -> None:
        assert await store.get(SCOPE, POOL, "a") is None
        commit = await store.transact(SCOPE, [create("a", 3)])
        found = await store.get(SCOPE, POOL, "a")
        assert found == commit.records[0]
        assert found is not None
        assert (found.spec, found.status, found.uid) == (Wish(3), State(), "uid-a")
        assert (found.revision, found.generation, found.scope) == (1, 1, SCOPE)
        assert (found.created_at, found.deleted_at) == (NOW, None)
        assert await store.get(SCOPE, OTHER, "a") is None
        assert await store.get(SCOPE + "2", POOL, "a") is None

    place.run(story)


def test_s2_list_is_by_name_with_prefix_and_revision(place: Place) -> None:
    async def story(store: ScopedStore) -> None:
        assert await store.list(SCOPE, POOL) == ([], 0)
        names = ["b/2", "a", "b/10", "ä", "B", "b", "b/"]
        await store.transact(SCOPE, [create(name) for name in names])
        await store.transact(SCOPE, [create("b/1", kind=OTHER)])
        records, revision = await store.list(SCOPE, POOL)
        assert [r.name for r in records] == sorted(names)
        assert revision == 8
        records, _ = await store.list(SCOPE, POOL, prefix="b/")
        assert [r.name for r in records] == ["b/", "b/10", "b/2"]
        assert (await store.list(SCOPE, POOL, prefix="zz"))[0] == []

    place.run(story)


def test_s3_find_and_scopes_go_by_prefix(place: Place) -> None:
    async def story(store: ScopedStore) -> None:
        for scope in ("arm/b", "arm/a", "cloud/x", "arm_z"):
            await store.transact(scope, [create("p"), create("q", kind=OTHER)])
        await store.transact("arm/a", [Delete(POOL, "p")])
        await store.transact("arm/c", [create("p")])
        await store.transact("arm/c", [Delete(POOL, "p")])
        assert list(await store.scopes("arm/")) == ["arm/a", "arm/b"]
        assert list(await store.scopes("")) == ["arm/a", "arm/b", "arm_z", "cloud/x"]
        assert [r.scope for r in await store.find("arm/", POOL)] == ["arm/b"]
        assert [r.scope for r in await store.find("arm", OTHER)] == ["arm/a", "arm/b", "arm_z"]

    place.run(story)


def test_s1_readers_see_only_what_is_committed(place: Place) -> None:
    async def story(store: ScopedStore) -> None:
        writing = asyncio.ensure_future(store.transact(SCOPE, [create("a"), create("b")]))
        seen = set()
        while not writing.done():
            seen.add(len((await store.list(SCOPE, POOL))[0]))
            await asyncio.sleep(0)
        assert seen <= {0, 2}
        await writing

    place.run(story)


# --- writing ---


def refused(
    writes: list[Write], error: type[PoolwrightError]
) -> Callable[[ScopedStore], Coroutine[Any, Any, None]]:
    async def story(store: ScopedStore) -> None:
        await store.transact(SCOPE, [create("a", 1), create("b", 1)])
        await store.transact(SCOPE, [Update(POOL, "a", spec=Wish(2))])
        before = await store.list(SCOPE, POOL)
        with pytest.raises(error):
            await store.transact(SCOPE, [create("new"), *writes])
        assert await store.list(SCOPE, POOL) == before
        assert await store.revision(SCOPE) == 3

    return story


@pytest.mark.parametrize(
    ("write", "error"),
    [
        (create("a"), Precondition),
        (create("new"), Precondition),
        (Update(POOL, "missing", spec=Wish()), NotFound),
        (Update(OTHER, "a", spec=Wish()), NotFound),
        (Update(POOL, "a", expect_uid="other"), Precondition),
        (Update(POOL, "a", expect_revision=1), Precondition),
        (Update(POOL, "a", expect_generation=1), Precondition),
        (Delete(POOL, "missing"), NotFound),
        (Delete(POOL, "a", expect_uid="other"), Precondition),
        (Delete(POOL, "a", expect_revision=2), Precondition),
        (Delete(POOL, "a", expect_generation=3), Precondition),
        (Check(POOL, "missing"), NotFound),
        (Check(POOL, "a", expect_absent=True), Precondition),
        (Check(POOL, "a", expect_revision=1), Precondition),
        (Check(POOL, "a", expect_uid="uid-b"), Precondition),
        (Check(POOL, "a", expect_generation=1), Precondition),
    ],
    ids=str,
)
def test_s4_a_guard_that_fails_refuses_everything(
    place: Place, write: Write, error: type[PoolwrightError]
) -> None:
    place.run(refused([write], error))


def test_s4_guards_that_hold(place: Place) -> None:
    async def story(store: ScopedStore) -> None:
        await store.transact(SCOPE, [create("a", 1)])
        guards: dict[str, Any] = {
            "expect_uid": "uid-a",
            "expect_revision": 1,
            "expect_generation": 1,
        }
        commit = await store.transact(
            SCOPE,
            [
                Check(POOL, "b", expect_absent=True),
                Check(POOL, "a", **guards),
                Update(POOL, "a", status=State("x"), **guards),
                create("b"),
                Delete(POOL, "a", expect_revision=2),
            ],
        )
        assert [r and (r.name, r.revision) for r in commit.records] == [
            None,
            ("a", 1),
            ("a", 2),
            ("b", 3),
            ("a", 4),
        ]
        assert commit.revision == 4
        assert await store.get(SCOPE, POOL, "a") is None

    place.run(story)


def test_s4_an_update_replaces_the_halves_that_are_given(place: Place) -> None:
    async def story(store: ScopedStore) -> None:
        await store.transact(SCOPE, [create("a", 1)])
        status = (await store.transact(SCOPE, [Update(POOL, "a", status=State("s"))])).records[0]
        same = (await store.transact(SCOPE, [Update(POOL, "a", spec=Wish(1))])).records[0]
        spec = (await store.transact(SCOPE, [Update(POOL, "a", spec=Wish(2))])).records[0]
        going = (await store.transact(SCOPE, [Update(POOL, "a", deleted_at=NOW)])).records[0]
        after = (await store.transact(SCOPE, [Update(POOL, "a", status=State("t"))])).records[0]
        assert [(r.generation, r.revision) for r in (status, same, spec, going, after) if r] == [
            (1, 2),
            (1, 3),
            (2, 4),
            (2, 5),
            (2, 6),
        ]
        assert after is not None
        assert (after.spec, after.status, after.deleted_at) == (Wish(2), State("t"), NOW)

    place.run(story)


def test_s4_checks_alone_write_nothing(place: Place) -> None:
    async def story(store: ScopedStore) -> None:
        await store.transact(SCOPE, [create("a")])
        commit = await store.transact(SCOPE, [Check(POOL, "a")])
        assert commit == Commit(1, (await store.get(SCOPE, POOL, "a"),))
        assert await store.transact("arm/nowhere", []) == Commit(0, ())
        assert await store.revision("arm/nowhere") == 0

    place.run(story)


def test_s5_what_is_passed_is_copied(place: Place) -> None:
    async def story(store: ScopedStore) -> None:
        labels = {"a": "b"}
        await store.transact(SCOPE, [Create(POOL, "a", "u", Wish(1, labels), State(), NOW)])
        labels["a"] = "changed"
        found = await store.get(SCOPE, POOL, "a")
        assert found is not None
        assert found.spec.labels == {"a": "b"}

    place.run(story)


def test_s5_many_writers_of_a_tick_are_one_after_another(place: Place) -> None:
    async def story(store: ScopedStore) -> None:
        await store.transact(SCOPE, [create("n", 0)])

        async def add(amount: int) -> None:
            while True:
                old = await store.get(SCOPE, POOL, "n")
                assert old is not None
                update = Update(
                    POOL, "n", spec=Wish(old.spec.count + amount), expect_revision=old.revision
                )
                try:
                    await store.transact(SCOPE, [update])
                except Precondition:
                    continue
                return

        async with asyncio.TaskGroup() as group:
            for amount in range(1, 21):
                group.create_task(add(amount))
        found = await store.get(SCOPE, POOL, "n")
        assert found is not None
        assert (found.spec.count, found.revision) == (210, 21)

    place.run(story)


def test_s5_a_refusal_can_be_understood_by_reading(place: Place) -> None:
    """Who loses a race finds the winner's write when it looks."""

    async def story(store: ScopedStore) -> None:
        first = asyncio.ensure_future(store.transact(SCOPE, [create("a", 1)]))
        second = asyncio.ensure_future(store.transact(SCOPE, [create("a", 2)]))
        with pytest.raises(Precondition):
            await second
        found = await store.get(SCOPE, POOL, "a")
        assert found is not None
        assert found.spec == Wish(1)
        await first

    place.run(story)


def test_s5_an_acknowledged_write_is_there_after_a_restart(lasting: Place) -> None:
    async def write(store: ScopedStore) -> Any:
        await store.transact(SCOPE, [create("a", 1), create("b"), create("c")])
        await store.transact(SCOPE, [Update(POOL, "a", spec=Wish(5)), Delete(POOL, "b")])
        await store.transact("kube/k", [blob("ns/x", b'{"odd":\xff}')])
        return await store.list(SCOPE, POOL), await store.list("kube/k", BLOB)

    async def read(store: ScopedStore) -> Any:
        return await store.list(SCOPE, POOL), await store.list("kube/k", BLOB)

    assert lasting.run(write) == lasting.run(read)


@pytest.mark.parametrize("text", ["nul\0", "half \ud800"])
def test_s10_text_that_cannot_be_kept_is_refused(place: Place, text: str) -> None:
    async def story(store: ScopedStore) -> None:
        good = asyncio.ensure_future(store.transact(SCOPE, [create("good")]))
        with pytest.raises(InvalidRequest):
            await store.transact(SCOPE, [create(text)])
        await good
        assert await store.get(SCOPE, POOL, text) is None
        assert await store.revision(SCOPE) == 1

    place.run(story)


# --- changes ---


def test_s6_a_watch_has_every_change_in_order(place: Place) -> None:
    async def story(store: ScopedStore) -> None:
        await store.transact(SCOPE, [create("a"), create("b", kind=OTHER)])
        await store.transact(SCOPE, [Update(POOL, "a", spec=Wish(1)), Delete(OTHER, "b")])
        await store.transact(SCOPE + "2", [create("x")])
        changes = await take(store.watch(SCOPE, 1), 3)
        assert [(c.revision, c.record.name, c.deleted) for c in changes] == [
            (2, "b", False),
            (3, "a", False),
            (4, "b", True),
        ]
        assert all(c.revision == c.record.revision and c.scope == SCOPE for c in changes)

    place.run(story)


def test_s6_a_live_change_has_its_previous_record(place: Place) -> None:
    async def story(store: ScopedStore) -> None:
        watch = store.watch(SCOPE, 0)
        first = asyncio.ensure_future(anext(watch))
        await store.transact(SCOPE, [create("a", 1)])
        assert (await first).previous is None
        await store.transact(SCOPE, [Update(POOL, "a", spec=Wish(2))])
        await store.transact(SCOPE, [Delete(POOL, "a")])
        updated, deleted = await take(watch, 2)
        assert updated.previous == (await first).record
        assert deleted.previous == updated.record
        assert deleted.deleted

    place.run(story)


def test_s6_a_watch_while_writing_has_no_gaps(place: Place) -> None:
    async def story(store: ScopedStore) -> None:
        async def write(writer: int) -> None:
            for number in range(30):
                await store.transact(SCOPE, [create(f"{writer}-{number}")])

        async with asyncio.TaskGroup() as group:
            watchers = [group.create_task(take(store.watch(SCOPE, 0), 150)) for _ in range(3)]
            for writer in range(5):
                group.create_task(write(writer))
        for watcher in watchers:
            assert [c.revision for c in watcher.result()] == list(range(1, 151))

    place.run(story)


def test_s6_a_watch_resumes_after_a_restart(lasting: Place) -> None:
    async def write(store: ScopedStore) -> None:
        for number in range(5):
            await store.transact(SCOPE, [create(str(number), number)])

    async def read(store: ScopedStore) -> list[Change]:
        await store.transact(SCOPE, [Delete(POOL, "0")])
        return await take(store.watch(SCOPE, 2), 4)

    lasting.run(write)
    found = [(c.revision, c.record.name, c.record.spec, c.deleted) for c in lasting.run(read)]
    assert found == [
        (3, "2", Wish(2), False),
        (4, "3", Wish(3), False),
        (5, "4", Wish(4), False),
        (6, "0", Wish(0), True),
    ]


def test_s6_a_watch_at_the_newest_revision_resumes_after_a_restart(lasting: Place) -> None:
    async def write(store: ScopedStore) -> int:
        return (await store.transact("kube/k", [blob("a", b"1")])).revision

    async def read(store: ScopedStore) -> list[Change]:
        watching = asyncio.ensure_future(take(store.watch("kube/k", 1), 1))
        await store.transact("kube/k", [Update(BLOB, "a", spec=b"2")])
        return await watching

    assert lasting.run(write) == 1
    assert [(c.revision, c.record.spec) for c in lasting.run(read)] == [(2, b"2")]


def test_s6_a_change_of_an_unknown_kind_is_bytes(lasting: Place) -> None:
    async def write(store: ScopedStore) -> None:
        await store.transact(SCOPE, [create("a", 7)])

    async def read() -> None:
        store = lasting.open(kinds=())
        (change,) = await take(store.watch(SCOPE, 0), 1)
        assert b'"count":7' in change.record.spec
        found = await store.get(SCOPE, POOL, "a")
        assert found is not None
        assert found.spec == Wish(7)
        (change,) = await take(store.watch(SCOPE, 0), 1)
        assert change.record == found
        await store.close()

    lasting.run(write)
    asyncio.run(read())


def test_s6_a_revision_that_never_was_is_expired(place: Place) -> None:
    async def story(store: ScopedStore) -> None:
        await store.transact(SCOPE, [create("a")])
        with pytest.raises(Expired):
            await anext(store.watch(SCOPE, 2))

    place.run(story)


def test_s7_follow_hears_all_scopes_of_the_prefix(place: Place) -> None:
    async def story(store: ScopedStore) -> None:
        await store.transact("arm/old", [create("before")])
        changes, first = await subscribed(store, "arm/")
        heard = [await first]
        await store.transact("arm/old", [create("a"), create("b")])
        await store.transact("cloud/c", [create("not heard")])
        await store.transact("arm/new", [create("c")])
        while heard[-1].record.name != "c":
            heard.append(await anext(changes))
        await changes.aclose()
        heard = [c for c in heard if c.scope != "arm/probe"]
        assert [(c.scope, c.record.name) for c in heard] == [
            ("arm/old", "a"),
            ("arm/old", "b"),
            ("arm/new", "c"),
        ]

    place.run(story)


# --- leases, dropping, closing ---


def test_s8_a_lease_has_one_holder_and_an_epoch(place: Place) -> None:
    async def story(store: ScopedStore) -> None:
        minute, none = timedelta(minutes=1), timedelta(0)
        assert await store.lease("k", "a", minute) == 1
        assert await store.lease("k", "b", minute) is None
        assert await store.lease("other", "b", minute) == 1
        assert await store.lease("k", "a", minute) == 1
        await store.release("k", "b")
        assert await store.lease("k", "b", minute) is None
        await store.release("k", "a")
        assert await store.lease("k", "b", none) == 2  # and over at once
        assert await store.lease("k", "a", minute) == 3
        await store.release("nothing", "a")

    place.run(story)


def test_s8_a_lease_ends_by_itself(tmp_path: Any) -> None:
    """With the embedded store, in the process's own time."""
    place = Place(tmp_path, shared=False)

    async def story(store: ScopedStore) -> None:
        assert await store.lease("k", "a", timedelta(seconds=10)) == 1
        place.clock.seconds += 9
        assert await store.lease("k", "b", timedelta(seconds=10)) is None
        place.clock.seconds += 2
        assert await store.lease("k", "b", timedelta(seconds=10)) == 2

    async def restarted(store: ScopedStore) -> None:
        assert await store.lease("k", "c", timedelta(seconds=10)) == 3

    place.run(story)
    place.run(restarted)


def test_s9_a_dropped_scope_keeps_its_counter(place: Place) -> None:
    async def story(store: ScopedStore) -> None:
        await store.drop("arm/never")
        await store.transact(SCOPE, [create("a"), create("b")])
        watch = store.watch(SCOPE, 1)
        assert (await anext(watch)).revision == 2
        waiting = asyncio.ensure_future(anext(watch))
        await store.drop(SCOPE)
        with pytest.raises(Expired):
            await waiting
        assert await store.list(SCOPE, POOL) == ([], 3)
        assert list(await store.scopes("")) == []
        with pytest.raises(Expired):
            await anext(store.watch(SCOPE, 2))
        assert (await store.transact(SCOPE, [create("a")])).revision == 4
        assert [c.revision for c in await take(store.watch(SCOPE, 3), 1)] == [4]

    place.run(story)


def test_s9_followers_hear_nothing_of_a_drop(place: Place) -> None:
    async def story(store: ScopedStore) -> None:
        changes, first = await subscribed(store, "arm/")
        await first
        await store.transact("arm/x", [create("a")])
        before = [c async for c in until(changes, lambda c: c.record.name == "a")]
        await store.drop("arm/x")
        await store.transact("arm/x", [create("b")])
        after = [c async for c in until(changes, lambda c: c.record.name == "b")]
        await changes.aclose()
        heard = [(c.record.name, c.revision) for c in (*before, *after) if c.scope == "arm/x"]
        assert heard == [("a", 1), ("b", 3)]

    place.run(story)


def test_s11_a_closed_store_refuses(place: Place) -> None:
    async def story(store: ScopedStore) -> None:
        writing = asyncio.ensure_future(store.transact(SCOPE, [create("a")]))
        watching = asyncio.ensure_future(anext(store.watch(SCOPE, 0)))
        await watching
        waiting = asyncio.ensure_future(anext(store.watch(SCOPE, 1)))
        await writing
        await store.get(SCOPE, POOL, "a")
        last = asyncio.ensure_future(store.transact(SCOPE, [create("b")]))
        await asyncio.sleep(0)
        await store.close()
        assert (await last).revision == 2  # what was accepted is finished
        await asyncio.wait([waiting])
        with pytest.raises(Transient):
            await store.get(SCOPE, POOL, "a")
        with pytest.raises(Transient):
            await store.transact(SCOPE, [create("c")])
        await store.close()
        assert waiting.exception() is None or isinstance(waiting.exception(), Transient)

    place.run(story)


def test_s13_a_database_that_is_away_is_transient(tmp_path: Path) -> None:
    with pytest.raises(Transient):
        Place(f"postgresql://nobody@/nothing?host={tmp_path}", shared=True).open()
