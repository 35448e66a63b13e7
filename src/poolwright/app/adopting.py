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
from poolwright.arm.adoption import Adoption, adopt_cluster, check_adoption, find_adopted
from poolwright.arm.context import ArmContext
from poolwright.kube.adopted import AdoptedControlPlanes, Found
from poolwright.kube.kubeconfig import KubeAccess, read_kubeconfig
from poolwright.model.errors import Conflict, PoolwrightError, Precondition, Refused
from poolwright.providers.kwok.node_object import OWNED, is_owned

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
    for each, answer in found:
        if answer is not None:
            await _check_new(control_planes, each)
            await _enter(context, each, answer)
        version = answer.version if answer is not None else each.known_version
        control_planes.add(each.adoption.key, each.access, version, each.read)


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


async def _check_new(control_planes: AdoptedControlPlanes, candidate: _Candidate) -> None:
    """Refuse a cluster that another store manages under the same name: its Nodes have no machines
    in this one, and would be deleted.
    """
    if candidate.known_version:
        return
    adoption = candidate.adoption
    try:
        nodes = await control_planes.nodes(candidate.access, OWNED)
    except PoolwrightError as error:
        raise _named(candidate.file, error) from error
    theirs = [node for node in nodes if is_owned(node, adoption.key)]
    if theirs:
        first = min(node["metadata"]["name"] for node in theirs)
        raise Conflict(
            f"kubeconfig {candidate.file}: {len(theirs)} nodes there, {first} first, belong to"
            f" {adoption.name} in {adoption.resource_group} of another store; start on that store,"
            " give the cluster another name, or delete these nodes"
        )


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
