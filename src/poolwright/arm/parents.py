"""Which 404 it is: the order in which ARM looks for what a path names.

Subscription, then resource group, then the tracked parent (a managed cluster); a missing proxy
child under an existing cluster is the resource provider's own, flat ``NotFound``.

Source: facts aks-api §5.2 (recordings and general knowledge).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from poolwright.arm.context import ArmContext
from poolwright.arm.errors import (
    INVALID_SUBSCRIPTION_ID,
    MISSING_REGISTRATION,
    PARENT_NOT_FOUND,
    RESOURCE_GROUP_BEING_DELETED,
    RESOURCE_GROUP_NOT_FOUND,
    RESOURCE_NOT_FOUND,
    SUBSCRIPTION_NOT_FOUND,
)
from poolwright.arm.records import PROVIDER, RESOURCE_GROUP
from poolwright.arm.routing import Route
from poolwright.model.cluster_key import ClusterKey, subscription_scope
from poolwright.model.managed_cluster import (
    MANAGED_CLUSTER,
    DocumentSpec,
    DocumentStatus,
    ManagedClusterSpec,
)
from poolwright.model.record import Stored

_GUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_VERBS = {"GET": "read", "HEAD": "read", "PUT": "write", "PATCH": "write", "DELETE": "delete"}

ResourceGroup = Stored[DocumentSpec, DocumentStatus]


def check_subscription(context: ArmContext, subscription: str) -> str:
    """A subscription's id in its own casing; refuses a malformed (400) or foreign one (404)."""
    lower = subscription.lower()
    for known in context.settings.subscriptions:
        if known.id.lower() == lower:
            return known.id
    if not _GUID.fullmatch(subscription):
        raise INVALID_SUBSCRIPTION_ID(subscription=subscription)
    raise SUBSCRIPTION_NOT_FOUND(subscription=subscription)


async def find_resource_group(
    context: ArmContext, subscription: str, name: str
) -> ResourceGroup | None:
    """A resource group by name in any casing."""
    return await context.store.get(subscription_scope(subscription), RESOURCE_GROUP, name.lower())


async def get_resource_group(context: ArmContext, subscription: str, name: str) -> ResourceGroup:
    """A resource group that must exist; 404 ``ResourceGroupNotFound`` otherwise."""
    group = await find_resource_group(context, subscription, name)
    if group is None:
        raise RESOURCE_GROUP_NOT_FOUND(resource_group=name)
    return group


async def check_parents(
    context: ArmContext, route: Route, method: str, names: Mapping[str, str]
) -> None:
    """Refuse a request below something that does not exist, in ARM's order.

    The last name of the path is the resource itself and is not looked for.
    """
    subscription = names.get("subscription")
    if subscription is None:
        return
    resource_group = names.get("resource_group")
    if resource_group is None or route.template.endswith("{resource_group}"):
        return
    group = await get_resource_group(context, subscription, resource_group)
    if method in {"PUT", "PATCH"} and group.status.state == "Deleting":
        raise RESOURCE_GROUP_BEING_DELETED(resource_group=group.spec.name)
    if context.settings.is_registration_required and method == "PUT":
        await _check_registration(context, subscription, route.namespace)
    cluster = names.get("cluster")
    if cluster is None or route.template.endswith("{cluster}"):
        return
    key = ClusterKey.of(subscription, resource_group, cluster)
    if await context.store.get(key.arm_scope, MANAGED_CLUSTER, key.name) is None:
        if route.is_action and route.segments[-2] == "{cluster}":
            raise RESOURCE_NOT_FOUND(
                type=f"{route.namespace}/{route.resource_type}",
                name=cluster,
                resource_group=group.spec.name,
            )
        raise PARENT_NOT_FOUND(
            verb=_VERBS.get(method, "action"),
            type=route.resource_type,
            parent=cluster_id(subscription, group.spec.name, cluster),
        )


async def _check_registration(context: ArmContext, subscription: str, namespace: str) -> None:
    record = await context.store.get(subscription_scope(subscription), PROVIDER, namespace.lower())
    if namespace and (record is None or record.status.state != "Registered"):
        raise MISSING_REGISTRATION(namespace=namespace)


def cluster_id(subscription: str, resource_group: str, cluster: str) -> str:
    """The ARM id of a managed cluster, with ``resourcegroups`` as AKS writes it (recorded)."""
    return (
        f"/subscriptions/{subscription}/resourcegroups/{resource_group}"
        f"/providers/Microsoft.ContainerService/managedClusters/{cluster}"
    )


def cluster_id_of(spec: ManagedClusterSpec) -> str:
    """The ARM id of a stored cluster, in its stored casing."""
    return cluster_id(spec.subscription, spec.resource_group, spec.name)
