"""Taking in the clusters that the settings name, before the server serves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from poolwright.app.settings import ClusterToAdopt
from poolwright.app.store_identity import store_identity
from poolwright.arm.adoption import (
    Adoption,
    adopt_cluster,
    check_adoption,
    check_identity,
    find_adopted,
)
from poolwright.arm.context import ArmContext
from poolwright.kube.adopted import AdoptedControlPlanes, Found
from poolwright.kube.kubeconfig import KubeAccess, read_kubeconfig
from poolwright.model.errors import (
    Conflict,
    PoolwrightError,
    Precondition,
    Refused,
    Transient,
    Unknown,
)

_log: Any = structlog.get_logger("poolwright.adopting")
_ATTEMPTS = 5
"""How often a record is written against other replicas that start at the same moment."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    adoption: Adoption
    access: KubeAccess
    read: Callable[[], KubeAccess]
    file: str
    known_version: str
    """Empty for one that was not adopted before."""


async def adopt_clusters(
    context: ArmContext, control_planes: AdoptedControlPlanes, wanted: Sequence[ClusterToAdopt]
) -> None:
    """Enter every cluster as a managed cluster. One that was adopted before may be away; the server
    then waits for it.

    Raises:
        PoolwrightError: one cannot be adopted; it says which, and why.
    """
    candidates = [await _candidate(context, each) for each in wanted]
    _check_distinct([(each, each.access.server_url) for each in candidates])
    answers = await asyncio.gather(*(_look(control_planes, each) for each in candidates))
    found = list(zip(candidates, answers, strict=True))
    _check_distinct([(each, answer.uid) for each, answer in found if answer and answer.uid])
    store = await store_identity(context.store, context.clock, context.identity)
    for each, answer in found:
        if answer is not None:
            await _claim(context, control_planes, each, answer, store)
            await _enter(context, each, answer)
        version = answer.version if answer is not None else each.known_version
        control_planes.add(each.adoption.key, each.access, version, store, each.read)


async def _candidate(context: ArmContext, wanted: ClusterToAdopt) -> _Candidate:
    """What can be said of a cluster without asking it."""
    subscription = context.settings.subscriptions[0].id
    adoption = Adoption(subscription, wanted.resource_group, wanted.cluster_name, wanted.location)
    check_adoption(context, adoption)
    read = partial(read_kubeconfig, Path(wanted.kubeconfig), wanted.context)
    try:
        access = read()
        access.check_current(context.clock.now().wall)
        access.ssl_context()
    except PoolwrightError as error:
        raise _named(wanted.kubeconfig, error) from error
    known = await find_adopted(context, adoption)
    version = known.status.running_kubernetes_version if known is not None else ""
    return _Candidate(adoption, access, read, wanted.kubeconfig, version)


async def _look(control_planes: AdoptedControlPlanes, candidate: _Candidate) -> Found | None:
    """What the cluster says of itself; None if it is known and says nothing now."""
    try:
        return await control_planes.look(candidate.access)
    except PoolwrightError as error:
        if not candidate.known_version:
            raise _named(candidate.file, error) from error
        name = candidate.adoption.name
        _log.warning("cluster not reached, waiting for it", cluster=name, error=error.message)
        return None


async def _claim(
    context: ArmContext,
    control_planes: AdoptedControlPlanes,
    candidate: _Candidate,
    found: Found,
    store: str,
) -> None:
    """Two stores must not manage one cluster: each would take the other's nodes for left-overs.
    What is not known for sure is asked again before anything is sent there.
    """
    adoption = candidate.adoption
    try:
        await check_identity(context, adoption, found.uid)
        await control_planes.claim(candidate.access, store, adoption.key)
    except PoolwrightError as error:
        is_away = isinstance(error, Transient | Unknown)
        if not (is_away and candidate.known_version):
            raise _named(candidate.file, error) from error
        _log.warning("cluster not reached", cluster=adoption.name, error=error.message)


async def _enter(context: ArmContext, candidate: _Candidate, found: Found) -> None:
    for attempt in range(_ATTEMPTS):
        try:
            await adopt_cluster(context, candidate.adoption, found.version, found.uid)
        except Precondition:
            if attempt == _ATTEMPTS - 1:
                raise
        except PoolwrightError as error:
            raise _named(candidate.file, error) from error
        else:
            return


def _named(file: str, error: PoolwrightError) -> Refused:
    return Refused(f"kubeconfig {file}: {error.message}")


def _check_distinct(marks: Sequence[tuple[_Candidate, str]]) -> None:
    """Refuse two names for one cluster: both would make its nodes, and delete the other's."""
    seen: dict[str, str] = {}
    for candidate, mark in marks:
        name = candidate.adoption.name
        if mark in seen:
            raise Conflict(f"{seen[mark]} and {name} are one cluster ({mark}); give it one name")
        seen[mark] = name
