"""Revisions of a scope grow by one: whoever follows it misses nothing."""

from __future__ import annotations

from poolwright.ports.store import Change
from poolwright.sim.checkers.checker import Checker, Scene


class Revisions(Checker):
    """Compares each change with the one before it in its scope."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._last: dict[str, int] = {}

    def on_change(self, change: Change) -> None:
        """No gap, nothing twice."""
        self._follow(change)

    def on_object(self, change: Change) -> None:
        """The same in the cluster."""
        self._follow(change)

    def _follow(self, change: Change) -> None:
        last = self._last.get(change.scope)
        self._last[change.scope] = change.revision
        if last is not None and change.revision != last + 1:
            self.scene.broken("no gaps", f"{change.scope}: {last}, then {change.revision}")
