"""Which of many alike warnings is worth a line."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

FIRST = 60.0
MOST = 3_600.0
"""Real seconds from one line to the next while a cause lasts: a minute, two, four; an hour."""

K = TypeVar("K", bound=Hashable)


@dataclass(slots=True)
class _Told:
    cause: Hashable
    pause: float
    again_at: float
    kept: int = 0


class Complaints(Generic[K]):
    """What went wrong with a key is told at once; the same again ever less often, with how many
    lines were kept back. Times are of `Clock.monotonic`.
    """

    def __init__(self) -> None:
        self._told: dict[K, _Told] = {}

    def about(self, key: K, cause: Hashable, now: float) -> int | None:
        """How many alike were kept back since the last line; None if this one is, too."""
        known = self._told.get(key)
        if known is None or known.cause != cause:
            self._told[key] = _Told(cause, FIRST, now + FIRST)
            return 0
        if now < known.again_at:
            known.kept += 1
            return None
        pause = min(2 * known.pause, MOST)
        self._told[key] = _Told(cause, pause, now + pause)
        return known.kept

    def over(self, key: K) -> None:
        """It went well: what goes wrong next is news."""
        self._told.pop(key, None)
