"""Time and identity come in through these ports; only ``app`` and ``sim`` implement them."""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol

from poolwright.model.instant import Instant, Now


class Clock(Protocol):
    """Two times that are never mixed: world time (decisions) and wall time (what users read)."""

    def now(self) -> Now:
        """Both times at this moment. World time never goes back."""
        ...

    async def sleep_until(self, at: Instant) -> None:
        """Wait until world time reaches ``at``; returns at once if it has passed."""
        ...

    async def sleep(self, duration: timedelta) -> None:
        """Wait for real (internal) time: back-off, debounce, leases, polling floors."""
        ...

    def monotonic(self) -> float:
        """Real seconds from an arbitrary start, for measuring internal waits. Never goes back."""
        ...


class Identity(Protocol):
    """The source of everything unique that is not derived from a name."""

    def uid(self) -> str:
        """A fresh RFC 4122 GUID in lower case."""
        ...

    def suffix(self, length: int) -> str:
        """Random characters of Kubernetes' generateName alphabet (bcdfghjklmnpqrstvwxz2456789)."""
        ...
