"""Workloads: deployments, daemon sets and replica sets.

Source of defaults and rules: k8s.io/kubernetes pkg/apis/apps.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from poolwright.kubesim.kinds.cell import (
    age_of,
    labels_text,
    names_and_images,
    number,
    selector_text,
)
from poolwright.kubesim.kinds.declare import values
from poolwright.kubesim.kinds.kind import Body, Column, ObjectKind
from poolwright.kubesim.kinds.pod_placement import check_label_selector
from poolwright.kubesim.kinds.pod_spec import check_pod_spec, default_pod_spec
from poolwright.kubesim.kinds.warning import of_workload
from poolwright.kubesim.rules import check_labels
from poolwright.kubesim.status import Cause, forbidden, invalid, not_supported, required
from poolwright.model import kubernetes as names
from poolwright.model.json_value import child, children

_AGE = Column("Age")


def template_columns(*, selector: bool = True) -> tuple[Column, ...]:
    """The wide columns of what has a pod template."""
    found = (
        Column("Containers", priority=1, description="Names of each container in the template."),
        Column(
            "Images", priority=1, description="Images referenced by each container in the template."
        ),
    )
    return (*found, Column("Selector", priority=1)) if selector else found


_WIDE = template_columns()


def default_template_of(holder: Body) -> None:
    """Fill the pod template of a spec (or of whatever holds one)."""
    template = holder.setdefault("template", {})
    metadata = template.setdefault("metadata", {})
    metadata.setdefault("creationTimestamp", None)
    if metadata["creationTimestamp"] is None:
        del metadata["creationTimestamp"]
    default_pod_spec(template.setdefault("spec", {}))


def default_template(body: Body) -> None:
    """Fill the pod template of a workload."""
    default_template_of(body["spec"])


def _fresh_status(body: Body, old: Mapping[str, Any] | None) -> None:
    if old is None:
        body["status"] = {}


def check_selector(
    new: Mapping[str, Any], old: Mapping[str, Any] | None, *, frozen: bool = True
) -> Iterator[Cause]:
    """Rules of a selector and the template that it must match."""
    selector: Any = child(new, "spec").get("selector")
    labels: Any = child(new, "spec", "template", "metadata").get("labels")
    given = child(new, "spec", "template", "metadata", "labels")
    wanted = child(new, "spec", "selector", "matchLabels")
    problems = list(check_label_selector(child(new, "spec", "selector"), "spec.selector"))
    mismatch = invalid(
        "spec.template.metadata.labels", labels, "`selector` does not match template `labels`"
    )
    is_daemon_set = new["kind"] == "DaemonSet"
    if selector is None:
        if not is_daemon_set:
            yield required("spec.selector")
        yield mismatch
    elif not wanted and not children(new, "spec", "selector", "matchExpressions"):
        word = "deployment" if new["kind"] == "ReplicaSet" else str(new["kind"]).lower()
        yield invalid("spec.selector", {}, f"empty selector is invalid for {word}")
    elif problems:
        yield from problems
        if not is_daemon_set:
            why = "" if new["kind"] == "StatefulSet" else "invalid label selector"
            yield invalid("spec.selector", selector, why)
    elif any(given.get(key) != value for key, value in wanted.items()):
        yield mismatch
    if frozen and old is not None and child(old, "spec").get("selector") != selector:
        shown = dict(child(new, "spec", "selector"))
        if wanted:
            shown["matchLabels"] = dict(sorted(wanted.items()))
        yield invalid("spec.selector", shown, "field is immutable")


def check_template(
    new: Mapping[str, Any], holder: str = "spec", *, always: bool = True
) -> Iterator[Cause]:
    """Broken rules of a workload's pod template; ``always``: its pods are restarted for ever."""
    template = child(new, *holder.split("."), "template")
    spec, path = child(template, "spec"), f"{holder}.template"
    yield from check_labels(child(template, "metadata").get("labels"), f"{path}.labels")
    yield from check_pod_spec(spec, f"{path}.spec")
    if not always:
        return
    if spec.get("restartPolicy") != "Always":
        yield not_supported(f"{path}.spec.restartPolicy", spec["restartPolicy"], ("Always",))
    if spec.get("activeDeadlineSeconds") is not None:
        word = "ReplicaSet" if new["kind"] == "Deployment" else new["kind"]
        why = f"activeDeadlineSeconds in {word} is not Supported"
        yield forbidden(f"{path}.spec.activeDeadlineSeconds", why)


def _not_negative(new: Mapping[str, Any], *members: str) -> Iterator[Cause]:
    for member in members:
        value = child(new, "spec").get(member)
        if isinstance(value, int) and value < 0:
            yield invalid(f"spec.{member}", value, "must be greater than or equal to 0")


