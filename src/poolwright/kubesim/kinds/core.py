"""Core kinds without a life of their own: namespaces, events, configuration, services."""

from __future__ import annotations

from poolwright.kubesim.kinds.kind import ObjectKind
from poolwright.model import kubernetes as names
from poolwright.model.json_value import child

NAMESPACE = ObjectKind(
    names.NAMESPACES, "namespace", ("ns",), subresources=("status", "finalize"), name_rule="label"
)
CONFIG_MAP = ObjectKind(names.CONFIG_MAPS, "configmap", ("cm",))
SECRET = ObjectKind(
    names.SECRETS, "secret", fields={"type": lambda body: str(body.get("type") or "")}
)
SERVICE_ACCOUNT = ObjectKind(
    names.SERVICE_ACCOUNTS, "serviceaccount", ("sa",), subresources=("token",)
)
SERVICE = ObjectKind(
    names.SERVICES, "service", ("svc",), ("all",), ("status", "proxy"), name_rule="label1035"
)
EVENT = ObjectKind(
    names.EVENTS,
    "event",
    ("ev",),
    fields={"involvedObject.uid": lambda body: str(child(body, "involvedObject").get("uid") or "")},
    indexed=("involvedObject.uid",),
)
