"""Background work that belongs to the API server itself: old events, namespaces on their way."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from poolwright.kubesim.entry import Entry, ObjectChange
from poolwright.kubesim.kinds.cell import instant
from poolwright.kubesim.kinds.custom import CLEANUP, CUSTOM_RESOURCE_DEFINITION
from poolwright.kubesim.kinds.kind import ObjectKind
from poolwright.kubesim.meta import DEFAULT_OPTIONS, REVIEWED, WriteOptions
from poolwright.kubesim.registry import Registry
from poolwright.kubesim.status import StatusError
from poolwright.model import kubernetes as names
from poolwright.model.json_value import Json, child
from poolwright.plan.kubernetes.action import with_condition

_SWEEP = timedelta(minutes=1)
_AGAIN = timedelta(seconds=5)
"""After which a namespace or a definition is looked after again of which something was refused."""


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
    registry: Registry,
    kind: names.Resource | ObjectKind,
    name: str,
    namespace: str,
    options: WriteOptions = DEFAULT_OPTIONS,
) -> None:
    try:
        await registry.delete(kind, name, namespace=namespace, options=options)
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
            if namespace is not None and namespace.is_leaving:
                names_due.put_nowait(change.new.namespace)

    async with registry.listening(listen):
        await _keep_all(names_due, registry, _keep, names.NAMESPACES)


async def _keep_all(
    names_due: asyncio.Queue[str],
    registry: Registry,
    keep: Callable[[Registry, str], Awaitable[bool]],
    resource: names.Resource | ObjectKind,
) -> None:
    """Look after every object of a kind, when something happens to it, and again if something of
    that was refused, as a policy may.
    """
    loop = asyncio.get_running_loop()
    later: dict[str, float] = {}
    due = {entry.name: None for entry in registry.list(resource)}
    while True:
        for name in due:
            later.pop(name, None)
            try:
                is_kept = await keep(registry, name)
            except StatusError:
                is_kept = False
            if not is_kept:
                later[name] = loop.time() + _AGAIN.total_seconds()
        due = await _next(names_due, later)


async def _next(names_due: asyncio.Queue[str], later: Mapping[str, float]) -> dict[str, None]:
    """Those that something happened to, and those that were refused long enough ago."""
    due: dict[str, None] = {}
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout_at(min(later.values(), default=None)):
            due[await names_due.get()] = None
    while not names_due.empty():  # one look serves all that happened meanwhile
        due[names_due.get_nowait()] = None
    now = asyncio.get_running_loop().time()
    due.update((name, None) for name, at in later.items() if at <= now)
    return due


async def _keep(registry: Registry, name: str) -> bool:
    """Look after a namespace; whether nothing of that was refused."""
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


async def _empty_of(
    registry: Registry,
    kinds: Sequence[ObjectKind],
    name: str = "",
    options: WriteOptions = DEFAULT_OPTIONS,
) -> list[str]:
    """Delete all objects of some kinds, those of a namespace or everywhere; why that was refused,
    once for each kind.
    """
    refusals: dict[str, str] = {}
    for kind in kinds:
        for entry in registry.list(kind, name):
            if not entry.is_leaving:
                try:
                    await _forget(registry, kind, entry.name, entry.namespace, options)
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
    """Delete the objects of definitions that are going, then let these go.

    What is refused is tried again after a while; others do not wait for that.
    """
    due: asyncio.Queue[str] = asyncio.Queue()

    def listen(change: ObjectChange) -> None:
        if change.kind is CUSTOM_RESOURCE_DEFINITION:
            due.put_nowait(change.new.name)
        elif change.kind.declared is not None and change.type == "DELETED":
            due.put_nowait(f"{change.kind.resource.plural}.{change.kind.resource.group}")

    async with registry.listening(listen):
        await _keep_all(due, registry, _clean_up, CUSTOM_RESOURCE_DEFINITION)


async def _clean_up(registry: Registry, name: str) -> bool:
    """Go on with a definition's end; whether nothing of that was refused.

    Nobody asks admission about these deletions. Source: k8s.io/apiextensions-apiserver
    pkg/controller/finalizer/crd_finalizer.go (it deletes in the storage).
    """
    definition = registry.entry(CUSTOM_RESOURCE_DEFINITION, name)
    if definition is None or not definition.is_leaving:
        return True
    kind = registry.catalog.custom_kind(name)
    refusals = await _empty_of(registry, [kind], options=REVIEWED) if kind else []
    if refusals or (kind is not None and registry.list(kind)):
        return not refusals

    def release(body: dict[str, Any]) -> None:
        metadata = body["metadata"]
        metadata["finalizers"] = [f for f in metadata.get("finalizers") or () if f != CLEANUP]

    try:
        await registry.update(CUSTOM_RESOURCE_DEFINITION, name, release)
    except StatusError as error:
        return error.reason == "NotFound"
    return True
