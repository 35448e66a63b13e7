"""What pods are scheduled by: priority classes and runtime classes.

Source of defaults, rules and columns: k8s.io/kubernetes pkg/apis/{scheduling,node} and
pkg/printers/internalversion/printers.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from poolwright.kubesim.kinds.cell import age_of
from poolwright.kubesim.kinds.declare import all_of, defaults, needed, unchanged
from poolwright.kubesim.kinds.kind import Column, ObjectKind
from poolwright.kubesim.kinds.pod_spec import check_tolerations
from poolwright.kubesim.rules import check_labels, dns_label
from poolwright.kubesim.status import Cause, forbidden, invalid, not_supported, required
from poolwright.model import kubernetes as names
from poolwright.model.json_value import child

_AGE = Column("Age")
USER_PRIORITY_MAX = 1_000_000_000  # scheduling.HighestUserDefinablePriority
SYSTEM_PRIORITIES = {
    "system-cluster-critical": 2_000_000_000,
    "system-node-critical": 2_000_001_000,
}


def _check_priority(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> Iterator[Cause]:
    name, value = str(new["metadata"].get("name") or ""), new.get("value") or 0
    if old is not None:
        if value != (old.get("value") or 0):
            yield forbidden("value", "may not be changed in an update.")
        return
    if name.startswith("system-"):
        if SYSTEM_PRIORITIES.get(name) != value:
            yield forbidden(
                "metadata.name",
                "priority class names with 'system-' prefix are reserved for system use only."
                f" error: {name} is not a known system priority class",
            )
    elif value > USER_PRIORITY_MAX:
        yield forbidden(
            "value", f"maximum allowed value of a user defined priority is {USER_PRIORITY_MAX}"
        )


def _check_preemption(new: Mapping[str, Any], _old: Mapping[str, Any] | None) -> Iterator[Cause]:
    policy, allowed = new.get("preemptionPolicy"), ("PreemptLowerPriority", "Never")
    if not policy:
        yield required("preemptionPolicy")
    elif policy not in allowed:
        yield not_supported("preemptionPolicy", policy, allowed)


PRIORITY_CLASS = ObjectKind(
    names.PRIORITY_CLASSES,
    "priorityclass",
    ("pc",),
    columns=(
        Column("Value", "integer"),
        Column("Global-Default", "boolean"),
        _AGE,
        Column("PreemptionPolicy"),
    ),
    row=lambda body, now: (
        body.get("value", 0),
        bool(body.get("globalDefault")),
        age_of(body, now),
        body.get("preemptionPolicy", ""),
    ),
    default=defaults({"value": 0}, pointers={"preemptionPolicy": "PreemptLowerPriority"}),
    validate=all_of(
        _check_priority,
        _check_preemption,
        unchanged("preemptionPolicy"),
    ),
    has_generation=True,
)


def _check_runtime(new: Mapping[str, Any], _old: Mapping[str, Any] | None) -> Iterator[Cause]:
    handler = str(new.get("handler") or "")
    if handler:
        for problem in dns_label(handler):
            yield invalid("handler", handler, problem)
    scheduling = child(new, "scheduling")
    yield from check_labels(scheduling.get("nodeSelector"), "scheduling.nodeSelector")
    yield from check_tolerations(scheduling, "scheduling")


RUNTIME_CLASS = ObjectKind(
    names.RUNTIME_CLASSES,
    "runtimeclass",
    columns=(Column("Handler"), _AGE),
    row=lambda body, now: (body.get("handler", ""), age_of(body, now)),
    validate=all_of(needed("handler"), _check_runtime, unchanged("handler")),
    free_finalizers=True,
    created_by_put=True,
    looks=2,
)
