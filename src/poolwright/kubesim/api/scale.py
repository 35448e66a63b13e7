"""The scale subresource, of our kinds and of custom ones."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from poolwright.kubesim import meta, status
from poolwright.kubesim.api import negotiate
from poolwright.kubesim.api.call import Call
from poolwright.kubesim.api.output import Output
from poolwright.kubesim.api.target import Target
from poolwright.kubesim.json_path import first, put
from poolwright.kubesim.kinds.cell import age_of, selector_text
from poolwright.kubesim.kinds.kind import Column, ObjectKind, ScalePaths
from poolwright.kubesim.patch import json_patch, merge
from poolwright.kubesim.version import View
from poolwright.model.json_value import child
from poolwright.model.kubernetes import Resource

_KEPT = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
_OURS = ScalePaths(".spec.replicas", ".status.replicas", "")


def _paths(kind: ObjectKind) -> ScalePaths:
    declared = kind.declared.scale if kind.declared else None
    return declared or _OURS


def _selector(kind: ObjectKind, body: dict[str, Any], paths: ScalePaths) -> str:
    if kind.declared is not None:
        return str(first(body, paths.selector) or "") if paths.selector else ""
    selector: Any = child(body, "spec").get("selector")
    if kind.resource.kind == "ReplicationController":
        selector = {"matchLabels": selector or {}}
    text = selector_text(selector)
    return "" if text == "<none>" else text


def scale_of(kind: ObjectKind, body: dict[str, Any]) -> dict[str, Any]:
    """The scale of an object."""
    metadata, paths = body["metadata"], _paths(kind)
    state: dict[str, Any] = {"replicas": first(body, paths.status) or 0}
    selector = _selector(kind, body, paths)
    if selector:
        state["selector"] = selector
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {name: metadata[name] for name in _KEPT if name in metadata},
        "spec": {"replicas": first(body, paths.spec) or 0},
        "status": state,
    }


def _row(body: Mapping[str, Any], now: datetime) -> list[Any]:
    return [body["spec"]["replicas"], body["status"]["replicas"], age_of(body, now)]


_SCALE = ObjectKind(
    Resource("autoscaling", "v1", "scales", "Scale"),
    "scale",
    columns=(
        Column(
            "Desired", "integer",
            description="replicas is the desired number of instances for the scaled object.",
        ),
        Column(
            "Available", "integer",
            description="replicas is the actual number of observed instances of the scaled object.",
        ),
        Column("Age"),
    ),
    row=_row,
)  # fmt: skip
_VIEW = View(_SCALE, _SCALE.resource)


async def _get(call: Call, target: Target) -> None:
    body = call.registry.get(target.view.kind, target.name, target.namespace)
    if body is None:
        raise target.missing
    out = Output(_VIEW, call.form(), call.registry.clock)
    await call.answer(200, out.body(scale_of(target.view.kind, body), None), out.media)


async def _write(call: Call, target: Target) -> None:
    options = call.write_options()
    kind = target.view.kind
    media = call.header(b"content-type").partition(";")[0].strip()
    change = (
        await call.object()
        if call.method == "PUT"
        else negotiate.read_value(await call.body(), media)
    )

    def mutate(body: dict[str, Any]) -> dict[str, Any]:
        shown = scale_of(kind, body)
        if call.method == "PUT":
            wanted: Any = change
        elif isinstance(change, list):
            wanted = json_patch(shown, change)
        else:
            wanted = merge(shown, change)
        sent: Any = child(wanted, "metadata").get("resourceVersion")
        if sent and sent != body["metadata"]["resourceVersion"]:
            resource = target.view.resource
            raise status.conflict(resource.group, resource.plural, target.name)
        replicas: Any = child(wanted, "spec").get("replicas", 0)
        if not isinstance(replicas, int) or replicas < 0:
            raise status.unprocessable(
                "autoscaling",
                "Scale",
                target.name,
                [status.invalid("spec.replicas", replicas, "must be greater than or equal to 0")],
            )
        new = meta.copy_of(body)
        put(new, _paths(kind).spec, replicas)
        call.registry.review(
            kind, "UPDATE", scale_of(kind, new), scale_of(kind, body), options, "scale"
        )
        return new

    made = await call.registry.update(
        kind,
        target.name,
        mutate,
        namespace=target.namespace,
        options=replace(options, is_reviewed=True),
    )
    await call.answer_object(scale_of(kind, made))


SCALE: dict[str, Callable[[Call, Target], Awaitable[None]]] = {
    "GET": _get,
    "PUT": _write,
    "PATCH": _write,
}
