"""Carrying plans out in the registry, and telling users about it in events."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from poolwright.kubesim.binding import bind_pod
from poolwright.kubesim.kinds.kind import Body
from poolwright.kubesim.meta import Preconditions
from poolwright.kubesim.registry import Registry
from poolwright.kubesim.status import StatusError
from poolwright.model.errors import Unknown
from poolwright.model.instant import wall_text
from poolwright.model.json_value import child, children
from poolwright.model.kubernetes import EVENTS
from poolwright.plan.kubernetes.action import (
    Action,
    BindPod,
    CreateObject,
    DeleteObject,
    PatchObject,
    Plan,
    RecordEvent,
    SetCondition,
    SetController,
    Target,
    merged,
    with_condition,
)
from poolwright.ports.clock import Clock

CONCURRENCY = 256
"""Writes in flight at once: enough to fill a group commit."""
EVENTS_WAITING_MAX = 50_000
"""Events that wait to be written; beyond this they are lost, as those of a busy real cluster."""

NAME_RETRIES = 7
"""How often a drawn name that is taken is drawn again (maxNameGenerationCreateAttempts is 8)."""
SPAM_BURST = 25
"""Events about one object from one component that are written at once (client-go
tools/record/events_cache.go, defaultSpamBurst); one more every `SPAM_REFILL`."""
SPAM_REFILL = timedelta(minutes=5)

_MOVED_ON = frozenset({"NotFound", "Conflict", "AlreadyExists"})


@dataclass(frozen=True, slots=True)
class Lost:
    """An action that was not carried out, and why."""

    action: Action
    error: StatusError


class Performer:
    """Carries out actions; those on one object in their order, others side by side."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock
        self._events: asyncio.Queue[tuple[str, RecordEvent, datetime]] = asyncio.Queue()
        self._names: dict[tuple[str, ...], str] = {}
        self._told = 0
        self._spent: dict[tuple[str, str], tuple[float, float]] = {}

    async def perform(self, plan: Plan) -> list[Lost]:
        """Carry a plan out. What the world has moved past is returned, not raised.

        Raises:
            StatusError: the server refuses an object for good (a FailedCreate event says so).
        """
        lost: list[Lost] = []
        creations = [a for a in plan.actions if isinstance(a, CreateObject)]
        others = [a for a in plan.actions if not isinstance(a, CreateObject)]
        if len(others) == 1:
            await self._chain(others, lost)
        elif others:
            await _side_by_side([self._chain(c, lost) for c in _chains(others)])
        await self._create_all(creations, lost)
        for failed in lost:
            if failed.error.reason not in _MOVED_ON:
                raise failed.error
        return lost

    async def _create_all(self, creations: Sequence[CreateObject], lost: list[Lost]) -> None:
        """Create one, then two, then four and so on, until one is refused: what a quota refuses
        would be refused as often as there are pods (controller_utils.go, slowStartBatch).
        """
        done, batch = 0, 1
        while done < len(creations) and not any(x.error.reason not in _MOVED_ON for x in lost):
            now = creations[done : done + batch]
            await _side_by_side([self._chain((each,), lost) for each in now])
            done, batch = done + len(now), min(CONCURRENCY, 2 * batch)

    async def _chain(self, actions: Iterable[Action], lost: list[Lost]) -> None:
        for action in actions:
            try:
                await self._one(action)
            except StatusError as error:
                lost.append(Lost(action, error))
                if isinstance(action, CreateObject) and error.reason not in _MOVED_ON:
                    self._tell_failed(action, error)

    async def _one(self, action: Action) -> None:
        match action:
            case RecordEvent():
                self.tell(action)
            case CreateObject():
                await self._create(action)
            case DeleteObject():
                target = action.target
                await self._registry.delete(
                    target.resource,
                    target.name,
                    namespace=target.namespace,
                    grace_seconds=action.grace_seconds,
                    propagation=action.propagation,
                    expect=Preconditions(uid=target.uid),
                )
            case PatchObject():
                await self._patch(action)
            case SetCondition():
                await self._set_condition(action)
            case SetController():
                await self._set_controller(action)
            case BindPod():
                target = action.target
                await bind_pod(
                    self._registry, target.namespace, target.name, action.node, uid=target.uid
                )

    async def _create(self, action: CreateObject) -> None:
        namespace = child(action.body, "metadata").get("namespace", "")
        made = await self._create_named(action, namespace)
        if action.told is not None:
            name = made["metadata"]["name"]
            self.tell(replace(action.told, message=action.told.message.replace("{name}", name)))

    async def _create_named(self, action: CreateObject, namespace: str) -> Body:
        """Create; a drawn name that is taken is drawn again, as the real server does."""
        body = action.body
        for _ in range(NAME_RETRIES if "generateName" in body["metadata"] else 0):
            try:
                return await self._registry.create(action.resource, body, namespace=namespace)
            except StatusError as error:
                if error.reason != "AlreadyExists":
                    raise
        return await self._registry.create(action.resource, body, namespace=namespace)

    async def _patch(self, action: PatchObject) -> None:
        target = action.target

        def mutate(old: Body) -> Body:
            new: Body = merged(old, action.patch)
            return new

        await self._registry.update(
            target.resource,
            target.name,
            mutate,
            namespace=target.namespace,
            subresource=action.subresource,
            expect=Preconditions(uid=target.uid, revision=action.revision),
        )

    async def _set_condition(self, action: SetCondition) -> None:
        target = action.target
        wall = self._clock.now().wall

        def mutate(old: Body) -> Body:
            conditions = with_condition(
                children(old, "status", "conditions"),
                action.type,
                action.status,
                action.reason,
                action.message,
                wall,
            )
            plain = [{k: v for k, v in c.items() if v != ""} for c in conditions]
            return {**old, "status": {**child(old, "status"), "conditions": plain}}

        await self._registry.update(
            target.resource,
            target.name,
            mutate,
            namespace=target.namespace,
            subresource="status",
            expect=Preconditions(uid=target.uid),
        )

    async def _set_controller(self, action: SetController) -> None:
        target = action.target

        def mutate(old: Body) -> Body | None:
            owners: list[Any] = [*(old["metadata"].get("ownerReferences") or ())]
            kept = [o for o in owners if o.get("uid") != action.owner_uid]
            if action.reference is not None and not any(o.get("controller") for o in kept):
                kept.append(action.reference)
            elif action.reference is not None:
                return None  # somebody else was faster
            old["metadata"]["ownerReferences"] = kept
            return old

        await self._registry.update(
            target.resource,
            target.name,
            mutate,
            namespace=target.namespace,
            expect=Preconditions(uid=target.uid),
        )

    # Events

    def tell(self, event: RecordEvent) -> None:
        """Have an event written soon, unless there were too many of its kind."""
        if self._events.qsize() < EVENTS_WAITING_MAX and self._may_tell(event):
            self._events.put_nowait((self._named(event), event, self._clock.now().wall))

    def _named(self, event: RecordEvent) -> str:
        """The name of an event: the same for a repetition. It grows with the moment of the first
        telling, because clients that sort by whole seconds keep the order of names within one.
        """
        target = event.target
        key = (target.uid, event.reason, event.message, event.component, event.type)
        name = self._names.get(key)
        if name is None:
            if len(self._names) >= EVENTS_WAITING_MAX:
                self._names.clear()  # as a restart would: repetitions start a new event
            self._told += 1
            micros = int(self._clock.now().wall.timestamp() * 1e6)
            name = self._names[key] = f"{target.name}.{micros * 1000 + self._told % 1000:x}"
        return name

    def _may_tell(self, event: RecordEvent) -> bool:
        """Whether the component's allowance for this object is not used up."""
        key = (event.component, event.target.uid)
        now = self._clock.monotonic()
        tokens, at = self._spent.get(key, (float(SPAM_BURST), now))
        tokens = min(SPAM_BURST, tokens + (now - at) / SPAM_REFILL.total_seconds())
        if len(self._spent) > EVENTS_WAITING_MAX:
            self._spent.clear()
        self._spent[key] = (tokens - 1 if tokens >= 1 else tokens, now)
        return tokens >= 1

    def _tell_failed(self, action: CreateObject, error: StatusError) -> None:
        if action.told is not None:
            words = f"Error creating: {error.message}"
            told = replace(action.told, reason="FailedCreate", message=words, type="Warning")
            self.tell(told)

    async def write_events(self) -> None:
        """Write what was told, until cancelled."""
        while True:
            waiting = [await self._events.get()]
            while not self._events.empty() and len(waiting) < CONCURRENCY:
                waiting.append(self._events.get_nowait())
            together: dict[str, tuple[RecordEvent, int, datetime]] = {}
            for name, event, at in waiting:
                times = together[name][1] if name in together else 0
                together[name] = (event, times + 1, at)
            await _side_by_side([self._write(n, *told) for n, told in together.items()])

    async def _write(self, name: str, event: RecordEvent, times: int, at: datetime) -> None:
        namespace = event.target.namespace or "default"
        now = wall_text(at)
        try:
            if self._registry.entry(EVENTS, name, namespace) is not None:
                await self._registry.update(
                    EVENTS,
                    name,
                    lambda old: {
                        **old,
                        "count": int(old.get("count") or 1) + times,
                        "lastTimestamp": now,
                    },
                    namespace=namespace,
                )
            else:
                body = _event_body(name, namespace, event, times, now)
                await self._registry.create(EVENTS, body, namespace=namespace)
        except (StatusError, Unknown):
            pass  # an event tells; nothing depends on it, and its namespace may be gone


