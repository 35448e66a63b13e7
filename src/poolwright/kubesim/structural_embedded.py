"""Objects inside custom resources: what they must have.

Source: k8s.io/apiextensions-apiserver pkg/apiserver/schema/objectmeta/validation.go.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from poolwright.kubesim.rules import check_labels, dns_label_1035
from poolwright.kubesim.status import Cause, invalid, required
from poolwright.kubesim.structural_part import EMBEDDED, Schema, inner_of, items_of, joined
from poolwright.model.json_value import child

_CASED = "may have mixed case, but should otherwise match: "


def broken_embedded(value: Any, schema: Schema, path: str) -> Iterator[Cause]:
    """What is wrong with every object that a value holds as such."""
    if isinstance(value, list):
        for position, item in enumerate(cast("list[Any]", value)):
            yield from broken_embedded(item, items_of(schema), f"{path}[{position}]")
    if not isinstance(value, dict):
        return
    members = cast("dict[str, Any]", value)
    if schema.get(EMBEDDED):
        yield from _check(members, path)
    for name, found in members.items():
        inner = inner_of(schema, name) if isinstance(found, dict | list) else None
        if inner:
            yield from broken_embedded(found, inner, joined(path, name))


def _check(members: dict[str, Any], path: str) -> Iterator[Cause]:
    labels = child(members, "metadata").get("labels")
    yield from check_labels(labels or {}, f"{path}.metadata.labels")
    version, kind = members.get("apiVersion"), members.get("kind")
    if not version:
        yield required(f"{path}.apiVersion")
    elif str(version).count("/") > 1:
        why = f"unexpected GroupVersion string: {version}"
        yield invalid(f"{path}.apiVersion", version, why)
    if not kind:
        yield required(f"{path}.kind")
    else:
        for why in dns_label_1035(str(kind).lower()):
            yield invalid(f"{path}.kind", kind, _CASED + why)
