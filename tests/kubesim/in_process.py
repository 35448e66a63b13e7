"""A KubeSim on a store in memory, called as an ASGI application without a socket."""

from __future__ import annotations

import asyncio
import contextlib
import json

from poolwright.kubesim.server import KubeSim, KubeSimSettings
from poolwright.model.cluster_key import ClusterKey
from poolwright.store import SqlStore

from .fake import FakeClock, FakeIdentity
from .serving import FakeKubelet

KEY = ClusterKey("sub", "rg", "one")
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


class Answer:
    def __init__(self, messages):
        self.status = messages[0]["status"]
        self.headers = [(k.decode(), v.decode()) for k, v in messages[0]["headers"]]
        self.parts = [m.get("body", b"") for m in messages[1:]]
        self.data = b"".join(self.parts)

    @property
    def body(self):
        return json.loads(self.data)


class Client:
    """Calls one cluster; ``user`` is its admin."""

    def __init__(self, sim, token):
        self.sim = sim
        self.token = token

    @property
    def registry(self):
        return self.sim.cluster(KEY).registry

    async def __call__(
        self, method, path, body=None, *, content_type="application/json",
        accept="application/json", token=None, headers=(),
    ):  # fmt: skip
        messages = []
        data = body if isinstance(body, bytes) else b""
        if body is not None and not isinstance(body, bytes):
            data = json.dumps(body).encode()
        requests = [{"type": "http.request", "body": data, "more_body": False}]

        async def receive():
            if requests:
                return requests.pop()
            await asyncio.get_running_loop().create_future()
            return None

        async def send(message):
            messages.append(message)

        path, _, query = path.partition("?")
        token = self.token if token is None else token
        await self.sim.asgi_app(
            {
                "type": "http",
                "method": method,
                "path": f"/k8s/{KEY}{path}",
                "query_string": query.encode(),
                "headers": [
                    (b"authorization", f"Bearer {token}".encode()),
                    (b"content-type", content_type.encode()),
                    (b"accept", accept.encode()),
                    (b"user-agent", b"test/1"),
                    *headers,
                ],
            },
            receive,
            send,
        )
        return Answer(messages)


@contextlib.asynccontextmanager
async def cluster(*, controllers=False, before=lambda store: store):
    """``before`` may put something between the server and its store."""
    clock = FakeClock()
    opened = SqlStore.open(None, clock=clock)
    store = before(opened)
    settings = KubeSimSettings(controllers=controllers, system_pods=False)
    sim = KubeSim(store, clock, FakeIdentity(), FakeKubelet(), settings)
    running = asyncio.ensure_future(sim.run())
    try:
        await sim.put(KEY, version="1.35.4", running=True)
        yield Client(sim, await sim.token(KEY, admin=True))
    finally:
        running.cancel()
        await asyncio.wait([running])
        await opened.close()


def run(test, *, controllers=False):
    """Run ``test(client)`` against a fresh cluster."""

    async def main():
        async with cluster(controllers=controllers) as client:
            await asyncio.wait_for(test(client), 20)

    asyncio.run(main())


def pod(name, node=None, **labels):
    spec = {"containers": [{"name": "main", "image": "busybox:1"}]}
    if node:
        spec["nodeName"] = node
    return {"metadata": {"name": name, "labels": labels}, "spec": spec}
