"""Spans of costs and sizes, with the arithmetic of cel-go: nothing grows beyond 64 bits.

Source: github.com/google/cel-go checker/cost.go.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

LIMIT = 2**64 - 1
CHARACTER = 0.1
"""The cost of reading a character of a text."""


@dataclass(frozen=True, slots=True)
class Span:
    """From the least to the most."""

    least: int
    most: int

    def plus(self, *others: Span) -> Span:
        """Their sum."""
        return Span(
            min(LIMIT, self.least + sum(other.least for other in others)),
            min(LIMIT, self.most + sum(other.most for other in others)),
        )

    def times(self, other: Span) -> Span:
        """Their product."""
        return Span(min(LIMIT, self.least * other.least), min(LIMIT, self.most * other.most))

    def scaled(self, factor: float) -> Span:
        """So much of it for each, rounded up."""
        return Span(_scaled(self.least, factor), _scaled(self.most, factor))

    def joined(self, other: Span) -> Span:
        """What covers both."""
        return Span(min(self.least, other.least), max(self.most, other.most))


def _scaled(amount: int, factor: float) -> int:
    found = float(amount) * factor
    return LIMIT if found >= float(LIMIT) else math.ceil(found)


def fixed(amount: int) -> Span:
    """No more and no less."""
    return Span(amount, amount)


NOTHING, ONE, UNKNOWN = fixed(0), fixed(1), Span(0, LIMIT)
