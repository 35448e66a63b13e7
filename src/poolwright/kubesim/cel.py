"""Common Expression Language, as admission policies and custom resources use it.

The language itself is the CEL project's own runtime (see docs/adr); here are the variables that
Kubernetes gives an expression, and its wording of what went wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

from cel_expr_python import cel
from cel_expr_python.ext import ext_math, ext_optional, ext_strings

from poolwright.kubesim.cel_library import library

_MISSING_KEY = 'Key not found in map : "'


class CelError(ValueError):
    """An expression that cannot be compiled, or that has no value."""


@cache
def _environment(names: tuple[str, ...]) -> cel.Env:
    return cel.NewEnv(
        variables=dict.fromkeys(names, cel.Type.DYN),
        extensions=[
            ext_strings.ExtStrings(),
            ext_optional.ExtOptional(),
            ext_math.ExtMath(),
            library(),
        ],
    )


@lru_cache(maxsize=1024)
def _compiled(expression: str, names: tuple[str, ...]) -> cel.Expression:
    try:
        return _environment(names).compile(expression)
    except RuntimeError as error:
        raise CelError(_compile_text(str(error))) from None


def check(expression: str, names: Sequence[str]) -> None:
    """Raise `CelError` unless an expression over these variables can be compiled."""
    _compiled(expression, tuple(names))


def evaluate(expression: str, values: Mapping[str, Any]) -> Any:
    """The value of an expression.

    Raises:
        CelError: it cannot be compiled, or evaluating it fails.
    """
    result = _compiled(expression, tuple(values)).eval(data=dict(values))
    if result.type() == cel.Type.ERROR:
        raise CelError(_eval_text(str(result.value())))
    return result.plain_value()


def _compile_text(text: str) -> str:
    """Without the runtime's own status words, which cel-go does not print."""
    return text.removeprefix("INVALID_ARGUMENT: ").removesuffix(" [INVALID_ARGUMENT]")


def _eval_text(text: str) -> str:
    """cel-go's words for the errors that users meet."""
    plain = text.partition(": ")[2] or text
    if plain.startswith(_MISSING_KEY):
        return f"no such key: {plain.removeprefix(_MISSING_KEY).rstrip(chr(34))}"
    return plain
