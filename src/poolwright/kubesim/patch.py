"""JSON patch, merge patch and strategic merge patch.

Sources: RFC 6902, RFC 7386, and k8s.io/apimachinery pkg/util/strategicpatch (directives and the
order of merged lists).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from poolwright.kubesim import status
from poolwright.kubesim.schema import ANY, Shape
from poolwright.model.json_value import child

Value = Any
_ABSENT = object()
_DELETE_FROM = "$deleteFromPrimitiveList/"
_ORDER = "$setElementOrder/"


# Merge patch


def merge(target: Value, patch: Value) -> Value:
    """Apply an RFC 7386 merge patch; nothing given is changed in place."""
    if not isinstance(patch, dict):
        return patch
    result = dict(cast("dict[str, Any]", target)) if isinstance(target, dict) else {}
    for name, value in cast("dict[str, Any]", patch).items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge(result.get(name), value)
    return result


# JSON patch


def _unprocessable(message: str) -> status.StatusError:
    return status.StatusError(422, "Invalid", message)


def _go_kind(value: Value) -> str:
    names: tuple[tuple[type, str], ...] = (
        (bool, "bool"), (dict, "object"), (list, "array"), (str, "string"),
    )  # fmt: skip
    return next((name for kind, name in names if isinstance(value, kind)), "number")


def _pointer(text: str) -> list[str]:
    if text == "":
        return []
    if not text.startswith("/"):
        raise _unprocessable("the server rejected our request due to an error in our request")
    return [part.replace("~1", "/").replace("~0", "~") for part in text[1:].split("/")]


def _index(parent: list[Any], token: str, *, adding: bool) -> int:
    if token == "-" and adding:
        return len(parent)
    if not token.lstrip("-").isdigit():
        raise _unprocessable("the server rejected our request due to an error in our request")
    position = int(token)
    if not 0 <= position < len(parent) + adding:
        raise _unprocessable("the server rejected our request due to an error in our request")
    return position


def _find(document: Value, path: list[str]) -> Value:
    here: Any = document
    for token in path:
        if isinstance(here, dict):
            here = cast("dict[str, Any]", here).get(token, _ABSENT)
        elif isinstance(here, list):
            items = cast("list[Any]", here)
            here = items[_index(items, token, adding=False)]
        else:
            here = _ABSENT
        if here is _ABSENT:
            raise _unprocessable("the server rejected our request due to an error in our request")
    return here


def _put(document: Value, path: list[str], value: Value, *, adding: bool) -> Value:
    if not path:
        return value
    parent = _find(document, path[:-1])
    if isinstance(parent, dict):
        if not adding:
            _find(parent, path[-1:])
        parent[path[-1]] = value
    elif isinstance(parent, list):
        position = _index(cast("list[Any]", parent), path[-1], adding=adding)
        if adding:
            cast("list[Any]", parent).insert(position, value)
        else:
            parent[position] = value
    else:
        raise _unprocessable("the server rejected our request due to an error in our request")
    return document


def _take(document: Value, path: list[str]) -> Value:
    if not path:
        raise _unprocessable("the server rejected our request due to an error in our request")
    value = _find(document, path)
    parent = _find(document, path[:-1])
    if isinstance(parent, dict):
        del parent[path[-1]]
    else:
        del parent[_index(parent, path[-1], adding=False)]
    return value


def json_patch(document: dict[str, Any], operations: Value) -> dict[str, Any]:
    """Apply an RFC 6902 patch to a document that is ours to change.

    Raises:
        StatusError: 400 for a malformed patch, 422 where it does not apply.
    """
    if not isinstance(operations, list):
        raise status.bad_request(
            f"error decoding patch: json: cannot unmarshal {_go_kind(operations)} into Go value of"
            " type []handlers.jsonPatchOp"
        )
    result: Value = document
    for operation in cast("list[Any]", operations):
        if not isinstance(operation, dict):
            raise status.bad_request(
                f"error decoding patch: json: cannot unmarshal {_go_kind(operation)} into Go value"
                " of type handlers.jsonPatchOp"
            )
        if "path" not in operation:
            raise _unprocessable("the server rejected our request due to an error in our request")
        step = cast("dict[str, Any]", operation)
        path = _pointer(str(step["path"]))
        match step.get("op"):
            case "add":
                result = _put(result, path, step.get("value"), adding=True)
            case "replace":
                result = _put(result, path, step.get("value"), adding=False)
            case "remove":
                _take(result, path)
            case "move":
                result = _put(
                    result, path, _take(result, _pointer(str(step.get("from", "")))), adding=True
                )
            case "copy":
                result = _put(
                    result, path, _find(result, _pointer(str(step.get("from", "")))), adding=True
                )
            case "test":
                if _find(result, path) != step.get("value"):
                    raise _unprocessable(
                        "the server rejected our request due to an error in our request"
                    )
            case _:
                raise _unprocessable(
                    "the server rejected our request due to an error in our request"
                )
    return cast("dict[str, Any]", result)


# Strategic merge patch


def strategic(target: Mapping[str, Any], patch: Mapping[str, Any], kind: Shape) -> dict[str, Any]:
    """Apply a strategic merge patch, by the strategies of the kind's schema.

    Raises:
        StatusError: 400, an unknown directive or a list item without its merge key.
    """
    if not any(name[:1] == "$" for name in patch):
        return _merged(target, patch, kind)
    directive = patch.get("$patch")
    if directive == "replace":
        return {name: value for name, value in patch.items() if name != "$patch"}
    if directive == "delete":
        return {}
    if directive not in {None, "merge"}:
        raise status.bad_request(f"unknown patch type: {directive}")
    result = dict(target)
    retained = patch.get("$retainKeys")
    if isinstance(retained, list):
        result = {name: value for name, value in result.items() if name in retained}
    for name, value in patch.items():
        if name.startswith(_DELETE_FROM):
            member = name.removeprefix(_DELETE_FROM)
            if isinstance(result.get(member), list) and isinstance(value, list):
                result[member] = [item for item in result[member] if item not in value]
    plain = {name: value for name, value in patch.items() if name[:1] != "$"}
    result = _merged(result, plain, kind)
    for name, order in patch.items():
        member = name.removeprefix(_ORDER)
        if name.startswith(_ORDER) and member in result and isinstance(order, list):
            old: Any = target.get(member)
            base = cast("list[Any]", old) if isinstance(old, list) else []
            wanted = cast("list[Any]", order)
            result[member] = _ordered(result[member], wanted, base, kind.child(member) or ANY)
    return result


def _merged(target: Mapping[str, Any], members: Mapping[str, Any], kind: Shape) -> dict[str, Any]:
    """A target with the members of a patch that are no directives."""
    result = dict(target)
    for name, value in members.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, dict | list):
            result[name] = _strategic_value(result.get(name), value, kind.child(name) or ANY)
        else:
            result[name] = value
    return result


def _strategic_value(old: Value, value: Value, kind: Shape) -> Value:
    if isinstance(value, dict):
        base = cast("dict[str, Any]", old) if isinstance(old, dict) else {}
        return strategic(base, cast("dict[str, Any]", value), kind)
    if isinstance(value, list):
        items = cast("list[Any]", value)
        if "merge" not in kind.strategies:
            return items
        base_items = cast("list[Any]", old) if isinstance(old, list) else []
        if kind.merge_key:
            return _merge_items(base_items, items, kind)
        merged = [*base_items, *(item for item in items if item not in base_items)]
        return _ordered(merged, items, base_items, kind)
    return value


def _merge_items(base: list[Any], patch: list[Any], kind: Shape) -> list[Any]:
    replaces = [child({"item": item}, "item").get("$patch") == "replace" for item in patch]
    if any(replaces):
        return [item for item, is_order in zip(patch, replaces, strict=True) if not is_order]
    result = list(base)
    key = kind.merge_key
    item_kind = kind.item or ANY
    for item in patch:
        if not isinstance(item, dict) or key not in item:
            raise status.bad_request(f"map: {item} does not contain declared merge key: {key}")
        change = cast("dict[str, Any]", item)
        places = [n for n, have in enumerate(result) if have.get(key) == change[key]]
        if change.get("$patch") == "delete":
            result = [have for have in result if have.get(key) != change[key]]
        elif places:
            result[places[0]] = strategic(result[places[0]], change, item_kind)
        else:
            result.append(strategic({}, change, item_kind))
    return _ordered(result, patch, base, kind)


def _ordered(items: Value, wanted: list[Any], base: list[Any], kind: Shape) -> Value:
    """Put items into the order that the client wants. One that it does not name goes before the
    first of the others that stood behind it; one that is new stands as early as may be.

    Source: normalizeElementOrder and mergeSortedSlice.
    """
    if not isinstance(items, list):
        return items
    key = kind.merge_key

    def identity(item: Any) -> str:
        return repr(child({"item": item}, "item").get(key) if key else item)

    rank = {identity(item): place for place, item in reversed(list(enumerate(wanted)))}
    before = {identity(item): place for place, item in reversed(list(enumerate(base)))}
    named: list[Any] = []
    others: list[Any] = []
    for item in cast("list[Any]", items):
        (named if identity(item) in rank else others).append(item)
    named.sort(key=lambda item: rank[identity(item)])
    others.sort(key=lambda item: before.get(identity(item), -1))
    result: list[Any] = []
    for item in named:
        place = before.get(identity(item), -1)
        while others and -1 < before.get(identity(others[0]), -1) < place:
            result.append(others.pop(0))
        result.append(item)
    return [*result, *others]
