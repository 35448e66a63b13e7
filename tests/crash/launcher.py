"""``poolwright up`` that dies at a chosen point: ``python launcher.py up --data-dir …``.

``CRASH_POINT`` names the point, ``CRASH_WHEN`` is ``before`` or ``after`` the call, ``CRASH_CALL``
says at which call of this life. Every point that is reached is noted in ``CRASH_REACHED``, once.
The product knows nothing of this: its classes are decorated from outside.
"""

from __future__ import annotations

import functools
import os
import signal
from collections import Counter
from pathlib import Path

from poolwright.app.cli import main
from poolwright.kube.client import HttpKube
from poolwright.kubesim.server import KubeSim
from poolwright.providers.simulated.cloud import SimulatedCloud
from poolwright.store.embedded import EmbeddedStore


class Executioner:
    """Counts calls, and kills this process at the chosen one."""

    def __init__(self) -> None:
        self._point = os.environ.get("CRASH_POINT", "")
        self._when = os.environ.get("CRASH_WHEN", "")
        self._call = int(os.environ.get("CRASH_CALL", "1"))
        self._reached = Path(os.environ["CRASH_REACHED"])
        self._calls: Counter[tuple[str, str]] = Counter()

    def pass_by(self, point: str, when: str) -> None:
        self._calls[point, when] += 1
        calls = self._calls[point, when]
        if calls == 1:
            with self._reached.open("a") as file:
                file.write(f"{point}|{when}\n")
        if (point, when, calls) == (self._point, self._when, self._call):
            with self._reached.open("a") as file:
                file.write(f"{point}|{when}|killed\n")
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(self, owner: type, method: str, name) -> None:
        """Decorate a method; ``name`` makes the point's name from its arguments."""
        original = getattr(owner, method)

        @functools.wraps(original)
        async def watched(this, *arguments, **named):
            point = name(*arguments, **named)
            self.pass_by(point, "before")
            answer = await original(this, *arguments, **named)
            self.pass_by(point, "after")
            return answer

        setattr(owner, method, watched)


def commit_name(scope: str, writes) -> str:
    """``commit arm AgentPool+Operation``: the kinds of scope and record, not their names."""
    kinds = sorted({f"{write.kind.name}" for write in writes if type(write).__name__ != "Check"})
    return f"commit {scope.split('/', maxsplit=1)[0]} {'+'.join(kinds)}"


def main_with_points() -> None:
    executioner = Executioner()
    executioner.watch(EmbeddedStore, "transact", commit_name)
    executioner.watch(EmbeddedStore, "drop", lambda scope: f"drop {scope.split('/')[0]}")
    for verb in ("create", "delete", "reimage", "stop", "start"):
        point = f"provider {verb}_machine"
        executioner.watch(SimulatedCloud, f"{verb}_machine", lambda *_, point=point, **__: point)
    for verb in ("create", "replace", "patch", "delete"):
        executioner.watch(
            HttpKube,
            verb,
            lambda resource, *_, verb=verb, **__: f"kube {verb} {resource.plural}",
        )
    executioner.watch(HttpKube, "evict", lambda *_, **__: "kube evict")
    for verb in ("put", "delete"):
        point = f"control-plane {verb}"
        executioner.watch(KubeSim, verb, lambda *_, point=point, **__: point)
    main()


if __name__ == "__main__":
    main_with_points()
