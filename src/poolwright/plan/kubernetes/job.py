"""Jobs: pods that run to completion.

Finished pods are counted once: a finalizer holds each until its uid stands in
``uncountedTerminatedPods``, and the count follows when the finalizer is gone.

Source: k8s.io/kubernetes v1.35 pkg/controller/job.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from poolwright.model.instant import Instant, Now, wall_text
from poolwright.model.json_value import Json, child, children
from poolwright.model.kubernetes import JOBS, PODS
from poolwright.model.pod import Pod
from poolwright.plan.kubernetes.action import (
    Action,
    CreateObject,
    DeleteObject,
    PatchObject,
    Plan,
    RecordEvent,
    Target,
    condition,
    earliest,
    patch_status,
    with_condition,
)
from poolwright.plan.kubernetes.template import pod_from

CONTROLLER = "job-controller"
FINALIZER = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"
STARTED_AT = "poolwright.dev/started-at"
FINISHED_AT = "poolwright.dev/finished-at"
_BACKOFF_FIRST = timedelta(seconds=10)  # job_controller.go, DefaultJobPodFailureBackOff
_BACKOFF_MOST = timedelta(minutes=10)  # MaxJobPodFailureBackOff


@dataclass(frozen=True, slots=True)
class JobPod:
    """A pod of a job: what counting needs. ``finished_at``: when it was first seen so (world)."""

    pod: Pod
    is_tracked: bool
    finished_at: Instant | None = None

    @property
    def has_failed(self) -> bool:
        """Failed, or on its way out before it succeeded."""
        return self.pod.phase == "Failed" or (self.pod.deleting and self.pod.phase != "Succeeded")

    @property
    def index(self) -> int | None:
        """The completion index, of an indexed job's pod."""
        text = self.pod.annotations.get(INDEX, "")
        return int(text) if text.isdigit() else None


@dataclass(frozen=True, slots=True)
class _Job:
    wire: Json
    target: Target
    parallelism: int
    completions: int | None
    limit: int
    indexed: bool
    suspended: bool

    @classmethod
    def of(cls, wire: Json) -> _Job:
        spec = child(wire, "spec")

        def number(name: str, default: int) -> int:
            value = spec.get(name)
            return default if value is None else int(value)

        completions = spec.get("completions")
        parallelism = number("parallelism", 1)
        if completions is None and spec.get("parallelism") is None:
            completions = 1
        return cls(
            wire,
            Target.of(JOBS, wire),
            parallelism,
            completions,
            number("backoffLimit", 6),
            spec.get("completionMode") == "Indexed",
            bool(spec.get("suspend")),
        )


@dataclass(frozen=True, slots=True)
class _Counted:
    """Pods that ended, by what the status holds and what is still to be taken into it."""

    succeeded: int
    failed: int
    waiting_succeeded: tuple[str, ...]
    waiting_failed: tuple[str, ...]
    newly: tuple[JobPod, ...]

    @property
    def all_succeeded(self) -> int:
        return self.succeeded + len(self.waiting_succeeded)

    @property
    def all_failed(self) -> int:
        return self.failed + len(self.waiting_failed)


def finished_condition(wire: Json) -> str:
    """``Complete`` or ``Failed`` once the job has ended, else empty."""
    for type_ in ("Complete", "Failed"):
        if condition(wire, type_).get("status") == "True":
            return type_
    return ""


def instant_in(wire: Json, annotation: str) -> Instant | None:
    """The world instant that an annotation of ours keeps."""
    text = str(child(wire, "metadata", "annotations").get(annotation) or "")
    return Instant(int(text)) if text.isdigit() else None


