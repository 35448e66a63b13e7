"""What Kubernetes warns of in objects that it accepts.

Source: k8s.io/kubernetes pkg/api/pod/warnings.go and the strategies of the workloads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from poolwright.kubesim.rules import dns_label
from poolwright.model.json_value import child, children

_NULL_SELECTOR = "labelSelector: a null labelSelector results in matching no pod"
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def _name(body: Mapping[str, Any], used_in: str) -> Iterator[str]:
    problems = dns_label(str(body["metadata"].get("name") or ""))
    if problems:
        yield (
            f"metadata.name: this is used in {used_in}, which can result in surprising behavior; a"
            f" DNS label is recommended: [{' '.join(problems)}]"
        )


def of_workload(body: Mapping[str, Any]) -> Iterator[str]:
    """Warnings for an object whose name its pods carry."""
    yield from _name(body, "Pod names and hostnames")


def of_pod(body: Mapping[str, Any]) -> Iterator[str]:
    """Warnings for a new pod."""
    yield from _name(body, "the Pod's hostname")
    spec = child(body, "spec")
    for position, constraint in enumerate(children(spec, "topologySpreadConstraints")):
        if constraint.get("labelSelector") is None:
            yield f"spec.topologySpreadConstraints[{position}].{_NULL_SELECTOR}"
    for member in ("podAffinity", "podAntiAffinity"):
        for position, term in enumerate(children(spec, "affinity", member, _REQUIRED)):
            if term.get("labelSelector") is None:
                yield f"spec.affinity.{member}.{_REQUIRED}[{position}].{_NULL_SELECTOR}"
    for place, container in enumerate(children(spec, "containers")):
        seen: set[str] = set()
        for position, variable in enumerate(children(container, "env")):
            name = str(variable.get("name"))
            if name in seen:
                yield (
                    f"spec.containers[{place}].env[{position}]: hides previous definition of"
                    f' "{name}", which may be dropped when using apply'
                )
            seen.add(name)
