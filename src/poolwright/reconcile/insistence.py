"""How soon something may be written again that somebody else keeps undoing."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, TypeVar

from poolwright.model.instant import Instant

FIRST = timedelta(seconds=1)
MOST = timedelta(minutes=5)

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class _Written:
    what: Hashable
    pause: timedelta
    again_at: Instant


class Insistence(Generic[K]):
    """Who writes the same to the same thing once more waits, each time twice as long: two writers
    who disagree then disturb nobody else. Another write, or five quiet minutes, start over.

    World time.
    """

    def __init__(self) -> None:
        self._written: dict[K, _Written] = {}
        self._swept = 0

    def may_at(self, key: K, what: Hashable, now: Instant) -> Instant:
        """When this may be written: not after ``now`` if nothing speaks against it."""
        known = self._written.get(key)
        return now if known is None or known.what != what else known.again_at

    def wrote(self, key: K, what: Hashable, now: Instant) -> None:
        """This was written."""
        known = self._written.get(key)
        pause = FIRST
        if known is not None and known.what == what and not _is_over(known, now):
            pause = min(2 * known.pause, MOST)
        self._written[key] = _Written(what, pause, now.after(pause))
        if len(self._written) > 2 * self._swept + 64:
            self._written = {k: w for k, w in self._written.items() if not _is_over(w, now)}
            self._swept = len(self._written)


def _is_over(written: _Written, now: Instant) -> bool:
    return now > written.again_at.after(MOST)
