"""Ingresses and their classes, as objects: no controller serves them.

Source of defaults, rules and columns: k8s.io/kubernetes v1.36 pkg/apis/networking,
pkg/registry/networking/ingress and pkg/printers/internalversion/printers.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from poolwright.kubesim.kinds.address import check_domain_path, check_host, parse_address
from poolwright.kubesim.kinds.cell import NONE, age_of
from poolwright.kubesim.kinds.declare import all_of, defaults, starts_with_status, unchanged
from poolwright.kubesim.kinds.kind import Column, ObjectKind
from poolwright.kubesim.kinds.pod_spec import check_port, check_port_name
from poolwright.kubesim.rules import dns_label, dns_subdomain, path_segment
from poolwright.kubesim.status import (
    Cause,
    forbidden,
    invalid,
    not_supported,
    required,
    too_long,
)
from poolwright.model import kubernetes as names
from poolwright.model.json_value import Json, child, children

_AGE = Column("Age")
_SHOWN_MAX = 3
CLASS_ANNOTATION = "kubernetes.io/ingress.class"
_DEFAULT_CLASS = "ingressclass.kubernetes.io/is-default-class"
_PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_NOT_IN_PATHS = ("//", "/./", "/../", "%2f", "%2F")
_NOT_AT_THEIR_END = ("/..", "/.")
_CONTROLLER_MAX = 250


# Ingress


def _check_ingress(new: Mapping[str, Any], _old: Mapping[str, Any] | None) -> Iterator[Cause]:
    spec = child(new, "spec")
    rules = children(spec, "rules")
    backend = spec.get("defaultBackend")
    if not rules and backend is None:
        why = "either `defaultBackend` or `rules` must be specified"
        yield invalid("spec", spec.get("rules"), why)
    if backend is not None:
        yield from _check_backend(backend, "spec.defaultBackend")
    for position, rule in enumerate(rules):
        yield from _check_rule(rule, f"spec.rules[{position}]")
    for position, entry in enumerate(children(spec, "tls")):
        path = f"spec.tls[{position}]"
        hosts: Sequence[Any] = entry.get("hosts") or ()
        for place, host in enumerate(hosts):
            yield from check_host(str(host), f"{path}.hosts[{place}]")
        secret = str(entry.get("secretName") or "")
        for problem in dns_subdomain(secret) if secret else ():
            yield invalid(f"{path}.secretName", secret, problem)
    name = spec.get("ingressClassName")
    for problem in dns_subdomain(str(name)) if name is not None else ():
        yield invalid("spec.ingressClassName", name, problem)


def _check_rule(rule: Json, path: str) -> Iterator[Cause]:
    host = str(rule.get("host") or "")
    if host:
        if parse_address(host) is not None:
            yield invalid(f"{path}.host", host, "must be a DNS name, not an IP address")
        yield from check_host(host, f"{path}.host")
    if rule.get("http") is None:
        return
    paths = children(rule, "http", "paths")
    if not paths:
        yield required(f"{path}.http.paths")
    for position, each in enumerate(paths):
        yield from _check_path(each, f"{path}.http.paths[{position}]")


def _check_path(each: Json, path: str) -> Iterator[Cause]:
    kind, text = each.get("pathType"), str(each.get("path") or "")
    if kind is None:
        yield required(f"{path}.pathType", "pathType must be specified")
        return
    if kind not in _PATH_TYPES:
        yield not_supported(f"{path}.pathType", kind, _PATH_TYPES)
    elif not text.startswith("/") and (text or kind != "ImplementationSpecific"):
        yield invalid(f"{path}.path", text, "must be an absolute path")
    if kind in {"Exact", "Prefix"}:
        for part in _NOT_IN_PATHS:
            if part in text:
                yield invalid(f"{path}.path", text, f"must not contain '{part}'")
        for part in _NOT_AT_THEIR_END:
            if text.endswith(part):
                yield invalid(f"{path}.path", text, f"cannot end with '{part}'")
    yield from _check_backend(child(each, "backend"), f"{path}.backend")


def _check_backend(backend: Json, path: str) -> Iterator[Cause]:
    service, resource = backend.get("service"), backend.get("resource")
    if service is not None and resource is not None:
        yield invalid(path, "", "cannot set both resource and service backends")
    elif resource is not None:
        yield from _check_reference(child(backend, "resource"), f"{path}.resource")
    elif service is not None:
        yield from _check_service(child(backend, "service"), path)
    else:
        yield invalid(path, "", "resource or service backend is required")


def _check_service(service: Json, path: str) -> Iterator[Cause]:
    here = f"{path}.service"
    name = str(service.get("name") or "")
    if not name:
        yield required(f"{here}.name")
    for problem in dns_label(name) if name else ():
        yield invalid(f"{here}.name", name, problem)
    port = child(service, "port")
    word, number = str(port.get("name") or ""), port.get("number") or 0
    if word and number:
        yield invalid(path, "", "cannot set both port name & port number")
    elif word:
        for problem in check_port_name(word):
            yield invalid(f"{here}.port.name", word, problem)
    elif number:
        yield from check_port(number, f"{here}.port.number")
    else:
        yield required(path, "port name or number is required")


def _check_reference(reference: Json, path: str) -> Iterator[Cause]:
    """An object by group, kind and name."""
    group = reference.get("apiGroup")
    for problem in dns_subdomain(str(group)) if group is not None else ():
        yield invalid(f"{path}.apiGroup", group, problem)
    for member in ("kind", "name"):
        text = str(reference.get(member) or "")
        if not text:
            yield required(f"{path}.{member}")
        for problem in path_segment(text) if text else ():
            yield invalid(f"{path}.{member}", text, problem)


def is_default_ingress_class(body: Mapping[str, Any]) -> bool:
    """Whether an ingress that names no class gets this one."""
    return child(body, "metadata", "annotations").get(_DEFAULT_CLASS) == "true"


def _warn_ingress(body: Mapping[str, Any]) -> Iterator[str]:
    is_old = CLASS_ANNOTATION in child(body, "metadata", "annotations")
    if is_old and child(body, "spec").get("ingressClassName") is None:
        yield (
            f'annotation "{CLASS_ANNOTATION}" is deprecated, please use'
            " 'spec.ingressClassName' instead"
        )


def _ingress_row(body: Mapping[str, Any], now: datetime) -> Sequence[Any]:
    spec = child(body, "spec")
    rules = children(spec, "rules")
    hosts = [str(rule["host"]) for rule in rules if rule.get("host")]
    shown = ",".join(hosts[:_SHOWN_MAX]) or "*"
    if len(hosts) >= _SHOWN_MAX and len(rules) > _SHOWN_MAX:
        shown += f" + {len(rules) - _SHOWN_MAX} more..."
    points = children(body, "status", "loadBalancer", "ingress")
    known = {str(point.get("ip") or point.get("hostname") or "") for point in points}
    return (
        spec.get("ingressClassName") or NONE,
        shown,
        ",".join(sorted(known - {""})),
        "80, 443" if spec.get("tls") else "80",
        age_of(body, now),
    )


INGRESS = ObjectKind(
    names.INGRESSES,
    "ingress",
    ("ing",),
    subresources=("status",),
    columns=(
        Column(
            "Class",
            description="The name of the IngressClass resource that should be used for additional"
            " configuration",
        ),
        Column(
            "Hosts",
            description="Hosts that incoming requests are matched against before the ingress rule",
        ),
        Column(
            "Address",
            description="Address is a list containing ingress points for the load-balancer",
        ),
        Column("Ports", description="Ports of TLS configurations that open"),
        _AGE,
    ),
    row=_ingress_row,
    prepare=starts_with_status({"loadBalancer": {}}),
    validate=all_of(_check_ingress),
    warn=_warn_ingress,
    has_generation=True,
)


# IngressClass


def _check_class(new: Mapping[str, Any], _old: Mapping[str, Any] | None) -> Iterator[Cause]:
    spec = child(new, "spec")
    controller = str(spec.get("controller") or "")
    if len(controller) > _CONTROLLER_MAX:
        yield too_long("spec.controller", _CONTROLLER_MAX)
    yield from check_domain_path(controller, "spec.controller")
    if spec.get("parameters") is None:
        return
    path = "spec.parameters"
    parameters = child(spec, "parameters")
    yield from _check_reference(parameters, path)
    scope, namespace = parameters.get("scope"), parameters.get("namespace")
    if scope == "Namespace" and namespace is None:
        yield required(f"{path}.namespace", "`parameters.scope` is set to 'Namespace'")
    elif scope == "Namespace":
        for problem in dns_label(str(namespace)):
            yield invalid(f"{path}.namespace", namespace, problem)
    elif scope == "Cluster" and namespace is not None:
        yield forbidden(f"{path}.namespace", "`parameters.scope` is set to 'Cluster'")
    elif scope != "Cluster":
        yield not_supported(f"{path}.scope", scope, ("Cluster", "Namespace"))


def _class_row(body: Mapping[str, Any], now: datetime) -> Sequence[Any]:
    parameters = child(body, "spec", "parameters")
    group = f".{parameters['apiGroup']}" if parameters.get("apiGroup") is not None else ""
    shown = f"{parameters.get('kind', '')}{group}/{parameters.get('name', '')}"
    is_default = is_default_ingress_class(body)
    return (
        f"{body['metadata']['name']}{' (default)' if is_default else ''}",
        child(body, "spec").get("controller") or "",
        shown if parameters else NONE,
        age_of(body, now),
    )


INGRESS_CLASS = ObjectKind(
    names.INGRESS_CLASSES,
    "ingressclass",
    columns=(
        Column("Name", format="name"),
        Column("Controller", description="Controller that is responsible for handling this class"),
        Column("Parameters", description="A reference to a resource with additional parameters"),
        _AGE,
    ),
    row=_class_row,
    default=defaults({"spec.parameters.scope": "Cluster"}, only_in=("spec.parameters",)),
    validate=all_of(_check_class, unchanged("spec.controller")),
    has_generation=True,
)
