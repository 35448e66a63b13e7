"""Background work that belongs to the API server itself: old events, namespaces on their way."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from poolwright.kubesim.entry import Entry, ObjectChange
from poolwright.kubesim.kinds.cell import instant
from poolwright.kubesim.kinds.custom import CLEANUP, CUSTOM_RESOURCE_DEFINITION
from poolwright.kubesim.kinds.kind import ObjectKind
from poolwright.kubesim.registry import Registry
from poolwright.kubesim.status import StatusError
from poolwright.model import kubernetes as names
from poolwright.model.json_value import Json, child
from poolwright.plan.kubernetes.action import with_condition

_SWEEP = timedelta(minutes=1)
_AGAIN = timedelta(seconds=5)
"""After which a namespace is looked after again of which something was refused."""


def _last_seen(event: Json) -> datetime | None:
    series = child(event, "series")
    for text in (
        series.get("lastObservedTime"),
        event.get("lastTimestamp"),
        event.get("eventTime"),
        event["metadata"].get("creationTimestamp"),
    ):
        seen = instant(text)
        if seen is not None:
            return seen
    return None


async def expire_events(registry: Registry, keep: timedelta) -> None:
    """Delete events that were last seen longer ago than ``keep``; runs until cancelled."""
    while True:
        await registry.clock.sleep(_SWEEP)
        bound = registry.clock.now().wall - keep
        for entry in registry.list(names.EVENTS):
            seen = _last_seen(entry.object())
            if seen is not None and seen < bound:
                await _forget(registry, names.EVENTS, entry.name, entry.namespace)


async def _forget(
    registry: Registry, kind: names.Resource | ObjectKind, name: str, namespace: str
) -> None:
    try:
        await registry.delete(kind, name, namespace=namespace)
    except StatusError as error:
        if error.reason not in {"NotFound", "Conflict"}:
            raise


async def keep_namespaces(registry: Registry) -> None:
    """Give every namespace its default service account, and empty those being deleted."""
    names_due: asyncio.Queue[str] = asyncio.Queue()

    def listen(change: ObjectChange) -> None:
        if change.kind.resource.kind == "Namespace":
            names_due.put_nowait(change.new.name)
        elif change.type == "DELETED" and change.new.namespace:
            namespace = registry.entry(names.NAMESPACES, change.new.namespace)
            if namespace is not None and b'"deletionTimestamp"' in namespace.data:
                names_due.put_nowait(change.new.namespace)

    unsubscribe = registry.subscribe(listen)
    try:
        refused: dict[str, None] = {}
        due = {entry.name: None for entry in registry.list(names.NAMESPACES)}
        while True:
            for name in due:
                refused.pop(name, None)
                if not await _is_kept(registry, name):
                    refused[name] = None
            due = await _next(names_due, refused)
    finally:
        unsubscribe()


async def _next(names_due: asyncio.Queue[str], refused: dict[str, None]) -> dict[str, None]:
    """The namespaces that something happened to; if nothing does, those that were refused."""
    try:
        async with asyncio.timeout(_AGAIN.total_seconds() if refused else None):
            due = {await names_due.get(): None}
    except TimeoutError:
        return dict(refused)
    while not names_due.empty():  # one look serves all that happened meanwhile
        due[names_due.get_nowait()] = None
    return due


async def _is_kept(registry: Registry, name: str) -> bool:
    """Look after a namespace; whether nothing of that was refused, as a policy may."""
    try:
        return await _keep(registry, name)
    except StatusError:
        return False


async def _keep(registry: Registry, name: str) -> bool:
    body = registry.get(names.NAMESPACES, name)
    if body is None:
        return True
    if "deletionTimestamp" in body["metadata"]:
        return await _empty(registry, name)
    if registry.entry(names.SERVICE_ACCOUNTS, "default", name) is None:
        try:
            await registry.create(
                names.SERVICE_ACCOUNTS, {"metadata": {"name": "default"}}, namespace=name
            )
        except StatusError as error:
            if error.reason not in {"AlreadyExists", "Forbidden", "NotFound"}:
                raise
    return True


async def _empty(registry: Registry, name: str) -> bool:
    """Delete what is in a namespace, pods first and then, once they are gone, the rest; when
    nothing is left, let it go, else say what is left. Whether nothing was refused.

    Source: k8s.io/kubernetes pkg/controller/namespace/deletion (OrderedNamespaceDeletion), which
    does not speak of pods that are left.
    """
    kinds = [kind for kind in registry.catalog.kinds if kind.resource.namespaced]
    pods = [kind for kind in kinds if kind.resource == names.PODS]
    refusals = await _empty_of(registry, pods, name)
    has_pods = bool(registry.list(names.PODS, name))
    if not has_pods:
        refusals = await _empty_of(registry, kinds, name)
    left = [(kind.resource, entry) for kind in kinds for entry in registry.list(kind, name)]

    def finalize(namespace: dict[str, Any]) -> None:
        namespace["spec"] = {}

    def tell(namespace: dict[str, Any]) -> None:
        now = registry.clock.now().wall
        status = namespace.setdefault("status", {})
        for row in _remains(() if has_pods else left, refusals):
            status["conditions"] = with_condition(status.get("conditions") or (), *row, now)

    try:
        if left:
            await registry.update(names.NAMESPACES, name, tell, subresource="status")
        else:
            await registry.update(names.NAMESPACES, name, finalize, subresource="finalize")
    except StatusError as error:
        if error.reason != "NotFound":
            raise
    return not refusals


async def _empty_of(registry: Registry, kinds: Sequence[ObjectKind], name: str) -> list[str]:
    """Delete all objects of some kinds; why that was refused, once for each kind."""
    refusals: dict[str, str] = {}
    for kind in kinds:
        for entry in registry.list(kind, name):
            if b'"deletionTimestamp"' not in entry.data:
                try:
                    await _forget(registry, kind, entry.name, name)
                except StatusError as error:
                    refusals.setdefault(kind.store_name, error.message)
    return sorted(refusals.values())


def _remains(
    left: Sequence[tuple[names.Resource, Entry]], refusals: Sequence[str]
) -> list[tuple[str, str, str, str]]:
    """The conditions of a namespace on its way out: type, status, reason, message.

    Source: k8s.io/kubernetes pkg/controller/namespace/deletion/status_condition_utils.go.
    """
    resources = Counter(f"{resource.plural}.{resource.group}" for resource, _ in left)
    finalizers = Counter(
        finalizer
        for _, entry in left
        for finalizer in entry.object()["metadata"].get("finalizers") or ()
    )
    found = {type_: (type_, "False", reason, message) for type_, reason, message in _EMPTIED}
    if resources:
        each = sorted(f"{name} has {count} resource instances" for name, count in resources.items())
        message = f"Some resources are remaining: {', '.join(each)}"
        type_ = "NamespaceContentRemaining"
        found[type_] = (type_, "True", "SomeResourcesRemain", message)
    if refusals:
        type_ = "NamespaceDeletionContentFailure"
        said = f"Failed to delete all resource types, {len(refusals)} remaining:"
        found[type_] = (type_, "True", "ContentDeletionFailed", f"{said} {', '.join(refusals)}")
    if finalizers:
        each = sorted(f"{name} in {count} resource instances" for name, count in finalizers.items())
        message = f"Some content in the namespace has finalizers remaining: {', '.join(each)}"
        type_ = "NamespaceFinalizersRemaining"
        found[type_] = (type_, "True", "SomeFinalizersRemain", message)
    return list(found.values())


_EMPTIED = (
    (
        "NamespaceDeletionDiscoveryFailure",
        "ResourcesDiscovered",
        "All resources successfully discovered",
    ),
    (
        "NamespaceDeletionGroupVersionParsingFailure",
        "ParsedGroupVersions",
        "All legacy kube types successfully parsed",
    ),
    (
        "NamespaceDeletionContentFailure",
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
    ("NamespaceContentRemaining", "ContentRemoved", "All content successfully removed"),
    (
        "NamespaceFinalizersRemaining",
        "ContentHasNoFinalizers",
        "All content-preserving finalizers finished",
    ),
)
"""What the conditions say when nothing stands in the way."""


async def keep_definitions(registry: Registry) -> None:
    """Delete the objects of definitions that are going, then let these go."""
    due: asyncio.Queue[str] = asyncio.Queue()

    def listen(change: ObjectChange) -> None:
        if change.kind is CUSTOM_RESOURCE_DEFINITION:
            due.put_nowait(change.new.name)
        elif change.kind.declared is not None and change.type == "DELETED":
            due.put_nowait(f"{change.kind.resource.plural}.{change.kind.resource.group}")

    unsubscribe = registry.subscribe(listen)
    try:
        for entry in registry.list(CUSTOM_RESOURCE_DEFINITION):
            await _clean_up(registry, entry.name)
        while True:
            await _clean_up(registry, await due.get())
    finally:
        unsubscribe()


async def _clean_up(registry: Registry, name: str) -> None:
    definition = registry.entry(CUSTOM_RESOURCE_DEFINITION, name)
    if definition is None or b'"deletionTimestamp"' not in definition.data:
        return
    kind = registry.catalog.custom_kind(name)
    for entry in registry.list(kind) if kind else ():
        if b'"deletionTimestamp"' not in entry.data:
            await _forget(registry, entry.kind, entry.name, entry.namespace)
    if kind is not None and registry.list(kind):
        return

    def release(body: dict[str, Any]) -> None:
        metadata = body["metadata"]
        metadata["finalizers"] = [f for f in metadata.get("finalizers") or () if f != CLEANUP]

    try:
        await registry.update(CUSTOM_RESOURCE_DEFINITION, name, release)
    except StatusError as error:
        if error.reason != "NotFound":
            raise
