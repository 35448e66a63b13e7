"""``poolwright up`` that dies at a chosen point: ``python launcher.py up --data-dir …``.

The file ``CRASH_ORDER`` says where to die: its number, the point, ``before`` or ``after`` the call,
and at which call from now on; it can be replaced while the server runs. Every point that is passed
by is a line of the file ``CRASH_REACHED``. ``CRASH_BUG`` plants a bug of ``bugs.py``.
The product knows nothing of this: its classes are decorated from outside.
"""

from __future__ import annotations

import functools
import json
import os
import signal

import bugs

from poolwright.app.cli import main
from poolwright.kube.client import HttpKube
from poolwright.kubesim.server import KubeSim
from poolwright.providers.simulated.cloud import SimulatedCloud
from poolwright.store.embedded import EmbeddedStore
from poolwright.store.shared import SharedStore


class Executioner:
    """Counts calls, and kills this process at the chosen one."""

    def __init__(self) -> None:
        self._orders = os.environ["CRASH_ORDER"]
        self._reached = os.open(os.environ["CRASH_REACHED"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._order: dict = {"number": -1}
        self._stamp = 0
        self._calls_left = 0

    def pass_by(self, point: str, when: str) -> None:
        os.write(self._reached, f"{point}|{when}\n".encode())
        self._read_order()
        if (point, when) != (self._order.get("point"), self._order.get("when")):
            return
        self._calls_left -= 1
        if self._calls_left == 0:
            os.write(self._reached, f"{point}|{when}|{self._order['number']}\n".encode())
            os.kill(os.getpid(), signal.SIGKILL)

    def _read_order(self) -> None:
        stamp = os.stat(self._orders).st_mtime_ns
        if stamp == self._stamp:
            return
        self._stamp = stamp
        with open(self._orders) as file:
            order = json.load(file)
        if order["number"] != self._order["number"]:
            self._order, self._calls_left = order, order.get("call", 0)

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
    if bug := os.environ.get("CRASH_BUG"):
        bugs.BUGS[bug]()
    executioner = Executioner()
    for store in (EmbeddedStore, SharedStore):
        executioner.watch(store, "transact", commit_name)
        executioner.watch(store, "drop", lambda scope: f"drop {scope.split('/')[0]}")
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
