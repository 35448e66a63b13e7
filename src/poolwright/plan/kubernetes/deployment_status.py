"""What a deployment says about its rollout: numbers, conditions, and the deadline for progress.

Source: k8s.io/kubernetes v1.36 pkg/controller/deployment (sync.go, progress.go).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from poolwright.model.instant import Instant, Now
from poolwright.model.json_value import Json, child, children
from poolwright.plan.kubernetes.action import condition, with_condition
from poolwright.plan.kubernetes.template import rounded


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many pods a deployment wants, and how far a rollout may be from that."""

    wanted: int
    surge: int
    unavailable: int

    @property
    def most(self) -> int:
        """The most pods at once."""
        return self.wanted + self.surge

    @property
    def least_available(self) -> int:
        """The fewest available pods."""
        return self.wanted - self.unavailable


def sizes_of(wire: Json) -> Sizes:
    """What a deployment's spec says."""
    spec = child(wire, "spec")
    wanted = int(1 if spec.get("replicas") is None else spec["replicas"])
    if is_recreate(wire):
        return Sizes(wanted, 0, wanted)
    rolling = child(spec, "strategy", "rollingUpdate")
    surge = rounded(rolling.get("maxSurge", "25%"), wanted, up=True)
    unavailable = rounded(rolling.get("maxUnavailable", "25%"), wanted, up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1  # ResolveFenceposts
    return Sizes(wanted, surge, min(unavailable, wanted))


def is_recreate(wire: Json) -> bool:
    """Whether all old pods go before the first new one comes."""
    return child(wire, "spec", "strategy").get("type") == "Recreate"


def replicas_of(wire: Json) -> int:
    """``spec.replicas``."""
    value = child(wire, "spec").get("replicas")
    return int(1 if value is None else value)


def count_of(wire: Json, name: str) -> int:
    """A number of the status."""
    return int(child(wire, "status").get(name) or 0)


def is_rolled_out(wire: Json, status: Json) -> bool:
    """Whether every pod is of the current template and available."""
    wanted = sizes_of(wire).wanted
    return all(
        int(status.get(n) or 0) == wanted
        for n in ("updatedReplicas", "replicas", "availableReplicas")
    )


def deployment_status(
    wire: Json,
    current: Json | None,
    old: Sequence[Json],
    now: Now,
    progressed_at: Instant | None,
) -> tuple[dict[str, Any], Instant | None]:
    """The numbers and conditions, and when its deadline for progress is."""
    every = [*old, *([current] if current is not None else [])]
    total = {
        n: sum(count_of(s, n) for s in every)
        for n in ("replicas", "readyReplicas", "availableReplicas", "terminatingReplicas")
    }
    asked = sum(replicas_of(s) for s in every)
    status: dict[str, Any] = {
        "observedGeneration": wire["metadata"].get("generation", 1),
        "replicas": total["replicas"] or None,
        "updatedReplicas": (count_of(current, "replicas") if current is not None else 0) or None,
        "readyReplicas": total["readyReplicas"] or None,
        "availableReplicas": total["availableReplicas"] or None,
        "terminatingReplicas": total["terminatingReplicas"],
        "unavailableReplicas": max(0, asked - total["availableReplicas"]) or None,
    }
    conditions = children(wire, "status", "conditions")
    enough = total["availableReplicas"] >= sizes_of(wire).least_available
    conditions = with_condition(
        conditions,
        "Available",
        "True" if enough else "False",
        "MinimumReplicasAvailable" if enough else "MinimumReplicasUnavailable",
        "Deployment has minimum availability."
        if enough
        else "Deployment does not have minimum availability.",
        now.wall,
        clocks=("lastUpdateTime",),
    )
    progress, wake_at = _progress(wire, current, status, now, progressed_at)
    conditions = with_condition(
        conditions, "Progressing", *progress, now.wall, clocks=("lastUpdateTime",)
    )
    status["conditions"] = _with_failure(conditions, every, now)
    return status, wake_at


def _with_failure(conditions: Sequence[Json], sets: Sequence[Json], now: Now) -> Sequence[Json]:
    """What the sets say of pods that could not be made; of the newest set that says it."""
    failures = [condition(s, "ReplicaFailure") for s in reversed(sets)]
    said = next((f for f in failures if f.get("status") == "True"), None)
    if said is None:
        return [c for c in conditions if c.get("type") != "ReplicaFailure"]
    words = (str(said.get("reason") or ""), str(said.get("message") or ""))
    return with_condition(
        conditions, "ReplicaFailure", "True", *words, now.wall, clocks=("lastUpdateTime",)
    )


def _progress(
    wire: Json, current: Json | None, status: Json, now: Now, progressed_at: Instant | None
) -> tuple[tuple[str, str, str], Instant | None]:
    was = condition(wire, "Progressing")
    if child(wire, "spec").get("paused"):
        if was.get("reason") == "ProgressDeadlineExceeded":
            return (str(was["status"]), str(was["reason"]), str(was["message"])), None
        return ("Unknown", "DeploymentPaused", "Deployment is paused"), None
    if current is None:
        name = wire["metadata"]["name"]
        words = f'Created new replica set for deployment "{name}"'
        return ("True", "NewReplicaSetCreated", words), None
    name = current["metadata"]["name"]
    if is_rolled_out(wire, status):
        words = f'ReplicaSet "{name}" has successfully progressed.'
        return ("True", "NewReplicaSetAvailable", words), None
    if was.get("reason") == "NewReplicaSetAvailable" and name in str(was.get("message")):
        return ("True", "NewReplicaSetAvailable", str(was["message"])), None
    limit = child(wire, "spec").get("progressDeadlineSeconds")
    deadline = (progressed_at or now.world).after(
        timedelta(seconds=600 if limit is None else limit)
    )
    if deadline <= now.world:
        words = f'ReplicaSet "{name}" has timed out progressing.'
        return ("False", "ProgressDeadlineExceeded", words), None
    words = f'ReplicaSet "{name}" is progressing.'
    return ("True", "ReplicaSetUpdated", words), deadline
