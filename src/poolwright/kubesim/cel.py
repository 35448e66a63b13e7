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
from poolwright.kubesim.cel_literals import mixed_literals
from poolwright.kubesim.cel_operator import kind_of_value
from poolwright.kubesim.cel_steps import CostExceeded, Evaluation
from poolwright.kubesim.cel_tree import Tree, descendants, literal_arguments, read_tree
from poolwright.kubesim.cel_type import Type
from poolwright.kubesim.cel_value import CelError

COST_MAX = 1_000_000
BUDGET = 10_000_000
"""Of one expression and of all that one write meets: PerCallLimit and RuntimeCELCostBudget of
k8s.io/apiserver pkg/apis/cel/config.go. Only expressions with long loops are counted.
"""
COST_EXCEEDED = "operation cancelled: actual cost limit exceeded"

OLD = "oldSelf"
"""What a rule of a custom resource calls the value that there was before."""

_MISSING_KEY = 'Key not found in map : "'
_NO_FIELD = "has() argument must be a field selection"
_NO_NAME = re.compile(r"(\w+)\(\) (?:first |second )?variable name must be a simple identifier")
_BEYOND_RUNTIME = ("Iteration budget exceeded", "Non-CEL value type")
"""Long loops, and times among the values."""
_CALLS_MAX = 50_000
"""How often a function of the runtime may be called by an expression that it cannot evaluate."""
_TIMES = {"timestamp": cel.Type.TIMESTAMP, "duration": cel.Type.DURATION}
_WORDS = (
    (re.compile(r"No matching overloads found"), "no such overload"),
    (re.compile(r"Index error: index=(-?\d+)"), r"index out of bounds: \1"),
    (re.compile(r"divide by zero"), "division by zero"),
)
_LITERALS = {"duration": "duration({})", "timestamp": "timestamp({})", "matches": "''.matches({})"}


class OutOfBudget(CelError):
    """All expressions together have cost more than they may."""

    def __init__(self) -> None:
        super().__init__(
            "validation failed due to running out of cost budget, no further validation rules will"
            " be run"
        )


@dataclass(slots=True)
class Budget:
    """What the expressions that one write meets may cost yet."""

    left: int = BUDGET

    def spend(self, cost: int) -> None:
        """Count an expression.

        Raises:
            OutOfBudget: that was one too many.
        """
        self.left -= cost
        if self.left < 0:
            raise OutOfBudget


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
    more = [cel_library.maps()] if makes_maps else []
    return cel.NewEnv(
        config=None if makes_maps else _TWO_VARIABLES,
        variables=dict.fromkeys(names, cel.Type.DYN),
        extensions=[*_extensions(), *more],
    )


def _extensions() -> list[cel.CelExtensionBase]:
    return [
        ext_strings.ExtStrings(),
        ext_optional.ExtOptional(),
        cel_library.library(),
        cel_authorizer.library(),
    ]


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
    problems = verdict.problems or _wrong_literals(tree, verdict)
    if problems:
        raise CelError(problems)
    _compiled(expression, tuple(declared))
    return tree, verdict


def _wrong_literals(tree: Tree, verdict: Verdict) -> str:
    """Durations, times and patterns that are written in an expression and are none, and lists and
    maps of mixed values.
    """
    unreadable = (
        (node["id"], f"invalid {name} argument")
        for name, form in _LITERALS.items()
        for node, text in literal_arguments(tree.root, name)
        if not _has_value(form.format(json.dumps(text, ensure_ascii=False)))
    )
    return tree.complaints((*unreadable, *mixed_literals(tree.root, verdict.types)))


def _has_value(expression: str) -> bool:
    try:
        evaluate(expression, {})
    except CelError:
        return False
    return True


def evaluate(
    expression: str,
    values: Mapping[str, Any],
    functions: Sequence[cel.Function] = (),
    *,
    budget: Budget | None = None,
) -> Any:
    """The value of an expression; ``functions`` are those that only this evaluation knows.

    Raises:
        CelError: it cannot be compiled, or evaluating it fails.
        OutOfBudget: all expressions together have cost too much.
    """
    compiled = _compiled(expression, tuple(values))
    problem, found = _evaluated(compiled, values, functions)
    if not problem:
        return found
    if functions or not any(words in problem for words in _BEYOND_RUNTIME):
        raise CelError(_eval_text(problem))
    return evaluate_by_steps(expression, values, budget or Budget())


def _evaluated(
    compiled: cel.Expression, values: Mapping[str, Any], functions: Sequence[cel.Function] = ()
) -> tuple[str, Any]:
    """What the runtime says is wrong, or else the value."""
    try:
        result = compiled.eval(data=dict(values), functions=functions)
    except RuntimeError as error:
        return str(error), None
    if result.type() == cel.Type.ERROR:
        return str(result.value()), None
    return "", result.plain_value()


_tree = lru_cache(maxsize=64)(parse)


def evaluate_by_steps(expression: str, values: Mapping[str, Any], budget: Budget) -> Any:
    """The value of an expression, without the runtime; what it costs is counted.

    Raises:
        CelError: it cannot be compiled, or evaluating it fails.
        OutOfBudget: all expressions together have cost too much.
    """
    evaluation = Evaluation(_Calls(), COST_MAX)
    try:
        return evaluation.value(_tree(expression).root, values)
    except CostExceeded:
        raise CelError(COST_EXCEEDED) from None
    finally:
        budget.spend(evaluation.cost)


class _Calls:
    """Calls functions with plain values; those of the runtime itself take time, and are counted."""

    def __init__(self) -> None:
        self._left = _CALLS_MAX

    def __call__(self, name: str, given: Sequence[Any], is_member: bool) -> Any:
        own = cel_library.implementation(name, given, is_member=is_member)
        if own is not None:
            try:
                return own(*given)
            except ValueError as error:
                raise CelError(str(error)) from None
        self._left -= 1
        if self._left < 0:
            raise CostExceeded
        names = [f"a{place}" for place in range(len(given))]
        words = (f"{names[0]}.", names[1:]) if is_member else ("", names)
        text = f"{words[0]}{name}({', '.join(words[1])})"
        compiled = _call_of(text, tuple(kind_of_value(value) for value in given))
        problem, found = _evaluated(compiled, dict(zip(names, given, strict=True)))
        if problem:
            raise CelError(_eval_text(problem))
        return bytes(found) if isinstance(found, bytearray) else found


@lru_cache(maxsize=256)
def _call_of(expression: str, types: tuple[str, ...]) -> cel.Expression:
    try:
        return _typed_environment(types).compile(expression)
    except RuntimeError as error:
        raise CelError(_compile_text(str(error))) from None


@lru_cache(maxsize=64)
def _typed_environment(types: tuple[str, ...]) -> cel.Env:
    declared = {f"a{place}": _TIMES.get(name, cel.Type.DYN) for place, name in enumerate(types)}
    return cel.NewEnv(variables=declared, extensions=_extensions())


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
    if _BEYOND_RUNTIME[0] in text:
        return COST_EXCEEDED
    plain = text.partition(": ")[2] or text
    if plain.startswith(_MISSING_KEY):
        return f"no such key: {plain.removeprefix(_MISSING_KEY).rstrip(chr(34))}"
    for form, words in _WORDS:
        found = form.match(plain)
        if found:
            return found.expand(words)
    return plain
