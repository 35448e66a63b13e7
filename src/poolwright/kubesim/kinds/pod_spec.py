"""Pod specs, alone and in templates: what their rules are, in the order of the real API server.

Source: ValidatePodSpec in k8s.io/kubernetes v1.36 pkg/apis/core/validation/validation.go.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from poolwright.kubesim.kinds.pod_container import (
    Surroundings,
    check_containers,
    check_init_containers,
    check_port,
    check_port_name,
)
from poolwright.kubesim.kinds.pod_default import default_pod_spec
from poolwright.kubesim.kinds.pod_placement import check_affinity, check_spread
from poolwright.kubesim.kinds.pod_resource import check_pod_claims, check_pod_resources
from poolwright.kubesim.kinds.pod_security import (
    check_host_users,
    check_pod_security,
    check_system,
)
from poolwright.kubesim.kinds.pod_volume import check_volumes
from poolwright.kubesim.rules import (
    check_labels,
    dns_label,
    dns_subdomain,
    label_value,
    qualified_name,
)
from poolwright.kubesim.status import Cause, duplicate, forbidden, invalid, not_supported, required
from poolwright.model.json_value import child, children

__all__ = (
    "check_pod_spec", "check_port", "check_port_name", "check_tolerations", "default_pod_spec",
)  # fmt: skip

_RESTART_POLICIES = ("Always", "OnFailure", "Never")
_DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_PREEMPTION_POLICIES = ("PreemptLowerPriority", "Never")
_TOLERATION_OPERATORS = ("Equal", "Exists")
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_ADDRESS = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
_DEADLINE = "must be between 1 and 2147483647, inclusive"


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
                why = "value must be empty when `operator` is 'Exists'"
                yield invalid(f"{here}.operator", value, why)
        else:
            yield not_supported(f"{here}.operator", operator, _TOLERATION_OPERATORS)
        if effect and effect not in _EFFECTS:
            yield not_supported(f"{here}.effect", effect, _EFFECTS)


def _check_address(text: str, path: str) -> Iterator[Cause]:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        yield invalid(path, text, _ADDRESS)


_SEARCH = re.compile(r"[a-z0-9_]([-a-z0-9_]*[a-z0-9_])?(\.[a-z0-9_]([-a-z0-9_]*[a-z0-9_])?)*")


def _check_names_service(spec: Mapping[str, Any], path: str) -> Iterator[Cause]:
    given, config, here = spec.get("dnsConfig"), child(spec, "dnsConfig"), f"{path}.dnsConfig"
    servers = config.get("nameservers") or ()
    if spec.get("dnsPolicy") == "None":
        if given is None:
            yield required(here, "must provide `dnsConfig` when `dnsPolicy` is None")
            return
        if not servers:
            why = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            yield required(f"{here}.nameservers", why)
            return
    if len(servers) > 3:
        yield invalid(f"{here}.nameservers", list(servers), "must not have more than 3 nameservers")
    for position, server in enumerate(servers):
        yield from _check_address(str(server), f"{here}.nameservers[{position}]")
    searches = config.get("searches") or ()
    if len(searches) > 32:
        yield invalid(f"{here}.searches", list(searches), "must not have more than 32 search paths")
    for position, search in enumerate(searches):
        if search != "." and not _SEARCH.fullmatch(search.removesuffix(".")):
            for problem in dns_subdomain(search.removesuffix(".")):
                yield invalid(f"{here}.searches[{position}]", search.removesuffix("."), problem)
    for position, option in enumerate(children(config, "options")):
        if not option.get("name"):
            yield required(f"{here}.options[{position}]", "must not be empty")


def _check_gates(spec: Mapping[str, Any], path: str) -> Iterator[Cause]:
    for position, gate in enumerate(children(spec, "readinessGates")):
        kind = str(gate.get("conditionType") or "")
        for problem in qualified_name(kind):
            yield invalid(f"{path}.readinessGates[{position}].conditionType", kind, problem)
    seen: set[str] = set()
    for position, gate in enumerate(children(spec, "schedulingGates")):
        here, name = f"{path}.schedulingGates[{position}]", str(gate.get("name") or "")
        for problem in qualified_name(name):
            yield invalid(here, name, problem)
        if name in seen:
            yield duplicate(here, name)
        seen.add(name)


_OVERRIDE_MOST = 64


def _check_override(spec: Mapping[str, Any], path: str) -> Iterator[Cause]:
    name = spec.get("hostnameOverride")
    if name is None:
        return
    for member in ("setHostnameAsFQDN", "hostNetwork"):
        if spec.get(member):
            yield forbidden(path, f"may not be specified when {member} is true")
    if len(name) > _OVERRIDE_MOST:
        yield Cause(
            "FieldValueTooLong", path, f"Too long: may not be more than {_OVERRIDE_MOST} bytes"
        )
    for problem in dns_subdomain(str(name)):
        yield invalid(path, name, problem)


def _check_identity(spec: Mapping[str, Any], path: str) -> Iterator[Cause]:
    account, deadline = spec.get("serviceAccountName"), spec.get("activeDeadlineSeconds")
    for problem in dns_subdomain(account) if account else ():
        yield invalid(f"{path}.serviceAccountName", account, problem)
    for problem in dns_subdomain(str(spec["nodeName"])) if spec.get("nodeName") else ():
        yield invalid(f"{path}.nodeName", spec["nodeName"], problem)
    if deadline is not None and not 1 <= deadline <= 2**31 - 1:
        yield invalid(f"{path}.activeDeadlineSeconds", deadline, _DEADLINE)
    for member in ("hostname", "subdomain"):
        for problem in dns_label(str(spec[member])) if spec.get(member) else ():
            yield invalid(f"{path}.{member}", spec[member], problem)
    yield from _check_override(spec, f"{path}.hostnameOverride")
    yield from check_tolerations(spec, path)
    for position, alias in enumerate(children(spec, "hostAliases")):
        here = f"{path}.hostAliases[{position}]"
        yield from _check_address(str(alias.get("ip") or ""), f"{here}.ip")
        for place, name in enumerate(alias.get("hostnames") or ()):
            for problem in dns_subdomain(str(name)):
                yield invalid(f"{here}.hostnames[{place}]", name, problem)
    for member in ("priorityClassName", "runtimeClassName"):
        for problem in dns_subdomain(str(spec[member])) if spec.get(member) else ():
            yield invalid(f"{path}.{member}", spec[member], problem)
    preemption = spec.get("preemptionPolicy")
    if preemption is not None and preemption not in _PREEMPTION_POLICIES:
        yield not_supported(f"{path}.preemptionPolicy", preemption, _PREEMPTION_POLICIES)


_HOST_PORT = "must match `containerPort` when `hostNetwork` is true"


def _check_host_network(spec: Mapping[str, Any], path: str) -> Iterator[Cause]:
    for place, container in enumerate(children(spec, "containers")):
        for position, port in enumerate(children(container, "ports")):
            host = port.get("hostPort") or 0
            if host and host != port.get("containerPort"):
                here = f"{path}.containers[{place}].ports[{position}].hostPort"
                yield invalid(here, host, _HOST_PORT)


def _all_rules(spec: Mapping[str, Any], path: str) -> Iterator[Cause]:
    volumes: dict[str, Mapping[str, Any]] = {}
    yield from check_volumes(spec, path, volumes)
    yield from check_pod_claims(spec, path)
    around = Surroundings(
        volumes,
        [str(claim["name"]) for claim in children(spec, "resourceClaims") if claim.get("name")],
        int(spec.get("terminationGracePeriodSeconds") or 0),
        str(spec.get("restartPolicy") or ""),
        spec.get("hostUsers") is not False,
    )
    yield from check_containers(spec, path, around)
    yield from check_init_containers(spec, path, around)
    yield from check_pod_resources(spec, path)
    if spec.get("hostNetwork"):
        yield from _check_host_network(spec, path)
    if spec.get("restartPolicy") not in _RESTART_POLICIES:
        yield not_supported(f"{path}.restartPolicy", spec.get("restartPolicy"), _RESTART_POLICIES)
    if spec.get("dnsPolicy") not in {None, *_DNS_POLICIES}:
        yield not_supported(f"{path}.dnsPolicy", spec["dnsPolicy"], _DNS_POLICIES)
    yield from check_labels(spec.get("nodeSelector"), f"{path}.nodeSelector")
    yield from check_pod_security(spec, path)
    yield from check_affinity(spec, f"{path}.affinity")
    yield from _check_names_service(spec, path)
    yield from _check_gates(spec, path)
    yield from check_spread(spec, f"{path}.topologySpreadConstraints")
    yield from check_host_users(spec, path)
    yield from _check_identity(spec, path)
    yield from check_system(spec, path)


_OWN = ("affinity", "hostname", "nodeName")
"""What differs between the pods of one template."""
_KEPT_MAX = 16 * 1024
_DRAWN = re.compile(rb'"kube-api-access-[a-z0-9]{5}"')
_FIXED = b'"kube-api-access-00000"'


@lru_cache(maxsize=1024)
def _is_good(text: bytes) -> bool:
    """Whether a spec, as JSON and without what is a pod's own, breaks no rule."""
    return not any(True for _ in _all_rules(msgspec.json.decode(text), "spec"))


