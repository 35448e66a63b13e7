"""Jobs, as objects: their selector and labels are made for them.

Source of defaults and rules: k8s.io/kubernetes v1.36 pkg/apis/batch and
pkg/registry/batch/job/strategy.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from poolwright.kubesim.kinds.cell import (
    age_of,
    human_duration,
    instant,
    names_and_images,
    number,
    selector_text,
)
from poolwright.kubesim.kinds.job_rules import check_job_rules
from poolwright.kubesim.kinds.job_status import check_job_status
from poolwright.kubesim.kinds.job_update import check_job_update
from poolwright.kubesim.kinds.kind import Body, Column, ObjectKind
from poolwright.kubesim.kinds.pod_placement import check_label_selector
from poolwright.kubesim.kinds.workload import check_template, default_template_of, template_columns
from poolwright.kubesim.rules import dns_label
from poolwright.kubesim.status import Cause, invalid, not_supported, required
from poolwright.model import kubernetes as names
from poolwright.model.json_value import child, children
from poolwright.model.label_selector import LabelSelector

_AGE = Column("Age")

_JOB_LABELS = (
    ("batch.kubernetes.io/controller-uid", "uid"),
    ("batch.kubernetes.io/job-name", "name"),
    ("controller-uid", "uid"),
    ("job-name", "name"),
)

_LEGACY_FIRST = ("controller-uid", "job-name", *(label for label, _ in _JOB_LABELS[:2]))

_BACKOFF_LIMIT = 6
_NO_LIMIT = 2**31 - 1


def _job_default(body: Body) -> None:
    spec = body.setdefault("spec", {})
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)
    is_by_index = spec.get("backoffLimitPerIndex") is not None
    spec.setdefault("backoffLimit", _NO_LIMIT if is_by_index else _BACKOFF_LIMIT)
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    spec.setdefault("manualSelector", False)
    has_policy = spec.get("podFailurePolicy") is not None
    spec.setdefault("podReplacementPolicy", "Failed" if has_policy else "TerminatingOrFailed")
    for rule in children(spec, "podFailurePolicy", "rules"):
        for pattern in rule.get("onPodConditions") or ():
            pattern["status"] = pattern.get("status") or "True"
    default_template_of(spec)


def _job_prepare(body: Body, old: Mapping[str, Any] | None) -> None:
    if old is not None:
        return
    body["status"] = {}
    spec, metadata = body["spec"], body["metadata"]
    if spec.get("manualSelector"):
        return
    labels = spec["template"].setdefault("metadata", {}).setdefault("labels", {})
    for label, member in _JOB_LABELS:
        labels.setdefault(label, metadata[member])
    selector: Body = spec.setdefault("selector", {}).setdefault("matchLabels", {})
    selector.setdefault(_JOB_LABELS[0][0], metadata["uid"])


def _in_order(selector: Mapping[str, Any]) -> Mapping[str, Any]:
    """A selector with its labels in order, as Go shows it."""
    labels = child(selector, "matchLabels")
    return {**selector, "matchLabels": dict(sorted(labels.items()))} if labels else selector


def _check_generated(body: Mapping[str, Any]) -> Iterator[Cause]:
    """What the user set of a selector and labels that are made is what would be made."""
    spec, metadata = child(body, "spec"), body["metadata"]
    if spec.get("manualSelector") or spec.get("selector") is None:
        return
    labels = child(spec, "template", "metadata", "labels")
    expected = {label: str(metadata.get(member) or "") for label, member in _JOB_LABELS}
    for label in sorted(expected, key=_LEGACY_FIRST.index):
        where = f"spec.template.metadata.labels[{label}]"
        if label not in labels:
            yield required(where, f"must be '{expected[label]}'")
        elif labels[label] != expected[label]:
            shown = dict(sorted(labels.items()))
            yield invalid(where, shown, f"must be '{expected[label]}'")
    selector = child(spec, "selector")
    if not LabelSelector.from_object(selector).matches(expected):
        yield invalid("spec.selector", _in_order(selector), "`selector` not auto-generated")


def _check_job_selector(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> Iterator[Cause]:
    given: Any = child(new, "spec").get("selector")
    selector = child(new, "spec", "selector")
    labels = child(new, "spec", "template", "metadata", "labels")
    if given is None:
        yield required("spec.selector")
    problems = list(check_label_selector(selector, "spec.selector"))
    yield from problems
    if given is None or (not problems and not LabelSelector.from_object(selector).matches(labels)):
        shown: Any = child(new, "spec", "template", "metadata").get("labels")
        why = "`selector` does not match template `labels`"
        yield invalid("spec.template.metadata.labels", shown and dict(sorted(labels.items())), why)
    if old is not None and child(old, "spec").get("selector") != given:
        yield invalid("spec.selector", _in_order(selector), "field is immutable")


def _check_restart(spec: Mapping[str, Any], where: str) -> Iterator[Cause]:
    """A job's pods cannot be restarted for ever."""
    policy = child(spec, "template", "spec").get("restartPolicy")
    if policy in {None, "", "Always"}:
        yield required(where, 'valid values: "OnFailure", "Never"')
    elif policy not in {"OnFailure", "Never"}:
        yield not_supported(where, policy, ("OnFailure", "Never"))
    elif spec.get("podFailurePolicy") is not None and policy != "Never":
        why = 'only "Never" is supported when podFailurePolicy is specified'
        yield invalid(where, policy, why)


