"""An ARM front with a store in memory, a clock that the test sets, and a provider that tells."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography.hazmat.primitives.asymmetric import rsa

from poolwright.arm.app import create_app
from poolwright.arm.context import ArmContext
from poolwright.arm.settings import ArmSettings
from poolwright.arm.tokens import TokenKeys
from poolwright.model.errors import NotFound
from poolwright.model.instant import Instant, Now
from poolwright.model.scarcity import Scarcity, Usage
from poolwright.store.sql_store import SqlStore

SUBSCRIPTION = "11111111-1111-1111-1111-111111111111"
TENANT = "22222222-2222-2222-2222-222222222222"
HOST = "localhost:8443"
BASE = f"https://{HOST}"
TOKEN = "opaque-development-token"
ROOT = f"/subscriptions/{SUBSCRIPTION}"
ARM_VERSION = "2024-11-01"
AKS_VERSION = "2026-06-01"


class ManualClock:
    """World and wall stand still until the test moves them."""

    def __init__(self):
        self.micros = 0
        self.start = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)

    def now(self):
        return Now(Instant(self.micros), self.start + timedelta(microseconds=self.micros))

    def advance(self, duration):
        self.micros += duration // timedelta(microseconds=1)

    def monotonic(self):
        return self.micros / 1e6

    async def sleep(self, duration):
        await asyncio.sleep(0)

    async def sleep_until(self, at):
        await asyncio.Event().wait()


class CountingIdentity:
    def __init__(self):
        self.count = 0

    def uid(self):
        self.count += 1
        return f"00000000-0000-4000-8000-{self.count:012x}"

    def suffix(self, length):
        return "bcdfghjklm"[:length]


class TellingProvider:
    """Usage and scarcity only; the ARM core asks for nothing else."""

    def __init__(self):
        self.current = Scarcity()

    async def usage(self, region):
        return [Usage("cores", 8, 100), Usage("standardNCADSA100v4Family", 0, 48)]

    async def scarcity(self, region):
        return self.current

    async def set_scarcity(self, region, scarcity):
        self.current = scarcity


class NoControlPlanes:
    async def get(self, cluster):
        return None

    async def token(self, cluster, *, admin):
        raise NotFound("no control plane")

    async def kubeconfig_user(self, cluster, *, admin):
        raise NotFound("no control plane")


@cache
def private_key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@cache
def token_keys():
    return TokenKeys((private_key(),))


class Answer:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        """The error code, whatever the shape."""
        return self.json.get("error", self.json).get("code")


class World:
    def __init__(self, **settings):
        settings.setdefault("development_tokens", (TOKEN,))
        self.clock = ManualClock()
        self.store = SqlStore.open(None, clock=self.clock)
        self.provider = TellingProvider()
        self.context = ArmContext(
            store=self.store,
            machine_provider=self.provider,
            clusters=None,
            control_planes=NoControlPlanes(),
            clock=self.clock,
            identity=CountingIdentity(),
            settings=ArmSettings(**settings),
        )
        self.app = create_app(self.context, token_keys())

    async def call(
        self,
        method,
        path,
        body=None,
        *,
        version=ARM_VERSION,
        headers=None,
        token=TOKEN,
        raw=None,
        chunks=None,
    ):
        """Ask the application as an ASGI server would."""
        target, _, query = path.partition("?")
        if version is not None:
            query = f"{query}&api-version={version}".lstrip("&")
        sent = {"host": HOST}
        if token is not None:
            sent["authorization"] = f"Bearer {token}"
        if body is not None:
            sent["content-type"] = "application/json"
            raw = json.dumps(body).encode()
        sent |= headers or {}
        pieces = list(chunks) if chunks is not None else [raw or b""]
        return await asgi_call(self.app, method, target, query, sent, pieces)

    async def get(self, path, **options):
        return await self.call("GET", path, **options)

    async def put(self, path, body=None, **options):
        return await self.call("PUT", path, body, **options)


async def asgi_call(app, method, path, query, headers, pieces, *, scheme="https"):
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "scheme": scheme,
        "headers": [(k.lower().encode(), v.encode("latin-1")) for k, v in headers.items()],
    }
    messages = []

    async def receive():
        if pieces:
            piece = pieces.pop(0)
            if piece is None:
                return {"type": "http.disconnect"}
            if callable(piece):
                await piece()
            return {"type": "http.request", "body": piece, "more_body": bool(pieces)}
        await asyncio.Event().wait()
        return {}

    async def send(message):
        messages.append(message)

    await app(scope, receive, send)
    if not messages:
        return None
    start, end = messages
    found = {name.decode().lower(): value.decode("latin-1") for name, value in start["headers"]}
    return Answer(start["status"], found, end["body"])


def play(scenario, **settings):
    """Run a scenario in a fresh world."""

    async def main():
        world = World(**settings)
        try:
            return await scenario(world)
        finally:
            await world.store.close()

    return asyncio.run(main())