def _count(wire: Json, pods: Sequence[JobPod]) -> _Counted:
    status = child(wire, "status")
    tracked = {p.pod.uid for p in pods if p.is_tracked}
    known = child(status, "uncountedTerminatedPods")
    old_succeeded: list[str] = list(known.get("succeeded") or ())
    old_failed: list[str] = list(known.get("failed") or ())
    succeeded = int(status.get("succeeded") or 0) + sum(u not in tracked for u in old_succeeded)
    failed = int(status.get("failed") or 0) + sum(u not in tracked for u in old_failed)
    waiting = {*old_succeeded, *old_failed}
    newly = tuple(
        p
        for p in pods
        if p.is_tracked
        and p.pod.uid not in waiting
        and (p.pod.phase == "Succeeded" or p.has_failed)
    )
    return _Counted(
        succeeded,
        failed,
        tuple(u for u in old_succeeded if u in tracked)
        + tuple(p.pod.uid for p in newly if p.pod.phase == "Succeeded"),
        tuple(u for u in old_failed if u in tracked)
        + tuple(p.pod.uid for p in newly if p.pod.phase != "Succeeded"),
        newly,
    )


def plan_job(wire: Json, pods: Sequence[JobPod], now: Now) -> Plan:
    """Move a job one step: count what ended, decide whether it is over, start what is missing."""
    job = _Job.of(wire)
    counted = _count(wire, pods)
    released = _release(wire, pods)
    if finished_condition(wire):
        return _after_the_end(job, pods, counted, released, now)
    if "deletionTimestamp" in wire["metadata"]:
        return Plan(tuple(released))
    active = [p for p in pods if not p.pod.is_finished and not p.pod.deleting]
    started_at = instant_in(wire, STARTED_AT)
    verdict = _verdict(job, counted, active, started_at, now)
    if verdict is not None:
        return Plan((*_end(job, active, counted, verdict, now), *released))
    actions: list[Action] = list(released)
    wake_at: Instant | None = None
    status = _status(job, pods, active, counted)
    if job.suspended:
        actions.extend(_stop(job, active, "it is suspended"))
        status.update(_suspend(job, now))
    else:
        if started_at is None:
            note = {STARTED_AT: str(now.world.micros)}
            patch = {"metadata": {"annotations": note}}
            actions.append(PatchObject(job.target, patch, "its active deadline counts from now"))
            started_at = now.world
        if not child(wire, "status").get("startTime"):
            status["startTime"] = wall_text(now.wall)
        if condition(wire, "Suspended").get("status") == "True":
            status.update(_resume(job, now, actions))
        wake_at = _staff(job, pods, active, counted, now, actions)
        deadline = child(wire, "spec").get("activeDeadlineSeconds")
        if deadline is not None:
            wake_at = earliest(wake_at, started_at.after(timedelta(seconds=int(deadline))))
    actions.extend(patch_status(job.target, wire, status, "the numbers moved"))
    return Plan(tuple(actions), wake_at)


def _release(wire: Json, pods: Sequence[JobPod]) -> list[Action]:
    """Take the finalizer from pods whose end the status already holds."""
    known = child(wire, "status", "uncountedTerminatedPods")
    written = {*(known.get("succeeded") or ()), *(known.get("failed") or ())}
    ended = bool(finished_condition(wire)) or "deletionTimestamp" in wire["metadata"]
    return [
        PatchObject(
            Target(PODS, p.pod.namespace, p.pod.name, p.pod.uid),
            {"metadata": {"finalizers": None}},
            "its end is counted",
            revision=p.pod.revision,
        )
        for p in pods
        if p.is_tracked and (p.pod.uid in written or ended)
    ]


def _verdict(
    job: _Job,
    counted: _Counted,
    active: Sequence[JobPod],
    started_at: Instant | None,
    now: Now,
) -> tuple[str, str, str] | None:
    """How the job is over: condition, reason, message; None if it is not."""
    deadline = child(job.wire, "spec").get("activeDeadlineSeconds")
    restarts = sum(p.pod.restarts for p in active)
    if counted.all_failed + restarts > job.limit:
        words = "Job has reached the specified backoff limit"
        return "Failed", "BackoffLimitExceeded", words
    if (
        deadline is not None
        and started_at is not None
        and not job.suspended
        and started_at.after(timedelta(seconds=int(deadline))) <= now.world
    ):
        words = "Job was active longer than specified deadline"
        return "Failed", "DeadlineExceeded", words
    if job.completions is None:
        is_done = counted.all_succeeded > 0 and not active
    else:
        is_done = counted.all_succeeded >= job.completions and not active
    if is_done:
        return "Complete", "CompletionsReached", "Reached expected number of succeeded pods"
    return None


