"""List and watch one kind of a cluster's objects, for ever."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

from poolwright.model.errors import Expired, NotFound, Transient
from poolwright.model.json_value import Json, child
from poolwright.model.kubernetes import Resource
from poolwright.ports.clock import Clock
from poolwright.ports.kube import Kube, WatchEvent

_RETRY = timedelta(milliseconds=200)


async def follow(
    kube: Callable[[], Kube],
    clock: Clock,
    resource: Resource,
    reset: Callable[[Sequence[Json]], None],
    observe: Callable[[WatchEvent], None],
) -> None:
    """``reset`` is told all that there is, at first and when a watch has to begin anew."""
    revision = ""
    while True:
        try:
            if not revision:
                listed = await kube().list(resource)
                reset(listed.items)
                revision = listed.revision
            async for event in kube().watch(resource, after=revision):
                revision = child(event.object, "metadata").get("resourceVersion") or revision
                observe(event)
        except (Expired, NotFound):
            revision = ""
        except Transient:
            pass
        await clock.sleep(_RETRY)
