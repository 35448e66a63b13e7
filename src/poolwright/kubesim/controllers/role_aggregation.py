"""Fills the roles that gather others with what those give."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from poolwright.kubesim.entry import ObjectChange
from poolwright.kubesim.meta import WriteOptions
from poolwright.kubesim.registry import Registry
from poolwright.kubesim.status import StatusError
from poolwright.model.json_value import Json
from poolwright.model.kubernetes import CLUSTER_ROLES
from poolwright.plan.kubernetes.role_aggregation import MANAGER, plan_aggregation

_OPTIONS = WriteOptions(MANAGER)


async def aggregate_roles(registry: Registry) -> None:
    """Do it again whenever a cluster role comes, changes or goes; runs until cancelled."""
    due = asyncio.Event()
    due.set()

    def listen(_change: ObjectChange) -> None:
        due.set()

    async with registry.listening(listen, (CLUSTER_ROLES,)):
        while True:
            await due.wait()
            due.clear()
            roles = [entry.object() for entry in registry.list(CLUSTER_ROLES)]
            for name, rules in plan_aggregation(roles):
                try:
                    await registry.update(
                        CLUSTER_ROLES, name, partial(_fill, rules), options=_OPTIONS
                    )
                except StatusError as error:
                    if error.reason not in {"Conflict", "NotFound"}:
                        raise


def _fill(rules: list[Json], role: dict[str, Any]) -> None:
    role["rules"] = rules
