"""Who a store is, to clusters that it manages: the same for all its servers, and for ever."""

from __future__ import annotations

from types import NoneType

from poolwright.app.first_record import first_record
from poolwright.model.record import Kind
from poolwright.ports.clock import Clock, Identity
from poolwright.ports.store import Create, Store

STORE_IDENTITY: Kind[None, None] = Kind("StoreIdentity", NoneType, NoneType)
"""The record's uid is the identity."""
_SCOPE = "server/identity"
_NAME = "store"


async def store_identity(store: Store, clock: Clock, identity: Identity) -> str:
    """The store's identity; drawn when it is first asked for.

    Raises:
        PoolwrightError: the store cannot be read or written.
    """

    async def drawn() -> Create:
        return Create(STORE_IDENTITY, _NAME, identity.uid(), None, None, clock.now().wall)

    return (await first_record(store, _SCOPE, STORE_IDENTITY, _NAME, drawn)).uid
