"""The published schemas of our kinds, compiled for walking: types, defaults, patch strategies.

``schemas.json`` is written by ``tools/make_kubernetes_schemas.py``, ``go_names.json`` by
``tools/make_kubernetes_go_names.py``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, NoReturn, cast

import msgspec

from poolwright.kubesim import status
from poolwright.model.kubernetes import Resource
from poolwright.model.quantity import is_quantity

_PREFIX = "#/components/schemas/"


@cache
def schemas() -> dict[str, Any]:
    """All schemas by name."""
    return cast(
        "dict[str, Any]",
        msgspec.json.decode(files("poolwright.kubesim").joinpath("schemas.json").read_bytes()),
    )


@cache
def _go_names() -> dict[str, dict[str, str]]:
    """What Go says of the members of a schema: a named type, or ``Struct.`` that they are in."""
    data = files("poolwright.kubesim").joinpath("go_names.json").read_bytes()
    return msgspec.json.decode(data, type=dict[str, dict[str, str]])


@dataclass(slots=True, eq=False)
class Shape:
    """A type of the API. ``kind`` is object, map, array, string, integer, number, boolean,
    quantity, int-or-string or any.
    """

    kind: str
    name: str = ""
    members: dict[str, Shape] = field(default_factory=dict[str, "Shape"])
    item: Shape | None = None
    required: tuple[str, ...] = ()
    list_type: str = "atomic"
    map_keys: tuple[str, ...] = ()
    merge_key: str = ""
    strategies: frozenset[str] = frozenset()
    atomic: bool = False
    key_defaults: Mapping[str, Any] = field(default_factory=dict[str, Any])
    format: str = ""
    schema: str = ""
    by_value: frozenset[str] = frozenset()
    """Members that an empty object has as well: structs that Go holds by value, and what it
    writes as null."""

    def said(self, member: str) -> str:
        """What Go says of a member, where that is not in the schema."""
        return _go_names().get(self.schema, {}).get(member, "")

    def child(self, name: str) -> Shape | None:
        """The type of a member, or None if there is none of that name."""
        if self.kind == "object":
            return self.members.get(name)
        return self.item if self.kind in {"map", "array"} else None


ANY = Shape("any")
KEPT_NULL = "lastProbeTime"
"""The member of conditions that is null and there while no probe ran: a ``metav1.Time`` without
``omitempty`` (k8s.io/api core/v1 types.go, PodCondition).
"""
_ATOMIC_BY_PATCH_ONLY = frozenset({"io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1"})
_by_name: dict[str, Shape] = {}


def shape(name: str) -> Shape:
    """The compiled type behind a schema name."""
    found = _by_name.get(name)
    if found is None:
        found = _by_name[name] = Shape("any", name.rpartition(".")[2], schema=name)
        _compile(found, schemas()[name], name)
    return found


@cache
def schema_name(group: str, version: str, kind: str) -> str:
    """The name of the schema of a kind; empty if there is none."""
    wanted = {"group": group, "kind": kind, "version": version}
    for name, schema in schemas().items():
        if wanted in schema.get("x-kubernetes-group-version-kind", ()):
            return name
    return ""


@cache
def shape_of(resource: Resource) -> Shape:
    """The compiled type of a resource's objects."""
    name = schema_name(resource.group, resource.version, resource.kind)
    return shape(name) if name else ANY


def _compile(made: Shape, schema: Mapping[str, Any], name: str) -> None:
    kind = schema.get("type", "")
    if name.endswith(".Quantity"):
        made.kind = "quantity"
    elif schema.get("format") == "int-or-string":
        made.kind = "int-or-string"
    elif "properties" in schema:
        made.kind = "object"
        made.required = tuple(schema.get("required", ()))
        made.atomic = schema.get("x-kubernetes-map-type") == "atomic"
        for member, inner in schema["properties"].items():
            made.members[member] = _member(inner)
        valued = {name for name, part in schema["properties"].items() if part.get("default") == {}}
        made.by_value = frozenset((*valued, *made.required))
    elif kind == "object" and "additionalProperties" in schema:
        made.kind = "map"
        made.item = _member(schema["additionalProperties"])
        made.atomic = schema.get("x-kubernetes-map-type") == "atomic"
    elif kind == "array":
        made.kind = "array"
        made.item = _member(schema["items"])
        made.list_type = schema.get("x-kubernetes-list-type", "atomic")
        made.map_keys = tuple(schema.get("x-kubernetes-list-map-keys", ()))
        made.merge_key = schema.get("x-kubernetes-patch-merge-key", "")
        made.strategies = frozenset(schema.get("x-kubernetes-patch-strategy", "").split(",")) - {""}
        if made.item.kind == "object":
            properties = _properties(schema["items"])
            made.key_defaults = {
                key: properties[key]["default"]
                for key in made.map_keys
                if "default" in properties.get(key, {})
            }
    elif kind in {"string", "integer", "number", "boolean"}:
        made.kind = kind
        made.format = schema.get("format", "")