def _end(
    job: _Job,
    active: Sequence[JobPod],
    counted: _Counted,
    verdict: tuple[str, str, str],
    now: Now,
) -> list[Action]:
    type_, reason, message = verdict
    actions = _stop(job, active, message)
    before = "SuccessCriteriaMet" if type_ == "Complete" else "FailureTarget"
    conditions = children(job.wire, "status", "conditions")
    for each in (before, type_):
        conditions = with_condition(
            conditions, each, "True", reason, message, now.wall, clocks=("lastProbeTime",)
        )
    status: dict[str, Any] = {
        "conditions": conditions,
        "active": None,
        "ready": 0,
        "succeeded": counted.all_succeeded or None,
        "failed": counted.all_failed + len(active) or None,
        "terminating": 0,
        "uncountedTerminatedPods": None,
        "startTime": child(job.wire, "status").get("startTime") or wall_text(now.wall),
    }
    if job.indexed:
        status["completedIndexes"] = _intervals(_done_indexes(job, counted.newly)) or None
    if type_ == "Complete":
        status["completionTime"] = wall_text(now.wall)
    note = {"metadata": {"annotations": {FINISHED_AT: str(now.world.micros)}}}
    actions.append(PatchObject(job.target, note, "its time to live counts from now"))
    actions.extend(patch_status(job.target, job.wire, status, message))
    told = ("Completed", "Job completed", "Normal")
    if type_ == "Failed":
        told = (reason, message, "Warning")
    actions.append(RecordEvent(job.target, told[0], told[1], CONTROLLER, told[2]))
    return actions


def _after_the_end(
    job: _Job,
    pods: Sequence[JobPod],
    counted: _Counted,
    released: list[Action],
    now: Now,
) -> Plan:
    active = [p for p in pods if not p.pod.is_finished and not p.pod.deleting]
    actions = [*_stop(job, active, "the job has ended"), *released]
    ttl = child(job.wire, "spec").get("ttlSecondsAfterFinished")
    finished_at = instant_in(job.wire, FINISHED_AT)
    if ttl is None or finished_at is None or "deletionTimestamp" in job.wire["metadata"]:
        return Plan(tuple(actions))
    expires = finished_at.after(timedelta(seconds=int(ttl)))
    if expires > now.world:
        return Plan(tuple(actions), expires)
    because = "ttlSecondsAfterFinished has passed"
    actions.append(DeleteObject(job.target, because, propagation="Foreground"))
    return Plan(tuple(actions))


def _stop(job: _Job, active: Sequence[JobPod], because: str) -> list[Action]:
    actions: list[Action] = []
    for each in active:
        pod = each.pod
        actions.append(DeleteObject(Target(PODS, pod.namespace, pod.name, pod.uid), because))
        words = f"Deleted pod: {pod.name}"
        actions.append(RecordEvent(job.target, "SuccessfulDelete", words, CONTROLLER))
    return actions


def _status(
    job: _Job, pods: Sequence[JobPod], active: Sequence[JobPod], counted: _Counted
) -> dict[str, Any]:
    waiting = {
        "succeeded": list(counted.waiting_succeeded) or None,
        "failed": list(counted.waiting_failed) or None,
    }
    status: dict[str, Any] = {
        "active": len(active) or None,
        "ready": sum(p.pod.is_ready for p in active),
        "succeeded": counted.succeeded or None,
        "failed": counted.failed or None,
        "terminating": sum(p.pod.deleting and not p.pod.is_finished for p in pods),
        "uncountedTerminatedPods": waiting,
    }
    if job.indexed:
        status["completedIndexes"] = _intervals(_done_indexes(job, counted.newly)) or None
    return status


def _suspend(job: _Job, now: Now) -> dict[str, Any]:
    conditions = with_condition(
        children(job.wire, "status", "conditions"),
        "Suspended",
        "True",
        "JobSuspended",
        "Job suspended",
        now.wall,
        clocks=("lastProbeTime",),
    )
    return {"conditions": conditions, "startTime": None}


