"""A row per property, and reading and writing by a table of rows.

Reading gives only what a request declares: members that are absent, null or "not given" (an
empty string, a disk size of 0) are left out. Writing leaves out what has no value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, cast

from poolwright.model.errors import InvalidRequest
from poolwright.plan.admission_message import invalid


class Wire(Enum):
    """The JSON type of a property, with the name that Go's decoder gives it in messages."""

    STRING = "string"
    INT = "int32"
    BOOL = "bool"
    DOUBLE = "float64"
    STRINGS = "[]string"
    MAP = "map[string]string"
    OBJECT = "object"
    """Kept and shown as sent."""
    OBJECTS = "[]object"
    PARENT = "parent"
    """An object whose members are rows of their own."""
    INSTALL_DRIVER = "installDriver"
    """The boolean that earlier previews had for ``gpuProfile.driver``."""


class Change(Enum):
    """What happens to a property after creation."""

    MUTABLE = "mutable"
    IMMUTABLE = "immutable"
    READ_ONLY = "readonly"
    ACTION = "action"


NULL = object()
"""What a row shows to write an explicit null."""

NO_EFFECT = "accepted, no effect yet"

FIRST = "2019-02-01"
STRICT_SINCE = "2024-01-01"
"""From here on unknown fields are refused. Source: AKS release notes."""


@dataclass(frozen=True, slots=True)
class Property:
    """One property of a resource type.

    ``path`` is dotted, below ``properties``. ``field`` is the model field that it is; without
    one the value is kept among the accepted ones. ``released`` is the first GA version ("": never
    released) and ``previewed`` the first preview ("": as released), ``until`` the last version
    of any kind. ``default`` is what reads show where nothing was given. ``show`` computes what
    reads show. ``effect`` says what it changes in the world.
    """

    path: str
    type: Wire
    field: str = ""
    released: str = FIRST
    previewed: str = ""
    until: str = ""
    change: Change = Change.MUTABLE
    enum: tuple[str, ...] = ()
    range: tuple[int, int] | None = None
    default: Any = None
    exact_case_since: str = ""
    effect: str = NO_EFFECT
    source: str = "SDK"
    show: Callable[[Any], Any] | None = None
    convert: Callable[[Any], Any] | None = None

    def is_in(self, version: str) -> bool:
        """Whether an api-version has this property."""
        if self.until and version > self.until:
            return False
        is_preview = version.endswith("-preview")
        first = (self.previewed or self.released) if is_preview else self.released
        return bool(first) and version >= first


_Written = tuple[tuple[str, ...], str, Callable[[Any], Any]]


@dataclass(slots=True)
class _Place:
    """A wire name at one level: its row, and the rows below it."""

    row: Property | None = None
    below: dict[str, _Place] = field(default_factory=dict[str, "_Place"])


