"""Forgetting operations that ended long ago: by age, and the oldest beyond a number.

A status URL is good for as long as ARM keeps one. Age is wall time, as ``endTime`` shows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from poolwright.arm.operations import Operation
from poolwright.model.agent_pool import OPERATION
from poolwright.model.errors import NotFound, Precondition
from poolwright.model.instant import Instant
from poolwright.ports.clock import Clock
from poolwright.ports.store import Delete, Store

KEPT_FOR = timedelta(days=7)
"""Source: ARM async-operations, status kept for at least 7 days (known, not re-verified)."""
KEPT_MAX = 1_000
"""How many ended operations of one cluster are kept, whatever their age."""
_LOOK_AGAIN = timedelta(days=1)
"""World time between two looks at the operations of a cluster."""
_BATCH = 500


class OperationRetention:
    """Removes what is too old from one scope at a time."""

    name = "operation_retention"

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def reconcile(self, key: str) -> Instant | None:
        """Forget what is due in the scope; come back while it has any operation."""
        found, _ = await self._store.list(key, OPERATION)
        due = expired(found, self._clock.now().wall)
        for start in range(0, len(due), _BATCH):
            batch = due[start : start + _BATCH]
            try:
                await self._store.transact(
                    key, [Delete(OPERATION, one.name, expect_uid=one.uid) for one in batch]
                )
            except (NotFound, Precondition):
                break  # another replica was faster
        return self._clock.now().world.after(_LOOK_AGAIN) if len(due) < len(found) else None


def expired(operations: Sequence[Operation], now: datetime) -> list[Operation]:
    """The ended operations to forget, oldest first. Running ones stay, whatever their age."""
    ended = [
        (one.status.ended_at or now, one.name, one)
        for one in operations
        if one.status.state.is_terminal
    ]
    ended.sort(key=lambda entry: entry[:2])
    surplus = len(ended) - KEPT_MAX
    return [
        one
        for index, (ended_at, _, one) in enumerate(ended)
        if index < surplus or now - ended_at > KEPT_FOR
    ]
