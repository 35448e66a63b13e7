"""One server after another on the same data: where each life ends, and what was passed by."""

from __future__ import annotations

import json
import os
import random
import socket
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from points import AREAS, POINTS

from server_process import ServerDied, ServerProcess

HERE = Path(__file__).parent
ANYWHERE = "anywhere"


def _free_port() -> int:
    """A port that no client of the machine is given while the server is down."""
    start = 20_000 + os.getpid() % 10_000
    for port in range(start, start + 1_000):
        with socket.socket() as tried:
            try:
                tried.bind(("localhost", port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port")


@dataclass(frozen=True)
class Plan:
    """How often to kill, and where: at the named points of some areas, or at any time."""

    crashes: int
    areas: tuple[str, ...] = tuple(AREAS)
    at_any_time: bool = False
    per_step: int = 1
    """Kills in one step of the user's, at most."""
    points: tuple[str, ...] = ()
    """Only at these, instead of all those of the area."""
    until: str = ""
    """The step that the story ends with; empty: the last."""
    speed: float = 600.0


class Lives:
    """``revive`` starts the server again wherever it is found dead."""

    def __init__(
        self, root: Path, rng: random.Random, plan: Plan, *, config: str = "", bug: str = ""
    ) -> None:
        self._reached_file = root / "reached"
        self._reached_file.touch()
        self._order_file = root / "order"
        self._rng = rng
        self._plan = plan
        self._number = 0
        self._order: dict = {"number": 0}
        self._deaths = 0
        self._due = 0.0
        self._kills_of_step = 0
        self._tried: Counter[tuple[str, str, str]] = Counter()
        self.kills: Counter[tuple[str, str]] = Counter()
        self.areas: Counter[str] = Counter()
        self.missed: Counter[tuple[str, str]] = Counter()
        self.starts = 0
        self.step = ""
        environment = {
            "CRASH_REACHED": str(self._reached_file),
            "CRASH_ORDER": str(self._order_file),
            "CRASH_BUG": bug,
        }
        self._write_order()
        self.server = ServerProcess(
            root / "data",
            speed=plan.speed,
            config=config,
            command=(str(HERE / "launcher.py"),),
            environment=environment,
        )
        self.server.port = _free_port()

    @property
    def until(self) -> str:
        """The step that the story ends with."""
        return self._plan.until

    # -- what is still to be done ---------------------------------------------------------------

    @property
    def left(self) -> int:
        return self._plan.crashes - self.kills.total()

    @property
    def is_done(self) -> bool:
        """All kills have happened, and in every area."""
        if self._plan.at_any_time:
            return self.left <= 0
        return self.left <= 0 and all(self.areas[area] for area in self._plan.areas)

    def enter(self, step: str) -> None:
        """The user turns to the next step; what was ordered in the last one is void."""
        if self._order.get("point"):
            self.missed[self._order["point"], self._order["when"]] += 1
        self.step, self._kills_of_step = step, 0
        self._give_order()

    def leave(self) -> None:
        """The user looks at what is there: nobody dies."""
        self.enter("")

    def _give_order(self) -> None:
        """The next death in this step: the point that was tried least, by the seed's chance."""
        self._order, self._due = {"number": self._number}, 0.0
        may_die = self.step in self._plan.areas and self._kills_of_step < self._plan.per_step
        if may_die and self._plan.at_any_time:
            if self.left > 0:
                self._due = time.monotonic() + self._rng.uniform(0.0, 1.5)
        elif may_die and (self.left > 0 or not self.areas[self.step]):
            self._number += 1
            self._order = {"number": self._number, **self._choose()}
        self._write_order()

    def _choose(self) -> dict:
        step = self.step
        options = [
            (point, when)
            for point in self._plan.points or AREAS[step]
            for when in ("before", "after")
        ]
        self._rng.shuffle(options)
        point, when = min(options, key=lambda option: self._tried[step, *option])
        self._tried[step, point, when] += 1
        is_new = self._tried[step, point, when] == 1
        return {
            "point": point,
            "when": when,
            "call": 1 if is_new else self._rng.choice([1, 1, 2, 3]),
        }

    def _write_order(self) -> None:
        new = self._order_file.with_suffix(".new")
        new.write_text(json.dumps(self._order))
        os.replace(new, self._order_file)

    # -- lives ----------------------------------------------------------------------------------

    def begin(self) -> None:
        """Start lives until one gets ready; a death on the way up counts."""
        while True:
            self.starts += 1
            try:
                self.server.start()
            except ServerDied:
                self._count_death()
            else:
                return

    def revive(self) -> None:
        """Called when there is no answer."""
        if self.server.process is None:
            self.begin()
        elif self.server.is_dead():
            self._count_death()
            self.begin()

    def tick(self) -> None:
        """Kill at any time, when it is time."""
        if self._due and time.monotonic() > self._due:
            self.server.kill()
            self._note_kill(ANYWHERE, "")
            self.begin()

    def _count_death(self) -> None:
        """The process died: at its point, or something is wrong."""
        deaths = [line for line in self._lines() if line.count("|") == 2]
        ordered = f"{self._order.get('point')}|{self._order.get('when')}|{self._number}"
        is_ordered = len(deaths) == self._deaths + 1 and deaths[-1] == ordered
        assert is_ordered, f"died by itself: {self.server.log()[-4000:]}"
        self._deaths = len(deaths)
        self._note_kill(self._order["point"], self._order["when"])

    def _note_kill(self, point: str, when: str) -> None:
        self.kills[point, when] += 1
        self.areas[self.step] += 1
        self._kills_of_step += 1
        self._give_order()

    # -- coverage -------------------------------------------------------------------------------

    def _lines(self) -> list[str]:
        return self._reached_file.read_text().splitlines()

    def reached(self) -> Counter[str]:
        """How often each point was passed by, in all lives."""
        return Counter(
            point
            for point, when, *_ in (line.split("|") for line in self._lines())
            if when == "before"
        )

    def never_reached(self) -> list[str]:
        """Declared points that were never passed by."""
        reached = self.reached()
        return [point for point in POINTS if not reached[point]]

    def summary(self) -> dict[str, Any]:
        """What the report tells, for programs: point by point and area by area."""
        reached = self.reached()
        return {
            "kills": self.kills.total(),
            "kills_at_any_time": self.kills[ANYWHERE, ""],
            "ordered_where_nobody_came_by": self.missed.total(),
            "starts": self.starts,
            "points_declared": len(POINTS),
            "points_never_reached": self.never_reached(),
            "points": {
                point: {
                    "passed": reached[point],
                    "killed_before": self.kills[point, "before"],
                    "killed_after": self.kills[point, "after"],
                }
                for point in POINTS
            },
            "kills_by_area": {area: self.areas[area] for area in self._plan.areas},
        }

    def report(self) -> str:
        """Point by point: how often it was passed and died at; area by area: how many kills."""
        reached = self.reached()
        lines = [f"{'KILL POINT':58} {'PASSED':>7} {'BEFORE':>6} {'AFTER':>6}"]
        for point in sorted({*POINTS, *reached}):
            before, after = self.kills[point, "before"], self.kills[point, "after"]
            note = "" if point in POINTS else "  (in no area)"
            note = note if reached[point] else "  NEVER REACHED"
            lines.append(f"{point:58} {reached[point]:7} {before or '':6} {after or '':6}{note}")
        lines += [f"{'AREA':58} {'KILLS':>7}"]
        lines += [f"{area:58} {self.areas[area]:7}" for area in self._plan.areas]
        at_any_time = self.kills[ANYWHERE, ""]
        lines.append(
            f"{self.kills.total()} kills ({at_any_time} at any time, {self.missed.total()} more "
            f"ordered where nobody came by), {self.starts} starts, "
            f"{sum(point in POINTS for point in reached)} of {len(POINTS)} declared points reached"
        )
        return "\n".join(lines)
