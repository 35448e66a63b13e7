"""Pod Security admission: what the labels of a namespace allow its pods.

A violation is refused (``enforce``) or told to who writes (``warn``); there is no audit log for
``audit`` to write to. Nobody and nothing is exempt.

Source of rules and wording: k8s.io/pod-security-admission api and admission.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from poolwright.kubesim import status
from poolwright.kubesim.entry import Entry
from poolwright.kubesim.kinds.kind import ObjectKind
from poolwright.kubesim.meta import WriteOptions
from poolwright.kubesim.objects import Objects
from poolwright.kubesim.pod_security_baseline import Finding
from poolwright.kubesim.pod_security_checks import BASELINE, RESTRICTED, checks_of
from poolwright.kubesim.quota import forbidden
from poolwright.model import kubernetes as names
from poolwright.model.json_value import Json, child, children

PRIVILEGED = "privileged"
_LEVELS = (PRIVILEGED, BASELINE, RESTRICTED)
"""From the loosest to the strictest."""
_LATEST = "latest"
_NEWEST = 10_000
"""A minor version after all that changed a check."""
_VERSION = re.compile(r"v1\.(0|[1-9][0-9]*)")
_PREFIX = "pod-security.kubernetes.io/"
_MODES = ("enforce", "audit", "warn")
_LABELS = frozenset(f"{_PREFIX}{mode}{end}" for mode in _MODES for end in ("", "-version"))
_POD_SUBRESOURCES = ("", "ephemeralcontainers", "resize")
_TEMPLATES: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("", "PodTemplate"): ("template",),
    ("", "ReplicationController"): ("spec", "template"),
    ("apps", "DaemonSet"): ("spec", "template"),
    ("apps", "Deployment"): ("spec", "template"),
    ("apps", "ReplicaSet"): ("spec", "template"),
    ("apps", "StatefulSet"): ("spec", "template"),
    ("batch", "CronJob"): ("spec", "jobTemplate", "spec", "template"),
    ("batch", "Job"): ("spec", "template"),
}
"""Where the kinds that make pods keep the template."""
_PODS_CHECKED = 3000  # admission.go defaultNamespaceMaxPodsToCheck


@dataclass(frozen=True, slots=True)
class _Standard:
    """A level of the Pod Security Standards, as a version of Kubernetes has it."""

    level: str = PRIVILEGED
    version: str = _LATEST

    def __str__(self) -> str:
        return f"{self.level}:{self.version}"

    def findings(self, pod: Json) -> list[Finding]:
        """What it has against a pod or a template."""
        if self.level == PRIVILEGED:
            return []
        found = _VERSION.fullmatch(self.version)
        minor = min(int(found[1][:5]), _NEWEST) if found else _NEWEST
        return [f for look in checks_of(self.level, minor) if (f := look(pod)) is not None]


@dataclass(frozen=True, slots=True)
class _Policy:
    enforce: _Standard
    warn: _Standard
    causes: tuple[status.Cause, ...]


def review(
    registry: Objects,
    kind: ObjectKind,
    new: Json,
    old: Mapping[str, Any] | None,
    options: WriteOptions,
    subresource: str = "",
) -> None:
    """Judge a pod, a template of pods or a namespace that is written.

    Raises:
        StatusError: Forbidden for a pod, Invalid for a namespace.
    """
    resource = kind.resource
    if resource.kind == "Namespace" and not resource.group:
        if not subresource:
            _review_namespace(registry, new, old, options)
        return
    is_pod = resource.kind == "Pod" and not resource.group
    path = () if is_pod else _TEMPLATES.get((resource.group, resource.kind))
    if path is None or subresource not in (_POD_SUBRESOURCES if is_pod else ("",)):
        return
    namespace = registry.entry(names.NAMESPACES, new["metadata"]["namespace"])
    if namespace is None or _LABELS.isdisjoint(namespace.labels):
        return
    if is_pod and old is not None and not _is_significant(new, old):
        return
    policy = _policy_of(namespace.labels)
    pod = child(new, *path)
    if is_pod:
        findings = policy.enforce.findings(pod)
        if findings:
            raise forbidden(
                kind, new, f'violates PodSecurity "{policy.enforce}": {_told(findings)}'
            )
    findings = policy.warn.findings(pod) if pod and options.warn is not None else []
    if findings and options.warn is not None:
        options.warn(f'would violate PodSecurity "{policy.warn}": {_told(findings)}')


def _told(findings: Iterable[Finding]) -> str:
    return ", ".join(f"{reason} ({detail})" for reason, detail in findings)


def _is_significant(new: Json, old: Json) -> bool:
    """Whether an update of a pod is judged: containers that came or went, and other images."""
    for member in ("containers", "initContainers"):
        images = [[c.get("image") for c in children(pod, "spec", member)] for pod in (new, old)]
        if images[0] != images[1]:
            return True
    had = {c.get("name"): c.get("image") for c in children(old, "spec", "ephemeralContainers")}
    added = children(new, "spec", "ephemeralContainers")
    return any(c.get("name") not in had or c.get("image") != had[c.get("name")] for c in added)


# Namespaces


def _policy_of(labels: Mapping[str, str]) -> _Policy:
    """What labels say; wrong ones enforce the strictest, and audit and warn of nothing."""
    standards: dict[str, _Standard] = {}
    causes: list[status.Cause] = []
    for mode in _MODES:
        standard = _Standard()
        key = f"{_PREFIX}{mode}"
        level = labels.get(key)
        if level in _LEVELS:
            standard = replace(standard, level=level)
        elif level is not None:
            causes.append(_wrong(key, level, f"must be one of {', '.join(_LEVELS)}"))
            standard = _Standard(RESTRICTED if mode == "enforce" else PRIVILEGED)
        version = labels.get(f"{key}-version")
        if version == _LATEST or (version is not None and _VERSION.fullmatch(version)):
            standard = replace(standard, version=version)
        elif version is not None:
            causes.append(_wrong(f"{key}-version", version, 'must be "latest" or "v1.x"'))
        standards[mode] = standard
    enforce, warn = standards["enforce"], standards["warn"]
    if f"{_PREFIX}warn" not in labels and labels.get(f"{_PREFIX}enforce") in _LEVELS[1:]:
        has_version = f"{_PREFIX}warn-version" in labels
        warn = _Standard(enforce.level, warn.version if has_version else enforce.version)
    return _Policy(enforce, warn, tuple(causes))


def _wrong(key: str, value: str, detail: str) -> status.Cause:
    return status.invalid(f"metadata.labels[{key}]", value, detail)


def _review_namespace(
    registry: Objects, new: Json, old: Mapping[str, Any] | None, options: WriteOptions
) -> None:
    labels = child(new, "metadata", "labels")
    if _LABELS.isdisjoint(labels):
        return
    before = _policy_of(child(old or {}, "metadata", "labels"))
    policy = _policy_of(labels)
    name = str(new["metadata"]["name"])
    if policy.causes and (old is None or policy.causes != before.causes):
        raise status.unprocessable("", "Namespace", name, policy.causes)
    if old is None or options.warn is None or not _is_tightened(policy.enforce, before.enforce):
        return
    for text in _warnings(registry.list(names.PODS, name), name, policy.enforce):
        options.warn(text)


def _is_tightened(new: _Standard, old: _Standard) -> bool:
    if new == old or new.level == PRIVILEGED:
        return False
    is_stricter = _LEVELS.index(new.level) > _LEVELS.index(old.level)
    return is_stricter or new.version != old.version


def _warnings(pods: Iterable[Entry], namespace: str, enforce: _Standard) -> Iterable[str]:
    """What pods that are there already have against them, those of one controller after the
    first looked at last.
    """
    first: list[Entry] = []
    alike: list[Entry] = []
    seen: dict[str, None] = {}
    for pod in pods:
        owner = pod.owners[0] if pod.owners else ""
        (alike if owner in seen else first).append(pod)
        if owner:
            seen[owner] = None
    ordered = [*first, *alike]
    found: dict[str, list[str]] = {}
    for pod in ordered[:_PODS_CHECKED]:
        findings = enforce.findings(pod.seen())
        if findings:
            found.setdefault(", ".join(f.reason for f in findings), []).append(pod.name)
    if len(ordered) > _PODS_CHECKED:
        yield (
            f"new PodSecurity enforce level only checked against the first {_PODS_CHECKED} of"
            f" {len(ordered)} existing pods"
        )
    if found:
        yield (
            f'existing pods in namespace "{namespace}" violate the new PodSecurity enforce level'
            f' "{enforce}"'
        )
    yield from sorted(f"{_among(which)}: {reasons}" for reasons, which in found.items())


def _among(which: list[str]) -> str:
    others = len(which) - 1
    if not others:
        return which[0]
    return f"{min(which)} (and {others} other pod{'s' if others > 1 else ''})"