class Table:
    """The properties of one resource type. Places are compiled once per api-version."""

    def __init__(self, rows: Sequence[Property], *, struct: str, target: str) -> None:
        self.rows = tuple(rows)
        self.struct = struct
        self.target = target
        self._places: dict[str, _Place] = {}
        self._visible: dict[str, tuple[Property, ...]] = {}
        self._written: dict[str, tuple[_Written, ...]] = {}

    def visible(self, version: str) -> tuple[Property, ...]:
        """The rows that an api-version has, in writing order."""
        rows = self._visible.get(version)
        if rows is None:
            rows = tuple(row for row in self.rows if row.is_in(version))
            self._visible[version] = rows
        return rows

    def _shown(self, version: str) -> tuple[_Written, ...]:
        """The rows that writing an api-version asks: parents, name, what to show."""
        written = self._written.get(version)
        if written is None:
            paths = ((row.path.split("."), row.show) for row in self.visible(version))
            written = tuple(
                (tuple(path[:-1]), path[-1], show) for path, show in paths if show is not None
            )
            self._written[version] = written
        return written

    def _root(self, version: str) -> _Place:
        root = self._places.get(version)
        if root is None:
            root = _Place()
            for row in self.visible(version):
                here = root
                for name in row.path.split("."):
                    here = here.below.setdefault(name.lower(), _Place())
                here.row = row
            self._places[version] = root
        return root

    def read(
        self,
        wire: Mapping[str, Any],
        version: str,
        *,
        names: Mapping[str, Any] | None = None,
        keep_unknown: bool = False,
    ) -> Reading:
        """What a request declares.

        ``names`` is the tree of names that the published models of this version know; ``None``
        if there is none. ``keep_unknown``: names without a row are kept as sent.

        Raises:
            InvalidRequest: a wrong type or an unknown name (``UnmarshalError``), or a value
                that is not allowed (``InvalidParameter``).
        """
        reading = Reading()
        _Reader(self, version, keep_unknown=keep_unknown, reading=reading).object(
            wire, self._root(version), "", names
        )
        return reading

    def write(
        self, view: Any, version: str, base: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """The wire form of a resource; ``base`` are members to begin with."""
        wire: dict[str, Any] = dict(base or {})
        for parents, name, show in self._shown(version):
            value = show(view)
            if value is None:
                continue
            here = wire
            for parent in parents:
                inner = here.get(parent)
                if not isinstance(inner, dict):
                    inner = {}
                    here[parent] = inner
                here = cast("dict[str, Any]", inner)
            here[name] = None if value is NULL else value
        return wire


@dataclass(slots=True)
class Reading:
    """What a request declares: by model field, and by wire name for what is only accepted."""

    given: dict[str, Any] = field(default_factory=dict[str, Any])
    accepted: dict[str, Any] = field(default_factory=dict[str, Any])


def unknown_field(name: str) -> InvalidRequest:
    """Source: recorded (azure-rest-api-specs#40740)."""
    return InvalidRequest(
        f'UnmarshalEntity encountered error: json: unknown field "{name}" Check that the field is '
        "in the right location, is spelled correctly, and is supported in the API version. Visit "
        "aka.ms/aks/apiversions for more API version information..",
        code="UnmarshalError",
        target=name,
    )


def wrong_type(value: Any, struct: str, path: str, go_type: str) -> InvalidRequest:
    """Source: recorded (AKS#1402)."""
    return InvalidRequest(
        f"UnmarshalEntity encountered error: json: cannot unmarshal {json_type(value)} into Go "
        f"struct field {struct}.{path} of type {go_type}.",
        code="UnmarshalError",
        target=path,
    )


def json_type(value: Any) -> str:
    """What Go calls the JSON type of a value."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


class _Reader:
    """One reading of one body."""

    def __init__(self, table: Table, version: str, *, keep_unknown: bool, reading: Reading) -> None:
        self._table = table
        self._version = version
        self._keep_unknown = keep_unknown
        self._strict = version >= STRICT_SINCE
        self._reading = reading

    def object(self, wire: Mapping[str, Any], here: _Place, prefix: str, names: Any) -> None:
        """Read the members of one object."""
        known: dict[str, Any] = (
            {k.lower(): v for k, v in cast("dict[str, Any]", names).items()}
            if isinstance(names, dict)
            else {}
        )
        for name, value in wire.items():
            path = f"{prefix}{name}"
            place = here.below.get(name.lower())
            inner = known.get(name.lower())
            if place is None:
                self._without_row(name, path, value, inner, is_listed=isinstance(names, dict))
            elif value is not None:
                self._place(value, place, path, inner)

    def _without_row(
        self, name: str, path: str, value: Any, inner: Any, *, is_listed: bool
    ) -> None:
        if inner is None:
            if self._strict and (is_listed or not self._keep_unknown):
                raise unknown_field(name)
            if not self._keep_unknown or is_listed:
                return
        if value is None or inner == "r" or value == "":
            return
        self._check_names(value, inner)
        self._accept(path, value)

    def _check_names(self, value: Any, names: Any) -> None:
        """Unknown members below a name that the models know."""
        if not isinstance(names, dict) or not self._strict:
            return
        tree = cast("dict[str, Any]", names)
        items = cast("list[Any]", value) if isinstance(value, list) else [value]
        for item in items:
            if isinstance(item, dict):
                for name, member in cast("dict[str, Any]", item).items():
                    if name not in tree:
                        raise unknown_field(name)
                    self._check_names(member, tree[name])

    def _accept(self, path: str, value: Any) -> None:
        *parents, name = path.split(".")
        here = self._reading.accepted
        for parent in parents:
            here = here.setdefault(parent, {})
        here[name] = value

    def _place(self, value: Any, place: _Place, path: str, names: Any) -> None:
        row = place.row
        if row is None or row.type is Wire.PARENT:
            if not isinstance(value, dict):
                raise wrong_type(value, self._table.struct, f"properties.{path}", "object")
            if row is not None and row.change is Change.READ_ONLY:
                return
            if row is not None and row.field:
                self._reading.given[row.field] = True
            self.object(cast("dict[str, Any]", value), place, f"{path}.", names)
            return
        if row.change is Change.READ_ONLY:
            return
        result = self._value(row, value)
        if result is None:
            return
        self._check_names(value, names)
        if row.field:
            value = row.convert(result) if row.convert else result
            if value is not None:
                self._reading.given[row.field] = value
        else:
            self._accept(row.path, result)

    def _value(self, row: Property, value: Any) -> Any:
        """A value of the row's type, canonical; None where it means "not given"."""
        check = _TYPES[row.type]
        if not check(value):
            go_type = "bool" if row.type is Wire.INSTALL_DRIVER else row.type.value
            raise wrong_type(value, self._table.struct, f"properties.{row.path}", go_type)
        if value == "":
            return None
        if row.type is Wire.INSTALL_DRIVER:
            return "Install" if value else "None"
        if row.enum:
            if row.type is Wire.STRINGS:
                return [self._choice(row, one) for one in value]
            return self._choice(row, value)
        if row.range and not row.range[0] <= value <= row.range[1]:
            raise invalid(f"{self._table.target}.{row.path}")
        return value

    def _choice(self, row: Property, value: str) -> str:
        exact = bool(row.exact_case_since) and self._version >= row.exact_case_since
        for choice in row.enum:
            if choice == value or (not exact and choice.lower() == value.lower()):
                return choice
        allowed = f"{', '.join(row.enum[:-1])} and {row.enum[-1]}"
        raise InvalidRequest(
            f"The value of parameter {self._table.target}.{row.path} is invalid. Error details: "
            f"value {value} is not allowed. Only {allowed} are allowed.",
            code="InvalidParameter",
            target=f"{self._table.target}.{row.path}",
        )


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -(2**31) <= value < 2**31


def _is_strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in cast("list[Any]", value))


def _is_map(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(one, str) for one in cast("dict[str, Any]", value).values()
    )


_TYPES: Mapping[Wire, Callable[[Any], bool]] = {
    Wire.STRING: lambda v: isinstance(v, str),
    Wire.INT: _is_int,
    Wire.BOOL: lambda v: isinstance(v, bool),
    Wire.DOUBLE: lambda v: isinstance(v, int | float) and not isinstance(v, bool),
    Wire.STRINGS: _is_strings,
    Wire.MAP: _is_map,
    Wire.OBJECT: lambda v: isinstance(v, dict),
    Wire.OBJECTS: lambda v: (
        isinstance(v, list) and all(isinstance(one, dict) for one in cast("list[Any]", v))
    ),
    Wire.INSTALL_DRIVER: lambda v: isinstance(v, bool),
}
