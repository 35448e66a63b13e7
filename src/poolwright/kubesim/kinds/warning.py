"""What Kubernetes warns of in objects that it accepts.

Source: k8s.io/kubernetes pkg/api/pod/warnings.go, pkg/api/service/warnings.go and the strategies
of the workloads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from poolwright.kubesim.rules import dns_label
from poolwright.model.json_value import child, children

_NULL_SELECTOR = "labelSelector: a null labelSelector results in matching no pod"
_NEGATIVE_GRACE = "must be >= 0; negative values are invalid and will be treated as 1"
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
    spec = child(body, "spec", "template", "spec")
    if spec:
        yield from _of_spec(spec, "spec.template.spec")


def of_pod(body: Mapping[str, Any]) -> Iterator[str]:
    """Warnings for a new pod."""
    yield from _name(body, "the Pod's hostname")
    yield from _of_spec(child(body, "spec"), "spec")


def _of_spec(spec: Mapping[str, Any], path: str) -> Iterator[str]:
    for position, constraint in enumerate(children(spec, "topologySpreadConstraints")):
        if constraint.get("labelSelector") is None:
            yield f"{path}.topologySpreadConstraints[{position}].{_NULL_SELECTOR}"
    for member in ("podAffinity", "podAntiAffinity"):
        for position, term in enumerate(children(spec, "affinity", member, _REQUIRED)):
            if term.get("labelSelector") is None:
                yield f"{path}.affinity.{member}.{_REQUIRED}[{position}].{_NULL_SELECTOR}"
    for position, secret in enumerate(children(spec, "imagePullSecrets")):
        if not secret.get("name"):
            yield f'{path}.imagePullSecrets[{position}].name: invalid empty name ""'
    if int(spec.get("terminationGracePeriodSeconds") or 0) < 0:
        yield f"{path}.terminationGracePeriodSeconds: {_NEGATIVE_GRACE}"
    for place, container in enumerate(children(spec, "containers")):
        for position, port in enumerate(children(container, "ports")):
            if port.get("hostIP") and not port.get("hostPort"):
                yield (
                    f"{path}.containers[{place}].ports[{position}]: hostIP set without hostPort:"
                    f" {{Name:{port.get('name') or ''} HostPort:0"
                    f" ContainerPort:{port.get('containerPort')} Protocol:{port.get('protocol')}"
                    f" HostIP:{port['hostIP']}}}"
                )
        seen: set[str] = set()
        for position, variable in enumerate(children(container, "env")):
            name = str(variable.get("name"))
            if name in seen:
                yield (
                    f"{path}.containers[{place}].env[{position}]: hides previous definition of"
                    f' "{name}", which may be dropped when using apply'
                )
            seen.add(name)


def of_service(body: Mapping[str, Any]) -> Iterator[str]:
    """What a service says in vain, or in words that are on their way out."""
    spec = child(body, "spec")
    is_headless, is_name = spec.get("clusterIP") == "None", spec.get("type") == "ExternalName"
    if spec.get("externalName") and not is_name:
        yield 'spec.externalName is ignored when spec.type is not "ExternalName"'
    if is_headless:
        for member in ("loadBalancerIP", "externalIPs"):
            if spec.get(member):
                yield f"spec.{member} is ignored for headless services"
        if spec.get("sessionAffinity") == "ClientIP":
            yield "spec.SessionAffinity is ignored for headless services"
    elif spec.get("externalIPs") and is_name:
        yield 'spec.externalIPs is ignored when spec.type is "ExternalName"'
    elif spec.get("externalIPs"):
        yield "spec.externalIPs is deprecated and may no longer be implemented in some clusters"
    if spec.get("trafficDistribution") == "PreferClose":
        yield 'spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"'
