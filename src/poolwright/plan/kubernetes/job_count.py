"""What a job's pods amount to: counted ends, indexes, and what its policies say about failures.

Source: k8s.io/kubernetes v1.36 pkg/controller/job (job_controller.go, indexed_job_utils.go,
pod_failure_policy.go, success_policy.go, backoff_utils.go).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from poolwright.model.instant import Instant
from poolwright.model.json_value import Json, child, children
from poolwright.model.kubernetes import JOBS
from poolwright.model.pod import Pod
from poolwright.plan.kubernetes.action import Target
from poolwright.plan.kubernetes.job_index import Indexes, index_in

INDEX = "batch.kubernetes.io/job-completion-index"
INDEX_FAILURES = "batch.kubernetes.io/job-index-failure-count"
_NO_LIMIT = 2**31 - 1


@dataclass(frozen=True, slots=True)
class JobPod:
    """A pod of a job: what counting needs. ``finished_at``: when it was first seen so (world);
    ``status``: its status in Kubernetes' JSON form, needed of failed pods by a failure policy.
    """

    pod: Pod
    is_tracked: bool
    finished_at: Instant | None = None
    status: Json = field(default_factory=dict[str, object])

    @property
    def index(self) -> int | None:
        """The completion index, of an indexed job's pod."""
        return index_in(self.pod.annotations.get(INDEX, ""))

    @property
    def index_failures(self) -> int:
        """How often its index had failed before."""
        return index_in(self.pod.annotations.get(INDEX_FAILURES, "")) or 0


@dataclass(frozen=True, slots=True)
class JobSpec:
    """A Job as far as its planner reads it."""

    wire: Json
    target: Target
    parallelism: int
    completions: int | None
    limit: int
    limit_per_index: int | None
    indexed: bool
    suspended: bool
    replaces_only_failed: bool

    @classmethod
    def of(cls, wire: Json) -> JobSpec:
        """Read Kubernetes' JSON form."""
        spec = child(wire, "spec")

        def number(name: str, default: int) -> int:
            value = spec.get(name)
            return default if value is None else int(value)

        completions = spec.get("completions")
        if completions is None and spec.get("parallelism") is None:
            completions = 1
        per_index = spec.get("backoffLimitPerIndex")
        policy = spec.get("podReplacementPolicy")
        return cls(
            wire,
            Target.of(JOBS, wire),
            number("parallelism", 1),
            completions,
            number("backoffLimit", 6 if per_index is None else _NO_LIMIT),
            per_index,
            spec.get("completionMode") == "Indexed",
            bool(spec.get("suspend")),
            policy == "Failed" or (policy is None and bool(spec.get("podFailurePolicy"))),
        )

    def has_failed(self, each: JobPod) -> bool:
        """Failed, or (unless only those are replaced) on its way out before it succeeded."""
        pod = each.pod
        if pod.phase == "Failed":
            return True
        return not self.replaces_only_failed and pod.deleting and pod.phase != "Succeeded"


@dataclass(frozen=True, slots=True)
class Counted:
    """Pods that ended, by what the status holds and what is still to be taken into it."""

    succeeded: int
    failed: int
    waiting_succeeded: tuple[str, ...]
    waiting_failed: tuple[str, ...]
    done: Indexes
    """Indexes that succeeded."""
    lost: Indexes
    """Indexes that failed for good."""
    ignored: tuple[str, ...]
    """Pods, by uid, whose failure the policy ignores."""
    verdict: str
    """Why the failure policy ends the job."""

    @property
    def all_succeeded(self) -> int:
        """Successes, counted or about to be."""
        return self.succeeded + len(self.waiting_succeeded)

    @property
    def all_failed(self) -> int:
        """Failures, counted or about to be."""
        return self.failed + len(self.waiting_failed)


