"""Label and field selectors: reading their text and matching entries.

Source: k8s.io/apimachinery pkg/labels/selector.go (grammar) and pkg/fields/selector.go.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from poolwright.kubesim import status
from poolwright.kubesim.entry import Entry
from poolwright.kubesim.kinds.kind import ObjectKind
from poolwright.kubesim.rules import label_value, qualified_name
from poolwright.model.label_selector import LabelRule, LabelSelector

_TOKEN = re.compile(r"\s*(==|!=|[!=<>,()]|[^\s!=<>,()]+)")
_INTEGER = re.compile(r"[+-]?\d+")
_SYMBOLS = frozenset(("==", "!=", "!", "=", "<", ">", ",", "(", ")", ""))
_NO_BEGINNING = _SYMBOLS - {"!"}
_SIGNS = {"in": "In", "notin": "NotIn", "=": "In", "==": "In", "!=": "NotIn", ">": "Gt", "<": "Lt"}


class _Reader:
    """Walks the tokens of a label selector; behind the last one they are empty."""

    def __init__(self, text: str) -> None:
        self._tokens: list[str] = _TOKEN.findall(text)
        self._at = 0

    @property
    def ahead(self) -> str:
        """The next token."""
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def take(self) -> str:
        """The next token, left behind."""
        token = self.ahead
        self._at += 1
        return token

    def requirement(self) -> LabelRule:
        """One condition.

        Raises:
            StatusError: 400, something else.
        """
        absent = self.ahead == "!"
        if absent:
            self.take()
        key = self._text("identifier")
        for problem in qualified_name(key):
            raise _unread(f'key: Invalid value: "{key}": {problem}')
        if absent or self.ahead in {"", ","}:
            return LabelRule(key, "DoesNotExist" if absent else "Exists")
        sign = self.take()
        operator = _SIGNS.get(sign)
        if operator is None:
            raise _unread(f"found '{sign}', expected: in, notin, =, ==, !=, gt, lt")
        if sign in {"in", "notin"}:
            return LabelRule(key, operator, self._values())
        value = "" if self.ahead in {"", ","} else self._text("identifier")
        return LabelRule(key, operator, (value,))

    def _text(self, expected: str) -> str:
        token = self.take()
        if token in _SYMBOLS:
            raise _unread(f"found '{token}', expected: {expected}")
        return token

    def _values(self) -> tuple[str, ...]:
        opening = self.take()
        if opening != "(":
            raise _unread(f"found '{opening}' expected: '('")
        values: list[str] = []
        while True:
            values.append("" if self.ahead in {",", ")"} else self._text("',', or identifier"))
            separator = self.take()
            if separator == ")":
                return tuple(sorted(set(values)))
            if separator != ",":
                raise _unread(f"found '{separator}', expected: ',' or ')'")


def _unread(why: str) -> status.StatusError:
    return status.bad_request(f"unable to parse requirement: {why}")


def parse_labels(text: str) -> tuple[LabelRule, ...]:
    """Read a label selector; the empty text selects everything.

    Raises:
        StatusError: 400, not a selector.
    """
    reader = _Reader(text)
    found: list[LabelRule] = []
    if reader.ahead and reader.ahead in _NO_BEGINNING:
        raise status.bad_request(
            f"found '{reader.ahead}', expected: !, identifier, or 'end of string'"
        )
    while reader.ahead:
        found.append(reader.requirement())
        _check_values(found[-1])
        token = reader.take()
        if token not in {"", ","}:
            raise status.bad_request(f"found '{token}', expected: ',' or 'end of string'")
        if token and reader.ahead in _NO_BEGINNING:
            raise status.bad_request(f"found '{reader.ahead}', expected: identifier after ','")
    return tuple(found)


def _check_values(requirement: LabelRule) -> None:
    for position, value in enumerate(requirement.values):
        if requirement.operator in {"Gt", "Lt"} and not _INTEGER.fullmatch(value):
            raise _unread(
                f"values[{position}]: Invalid value: \"{value}\": for 'Gt', 'Lt' operators,"
                " the value must be an integer"
            )
        for problem in label_value(value):
            raise _unread(
                f'values[{position}][{requirement.key}]: Invalid value: "{value}": {problem}'
            )


def matches(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Whether labels satisfy a ``LabelSelector`` object; a missing one matches nothing."""
    return selector is not None and LabelSelector.from_object(selector).matches(labels)


@dataclass(frozen=True, slots=True)
class FieldTerm:
    """One condition on a field."""

    label: str
    value: str
    negated: bool


def parse_fields(text: str, kind: ObjectKind) -> tuple[FieldTerm, ...]:
    """Read a field selector of a kind.

    Raises:
        StatusError: 400, not a selector, or a field that the kind does not select by.
    """
    if not text.strip():
        return ()
    found: list[FieldTerm] = []
    for part in (part.strip() for part in text.split(",")):
        if not part:
            continue
        for sign in ("!=", "==", "="):
            label, separator, value = part.partition(sign)
            if separator:
                break
        else:
            raise status.bad_request(f"invalid selector: '{text}'; can't understand '{part}'")
        known = {"metadata.name", *(["metadata.namespace"] if kind.resource.namespaced else [])}
        if label not in known and label not in kind.fields:
            raise status.bad_request(_unknown_field(kind, label))
        found.append(FieldTerm(label, value, sign == "!="))
    return tuple(found)


def _unknown_field(kind: ObjectKind, label: str) -> str:
    """Kinds with conversions of their own word it otherwise."""
    if kind.fields:
        return f"field label not supported: {label}"
    own = '"metadata.name"' + (', "metadata.namespace"' if kind.resource.namespaced else "")
    return f'"{label}" is not a known field selector: only {own}'


@dataclass(frozen=True, slots=True)
class Selection:
    """What a list or watch asks for: a namespace, labels and fields."""

    namespace: str = ""
    labels: tuple[LabelRule, ...] = ()
    fields: tuple[FieldTerm, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether it selects by namespace at most."""
        return not self.labels and not self.fields

    def selects(self, entry: Entry | None) -> bool:
        """Whether an entry is selected (None never is)."""
        if entry is None or (self.namespace and entry.namespace != self.namespace):
            return False
        if self.labels and not all(r.matches(entry.labels) for r in self.labels):
            return False
        return all((entry.field(t.label) == t.value) != t.negated for t in self.fields)

    def predicate(self) -> Callable[[Entry | None], bool]:
        """``selects`` as a function, for loops."""
        return self.selects
