"""Requests to one cluster's API: level-triggered by key, bounded, repeated until done."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from datetime import timedelta
from typing import Generic, TypeVar

from poolwright.model.errors import PoolwrightError
from poolwright.ports.clock import Clock

KeyT = TypeVar("KeyT", bound=Hashable)

_DELAY_FIRST = timedelta(milliseconds=50)
_DELAY_MAX = timedelta(seconds=1)


class Outbox(Generic[KeyT]):
    """A queue of keys. ``perform`` brings what a key stands for in line with its state; while it
    runs or waits, further calls for the same key are one call.
    """

    def __init__(
        self, clock: Clock, perform: Callable[[KeyT, int], Awaitable[None]], *, parallel: int
    ) -> None:
        self._clock = clock
        self._perform = perform
        self._parallel = parallel
        self._queue: dict[KeyT, None] = {}
        self._running: dict[KeyT, bool] = {}
        self._filled = asyncio.Event()

    def put(self, key: KeyT) -> None:
        """Something about ``key`` changed."""
        if key in self._running:
            self._running[key] = True
        else:
            self._queue[key] = None
            self._filled.set()

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and nothing runs."""
        return not self._queue and not self._running

    async def run(self) -> None:
        """Work for ever."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._parallel):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            while not self._queue:
                self._filled.clear()
                await self._filled.wait()
            key = next(iter(self._queue))
            del self._queue[key]
            self._running[key] = False
            await self._deliver(key)
            if self._running.pop(key):
                self.put(key)

    async def _deliver(self, key: KeyT) -> None:
        attempt, delay = 1, _DELAY_FIRST
        while True:
            try:
                await self._perform(key, attempt)
            except PoolwrightError:
                # Refused as well: another's write came first, and what a key needs is seen anew.
                await self._clock.sleep(delay)
                attempt, delay = attempt + 1, min(delay * 2, _DELAY_MAX)
            else:
                return
