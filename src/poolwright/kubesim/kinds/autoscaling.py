"""Horizontal pod autoscalers and cron jobs, as objects.

Source of defaults, rules and columns: k8s.io/kubernetes pkg/apis/{autoscaling,batch} and
pkg/printers/internalversion/printers.go.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from poolwright.kubesim.kinds.cell import NONE, UNKNOWN, age, age_of, number, selector_text
from poolwright.kubesim.kinds.declare import (
    all_of,
    at_least,
    defaults,
    needed,
    one_of,
    starts_with_status,
)
from poolwright.kubesim.kinds.kind import Body, Column, ObjectKind
from poolwright.kubesim.kinds.pod_spec import check_pod_spec
from poolwright.kubesim.kinds.warning import of_workload
from poolwright.kubesim.kinds.workload import (
    check_job_restart,
    default_template_of,
    template_columns,
)
from poolwright.kubesim.status import Cause, forbidden, invalid, required
from poolwright.model import kubernetes as names
from poolwright.model.json_value import Json, child, children

_AGE = Column("Age")


# HorizontalPodAutoscaler

_SHOWN_MAX = 2
_SOURCES = {
    "ContainerResource": "containerResource",
    "External": "external",
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
}
_DEFAULT_METRIC = {
    "type": "Resource",
    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
}
_UP_POLICIES = [
    {"type": "Pods", "value": 4, "periodSeconds": 15},
    {"type": "Percent", "value": 100, "periodSeconds": 15},
]
_DOWN_POLICIES = [{"type": "Percent", "value": 100, "periodSeconds": 15}]


def _behavior(body: Body) -> None:
    behavior: Body = body["spec"].get("behavior")
    if not behavior:
        return
    for member, policies in (("scaleUp", _UP_POLICIES), ("scaleDown", _DOWN_POLICIES)):
        rules: Any = behavior.setdefault(member, {})
        if member == "scaleUp":
            rules.setdefault("stabilizationWindowSeconds", 0)
        rules.setdefault("selectPolicy", "Max")
        rules.setdefault("policies", [dict(policy) for policy in policies])


def _metric(spec: Json, status: Json) -> str:
    """One metric: what is, and what is wanted."""
    member = _SOURCES.get(str(spec.get("type")), "")
    target, current = child(spec, member, "target"), child(status, member, "current")
    resource = f"{child(spec, member).get('name')}: " if "esource" in member else ""
    if "averageValue" in target:
        suffix = " (avg)" if member in {"external", "object"} else ""
        return f"{resource}{current.get('averageValue', UNKNOWN)}/{target['averageValue']}{suffix}"
    if resource:
        used, wanted = current.get("averageUtilization"), target.get("averageUtilization")
        shown = UNKNOWN if used is None else f"{used}%"
        return f"{resource}{shown}/{'<auto>' if wanted is None else f'{wanted}%'}"
    return f"{current.get('value', UNKNOWN)}/{target.get('value', '')}"


def _autoscaler_row(body: Mapping[str, Any], now: datetime) -> Sequence[Any]:
    spec, target = child(body, "spec"), child(body, "spec", "scaleTargetRef")
    current = children(body, "status", "currentMetrics")
    metrics = [
        _metric(metric, current[position] if position < len(current) else {})
        for position, metric in enumerate(children(body, "spec", "metrics"))
    ]
    shown = ", ".join(metrics[:_SHOWN_MAX]) or NONE
    if len(metrics) > _SHOWN_MAX:
        shown += f" + {len(metrics) - _SHOWN_MAX} more..."
    return (
        f"{target.get('kind', '')}/{target.get('name', '')}",
        shown,
        str(spec.get("minReplicas", "<unset>")),
        number(body, "spec", "maxReplicas"),
        number(body, "status", "currentReplicas"),
        age_of(body, now),
    )


def _check_target(new: Mapping[str, Any], _old: Mapping[str, Any] | None) -> Iterator[Cause]:
    version = str(child(new, "spec", "scaleTargetRef").get("apiVersion") or "")
    if "/" not in version and child(new, "spec", "scaleTargetRef").get("kind") != (
        "ReplicationController"
    ):
        where = "spec.scaleTargetRef.apiVersion"
        yield invalid(where, version, "apiVersion must specify API group")


def _check_zero(new: Mapping[str, Any], _old: Mapping[str, Any] | None) -> Iterator[Cause]:
    types = {metric.get("type") for metric in children(new, "spec", "metrics")}
    if child(new, "spec").get("minReplicas") == 0 and not types & {"Object", "External"}:
        why = "must specify at least one Object or External metric to support scaling to zero"
        yield forbidden("spec.metrics", f"{why} replicas")


def _check_bounds(new: Mapping[str, Any], _old: Mapping[str, Any] | None) -> Iterator[Cause]:
    low, high = number(new, "spec", "minReplicas"), number(new, "spec", "maxReplicas")
    if not high:
        yield required("spec.maxReplicas", "must be set and greater than 0")
    elif high < 0:
        yield invalid("spec.maxReplicas", high, "must be greater than or equal to 1")
    if high < low:
        yield invalid("spec.maxReplicas", high, "must be greater than or equal to `minReplicas`")


HORIZONTAL_POD_AUTOSCALER = ObjectKind(
    names.HORIZONTAL_POD_AUTOSCALERS,
    "horizontalpodautoscaler",
    ("hpa",),
    ("all",),
    ("status",),
    columns=(
        Column("Reference"),
        Column("Targets"),
        Column("MinPods"),
        Column("MaxPods"),
        Column("Replicas"),
        _AGE,
    ),
    row=_autoscaler_row,
    default=defaults({"spec.minReplicas": 1, "spec.metrics": [_DEFAULT_METRIC]}, _behavior),
    prepare=starts_with_status({"currentMetrics": None, "desiredReplicas": 0}),
    validate=all_of(
        at_least(1, "spec.minReplicas"),
        _check_bounds,
        needed("spec.scaleTargetRef.kind", "spec.scaleTargetRef.name"),
        _check_target,
        one_of("spec.metrics[].type", tuple(_SOURCES)),
        _check_zero,
    ),
)


# CronJob

_MACROS = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")
_FIELD = re.compile(r"[\w*?,/\-]+")


def _schedule_problem(schedule: str) -> str:
    """What is wrong with a schedule, as robfig/cron words it; empty if nothing is."""
    if schedule in _MACROS or schedule.startswith("@every "):
        return ""
    fields = schedule.split()
    if len(fields) != 5:
        return f"expected exactly 5 fields, found {len(fields)}: {fields}".replace("'", "")
    bad = next((field for field in fields if not _FIELD.fullmatch(field)), "")
    return f"failed to parse int from {bad}" if bad else ""


_CRON_NAME_MAX = 52


def _check_cron(new: Mapping[str, Any], _old: Mapping[str, Any] | None) -> Iterator[Cause]:
    schedule = str(child(new, "spec").get("schedule") or "")
    if not schedule:
        yield required("spec.schedule")
    elif "TZ" in schedule:
        yield invalid(
            "spec.schedule",
            schedule,
            "cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
        )
    elif problem := _schedule_problem(schedule):
        yield invalid("spec.schedule", schedule, problem)
    template = child(new, "spec", "jobTemplate", "spec", "template", "spec")
    path = "spec.jobTemplate.spec.template.spec"
    yield from check_pod_spec(template, path)
    yield from check_job_restart(new, path)
    name = str(new["metadata"].get("name") or "")
    if len(name) > _CRON_NAME_MAX:  # its jobs add eleven characters
        yield invalid("metadata.name", name, f"must be no more than {_CRON_NAME_MAX} characters")


def _cron_template(body: Body) -> None:
    default_template_of(body["spec"].setdefault("jobTemplate", {}).setdefault("spec", {}))


def _cron_row(body: Mapping[str, Any], now: datetime) -> Sequence[Any]:
    spec, job = child(body, "spec"), child(body, "spec", "jobTemplate", "spec")
    last = child(body, "status").get("lastScheduleTime")
    found = children(job, "template", "spec", "containers")
    return (
        spec.get("schedule", ""),
        spec.get("timeZone") or NONE,
        "True" if spec.get("suspend") else "False",
        len(children(body, "status", "active")),
        age(last, now) if last else NONE,
        age_of(body, now),
        ",".join(str(c.get("name", "")) for c in found),
        ",".join(str(c.get("image", "")) for c in found),
        selector_text(job.get("selector")),
    )


CRON_JOB = ObjectKind(
    names.CRON_JOBS,
    "cronjob",
    ("cj",),
    ("all",),
    ("status",),
    columns=(
        Column("Schedule"),
        Column("Timezone"),
        Column("Suspend", "boolean"),
        Column("Active", "integer"),
        Column("Last Schedule"),
        _AGE,
        *template_columns(),
    ),
    row=_cron_row,
    default=defaults(
        {
            "spec.concurrencyPolicy": "Allow",
            "spec.suspend": False,
            "spec.successfulJobsHistoryLimit": 3,
            "spec.failedJobsHistoryLimit": 1,
        },
        _cron_template,
    ),
    prepare=starts_with_status({}),
    validate=all_of(
        _check_cron,
        one_of("spec.concurrencyPolicy", ("Allow", "Forbid", "Replace")),
        at_least(
            0, "spec.startingDeadlineSeconds", "spec.successfulJobsHistoryLimit",
            "spec.failedJobsHistoryLimit",
        ),
    ),
    warn=of_workload,
    has_generation=True,
)  # fmt: skip
