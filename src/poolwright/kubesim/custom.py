"""From a CustomResourceDefinition to the kind that it declares, and its views by version."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from poolwright.kubesim import structural
from poolwright.kubesim.entry import encode
from poolwright.kubesim.json_path import first
from poolwright.kubesim.kinds.cell import age
from poolwright.kubesim.kinds.kind import Body, Column, Declared, ObjectKind, ScalePaths
from poolwright.kubesim.status import Cause
from poolwright.kubesim.version import View
from poolwright.model.json_value import Json, child, children
from poolwright.model.kubernetes import Resource

_CREATED = ".metadata.creationTimestamp"


def kind_of(definition: Json) -> tuple[ObjectKind, tuple[View, ...]] | None:
    """The kind of a definition, as it is stored, and a view of each served version.

    None while the definition is not established.
    """
    conditions = children(definition, "status", "conditions")
    if not any(c.get("type") == "Established" and c.get("status") == "True" for c in conditions):
        return None
    versions = children(definition, "spec", "versions")
    stored = next((v for v in versions if v.get("storage")), None)
    if stored is None:
        return None
    kind = _kind(definition, stored)
    views: list[View] = []
    for version in versions:
        if not version.get("served"):
            continue
        resource, declared = _resource(definition, version), _declared(definition, version)
        if version is stored:
            views.append(View(kind, resource, declared=declared))
        else:
            to_wire, from_wire = _renamed(resource), _renamed(kind.resource)
            views.append(View(kind, resource, to_wire, from_wire, declared))
    return kind, tuple(views)


def _renamed(resource: Resource) -> Callable[[Body], Body]:
    """Conversion by strategy None: only the version is another."""
    return lambda body: {**body, "apiVersion": resource.api_version}


def _resource(definition: Json, version: Json) -> Resource:
    spec, given = child(definition, "spec"), child(definition, "spec", "names")
    return Resource(
        str(spec["group"]),
        str(version["name"]),
        str(given["plural"]),
        str(given["kind"]),
        namespaced=spec.get("scope") == "Namespaced",
    )


def _declared(definition: Json, version: Json) -> Declared:
    schema = child(version, "schema", "openAPIV3Schema")
    scale = child(version, "subresources", "scale")
    return Declared(
        schema=schema,
        shape=structural.compiled(schema, root=True),
        list_kind=str(child(definition, "spec", "names").get("listKind") or ""),
        scale=ScalePaths(
            str(scale.get("specReplicasPath", "")),
            str(scale.get("statusReplicasPath", "")),
            str(scale.get("labelSelectorPath") or ""),
        )
        if scale
        else None,
        validate_status=lambda new, old: list(structural.validate_status(new, schema, old)),
        warning=_warning(definition, version),
    )


def _warning(definition: Json, version: Json) -> str:
    """What users of a deprecated version are told.

    Source: k8s.io/apiextensions-apiserver pkg/apiserver/customresource_handler.go.
    """
    if not version.get("deprecated"):
        return ""
    resource = _resource(definition, version)
    plain = f"{resource.api_version} {resource.kind} is deprecated"
    return str(version.get("deprecationWarning") or plain)


def _kind(definition: Json, version: Json) -> ObjectKind:
    given, declared = child(definition, "spec", "names"), _declared(definition, version)
    schema, subresources = declared.schema, child(version, "subresources")
    columns = children(version, "additionalPrinterColumns")
    has_status = "status" in subresources

    def default(body: Body) -> None:
        structural.default(body, schema)

    def prepare(body: Body, old: Mapping[str, Any] | None) -> None:
        if old is None and has_status:
            body.pop("status", None)

    def validate(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> Sequence[Cause]:
        return list(structural.validate(new, schema, old))

    def revive(body: Body) -> None:
        """Bring an object of an earlier definition to this one."""
        structural.prune(body, schema, "", [], root=True)
        structural.default(body, schema)

    def selectable(path: str) -> Callable[[Mapping[str, Any]], str]:
        def read(body: Mapping[str, Any]) -> str:
            value = first(body, path)
            return str(value).lower() if isinstance(value, bool) else str(value or "")

        return read

    return ObjectKind(
        _resource(definition, version),
        str(given.get("singular") or ""),
        tuple(given.get("shortNames") or ()),
        tuple(given.get("categories") or ()),
        tuple(sorted(name for name in ("scale", "status") if name in subresources)),
        columns=_columns(columns),
        row=_row(columns),
        default=default,
        prepare=prepare,
        validate=validate,
        fields={
            str(f["jsonPath"]).removeprefix("."): selectable(str(f["jsonPath"]))
            for f in children(version, "selectableFields")
        },
        has_generation=True,
        declared=declared,
        revive=revive,
    )


def _columns(columns: Sequence[Json]) -> tuple[Column, ...]:
    if not columns:
        return (Column("Age", "date"),)
    return tuple(
        Column(
            str(column.get("name", "")),
            str(column.get("type", "string")),
            int(column.get("priority") or 0),
            str(column.get("format") or ""),
            str(column.get("description") or f"Custom resource definition column (in JSONPath"
            f" format): {column.get('jsonPath', '')}"),
        )
        for column in columns
    )  # fmt: skip


def _row(columns: Sequence[Json]) -> Callable[[Mapping[str, Any], datetime], Sequence[Any]]:
    wanted = [(str(c.get("jsonPath", "")), str(c.get("type", ""))) for c in columns]

    def row(body: Mapping[str, Any], now: datetime) -> Sequence[Any]:
        return [
            _cell(first(body, path), kind, now) for path, kind in wanted or [(_CREATED, "date")]
        ]

    return row


def _cell(value: Any, kind: str, now: datetime) -> Any:
    """A value as a column of its type shows it; None where there is none."""
    if value is None:
        return None
    match kind:
        case "date":
            return age(value, now) if isinstance(value, str) else None
        case "integer":
            return int(value) if isinstance(value, int | float) else None
        case "number" | "boolean":
            return value
        case _:
            return _text(value)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict | list):
        return encode(value).decode()
    return str(value)
