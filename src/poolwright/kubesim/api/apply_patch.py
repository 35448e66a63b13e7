"""PATCH with ``application/apply-patch+yaml``."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, cast

from poolwright.kubesim import meta, status
from poolwright.kubesim.api.call import Call
from poolwright.kubesim.api.target import Target
from poolwright.kubesim.apply import applied_object, required_manager
from poolwright.kubesim.entry import decode
from poolwright.kubesim.meta import WriteOptions
from poolwright.model.instant import wall_text
from poolwright.model.json_value import Json, child


async def apply(
    call: Call, target: Target, sent: Any, options: WriteOptions
) -> tuple[dict[str, Any], bool]:
    """Apply, creating the object if it is not there; the object, and whether it is new."""
    required_manager(options.manager)
    if not isinstance(sent, dict):
        raise status.bad_request("error decoding YAML: not an object")
    wanted = cast("dict[str, Any]", sent)
    metadata = wanted.setdefault("metadata", {})
    if not isinstance(metadata, dict):
        raise status.bad_request("error decoding YAML: metadata is not an object")
    fields = cast("dict[str, Any]", metadata)
    if fields.get("managedFields"):
        raise status.bad_request("metadata.managedFields must be nil")
    version, kind_name = str(wanted.get("apiVersion") or ""), str(wanted.get("kind") or "")
    resource = target.view.resource
    if (version, kind_name) != (resource.api_version, resource.kind):
        group, _, plain = version.rpartition("/")
        raise status.bad_request(f"invalid object type: {group}/{plain}, Kind={kind_name}")
    name = str(fields.setdefault("name", target.name))
    if name != target.name:
        raise status.bad_request(
            f"the name of the object ({name}) does not match the name on the URL ({target.name})"
        )
    guard = str(fields.pop("resourceVersion", "") or "")
    uid = str(fields.get("uid") or "")
    kind = target.view.shape
    wanted = _settable(target, wanted)
    time = wall_text(call.registry.clock.now().wall)
    force = call.flag("force")
    applied = dataclasses.replace(options, applied=True)

    def result(live: dict[str, Any] | None) -> dict[str, Any]:
        shown = None if live is None else target.view.to_wire(live)
        made = applied_object(
            shown,
            wanted,
            kind,
            manager=options.manager,
            force=force,
            subresource=target.subresource,
            time=time,
            excused=_last_applied(target, shown) if options.manager == _KUBECTL else None,
        )
        new = meta.copy_of(made)
        if options.manager == _KUBECTL:
            _renew_last_applied(new, wanted)
        return target.view.from_wire(new)

    existing = call.registry.entry(target.view.kind, target.name, target.namespace)
    if existing is None:
        if target.subresource or guard or uid:
            raise target.missing
        created = await call.registry.create(
            target.view.kind, result(None), namespace=target.namespace, options=applied
        )
        return created, True
    updated = await call.registry.update(
        target.view.kind,
        target.name,
        result,
        namespace=target.namespace,
        subresource=target.subresource,
        expect=meta.Preconditions(uid, guard),
        options=applied,
    )
    return updated, False


_KUBECTL = "kubectl"
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def _last_applied(target: Target, live: Json | None) -> Json | None:
    """What kubectl applied on its side: its own fields, though other managers hold them.

    Source: k8s.io/apimachinery pkg/util/managedfields/internal/lastappliedmanager.go.
    """
    noted = child(live or {}, "metadata", "annotations").get(_LAST_APPLIED)
    try:
        last = decode(str(noted or "null").encode())
    except ValueError:
        return None
    if not isinstance(last, dict):
        return None
    body = cast("dict[str, Any]", last)
    return body if body.get("apiVersion") == target.view.resource.api_version else None


def _renew_last_applied(new: dict[str, Any], wanted: Json) -> None:
    """Keep what a client-side apply noted true, so that kubectl may go back to applying so.

    Source: k8s.io/apimachinery pkg/util/managedfields/internal/lastappliedupdater.go.
    """
    annotations = child(new, "metadata", "annotations")
    if not annotations.get(_LAST_APPLIED):
        return
    sent: dict[str, Any] = meta.copy_of(wanted)
    sent["metadata"] = dict(sent["metadata"])
    kept = {k: v for k, v in child(sent, "metadata", "annotations").items() if k != _LAST_APPLIED}
    if "annotations" in sent["metadata"]:
        sent["metadata"]["annotations"] = kept
    text = json.dumps(sent, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")  # as Go writes JSON
    new["metadata"]["annotations"] = {**annotations, _LAST_APPLIED: f"{text}\n"}


_OF_STATUS = frozenset(("apiVersion", "kind", "metadata", "status"))


def _settable(target: Target, wanted: dict[str, Any]) -> dict[str, Any]:
    """What is applied without what this request does not touch: nobody owns that by it, nor
    conflicts over it.

    Source: k8s.io/apiserver pkg/registry/rest, ResetFieldsStrategy.
    """
    if target.subresource == "status":
        return {name: value for name, value in wanted.items() if name in _OF_STATUS}
    if target.subresource or not target.view.kind.has_status:
        return wanted
    return {name: value for name, value in wanted.items() if name != "status"}
