"""Cron jobs, as objects.

Source of defaults, rules and columns: k8s.io/kubernetes v1.36 pkg/apis/batch and
pkg/printers/internalversion/printers.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from poolwright.kubesim.kinds.cell import NONE, age, age_of, selector_text
from poolwright.kubesim.kinds.declare import (
    all_of,
    at_least,
    defaults,
    one_of,
    starts_with_status,
)
from poolwright.kubesim.kinds.job import check_job_spec
from poolwright.kubesim.kinds.kind import Body, Column, ObjectKind
from poolwright.kubesim.kinds.schedule import is_zone, schedule_problem
from poolwright.kubesim.kinds.warning import of_workload
from poolwright.kubesim.kinds.workload import default_template_of, template_columns
from poolwright.kubesim.status import Cause, invalid, not_supported, required
from poolwright.model import kubernetes as names
from poolwright.model.json_value import child, children

_AGE = Column("Age")

_CRON_NAME_MAX = 52


def _check_schedule(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> Iterator[Cause]:
    schedule, where = str(child(new, "spec").get("schedule") or ""), "spec.schedule"
    zoned_before = old is not None and "TZ" in str(child(old, "spec").get("schedule") or "")
    if not schedule:
        yield required(where)
        return
    problem = schedule_problem(schedule)
    if problem:
        yield invalid(where, schedule, problem)
    if "TZ" not in schedule:
        return
    if not zoned_before:
        why = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
        yield invalid(where, schedule, why)
    elif child(new, "spec").get("timeZone") is not None:
        why = "cannot use both timeZone field and TZ or CRON_TZ in schedule"
        yield invalid(where, schedule, why)


def _check_zone(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> Iterator[Cause]:
    zone, where = child(new, "spec").get("timeZone"), "spec.timeZone"
    if zone is None or (old is not None and child(old, "spec").get("timeZone") == zone):
        return
    if not zone:
        yield invalid(where, zone, "timeZone must be nil or non-empty string")
    elif zone.lower() == "local":
        why = "timeZone must be an explicit time zone as defined in"
        yield invalid(where, zone, f"{why} https://www.iana.org/time-zones")
    elif not is_zone(zone):
        yield invalid(where, zone, f"unknown time zone {zone}")


def _check_cron(new: Mapping[str, Any], _old: Mapping[str, Any] | None) -> Iterator[Cause]:
    path = "spec.jobTemplate.spec"
    yield from check_job_spec(new, path)
    spec = child(new, "spec", "jobTemplate", "spec")
    if spec.get("selector") is not None:
        why = "`selector` will be auto-generated"
        yield invalid(f"{path}.selector", spec["selector"], why)
    if spec.get("manualSelector"):
        yield not_supported(f"{path}.manualSelector", spec["manualSelector"], ("nil", "false"))
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
        _check_schedule,
        at_least(0, "spec.startingDeadlineSeconds"),
        _check_zone,
        one_of("spec.concurrencyPolicy", ("Allow", "Forbid", "Replace")),
        _check_cron,
        at_least(0, "spec.successfulJobsHistoryLimit", "spec.failedJobsHistoryLimit"),
    ),
    warn=of_workload,
    has_generation=True,
)
