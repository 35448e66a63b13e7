"""A world in which nothing is asked comes to rest: no writes, no storm of passes."""

from __future__ import annotations

from datetime import timedelta

from poolwright.model.instant import Instant
from poolwright.sim.checkers.checker import Checker, Scene

_PASSES_MAX = 40
"""Passes of one key in the standstill; leases and looking again account for a handful."""
_SCAN = timedelta(minutes=8)
"""World time for one more: an autoscaler looks at what it may not remove every 10 minutes."""


class Quiescence(Checker):
    """Compares the beginning and the end of the standstill."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._revisions: dict[str, int] = {}
        self._passes: dict[tuple[str, str], int] = {}
        self._since = Instant(0)

    async def _now(self) -> dict[str, int]:
        cluster = self.scene.cluster
        scopes = (cluster.arm_scope, *await self.scene.store.scopes("cloud/"))
        return {scope: await self.scene.store.revision(scope) for scope in scopes}

    async def at_calm(self) -> None:
        """Remember where everything stands."""
        self._revisions = await self._now()
        self._passes = dict(self.scene.passes)
        self._since = self.scene.now

    async def at_end(self) -> None:
        """Nothing was written, and nobody was busy."""
        for scope, revision in (await self._now()).items():
            if revision != self._revisions.get(scope, revision):
                moved = revision - self._revisions[scope]
                self.scene.broken(
                    "quiescence", f"{moved} writes to {scope} while nothing was asked"
                )
        most = _PASSES_MAX + self.scene.now.since(self._since) // _SCAN
        for key, passes in self.scene.passes.items():
            extra = passes - self._passes.get(key, 0)
            if extra > most:
                self.scene.broken("quiescence", f"{key} ran {extra} times while nothing was asked")
