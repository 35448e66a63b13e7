"""A store that takes no writes for a while: nothing ends, and what was left undone is done then."""

import asyncio

import pytest

from poolwright.model.errors import Transient, Unknown
from poolwright.sim.loop import run

from .in_process import KEY, cluster, pod

ACCOUNT = "/api/v1/namespaces/n/serviceaccounts/default"
QUOTA = "/api/v1/namespaces/default/resourcequotas"
EVENTS = "/api/v1/namespaces/default/events"


class Refusing:
    """A store that refuses writes of some kinds, once it is told which."""

    def __init__(self, store):
        self._store = store
        self.kinds = ()
        self.error = Transient
        self.refused = 0

    def __getattr__(self, name):
        return getattr(self._store, name)

    async def transact(self, scope, writes):
        if any(write.kind.name.endswith(self.kinds) for write in writes if self.kinds):
            self.refused += 1
            raise self.error("the database refuses: database or disk is full")
        return await self._store.transact(scope, writes)


async def eventually(question):
    async with asyncio.timeout(600):
        while not await question():  # noqa: ASYNC110 - what the API shows has no event
            await asyncio.sleep(0.1)


def play(story):
    async def main():
        stores = []

        def before(store):
            stores.append(Refusing(store))
            return stores[0]

        async with cluster(controllers=True, before=before) as call:
            await story(call, stores[0])

    run(main())


@pytest.mark.parametrize("error", [Transient, Unknown])
def test_a_namespace_gets_its_account_in_the_end(error):
    async def story(call, store):
        store.kinds, store.error = ("/serviceaccounts",), error
        made = await call("POST", "/api/v1/namespaces", {"metadata": {"name": "n"}})
        assert made.status == 201
        refused = await call("POST", ACCOUNT.rpartition("/")[0], {"metadata": {"name": "mine"}})
        assert refused.status == (503 if error is Transient else 504)
        assert refused.body["kind"] == "Status"
        await asyncio.sleep(60)
        assert store.refused > 3
        assert (await call("GET", ACCOUNT)).status == 404
        store.kinds = ()

        async def is_there():
            return (await call("GET", ACCOUNT)).status == 200

        await eventually(is_there)

    play(story)


def test_a_quota_counts_in_the_end():
    async def story(call, store):
        quota = {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "2"}}}
        assert (await call("POST", QUOTA, quota)).status == 201

        async def used():
            return (await call("GET", f"{QUOTA}/q")).body["status"].get("used")

        async def is_used(count):
            return await used() == {"pods": count}

        await eventually(lambda: is_used("0"))
        store.kinds = ("/resourcequotas",)
        made = await call("POST", "/api/v1/namespaces/default/pods", pod("a"))
        assert made.status == 201
        await asyncio.sleep(60)
        assert await used() == {"pods": "0"}
        store.kinds = ()
        await eventually(lambda: is_used("1"))

    play(story)


def test_old_events_go_in_the_end():
    async def story(call, store):
        event = {
            "metadata": {"name": "e"},
            "involvedObject": {"namespace": "default"},
            "lastTimestamp": "2001-01-01T00:00:00Z",
        }
        assert (await call("POST", EVENTS, event)).status == 201
        store.kinds = ("/events",)
        await asyncio.sleep(600)
        assert store.refused
        assert (await call("GET", f"{EVENTS}/e")).status == 200
        store.kinds = ()

        async def is_gone():
            return (await call("GET", f"{EVENTS}/e")).status == 404

        await eventually(is_gone)
        assert call.sim.cluster(KEY).record.is_running

    play(story)
