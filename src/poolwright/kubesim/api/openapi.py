"""OpenAPI v3: an index, and one document per group version, for explain and validation."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from typing import Any, cast

from poolwright.kubesim import status
from poolwright.kubesim.api.call import Call
from poolwright.kubesim.entry import encode
from poolwright.kubesim.schema import schema_name, schemas
from poolwright.kubesim.version import VIEWS

_REFERENCE = "#/components/schemas/"
_WRITE_PARAMETERS = [
    {"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}}
    for name in ("dryRun", "fieldManager", "fieldValidation")
]
_FORCE = {"name": "force", "in": "query", "schema": {"type": "boolean", "uniqueItems": True}}


def _path(group: str, version: str) -> str:
    return f"apis/{group}/{version}" if group else f"api/{version}"


def _mentioned(node: Any, found: set[str]) -> set[str]:
    if isinstance(node, dict):
        for key, value in cast("dict[str, Any]", node).items():
            if key == "$ref" and isinstance(value, str):
                found.add(value.removeprefix(_REFERENCE))
            else:
                _mentioned(value, found)
    elif isinstance(node, list):
        for value in cast("list[Any]", node):
            _mentioned(value, found)
    return found


def _closure(roots: set[str]) -> dict[str, Any]:
    known = schemas()
    kept: dict[str, Any] = {}
    waiting = sorted(roots)
    while waiting:
        name = waiting.pop()
        if name not in kept and name in known:
            kept[name] = known[name]
            waiting.extend(sorted(_mentioned(known[name], set())))
    return {name: kept[name] for name in sorted(kept)}


@cache
def document(group: str, version: str) -> bytes:
    """The document of one group version."""
    paths: dict[str, Any] = {}
    base = f"/{_path(group, version)}"
    roots = {
        name
        for name, schema in schemas().items()
        for gvk in schema.get("x-kubernetes-group-version-kind", ())
        if (gvk["group"], gvk["version"]) == (group, version)
    }
    for (g, v, plural), view in VIEWS.items():
        if (g, v) != (group, version):
            continue
        resource = view.resource
        gvk = {"group": g, "version": v, "kind": resource.kind}
        reference = {"$ref": f"{_REFERENCE}{schema_name(g, v, resource.kind)}"}
        answer = {
            "200": {"description": "OK", "content": {"application/json": {"schema": reference}}}
        }
        body = {"content": {"application/json": {"schema": reference}}}
        collection = (
            f"{base}/namespaces/{{namespace}}/{plural}"
            if resource.namespaced
            else f"{base}/{plural}"
        )

        def operation(action: str, *, writes: bool = False, forces: bool = False) -> dict[str, Any]:
            made: dict[str, Any] = {
                "responses": answer,  # noqa: B023
                "x-kubernetes-action": action,
                "x-kubernetes-group-version-kind": gvk,  # noqa: B023
            }
            if writes:
                made["parameters"] = [*_WRITE_PARAMETERS, *([_FORCE] if forces else [])]
                made["requestBody"] = body  # noqa: B023
            return made

        paths[collection] = {"get": operation("list"), "post": operation("post", writes=True)}
        paths[f"{collection}/{{name}}"] = {
            "get": operation("get"),
            "put": operation("put", writes=True),
            "patch": operation("patch", writes=True, forces=True),
            "delete": operation("delete"),
        }
    return encode(
        {
            "openapi": "3.0.0",
            "info": {"title": "Kubernetes", "version": "unversioned"},
            "paths": paths,
            "components": {"schemas": _closure(roots)},
        }
    )


@cache
def _index(prefix: str) -> bytes:
    entries: dict[str, Any] = {}
    for group, version in sorted({(g, v) for g, v, _ in VIEWS}):
        digest = sha256(document(group, version)).hexdigest()[:32].upper()
        path = _path(group, version)
        entries[path] = {"serverRelativeURL": f"{prefix}/openapi/v3/{path}?hash={digest}"}
    return encode({"paths": entries})


async def serve(call: Call) -> None:
    """``/openapi/v3`` and below. There is no v2: clients that know v3 do not ask for it."""
    segments = call.segments
    if len(segments) < 2 or segments[1] != "v3":
        raise status.page_not_found()
    if len(segments) == 2:
        path: str = call.scope["path"]
        await call.answer(200, _index(path[: path.index("/openapi/v3")]))
        return
    rest = segments[2:]
    if rest[0] == "api" and len(rest) == 2:
        group, version = "", rest[1]
    elif rest[0] == "apis" and len(rest) == 3:
        group, version = rest[1], rest[2]
    else:
        raise status.page_not_found()
    if not any((g, v) == (group, version) for g, v, _ in VIEWS):
        raise status.page_not_found()
    await call.answer(200, document(group, version))
