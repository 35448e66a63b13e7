"""What whoever runs a job may say of it: its end is said once, whole, and stays.

Source: k8s.io/kubernetes v1.36 pkg/apis/batch/validation (ValidateJobStatusUpdate) and
pkg/registry/batch/job/strategy.go (getStatusValidationOptions): most rules look only at what
moved, so that a status that broke one before can still be written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from poolwright.kubesim.kinds.cell import instant
from poolwright.kubesim.status import Cause, invalid, required
from poolwright.model.json_value import Json, child, children

_COUNTS = ("active", "succeeded", "failed", "ready", "terminating")
_LASTING = ("Failed", "Complete", "FailureTarget")
_CONDITIONS = "conditions"
_FINISHED, _MET = "Finished", "SuccessCriteriaMet"


@dataclass(frozen=True, slots=True)
class _State:
    """A job with the conditions that hold; of one that has ended, ``Finished`` does too."""

    spec: Json
    status: Json
    true: frozenset[str]

    @classmethod
    def of(cls, job: Json) -> _State:
        status = child(job, "status")
        true = {str(c.get("type")) for c in children(status, _CONDITIONS) if _says(c, "True")}
        if true & {"Complete", "Failed"}:
            true.add(_FINISHED)
        return cls(child(job, "spec"), status, frozenset(true))

    def count(self, member: str) -> int:
        return int(self.status.get(member) or 0)

    def has(self, member: str) -> bool:
        return self.status.get(member) is not None

    def holds(self, *conditions: str) -> bool:
        return self.true.issuperset(conditions)


def _says(condition: Json, status: str) -> bool:
    return condition.get("status") == status


def _ends_before_it_starts(job: _State) -> bool:
    start, end = (instant(job.status.get(name)) for name in ("startTime", "completionTime"))
    return start is not None and end is not None and end < start


_Test = Callable[[_State], bool]
_RULES: tuple[tuple[tuple[str, ...], _Test, str, str], ...] = (
    (("Complete", "Failed"), lambda job: job.holds("Complete", "Failed"),
     _CONDITIONS, "cannot set Complete=True and Failed=true conditions"),
    (("Complete", "FailureTarget"), lambda job: job.holds("Complete", "FailureTarget"),
     _CONDITIONS, "cannot set Complete=True and FailureTarget=true conditions"),
    (("Complete", "completionTime"),
     lambda job: job.has("completionTime") and not job.holds("Complete"),
     "completionTime", "cannot set completionTime when there is no Complete=True condition"),
    (("Complete", "completionTime"),
     lambda job: job.holds("Complete") and not job.has("completionTime"),
     "completionTime", "completionTime is required for Complete jobs"),
    (("startTime", "completionTime"), _ends_before_it_starts,
     "completionTime", "must be equal to or after `startTime`"),
    (("Failed", "failedIndexes"),
     lambda job: job.holds("Failed") and not job.holds("FailureTarget"),
     _CONDITIONS, "cannot set Failed=True condition without the FailureTarget=true condition"),
    (("Complete", _MET), lambda job: job.holds("Complete") and not job.holds(_MET),
     _CONDITIONS, "cannot set Complete=True condition without the SuccessCriteriaMet=true"
     " condition"),
    ((_FINISHED, "active"), lambda job: job.holds(_FINISHED) and job.count("active") > 0,
     "active", "active>0 is invalid for finished job"),
    ((_FINISHED, "startTime"),
     lambda job: job.holds(_FINISHED) and not job.has("startTime")
     and not (job.spec.get("suspend") and job.spec.get("completions") == 0),
     "startTime", "startTime is required for finished job"),
    (("completedIndexes",),
     lambda job: bool(job.status.get("completedIndexes"))
     and job.spec.get("completionMode") != "Indexed",
     "completedIndexes",
     "cannot set non-empty completedIndexes when non-indexed completion mode"),
    (("failedIndexes",),
     lambda job: job.has("failedIndexes") and job.spec.get("backoffLimitPerIndex") is None,
     "failedIndexes", "cannot set non-null failedIndexes when backoffLimitPerIndex is null"),
    ((_FINISHED, "terminating"),
     lambda job: job.holds(_FINISHED) and job.count("terminating") > 0,
     "terminating", "terminating>0 is invalid for finished job"),
    (("ready", "active"), lambda job: job.has("ready") and job.count("ready") > job.count("active"),
     "ready", "cannot set more ready pods than active"),
    ((), lambda job: job.holds(_MET, "Failed"),
     _CONDITIONS, "cannot set SuccessCriteriaMet=True and Failed=true conditions"),
    ((), lambda job: job.holds(_MET, "FailureTarget"),
     _CONDITIONS, "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions"),
    ((), lambda job: job.spec.get("successPolicy") is not None and job.holds("Complete")
     and not job.holds(_MET),
     _CONDITIONS,
     "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True"),
)  # fmt: skip
"""What must have moved (nothing: always), what is wrong then, where, and in which words."""


def check_job_status(new: Mapping[str, Any], old: Mapping[str, Any]) -> list[Cause]:
    """Why a job's status must not be written so."""
    after, before = _State.of(new), _State.of(old)
    causes = [
        invalid(f"status.{name}", after.count(name), "must be greater than or equal to 0")
        for name in _COUNTS
        if after.count(name) < 0
    ]
    for watched, is_wrong, member, why in _RULES:
        if is_wrong(after) and (not watched or any(_moved(n, before, after) for n in watched)):
            causes.append(_cause(after, member, why))
    return [*causes, *_check_changes(after, before)]


def _moved(name: str, before: _State, after: _State) -> bool:
    if name[0].isupper():
        return before.holds(name) != after.holds(name)
    return before.status.get(name) != after.status.get(name)


def _cause(job: _State, member: str, why: str) -> Cause:
    where = f"status.{member}"
    if member == _CONDITIONS:
        return Cause("FieldValueInvalid", where, f"Invalid value: {why}")
    if " is required for " in why:
        return required(where, why)
    return invalid(where, job.status.get(member), why)


def _check_changes(after: _State, before: _State) -> Iterator[Cause]:
    for name in _LASTING:
        if before.holds(name) and not after.holds(name):
            yield _cause(after, _CONDITIONS, f"cannot disable the terminal {name}=True condition")
    spec = after.spec
    is_elastic = spec.get("completionMode") == "Indexed" and (
        spec.get("completions") == spec.get("parallelism")
    )
    for name in ("failed", "succeeded"):
        is_free = name == "succeeded" and is_elastic
        if after.count(name) < before.count(name) and not is_free:
            why = f"cannot decrease the {name} counter"
            yield invalid(f"status.{name}", after.count(name), why)
    both_end = after.has("completionTime") and before.has("completionTime")
    if both_end and _moved("completionTime", before, after):
        yield _cause(after, "completionTime", "field is immutable")
    resumes = before.holds("Suspended") and any(
        c.get("type") == "Suspended" and _says(c, "False")
        for c in children(after.status, _CONDITIONS)
    )
    may_start = bool(spec.get("suspend")) or resumes or not before.has("startTime")
    if _moved("startTime", before, after) and not may_start:
        yield _cause(after, "startTime", "field is immutable for unsuspended job once set")
    if before.holds(_MET) and not after.holds(_MET):
        yield _cause(after, _CONDITIONS, "cannot disable the SuccessCriteriaMet=True condition")
    if before.holds("Complete") and not before.holds(_MET) and after.holds(_MET):
        why = "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions"
        yield _cause(after, _CONDITIONS, why)
