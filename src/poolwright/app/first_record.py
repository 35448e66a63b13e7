"""A record that all servers of a store share: whoever comes first makes it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from poolwright.model.errors import Precondition
from poolwright.model.record import Kind, Stored
from poolwright.ports.store import Create, Store

T = TypeVar("T")


async def first_record(
    store: Store,
    scope: str,
    kind: Kind[T, None],
    name: str,
    make: Callable[[], Awaitable[Create]],
) -> Stored[T, None]:
    """The record. ``make`` is asked only where there is none yet, and what it says counts only if
    no other server was faster.

    Raises:
        PoolwrightError: the store cannot be read or written.
    """
    found = await store.get(scope, kind, name)
    if found is None:
        with suppress(Precondition):
            await store.transact(scope, [await make()])
        found = await store.get(scope, kind, name)
        assert found is not None, f"{name} is never deleted"
    return found
