"""Disruption budgets, as objects.

Source of defaults and rules: k8s.io/kubernetes v1.36 pkg/apis/policy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from poolwright.kubesim.kinds.cell import age_of, number
from poolwright.kubesim.kinds.kind import Body, Column, ObjectKind
from poolwright.kubesim.kinds.pod_placement import check_label_selector
from poolwright.kubesim.kinds.workload import check_amount_or_percent
from poolwright.kubesim.status import Cause, invalid, not_supported
from poolwright.model import kubernetes as names
from poolwright.model.json_value import child

_AGE = Column("Age")


def _budget_prepare(body: Body, old: Mapping[str, Any] | None) -> None:
    body.setdefault("spec", {})
    if old is None:
        body["status"] = {
            "currentHealthy": 0,
            "desiredHealthy": 0,
            "disruptionsAllowed": 0,
            "expectedPods": 0,
        }


_EVICTION_POLICIES = ("AlwaysAllow", "IfHealthyBudget")


def _budget_validate(new: Mapping[str, Any], _old: Mapping[str, Any] | None) -> Sequence[Cause]:
    spec = child(new, "spec")
    least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
    policy = spec.get("unhealthyPodEvictionPolicy")
    causes: list[Cause] = []
    if least is not None and most is not None:
        shown = {  # as Go prints its own type
            "MinAvailable": least,
            "Selector": spec.get("selector"),
            "MaxUnavailable": most,
            "UnhealthyPodEvictionPolicy": policy,
        }
        why = "minAvailable and maxUnavailable cannot be both set"
        causes.append(invalid("spec", shown, why))
    for member in ("minAvailable", "maxUnavailable"):
        causes.extend(check_amount_or_percent(new, f"spec.{member}", most=100))
    causes.extend(check_label_selector(child(spec, "selector"), "spec.selector"))
    if policy is not None and policy not in _EVICTION_POLICIES:
        where = "spec.unhealthyPodEvictionPolicy"
        causes.append(not_supported(where, policy, _EVICTION_POLICIES))
    return causes


def _budget_row(body: Mapping[str, Any], now: datetime) -> Sequence[Any]:
    spec = child(body, "spec")
    given = (spec.get("minAvailable"), spec.get("maxUnavailable"))
    return (
        *("N/A" if value is None else str(value) for value in given),
        number(body, "status", "disruptionsAllowed"),
        age_of(body, now),
    )


POD_DISRUPTION_BUDGET = ObjectKind(
    names.POD_DISRUPTION_BUDGETS,
    "poddisruptionbudget",
    ("pdb",),
    (),
    ("status",),
    columns=(
        Column("Min Available"),
        Column("Max Unavailable"),
        Column("Allowed Disruptions", "integer"),
        _AGE,
    ),
    row=_budget_row,
    prepare=_budget_prepare,
    validate=_budget_validate,
    name_rule="path",
    free_finalizers=True,
    has_generation=True,
    looks=0,
)
