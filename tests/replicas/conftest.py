"""The store and the cluster that the servers share."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from poolwright.app.real_clock import RealClock
from poolwright.store import SqlStore
from postgresql_server import postgresql_server, require_binaries


@pytest.fixture
def database():
    """The URL of a PostgreSQL with our tables: the servers make none, they only check."""
    require_binaries()
    with postgresql_server() as url:
        asyncio.run(_migrate(url))
        yield url


async def _migrate(url: str) -> None:
    await SqlStore.open(url, clock=RealClock()).close()
