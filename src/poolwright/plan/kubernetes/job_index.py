"""The completion indexes of a job as intervals: a few bounds say what millions of numbers would.

Source: k8s.io/kubernetes v1.36 pkg/controller/job (indexed_job_utils.go, success_policy.go).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_NUMBER = re.compile(r"[0-9]{1,18}")
"""No index has more digits."""


def index_in(text: str) -> int | None:
    """The index that a text says, if it says one."""
    return int(text) if _NUMBER.fullmatch(text) else None


@dataclass(frozen=True, slots=True)
class Indexes:
    """A set of indexes: first and last of each run, in order, no two runs touching."""

    spans: tuple[tuple[int, int], ...] = ()

    @classmethod
    def parse(cls, text: object, completions: int | None) -> Indexes:
        """Read ``0,2-5``; what makes no sense counts for nothing, as what no job of so many
        completions has.
        """
        spans: list[tuple[int, int]] = []
        for part in str(text or "").split(","):
            words = part.split("-")
            bounds = [index_in(word) for word in words[:2]]
            first, last = bounds[0], bounds[-1]
            if first is None or last is None:
                continue
            most = last if completions is None else min(last, completions - 1)
            if first <= most:
                spans.append((first, most))
        return cls(_merged(spans))

    def __len__(self) -> int:
        return sum(last - first + 1 for first, last in self.spans)

    def __contains__(self, index: int) -> bool:
        position = bisect_right(self.spans, index, key=_first)
        return position > 0 and index <= self.spans[position - 1][1]

    def __bool__(self) -> bool:
        return bool(self.spans)

    def __str__(self) -> str:
        """Runs of three and more as ranges."""
        return ",".join(
            str(first) if first == last else f"{first}{',' if last == first + 1 else '-'}{last}"
            for first, last in self.spans
        )

    def plus(self, more: Iterable[int]) -> Indexes:
        """These and some more."""
        return self.union(Indexes(tuple((index, index) for index in more)))

    def union(self, other: Indexes) -> Indexes:
        """What either has."""
        return Indexes(_merged([*self.spans, *other.spans])) if other.spans else self

    def minus(self, other: Indexes) -> Indexes:
        """What the other has not."""
        left: list[tuple[int, int]] = []
        gone = iter(other.spans)
        lost = next(gone, None)
        for first, last in self.spans:
            start = first
            while lost is not None and lost[0] <= last:
                if lost[1] >= start:
                    if start < lost[0]:
                        left.append((start, lost[0] - 1))
                    start = lost[1] + 1
                if lost[1] > last:
                    break  # it may cover some of the next run as well
                lost = next(gone, None)
            if start <= last:
                left.append((start, last))
        return Indexes(tuple(left))

    def shared(self, other: Indexes) -> int:
        """How many both have."""
        return len(self) - len(self.minus(other))

    def free(self, completions: int, most: int) -> Iterator[int]:
        """The first that are missing below a bound."""
        for first, last in Indexes(((0, completions - 1),)).minus(self).spans:
            yield from range(first, min(last, first + most - 1) + 1)
            most -= last - first + 1
            if most <= 0:
                return


def _first(span: tuple[int, int]) -> int:
    return span[0]


def _merged(spans: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    merged: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return tuple(merged)