def _wide(body: Mapping[str, Any]) -> tuple[str, str, str]:
    return (*names_and_images(body), selector_text(child(body, "spec").get("selector")))


# Deployment


def _deployment_default(body: Body) -> None:
    spec = body.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    strategy = spec.setdefault("strategy", {})
    strategy["type"] = strategy.get("type") or "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", "25%")
        rolling.setdefault("maxSurge", "25%")
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)
    default_template_of(spec)


def _workload_validate(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> Sequence[Cause]:
    return [
        *_not_negative(new, "replicas", "minReadySeconds", "revisionHistoryLimit"),
        *check_selector(new, old),
        *check_template(new),
    ]


_PERCENT = re.compile(r"[0-9]{1,9}%")
_PERCENT_TEXT = (
    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or"
    " '93%', regex used for validation is '[0-9]+%')"
)


def check_amount_or_percent(
    body: Mapping[str, Any], path: str, *, most: int | None = None
) -> Iterator[Cause]:
    """Broken rules of an int-or-percent; ``most``: the greatest percentage."""
    for where, value in values(body, path):
        if isinstance(value, int) and value < 0:
            yield invalid(where, value, "must be greater than or equal to 0")
        elif isinstance(value, str) and not _PERCENT.fullmatch(value):
            yield invalid(where, value, _PERCENT_TEXT)
        elif isinstance(value, str) and most is not None and int(value[:-1]) > most:
            yield invalid(where, value, f"must not be greater than {most}%")


def _count(amount: Any) -> int:
    """The number in an int-or-percent; 0 if there is none (getIntOrPercentValue)."""
    if isinstance(amount, str):
        return int(amount[:-1]) if _PERCENT.fullmatch(amount) else 0
    return int(amount or 0)


def _strategy_in_go(strategy: Mapping[str, Any]) -> Mapping[str, Any]:
    """A strategy as Go prints its own type."""
    rolling = strategy.get("rollingUpdate")
    shown = None if rolling is None else {
        "MaxUnavailable": rolling.get("maxUnavailable") or 0,
        "MaxSurge": rolling.get("maxSurge") or 0,
    }  # fmt: skip
    return {"Type": strategy.get("type") or "", "RollingUpdate": shown}


def _check_strategy(new: Mapping[str, Any]) -> Iterator[Cause]:
    """Rules of how a deployment replaces its pods (ValidateDeploymentStrategy)."""
    strategy = child(new, "spec", "strategy")
    path = "spec.strategy.rollingUpdate"
    rolling: Any = strategy.get("rollingUpdate")
    match strategy.get("type"):
        case "Recreate":
            if rolling is not None:
                yield forbidden(path, "may not be specified when strategy `type` is 'Recreate'")
        case "RollingUpdate":
            unavailable, surge = rolling.get("maxUnavailable"), rolling.get("maxSurge")
            yield from check_amount_or_percent(new, f"{path}.maxUnavailable", most=100)
            yield from check_amount_or_percent(new, f"{path}.maxSurge")
            if not _count(unavailable) and not _count(surge):
                why = "may not be 0 when `maxSurge` is 0"
                yield invalid(f"{path}.maxUnavailable", unavailable, why)
        case _:
            allowed = ("Recreate", "RollingUpdate")
            yield not_supported("spec.strategy", _strategy_in_go(strategy), allowed)


def _deployment_validate(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> Sequence[Cause]:
    causes = [*_workload_validate(new, old), *_check_strategy(new)]
    spec = child(new, "spec")
    deadline = spec.get("progressDeadlineSeconds")
    if isinstance(deadline, int):
        where = "spec.progressDeadlineSeconds"
        if deadline < 0:
            causes.append(invalid(where, deadline, "must be greater than or equal to 0"))
        if deadline <= int(spec.get("minReadySeconds") or 0):
            causes.append(invalid(where, deadline, "must be greater than minReadySeconds"))
    return causes


def _daemon_set_validate(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> Sequence[Cause]:
    return [*_workload_validate(new, old), *_check_daemon_set_strategy(new)]


def _check_daemon_set_strategy(new: Mapping[str, Any]) -> Iterator[Cause]:
    """Rules of how a daemon set replaces its pods (ValidateDaemonSetUpdateStrategy)."""
    strategy = child(new, "spec", "updateStrategy")
    if strategy.get("type") == "OnDelete":
        return
    if strategy.get("type") != "RollingUpdate":
        allowed = ("RollingUpdate", "OnDelete")
        yield not_supported("spec.updateStrategy", _strategy_in_go(strategy), allowed)
        return
    path = "spec.updateStrategy.rollingUpdate"
    for member in ("maxUnavailable", "maxSurge"):
        yield from check_amount_or_percent(new, f"{path}.{member}", most=100)
    rolling = child(strategy, "rollingUpdate")
    unavailable, surge = _count(rolling.get("maxUnavailable")), _count(rolling.get("maxSurge"))
    if unavailable and surge:
        why = "may not be set when maxUnavailable is non-zero"
        yield invalid(f"{path}.maxSurge", rolling.get("maxSurge"), why)
    elif not unavailable and not surge:
        yield required(f"{path}.maxUnavailable", "cannot be 0 when maxSurge is 0")


def _deployment_row(body: Mapping[str, Any], now: datetime) -> Sequence[Any]:
    return (
        f"{number(body, 'status', 'readyReplicas')}/{number(body, 'spec', 'replicas')}",
        str(number(body, "status", "updatedReplicas")),
        str(number(body, "status", "availableReplicas")),
        age_of(body, now),
        *_wide(body),
    )


DEPLOYMENT = ObjectKind(
    names.DEPLOYMENTS,
    "deployment",
    ("deploy",),
    ("all",),
    ("scale", "status"),
    columns=(
        Column("Ready", description="Number of the pod with ready state"),
        Column("Up-to-date"),
        Column("Available"),
        _AGE,
        *_WIDE,
    ),
    row=_deployment_row,
    default=_deployment_default,
    prepare=_fresh_status,
    validate=_deployment_validate,
    warn=of_workload,
    has_generation=True,
)


# ReplicaSet


def _replica_set_default(body: Body) -> None:
    spec = body.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    default_template_of(spec)


def _replica_set_prepare(body: Body, old: Mapping[str, Any] | None) -> None:
    if old is None:
        body["status"] = {"replicas": 0}


def _replica_set_row(body: Mapping[str, Any], now: datetime) -> Sequence[Any]:
    return (
        number(body, "spec", "replicas"),
        number(body, "status", "replicas"),
        number(body, "status", "readyReplicas"),
        age_of(body, now),
        *_wide(body),
    )


REPLICA_SET = ObjectKind(
    names.REPLICA_SETS,
    "replicaset",
    ("rs",),
    ("all",),
    ("scale", "status"),
    columns=(
        Column("Desired", "integer"),
        Column("Current", "integer"),
        Column("Ready", "integer"),
        _AGE,
        *_WIDE,
    ),
    row=_replica_set_row,
    default=_replica_set_default,
    prepare=_replica_set_prepare,
    validate=_workload_validate,
    warn=of_workload,
    has_generation=True,
)


# DaemonSet

_TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"


def _daemon_set_default(body: Body) -> None:
    annotations = child(body, "metadata", "annotations")  # conversion adds one: its writer's
    body["metadata"]["annotations"] = {_TEMPLATE_GENERATION: "0", **annotations}
    spec = body.setdefault("spec", {})
    strategy = spec.setdefault("updateStrategy", {})
    strategy["type"] = strategy.get("type") or "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", 1)
        rolling.setdefault("maxSurge", 0)
    spec.setdefault("revisionHistoryLimit", 10)
    default_template_of(spec)


def _daemon_set_prepare(body: Body, old: Mapping[str, Any] | None) -> None:
    annotations = body["metadata"].setdefault("annotations", {})
    if old is None:
        annotations[_TEMPLATE_GENERATION] = "1"
        body["status"] = {
            "currentNumberScheduled": 0,
            "numberMisscheduled": 0,
            "desiredNumberScheduled": 0,
            "numberReady": 0,
        }
        return
    before = int(child(old, "metadata", "annotations").get(_TEMPLATE_GENERATION) or 1)
    changed = child(old, "spec").get("template") != child(body, "spec").get("template")
    annotations[_TEMPLATE_GENERATION] = str(before + changed)


def _daemon_set_row(body: Mapping[str, Any], now: datetime) -> Sequence[Any]:
    counts = (
        "desiredNumberScheduled",
        "currentNumberScheduled",
        "numberReady",
        "updatedNumberScheduled",
        "numberAvailable",
    )
    return (
        *(number(body, "status", name) for name in counts),
        labels_text(child(body, "spec", "template", "spec", "nodeSelector")),
        age_of(body, now),
        *_wide(body),
    )


DAEMON_SET = ObjectKind(
    names.DAEMON_SETS,
    "daemonset",
    ("ds",),
    ("all",),
    ("status",),
    columns=(
        Column("Desired", "integer"),
        Column("Current", "integer"),
        Column("Ready", "integer"),
        Column("Up-to-date", "integer"),
        Column("Available", "integer"),
        Column("Node Selector"),
        _AGE,
        *_WIDE,
    ),
    row=_daemon_set_row,
    default=_daemon_set_default,
    prepare=_daemon_set_prepare,
    validate=_daemon_set_validate,
    has_generation=True,
)
