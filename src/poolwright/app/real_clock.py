"""The real clock: wall time from the system, world time at a chosen speed, kept over restarts."""

from __future__ import annotations

import asyncio
import json
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from poolwright.model.instant import Instant, Now

_BEAT = timedelta(seconds=2)
"""How often the world's position is written down; after a kill the world resumes that far ahead
of the last note, so that it never goes back."""


class RealClock:
    """A `ports.Clock` whose world runs at ``speed`` and stands still while the process is down.

    ``path`` keeps the world's position; None keeps nothing (a world of one process).
    """

    def __init__(self, speed: float = 1.0, path: Path | None = None) -> None:
        self.speed = speed
        self._path = path
        self._anchor = time.monotonic()
        self._world_anchor = _resume(path)
        self.note()

    def now(self) -> Now:
        """Both times at this moment."""
        return Now(self._world(), datetime.now(UTC))

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

    def note(self, *, clean: bool = False) -> None:
        """Write the world's position down; ``clean`` says that it stops here."""
        if self._path is None:
            return
        note = {"world_micros": self._world().micros, "speed": self.speed, "clean": clean}
        partial = self._path.with_suffix(".partial")
        partial.write_text(json.dumps(note))
        os.replace(partial, self._path)

    async def run(self) -> None:
        """Keep the note fresh until cancelled."""
        while True:
            await self.sleep(_BEAT)
            self.note()


def _resume(path: Path | None) -> int:
    if path is None or not path.exists():
        return 0
    note = json.loads(path.read_text())
    lead = 0 if note["clean"] else int(_BEAT.total_seconds() * 2 * 1_000_000 * note["speed"])
    return int(note["world_micros"]) + lead
