from __future__ import annotations

import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from poolwright.kube.asgi_transport import AsgiTransport
from poolwright.kube.client import Endpoint, HttpKube
from poolwright.sim.loop import run

sys.path.insert(0, str(Path(__file__).parent))
from toy_server import ToyServer


@asynccontextmanager
async def connected(server):
    async with AsgiTransport(server.app()) as transport:

        async def connect():
            return Endpoint(transport, "https://localhost:1/k8s/s/g/c", "secret")

        yield HttpKube(connect)


@pytest.fixture
def talk():
    """Run a scenario with a toy server and a client on the virtual loop."""

    def drive(scenario):
        async def main():
            server = ToyServer()
            async with connected(server) as kube:
                await scenario(server, kube)

        run(main())

    return drive
