"""The expressions of an admission policy: which there are, over what, and what they must be.

Source: k8s.io/kubernetes pkg/apis/admissionregistration/validation/validation.go, and
k8s.io/apiserver pkg/admission/plugin/cel/compile.go (types of results, wording).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from poolwright.kubesim import cel
from poolwright.kubesim.cel_schema import (
    REQUEST_AUTHORIZER,
    composed,
    escaped,
    kept_of,
    policy_variables,
)
from poolwright.kubesim.cel_type import BOOL, DYN, NULL, STRING, Type
from poolwright.kubesim.rules import qualified_name
from poolwright.kubesim.status import Cause, duplicate, invalid, not_supported, required
from poolwright.model.json_value import Json, child, children

Known = Mapping[str, Type]
"""The variables of an expression with their types."""

_REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized")
_CONDITIONS_MAX = 64
_ANNOTATIONS_MAX = 20
_IDENTIFIER = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*")
_RUNTIME_NAMES = {
    "null": "null_type",
    "timestamp": "google.protobuf.Timestamp",
    "duration": "google.protobuf.Duration",
}


def check_expressions(new: Mapping[str, Any], _old: Mapping[str, Any] | None) -> Iterator[Cause]:
    """Whatever an API server refuses of the expressions of a policy."""
    spec = child(new, "spec")
    known = policy_variables(params=DYN if spec.get("paramKind") else None)
    known |= REQUEST_AUTHORIZER
    yield from _conditions(spec, known)
    variables: dict[str, Type] = {}
    if spec.get("variables"):
        known |= composed(variables)
    yield from _variables(spec, known, variables)
    yield from _validations(spec, known)
    yield from _annotations(new, known)


def _compiles(where: str, text: str, known: Known, *wanted: Type) -> Iterator[Cause]:
    try:
        found = cel.check(text, known)
    except cel.CelError as error:
        yield invalid(where, text, f"compilation failed: {error}")
        return
    if wanted and found not in wanted:
        words = " ".join(map(_runtime_name, wanted))
        words = f"one of [{words}]" if len(wanted) > 1 else words
        yield invalid(where, text, f"must evaluate to {words} but got {_runtime_name(found)}")


def _runtime_name(found: Type) -> str:
    name = _RUNTIME_NAMES.get(found.name, found.name)
    if not found.parameters:
        return name
    return f"{name}({', '.join(map(_runtime_name, found.parameters))})"


def _conditions(spec: Json, known: Known) -> Iterator[Cause]:
    conditions = children(spec, "matchConditions")
    if len(conditions) > _CONDITIONS_MAX:
        words = f"Too many: {len(conditions)}: must have at most {_CONDITIONS_MAX} items"
        yield Cause("FieldValueTooMany", "spec.matchConditions", words)
    seen: set[str] = set()
    for position, condition in enumerate(conditions):
        here = f"spec.matchConditions[{position}]"
        text = str(condition.get("expression") or "").strip()
        if text:
            yield from _compiles(f"{here}.expression", text, known, BOOL)
        else:
            yield required(f"{here}.expression")
        name = str(condition.get("name") or "")
        if not name:
            yield required(f"{here}.name")
            continue
        for problem in qualified_name(name):
            yield invalid(f"{here}.name", name, problem)
        if name in seen:
            yield duplicate(f"{here}.name", name)
        seen.add(name)


def _variables(spec: Json, known: Known, found: dict[str, Type]) -> Iterator[Cause]:
    for position, variable in enumerate(children(spec, "variables")):
        here = f"spec.variables[{position}]"
        name, text = str(variable.get("name") or ""), str(variable.get("expression") or "")
        if not name.strip():
            yield required(f"{here}.name", "name is not specified")
        elif not _IDENTIFIER.fullmatch(name) or escaped(name) == f"__{name}__":
            yield invalid(f"{here}.name", name, "must be a valid CEL identifier")
        if not text.strip():
            yield required(f"{here}.expression", "expression is not specified")
            continue
        try:
            found[name] = kept_of(cel.check(text, known))
        except cel.CelError as error:
            found[name] = DYN
            yield invalid(f"{here}.expression", text, f"compilation failed: {error}")


def _validations(spec: Json, known: Known) -> Iterator[Cause]:
    for position, validation in enumerate(children(spec, "validations")):
        here = f"spec.validations[{position}]"
        text = str(validation.get("expression") or "")
        if text.strip():
            yield from _compiles(f"{here}.expression", text, known, BOOL)
        else:
            yield required(f"{here}.expression", "expression is not specified")
        yield from _messages(here, validation, known)
        reason = validation.get("reason")
        if reason is not None and reason not in _REASONS:
            yield not_supported(f"{here}.reason", reason, _REASONS)


def _messages(here: str, validation: Json, known: Known) -> Iterator[Cause]:
    text = str(validation.get("messageExpression") or "")
    plain = {name: type_ for name, type_ in known.items() if not name.startswith("authorizer")}
    if text.strip():
        yield from _compiles(f"{here}.messageExpression", text, plain, STRING)
    elif text:
        yield invalid(f"{here}.messageExpression", text, "must be non-empty if specified")
    message = str(validation.get("message") or "")
    if message and not message.strip():
        yield invalid(f"{here}.message", message, "must be non-empty if specified")
    elif "\n" in message.strip():
        yield invalid(f"{here}.message", message, "must not contain line breaks")


def _annotations(new: Mapping[str, Any], known: Known) -> Iterator[Cause]:
    annotations: Sequence[Json] = children(new, "spec", "auditAnnotations")
    if len(annotations) > _ANNOTATIONS_MAX:
        words = f"must not have more than {_ANNOTATIONS_MAX} auditAnnotations"
        yield invalid("spec.auditAnnotations", list(annotations), words)
    seen: set[str] = set()
    for position, annotation in enumerate(annotations):
        here = f"spec.auditAnnotations[{position}]"
        key = str(annotation.get("key") or "")
        full = f"{new['metadata'].get('name', '')}/{key}"
        for problem in qualified_name(full):
            yield invalid(f"{here}.key", full, problem)
        text = str(annotation.get("valueExpression") or "").strip()
        if text:
            yield from _compiles(f"{here}.valueExpression", text, known, STRING, NULL)
        else:
            yield required(f"{here}.valueExpression", "valueExpression is not specified")
        if key in seen:
            yield duplicate(f"{here}.key", key)
        seen.add(key)