def _event_body(
    name: str, namespace: str, event: RecordEvent, times: int, now: str
) -> dict[str, Any]:
    target = event.target
    involved: dict[str, Any] = {
        "kind": target.resource.kind,
        "name": target.name,
        "uid": target.uid,
        "apiVersion": target.resource.api_version,
    }
    if target.namespace:
        involved["namespace"] = target.namespace
    return {
        "metadata": {"name": name, "namespace": namespace},
        "involvedObject": involved,
        "reason": event.reason,
        "message": event.message,
        "source": {"component": event.component},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": times,
        "type": event.type,
        "eventTime": None,
        "reportingComponent": event.component,
        "reportingInstance": "",
    }


_Other = DeleteObject | PatchObject | SetCondition | SetController | BindPod | RecordEvent


def _chains(actions: Iterable[_Other]) -> list[list[_Other]]:
    """Actions on one object stay in order."""
    chains: dict[Target, list[_Other]] = {}
    for action in actions:
        chains.setdefault(action.target, []).append(action)
    return list(chains.values())


async def _side_by_side(work: list[Awaitable[None]]) -> None:
    if len(work) == 1:
        await work[0]
        return
    slots = asyncio.Semaphore(CONCURRENCY)

    async def one(piece: Awaitable[None]) -> None:
        async with slots:
            await piece

    async with asyncio.TaskGroup() as group:
        for piece in work:
            group.create_task(one(piece))
