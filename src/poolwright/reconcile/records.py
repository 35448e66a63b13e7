"""Hearing of every record: a look at all of them, and then their changes."""

from __future__ import annotations

from asyncio import TaskGroup
from collections.abc import Awaitable, Callable

from poolwright.ports.store import Change, Store


async def follow_records(
    store: Store,
    scope_prefix: str,
    look: Callable[[], Awaitable[None]],
    on_change: Callable[[Change], None],
) -> None:
    """Subscribe, look at everything once, then follow until the stream breaks.

    The look comes after the subscription: what changes meanwhile is heard twice, never missed.
    Run it under `supervise`, which starts it over.
    """

    async def look_once() -> None:
        await look()

    async with TaskGroup() as group:
        looking = group.create_task(look_once())
        try:
            async for change in store.follow(scope_prefix):
                on_change(change)
        finally:
            looking.cancel()
