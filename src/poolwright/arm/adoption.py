"""Taking in a cluster that somebody else made: its record, and its group's, as if it had been
created here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from poolwright.arm.agent_pools_read import Cluster
from poolwright.arm.context import ArmContext
from poolwright.arm.parents import check_subscription, find_resource_group
from poolwright.arm.records import RESOURCE_GROUP
from poolwright.arm.region import regions
from poolwright.arm.resource_groups import DELETING, check_group_name
from poolwright.model.agent_pool import ProvisioningState
from poolwright.model.cluster_key import ClusterKey, subscription_scope
from poolwright.model.errors import Conflict, InvalidRequest
from poolwright.model.limits import CLUSTER_NAME_PATTERN
from poolwright.model.managed_cluster import (
    MANAGED_CLUSTER,
    DocumentSpec,
    DocumentStatus,
    ManagedClusterSpec,
    ManagedClusterStatus,
)
from poolwright.ports.store import Create, Update


@dataclass(frozen=True, slots=True)
class Adoption:
    """A cluster's place in ARM."""

    subscription: str
    resource_group: str
    name: str
    location: str

    @property
    def key(self) -> ClusterKey:
        """The cluster's key."""
        return ClusterKey.of(self.subscription, self.resource_group, self.name)


def check_adoption(context: ArmContext, adoption: Adoption) -> None:
    """Refuse names that ARM would refuse.

    Raises:
        InvalidRequest: with the name that is wrong.
    """
    check_subscription(context, adoption.subscription)
    check_group_name(adoption.resource_group)
    if not re.fullmatch(CLUSTER_NAME_PATTERN, adoption.name):
        raise InvalidRequest(f"{adoption.name!r} is not a name for a managed cluster")
    if adoption.location not in regions(context):
        raise InvalidRequest(f"{adoption.location!r} is not a location")


async def find_adopted(context: ArmContext, adoption: Adoption) -> Cluster | None:
    """The cluster's record, if it was adopted before.

    Raises:
        Conflict: the name is that of a cluster made here.
    """
    key = adoption.key
    known = await context.store.get(key.arm_scope, MANAGED_CLUSTER, key.name)
    if known is not None and not known.spec.is_adopted:
        raise Conflict(f"the managed cluster {adoption.name} exists and was made here")
    return known


async def check_identity(context: ArmContext, adoption: Adoption, uid: str) -> Cluster | None:
    """Refuse another cluster under a known name, and a known cluster under another name; the
    record, if there is one.

    Raises:
        Conflict: it is so, as far as the uids say.
    """
    known = await find_adopted(context, adoption)
    if known is None:
        await _check_unnamed(context, adoption, uid)
    elif uid and known.spec.adopted_uid not in {"", uid}:
        raise Conflict(
            f"this is not the cluster that was adopted as {adoption.name}; give it another name"
        )
    return known


async def adopt_cluster(
    context: ArmContext, adoption: Adoption, version: str, uid: str = ""
) -> None:
    """Write the records that are missing; a cluster that is known gets the version that runs.

    Raises:
        Conflict: the group is being deleted, or the name is that of another cluster.
    """
    key = adoption.key
    known = await check_identity(context, adoption, uid)
    await _ensure_group(context, adoption)
    if known is None:
        now = context.clock.now()
        status = ManagedClusterStatus(
            provisioning_state=ProvisioningState.SUCCEEDED, running_kubernetes_version=version
        )
        create = Create(
            MANAGED_CLUSTER,
            key.name,
            context.identity.uid(),
            _spec(adoption, version, uid),
            status,
            now.wall,
        )
        await context.store.transact(key.arm_scope, [create])
        return
    spec = replace(
        known.spec,
        kubernetes_version=version,
        current_kubernetes_version=version,
        adopted_uid=uid or known.spec.adopted_uid,
    )
    status = replace(known.status, running_kubernetes_version=version)
    if (spec, status) != (known.spec, known.status):
        write = Update(
            MANAGED_CLUSTER, key.name, spec=spec, status=status, expect_revision=known.revision
        )
        await context.store.transact(key.arm_scope, [write])


async def _check_unnamed(context: ArmContext, adoption: Adoption, uid: str) -> None:
    """Refuse a second name for a cluster: both would make its nodes. A replica that starts at the
    same moment may have written the name itself meanwhile.
    """
    prefix, own = f"{subscription_scope(adoption.subscription)}/", adoption.key
    for other in await context.store.find(prefix, MANAGED_CLUSTER):
        is_own = (other.scope, other.name) == (own.arm_scope, own.name)
        if uid and other.spec.adopted_uid == uid and not is_own:
            raise Conflict(
                f"this cluster is {other.spec.name} in {other.spec.resource_group} already; use"
                f" that name, or delete the managed cluster {other.spec.name} first"
            )


def _spec(adoption: Adoption, version: str, uid: str) -> ManagedClusterSpec:
    group, name = adoption.resource_group, adoption.name
    return ManagedClusterSpec(
        subscription=adoption.subscription,
        resource_group=group,
        name=name,
        location=adoption.location,
        kubernetes_version=version,
        current_kubernetes_version=version,
        dns_prefix=re.sub(r"[^A-Za-z0-9-]", "", name),
        node_resource_group=f"MC_{group}_{name}_{adoption.location}"[:80],
        network_plugin="none",  # whatever the cluster has, it is not ours to arrange
        network_plugin_mode=None,
        is_adopted=True,
        adopted_uid=uid,
    )


async def _ensure_group(context: ArmContext, adoption: Adoption) -> None:
    found = await find_resource_group(context, adoption.subscription, adoption.resource_group)
    if found is not None:
        if found.status.state == DELETING:
            raise Conflict(f"the resource group {adoption.resource_group} is being deleted")
        return
    now = context.clock.now()
    write = Create(
        kind=RESOURCE_GROUP,
        name=adoption.resource_group.lower(),
        uid=context.identity.uid(),
        spec=DocumentSpec(
            name=adoption.resource_group,
            body={"location": adoption.location, "tags": {}, "managedBy": ""},
        ),
        status=DocumentStatus(state="Succeeded", since=now.world, since_wall=now.wall),
        created_at=now.wall,
    )
    await context.store.transact(subscription_scope(adoption.subscription), [write])
