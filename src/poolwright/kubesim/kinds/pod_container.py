"""Rules of containers: what they run, what they ask for, and how they are watched.

Source: validateContainers, validateInitContainers and what they call in k8s.io/kubernetes v1.36
pkg/apis/core/validation/validation.go.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from poolwright.kubesim.kinds.pod_environment import check_sources, check_variables
from poolwright.kubesim.kinds.pod_resource import check_claims, check_resources
from poolwright.kubesim.kinds.pod_security import check_container_security
from poolwright.kubesim.kinds.pod_volume import check_devices, check_mounts
from poolwright.kubesim.rules import dns_label
from poolwright.kubesim.status import Cause, duplicate, forbidden, invalid, not_supported, required
from poolwright.model.json_value import Json, child, children

_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_MESSAGES = ("File", "FallbackToLogsOnError")
_RESIZED = ("cpu", "memory")
_RESIZES = ("NotRequired", "RestartContainer")
_RESTARTS = ("Always", "Never", "OnFailure")
_RULE_ACTIONS = ("Restart", "RestartAllContainers")
_RULE_OPERATORS = ("In", "NotIn")
_SCHEMES = ("HTTP", "HTTPS")
PORT_RANGE = "must be between 1 and 65535, inclusive"
_PORT_NAME = "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"
_HEADER = re.compile("[-A-Za-z0-9]+")
_HEADER_TEXT = (
    "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name',"
    " regex used for validation is '[-A-Za-z0-9]+')"
)
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz")
_PORT_SIGNS = _LETTERS | frozenset("0123456789-")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What of its pod a container's rules depend on."""

    volumes: Mapping[str, Json]
    claims: Sequence[str]
    """The pod's names of resource claims."""
    grace_seconds: int
    restart_policy: str
    host_users: bool


@lru_cache(maxsize=1024)
def check_port_name(text: str) -> Sequence[str]:
    """What is wrong with the name of a port (IsValidPortName)."""
    wrong = ["must be no more than 15 characters"] if len(text) > 15 else []
    if not _PORT_SIGNS.issuperset(text):
        wrong.append(_PORT_NAME)
    if _LETTERS.isdisjoint(text):
        wrong.append("must contain at least one letter (a-z)")
    if "--" in text:
        wrong.append("must not contain consecutive hyphens")
    if text.startswith("-") or text.endswith("-"):
        wrong.append("must not begin or end with a hyphen")
    return wrong


def check_port(value: Any, path: str) -> Iterator[Cause]:
    """Broken rules of a port that is a number or a name."""
    if isinstance(value, str):
        for problem in check_port_name(value):
            yield invalid(path, value, problem)
    elif not isinstance(value, int) or not 1 <= value <= 65535:
        yield invalid(path, value or 0, PORT_RANGE)


def _check_handler(handler: Json, path: str, kinds: Sequence[str], grace: int) -> Iterator[Cause]:
    given = [kind for kind in kinds if handler.get(kind) is not None]
    if not given:
        yield required(path, "must specify a handler type")
        return
    kind, wire = given[0], child(handler, given[0])
    here = f"{path}.{kind}"
    if kind == "exec":
        if not wire.get("command"):
            yield required(f"{here}.command")
    elif kind == "sleep":
        seconds = wire.get("seconds") or 0
        if not 0 <= seconds <= grace:
            why = f"must be non-negative and less than terminationGracePeriodSeconds ({grace})"
            yield invalid(here, seconds, why)
    else:
        yield from check_port(wire.get("port"), f"{here}.port")
        scheme = wire.get("scheme")
        if scheme and scheme not in _SCHEMES:
            yield not_supported(f"{here}.scheme", scheme, _SCHEMES)
        for header in children(wire, "httpHeaders"):
            name = str(header.get("name") or "")
            if not _HEADER.fullmatch(name):
                yield invalid(f"{here}.httpHeaders", name, _HEADER_TEXT)
    for other in given[1:]:
        yield forbidden(f"{path}.{other}", "may not specify more than 1 handler type")


