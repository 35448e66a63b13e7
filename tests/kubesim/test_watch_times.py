"""When a watch that is told of nothing speaks, and when it ends; on virtual time."""

import asyncio
import json
from datetime import UTC, datetime

import pytest

from poolwright.kubesim import cache
from poolwright.kubesim.api import stream
from poolwright.kubesim.cache import ObjectCache
from poolwright.kubesim.entry import Entry, pack
from poolwright.kubesim.kinds import KINDS
from poolwright.kubesim.registry import store_kind
from poolwright.model import kubernetes as names
from poolwright.model.record import Stored
from poolwright.sim import loop

from .in_process import cluster

LATEST = 2 * 60 * 60
MAPS = "/api/v1/namespaces/default/configmaps"


def watched(query):
    """The types that a quiet watch sends, and how long it lasts."""

    async def main():
        async with cluster() as call:
            since = call.registry.revision
            running = asyncio.get_running_loop()
            began = running.time()
            path = f"{MAPS}?watch=1&resourceVersion={since}&{query}"
            answer = await asyncio.wait_for(call("GET", path), LATEST)
            lines = [json.loads(line) for line in answer.data.splitlines()]
            versions = {line["object"]["metadata"]["resourceVersion"] for line in lines}
            assert versions <= {str(since)}
            return [line["type"] for line in lines], running.time() - began

    return loop.run(main())


@pytest.mark.parametrize("seconds", [1, 30, 60, 150, 180])
def test_bookmarks_come_each_minute_until_the_time_is_over(seconds):
    types, lasted = watched(f"timeoutSeconds={seconds}&allowWatchBookmarks=true")
    assert lasted == pytest.approx(seconds, abs=0.01)
    assert types == ["BOOKMARK"] * ((seconds - 1) // 60)


def test_who_did_not_ask_for_bookmarks_gets_none():
    types, lasted = watched("timeoutSeconds=150")
    assert lasted == pytest.approx(150, abs=0.01)
    assert types == []


def test_a_watch_without_a_timeout_ends_too():
    types, lasted = watched("allowWatchBookmarks=true")
    assert lasted == pytest.approx(45 * 60, abs=0.01)
    assert types == ["BOOKMARK"] * 44


def test_what_a_watch_begins_with_comes_in_pieces_and_what_happens_meanwhile_after_it():
    async def main():
        async with cluster() as call:
            pieces, count = 3, 3 * stream._BATCH
            kind = call.registry.catalog.kind_of(names.CONFIG_MAPS)
            for index in range(count - 1):  # as a start would have read them; one is there
                body = {"metadata": {"name": f"{index:06d}", "namespace": "default"}}
                entry = Entry(kind, stored(kind, body))
                call.registry.cache(kind).load([entry])
            query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
            path = f"{MAPS}?{query}&allowWatchBookmarks=true&timeoutSeconds=1"
            watching = asyncio.ensure_future(call("GET", path))
            for _ in range(pieces):
                await asyncio.sleep(0)
            assert not watching.done()
            new = {"metadata": {"name": "0-early", "namespace": "default"}}
            made = asyncio.ensure_future(call("POST", MAPS, new))
            assert (await made).status == 201
            answer = await watching
            assert len([part for part in answer.parts if part]) > pieces
            lines = [json.loads(line) for line in answer.data.splitlines()]
            assert [line["type"] for line in lines[-2:]] == ["BOOKMARK", "ADDED"]
            assert lines[-1]["object"]["metadata"]["name"] == "0-early"
            shown = [line["object"]["metadata"]["name"] for line in lines[:-2]]
            assert shown == sorted(shown)
            assert len(shown) == count - 1

    loop.run(main())


def stored(kind, body):
    created = datetime(2026, 1, 1, tzinfo=UTC)
    key = f"default/{body['metadata']['name']}"
    return Stored(store_kind(kind), "", key, key, 1, 1, pack(kind, body), None, created)


def test_lines_that_late_watchers_had_made_again_are_not_kept_for_ever():
    kind = next(kind for kind in KINDS if kind.resource == names.CONFIG_MAPS)
    kept = ObjectCache(kind, 0)
    changes = []
    for index in range(4 * cache._LINES_KEPT):
        body = {"metadata": {"name": f"{index:06d}", "namespace": "default"}}
        changes.append(kept.apply(Entry(kind, stored(kind, body)), deleted=False))
        changes[-1].encoded("ADDED", "", lambda *_: b"line")
    made = []
    for _ in range(3):  # all at once: made once for all of them
        for change in changes[: cache._LINES_KEPT]:
            change.encoded("ADDED", "", lambda *_: made.append(1) or b"line")
    assert len(made) == cache._LINES_KEPT
    for change in changes:  # one after another
        change.encoded("ADDED", "", lambda *_: b"line")
    assert sum(bool(change._encoded) for change in changes) <= 2 * cache._LINES_KEPT
