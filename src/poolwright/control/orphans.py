"""Finds machines that no record owns, and deletes them after a grace.

They come about when a call to create a machine lands after its pool was removed: a provider knows
no generations, so that residue cannot be excluded where the call is made.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import structlog

from poolwright.model.agent_pool import AGENT_POOL
from poolwright.model.cluster_key import ClusterKey
from poolwright.model.errors import Precondition
from poolwright.model.instant import Instant
from poolwright.model.machine import MachinePhase
from poolwright.ports.clock import Clock
from poolwright.ports.machine_provider import MachineProvider
from poolwright.ports.store import Store
from poolwright.reconcile.loop import note

_log: Any = structlog.get_logger("poolwright.audit")

GRACE = timedelta(minutes=5)
"""World time that a machine without an owner is left alone: reads may be late."""


class OrphansController:
    """One cluster's machines against its pools' records."""

    name = "orphans"

    def __init__(self, store: Store, provider: MachineProvider, clock: Clock) -> None:
        self._store = store
        self._provider = provider
        self._clock = clock
        self._seen: dict[ClusterKey, dict[str, Instant]] = {}

    async def reconcile(self, key: ClusterKey) -> Instant | None:
        """One pass; comes back when the next grace is over."""
        machines = await self._provider.list_machines(key)
        pools, _ = await self._store.list(key.arm_scope, AGENT_POOL)
        owned = {pool.name for pool in pools}
        now = self._clock.now().world
        before = self._seen.pop(key, {})
        seen: dict[str, Instant] = {}
        for machine in machines:
            if machine.pool in owned or machine.phase is MachinePhase.DELETING:
                continue
            since = before.get(machine.uid, now)
            if since.after(GRACE) > now:
                seen[machine.uid] = since
                continue
            note(planned=1, because="no agent pool owns the machine")
            _log.info("orphan deleted", cluster=str(key), target=machine.name, uid=machine.uid)
            try:
                await self._provider.delete_machine(key, machine.name, uid=machine.uid)
            except Precondition:
                continue  # it became another machine: seen anew next time
        if seen:
            self._seen[key] = seen
        return min((since.after(GRACE) for since in seen.values()), default=None)
