"""Waiting for what processes of others do."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def until(
    question: Callable[[], Any],
    seconds: float = 60,
    *,
    every: float = 0.2,
    told: Callable[[], str] = lambda: "",
) -> Any:
    """Ask again until it holds; the deadline only bounds a failure, which ``told`` explains."""
    deadline = time.monotonic() + seconds
    while not (answer := question()):
        assert time.monotonic() < deadline, f"it did not come true; {told()}"
        time.sleep(every)
    return answer
