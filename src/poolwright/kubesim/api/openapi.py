"""OpenAPI, v3 by group version and v2 whole: for explain, validation and generated clients."""

from __future__ import annotations

from hashlib import sha256
from typing import Any, cast

from poolwright.kubesim import status
from poolwright.kubesim.api.call import Call
from poolwright.kubesim.api.review import REVIEWS
from poolwright.kubesim.catalog import Catalog
from poolwright.kubesim.entry import encode
from poolwright.kubesim.schema import schema_name, schemas
from poolwright.kubesim.structural import OBJECT_META
from poolwright.kubesim.version import View
from poolwright.model.kubernetes import Resource

_REFERENCE = "#/components/schemas/"
_LIST_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta"
_GVK = "x-kubernetes-group-version-kind"
_OPEN = "x-kubernetes-preserve-unknown-fields"
_WRITE_PARAMETERS = [
    {"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}}
    for name in ("dryRun", "fieldManager", "fieldValidation")
]
_FORCE = {"name": "force", "in": "query", "schema": {"type": "boolean", "uniqueItems": True}}

Schemas = dict[str, Any]


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


def _closure(roots: set[str], known: Schemas) -> Schemas:
    kept: Schemas = {}
    waiting = sorted(roots)
    while waiting:
        name = waiting.pop()
        if name not in kept and name in known:
            kept[name] = known[name]
            waiting.extend(sorted(_mentioned(known[name], set())))
    return {name: kept[name] for name in sorted(kept)}


# Custom kinds


def _custom_name(view: View, kind: str) -> str:
    resource = view.resource
    return ".".join([*reversed(resource.group.split(".")), resource.version, kind])


def _type_members(view: View) -> Schemas:
    """``apiVersion`` and ``kind`` as every object has them."""
    known = schemas()["io.k8s.api.core.v1.ConfigMap"]["properties"]
    reference = {"allOf": [{"$ref": f"{_REFERENCE}{OBJECT_META}"}]}
    meta = {**reference, "description": "Standard object's metadata."}
    return {"apiVersion": known["apiVersion"], "kind": known["kind"], "metadata": meta}


def _with_embedded(schema: Any, view: View) -> Any:
    """A schema whose embedded objects have the members of every object."""
    if isinstance(schema, list):
        return [_with_embedded(item, view) for item in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    made = {name: _with_embedded(part, view) for name, part in cast("Schemas", schema).items()}
    if made.get("x-kubernetes-embedded-resource") is True:
        made["properties"] = {**made.get("properties", {}), **_type_members(view)}
        made["required"] = sorted({*made.get("required", ()), "apiVersion", "kind"})
    return made


def _custom_schemas(view: View) -> Schemas:
    """The schemas of one version of a custom kind and its list."""
    assert view.declared is not None
    resource, declared = view.resource, view.declared
    gvk = {"group": resource.group, "kind": resource.kind, "version": resource.version}
    made = _with_embedded(dict(declared.schema), view)
    made["properties"] = {**made.get("properties", {}), **_type_members(view)}
    made[_GVK] = [gvk]
    name = _custom_name(view, resource.kind)
    items = {"$ref": f"{_REFERENCE}{name}"}
    members = _type_members(view)
    members["metadata"] = {"$ref": f"{_REFERENCE}{_LIST_META}"}
    return {
        name: made,
        _custom_name(view, declared.list_kind): {
            "description": f"{declared.list_kind} is a list of {resource.kind}",
            "properties": {**members, "items": {"items": items, "type": "array"}},
            "required": ["items"],
            "type": "object",
            _GVK: [{**gvk, "kind": declared.list_kind}],
        },
    }


# Documents


def _schema_of(view: View) -> str:
    resource = view.resource
    if view.declared is not None:
        return _custom_name(view, resource.kind)
    return schema_name(resource.group, resource.version, resource.kind)


_REVIEWED = [
    Resource(group, version, plural, review.kind, namespaced=review.namespaced)
    for (group, version, plural), review in REVIEWS.items()
]


def _review_paths(group: str, version: str) -> Schemas:
    """The operations on what is only asked, and kept nowhere."""
    made: Schemas = {}
    for resource in _REVIEWED:
        if (resource.group, resource.version) == (group, version):
            made.update(_paths(resource, schema_name(group, version, resource.kind)))
    return made


def _served(catalog: Catalog) -> set[tuple[str, str]]:
    return catalog.groups() | {(group, version) for group, version, _ in REVIEWS}


def _paths(resource: Resource, schema: str) -> Schemas:
    """The operations on one kind."""
    gvk = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    content = {"application/json": {"schema": {"$ref": f"{_REFERENCE}{schema}"}}}
    base = f"/{_path(resource.group, resource.version)}"
    scope = "/namespaces/{namespace}" if resource.namespaced else ""
    collection = f"{base}{scope}/{resource.plural}"

    def operation(action: str, *, writes: bool = False, forces: bool = False) -> Schemas:
        made: Schemas = {
            "responses": {"200": {"description": "OK", "content": content}},
            "x-kubernetes-action": action,
            _GVK: gvk,
        }
        if writes:
            made["parameters"] = [*_WRITE_PARAMETERS, *([_FORCE] if forces else [])]
            made["requestBody"] = {"content": content}
        return made

    if (resource.group, resource.version, resource.plural) in REVIEWS:
        return {collection: {"post": operation("post", writes=True)}}
    return {
        collection: {"get": operation("list"), "post": operation("post", writes=True)},
        f"{collection}/{{name}}": {
            "get": operation("get"),
            "put": operation("put", writes=True),
            "patch": operation("patch", writes=True, forces=True),
            "delete": operation("delete"),
        },
    }


def _views(catalog: Catalog, group: str, version: str) -> list[View]:
    return [view for (g, v, _), view in catalog.views.items() if (g, v) == (group, version)]


def document(catalog: Catalog, group: str, version: str) -> bytes:
    """The v3 document of one group version."""
    key = ("openapi", group, version)
    if key in catalog.made:
        return catalog.made[key]
    known = schemas()
    roots = {
        name
        for name, schema in known.items()
        for gvk in schema.get(_GVK, ())
        if (gvk["group"], gvk["version"]) == (group, version)
    }
    paths = _review_paths(group, version)
    for view in _views(catalog, group, version):
        paths.update(_paths(view.resource, _schema_of(view)))
        if view.declared is not None:
            mine = _custom_schemas(view)
            known = {**known, **mine}
            roots.update(mine)
    catalog.made[key] = encode(
        {
            "openapi": "3.0.0",
            "info": {"title": "Kubernetes", "version": "unversioned"},
            "paths": paths,
            "components": {"schemas": _closure(roots, known)},
        }
    )
    return catalog.made[key]


def _index(catalog: Catalog, prefix: str) -> bytes:
    entries: Schemas = {}
    for group, version in sorted(_served(catalog)):
        digest = sha256(document(catalog, group, version)).hexdigest()[:32].upper()
        path = _path(group, version)
        entries[path] = {"serverRelativeURL": f"{prefix}/openapi/v3/{path}?hash={digest}"}
    return encode({"paths": entries})


# Version 2


def _to_v2(schema: Any) -> Any:
    """A schema in the older form: plain references, no choices, no nulls.

    Source: k8s.io/apiextensions-apiserver pkg/controller/openapi/v2/conversion.go.
    """
    if isinstance(schema, list):
        return [_to_v2(item) for item in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    node = dict(cast("Schemas", schema))
    parts = node.pop("allOf", None)
    if parts and "$ref" in parts[0]:
        node["$ref"] = parts[0]["$ref"]
        node.pop("default", None)
    if "oneOf" in node and "type" not in node and "format" not in node:
        node["type"] = "string"  # quantities
    if node.get("format") == "int-or-string":
        node["type"] = "string"
    for name in ("oneOf", "anyOf", "not"):
        node.pop(name, None)
    if node.pop("nullable", False) or node.get(_OPEN) is True:
        for name in ("items", "properties", *(["type"] if node.get("type") != "string" else [])):
            node.pop(name, None)
    if node.get("type") == "array" and "items" not in node:
        del node["type"]
    if isinstance(node.get("$ref"), str):
        node["$ref"] = node["$ref"].replace(_REFERENCE, "#/definitions/")
    for name in ("items", "additionalProperties"):
        if name in node:
            node[name] = _to_v2(node[name])
    if "properties" in node:
        node["properties"] = {n: _to_v2(inner) for n, inner in node["properties"].items()}
    return node


def whole(catalog: Catalog) -> bytes:
    """The v2 document."""
    key = ("openapi", "v2")
    if key not in catalog.made:
        known = dict(schemas())
        paths: Schemas = {}
        for view in catalog.views.values():
            if view.declared is not None:
                known.update(_custom_schemas(view))
            for path, operations in _paths(view.resource, _schema_of(view)).items():
                paths[path] = {name: _operation_to_v2(o) for name, o in operations.items()}
        definitions = {name: _definition(known[name]) for name in sorted(known)}
        catalog.made[key] = encode(
            {
                "swagger": "2.0",
                "info": {"title": "Kubernetes", "version": "unversioned"},
                "paths": paths,
                "definitions": definitions,
            }
        )
    return catalog.made[key]


def _definition(schema: Schemas) -> Schemas:
    """A schema of its own in the older form. A kind that is open at its root has no members:
    kubectl would refuse all others.

    Source: k8s.io/apiextensions-apiserver pkg/controller/openapi/builder, buildKubeNative.
    """
    if schema.get(_OPEN) is True and _GVK in schema:
        return {"type": "object", _GVK: schema[_GVK]}
    return _to_v2(schema)


def _operation_to_v2(operation: Schemas) -> Schemas:
    content = operation["responses"]["200"]["content"]
    schema = _to_v2(content["application/json"]["schema"])
    made = {name: value for name, value in operation.items() if name != "requestBody"}
    made["responses"] = {"200": {"description": "OK", "schema": schema}}
    parameters = [{**p, "type": p["schema"]["type"]} for p in operation.get("parameters", ())]
    for parameter in parameters:
        del parameter["schema"]
    if "requestBody" in operation:
        parameters.append({"name": "body", "in": "body", "required": True, "schema": schema})
    if parameters:
        made["parameters"] = parameters
    return made


# kubectl asks for v2 in protobuf only where v3 does not know a kind, to check a manifest on its
# own side; what it does not find there it leaves to the server. So the document is only its head:
# fields 1 (swagger), 2 (info: title, version) and 8 (paths) of openapi.v2.Document.
_V2_PROTOBUF = "application/com.github.proto-openapi.spec.v2"
_V2_HEAD = (
    b"\x0a\x032.0"
    b"\x12\x19\x0a\x0aKubernetes\x12\x0bunversioned"
    b"\x42\x00"
)  # fmt: skip


async def _serve_v2(call: Call) -> None:
    accept = call.header(b"accept")
    if accept and _V2_PROTOBUF in accept and "application/json" not in accept:
        await call.answer(200, _V2_HEAD, f"{_V2_PROTOBUF}.v1.0+protobuf")
        return
    if accept and not any(word in accept for word in ("application/json", "*/*")):
        raise status.StatusError(
            406,
            "NotAcceptable",
            "only the following media types are accepted: application/json",
        )
    data = whole(call.registry.catalog)
    tag = f'"{sha256(data).hexdigest()[:32].upper()}"'
    if call.header(b"if-none-match") == tag:
        await call.answer(304, b"", headers=[(b"etag", tag.encode())])
        return
    await call.answer(200, data, headers=[(b"etag", tag.encode())])


async def serve(call: Call) -> None:
    """``/openapi/v2``, ``/openapi/v3`` and below."""
    segments, catalog = call.segments, call.registry.catalog
    if segments[1:] == ["v2"]:
        await _serve_v2(call)
        return
    if len(segments) < 2 or segments[1] != "v3":
        raise status.page_not_found()
    if len(segments) == 2:
        path: str = call.scope["path"]
        await call.answer(200, _index(catalog, path[: path.index("/openapi/v3")]))
        return
    rest = segments[2:]
    if rest[0] == "api" and len(rest) == 2:
        group, version = "", rest[1]
    elif rest[0] == "apis" and len(rest) == 3:
        group, version = rest[1], rest[2]
    else:
        raise status.page_not_found()
    if (group, version) not in _served(catalog):
        raise status.page_not_found()
    await call.answer(200, document(catalog, group, version))
