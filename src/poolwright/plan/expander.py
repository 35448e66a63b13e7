"""Which pool grows when several could: the ``expander`` of the autoscaler's profile.

A list such as ``priority,least-waste`` is a chain of filters; what is left after the last is chosen
from at random. *Random* is derived from what is decided about, so that a plan stays a function of
what it sees.

Source: kubernetes/autoscaler FAQ "What are Expanders?" and expander/priority/readme.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

PRIORITY_CONFIG_MAP = "cluster-autoscaler-priority-expander"
"""In ``kube-system``, key ``priorities``: the pools of the priority expander."""
PRIORITY_KEY = "priorities"

_LEVEL = re.compile(r"(\d+)\s*:\s*")
_PATTERN_LENGTH_MAX = 256

Priorities = Mapping[int, Sequence[str]]
"""Patterns of group names by priority; the highest that matches wins."""


@dataclass(frozen=True, slots=True)
class Option:
    """One pool that could grow. ``group`` is its name as the autoscaler tells it; ``waste`` is
    smaller for a better fit.
    """

    pool: str
    group: str
    waste: tuple[float, float]
    pods: int


def read_priorities(text: str) -> dict[int, tuple[str, ...]]:
    """The ConfigMap's value: ``priority:`` and under it ``- pattern`` lines; the rest is skipped.

    A pattern that is no regular expression is skipped, as the autoscaler skips it.
    """
    found: dict[int, list[str]] = {}
    level: list[str] | None = None
    for raw in text.splitlines():
        line = raw.partition(" #")[0].strip()
        match = _LEVEL.fullmatch(line)
        if match is not None:
            level = found.setdefault(int(match[1]), [])
        elif level is not None and line.startswith("- "):
            pattern = line[2:].strip().strip("\"'")
            if _is_pattern(pattern):
                level.append(pattern)
    return {priority: tuple(patterns) for priority, patterns in found.items()}


def _is_pattern(text: str) -> bool:
    try:
        re.compile(text)
    except re.error:
        return False
    return 0 < len(text) <= _PATTERN_LENGTH_MAX


def choose(
    options: Sequence[Option], expander: str, priorities: Priorities, *, seed: str
) -> Option:
    """The option that grows; ``options`` must not be empty."""
    left = list(options)
    for name in expander.split(","):
        keep = _FILTERS.get(name.strip())
        if keep is not None:
            left = keep(left, priorities)
    return min(left, key=lambda option: (_digest(seed, option.pool), option.pool))


def _digest(seed: str, pool: str) -> bytes:
    return blake2b(f"{seed}/{pool}".encode(), digest_size=8).digest()


def _least_waste(options: list[Option], _: Priorities) -> list[Option]:
    least = min(option.waste for option in options)
    return [option for option in options if option.waste == least]


def _most_pods(options: list[Option], _: Priorities) -> list[Option]:
    most = max(option.pods for option in options)
    return [option for option in options if option.pods == most]


def _priority(options: list[Option], priorities: Priorities) -> list[Option]:
    """Pools that no pattern names grow only if none is named at all."""
    for level in sorted(priorities, reverse=True):
        named = [
            option
            for option in options
            if any(re.search(pattern, option.group) for pattern in priorities[level])
        ]
        if named:
            return named
    return options


_FILTERS: Mapping[str, Callable[[list[Option], Priorities], list[Option]]] = {
    "least-waste": _least_waste,
    "most-pods": _most_pods,
    "priority": _priority,
}
