"""Pod specs, alone and in templates: defaults and rules.

Source: k8s.io/kubernetes pkg/apis/core/v1/defaults.go and pkg/apis/core/validation/validation.go.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from poolwright.kubesim.kinds.kind import Body
from poolwright.kubesim.kinds.pod_placement import check_affinity, check_spread
from poolwright.kubesim.rules import (
    check_labels,
    dns_label,
    dns_subdomain,
    label_value,
    qualified_name,
)
from poolwright.kubesim.status import Cause, duplicate, forbidden, invalid, not_supported, required
from poolwright.model.json_value import child, children
from poolwright.model.quantity import parse_quantity

_RESTART_POLICIES = ("Always", "OnFailure", "Never")
_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_TOLERATION_OPERATORS = ("Equal", "Exists")
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_STANDARD_RESOURCES = ("cpu", "memory", "ephemeral-storage")


def _pull_policy(image: str) -> str:
    tag = image.rpartition("/")[2].partition(":")[2]
    return "Always" if tag in {"", "latest"} and "@" not in image else "IfNotPresent"


def _default_container(container: Body) -> None:
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    if not container.get("imagePullPolicy"):
        container["imagePullPolicy"] = _pull_policy(str(container.get("image") or ""))
    container.setdefault("resources", {})
    for port in container.get("ports") or ():
        port["protocol"] = port.get("protocol") or "TCP"
    for member in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(member)
        if probe:
            for name, value in (
                ("timeoutSeconds", 1),
                ("periodSeconds", 10),
                ("successThreshold", 1),
                ("failureThreshold", 3),
            ):
                probe.setdefault(name, value)


def default_pod_spec(spec: Body) -> None:
    """Fill what was left out."""
    for name, value in (
        ("restartPolicy", "Always"),
        ("dnsPolicy", "ClusterFirst"),
        ("schedulerName", "default-scheduler"),
    ):
        if not spec.get(name):
            spec[name] = value
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("securityContext", {})
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for member in ("containers", "initContainers"):
        for container in spec.get(member) or ():
            _default_container(container)
            if spec.get("hostNetwork"):
                for port in container.get("ports") or ():
                    port.setdefault("hostPort", port.get("containerPort"))
    for volume in spec.get("volumes") or ():
        for member in ("configMap", "secret", "projected", "downwardAPI"):
            if isinstance(volume.get(member), dict):
                volume[member].setdefault("defaultMode", 420)
        if isinstance(volume.get("hostPath"), dict):
            volume["hostPath"].setdefault("type", "")


def _is_extended(resource: str) -> bool:
    return "/" in resource and "kubernetes.io/" not in resource.partition("/")[0] + "/"


@lru_cache(maxsize=4096)
def _check_amount(name: str, text: str | int | float, path: str) -> Sequence[Cause]:
    """Broken rules of one amount; the same few are written over and over."""
    here = f"{path}[{name}]"
    found = [invalid(path, name, problem) for problem in qualified_name(name)]
    if "/" not in name and name not in _STANDARD_RESOURCES and not name.startswith("hugepages-"):
        found.append(invalid(here, name, "must be a standard resource type or fully qualified"))
        found.append(invalid(here, name, "must be a standard resource for containers"))
    amount = parse_quantity(text)
    if amount < 0:
        found.append(invalid(here, str(text), "must be greater than or equal to 0"))
    if _is_extended(name) and amount.denominator != 1:
        found.append(invalid(here, text, "must be an integer"))
    return found


def _check_amounts(wire: Mapping[str, Any], path: str) -> Iterator[Cause]:
    for name, text in wire.items():
        yield from _check_amount(name, text, path)


def _check_resources(container: Mapping[str, Any], path: str) -> Iterator[Cause]:
    limits = child(container, "resources", "limits")
    requests = child(container, "resources", "requests")
    wrong = [
        *_check_amounts(limits, f"{path}.resources.limits"),
        *_check_amounts(requests, f"{path}.resources.requests"),
    ]
    if wrong:
        yield from wrong
        return
    for name, text in requests.items():
        here = f"{path}.resources.requests"
        if name in limits:
            asked, bound = parse_quantity(text), parse_quantity(limits[name])
            if _is_extended(name) and asked != bound:
                yield invalid(here, str(text), f"must be equal to {name} limit of {limits[name]}")
            elif asked > bound:
                yield invalid(
                    here, str(text), f"must be less than or equal to {name} limit of {limits[name]}"
                )
        elif _is_extended(name):
            yield required(
                f"{path}.resources.limits", "Limit must be set for non overcommitable resources"
            )


_PORT_RANGE = "must be between 1 and 65535, inclusive"
_PORT_NAME = "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"


@lru_cache(maxsize=1024)
def check_port_name(text: str) -> Sequence[str]:
    """What is wrong with the name of a port (IsValidPortName)."""
    wrong = ["must be no more than 15 characters"] if len(text) > 15 else []
    if not _PORT_SIGNS.issuperset(text):
        wrong.append(_PORT_NAME)
    if not any(sign.isalpha() for sign in text):
        wrong.append("must contain at least one letter (a-z)")
    if "--" in text:
        wrong.append("must not contain consecutive hyphens")
    if text.startswith("-") or text.endswith("-"):
        wrong.append("must not begin or end with a hyphen")
    return wrong


_PORT_SIGNS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")


def check_port(value: Any, path: str) -> Iterator[Cause]:
    """Broken rules of a port that is a number or a name."""
    if isinstance(value, str):
        for problem in check_port_name(value):
            yield invalid(path, value, problem)
    elif not isinstance(value, int) or not 1 <= value <= 65535:
        yield invalid(path, value or 0, _PORT_RANGE)


def _check_probes(container: Mapping[str, Any], path: str) -> Iterator[Cause]:
    for member in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(member)
        if probe is None:
            continue
        here = f"{path}.{member}"
        handlers = [name for name in _HANDLERS if probe.get(name) is not None]
        if not handlers:
            yield required(here, "must specify a handler type")
        for name in handlers[1:]:
            yield forbidden(f"{here}.{name}", "may not specify more than 1 handler type")
        for name in handlers[:1]:
            if name in {"httpGet", "tcpSocket", "grpc"}:
                yield from check_port(child(probe, name).get("port"), f"{here}.{name}.port")
            elif name == "exec" and not child(probe, name).get("command"):
                yield required(f"{here}.exec.command")
        for name in _PROBE_NUMBERS:
            number = probe.get(name)
            if isinstance(number, int) and number < 0:
                yield invalid(f"{here}.{name}", number, "must be greater than or equal to 0")


_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
_PROBE_NUMBERS = (
    "initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold",
    "failureThreshold",
)  # fmt: skip


def _check_ports(container: Mapping[str, Any], path: str) -> Iterator[Cause]:
    seen: set[str] = set()
    for position, port in enumerate(children(container, "ports")):
        here = f"{path}.ports[{position}]"
        name = str(port.get("name") or "")
        if name:
            for problem in check_port_name(name):
                yield invalid(f"{here}.name", name, problem)
            if name in seen:
                yield duplicate(f"{here}.name", name)
            seen.add(name)
        number = port.get("containerPort")
        if not number:
            yield required(f"{here}.containerPort")
        elif not 1 <= int(number) <= 65535:
            yield invalid(f"{here}.containerPort", number, "must be between 1 and 65535, inclusive")
        if port.get("protocol") not in _PROTOCOLS:
            yield not_supported(f"{here}.protocol", port.get("protocol"), _PROTOCOLS)


def _check_container(container: Mapping[str, Any], path: str, volumes: set[str]) -> Iterator[Cause]:
    name = str(container.get("name") or "")
    if not name:
        yield required(f"{path}.name")
    else:
        for problem in dns_label(name):
            yield invalid(f"{path}.name", name, problem)
    if not container.get("image"):
        yield required(f"{path}.image")
    if container.get("imagePullPolicy") not in _PULL_POLICIES:
        yield not_supported(
            f"{path}.imagePullPolicy", container.get("imagePullPolicy"), _PULL_POLICIES
        )
    yield from _check_ports(container, path)
    for position, variable in enumerate(children(container, "env")):
        if not variable.get("name"):
            yield required(f"{path}.env[{position}].name")
    places: set[str] = set()
    for position, mount in enumerate(children(container, "volumeMounts")):
        here = f"{path}.volumeMounts[{position}]"
        name = str(mount.get("name") or "")
        if not name:
            yield required(f"{here}.name")
        if name not in volumes:
            yield Cause("FieldValueNotFound", f"{here}.name", f'Not found: "{name}"')
        place = str(mount.get("mountPath") or "")
        if not place:
            yield required(f"{here}.mountPath")
        elif place in places:
            yield invalid(f"{here}.mountPath", place, "must be unique")
        places.add(place)
    yield from _check_probes(container, path)
    yield from _check_resources(container, path)


def check_tolerations(spec: Mapping[str, Any], path: str) -> Iterator[Cause]:
    """Broken rules of tolerations."""
    for position, toleration in enumerate(children(spec, "tolerations")):
        here = f"{path}.tolerations[{position}]"
        key, value = str(toleration.get("key") or ""), str(toleration.get("value") or "")
        operator, effect = (
            str(toleration.get("operator") or ""),
            str(toleration.get("effect") or ""),
        )
        if key:
            for problem in qualified_name(key):
                yield invalid(f"{here}.key", key, problem)
        elif operator != "Exists":
            yield invalid(
                f"{here}.operator",
                operator,
                'operator must be Exists when `key` is empty, which means "match all values and'
                ' all keys"',
            )
        seconds = toleration.get("tolerationSeconds")
        if seconds is not None and effect != "NoExecute":
            yield invalid(
                f"{here}.effect",
                effect,
                "effect must be 'NoExecute' when `tolerationSeconds` is set",
            )
        if operator in {"", "Equal"}:
            for problem in label_value(value):
                yield invalid(f"{here}.operator", value, problem)
        elif operator == "Exists":
            if value:
                yield invalid(
                    f"{here}.operator",
                    dict(toleration),
                    "value must be empty when `operator` is 'Exists'",
                )
        else:
            yield not_supported(f"{here}.operator", operator, _TOLERATION_OPERATORS)
        if effect and effect not in _EFFECTS:
            yield not_supported(f"{here}.effect", effect, _EFFECTS)


def check_pod_spec(spec: Mapping[str, Any], path: str) -> Iterator[Cause]:
    """Broken rules of a defaulted pod spec."""
    containers = children(spec, "containers")
    if not containers:
        yield required(f"{path}.containers")
    volumes: set[str] = set()
    for position, volume in enumerate(children(spec, "volumes")):
        here, name = f"{path}.volumes[{position}].name", str(volume.get("name") or "")
        if not name:
            yield required(here)
        else:
            for problem in dns_label(name):
                yield invalid(here, name, problem)
        if name in volumes:
            yield duplicate(here, name)
        volumes.add(name)
    seen: set[str] = set()
    for member, found in (
        ("initContainers", children(spec, "initContainers")),
        ("containers", containers),
    ):
        for position, container in enumerate(found):
            here = f"{path}.{member}[{position}]"
            yield from _check_container(container, here, volumes)
            name = str(container.get("name") or "")
            if name and name in seen:
                yield duplicate(f"{here}.name", name)
            seen.add(name)
    if spec.get("restartPolicy") not in _RESTART_POLICIES:
        yield not_supported(f"{path}.restartPolicy", spec.get("restartPolicy"), _RESTART_POLICIES)
    if spec.get("nodeName"):
        for problem in dns_subdomain(str(spec["nodeName"])):
            yield invalid(f"{path}.nodeName", spec["nodeName"], problem)
    yield from check_labels(spec.get("nodeSelector"), f"{path}.nodeSelector")
    yield from check_tolerations(spec, path)
    yield from check_affinity(spec, f"{path}.affinity")
    yield from check_spread(spec, f"{path}.topologySpreadConstraints")
    yield from _check_sysctls(spec, path)


_SYSCTL = re.compile(r"([a-z0-9]([-_a-z0-9]*[a-z0-9])?[./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?")
_SYSCTL_TEXT = (
    "must have at most 253 characters and match regex"
    " ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"
)


def _check_sysctls(spec: Mapping[str, Any], path: str) -> Iterator[Cause]:
    seen: set[str] = set()
    for position, sysctl in enumerate(children(spec, "securityContext", "sysctls")):
        here = f"{path}.securityContext.sysctls[{position}].name"
        name = str(sysctl.get("name") or "")
        if not name:
            yield required(here)
        elif len(name) > 253 or not _SYSCTL.fullmatch(name):
            yield invalid(here, name, _SYSCTL_TEXT)
        elif name in seen:
            yield duplicate(here, name)
        seen.add(name)
