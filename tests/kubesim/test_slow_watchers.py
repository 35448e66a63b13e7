"""What a client costs that opens a watch and does not read it, and what it misses: nothing."""

import asyncio
import gc
import json

import pytest

from poolwright.kubesim import cache, watch
from poolwright.kubesim.api import stream
from poolwright.model import kubernetes as names

from .in_process import KEY, MERGE, cluster, run

MAPS = "/api/v1/namespaces/default/configmaps"


class Reader:
    """A watch whose client reads when it is let; None where it left."""

    def __init__(self, call, since=""):
        self.parts = []
        self.is_ended = False
        self.may_read = asyncio.Event()
        self.gone = asyncio.Event()
        query = f"watch=1&resourceVersion={since}" if since else "watch=1"
        scope = {
            "type": "http",
            "method": "GET",
            "path": f"/k8s/{KEY}{MAPS}",
            "query_string": query.encode(),
            "headers": [
                (b"authorization", f"Bearer {call.token}".encode()),
                (b"accept", b"application/json"),
                (b"user-agent", b"test/1"),
            ],
        }
        self.task = asyncio.ensure_future(call.sim.asgi_app(scope, self._receive, self._send))

    async def _receive(self):
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message):
        if message["type"] != "http.response.start":
            self.parts.append(message["body"])
            self.is_ended |= not message["more_body"]
            await self.may_read.wait()

    @property
    def lines(self):
        return [json.loads(line) for line in b"".join(self.parts).splitlines()]

    @property
    def named(self):
        return [line["object"]["data"]["n"] for line in self.lines if "data" in line["object"]]


async def settle(turns=20):
    for _ in range(turns):
        await asyncio.sleep(0)


async def written(call, count, first=0, padding=""):
    """Revisions of one object; the last one's."""
    for n in range(first, first + count):
        body = {"data": {"n": str(n), "padding": padding}}
        answer = await call("PATCH", f"{MAPS}/one", body, content_type=MERGE)
    return answer.body["metadata"]["resourceVersion"]


@pytest.mark.parametrize("bound", ["BACKLOG_MAX", "BACKLOG_BYTES"])
def test_who_does_not_read_is_cut_and_goes_on_without_a_loss(monkeypatch, bound):
    monkeypatch.setattr(watch, bound, 20 if bound == "BACKLOG_MAX" else 20_000)
    monkeypatch.setattr(watch, "_FIRST_LOOK", 8)

    async def test(call):
        made = await call("POST", MAPS, {"metadata": {"name": "one"}})
        since = made.body["metadata"]["resourceVersion"]
        slow, quick = Reader(call, since), Reader(call, since)
        quick.may_read.set()
        await settle()
        await written(call, 60, padding="x" * 1000)
        await settle()
        (watcher,) = [w for w in gc.get_objects() if type(w) is watch.Watcher and w.is_closed]
        assert not watcher.backlog
        assert not quick.is_ended
        assert quick.named == [str(n) for n in range(60)]
        slow.may_read.set()
        await asyncio.wait_for(slow.task, 5)
        assert slow.is_ended
        had = slow.named
        assert had == [str(n) for n in range(len(had))]
        assert len(had) < 60
        lines = slow.lines
        last = lines[-1]["object"]["metadata"]["resourceVersion"] if lines else since
        again = Reader(call, last)
        again.may_read.set()
        await settle()
        assert had + again.named == [str(n) for n in range(60)]
        for reader in (quick, again):
            reader.gone.set()
            await asyncio.wait_for(reader.task, 5)

    run(test)


def test_who_reads_late_but_in_time_has_everything_in_pieces_of_bounded_length():
    async def test(call):
        made = await call("POST", MAPS, {"metadata": {"name": "one"}})
        late = Reader(call, made.body["metadata"]["resourceVersion"])
        await settle()
        await written(call, 40, padding="x" * 50_000)
        late.may_read.set()
        await settle(200)
        assert late.named == [str(n) for n in range(40)]
        assert max(map(len, late.parts)) < stream._BATCH_BYTES + 60_000
        late.gone.set()
        await asyncio.wait_for(late.task, 5)

    run(test)


def test_changes_of_long_objects_are_kept_up_to_a_size_only(monkeypatch):
    monkeypatch.setattr(cache, "RING_BYTES", 100_000)

    async def test(call):
        made = await call("POST", MAPS, {"metadata": {"name": "one"}})
        since = made.body["metadata"]["resourceVersion"]
        recent = await written(call, 18, padding="x" * 10_000)
        await written(call, 2, first=18, padding="x" * 10_000)
        kept = call.registry.cache(names.CONFIG_MAPS).ring
        assert sum(len(c.new.data) for c in kept) <= 100_000
        reader, late = Reader(call, recent), Reader(call, since)
        reader.may_read.set()
        late.may_read.set()
        await settle()
        assert reader.named == ["18", "19"]
        assert late.lines[0]["object"]["code"] == 410
        reader.gone.set()
        await asyncio.wait_for(asyncio.gather(reader.task, late.task), 5)

    run(test)


def test_watches_that_were_left_leave_nothing():
    async def main():
        async with cluster() as call:
            await call("POST", MAPS, {"metadata": {"name": "one"}})
            readers = [Reader(call) for _ in range(250)]
            await settle()
            await written(call, 3)
            before = len(asyncio.all_tasks())
            for n, reader in enumerate(readers):
                reader.gone.set()
                if n % 2:  # half of them had never read
                    reader.may_read.set()
            await settle()
            for reader in readers:
                reader.may_read.set()  # as the transport does when its connection is lost
            await asyncio.wait_for(asyncio.gather(*(r.task for r in readers)), 5)
            assert before - len(asyncio.all_tasks()) >= 500
            readers.clear()
            del reader
            gc.collect()
            assert not [w for w in gc.get_objects() if type(w) is watch.Watcher]

    asyncio.run(main())
