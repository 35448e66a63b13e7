"""Whether a control plane that somebody else runs can be reached, and what follows.

A cluster whose watches bring something is there and is not asked. One failed look is no outage: API
servers restart. A cluster that did not answer for `LOST_AFTER` is lost, with that told in its
record; the first look that succeeds ends the outage.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from poolwright.model.errors import ErrorDetail
from poolwright.model.instant import Instant, Now, wall_text
from poolwright.model.managed_cluster import ManagedClusterSpec, ManagedClusterStatus, Outage
from poolwright.model.record import Stored
from poolwright.plan.actions import NodeEvent

LOOK_EVERY = timedelta(seconds=10)
"""How often it is looked whether the watches of a cluster that answers still bring something, and
otherwise the cluster itself is asked; as often as kubelets renew their leases."""
LOOK_AGAIN = timedelta(seconds=3)
"""How often one that does not answer is asked."""
HEARD_WITHIN = timedelta(seconds=130)
"""How long watches may bring nothing: longer than from the last bookmark of a watch to the first of
the next, which is up to two minutes (k8s.io/apiserver pkg/storage/cacher)."""
ASK_EVERY = timedelta(minutes=10)
"""How often a cluster is asked all the same: its owner may have upgraded it, or given it away."""
LOST_AFTER = timedelta(seconds=15)
"""How long it may be away unreported: longer than an API server takes to restart."""
IN_A_ROW = timedelta(minutes=2)
"""How far apart looks of one process may be: each takes up to ten seconds and may queue."""

CODE = "KubernetesOperationError"
"""AKS's code where it could not do something on a cluster. Source: Azure/azure-cli#24192."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What one look at a cluster came to: the version it runs, or why that cannot be said."""

    version: str = ""
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Signs:
    """What is known of a cluster without asking it: how long its watches have been silent (None
    if they are broken), when it last answered this process, and whether asking failed since.
    """

    silent_for: timedelta | None
    answered_at: Instant | None
    is_failing: bool = False


def must_ask(status: ManagedClusterStatus, signs: Signs, now: Instant) -> bool:
    """Whether only asking tells if the cluster is there."""
    if status.outage is not None or signs.is_failing or signs.answered_at is None:
        return True
    if signs.answered_at.after(ASK_EVERY) <= now or signs.silent_for is None:
        return True
    return signs.silent_for > HEARD_WITHIN


@dataclass(frozen=True, slots=True)
class Failing:
    """Looks of this process that failed in a row: since when, and the latest."""

    since: Now
    last: Instant


def failed_again(before: Failing | None, now: Now) -> Failing:
    """A further look failed. One of long ago says nothing: another server has looked since then."""
    if before is None or before.last.after(IN_A_ROW) < now.world:
        return Failing(now, now.world)
    return replace(before, last=now.world)


@dataclass(frozen=True, slots=True)
class ContactWorld:
    """A cluster's record, the latest look at it, and since when looks have failed."""

    cluster: Stored[ManagedClusterSpec, ManagedClusterStatus]
    sight: Sight
    failing_since: Now | None = None


@dataclass(frozen=True, slots=True)
class ContactPlan:
    """What to record, what to tell in the cluster, and when to look again."""

    spec: ManagedClusterSpec
    status: ManagedClusterStatus
    wake_at: Instant
    because: str = ""
    event: NodeEvent | None = None


def plan_contact(world: ContactWorld, now: Instant) -> ContactPlan:
    """Decide what one look means."""
    if world.sight.failure:
        return _away(world, now)
    return _here(world, now)


def _away(world: ContactWorld, now: Instant) -> ContactPlan:
    spec, status = world.cluster.spec, world.cluster.status
    again = now.after(LOOK_AGAIN)
    known, since = status.outage, world.failing_since
    if known is None and (since is None or now < since.world.after(LOST_AFTER)):
        return ContactPlan(spec, status, again)
    if known is not None:
        outage = replace(known, error=_error(world.sight.failure, known))
    else:
        assert since is not None
        begun = Outage(since.world, since.wall, ErrorDetail(CODE, ""))
        outage = replace(begun, error=_error(world.sight.failure, begun))
    because = "" if known == outage else outage.error.message
    return ContactPlan(spec, replace(status, outage=outage), again, because)


def _error(failure: str, outage: Outage) -> ErrorDetail:
    since = wall_text(outage.since_wall)
    return ErrorDetail(
        CODE, f"The cluster's API server has not been of use since {since}: {failure}"
    )


def _here(world: ContactWorld, now: Instant) -> ContactPlan:
    spec, status = world.cluster.spec, world.cluster.status
    version, outage = world.sight.version, status.outage
    because, event = "", None
    if version != status.running_kubernetes_version:
        because = f"the cluster runs {version} now"
        spec = replace(spec, kubernetes_version=version, current_kubernetes_version=version)
        status = replace(status, running_kubernetes_version=version)
    if outage is not None:
        because = f"the cluster answers again after {_text(now.since(outage.since))}"
        status = replace(status, outage=None, outage_ended_at=now)
        event = NodeEvent("ClusterRegained", f"{outage.error.message}; now it answers again")
    return ContactPlan(spec, status, now.after(LOOK_EVERY), because, event)


def _text(duration: timedelta) -> str:
    return str(timedelta(seconds=int(duration.total_seconds())))