def count(job: JobSpec, pods: Sequence[JobPod]) -> Counted:
    """Take the pods that ended into account, each once."""
    status = child(job.wire, "status")
    tracked = frozenset(p.pod.uid for p in pods if p.is_tracked)
    known = child(status, "uncountedTerminatedPods")
    old_succeeded: list[str] = list(known.get("succeeded") or ())
    old_failed: list[str] = list(known.get("failed") or ())
    waiting = {*old_succeeded, *old_failed}
    newly = [p for p in pods if p.is_tracked and p.pod.uid not in waiting]
    before = Indexes.parse(status.get("completedIndexes"), job.completions)
    lost_before = Indexes.parse(status.get("failedIndexes"), job.completions)
    done: set[int] = set()
    lost: set[int] = set()
    succeeded: list[str] = []
    failed: list[str] = []
    ignored: list[str] = []
    verdict = ""
    for each in newly:
        index = each.index
        if each.pod.phase == "Succeeded":
            if job.indexed and (
                index is None or index in done or index in before or index >= (job.completions or 0)
            ):
                ignored.append(each.pod.uid)
                continue
            succeeded.append(each.pod.uid)
            if index is not None:
                done.add(index)
        elif job.has_failed(each):
            action, words = failure_action(job.wire, each)
            verdict = verdict or (words if action == "FailJob" else "")
            if action == "Ignore":
                ignored.append(each.pod.uid)
                continue
            failed.append(each.pod.uid)
            over = job.limit_per_index is not None and each.index_failures >= job.limit_per_index
            if index is not None and (over or action == "FailIndex"):
                lost.add(index)
    all_done = before.plus(done)
    return Counted(
        int(status.get("succeeded") or 0) + sum(u not in tracked for u in old_succeeded),
        int(status.get("failed") or 0) + sum(u not in tracked for u in old_failed),
        (*(u for u in old_succeeded if u in tracked), *succeeded),
        (*(u for u in old_failed if u in tracked), *failed),
        all_done,
        lost_before.plus(lost).minus(all_done),
        tuple(ignored),
        verdict,
    )


def failure_action(job: Json, each: JobPod) -> tuple[str, str]:
    """What the failure policy wants after a pod's failure, and in which words."""
    pod = each.pod
    if pod.phase != "Failed":
        return "Count", ""
    for number, rule in enumerate(children(job, "spec", "podFailurePolicy", "rules")):
        action = str(rule.get("action"))
        words = _by_exit_code(rule, each) or _by_condition(rule, each)
        if words:
            return action, f"{words} matching {action} rule at index {number}"
    return "Count", ""


def _by_exit_code(rule: Json, each: JobPod) -> str:
    wanted = child(rule, "onExitCodes")
    if not wanted:
        return ""
    values, name = wanted.get("values") or (), wanted.get("containerName")
    statuses = (
        *children(each.status, "initContainerStatuses"),
        *children(each.status, "containerStatuses"),
    )
    for container in statuses:
        ended = child(container, "state", "terminated")
        code = int(ended.get("exitCode") or 0)
        if not code or (name and container.get("name") != name):
            continue
        if (code in values) == (wanted.get("operator") == "In"):
            where = f"{each.pod.namespace}/{each.pod.name}"
            return f"Container {container['name']} for pod {where} failed with exit code {code}"
    return ""


def _by_condition(rule: Json, each: JobPod) -> str:
    have = {c.get("type"): c.get("status") for c in children(each.status, "conditions")}
    for wanted in children(rule, "onPodConditions"):
        type_ = wanted.get("type")
        if have.get(type_) == (wanted.get("status") or "True"):
            return f"Pod {each.pod.namespace}/{each.pod.name} has condition {type_}"
    return ""


def success_rule(job: JobSpec, done: Indexes) -> str:
    """The success policy's words once a rule of it is met."""
    rules = children(job.wire, "spec", "successPolicy", "rules") if done else ()
    for number, rule in enumerate(rules):
        least = rule.get("succeededCount")
        if rule.get("succeededIndexes") is None:
            is_met = least is not None and len(done) >= least
        else:
            wanted = Indexes.parse(rule["succeededIndexes"], job.completions)
            have = done.shared(wanted)
            is_met = bool(wanted) and (have == len(wanted) or (least is not None and have >= least))
        if is_met:
            return f"Matched rules at index {number}"
    return ""
