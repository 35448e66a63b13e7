"""Common Expression Language, as admission policies and custom resources use it.

The language itself is the CEL project's own runtime (see docs/adr); here are the variables that
Kubernetes gives an expression, what it refuses to compile, and its wording of what went wrong.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from cel_expr_python import cel
from cel_expr_python.ext import ext_optional, ext_strings

from poolwright.kubesim import cel_authorizer, cel_library
from poolwright.kubesim.cel_check import Verdict, check_types
from poolwright.kubesim.cel_cost import estimated_cost
from poolwright.kubesim.cel_extent import Extent
from poolwright.kubesim.cel_tree import Tree, descendants, literal_arguments, read_tree
from poolwright.kubesim.cel_type import Type

COST_EXCEEDED = "operation cancelled: actual cost limit exceeded"
"""Said of an expression that would take too long. The runtime counts the steps of loops only."""

OLD = "oldSelf"
"""What a rule of a custom resource calls the value that there was before."""

_MISSING_KEY = 'Key not found in map : "'
_NO_FIELD = "has() argument must be a field selection"
_NO_NAME = re.compile(r"(\w+)\(\) (?:first |second )?variable name must be a simple identifier")
_STEPS_EXCEEDED = "Iteration budget exceeded"
_WORDS = (
    (re.compile(r"No matching overloads found"), "no such overload"),
    (re.compile(r"Index error: index=(-?\d+)"), r"index out of bounds: \1"),
    (re.compile(r"divide by zero"), "division by zero"),
)
_LITERALS = {"duration": "duration({})", "timestamp": "timestamp({})", "matches": "''.matches({})"}


class CelError(ValueError):
    """An expression that cannot be compiled, or that has no value."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What is known of a rule: its type, the most that it may cost, and whether it speaks of the
    value that there was before.
    """

    type: Type
    most_cost: int
    looks_back: bool


_TWO_VARIABLES = cel.NewEnvConfigFromYaml("extensions: [{name: two-var-comprehensions}]")
_MAKES_MAPS = "transformMap"


@cache
def _environment(names: tuple[str, ...], *, makes_maps: bool = False) -> cel.Env:
    """The runtime knows loops over two variables, but not the function with which one of them
    makes a map; and where it knows those loops, it takes none of that name.
    """
    extensions = [
        ext_strings.ExtStrings(),
        ext_optional.ExtOptional(),
        cel_library.library(),
        cel_authorizer.library(),
    ]
    return cel.NewEnv(
        config=None if makes_maps else _TWO_VARIABLES,
        variables=dict.fromkeys(names, cel.Type.DYN),
        extensions=[*extensions, cel_library.maps()] if makes_maps else extensions,
    )


@lru_cache(maxsize=1024)
def _compiled(expression: str, names: tuple[str, ...]) -> cel.Expression:
    try:
        if _MAKES_MAPS not in expression:
            return _environment(names).compile(expression)
        parsed = _environment(names).compile(expression, disable_check=True)
        return _environment(names, makes_maps=True).deserialize(parsed.serialize())
    except RuntimeError as error:
        raise CelError(_compile_text(str(error))) from None


def parse(expression: str) -> Tree:
    """The syntax tree of an expression.

    Raises:
        CelError: it is none.
    """
    try:
        parsed = _environment(()).compile(expression, disable_check=True)
    except RuntimeError as error:
        raise CelError(_compile_text(str(error))) from None
    return read_tree(expression, parsed.serialize())


def check(expression: str, declared: Mapping[str, Type]) -> Type:
    """The type of an expression over these variables.

    Raises:
        CelError: it cannot be compiled.
    """
    return _checked(expression, declared)[1].result


def check_rule(expression: str, declared: Mapping[str, Type], extent: Extent) -> Rule:
    """A rule over variables that are all of one extent.

    Raises:
        CelError: it cannot be compiled.
    """
    tree, verdict = _checked(expression, declared)
    looks_back = any(node.get("ident", {}).get("name") == OLD for node in descendants(tree.root))
    return Rule(verdict.result, estimated_cost(tree.root, verdict, extent).most, looks_back)


def _checked(expression: str, declared: Mapping[str, Type]) -> tuple[Tree, Verdict]:
    tree = parse(expression)
    verdict = check_types(tree, declared)
    problems = verdict.problems or _unreadable(tree)
    if problems:
        raise CelError(problems)
    _compiled(expression, tuple(declared))
    return tree, verdict


def _unreadable(tree: Tree) -> str:
    """Durations, times and patterns that are written in an expression and are none."""
    return tree.complaints(
        (node["id"], f"invalid {name} argument")
        for name, form in _LITERALS.items()
        for node, text in literal_arguments(tree.root, name)
        if not _has_value(form.format(json.dumps(text, ensure_ascii=False)))
    )


def _has_value(expression: str) -> bool:
    try:
        evaluate(expression, {})
    except CelError:
        return False
    return True


def evaluate(
    expression: str, values: Mapping[str, Any], functions: Sequence[cel.Function] = ()
) -> Any:
    """The value of an expression; ``functions`` are those that only this evaluation knows.

    Raises:
        CelError: it cannot be compiled, or evaluating it fails.
    """
    compiled = _compiled(expression, tuple(values))
    try:
        result = compiled.eval(data=dict(values), functions=functions)
    except RuntimeError as error:
        raise CelError(_eval_text(str(error))) from None
    if result.type() == cel.Type.ERROR:
        raise CelError(_eval_text(str(result.value())))
    return result.plain_value()


def _compile_text(text: str) -> str:
    """Without the runtime's own status words, which cel-go does not print."""
    plain = text.removeprefix("INVALID_ARGUMENT: ").removesuffix(" [INVALID_ARGUMENT]")
    plain = _NO_NAME.sub(_no_name, plain)
    return plain.replace(_NO_FIELD, "invalid argument to has() macro")


def _no_name(found: re.Match[str]) -> str:
    is_made = found[1] in {"filter", "map"}
    return "argument is not an identifier" if is_made else "argument must be a simple name"


def _eval_text(text: str) -> str:
    """cel-go's words for the errors that users meet."""
    if _STEPS_EXCEEDED in text:
        return COST_EXCEEDED
    plain = text.partition(": ")[2] or text
    if plain.startswith(_MISSING_KEY):
        return f"no such key: {plain.removeprefix(_MISSING_KEY).rstrip(chr(34))}"
    for form, words in _WORDS:
        found = form.match(plain)
        if found:
            return found.expand(words)
    return plain