def check_pod_spec(spec: Mapping[str, Any], path: str) -> Sequence[Cause]:
    """Broken rules of a defaulted pod spec; the pods of one template are looked at once."""
    text = msgspec.json.encode({n: value for n, value in spec.items() if n not in _OWN})
    drawn = _DRAWN.search(text)
    if drawn is not None and _FIXED not in text:  # the volume of a token has a name of its own
        text = text.replace(drawn[0], _FIXED)
    if len(text) <= _KEPT_MAX and _is_good(text):
        own = {name: spec[name] for name in _OWN if name in spec}
        is_good = not own or not any(True for _ in _own_rules(own, path))
    else:
        is_good = False
    causes = () if is_good else list(_all_rules(spec, path))
    if path != "spec" and spec.get("ephemeralContainers"):
        why = "ephemeral containers not allowed in pod template"
        return [*causes, forbidden(f"{path}.ephemeralContainers", why)]
    return causes


def _own_rules(own: Mapping[str, Any], path: str) -> Iterator[Cause]:
    yield from check_affinity(own, f"{path}.affinity")
    yield from _check_identity(own, path)


def check_new_pod(spec: Mapping[str, Any], path: str = "spec") -> Iterator[Cause]:
    """Broken rules that hold for pods and not for templates, or only while a pod is made."""
    yield from check_pod_spec(spec, path)
    for member in ("containers", "initContainers"):
        for position, container in enumerate(children(spec, member)):
            image = str(container.get("image") or "")
            if image != image.strip():
                why = "must not have leading or trailing whitespace"
                yield invalid(f"{path}.{member}[{position}].image", image, why)
    if spec.get("ephemeralContainers"):
        yield forbidden(f"{path}.ephemeralContainers", "cannot be set on create")
    if spec.get("nodeName") and spec.get("schedulingGates"):
        why = "cannot be set until all schedulingGates have been cleared"
        yield forbidden(f"{path}.nodeName", why)