def _resume(job: _Job, now: Now, actions: list[Action]) -> dict[str, Any]:
    actions.append(RecordEvent(job.target, "Resumed", "Job resumed", CONTROLLER))
    note = {"metadata": {"annotations": {STARTED_AT: str(now.world.micros)}}}
    actions.append(PatchObject(job.target, note, "its active deadline starts over"))
    conditions = with_condition(
        children(job.wire, "status", "conditions"),
        "Suspended",
        "False",
        "JobResumed",
        "Job resumed",
        now.wall,
        clocks=("lastProbeTime",),
    )
    return {"conditions": conditions, "startTime": wall_text(now.wall)}


def _staff(
    job: _Job,
    pods: Sequence[JobPod],
    active: Sequence[JobPod],
    counted: _Counted,
    now: Now,
    actions: list[Action],
) -> Instant | None:
    """Start or stop pods; when to look again if a failure delays the next pod."""
    wanted = job.parallelism
    if job.completions is not None:
        wanted = min(wanted, max(0, job.completions - counted.all_succeeded))
    elif counted.all_succeeded:
        wanted = min(wanted, len(active))
    if len(active) > wanted:
        surplus = sorted(active, key=lambda p: (p.pod.is_ready, p.pod.created, p.pod.name))
        actions.extend(_stop(job, surplus[: len(active) - wanted], f"{wanted} may run at once"))
        return None
    missing = wanted - len(active)
    if not missing:
        return None
    ends = [p.finished_at for p in pods if p.has_failed and p.finished_at is not None]
    if counted.all_failed and ends:
        wait = min(_BACKOFF_FIRST * 2 ** min(counted.all_failed - 1, 10), _BACKOFF_MOST)
        not_before = max(ends).after(wait)
        if not_before > now.world:
            return not_before
    indexes = _free_indexes(job, active, counted, missing) if job.indexed else [None] * missing
    told = RecordEvent(job.target, "SuccessfulCreate", "Created pod: {name}", CONTROLLER)
    because = f"{len(active)} of {wanted} pods run"
    for index in indexes:
        actions.append(CreateObject(PODS, _pod(job, index), because, told))
    return None


def _pod(job: _Job, index: int | None) -> dict[str, Any]:
    meta = job.wire["metadata"]
    labels = {
        "batch.kubernetes.io/controller-uid": meta["uid"],
        "batch.kubernetes.io/job-name": meta["name"],
        "controller-uid": meta["uid"],
        "job-name": meta["name"],
    }
    if index is not None:
        labels[INDEX] = str(index)
    body = pod_from(JOBS, job.wire, child(job.wire, "spec", "template"), labels=labels)
    body["metadata"]["finalizers"] = [FINALIZER]
    if index is None:
        return body
    body["metadata"]["generateName"] = f"{meta['name']}-{index}-"
    body["metadata"]["annotations"] = {**body["metadata"].get("annotations", {}), INDEX: str(index)}
    path = f"metadata.labels['{INDEX}']"
    variable = {
        "name": "JOB_COMPLETION_INDEX",
        "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}},
    }
    body["spec"]["hostname"] = f"{meta['name']}-{index}"
    body["spec"]["containers"] = [
        {**c, "env": [*(c.get("env") or ()), variable]} for c in body["spec"].get("containers", ())
    ]
    return body


def _done_indexes(job: _Job, newly: Sequence[JobPod]) -> list[int]:
    done: set[int] = set()
    for part in str(child(job.wire, "status").get("completedIndexes") or "").split(","):
        first, _, last = part.partition("-")
        if first.isdigit():
            done.update(range(int(first), int(last or first) + 1))
    done.update(p.index for p in newly if p.pod.phase == "Succeeded" and p.index is not None)
    return sorted(done)


def _free_indexes(
    job: _Job, active: Sequence[JobPod], counted: _Counted, missing: int
) -> Sequence[int]:
    taken = {*_done_indexes(job, counted.newly), *(p.index for p in active)}
    free: list[int] = []
    for index in range(job.completions or 0):
        if len(free) == missing:
            break
        if index not in taken:
            free.append(index)
    return free


def _intervals(numbers: Sequence[int]) -> str:
    """``0,2-5``: sorted numbers, with runs of three and more as ranges."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and parts[-1][-1] == number - 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ",".join(
        f"{run[0]}-{run[-1]}" if len(run) > 2 else ",".join(map(str, run)) for run in parts
    )
