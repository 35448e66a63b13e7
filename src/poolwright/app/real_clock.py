"""The real clock: wall time from the system, world time at a chosen speed, kept over restarts.

The world runs at its speed only while this process keeps up with it. A world second may be
worth a hundredth of a millisecond: a world that ran on while a thousand nodes are written down
would let every one of its own deadlines pass. So world time is

* 1 x real time, always; and on top of it, while the process has nothing to do,
* up to the speed; while a short internal wait is pending (a debounce, a first retry: somebody is
  about to act), no more than at `_ATTENTIVE`, which leaves room for many of them.

At speed 1 this is exactly real time. While its position cannot be written down, as on a full
disk, the world stands still: nobody is shown a time to which it could go back.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import structlog

from poolwright.app.idle_loop import idle_seconds
from poolwright.model.errors import InvalidRequest
from poolwright.model.instant import Instant, Now

_log: Any = structlog.get_logger("poolwright.clock")

_RESERVED = 0.1
"""Real seconds of world time that are reserved on disk before any of it is shown. After a kill the
world resumes at the end of what was reserved: it never goes back, and skips so little that
nothing under way misses its deadline for it."""
_RESERVED_LEAST = 2.0
"""The least, in world seconds: at the speed of real time the disk would be asked ten times a second
for a tenth of a second each."""
_RESERVED_MOST = 60.0
"""The most that is reserved, in world seconds: deadlines of the world are minutes."""
_ATTENTIVE = 600.0
"""The most world seconds per second while a short internal wait is pending: a debounce of 50 ms is
half a world minute then, and deadlines are tens of minutes. The default speed is slower."""
_BUSY_NAP = 1e-3
"""Real seconds that a sleeper naps at least once it woke too early, because the process was busy:
looking at every turn of the loop cost a tenth of bringing up nodes at top speed."""
_RETRY = 0.25
"""Real seconds until the disk is asked again after it took no position."""
_SHORT = 0.25
"""Internal waits below so many seconds are part of work; longer ones are sweeps and long
back-offs."""


class Readings(Protocol):
    """What the clock reads; both only grow."""

    def monotonic(self) -> float:
        """Real seconds from an arbitrary start."""
        ...

    def idle(self) -> float:
        """Those of them in which the process had nothing to do."""
        ...


@dataclass(frozen=True, slots=True)
class _Process:
    """The readings of this process."""

    def monotonic(self) -> float:
        return time.monotonic()

    def idle(self) -> float:
        return idle_seconds()


class RealClock:
    """A `ports.Clock` whose world runs at ``speed`` and stands still while the process is down.

    ``path`` keeps the world's position; None keeps nothing (a world of one process, or one whose
    position is kept elsewhere: ``begin``).
    """

    def __init__(
        self,
        speed: float = 1.0,
        path: Path | None = None,
        readings: Readings | None = None,
        *,
        begin: Instant | None = None,
    ) -> None:
        self.speed = speed
        self._path = path
        self._readings = readings or _Process()
        self._anchor = self._readings.monotonic()
        self._world_anchor = _resume(path) if begin is None else begin.micros
        self._idle_seen: float = self._readings.idle()
        self._gained: float = 0.0  # world seconds beyond real time
        self._short_waits = 0
        self._naps: dict[asyncio.Future[None], None] = {}
        self._reserved_until = self._world_anchor
        self._retry_at = float("-inf")
        self._stands_still = False

    def now(self) -> Now:
        """Both times at this moment."""
        return Now(self._shown(), datetime.now(UTC))

    def _shown(self) -> Instant:
        """The world's position; what was not reserved on disk has not happened."""
        world = self._world()
        over = world.micros - self._reserved_until
        if self._path is None or over < 0:
            return world
        if self._readings.monotonic() >= self._retry_at and self._reserve(world):
            return world
        self._world_anchor -= over
        return Instant(self._reserved_until)

    def _world(self) -> Instant:
        self._gain()
        passed = self._readings.monotonic() - self._anchor + self._gained
        return Instant(self._world_anchor + int(passed * 1_000_000))

    def _gain(self) -> None:
        """Take the idle time since the last look into account, at the rate that held for it."""
        idle = self._readings.idle()
        if idle != self._idle_seen:
            self._gained += (idle - self._idle_seen) * (self._rate() - 1)
            self._idle_seen = idle

    def _rate(self) -> float:
        """World seconds per idle second, now."""
        return min(self.speed, _ATTENTIVE) if self._short_waits else self.speed

    def monotonic(self) -> float:
        """Real seconds from an arbitrary start."""
        return self._readings.monotonic()

    async def sleep(self, duration: timedelta) -> None:
        """Wait for real time."""
        seconds = duration.total_seconds()
        if seconds >= _SHORT:
            await asyncio.sleep(seconds)
            return
        self._gain()
        self._short_waits += 1
        try:
            await asyncio.sleep(seconds)
        finally:
            self._gain()
            self._short_waits -= 1
            if not self._short_waits:
                self._wake_sleepers()

    async def sleep_until(self, at: Instant) -> None:
        """Wait until world time reaches ``at``."""
        loop = asyncio.get_running_loop()
        # At least a microsecond: less could vanish in the loop's floating-point time.
        least = 1e-6
        while (left := at.micros - self._shown().micros) > 0:
            seconds = max(left / 1e6 / self._rate(), _RETRY if self._stands_still else least)
            least = _BUSY_NAP
            nap: asyncio.Future[None] = loop.create_future()
            self._naps[nap] = None
            timer = loop.call_later(seconds, _end_nap, nap)
            try:
                await nap
            finally:
                timer.cancel()
                self._naps.pop(nap, None)

    def _wake_sleepers(self) -> None:
        """The world has its speed back: whoever sleeps reckons anew how long."""
        if self.speed > _ATTENTIVE:
            for nap in self._naps:
                _end_nap(nap)

    def _reserve(self, world: Instant) -> bool:
        """Write down that the world may come some way further; False if the disk refuses."""
        reserved = min(max(_RESERVED * self.speed, _RESERVED_LEAST), _RESERVED_MOST)
        until = world.micros + int(reserved * 1_000_000)
        try:
            self._write(until)
        except OSError as error:
            if not self._stands_still:
                _log.warning("the world stands still", path=str(self._path), error=error.strerror)
            self._stands_still = True
            self._retry_at = self._readings.monotonic() + _RETRY
            return False
        if self._stands_still:
            _log.warning("the world goes on", path=str(self._path))
        self._stands_still = False
        self._reserved_until = until
        return True

    def close(self) -> None:
        """Write down where the world stops: the next process goes on from there, or, if the disk
        refuses that, from the end of what was reserved.
        """
        with contextlib.suppress(OSError):
            self._write(self._shown().micros)

    def _write(self, micros: int) -> None:
        if self._path is None:
            return
        partial = self._path.with_suffix(".partial")
        partial.write_text(json.dumps({"world_micros": micros}))
        os.replace(partial, self._path)


def _end_nap(nap: asyncio.Future[None]) -> None:
    if not nap.done():
        nap.set_result(None)


def _resume(path: Path | None) -> int:
    if path is None or not path.exists():
        return 0
    try:
        return int(json.loads(path.read_text())["world_micros"])
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise InvalidRequest(f"{path} does not say where the world stopped") from error
