"""Everything that crossed a port, in order, and the hash that two equal runs share."""

from __future__ import annotations

import asyncio
from collections import deque
from hashlib import sha256


class Trace:
    """Port calls with arguments, results and virtual time; ``keep`` last lines stay readable."""

    def __init__(self, *, keep: int = 0) -> None:
        self._hash = sha256()
        self.calls = 0
        self.lines: deque[str] = deque(maxlen=keep)

    def add(self, port: str, call: str, result: str) -> None:
        """One call that ended, now."""
        now = asyncio.get_running_loop().time()
        line = f"{now:.6f} {port} {call} -> {result}"
        self._hash.update(line.encode())
        self._hash.update(b"\n")
        self.calls += 1
        if self.lines.maxlen:
            self.lines.append(line)

    @property
    def digest(self) -> str:
        """The hash so far; equal for equal seeds in any process."""
        return self._hash.hexdigest()
