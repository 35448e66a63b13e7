"""When a watch that is told of nothing speaks, and when it ends; on virtual time."""

import asyncio
import json

import pytest

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
