"""Writes to a store until it is killed; prints what was acknowledged (run by test_crash.py)."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from datetime import UTC, datetime
from types import NoneType

from poolwright.model.record import Kind
from poolwright.ports.store import Create
from poolwright.store import SqlStore

BLOB = Kind("Blob", bytes, NoneType)


class RealClock:
    def monotonic(self) -> float:
        return time.monotonic()


async def main(path: str) -> None:
    store = SqlStore.open(path, clock=RealClock())  # type: ignore[arg-type]

    async def write(scope: str, writer: int) -> None:
        number = 0
        while True:
            pair = [f"{writer}-{number}-{half}" for half in "ab"]
            commit = await store.transact(
                scope,
                [Create(BLOB, n, "u", n.encode(), None, datetime.now(UTC)) for n in pair],
            )
            os.write(1, f"{scope} {commit.revision} {pair[0]} {pair[1]}\n".encode())
            number += 1

    async with asyncio.TaskGroup() as group:
        for scope in ("arm/c", "kube/c", "cloud/r"):
            for writer in range(5):
                group.create_task(write(scope, writer))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
