"""An event loop that knows how long it had nothing to do.

Time in which the process waits for a timer or a socket, and for nothing it started itself, is idle.
What is late (the machine was busy with something else) is not: a wait counts for as long as was
asked, not for as long as it took.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from asyncio import Future
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar

T = TypeVar("T")

_Ready = list[tuple[selectors.SelectorKey, int]]


class _IdleSelector(selectors.DefaultSelector):
    """Adds up the waits that `is_idle` allows to count."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0
        self.jobs = 0

    def select(self, timeout: float | None = None) -> _Ready:
        """Wait as the base does."""
        if self.jobs or (timeout is not None and timeout <= 0):
            return super().select(timeout)
        began = time.monotonic()
        ready = super().select(timeout)
        waited = time.monotonic() - began
        self.seconds += waited if timeout is None else min(waited, timeout)
        return ready


class IdleLoop(asyncio.SelectorEventLoop):
    """The standard loop of Unix; jobs handed to an executor count as work."""

    def __init__(self) -> None:
        self._idle = _IdleSelector()
        super().__init__(self._idle)

    @property
    def idle_seconds(self) -> float:
        """Real seconds without anything to do since the loop was made."""
        return self._idle.seconds

    def run_in_executor(  # type: ignore[override]  # typeshed spells the arguments as a TypeVarTuple
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> Future[T]:
        """As the base; until the job has ended the loop is not idle."""
        job: Future[T] = super().run_in_executor(executor, func, *args)
        self._idle.jobs += 1
        job.add_done_callback(self._job_ended)
        return job

    def _job_ended(self, job: Future[Any]) -> None:
        del job
        self._idle.jobs -= 1


def run(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` on an `IdleLoop`."""
    with asyncio.Runner(loop_factory=IdleLoop) as runner:
        return runner.run(main)


def idle_seconds() -> float:
    """How long the running loop has been idle; 0.0 where no `IdleLoop` runs."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return 0.0
    return loop.idle_seconds if isinstance(loop, IdleLoop) else 0.0