_PROBE_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
_HOOK_HANDLERS = ("exec", "httpGet", "tcpSocket", "sleep")
_PROBE_NUMBERS = (
    "initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold",
    "failureThreshold",
)  # fmt: skip
PROBES = ("livenessProbe", "readinessProbe", "startupProbe")


def _check_probes(container: Json, path: str, around: Surroundings) -> Iterator[Cause]:
    for member in PROBES:
        probe = container.get(member)
        if probe is None:
            continue
        here = f"{path}.{member}"
        yield from _check_handler(probe, here, _PROBE_HANDLERS, around.grace_seconds)
        for name in _PROBE_NUMBERS:
            number = probe.get(name)
            if isinstance(number, int) and number < 0:
                yield invalid(f"{here}.{name}", number, "must be greater than or equal to 0")
        grace = probe.get("terminationGracePeriodSeconds")
        where = f"{here}.terminationGracePeriodSeconds"
        if grace is not None and grace <= 0:
            yield invalid(where, grace, "must be greater than 0")
        if member == "readinessProbe":
            if grace is not None:
                yield invalid(where, grace, "must not be set for readinessProbes")
        elif probe.get("successThreshold") not in {None, 1}:
            yield invalid(f"{here}.successThreshold", probe["successThreshold"], "must be 1")


def _check_lifecycle(container: Json, path: str, around: Surroundings) -> Iterator[Cause]:
    for member in ("postStart", "preStop"):
        hook = child(container, "lifecycle").get(member)
        if hook is not None:
            where = f"{path}.lifecycle.{member}"
            yield from _check_handler(hook, where, _HOOK_HANDLERS, around.grace_seconds)


def _check_ports(container: Json, path: str) -> Iterator[Cause]:
    seen: set[str] = set()
    for position, port in enumerate(children(container, "ports")):
        here = f"{path}.ports[{position}]"
        name = str(port.get("name") or "")
        problems = check_port_name(name) if name else ()
        for problem in problems:
            yield invalid(f"{here}.name", name, problem)
        if name and not problems:
            if name in seen:
                yield duplicate(f"{here}.name", name)
            seen.add(name)
        number = port.get("containerPort")
        if not number:
            yield required(f"{here}.containerPort")
        elif not 1 <= int(number) <= 65535:
            yield invalid(f"{here}.containerPort", number, PORT_RANGE)
        host = port.get("hostPort")
        if host and not 1 <= int(host) <= 65535:
            yield invalid(f"{here}.hostPort", host, PORT_RANGE)
        if port.get("protocol") not in _PROTOCOLS:
            yield not_supported(f"{here}.protocol", port.get("protocol"), _PROTOCOLS)


def _check_host_ports(containers: Sequence[Json], path: str) -> Iterator[Cause]:
    taken: set[str] = set()
    for place, container in enumerate(containers):
        for position, port in enumerate(children(container, "ports")):
            if port.get("hostPort"):
                used = f"{port.get('protocol')}/{port.get('hostIP') or ''}/{port['hostPort']}"
                if used in taken:
                    yield duplicate(f"{path}[{place}].ports[{position}].hostPort", used)
                taken.add(used)


def _check_resizes(container: Json, path: str, restart_policy: str) -> Iterator[Cause]:
    here, seen = f"{path}.resizePolicy", set[str]()
    for position, policy in enumerate(children(container, "resizePolicy")):
        resource = str(policy.get("resourceName") or "")
        restart = str(policy.get("restartPolicy") or "")
        if resource in seen:
            yield duplicate(f"{here}[{position}]", resource)
        seen.add(resource)
        for value, allowed in ((resource, _RESIZED), (restart, _RESIZES)):
            if not value:
                yield required(here)
            elif value not in allowed:
                yield not_supported(here, value, allowed)
        if restart_policy == "Never" and restart != "NotRequired":
            why = "must be 'NotRequired' when pod `restartPolicy` is 'Never'"
            yield invalid(here, restart, why)


