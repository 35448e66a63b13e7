"""Background work that belongs to the API server itself: old events, namespaces on their way."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

from poolwright.kubesim.entry import ObjectChange
from poolwright.kubesim.kinds.cell import instant
from poolwright.kubesim.kinds.custom import CLEANUP, CUSTOM_RESOURCE_DEFINITION
from poolwright.kubesim.registry import Registry
from poolwright.kubesim.status import StatusError
from poolwright.model import kubernetes as names
from poolwright.model.json_value import Json, child

_SWEEP = timedelta(minutes=1)


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


async def _forget(registry: Registry, resource: names.Resource, name: str, namespace: str) -> None:
    try:
        await registry.delete(resource, name, namespace=namespace)
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
        for entry in registry.list(names.NAMESPACES):
            await _keep(registry, entry.name)
        while True:
            await _keep(registry, await names_due.get())
    finally:
        unsubscribe()


async def _keep(registry: Registry, name: str) -> None:
    body = registry.get(names.NAMESPACES, name)
    if body is None:
        return
    if "deletionTimestamp" not in body["metadata"]:
        if registry.entry(names.SERVICE_ACCOUNTS, "default", name) is None:
            try:
                await registry.create(
                    names.SERVICE_ACCOUNTS, {"metadata": {"name": "default"}}, namespace=name
                )
            except StatusError as error:
                if error.reason not in {"AlreadyExists", "Forbidden", "NotFound"}:
                    raise
        return
    remaining = 0
    for kind in registry.catalog.kinds:
        if not kind.resource.namespaced:
            continue
        for entry in registry.list(kind, name):
            remaining += 1
            if b'"deletionTimestamp"' not in entry.data:
                await _forget(registry, kind.resource, entry.name, name)
    if remaining and any(
        registry.list(k, name) for k in registry.catalog.kinds if k.resource.namespaced
    ):
        return

    def finalize(namespace: dict[str, Any]) -> None:
        namespace["spec"] = {}

    try:
        await registry.update(names.NAMESPACES, name, finalize, subresource="finalize")
    except StatusError as error:
        if error.reason != "NotFound":
            raise


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
            await _forget(registry, entry.kind.resource, entry.name, entry.namespace)
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
