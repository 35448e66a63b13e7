"""Jobs: pods that run to completion.

Finished pods are counted once: a finalizer holds each until its uid stands in
``uncountedTerminatedPods``, and the count follows when the finalizer is gone. A job that is over
says so at once (``SuccessCriteriaMet``, ``FailureTarget``) and ends when its last pod has.

Source: k8s.io/kubernetes v1.36 pkg/controller/job.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
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
from poolwright.plan.kubernetes.job_count import (
    INDEX,
    INDEX_FAILURES,
    Counted,
    JobPod,
    JobSpec,
    count,
    success_rule,
)
from poolwright.plan.kubernetes.template import pod_from

CONTROLLER = "job-controller"
FINALIZER = "batch.kubernetes.io/job-tracking"
JOB_NAME = "batch.kubernetes.io/job-name"
STARTED_AT = "poolwright.dev/started-at"
FINISHED_AT = "poolwright.dev/finished-at"
_BACKOFF_FIRST = timedelta(seconds=10)  # job_controller.go, DefaultJobPodFailureBackOff
_BACKOFF_MOST = timedelta(minutes=10)  # MaxJobPodFailureBackOff
_STARTED_AT_ONCE_MAX = 500  # MaxPodCreateDeletePerSync; each new pod has the job looked at again
_OURSELVES = "kubernetes.io/job-controller"

Verdict = tuple[str, str, str]
"""``Complete`` or ``Failed``, reason, message."""

_INTERIM = {"Complete": "SuccessCriteriaMet", "Failed": "FailureTarget"}

_MICROS = re.compile(r"[0-9]{1,18}")


def finished_condition(wire: Json) -> str:
    """``Complete`` or ``Failed`` once the job has ended, else empty."""
    for type_ in _INTERIM:
        if condition(wire, type_).get("status") == "True":
            return type_
    return ""


def instant_in(wire: Json, annotation: str) -> Instant | None:
    """The world instant that an annotation of ours keeps."""
    text = str(child(wire, "metadata", "annotations").get(annotation) or "")
    return Instant(int(text)) if _MICROS.fullmatch(text) else None


def plan_job(wire: Json, pods: Sequence[JobPod], now: Now) -> Plan:
    """Move a job one step: count what ended, decide whether it is over, start what is missing."""
    if child(wire, "spec").get("managedBy", _OURSELVES) != _OURSELVES:
        return Plan()
    job = JobSpec.of(wire)
    counted = count(job, pods)
    released = _release(wire, pods, counted)
    if finished_condition(wire):
        return _after_the_end(job, pods, released, now)
    if "deletionTimestamp" in wire["metadata"]:
        return Plan(tuple(released))
    active = [p for p in pods if not p.pod.is_finished and not p.pod.deleting]
    started_at = instant_in(wire, STARTED_AT)
    verdict = _verdict(job, counted, active, started_at, now)
    if verdict is not None:
        return Plan((*_end(job, pods, active, counted, verdict, now), *released))
    actions: list[Action] = list(released)
    wake_at: Instant | None = None
    status = _status(job, pods, active, counted)
    if job.suspended:
        actions.extend(_let_go(job, active, "it is suspended"))
        status.update(_suspend(job, now, actions))
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


def _release(wire: Json, pods: Sequence[JobPod], counted: Counted) -> list[Action]:
    """Take the finalizer from pods whose end the status already holds, or never will."""
    known = child(wire, "status", "uncountedTerminatedPods")
    written = {*(known.get("succeeded") or ()), *(known.get("failed") or ()), *counted.ignored}
    ended = bool(finished_condition(wire)) or "deletionTimestamp" in wire["metadata"]
    return [unhold(p.pod) for p in pods if p.is_tracked and (p.pod.uid in written or ended)]


def unhold(pod: Pod) -> PatchObject:
    """Take the finalizer from a pod that nobody counts any more."""
    left = [f for f in pod.finalizers if f != FINALIZER]
    patch = {"metadata": {"finalizers": left or None}}
    target = Target(PODS, pod.namespace, pod.name, pod.uid)
    return PatchObject(target, patch, "its end is counted", revision=pod.revision)


def _verdict(
    job: JobSpec,
    counted: Counted,
    active: Sequence[JobPod],
    started_at: Instant | None,
    now: Now,
) -> Verdict | None:
    """How the job is over; None if it is not. What was said before stays said."""
    for type_, interim in _INTERIM.items():
        said = condition(job.wire, interim)
        if said.get("status") == "True":
            return type_, str(said.get("reason") or ""), str(said.get("message") or "")
    return _failure(job, counted, active, started_at, now) or _success(job, counted, active)


def _failure(
    job: JobSpec,
    counted: Counted,
    active: Sequence[JobPod],
    started_at: Instant | None,
    now: Now,
) -> Verdict | None:
    spec = child(job.wire, "spec")
    if counted.verdict:
        return "Failed", "PodFailurePolicy", counted.verdict
    if counted.all_failed > job.limit or _restarts_too_often(job, active):
        words = "Job has reached the specified backoff limit"
        return "Failed", "BackoffLimitExceeded", words
    deadline = spec.get("activeDeadlineSeconds")
    if (
        deadline is not None
        and started_at is not None
        and not job.suspended
        and started_at.after(timedelta(seconds=int(deadline))) <= now.world
    ):
        words = "Job was active longer than specified deadline"
        return "Failed", "DeadlineExceeded", words
    most = spec.get("maxFailedIndexes")
    if most is not None and len(counted.lost) > most:
        words = "Job has exceeded the specified maximal number of failed indexes"
        return "Failed", "MaxFailedIndexesExceeded", words
    ended = len(counted.lost) + len(counted.done)
    if counted.lost and job.completions is not None and ended >= job.completions:
        return "Failed", "FailedIndexes", "Job has failed indexes"
    return None


def _restarts_too_often(job: JobSpec, active: Sequence[JobPod]) -> bool:
    """Containers that are restarted in place count as well (pastBackoffLimitOnFailure)."""
    policy = child(job.wire, "spec", "template", "spec").get("restartPolicy")
    restarts = sum(p.pod.restarts for p in active)
    return policy == "OnFailure" and restarts > 0 and restarts >= job.limit


def _success(job: JobSpec, counted: Counted, active: Sequence[JobPod]) -> Verdict | None:
    words = success_rule(job, counted.done)
    if words:
        return "Complete", "SuccessPolicy", words
    if job.completions is None:
        is_done = counted.all_succeeded > 0 and not active
    elif job.indexed:
        is_done = len(counted.done) >= job.completions
    else:
        is_done = counted.all_succeeded >= job.completions and not active
    if is_done:
        return "Complete", "CompletionsReached", "Reached expected number of succeeded pods"
    return None


def _end(
    job: JobSpec,
    pods: Sequence[JobPod],
    active: Sequence[JobPod],
    counted: Counted,
    verdict: Verdict,
    now: Now,
) -> list[Action]:
    """Say how it ends and stop what runs; once nothing does, it has ended."""
    type_, reason, message = verdict
    actions = _stop(job, active, message)
    conditions = children(job.wire, "status", "conditions")
    is_over = all(p.pod.is_finished for p in pods)
    for each in (_INTERIM[type_], type_) if is_over else (_INTERIM[type_],):
        conditions = with_condition(
            conditions, each, "True", reason, message, now.wall, clocks=("lastProbeTime",)
        )
    status = {**_status(job, pods, active, counted), "conditions": conditions}
    status["startTime"] = child(job.wire, "status").get("startTime") or wall_text(now.wall)
    if not is_over:
        return [*actions, *patch_status(job.target, job.wire, status, message)]
    status |= {
        "succeeded": counted.all_succeeded or None,
        "failed": counted.all_failed or None,
        "uncountedTerminatedPods": None,
    }
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


def _after_the_end(job: JobSpec, pods: Sequence[JobPod], released: list[Action], now: Now) -> Plan:
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


def _stop(job: JobSpec, active: Sequence[JobPod], because: str) -> list[Action]:
    actions: list[Action] = []
    for each in active:
        pod = each.pod
        actions.append(DeleteObject(Target(PODS, pod.namespace, pod.name, pod.uid), because))
        words = f"Deleted pod: {pod.name}"
        actions.append(RecordEvent(job.target, "SuccessfulDelete", words, CONTROLLER))
    return actions


def _let_go(job: JobSpec, pods: Sequence[JobPod], because: str) -> list[Action]:
    """Stop pods that are not wanted for now: they count as nothing (deleteJobPods)."""
    unheld = [unhold(p.pod) for p in pods if p.is_tracked]
    return [*unheld, *_stop(job, pods, because)]


def _status(
    job: JobSpec, pods: Sequence[JobPod], active: Sequence[JobPod], counted: Counted
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
        status["completedIndexes"] = str(counted.done) or None
        if job.limit_per_index is not None:
            status["failedIndexes"] = str(counted.lost)
    return status


def _suspend(job: JobSpec, now: Now, actions: list[Action]) -> dict[str, Any]:
    if condition(job.wire, "Suspended").get("status") != "True":
        actions.append(RecordEvent(job.target, "Suspended", "Job suspended", CONTROLLER))
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


def _resume(job: JobSpec, now: Now, actions: list[Action]) -> dict[str, Any]:
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
    job: JobSpec,
    pods: Sequence[JobPod],
    active: Sequence[JobPod],
    counted: Counted,
    now: Now,
    actions: list[Action],
) -> Instant | None:
    """Start or stop pods; when to look again if a failure delays the next pod."""
    wanted = job.parallelism
    if job.completions is not None:
        wanted = min(wanted, max(0, job.completions - counted.all_succeeded - len(counted.lost)))
    elif counted.all_succeeded:
        wanted = min(wanted, len(active))
    surplus = _surplus(job, active, wanted)
    if surplus:
        actions.extend(_let_go(job, surplus, f"{wanted} may run at once"))
        return None
    leaving = [p for p in pods if p.pod.deleting and not p.pod.is_finished]
    missing = wanted - len(active) - (len(leaving) if job.replaces_only_failed else 0)
    missing = min(missing, _STARTED_AT_ONCE_MAX)
    if missing <= 0:
        return None
    ends = [p.finished_at for p in pods if job.has_failed(p) and p.finished_at is not None]
    if counted.all_failed and ends:
        wait = min(_BACKOFF_FIRST * 2 ** min(counted.all_failed - 1, 10), _BACKOFF_MOST)
        not_before = max(ends).after(wait)
        if not_before > now.world:
            return not_before
    taken = [*active, *leaving] if job.replaces_only_failed else active
    indexes = _free_indexes(job, taken, counted, missing) if job.indexed else [None] * missing
    failures = _failures_by_index(job, pods) if job.limit_per_index is not None else {}
    told = RecordEvent(job.target, "SuccessfulCreate", "Created pod: {name}", CONTROLLER)
    because = f"{len(active)} of {wanted} pods run"
    for index in indexes:
        body = _pod(job, index)
        if job.limit_per_index is not None and index is not None:
            body["metadata"]["annotations"][INDEX_FAILURES] = str(failures.get(index, 0))
        actions.append(CreateObject(PODS, body, because, told))
    return None


def _surplus(job: JobSpec, active: Sequence[JobPod], wanted: int) -> list[JobPod]:
    """Pods that are too many: those of indexes that are not wanted (any more) first."""
    if not job.indexed:
        found = sorted(active, key=lambda p: (p.pod.is_ready, p.pod.created, p.pod.name))
        return found[: max(0, len(active) - wanted)]
    seen: set[int] = set()
    foreign: list[JobPod] = []
    kept: list[JobPod] = []
    for each in sorted(active, key=lambda p: (p.pod.created, p.pod.name)):
        index = each.index
        if index is None or index in seen or index >= (job.completions or 0):
            foreign.append(each)
        else:
            seen.add(index)
            kept.append(each)
    kept.sort(key=lambda p: (p.pod.is_ready, p.pod.created, p.pod.name))
    return [*foreign, *kept[: max(0, len(kept) - wanted)]]


def _failures_by_index(job: JobSpec, pods: Sequence[JobPod]) -> dict[int, int]:
    found: dict[int, int] = {}
    for each in pods:
        if each.index is not None and job.has_failed(each):
            found[each.index] = max(found.get(each.index, 0), each.index_failures + 1)
    return found


def _pod(job: JobSpec, index: int | None) -> dict[str, Any]:
    meta = job.wire["metadata"]
    labels = {
        "batch.kubernetes.io/controller-uid": meta["uid"],
        JOB_NAME: meta["name"],
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
    for member in ("initContainers", "containers"):
        if body["spec"].get(member):
            body["spec"][member] = [
                {**c, "env": [*(c.get("env") or ()), variable]} for c in body["spec"][member]
            ]
    return body


def _free_indexes(
    job: JobSpec, active: Sequence[JobPod], counted: Counted, missing: int
) -> Sequence[int]:
    running = [p.index for p in active if p.index is not None]
    taken = counted.done.union(counted.lost).plus(running)
    return list(taken.free(job.completions or 0, missing))
