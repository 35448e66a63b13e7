"""How long a coroutine keeps the process busy: its own steps, without what it waits for."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from typing import Any, Generic, TypeVar

from poolwright.ports.clock import Clock

T = TypeVar("T")


class Metered(Generator[Any, Any, T], Generic[T]):
    """A coroutine to await once; ``busy`` are the real seconds of its steps so far."""

    def __init__(self, work: Coroutine[Any, Any, T], clock: Clock) -> None:
        self.busy = 0.0
        self._work = work
        self._clock = clock

    def __await__(self) -> Generator[Any, Any, T]:
        return self

    def send(self, value: Any) -> Any:
        """As a coroutine's."""
        began = self._clock.monotonic()
        try:
            return self._work.send(value)
        finally:
            self.busy += self._clock.monotonic() - began

    def throw(self, *error: Any) -> Any:
        """As a coroutine's."""
        began = self._clock.monotonic()
        try:
            return self._work.throw(*error)
        finally:
            self.busy += self._clock.monotonic() - began
