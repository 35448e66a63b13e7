"""Secrets that hold a service account's token for as long as they and the account are there.

Source: k8s.io/kubernetes v1.36 pkg/controller/serviceaccount/tokens_controller.go.
"""

from __future__ import annotations

import base64
from collections.abc import Callable

from poolwright.model.json_value import Json, child
from poolwright.model.kubernetes import SECRETS
from poolwright.plan.kubernetes.action import DeleteObject, PatchObject, Plan, Target

TYPE = "kubernetes.io/service-account-token"
_NAME, _UID = (f"kubernetes.io/service-account.{part}" for part in ("name", "uid"))


def account_of(secret: Json) -> str:
    """The name of the account whose token a secret is to hold."""
    return str(child(secret, "metadata", "annotations").get(_NAME) or "")


def plan_account_secret(
    secret: Json, account: Json | None, ca_pem: bytes, sign: Callable[[], str]
) -> Plan:
    """Fill in what is missing; a secret of no account, or of one that had the name before, goes."""
    target = Target.of(SECRETS, secret)
    known = child(secret, "metadata", "annotations").get(_UID)
    uid = None if account is None else account["metadata"]["uid"]
    if uid is None or known not in {None, "", uid}:
        return Plan((DeleteObject(target, "its service account is gone"),))
    data, missing = child(secret, "data"), dict[str, str]()
    ca = _encoded(ca_pem)
    if ca and data.get("ca.crt") != ca:
        missing["ca.crt"] = ca
    if not data.get("namespace"):
        missing["namespace"] = _encoded(target.namespace.encode())
    if not data.get("token"):
        missing["token"] = _encoded(sign().encode())
    if not missing:
        return Plan()
    patch = {"metadata": {"annotations": {_UID: uid}}, "data": missing}
    revision = secret["metadata"].get("resourceVersion", "")
    return Plan((PatchObject(target, patch, "something is missing", revision=revision),))


def _encoded(value: bytes) -> str:
    return base64.b64encode(value).decode()
