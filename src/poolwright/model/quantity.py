"""Kubernetes resource quantities: reading and printing their text form.

Inside, cpu is counted in millicores and everything else in whole units (bytes, devices, pods).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}  # powers of 2
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_DIGITS, _EXPONENT_DIGITS = 200, 3
"""How long a number may be; Go takes longer ones, which nobody means and which cost much."""

QUANTITY_PATTERN = (
    r"\s*(?=[+-]?\.?[0-9])(?P<sign>[+-]?)"
    rf"(?P<whole>[0-9]{{0,{_DIGITS}}})(?P<point>\.[0-9]{{0,{_DIGITS}}})?"
    rf"(?P<suffix>[KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]{{1,{_EXPONENT_DIGITS}}})?\s*"
)
"""What reads as an amount. Go takes ``.`` and ``m``, too, for nothing."""
_FORM = re.compile(QUANTITY_PATTERN)
_MILLI, _NANO = -3, -9


@dataclass(frozen=True, slots=True)
class _Written:
    """A quantity as it was written: ``digits`` without sign, leading zeros and point, ``places``
    of which stand behind the point; its suffix is a power of 2 (``binary``) or of 10.
    """

    sign: int
    digits: str
    places: int
    suffix: str

    @property
    def binary(self) -> bool:
        return self.suffix in _BINARY

    @property
    def exponent(self) -> int:
        """The power that the suffix stands for."""
        found = _BINARY.get(self.suffix, _DECIMAL.get(self.suffix))
        return int(self.suffix[1:]) if found is None else found

    @property
    def value(self) -> Fraction:
        scale = Fraction(2 if self.binary else 10) ** self.exponent
        return self.sign * int(self.digits) * scale / 10**self.places


def _written(text: str | int | float) -> _Written | None:
    found = _FORM.fullmatch(str(text))
    if found is None:
        return None
    places = (found["point"] or ".")[1:]
    whole = found["whole"].lstrip("0") or "0"
    sign = -1 if found["sign"] == "-" else 1
    return _Written(sign, whole + places, len(places), found["suffix"] or "")


def is_quantity(text: str | int | float) -> bool:
    """Whether it reads as an amount."""
    return _written(text) is not None


@lru_cache(maxsize=4096)  # a cluster says the same few over and over
def parse_quantity(text: str | int | float) -> Fraction:
    """The exact value of a quantity such as ``100m``, ``2G``, ``128Mi`` or ``1e3``.

    Raises:
        ValueError: not a quantity.

    Source: k8s.io/apimachinery pkg/api/resource.
    """
    if isinstance(text, int):
        return Fraction(text)
    written = _written(text)
    if written is None:
        raise ValueError(f"not a quantity: {text!r}")
    return written.value


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


_FAST_DIGITS = 18  # maxInt64Factors
_INT64_MAX = 2**63 - 1


def _away(value: Fraction, power: int) -> Fraction:
    """A value rounded away from zero to a power of ten."""
    if value.denominator == 1 and power <= 0:
        return value
    unit = Fraction(10) ** power
    return (1 if value > 0 else -1) * _ceil(abs(value) / unit) * unit


def _is_short(written: _Written) -> bool:
    """Whether Go keeps it in an int64, and does not round or cap it."""
    digits, exponent = len(written.digits), written.exponent
    if written.binary:
        room = 15 - digits - int(exponent * 3 / 10) - 1
        return room >= 0 and not written.places and abs(written.value) <= _INT64_MAX
    return digits <= _FAST_DIGITS and exponent - written.places >= _NANO


def _is_kept(written: _Written) -> bool:
    """Whether Go keeps the text of a short one as it is: it takes it for canonical. So it does
    ``+1`` and ``1.500``.
    """
    if written.binary:
        return int(written.digits) % 8 != 0
    plain = not written.digits.endswith("000") and written.digits[0] != "0"
    return plain and (written.exponent - written.places) % 3 == 0


@lru_cache(maxsize=8192)
def canonical_quantity(text: str | int | float) -> str:
    """A quantity as the API server stores it and tells it: text, the largest suffix that leaves
    a whole number, in the same of the three formats, rounded up to what ``n`` counts. What is
    none is left as it is.

    Source: k8s.io/apimachinery pkg/api/resource (ParseQuantity, CanonicalizeBytes). Not taken
    over: ``1000E`` loses its suffix there.
    """
    return _canonical(text, _NANO)


@lru_cache(maxsize=8192)
def canonical_listed_quantity(text: str | int | float) -> str:
    """As `canonical_quantity`, in a ``ResourceList``: rounded up to thousandths.

    Source: k8s.io/kubernetes pkg/apis/core/v1/defaults.go (SetDefaults_ResourceList).
    """
    return _canonical(text, _MILLI)


def _canonical(text: str | int | float, finest: int) -> str:
    written = _written(text)
    if written is None:
        return str(text)
    value, is_binary = written.value, written.binary
    if _is_short(written):
        is_exact = is_binary or written.exponent - written.places >= finest
        if is_exact and _is_kept(written):
            return str(text).strip()
    elif is_binary:
        value = max(-Fraction(_INT64_MAX), min(value, Fraction(_INT64_MAX)))
        is_binary = not 0 < abs(_away(value, _NANO)) < 1
    value = _away(value, finest)
    if is_binary and value.denominator == 1 and abs(value) >= 1024:
        return quantity_text(value, binary=True)
    if written.suffix not in _DECIMAL and not written.binary:
        return _with_exponent(value)
    return quantity_text(value)


def _with_exponent(value: Fraction) -> str:
    """The format ``12e6``, whose exponents are multiples of three."""
    if value == 0:
        return "0"
    amount, exponent = (value * 10**9).numerator, _NANO
    while amount % 1000 == 0:
        amount, exponent = amount // 1000, exponent + 3
    return f"{amount}e{exponent}" if exponent else str(amount)