def _check_restart(container: Json, path: str) -> Iterator[Cause]:
    policy, rules = container.get("restartPolicy"), children(container, "restartPolicyRules")
    here = f"{path}.restartPolicy"
    if policy is None:
        if rules:
            yield required(here, "must specify restartPolicy when restart rules are used")
    elif policy not in _RESTARTS:
        yield not_supported(here, policy, _RESTARTS)
    for position, rule in enumerate(rules):
        where = f"{path}.restartPolicyRules[{position}]"
        if rule.get("action") not in _RULE_ACTIONS:
            yield not_supported(f"{where}.action", rule.get("action") or "", _RULE_ACTIONS)
        if rule.get("exitCodes") is None:
            yield required(f"{where}.exitCodes", "must be specified")
        elif child(rule, "exitCodes").get("operator") not in _RULE_OPERATORS:
            operator = child(rule, "exitCodes").get("operator") or ""
            yield not_supported(f"{where}.exitCodes.operator", operator, _RULE_OPERATORS)


def _check_common(container: Json, path: str, around: Surroundings) -> Iterator[Cause]:
    name, policy = str(container.get("name") or ""), container.get("imagePullPolicy")
    if not name:
        yield required(f"{path}.name")
    else:
        for problem in dns_label(name):
            yield invalid(f"{path}.name", name, problem)
    if not container.get("image"):
        yield required(f"{path}.image")
    told = container.get("terminationMessagePolicy")
    if told is not None and told not in _MESSAGES:
        yield not_supported(f"{path}.terminationMessagePolicy", told, _MESSAGES)
    yield from _check_ports(container, path)
    yield from check_variables(container, path)
    yield from check_sources(container, path)
    yield from check_mounts(container, path, around.volumes)
    yield from check_devices(container, path, around.volumes)
    if policy not in _PULL_POLICIES:
        yield not_supported(f"{path}.imagePullPolicy", policy, _PULL_POLICIES)
    yield from check_resources(container, path)
    yield from check_claims(container, f"{path}.resources.claims", around.claims)
    yield from _check_resizes(container, path, around.restart_policy)
    yield from check_container_security(container, path, host_users=around.host_users)


def check_containers(spec: Json, path: str, around: Surroundings) -> Iterator[Cause]:
    """Broken rules of the containers that a pod is there for."""
    found, here = children(spec, "containers"), f"{path}.containers"
    if not found:
        yield required(here)
    seen: set[str] = set()
    for position, container in enumerate(found):
        where = f"{here}[{position}]"
        yield from _check_common(container, where, around)
        name = str(container.get("name") or "")
        if name in seen:
            yield duplicate(f"{where}.name", name)
        seen.add(name)
        yield from _check_lifecycle(container, where, around)
        yield from _check_probes(container, where, around)
        yield from _check_restart(container, where)
    yield from _check_host_ports(found, here)


_NOT_INITIAL = "may not be set for init containers without restartPolicy=Always"


def check_init_containers(spec: Json, path: str, around: Surroundings) -> Iterator[Cause]:
    """Broken rules of the containers that run before, or beside."""
    seen = {str(container.get("name") or "") for container in children(spec, "containers")}
    here = f"{path}.initContainers"
    for position, container in enumerate(children(spec, "initContainers")):
        where = f"{here}[{position}]"
        yield from _check_common(container, where, around)
        yield from _check_restart(container, where)
        name = str(container.get("name") or "")
        if name in seen:
            yield duplicate(f"{where}.name", name)
        elif name:
            seen.add(name)
        yield from _check_host_ports((container,), here)
        stays = container.get("restartPolicy") == "Always"
        if stays:
            yield from _check_lifecycle(container, where, around)
            yield from _check_probes(container, where, around)
        else:
            for member in ("lifecycle", *PROBES):
                if container.get(member) is not None:
                    yield forbidden(f"{where}.{member}", _NOT_INITIAL)
            yield from _check_initial_resizes(container, where)


def _check_initial_resizes(container: Json, path: str) -> Iterator[Cause]:
    for position, policy in enumerate(children(container, "resizePolicy")):
        if policy.get("restartPolicy") == "RestartContainer":
            why = "must not be set to 'RestartContainer' for non-sidecar initContainers"
            where = f"{path}.resizePolicy[{position}].restartPolicy"
            yield invalid(where, "RestartContainer", why)