def _properties(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = reference_of(schema)
    return schemas()[reference].get("properties", {}) if reference else {}


def reference_of(schema: Mapping[str, Any]) -> str:
    """The name of the schema that one refers to; empty if it says all itself."""
    text = schema.get("$ref") or next(
        (part["$ref"] for part in schema.get("allOf", ()) if "$ref" in part), ""
    )
    return text.removeprefix(_PREFIX)


def _member(schema: Mapping[str, Any]) -> Shape:
    reference = reference_of(schema)
    if not reference:
        made = Shape("any")
        _compile(made, schema, "")
        return made
    strategy = schema.get("x-kubernetes-patch-strategy", "")
    if not strategy:
        return shape(reference)
    referred = shape(reference)  # a member may say how its object is patched (retainKeys)
    made = Shape(referred.kind, referred.name, referred.members, referred.item, referred.required)
    made.strategies = frozenset(strategy.split(","))
    made.atomic = referred.atomic
    made.schema = referred.schema
    made.by_value = referred.by_value
    return made


_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "quantity": (str, int, float),
    "int-or-string": (int, str),
}
_GO_TYPES = {"integer": "int32", "number": "float64", "boolean": "bool", "string": "string"}
_JSON_NAMES: tuple[tuple[type, str], ...] = (
    (bool, "bool"),
    (str, "string"),
    (dict, "object"),
    (list, "array"),
    (int, "number"),
    (float, "number"),
)


class Pruner:
    """Walks an object in place: drops nulls and unknown fields, refuses wrong types.

    ``unknown`` collects the paths of the dropped fields.
    """

    def __init__(self, resource: Resource) -> None:
        self.unknown: list[str] = []
        self._resource = resource
        self._root = ANY

    def walk(self, body: dict[str, Any], kind: Shape) -> None:
        """Prune a whole object.

        Raises:
            StatusError: a value has the wrong type (400).
        """
        self._root = kind
        self._object(body, kind, "", kind)

    def walk_metadata(self, body: dict[str, Any], kind: Shape) -> None:
        """Prune only the metadata of an object, whose type every kind shares."""
        self._root = kind
        metadata = body.get("metadata")
        if metadata is not None:
            self._value(metadata, kind.members["metadata"], "metadata", kind)

    def _object(self, value: dict[str, Any], kind: Shape, path: str, _owner: Shape) -> None:
        for name, inner in list(value.items()):
            member = kind.members.get(name)
            if member is None:
                self.unknown.append(f"{path}{name}")
                del value[name]
            elif inner is not None:
                self._value(inner, member, f"{path}{name}", kind)
            elif name != KEPT_NULL:
                del value[name]

    def _value(self, value: Any, kind: Shape, path: str, owner: Shape) -> None:
        expected = kind.kind
        if expected == "object":
            if not isinstance(value, dict):
                self._mismatch(value, kind, path, owner)
            self._object(cast("dict[str, Any]", value), kind, f"{path}.", owner)
        elif expected == "map":
            if not isinstance(value, dict):
                self._mismatch(value, kind, path, owner)
            assert kind.item is not None
            members = cast("dict[str, Any]", value)
            for name, inner in members.items():
                if inner is None:
                    members[name] = _zero(kind.item)
                else:
                    self._value(inner, kind.item, path, owner)
        elif expected == "array":
            if not isinstance(value, list):
                self._mismatch(value, kind, path, owner)
            assert kind.item is not None
            items = cast("list[Any]", value)
            for position, inner in enumerate(items):
                if inner is None:
                    items[position] = _zero(kind.item)
                else:
                    self._value(inner, kind.item, f"{path}[{position}]", owner)
        elif expected != "any":
            fits = isinstance(value, _PYTHON_TYPES[expected])
            if fits and isinstance(value, bool) and expected != "boolean":
                fits = False
            if fits and isinstance(value, int) and expected in {"integer", "int-or-string"}:
                bound = 1 << (63 if kind.format == "int64" else 31)
                fits = -bound <= value < bound
            if not fits:
                self._mismatch(value, kind, path, owner)
            if expected == "quantity" and not is_quantity(value):
                self._refuse(QUANTITY_TEXT)
            if kind.format:
                self._check_format(value, kind)

    def _check_format(self, value: Any, kind: Shape) -> None:
        """What Go's decoders of times and bytes refuse."""
        if kind.format == "date-time":
            self._check_time(value, is_micro=kind.name == "MicroTime")
        if kind.format == "byte" and not BASE64.fullmatch(value):
            whole = len(value) - len(value) % 4
            bad = next((n for n, c in enumerate(value) if not _BASE64.fullmatch(c)), whole)
            self._refuse(f"illegal base64 data at input byte {bad}")

    def _check_time(self, value: str, *, is_micro: bool) -> None:
        """A MicroTime has six digits after its seconds, no fewer and no more."""
        if (MICRO_TIME if is_micro else TIME).fullmatch(value):
            return
        layout, unread, wanted = "2006-01-02T15:04:05Z07:00", value, "2006"
        if is_micro:
            layout = "2006-01-02T15:04:05.000000Z07:00"
            if TIME.fullmatch(value):
                digits = _SIX_DIGITS.match(value, _SECONDS_END)
                unread = value[digits.end() if digits else _SECONDS_END :]
                wanted = "Z07:00" if digits else ".000000"
        self._refuse(f'parsing time "{value}" as "{layout}": cannot parse "{unread}" as "{wanted}"')

    def _refuse(self, why: str) -> NoReturn:
        resource = self._resource
        raise status.bad_request(
            f'{resource.kind} in version "{resource.version}" cannot be handled as a'
            f" {resource.kind}: {why}"
        )

    def _mismatch(self, value: Any, kind: Shape, path: str, owner: Shape) -> None:
        """Source of the wording: encoding/json's UnmarshalTypeError, as the API server wraps it."""
        found = next((name for python, name in _JSON_NAMES if isinstance(value, python)), "value")
        parts = "".join(part.split("]")[-1] for part in path.split("[")).split(".")
        if found == "number" and kind.kind in {"integer", "int-or-string"}:
            found = f"number {value}"  # one that does not fit
        self._refuse(
            f"json: cannot unmarshal {found} into Go struct field"
            f" {owner.name or self._resource.kind}.{_go_path(self._root, parts)}"
            f" of type {_go_type(kind, owner.said(parts[-1]))}"
        )


