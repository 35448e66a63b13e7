"""What probes are answered, by what the store does."""

import asyncio

import pytest

from poolwright.app import health
from poolwright.app.health import Health
from poolwright.model.errors import Transient


class Store:
    def __init__(self):
        self.answers = asyncio.Event()
        self.answers.set()
        self.trouble = None

    async def revision(self, scope):
        del scope
        await self.answers.wait()
        if self.trouble is not None:
            raise self.trouble
        return 0


def ask(probed, path, method="GET"):
    sent = []

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "path": path, "method": method, "headers": []}
    assert Health.is_asked(scope)
    asyncio.run(probed(scope, None, send))
    return sent[0]["status"], sent[1]["body"].decode(), dict(sent[0]["headers"])


def test_it_is_ready_while_it_serves():
    probed = Health(Store())
    assert ask(probed, "/readyz")[:2] == (503, "starting")
    assert ask(probed, "/livez")[:2] == (200, "ok")
    probed.serve()
    assert ask(probed, "/readyz")[:2] == (200, "ok")
    assert ask(probed, "/readyz", "HEAD")[:2] == (200, "")
    status, _, headers = ask(probed, "/readyz", "POST")
    assert (status, headers[b"allow"]) == (405, b"GET, HEAD")
    probed.drain()
    assert ask(probed, "/readyz")[:2] == (503, "stopping")
    assert ask(probed, "/healthz")[:2] == (200, "ok")


def test_a_store_that_is_away_tells_nobody_where_it_is():
    store = Store()
    probed = Health(store)
    probed.serve()
    store.trouble = Transient("postgresql://somewhere did not answer")
    status, said, _ = ask(probed, "/readyz")
    assert status == 503
    assert "somewhere" not in said
    assert ask(probed, "/livez")[:2] == (200, "ok")


def test_a_store_that_hangs_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(health, "_STORE_SECONDS", 0.01)
    store = Store()
    store.answers.clear()
    probed = Health(store)
    probed.serve()
    assert ask(probed, "/readyz")[0] == 503


@pytest.mark.parametrize(
    ("path", "headers"),
    [("/readyz", [(b"authorization", b"Bearer x")]), ("/readyz/ping", []), ("/metrics", [])],
)
def test_other_requests_are_not_for_it(path, headers):
    assert not Health.is_asked({"type": "http", "path": path, "headers": headers})
