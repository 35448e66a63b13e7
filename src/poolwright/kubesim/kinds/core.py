"""Core kinds without a life of their own: namespaces, events, configuration, services."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from poolwright.kubesim.kinds.cell import NONE, UNKNOWN, age, age_of, labels_text
from poolwright.kubesim.kinds.kind import Body, Column, ObjectKind
from poolwright.kubesim.kinds.secret_rules import check_data_size, check_secret_type
from poolwright.kubesim.kinds.service_rules import check_service
from poolwright.kubesim.kinds.service_type import (
    begin_of_type,
    choose_families,
    default_of_type,
    keep_of_type,
)
from poolwright.kubesim.kinds.warning import of_service
from poolwright.kubesim.status import Cause, forbidden, invalid
from poolwright.model import kubernetes as names
from poolwright.model.json_value import child, children

_AGE = Column("Age")


# Namespace


def _namespace_default(body: Body) -> None:
    labels = body["metadata"].setdefault("labels", {})
    labels["kubernetes.io/metadata.name"] = body["metadata"].get("name", "")


def _namespace_prepare(body: Body, old: Mapping[str, Any] | None) -> None:
    if old is None:
        body["spec"] = {"finalizers": ["kubernetes"]}
        body["status"] = {"phase": "Active"}


def _namespace_row(body: Mapping[str, Any], now: datetime) -> Sequence[Any]:
    return (str(child(body, "status").get("phase", "")), age_of(body, now))


NAMESPACE = ObjectKind(
    names.NAMESPACES,
    "namespace",
    ("ns",),
    subresources=("finalize", "status"),
    columns=(Column("Status", description="The status of the namespace"), _AGE),
    row=_namespace_row,
    default=_namespace_default,
    prepare=_namespace_prepare,
    name_rule="label",
    fields={"status.phase": lambda body: str(child(body, "status").get("phase") or "")},
    looks=2,
)


# ConfigMap, Secret, ServiceAccount


def _immutable(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> Iterator[Cause]:
    if old is None or not old.get("immutable"):
        return
    if not new.get("immutable"):
        yield forbidden("immutable", "field is immutable when `immutable` is set")
    for member in ("data", "binaryData"):
        if (new.get(member) or {}) != (old.get(member) or {}):
            yield forbidden(member, "field is immutable when `immutable` is set")


_KEY_TEXT = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',"
    "  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)
_KEY_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._")


def _data_keys(body: Mapping[str, Any], *members: str) -> Iterator[Cause]:
    for member in members:
        for key in child(body, member):
            if not key or not _KEY_CHARACTERS.issuperset(key):
                yield invalid(f"{member}[{key}]", key, _KEY_TEXT)


def _config_map_validate(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> Sequence[Cause]:
    size = check_data_size("[]", child(new, "data"), child(new, "binaryData"))
    return [*_data_keys(new, "data", "binaryData"), *size, *_immutable(new, old)]


def _config_map_row(body: Mapping[str, Any], now: datetime) -> Sequence[Any]:
    return (len(child(body, "data")) + len(child(body, "binaryData")), age_of(body, now))


CONFIG_MAP = ObjectKind(
    names.CONFIG_MAPS,
    "configmap",
    ("cm",),
    columns=(Column("Data"), _AGE),
    row=_config_map_row,
    validate=_config_map_validate,
    looks=2,
)


def _secret_default(body: Body) -> None:
    body.setdefault("type", "Opaque")
    plain = body.pop("stringData", None)
    if isinstance(plain, dict):
        data = body.setdefault("data", {})
        for key, value in cast("dict[str, Any]", plain).items():
            data[key] = base64.b64encode(str(value).encode()).decode()


def _secret_validate(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> Sequence[Cause]:
    causes = [*_data_keys(new, "data"), *_immutable(new, old)]
    for key, value in child(new, "data").items():
        try:
            base64.b64decode(str(value), validate=True)
        except binascii.Error:
            causes.append(invalid(f"data[{key}]", value, "illegal base64 data"))
    causes.extend(check_data_size("data", {}, child(new, "data")))
    causes.extend(check_secret_type(new))
    if old is not None and new.get("type") != old.get("type"):
        causes.append(invalid("type", new.get("type"), "field is immutable"))
    return causes


def _secret_row(body: Mapping[str, Any], now: datetime) -> Sequence[Any]:
    return (body.get("type", ""), len(child(body, "data")), age_of(body, now))


SECRET = ObjectKind(
    names.SECRETS,
    "secret",
    columns=(Column("Type"), Column("Data"), _AGE),
    row=_secret_row,
    default=_secret_default,
    validate=_secret_validate,
    fields={"type": lambda body: str(body.get("type") or "")},
    looks=2,
)

SERVICE_ACCOUNT = ObjectKind(
    names.SERVICE_ACCOUNTS,
    "serviceaccount",
    ("sa",),
    subresources=("token",),
    columns=(_AGE,),
    row=lambda body, now: (age_of(body, now),),
    looks=2,
)


# Service


def _service_default(body: Body) -> None:
    spec = body.setdefault("spec", {})
    spec["type"] = spec.get("type") or "ClusterIP"
    spec["sessionAffinity"] = spec.get("sessionAffinity") or "None"
    for port in spec.get("ports") or ():
        port["protocol"] = port.get("protocol") or "TCP"
        if port.get("targetPort") in {None, 0, ""}:
            port["targetPort"] = port.get("port")
    default_of_type(spec)


def _service_prepare(body: Body, old: Mapping[str, Any] | None) -> None:
    spec = body["spec"]
    if old is None:
        body["status"] = {"loadBalancer": {}}
        begin_of_type(spec)
    else:
        keep_of_type(spec, child(old, "spec"))
    choose_families(spec)


def _external_ip(body: Mapping[str, Any]) -> str:
    spec = child(body, "spec")
    given = [str(ip) for ip in spec.get("externalIPs") or ()]
    match spec.get("type"):
        case "ClusterIP" | "NodePort":
            return ",".join(given) or NONE
        case "LoadBalancer":
            ingress = children(body, "status", "loadBalancer", "ingress")
            known = [str(entry.get("ip") or entry.get("hostname") or "") for entry in ingress]
            return ",".join([*known, *given]) or "<pending>"
        case "ExternalName":
            return str(spec.get("externalName", ""))
        case _:
            return UNKNOWN


def _ports(body: Mapping[str, Any]) -> str:
    texts: list[str] = []
    for port in children(body, "spec", "ports"):
        node_port = f":{port['nodePort']}" if port.get("nodePort") else ""
        texts.append(f"{port.get('port')}{node_port}/{port.get('protocol', 'TCP')}")
    return ",".join(texts) or NONE


def _service_row(body: Mapping[str, Any], now: datetime) -> Sequence[Any]:
    spec = child(body, "spec")
    return (
        spec.get("type", ""),
        spec.get("clusterIP") or NONE,
        _external_ip(body),
        _ports(body),
        age_of(body, now),
        labels_text(child(body, "spec", "selector")),
    )


SERVICE = ObjectKind(
    names.SERVICES,
    "service",
    ("svc",),
    ("all",),
    ("status",),
    columns=(
        Column("Type"),
        Column("Cluster-IP"),
        Column("External-IP"),
        Column("Port(s)"),
        _AGE,
        Column("Selector", priority=1),
    ),
    row=_service_row,
    default=_service_default,
    prepare=_service_prepare,
    validate=check_service,
    warn=of_service,
    created_by_put=True,
    name_rule="label",
    fields={
        "spec.clusterIP": lambda body: str(child(body, "spec").get("clusterIP") or ""),
        "spec.type": lambda body: str(child(body, "spec").get("type") or ""),
    },
)


# Event


def _involved(member: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda body: str(child(body, "involvedObject").get(member) or "")


def _top(member: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda body: str(body.get(member) or "")


def _event_default(body: Body) -> None:
    body.setdefault("type", "Normal")
    for member in ("source", "involvedObject"):
        body.setdefault(member, {})


def _event_validate(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> Sequence[Cause]:
    if old is not None:
        return ()
    namespace = new["metadata"].get("namespace")
    involved = child(new, "involvedObject").get("namespace") or "default"
    if involved != namespace:
        return [invalid("involvedObject.namespace", involved, "does not match event.namespace")]
    return ()


def _event_row(body: Mapping[str, Any], now: datetime) -> Sequence[Any]:
    source, involved = child(body, "source"), child(body, "involvedObject")
    series = child(body, "series")
    first = age(body.get("firstTimestamp") or body.get("eventTime"), now)
    last = age(body["lastTimestamp"], now) if body.get("lastTimestamp") else first
    count = body.get("count") or 1
    if series:
        last, count = age(series.get("lastObservedTime"), now), series.get("count", 0)
    kind = str(involved.get("kind", "")).lower()
    target = f"{kind}/{involved['name']}" if involved.get("name") else kind
    component = source.get("component") or body.get("reportingComponent") or ""
    host = source.get("host") or body.get("reportingInstance") or ""
    return (
        last,
        body.get("type", ""),
        body.get("reason", ""),
        target,
        involved.get("fieldPath", ""),
        f"{component}, {host}" if host else component,
        str(body.get("message", "")).strip(),
        first,
        count,
        body["metadata"]["name"],
    )


EVENT = ObjectKind(
    names.EVENTS,
    "event",
    ("ev",),
    columns=(
        Column("Last Seen"),
        Column("Type"),
        Column("Reason"),
        Column("Object"),
        Column("Subobject", priority=1),
        Column("Source", priority=1),
        Column("Message"),
        Column("First Seen", priority=1),
        Column("Count", priority=1),
        Column("Name", priority=1, format="name"),
    ),
    row=_event_row,
    default=_event_default,
    validate=_event_validate,
    created_by_put=True,
    fields={
        "involvedObject.kind": _involved("kind"),
        "involvedObject.namespace": _involved("namespace"),
        "involvedObject.name": _involved("name"),
        "involvedObject.uid": _involved("uid"),
        "involvedObject.apiVersion": _involved("apiVersion"),
        "involvedObject.resourceVersion": _involved("resourceVersion"),
        "involvedObject.fieldPath": _involved("fieldPath"),
        "reason": _top("reason"),
        "reportingComponent": _top("reportingComponent"),
        "reportingController": _top("reportingComponent"),
        "source": lambda body: str(
            child(body, "source").get("component") or body.get("reportingComponent") or ""
        ),
        "type": _top("type"),
    },
    indexed=("involvedObject.uid", "involvedObject.name"),
)
