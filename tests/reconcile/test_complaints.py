"""What is wrong for long is told at once, and then ever less often."""

from __future__ import annotations

import asyncio
from random import Random

from structlog.testing import capture_logs

from poolwright.model.errors import Transient
from poolwright.reconcile.complaints import FIRST, MOST, Complaints
from poolwright.reconcile.loop import Loop, supervise
from poolwright.sim.clock import SimClock
from poolwright.sim.loop import run


def told(complaints, seconds, cause="no route"):
    """When a line is written by somebody who complains every second."""
    return [at for at in range(seconds) if complaints.about("key", cause, at) is not None]


def test_alike_ones_are_told_after_a_minute_two_four():
    assert told(Complaints(), 900) == [0, 60, 180, 420]


def test_a_line_says_how_many_were_kept_back():
    complaints = Complaints()
    assert [complaints.about("key", "x", at) for at in (0, 1, 2, FIRST)] == [0, None, None, 2]


def test_it_is_told_every_hour_for_ever():
    lines = told(Complaints(), 20 * int(MOST))
    assert lines[-1] - lines[-2] == MOST


def test_another_cause_another_key_and_another_time_are_news():
    complaints = Complaints()
    assert complaints.about("key", "no route", 0) == 0
    assert complaints.about("key", "Unauthorized", 1) == 0
    assert complaints.about("other", "no route", 1) == 0
    complaints.over("key")
    assert complaints.about("key", "Unauthorized", 2) == 0


def warnings(work, seconds):
    """The lines at level warning or above that some work writes in so many seconds."""

    async def main():
        with capture_logs() as lines:
            async with asyncio.TaskGroup() as group:
                task = group.create_task(work(SimClock(speed=1)))
                await asyncio.sleep(seconds)
                task.cancel()
        return [line for line in lines if line["log_level"] != "debug"]

    return run(main())


async def fail(*_):
    raise Transient("no route")


def test_work_that_keeps_failing_is_one_line_a_minute_at_most():
    def work(clock):
        return supervise("follow nodes", fail, clock, Random(1))

    lines = warnings(work, 59)
    assert [(line["event"], line["error"]) for line in lines] == [
        ("restarting", "Transient: no route")
    ]
    assert len(warnings(work, 170)) == 2


class Failing:
    name = "thing"
    reconcile = staticmethod(fail)


def test_so_is_a_key_whose_passes_keep_failing():
    async def work(clock):
        loop = Loop(Failing(), clock, Random(1))
        for key in ("a", "b"):
            loop.wake(key)
        await loop.run()

    lines = warnings(work, 59)
    assert [line["key"] for line in lines] == ["a", "b"]
    again = [line for line in warnings(work, 130) if "alike" in line]
    assert len(again) == 2
    assert all(line["alike"] >= 8 for line in again)
