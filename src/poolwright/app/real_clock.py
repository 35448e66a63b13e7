"""The real clock: wall time from the system, world time at a chosen speed, kept over restarts."""

from __future__ import annotations

import asyncio
import json
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from poolwright.model.instant import Instant, Now

_RESERVED = 0.1
"""Real seconds of world time that are reserved on disk before any of it is shown. After a kill the
world resumes at the end of what was reserved: it never goes back, and skips so little that
nothing under way misses its deadline for it."""


class RealClock:
    """A `ports.Clock` whose world runs at ``speed`` and stands still while the process is down.

    ``path`` keeps the world's position; None keeps nothing (a world of one process).
    """

    def __init__(self, speed: float = 1.0, path: Path | None = None) -> None:
        self.speed = speed
        self._path = path
        self._anchor = time.monotonic()
        self._world_anchor = _resume(path)
        self._reserved_until = -1

    def now(self) -> Now:
        """Both times at this moment."""
        world = self._world()
        if self._path is not None and world.micros > self._reserved_until:
            self._reserve(world)
        return Now(world, datetime.now(UTC))

    def _world(self) -> Instant:
        passed = (time.monotonic() - self._anchor) * self.speed
        return Instant(self._world_anchor + int(passed * 1_000_000))

    def monotonic(self) -> float:
        """Real seconds from an arbitrary start."""
        return time.monotonic()

    async def sleep(self, duration: timedelta) -> None:
        """Wait for real time."""
        await asyncio.sleep(duration.total_seconds())

    async def sleep_until(self, at: Instant) -> None:
        """Wait until world time reaches ``at``."""
        while (left := at.since(self._world())) > timedelta(0):  # noqa: ASYNC110 - a timer
            await asyncio.sleep(max(left.total_seconds() / self.speed, 0.000_5))

    def _reserve(self, world: Instant) -> None:
        self._reserved_until = world.micros + int(_RESERVED * self.speed * 1_000_000)
        self._write(self._reserved_until)

    def close(self) -> None:
        """Write down where the world stops: the next process goes on from there."""
        self._reserved_until = self._world().micros
        self._write(self._reserved_until)

    def _write(self, micros: int) -> None:
        if self._path is None:
            return
        partial = self._path.with_suffix(".partial")
        partial.write_text(json.dumps({"world_micros": micros}))
        os.replace(partial, self._path)


def _resume(path: Path | None) -> int:
    if path is None or not path.exists():
        return 0
    return int(json.loads(path.read_text())["world_micros"])
