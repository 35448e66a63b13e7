"""Write what the Helm chart says of itself: its README's values, and which settings it accepts.

python tools/make_chart.py          # write
python tools/make_chart.py --check  # exit 1 and name the files that would change

The values come from the comments of ``values.yaml``; the settings, their bounds, and what names and
locations may be, from the product: what ``poolwright up`` would refuse is refused by ``helm``.
"""

from __future__ import annotations

import dataclasses
import json
import re
import sys
import types
import typing
from collections.abc import Iterator, Mapping
from datetime import timedelta
from math import inf
from pathlib import Path
from typing import Any

import yaml

from poolwright.app.settings import Settings
from poolwright.arm.resource_groups import NAME_LENGTH_MAX
from poolwright.model import catalog
from poolwright.model.limits import CLUSTER_NAME_PATTERN
from poolwright.providers.simulated.settings import STEPS

CHART = Path(__file__).parent.parent / "deploy/helm/poolwright"
BEGIN, END = "<!-- values: made by tools/make_chart.py -->", "<!-- /values -->"
NOT_SETTABLE = {
    # What the chart decides, has values of its own for, or takes from Secrets.
    *("server", "adopt", "world.speed", "arm.is_development", "arm.clients", "arm.makes_clusters"),
    # What is for development or for embedded clusters.
    *("kubernetes", "arm.is_loopback", "arm.development_tokens", "arm.identity_header"),
}
BESIDE: Mapping[str, Mapping[str, Any]] = {
    "arm.subscriptions": {"minItems": 1},
    "cloud.failure_weights": {"propertyNames": {"enum": list(STEPS)}},
}
"""What the settings check beside bounds."""
GROUP_NAME = r"^[-\p{L}\p{N}_.()]*[-\p{L}\p{N}_()]$"
"""`check_group_name` in the words of Go's regular expressions; a test compares."""


# --- settings ---------------------------------------------------------------------------------


def schema(kind: Any, path: str = "") -> dict[str, Any]:
    """The JSON schema of a type of the settings."""
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        names = [field.name for field in dataclasses.fields(kind)]
        inner = {name: f"{path}.{name}" if path else name for name in names}
        bounds = getattr(kind, "BOUNDS", {})
        properties = {
            name: {
                **bounded(schema(hints[name], inner[name]), bounds.get(name)),
                **BESIDE.get(inner[name], {}),
            }
            for name in names
            if inner[name] not in NOT_SETTABLE
        }
        return {"type": "object", "additionalProperties": False, "properties": properties}
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return {"enum": list(arguments)}
    if origin is tuple:
        return {"type": "array", "items": schema(arguments[0])}
    if origin in {Mapping, dict}:
        return {"type": "object", "additionalProperties": schema(arguments[1])}
    if origin in {types.UnionType, typing.Union}:
        return {"anyOf": [schema(each) for each in arguments]}
    return dict(_PLAIN[kind])


def bounded(found: dict[str, Any], bounds: tuple[float, float] | None) -> dict[str, Any]:
    """The schema of a field, or of a mapping's values, within bounds; durations: `durations`."""
    if bounds is None:
        return found
    if found.get("type") in {"integer", "number"}:
        limits = zip(("minimum", "maximum"), bounds, strict=True)
        return {**found, **{name: limit for name, limit in limits if limit != inf}}
    for name in ("anyOf", "additionalProperties"):
        inner = found.get(name)
        if isinstance(inner, list):
            return {**found, name: [bounded(each, bounds) for each in inner]}
        if isinstance(inner, dict):
            return {**found, name: bounded(inner, bounds)}
    return found


def durations(kind: Any, path: str = "") -> Iterator[tuple[str, tuple[float, float]]]:
    """The bounds of every duration, in seconds: a schema cannot say them, so a template does."""
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        inner = f"{path}.{field.name}" if path else field.name
        if inner in NOT_SETTABLE:
            continue
        hint = hints[field.name]
        if dataclasses.is_dataclass(hint):
            yield from durations(hint, inner)
        elif timedelta in {hint, *typing.get_args(hint)}:
            yield inner, kind.BOUNDS[field.name]


_NUMBER = r"[0-9]+(\.[0-9]+)?"
_TIME = f"T({_NUMBER}H({_NUMBER}M)?({_NUMBER}S)?|{_NUMBER}M({_NUMBER}S)?|{_NUMBER}S)"
_PLAIN: Mapping[Any, Mapping[str, str]] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    timedelta: {"type": "string", "pattern": f"^P({_NUMBER}D({_TIME})?|{_TIME})$"},
    type(None): {"type": "null"},
}


def having(first: str, *rest: str, of: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of an object in which a path leads to something."""
    inner = having(*rest, of=of) if rest else of
    return {"required": [first], "properties": {first: inner}}


def with_settings(text: str) -> str:
    """``values.schema.json`` with the settings of today."""
    document = json.loads(text)
    document["$defs"] = {"settings": schema(Settings)}
    cluster = document["properties"]["cluster"]["properties"]
    cluster["name"] = {"type": "string", "pattern": f"^({CLUSTER_NAME_PATTERN})$"}
    cluster["resourceGroup"] = {
        "type": "string",
        "maxLength": NAME_LENGTH_MAX,
        "pattern": GROUP_NAME,
    }
    cluster["location"] = {"type": "string", "minLength": 1}
    location = {"enum": list(catalog.regions())}
    document["if"] = having("settings", "arm", "locations", of={"minItems": 1})
    document["else"] = {"properties": {"cluster": {"properties": {"location": location}}}}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


# --- values -----------------------------------------------------------------------------------


def described(text: str) -> Iterator[tuple[str, str]]:
    """Every value of a chart's ``values.yaml`` that has a comment ``# -- …``: path and comment."""
    path: list[tuple[int, str]] = []
    comment: list[str] = []
    for line in text.splitlines():
        found = re.match(r"( *)# (-- )?(.*)", line)
        if found:
            comment = [found[3]] if found[2] else [*comment, found[3]] if comment else []
            continue
        key = re.match(r"( *)([A-Za-z]\w*):", line)
        if key:
            depth = len(key[1])
            path = [*(each for each in path if each[0] < depth), (depth, key[2])]
            if comment:
                yield ".".join(name for _, name in path), " ".join(comment)
        comment = []


def with_values(readme: str, values: str) -> str:
    """The chart's README with the values of today."""
    tree = yaml.safe_load(values)
    lines = ["| value | default |  |", "| --- | --- | --- |"]
    for path, comment in described(values):
        found: Any = tree
        for name in path.split("."):
            found = found[name]
        lines.append(f"| `{path}` | `{json.dumps(found)}` | {comment} |")
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    table = "\n".join(lines)
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{after}"


def files() -> dict[Path, str]:
    """What the files should say."""
    readme, shape = CHART / "README.md", CHART / "values.schema.json"
    bounds = json.dumps(dict(durations(Settings)), indent=2)
    return {
        readme: with_values(readme.read_text(), (CHART / "values.yaml").read_text()),
        shape: with_settings(shape.read_text()),
        CHART / "files/durations.json": f"{bounds}\n",
    }


def main() -> int:
    wanted = files()
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text() != text]
    if sys.argv[1:] == ["--check"]:
        for path in stale:
            print(f"{path.relative_to(CHART.parents[2])} is stale; run `make docs`")
        return 1 if stale else 0
    for path in stale:
        path.write_text(wanted[path])
    return 0


if __name__ == "__main__":
    sys.exit(main())
