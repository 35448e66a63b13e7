"""Structural schemas of custom resources: prune, default, validate, and compile for merging.

Source: k8s.io/apiextensions-apiserver pkg/apiserver/schema (pruning, defaulting, listtype) and
k8s.io/kube-openapi pkg/validation (rules, wording).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, cast

from poolwright.kubesim.schema import Shape, shape
from poolwright.kubesim.status import Cause, invalid, not_supported, required
from poolwright.kubesim.structural_embedded import broken_embedded
from poolwright.kubesim.structural_part import (
    EMBEDDED,
    NEW,
    OPEN,
    Schema,
    inner_of,
    is_as_it_was,
    items_of,
    joined,
    old_items,
    old_member,
    properties_of,
)
from poolwright.kubesim.structural_rules import broken_rules

OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_ROOT_MEMBERS = ("apiVersion", "kind", "metadata")


# Pruning and defaulting


def prune(value: Any, schema: Schema, path: str, unknown: list[str], *, root: bool = False) -> None:
    """Drop in place what the schema does not know, noting where it was."""
    if isinstance(value, list):
        items = items_of(schema)
        for position, item in enumerate(cast("list[Any]", value)):
            prune(item, items, f"{path}[{position}]", unknown)
    if not isinstance(value, dict):
        return
    members = cast("dict[str, Any]", value)
    embedded = root or bool(schema.get(EMBEDDED))
    for name in list(members):
        here = joined(path, name)
        if embedded and name in _ROOT_MEMBERS:
            if name == "metadata" and not root:
                _prune_metadata(members[name], here, unknown)
            continue
        inner = inner_of(schema, name)
        if inner is None:
            unknown.append(here)
            del members[name]
        elif inner.get("type") or not inner.get(OPEN):
            prune(members[name], inner, here, unknown)


def _prune_metadata(value: Any, path: str, unknown: list[str]) -> None:
    if isinstance(value, dict):
        metadata = cast("dict[str, Any]", value)
        for name in [name for name in metadata if name not in shape(OBJECT_META).members]:
            unknown.append(f"{path}.{name}")
            del metadata[name]


def default(value: Any, schema: Schema) -> None:
    """Fill in place what was left out; a null that may not be one counts as left out."""
    if isinstance(value, list):
        for item in cast("list[Any]", value):
            default(item, items_of(schema))
    if not isinstance(value, dict):
        return
    members = cast("dict[str, Any]", value)
    for name, inner in properties_of(schema).items():
        if name in members and members[name] is None and not inner.get("nullable"):
            del members[name]
        if name not in members and "default" in inner:
            members[name] = json.loads(json.dumps(inner["default"]))
    for name, found in members.items():
        inner = inner_of(schema, name)
        if inner is not None and found is not None:
            default(found, inner)


# Validation


def validate(value: Any, schema: Schema, old: Any = None) -> Iterator[Cause]:
    """Broken rules of a whole object.

    What an update leaves as it was is not held to rules that came after it ("ratcheting").
    Source: k8s.io/apiextensions-apiserver pkg/apiserver/validation/ratcheting.go, and
    k8s.io/apiserver pkg/cel/common/equality.go (which old value corresponds to which).
    """
    before = NEW if old is None else old
    causes = [*_check(value, schema, "", before), *broken_embedded(value, schema, "")]
    yield from causes
    yield from _rules(value, schema, before, causes)


def validate_status(value: Mapping[str, Any], schema: Schema, old: Any) -> Iterator[Cause]:
    """Broken rules of an object whose status alone is written.

    Source: k8s.io/apiextensions-apiserver pkg/registry/customresource/{status_strategy,validator}.
    """
    inner, causes = inner_of(schema, "status") or {}, list[Cause]()
    if "status" in value:
        found = _check(value["status"], inner, "", old_member(old, "status"))
        for cause in found:  # they name the status only as the place
            field = cause.field.removeprefix("<nil>")
            where = f"status.{field}" if field else "status"
            causes.append(Cause(cause.reason, where, cause.message))
        causes.extend(broken_embedded(value["status"], inner, "status"))
    yield from causes
    yield from _rules(value, schema, old, causes)


_BLOCKING = frozenset(
    ("FieldValueNotSupported", "FieldValueRequired", "FieldValueTooLong", "FieldValueTooMany",
     "FieldValueTypeInvalid")
)  # fmt: skip


def _rules(value: Any, schema: Schema, old: Any, causes: Sequence[Cause]) -> Iterator[Cause]:
    """What rules in CEL say, which are only asked about an object of the right form."""
    if not any(cause.reason in _BLOCKING for cause in causes):
        yield from broken_rules(value, schema, old)
    elif _has_rules(schema):
        yield Cause(
            "FieldValueInvalid",
            "<nil>",
            "Invalid value: null: some validation rules were not checked because the object was"
            " invalid; correct the existing errors to complete validation",
        )


def _has_rules(schema: Schema) -> bool:
    """Whether there is any rule in CEL."""
    if schema.get("x-kubernetes-validations"):
        return True
    more: Any = schema.get("additionalProperties")
    inner = [*properties_of(schema).values(), items_of(schema)]
    inner += [cast("Schema", more)] if isinstance(more, dict) else []
    return any(map(_has_rules, filter(None, inner)))


_NAMES: tuple[tuple[type, str], ...] = (
    (bool, "boolean"), (str, "string"), (dict, "object"), (list, "array"), (int, "integer"),
    (float, "number"),
)  # fmt: skip


def _type_of(value: Any) -> str:
    return next((name for kind, name in _NAMES if isinstance(value, kind)), "null")


def _fits(value: Any, schema: Schema) -> bool:
    if schema.get("x-kubernetes-int-or-string"):
        return isinstance(value, int | str) and not isinstance(value, bool)
    wanted, found = schema.get("type"), _type_of(value)
    if not wanted or wanted == found:
        return True
    if found == "integer":
        return wanted == "number"
    return found == "number" and wanted == "integer" and float(value).is_integer()


def _check(value: Any, schema: Schema, path: str, old: Any = NEW) -> Iterator[Cause]:
    if (value is None and schema.get("nullable")) or is_as_it_was(value, old):
        return
    if not _fits(value, schema):
        wanted, found = schema.get("type") or "integer,string", _type_of(value)
        yield Cause(
            "FieldValueTypeInvalid",
            path or "<nil>",
            f'Invalid value: "{found}": {path} in body must be of type {wanted}: "{found}"',
        )
        return
    allowed = schema.get("enum")
    if allowed and value not in allowed:
        words = [text if isinstance(text, str) else json.dumps(text) for text in allowed]
        yield not_supported(path, value, words)
    if isinstance(value, str):
        yield from _check_text(value, schema, path)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from _check_number(value, schema, path)
    elif isinstance(value, list):
        yield from _check_items(cast("list[Any]", value), schema, path, old)
    elif isinstance(value, dict):
        yield from _check_members(cast("dict[str, Any]", value), schema, path, old)
    yield from _check_choices(value, schema, path)


def _broken(path: str, value: Any, text: str) -> Cause:
    return invalid(path, value, f"{path} in body {text}")


_FORMATS = {
    "date-time": re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)"),
    "date": re.compile(r"\d{4}-\d\d-\d\d"),
    "uuid": re.compile(r"[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}"),
    "byte": re.compile(r"([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"),
    "ipv4": re.compile(r"(\d{1,3}\.){3}\d{1,3}"),
    "email": re.compile(r"[^@\s]+@[^@\s]+"),
    "duration": re.compile(  # github.com/go-openapi/strfmt: anything with a number and a unit
        r"[-+]?0|.*\d\s*(?:(?:ns|us|µs|ms|s|m|h|hr|d|w|wk)(?![a-zµ])|nano|micro|milli|sec|min|hour"
        r"|day|week|(?:[\d.]|ns|us|µs|ms|s|m|h)+$).*",
        re.IGNORECASE | re.DOTALL,
    ),
}


@lru_cache(maxsize=512)
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text)


def _check_text(value: str, schema: Schema, path: str) -> Iterator[Cause]:
    longest, shortest = schema.get("maxLength"), schema.get("minLength")
    if longest is not None and len(value) > longest:
        yield Cause("FieldValueTooLong", path, f"Too long: may not be more than {longest} bytes")
    if shortest is not None and len(value) < shortest:
        yield _broken(path, value, f"should be at least {shortest} chars long")
    pattern = schema.get("pattern")
    if pattern and not _pattern(pattern).search(value):
        yield _broken(path, value, f"should match '{pattern}'")
    wanted = _FORMATS.get(schema.get("format", ""))
    if wanted is not None and not wanted.fullmatch(value):
        text = f'{path} in body must be of type {schema["format"]}: "{value}"'
        yield Cause("FieldValueTypeInvalid", path, invalid(path, value, text).message)


def _check_number(value: int | float, schema: Schema, path: str) -> Iterator[Cause]:
    most, least = schema.get("maximum"), schema.get("minimum")
    if most is not None and (value >= most if schema.get("exclusiveMaximum") else value > most):
        equal = "" if schema.get("exclusiveMaximum") else " or equal to"
        yield _broken(path, value, f"should be less than{equal} {_number(most)}")
    if least is not None and (value <= least if schema.get("exclusiveMinimum") else value < least):
        equal = "" if schema.get("exclusiveMinimum") else " or equal to"
        yield _broken(path, value, f"should be greater than{equal} {_number(least)}")
    factor = schema.get("multipleOf")
    if factor and value % factor:
        yield _broken(path, value, f"should be a multiple of {_number(factor)}")


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else str(value)


def _too_many(path: str, count: int, most: int) -> Cause:
    return Cause("FieldValueTooMany", path, f"Too many: {count}: must have at most {most} items")


def _check_items(items: list[Any], schema: Schema, path: str, old: Any) -> Iterator[Cause]:
    most, least = schema.get("maxItems"), schema.get("minItems")
    if most is not None and len(items) > most:
        yield _too_many(path, len(items), most)
    if least is not None and len(items) < least:
        yield _broken(path, len(items), f"should have at least {least} items")
    for position, (item, was) in enumerate(zip(items, old_items(items, old, schema), strict=True)):
        yield from _check(item, items_of(schema), f"{path}[{position}]", was)
    kind = schema.get("x-kubernetes-list-type")
    keys = schema.get("x-kubernetes-list-map-keys") or ()
    seen: set[str] = set()
    for position, item in enumerate(items if kind in {"set", "map"} else ()):
        identity = item if kind == "set" else {key: item.get(key) for key in keys}
        text = json.dumps(identity, sort_keys=True)
        if text in seen:
            shown = json.dumps(identity, separators=(",", ":"))
            yield Cause("FieldValueDuplicate", f"{path}[{position}]", f"Duplicate value: {shown}")
        seen.add(text)


def _check_members(members: dict[str, Any], schema: Schema, path: str, old: Any) -> Iterator[Cause]:
    most, least = schema.get("maxProperties"), schema.get("minProperties")
    if most is not None and len(members) > most:
        yield _too_many(path, len(members), most)
    if least is not None and len(members) < least:
        yield _broken(path, len(members), f"should have at least {least} properties")
    for name in schema.get("required") or ():
        if name not in members:
            yield required(joined(path, name))
    for name, value in members.items():
        inner = inner_of(schema, name)
        if inner is not None:
            yield from _check(value, inner, joined(path, name), old_member(old, name))


def _check_choices(value: Any, schema: Schema, path: str) -> Iterator[Cause]:
    def holds(part: Schema) -> bool:
        return next(_check(value, part, path), None) is None

    for part in schema.get("allOf") or ():
        yield from _check(value, part, path)
    any_of, one_of = schema.get("anyOf"), schema.get("oneOf")
    if any_of and not any(holds(part) for part in any_of):
        yield invalid(path, "", f'"{path}" must validate at least one schema (anyOf)')
    if one_of:
        held = sum(holds(part) for part in one_of)
        if held != 1:
            found = f"Found {held} valid alternatives" if held else "Found none valid"
            yield invalid(
                path, "", f'"{path}" must validate one and only one schema (oneOf). {found}'
            )
    if schema.get("not") and holds(schema["not"]):
        yield invalid(path, "", f'"{path}" must not validate the schema (not)')


# Merging


def compiled(schema: Schema, *, root: bool = False) -> Shape:
    """The shape that apply and ownership work by."""
    if schema.get("x-kubernetes-int-or-string"):
        return Shape("int-or-string")
    kind = schema.get("type", "")
    if kind == "array":
        item = compiled(items_of(schema))
        return Shape(
            "array",
            item=item,
            list_type=schema.get("x-kubernetes-list-type") or "atomic",
            map_keys=tuple(schema.get("x-kubernetes-list-map-keys") or ()),
            key_defaults={
                key: inner["default"]
                for key, inner in properties_of(items_of(schema)).items()
                if key in (schema.get("x-kubernetes-list-map-keys") or ()) and "default" in inner
            },
        )
    if kind == "object" or root:
        atomic = schema.get("x-kubernetes-map-type") == "atomic"
        more: Any = schema.get("additionalProperties")
        if more and not properties_of(schema):
            inner = compiled(cast("Schema", more)) if isinstance(more, dict) else Shape("any")
            return Shape("map", item=inner, atomic=atomic)
        members = {name: compiled(inner) for name, inner in properties_of(schema).items()}
        if root or schema.get(EMBEDDED):
            members.update(apiVersion=Shape("string"), kind=Shape("string"))
            members["metadata"] = shape(OBJECT_META)
        by_value = frozenset(("metadata",)) if root else frozenset[str]()
        return Shape("object", members=members, atomic=atomic, by_value=by_value)
    return Shape(kind or "any")
