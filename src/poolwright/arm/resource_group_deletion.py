"""Deleting a resource group: its clusters through the front door, then what is only kept, then
the group itself, with the end of the operation in the same transaction.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from poolwright.arm.api_versions import CONTAINER_SERVICE
from poolwright.arm.context import ArmContext
from poolwright.arm.deployments import DEPLOYMENT
from poolwright.arm.parents import ResourceGroup, cluster_id_of
from poolwright.arm.records import RESOURCE_GROUP
from poolwright.arm.resource_groups import DELETING, clusters_of
from poolwright.arm.response import ArmResponse
from poolwright.arm.snapshots import SNAPSHOT
from poolwright.model.agent_pool import OPERATION, OperationState
from poolwright.model.cluster_key import subscription_scope
from poolwright.model.errors import NotFound
from poolwright.model.instant import Instant
from poolwright.ports.store import Delete, Update, Write

Perform = Callable[[str, str, Any, str], Awaitable[ArmResponse]]
"""Ask the front door as the server itself: method, path with query, content, base URL."""

_LOOK_AGAIN = timedelta(minutes=1)
"""World time between two looks at clusters that go; their going wakes us earlier."""
_KEPT_KINDS = (SNAPSHOT, DEPLOYMENT)
"""Kinds of records named ``group/…`` that go with their group."""


@dataclass(frozen=True, slots=True, order=True)
class ResourceGroupKey:
    """Identifies one resource group; both parts in lower case."""

    subscription: str
    name: str

    def __str__(self) -> str:
        return f"{self.subscription}/{self.name}"


class ResourceGroupDeletion:
    """Moves a group that is being deleted one step closer to its end."""

    name = "resource_group_deletion"

    def __init__(self, context: ArmContext, perform: Perform) -> None:
        self._context = context
        self._perform = perform

    async def reconcile(self, key: ResourceGroupKey) -> Instant | None:
        """Ask for the deletion of each cluster; once there is none, end.

        A cluster whose creation and the end of its group passed each other goes too: no
        transaction spans the two, so that neither can refuse the other.
        """
        scope = subscription_scope(key.subscription)
        group = await self._context.store.get(scope, RESOURCE_GROUP, key.name)
        if group is not None and group.status.state != DELETING:
            return None
        clusters = await clusters_of(self._context, key.subscription, key.name)
        for cluster in clusters:
            if cluster.deleted_at is None:
                target = f"{cluster_id_of(cluster.spec)}?api-version={CONTAINER_SERVICE[-1]}"
                with suppress(NotFound):  # it went between our look and now
                    await self._perform("DELETE", target, None, "")
        if clusters:
            return self._context.clock.now().world.after(_LOOK_AGAIN)
        if group is not None:
            await self._end(scope, group)
        return None

    async def _end(self, scope: str, group: ResourceGroup) -> None:
        """Remove the group and what was kept in it, and end the operation, all at once."""
        store = self._context.store
        writes: list[Write] = [Delete(RESOURCE_GROUP, group.name, expect_revision=group.revision)]
        for kind in _KEPT_KINDS:
            kept, _ = await store.list(scope, kind, prefix=f"{group.name}/")
            writes += [Delete(kind, record.name, expect_uid=record.uid) for record in kept]
        operation = await store.get(scope, OPERATION, group.status.detail["operation"])
        if operation is not None and not operation.status.state.is_terminal:
            ended = replace(
                operation.status,
                state=OperationState.SUCCEEDED,
                ended_at=self._context.clock.now().wall,
                percent_complete=100,
            )
            writes.append(
                Update(OPERATION, operation.name, status=ended, expect_revision=operation.revision)
            )
        await store.transact(scope, writes)
