"""The world's time of replicas: real time since the store's world began, by the store's clock.

One server's world stands still while it is down. A world of several does not, so its position is
not a server's to keep.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from types import NoneType

from poolwright.app.first_record import first_record
from poolwright.model.instant import Instant
from poolwright.model.record import Kind
from poolwright.ports.clock import Clock, Identity
from poolwright.ports.store import Create
from poolwright.store import ScopedStore


@dataclass(frozen=True, slots=True)
class World:
    """When the world began, by the store's clock."""

    began_at: datetime


WORLD: Kind[World, None] = Kind("World", World, NoneType)
_SCOPE = "server/world"
_NAME = "world"


async def world_position(store: ScopedStore, clock: Clock, identity: Identity) -> Instant:
    """Where the store's world is now. The first server's world, by ``clock``, goes on as it.

    Raises:
        PoolwrightError: the store cannot be read or written.
    """

    async def begun() -> Create:
        here, now = clock.now(), await store.time()
        began = World(now - timedelta(microseconds=here.world.micros))
        return Create(WORLD, _NAME, identity.uid(), began, None, here.wall)

    found = await first_record(store, _SCOPE, WORLD, _NAME, begun)
    passed = await store.time() - found.spec.began_at
    return Instant(passed // timedelta(microseconds=1))
