"""A virtual-time asyncio loop: no sockets, no threads, no waiting.

Waiting for the next timer moves the loop's clock there at once. A world in which nobody can ever
run again raises `Deadlock` instead of hanging.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from itertools import count
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")


class Deadlock(RuntimeError):
    """Nothing is runnable and no timer is set."""


class _Nothing(selectors.SelectSelector):
    """A selector on which nothing ever becomes readable; waiting on it moves virtual time."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Deadlock("nothing is runnable and no timer is set")
        self.now += max(0.0, timeout)
        return []


class _Task(asyncio.Task[Any]):
    """A task whose hash is its number: a task group keeps its tasks in a set, and cancels them in
    the order of that.
    """

    def __init__(self, number: int, coroutine: Coroutine[Any, Any, Any], **options: Any) -> None:
        self._number = number
        super().__init__(coroutine, **options)

    def __hash__(self) -> int:
        return self._number


class SimLoop(asyncio.SelectorEventLoop):
    """The loop; `time` is virtual seconds since its start."""

    def __init__(self) -> None:
        self._nothing = _Nothing()
        super().__init__(self._nothing)
        # Timers due within a nanosecond are one moment: float sums differ in the last bits.
        self._clock_resolution = 1e-9
        numbers = count()

        def made(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> _Task:
            return _Task(next(numbers), coroutine, loop=loop, **options)

        self.set_task_factory(made)

    def time(self) -> float:
        """Virtual seconds."""
        return self._nothing.now

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> NoReturn:
        """Refused: the order in which threads finish is not deterministic."""
        raise RuntimeError("threads are not deterministic")


def run(main: Coroutine[Any, Any, T], *, debug: bool = False) -> T:
    """Run ``main`` to its end on a fresh virtual loop."""
    with asyncio.Runner(loop_factory=SimLoop, debug=debug) as runner:
        return runner.run(main)
