"""The keyed work queue: what waits, what is due, what runs.

A key is at most once in the queue and never handed out twice at once. A key that is woken while it
runs is handed out once more afterwards.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable, Hashable
from datetime import timedelta
from itertools import count
from typing import Any, Generic, TypeVar

from poolwright.model.instant import Instant
from poolwright.ports.clock import Clock

K = TypeVar("K", bound=Hashable)
DueT = TypeVar("DueT", float, Instant)


class _Timers(Generic[K, DueT]):
    """One due moment per key; the earliest wins. Costs O(log n) a change, none while it waits."""

    def __init__(
        self, sleep_until: Callable[[DueT], Awaitable[None]], passed: Callable[[DueT], bool]
    ) -> None:
        self._sleep_until = sleep_until
        self._passed = passed
        self._due: dict[K, DueT] = {}
        self._heap: list[tuple[DueT, int, K]] = []
        self._order = count()
        self._changed = asyncio.Event()
        self._nap: asyncio.Timeout | None = None

    def __len__(self) -> int:
        return len(self._due)

    def set(self, key: K, at: DueT) -> None:
        """Let the key become due at ``at``, unless it does so earlier anyway."""
        if key in self._due and self._due[key] <= at:
            return
        self._due[key] = at
        entry = (at, next(self._order), key)
        heapq.heappush(self._heap, entry)
        if self._heap[0] is entry:
            self._changed.set()
            if self._nap is not None:
                self._nap.reschedule(0)  # in the past: the nap ends at the loop's next turn
                self._nap = None
        if len(self._heap) > 64 + 4 * len(self._due):
            self._sweep()

    def discard(self, key: K) -> None:
        """Forget a key's due moment; its entry in the heap is skipped when it comes up."""
        self._due.pop(key, None)

    def _sweep(self) -> None:
        self._heap = [e for e in self._heap if self._due.get(e[2]) == e[0]]
        heapq.heapify(self._heap)

    async def run(self, ready: Callable[[K], None]) -> None:
        while True:
            while self._heap and self._due.get(self._heap[0][2]) != self._heap[0][0]:
                heapq.heappop(self._heap)
            self._changed.clear()
            if not self._heap:
                await self._changed.wait()
                continue
            at, _, key = self._heap[0]
            if self._passed(at):
                heapq.heappop(self._heap)
                del self._due[key]
                ready(key)
                continue
            try:
                async with asyncio.timeout(None) as self._nap:
                    await self._sleep_until(at)
            except TimeoutError:
                pass  # something earlier came in
            finally:
                self._nap = None


class WorkQueue(Generic[K]):
    """Keys to reconcile, with delays in real time (debounce, back-off) and in world time."""

    def __init__(self, clock: Clock, *, debounce: timedelta) -> None:
        self._clock = clock
        self._debounce = debounce.total_seconds()
        self._ready: asyncio.Queue[K] = asyncio.Queue()
        self._queued: set[K] = set()
        self._running: set[K] = set()
        self._woken: set[K] = set()  # while running
        self._rests: dict[K, float] = {}  # until when a key rests
        self._real: _Timers[K, float] = _Timers(
            self._sleep_real, lambda at: at <= clock.monotonic()
        )
        self._world: _Timers[K, Instant] = _Timers(
            clock.sleep_until, lambda at: at <= clock.now().world
        )

    async def _sleep_real(self, until: float) -> None:
        # A microsecond more: a timedelta rounds, and a nap that is too short would spin.
        wait = timedelta(seconds=max(0.0, until - self._clock.monotonic()))
        await self._clock.sleep(wait + timedelta(microseconds=1))

    def __len__(self) -> int:
        """Keys that could run now."""
        return len(self._queued)

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs or could run now; keys may still wait for their time."""
        return not (self._queued or self._running)

    def wake(self, key: K, at: Instant | None = None) -> None:
        """Have a key handed out soon (after the debounce), or at a world instant."""
        if at is not None:
            self._world.set(key, at)
        elif key in self._running:
            self._woken.add(key)
        elif key not in self._queued:
            self._soon(key)

    def _soon(self, key: K) -> None:
        # The first wake-up of a burst opens the window: a steady stream cannot starve the key.
        if self._debounce:
            soon = self._clock.monotonic() + self._debounce
            self._real.set(key, max(soon, self._rests.pop(key, 0.0)))
        else:
            self._push(key)

    def delay(self, key: K, duration: timedelta) -> None:
        """Have a key handed out after so much real time."""
        self._real.set(key, self._clock.monotonic() + duration.total_seconds())

    def push(self, key: K) -> None:
        """Have a key handed out as soon as a worker is free, without debounce."""
        self._push(key)

    def _push(self, key: K) -> None:
        if key in self._running:
            self._woken.add(key)
        elif key not in self._queued:
            self._queued.add(key)
            self._ready.put_nowait(key)

    async def take(self) -> K:
        """The next key; its waits are void from now on. Every `take` needs a `done`."""
        key = await self._ready.get()
        self._queued.discard(key)
        self._running.add(key)
        self._real.discard(key)
        self._world.discard(key)
        self._rests.pop(key, None)
        return key

    def done(self, key: K, *, rest: float = 0.0) -> None:
        """The key's run ended; hand it out again if it was woken meanwhile. Wake-ups of the next
        ``rest`` real seconds wait until those have passed.
        """
        self._running.discard(key)
        if rest > self._debounce > 0:
            self._rests[key] = self._clock.monotonic() + rest
        else:
            self._rests.pop(key, None)
        if key in self._woken:
            self._woken.discard(key)
            self._soon(key)

    def timers(self) -> tuple[Any, Any]:
        """The two coroutines that make keys due; the loop's task group runs them."""
        return self._real.run(self._push), self._world.run(self._push)