def _check_job_name(body: Mapping[str, Any]) -> Iterator[Cause]:
    """The pods of an indexed job are called after it."""
    spec, name = child(body, "spec"), str(body["metadata"].get("name") or "")
    if spec.get("completionMode") != "Indexed" or not spec.get("completions"):
        return
    pod = f"{name}-{int(spec['completions']) - 1}"
    if dns_label(pod):
        why = f"will not able to create pod with invalid DNS label: {pod}"
        yield invalid("metadata.name", name, why)


def check_job_spec(body: Mapping[str, Any], path: str) -> Iterator[Cause]:
    """Broken rules of a job's spec, wherever it stands; not of its selector."""
    spec = child(body, *path.split("."))
    yield from check_job_rules(spec, path)
    yield from check_template(body, path, always=False)
    yield from _check_restart(spec, f"{path}.template.spec.restartPolicy")


def _job_validate(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> Sequence[Cause]:
    causes = [] if old is not None else list(_check_generated(new))
    causes.extend(check_job_spec(new, "spec"))
    causes.extend(_check_job_selector(new, old))
    causes.extend(_check_job_name(new) if old is None else check_job_update(new, old))
    return causes


def _job_word(body: Mapping[str, Any]) -> str:
    held = {
        str(c.get("type"))
        for c in children(body, "status", "conditions")
        if c.get("status") == "True"
    }
    for condition, word in (("Complete", "Complete"), ("Failed", "Failed")):
        if condition in held:
            return word
    if "deletionTimestamp" in body["metadata"]:
        return "Terminating"
    for condition, word in (
        ("Suspended", "Suspended"),
        ("FailureTarget", "FailureTarget"),
        ("SuccessCriteriaMet", "SuccessCriteriaMet"),
    ):
        if condition in held:
            return word
    return "Running"


def _job_row(body: Mapping[str, Any], now: datetime) -> Sequence[Any]:
    spec, state = child(body, "spec"), child(body, "status")
    succeeded = number(body, "status", "succeeded")
    parallelism = number(body, "spec", "parallelism")
    if spec.get("completions") is not None:
        completions = f"{succeeded}/{spec['completions']}"
    else:
        completions = f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"
    start, end = instant(state.get("startTime")), instant(state.get("completionTime"))
    taken = "" if start is None else human_duration(int(((end or now) - start).total_seconds()))
    return (
        _job_word(body),
        completions,
        taken,
        age_of(body, now),
        *names_and_images(body),
        selector_text(spec.get("selector")),
    )


JOB = ObjectKind(
    names.JOBS,
    "job",
    (),
    ("all",),
    ("status",),
    columns=(
        Column("Status", description="Status of the job."),
        Column("Completions"),
        Column("Duration", description="Time required to complete the job."),
        _AGE,
        *template_columns(),
    ),
    row=_job_row,
    default=_job_default,
    prepare=_job_prepare,
    validate=_job_validate,
    validate_status=check_job_status,
    fields={
        "status.successful": lambda body: str(number(body, "status", "succeeded")),
    },
    has_generation=True,
    looks=2,
)