QUANTITY_TEXT = (
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
)


_BASE64 = re.compile(r"[A-Za-z0-9+/]")
_SECOND = r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d"
_ZONE = r"([Zz]|[+-]\d\d:\d\d)"
_SECONDS_END = len("2006-01-02T15:04:05")
_SIX_DIGITS = re.compile(r"\.\d{6}")
TIME = re.compile(rf"{_SECOND}(\.\d+)?{_ZONE}")
MICRO_TIME = re.compile(_SECOND + _SIX_DIGITS.pattern + _ZONE)
BASE64 = re.compile(r"([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")


def _zero(kind: Shape) -> Any:
    """What Go makes of a null inside a list or map."""
    if kind.kind in {"object", "map", "any"}:
        return {}
    zeros: dict[str, Any] = {"array": [], "integer": 0, "number": 0, "boolean": False}
    return zeros.get(kind.kind, "")


def _go_path(kind: Shape, parts: Sequence[str]) -> str:
    """The path of a member as Go's decoder has it: with the structs that others embed."""
    path: list[str] = []
    here: Shape | None = kind
    for name in parts:
        while here is not None and here.kind in {"array", "map"}:
            here = here.item
        said = here.said(name) if here is not None else ""
        path.append(f"{said}{name}" if said.endswith(".") else name)
        here = here.members.get(name) if here is not None else None
    return ".".join(path)


def _go_type(kind: Shape, said: str = "") -> str:
    if kind.kind == "array" and kind.item is not None:
        return f"[]{_go_type(kind.item, said)}"
    if kind.kind == "string" and said and not said.endswith("."):
        return said
    if kind.kind == "map" and kind.item is not None and kind.item.kind == "quantity":
        return "v1.ResourceList"
    if kind.kind == "map" and kind.item is not None:
        return f"map[string]{_go_type(kind.item)}"
    if kind.kind == "int-or-string":
        return "int32"
    if kind.kind == "integer":
        return kind.format or "int32"
    if kind.format == "byte":
        return "[]uint8"
    package = f"{kind.schema}.".split(".")[-3:-2] or ["v1"]
    return _GO_TYPES.get(kind.kind) or (
        f"{package[0]}.{kind.name}" if kind.name else "interface {}"
    )
