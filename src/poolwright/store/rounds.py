"""Sharing work on threads: one round at a time, and whoever comes meanwhile shares the next."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Generic, TypeVar

ItemT = TypeVar("ItemT")
AnswerT = TypeVar("AnswerT")
FoundT = TypeVar("FoundT")


class Rounds(Generic[ItemT, FoundT, AnswerT]):
    """Serves callers in rounds.

    ``prepare`` turns the items of a round into work for a thread; ``settle`` takes what the work
    found, back on the loop, and gives an answer or an error for each item. If the work raised,
    everybody in the round gets that.
    """

    def __init__(
        self,
        prepare: Callable[[Sequence[ItemT]], Callable[[], FoundT]],
        settle: Callable[[Sequence[ItemT], FoundT], Sequence[AnswerT | Exception]],
    ) -> None:
        self._prepare = prepare
        self._settle = settle
        self._waiting: list[tuple[ItemT, asyncio.Future[AnswerT]]] = []
        self._running: list[tuple[ItemT, asyncio.Future[AnswerT]]] = []
        self._loop = asyncio.get_running_loop()

    @property
    def is_idle(self) -> bool:
        """Whether nobody is being served."""
        return not self._waiting and not self._running

    def unfinished(self) -> list[asyncio.Future[AnswerT]]:
        """What callers still wait for."""
        return [future for _, future in (*self._running, *self._waiting)]

    def join(self, item: ItemT) -> asyncio.Future[AnswerT]:
        """Take part in the next round, which begins after this call."""
        future: asyncio.Future[AnswerT] = self._loop.create_future()
        if self.is_idle:
            self._loop.call_soon(self._start)
        self._waiting.append((item, future))
        return future

    def _start(self) -> None:
        self._running, self._waiting = self._waiting, []
        work = self._prepare([item for item, _ in self._running])
        job = self._loop.run_in_executor(None, work)
        job.add_done_callback(partial(self._finish, self._running))

    def _finish(
        self, served: list[tuple[ItemT, asyncio.Future[AnswerT]]], job: asyncio.Future[FoundT]
    ) -> None:
        self._running = []
        answers: Sequence[AnswerT | BaseException]
        error = asyncio.CancelledError() if job.cancelled() else job.exception()
        if error is not None:
            answers = [error] * len(served)
        else:
            answers = self._settle([item for item, _ in served], job.result())
        if self._waiting:
            self._start()
        for (_, future), answer in zip(served, answers, strict=True):
            if future.done():
                continue
            if isinstance(answer, BaseException):
                future.set_exception(answer)
            else:
                future.set_result(answer)
