"""Stored objects in the form in which this version keeps and tells them.

An earlier version may have kept amounts as they were sent, and left out what is filled in now. A
real API server fills that in whenever it decodes what it stored, so that neither a client that
applies the same manifest nor a controller that compares templates sees a change.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from poolwright.kubesim.conform import conforms
from poolwright.kubesim.entry import decode, encode, pack, read
from poolwright.kubesim.kinds.kind import ObjectKind, no_defaults
from poolwright.kubesim.kinds.stateful import CONTROLLER_REVISION
from poolwright.kubesim.kinds.workload import default_template_of
from poolwright.kubesim.quantities import POD_TEMPLATE, settle, settle_template
from poolwright.kubesim.schema import shape
from poolwright.model.json_value import Json, child, children
from poolwright.model.record import Stored


def in_present_form(
    kind: ObjectKind, stored: Stored[bytes, None]
) -> tuple[Stored[bytes, None], dict[str, Any]]:
    """A record, and it decoded."""
    body = read(kind, stored.spec)
    if kind.declared is not None or not _bring_up(kind, body):
        return stored, body
    whole = decode(stored.spec)  # what is only read may lack a part
    _bring_up(kind, whole)
    return replace(stored, spec=pack(kind, whole)), body


def _bring_up(kind: ObjectKind, body: dict[str, Any]) -> bool:
    """Settle an object in place; whether it changed."""
    if kind.default is no_defaults:
        return settle(kind, body)
    before = encode(body)
    settle(kind, body)
    kind.default(body)
    if kind is CONTROLLER_REVISION:
        _bring_up_revision(body)
    return encode(body) != before


def _bring_up_revision(body: dict[str, Any]) -> None:
    """The history of a workload keeps templates, which are compared with the present one. What a
    client keeps there is its own.
    """
    if not any(_is_workload(owner) for owner in children(body, "metadata", "ownerReferences")):
        return
    template = child(body, "data", "spec", "template")
    plain = {name: value for name, value in template.items() if name != "$patch"}
    if conforms(encode(plain), shape(POD_TEMPLATE)):
        settle_template(cast("dict[str, Any]", template))
        default_template_of(body["data"]["spec"])


def _is_workload(owner: Json) -> bool:
    return owner.get("apiVersion") == "apps/v1" and owner.get("controller") is True
