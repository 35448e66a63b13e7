"""Kubernetes resource quantities: reading and printing their text form.

Inside, cpu is counted in millicores and everything else in whole units (bytes, devices, pods).
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from functools import lru_cache

_BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60}
_DECIMAL = {
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 1000),
    "": Fraction(1),
    "k": Fraction(10**3),
    "M": Fraction(10**6),
    "G": Fraction(10**9),
    "T": Fraction(10**12),
    "P": Fraction(10**15),
    "E": Fraction(10**18),
}


@lru_cache(maxsize=4096)  # a cluster says the same few over and over
def parse_quantity(text: str | int | float) -> Fraction:
    """The exact value of a quantity such as ``100m``, ``2G``, ``128Mi`` or ``1e3``.

    Raises:
        ValueError: not a quantity.

    Source: k8s.io/apimachinery pkg/api/resource.
    """
    if isinstance(text, int | float):
        return Fraction(text)
    text = text.strip()
    for suffix, factor in _BINARY.items():
        if text.endswith(suffix):
            return Fraction(text[: -len(suffix)]) * factor
    if text and text[-1] in _DECIMAL and not text[-1].isdigit():
        return Fraction(text[:-1]) * _DECIMAL[text[-1]]
    return Fraction(text)


def _ceil(value: Fraction) -> int:
    return -((-value.numerator) // value.denominator)


@lru_cache(maxsize=4096)
def resource_amount(resource: str, text: str | int | float) -> int:
    """The amount of a resource in our units: millicores for cpu, whole units for the rest.

    Fractions are rounded up, as the scheduler does.
    """
    value = parse_quantity(text)
    return _ceil(value * 1000) if resource == "cpu" else _ceil(value)


def resource_amounts(wire: Mapping[str, str | int | float] | None) -> dict[str, int]:
    """A whole ``requests``, ``limits``, ``capacity`` or ``allocatable`` map in our units."""
    return {name: resource_amount(name, text) for name, text in (wire or {}).items()}


def resource_text(resource: str, amount: int) -> str:
    """Our units as Kubernetes would print them: cpu in cores or ``m``, memory in ``Ki``."""
    if resource == "cpu":
        return str(amount // 1000) if amount % 1000 == 0 else f"{amount}m"
    if resource in {"memory", "ephemeral-storage"} and amount % 1024 == 0:
        return f"{amount // 1024}Ki"
    return str(amount)


_BINARY_STEPS = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_DECIMAL_STEPS = ("n", "u", "m", "", "k", "M", "G", "T", "P", "E")


def quantity_text(value: Fraction, *, binary: bool = False) -> str:
    """An amount in its canonical form: the largest suffix that leaves a whole number.

    Source: k8s.io/apimachinery pkg/api/resource (CanonicalizeBytes).
    """
    if value == 0:
        return "0"
    if binary and value.denominator == 1 and abs(value) >= 1024:
        amount, step = value.numerator, 0
        while amount % 1024 == 0 and step < len(_BINARY_STEPS) - 1:
            amount, step = amount // 1024, step + 1
        return f"{amount}{_BINARY_STEPS[step]}"
    nanos, step = _ceil(value * 10**9), 0
    while nanos % 1000 == 0 and step < len(_DECIMAL_STEPS) - 1:
        nanos, step = nanos // 1000, step + 1
    return f"{nanos}{_DECIMAL_STEPS[step]}"
