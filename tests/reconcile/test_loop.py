from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from random import Random

import pytest

from poolwright.model.errors import Conflict, Precondition, Transient, Unknown
from poolwright.model.instant import Instant
from poolwright.reconcile.backoff import Backoff
from poolwright.reconcile.loop import Loop, LoopSettings, Outcome, Pass, note, supervise
from poolwright.reconcile.metered import Metered
from poolwright.sim.clock import SimClock
from poolwright.sim.loop import run

SPEED = 60


@dataclass
class Recorder:
    """A controller that plays a script per key and remembers when it ran."""

    clock: SimClock
    script: dict = field(default_factory=dict)
    takes: float = 0.0
    name: str = "thing"
    runs: list = field(default_factory=list)
    running: set = field(default_factory=set)
    most_at_once: int = 0

    async def reconcile(self, key):
        assert key not in self.running, "a key ran twice at once"
        self.running.add(key)
        self.most_at_once = max(self.most_at_once, len(self.running))
        try:
            self.runs.append((round(self.clock.monotonic(), 6), key))
            await asyncio.sleep(self.takes)
            steps = self.script.get(key, [])
            step = steps.pop(0) if steps else None
            if isinstance(step, BaseException):
                raise step
            return step
        finally:
            self.running.discard(key)

    def times(self, key):
        return [at for at, ran in self.runs if ran == key]


def drive(scenario, *, settings=None, script=None, takes=0.0, **options):
    passes: list[Pass] = []

    async def main():
        clock = SimClock(speed=SPEED)
        controller = Recorder(clock, script or {}, takes)
        loop = Loop(
            controller,
            clock,
            Random(1),
            settings,
            on_pass=passes.append,
            **{k: v(clock) if callable(v) else v for k, v in options.items()},
        )
        async with asyncio.TaskGroup() as group:
            task = group.create_task(loop.run())
            await scenario(loop)
            task.cancel()
        return controller

    controller = run(main())
    return controller, passes


def test_many_wake_ups_are_one_run():
    async def scenario(loop):
        for _ in range(100):
            loop.wake("a")
        await asyncio.sleep(1)

    controller, passes = drive(scenario)
    assert controller.runs == [(0.0, "a")]
    assert [p.outcome for p in passes] == [Outcome.DONE]


def test_wake_up_while_running_runs_once_more():
    async def scenario(loop):
        loop.wake("a")
        await asyncio.sleep(1)
        for _ in range(5):
            loop.wake("a")
        await asyncio.sleep(100)

    controller, _ = drive(scenario, takes=10)
    assert controller.times("a") == [0.0, 10.0]


def test_debounce_is_a_window_that_a_steady_stream_cannot_push_away():
    async def scenario(loop):
        for _ in range(30):
            loop.wake("a")
            await asyncio.sleep(0.01)
        await asyncio.sleep(10)

    settings = LoopSettings(debounce=timedelta(milliseconds=100))
    controller, _ = drive(scenario, settings=settings)
    assert controller.times("a") == pytest.approx([0.1, 0.21, 0.32], abs=0.011)


def test_result_wakes_at_world_time():
    async def scenario(loop):
        loop.wake("a")
        await asyncio.sleep(1000)

    controller, _ = drive(scenario, script={"a": [Instant(600 * 10**6), Instant(1200 * 10**6)]})
    assert controller.times("a") == [0.0, 10.0, 20.0]  # 600 world seconds at speed 60


def test_an_earlier_wake_up_interrupts_a_later_one_and_the_new_plan_replaces_the_old():
    async def scenario(loop):
        loop.wake("a", Instant(6000 * 10**6))
        loop.wake("b", Instant(1200 * 10**6))
        await asyncio.sleep(1)
        loop.wake("a", Instant(600 * 10**6))
        loop.wake("a", Instant(60 * 10**6))
        loop.wake("a", Instant(120 * 10**6))
        await asyncio.sleep(1000)

    controller, _ = drive(scenario)
    assert controller.runs == [(1.0, "a"), (20.0, "b")]


def test_keys_run_side_by_side_up_to_the_bound():
    async def scenario(loop):
        for key in range(10):
            loop.wake(key)
        await asyncio.sleep(100)

    controller, _ = drive(scenario, settings=LoopSettings(workers=4), takes=10)
    assert controller.most_at_once == 4
    assert [key for _, key in controller.runs] == list(range(10))


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (Transient("x"), Outcome.TRANSIENT),
        (Unknown("x"), Outcome.UNKNOWN),
        (Conflict("x"), Outcome.REFUSED),
        (ZeroDivisionError("x"), Outcome.BUG),
        (ExceptionGroup("", [Precondition("x"), Unknown("y")]), Outcome.UNKNOWN),
        (ExceptionGroup("", [Transient("x"), KeyError("y")]), Outcome.BUG),
    ],
)
def test_failures_back_off_and_never_end_the_loop(error, outcome):
    async def scenario(loop):
        loop.wake("a")
        loop.wake("b")
        await asyncio.sleep(1000)
        loop.wake("a")
        await asyncio.sleep(1)

    backoff = Backoff(first=timedelta(seconds=1), factor=2, most=timedelta(seconds=8))
    controller, passes = drive(
        scenario, script={"a": [error] * 6}, settings=LoopSettings(backoff=backoff)
    )
    assert [p.outcome for p in passes if p.key == "a"] == [outcome] * 6 + [Outcome.DONE] * 2
    times = controller.times("a")
    waits = [b - a for a, b in pairwise(times)]
    for wait, most in zip(waits, [1, 2, 4, 8, 8, 8], strict=False):
        assert most / 2 <= wait <= most
    assert controller.times("b") == [0.0]


def test_lost_race_is_retried_at_once_but_not_for_ever():
    async def scenario(loop):
        loop.wake("a")
        await asyncio.sleep(100)

    controller, _ = drive(scenario, script={"a": [Precondition("moved on")] * 5})
    times = controller.times("a")
    assert times[:4] == [0.0] * 4
    assert times[4] > 0
    assert len(times) == 6


def test_bug_ends_the_loop_where_bugs_are_raised():
    async def scenario(loop):
        loop.wake("a")
        await asyncio.sleep(100)

    with pytest.raises(ExceptionGroup) as caught:
        drive(
            scenario,
            script={"a": [ZeroDivisionError("x")]},
            settings=LoopSettings(raise_bugs=True),
        )
    assert caught.group_contains(ZeroDivisionError)


def test_hung_pass_is_given_up():
    async def scenario(loop):
        loop.wake("a")
        await asyncio.sleep(121)

    _, passes = drive(scenario, takes=100_000)
    assert [p.outcome for p in passes] == [Outcome.UNKNOWN]
    assert passes[0].seconds == pytest.approx(120)


@dataclass
class LeaseTable:
    """Only what the loop uses of a store."""

    clock: SimClock
    held: dict = field(default_factory=dict)
    asked: int = 0

    async def lease(self, key, holder, duration):
        self.asked += 1
        now = self.clock.monotonic()
        owner, until, epoch = self.held.get(key, (holder, 0.0, 0))
        if owner != holder and until > now:
            return None
        self.held[key] = (holder, now + duration.total_seconds(), epoch + (owner != holder))
        return self.held[key][2]

    async def release(self, key, holder):
        if self.held.get(key, ("",))[0] == holder:
            del self.held[key]


def test_one_of_two_replicas_works_until_it_dies():
    async def main():
        clock = SimClock()
        table = LeaseTable(clock)
        first, second = Recorder(clock), Recorder(clock)
        loops = [
            Loop(c, clock, Random(n), leases=table, holder=f"replica{n}")
            for n, c in enumerate((first, second))
        ]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(loop.run()) for loop in loops]
            for _ in range(10):
                loops[0].wake("a")
                loops[1].wake("a")
                await asyncio.sleep(1)
            assert len(first.runs) == 10
            assert second.runs == []
            table.held["thing/a"] = ("replica0", clock.monotonic() + 5, 0)  # as after kill -9
            tasks[0].cancel()
            await asyncio.sleep(60)
            assert len(second.runs) == 1
            tasks[1].cancel()
        assert table.held == {}, "a stopped replica keeps no lease"

    run(main())


def test_a_replica_that_reaches_nothing_lets_another_try():
    class CutOff(Recorder):
        async def reconcile(self, key):
            await super().reconcile(key)
            raise Transient("the cluster is away")

    async def main():
        clock = SimClock()
        table = LeaseTable(clock)
        first, second = CutOff(clock), Recorder(clock)
        loops = [
            Loop(c, clock, Random(n), leases=table, holder=f"replica{n}")
            for n, c in enumerate((first, second))
        ]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(loop.run()) for loop in loops]
            loops[0].wake("a")
            await asyncio.sleep(0)
            loops[1].wake("a")
            await asyncio.sleep(14)  # less than the lease, which is asked for again and again
            assert len(first.runs) > 1
            assert len(second.runs) == 1
            for task in tasks:
                task.cancel()

    run(main())


def test_canonical_line_carries_what_was_noted(capsys):
    class Chatty(Recorder):
        async def reconcile(self, key):
            note(seen={"machines": 2}, planned=["CreateMachine"], because="2 of 3 machines")
            return await super().reconcile(key)

    async def main():
        clock = SimClock()
        loop = Loop(Chatty(clock), clock, Random(1))
        async with asyncio.TaskGroup() as group:
            task = group.create_task(loop.run())
            loop.wake("a")
            await asyncio.sleep(1)
            task.cancel()

    run(main())
    line = capsys.readouterr().out
    for part in ("reconciled", "2 of 3 machines", "CreateMachine", "outcome=", "seconds="):
        assert part in line


def test_supervised_work_is_started_again():
    async def main():
        clock, started = SimClock(), []

        async def work():
            started.append(clock.monotonic())
            if len(started) == 1:
                raise Transient("down")
            if len(started) == 2:
                raise KeyError("bug")
            if len(started) == 3:
                return
            await asyncio.Event().wait()

        async with asyncio.TaskGroup() as group:
            task = group.create_task(supervise("work", work, clock, Random(1)))
            await asyncio.sleep(100)
            task.cancel()
        assert len(started) == 4
        assert started[3] < 3

    run(main())


def test_timers_do_not_pile_up():
    async def scenario(loop):
        for index in range(20_000):
            loop.wake("a", Instant(10**12 - index))
        assert len(loop._queue._world._heap) < 100
        await asyncio.sleep(1)

    drive(scenario)


class BusyClock:
    """Real time that passes only where somebody works or sleeps."""

    def __init__(self):
        self.seconds = 0.0

    def monotonic(self):
        return self.seconds

    async def sleep_until(self, at):
        raise AssertionError("nobody waits for the world here")


def test_what_a_coroutine_waits_for_is_not_its_own_work():
    clock = BusyClock()

    async def work():
        clock.seconds += 3
        try:
            await asyncio.sleep(0)
        except ValueError:
            pytest.fail("nobody threw")
        clock.seconds += 4
        raise KeyError("its own")

    async def other():
        clock.seconds += 100

    async def main():
        metered = Metered(work(), clock)
        task = asyncio.ensure_future(other())
        with pytest.raises(KeyError):
            await metered
        await task
        return metered.busy

    assert asyncio.run(main()) == 7


def test_a_wait_that_is_ended_from_outside_ends_in_the_coroutine():
    ended = []

    async def work():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    async def main():
        metered = Metered(work(), BusyClock())

        async def wait():
            await metered

        task = asyncio.ensure_future(wait())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert ended == ["cancelled"]


def test_keys_that_keep_the_process_busy_rest_together():
    clock = BusyClock()

    class Busy:
        name = "busy"

        async def reconcile(self, key):
            clock.seconds += 0.01

    loop = Loop(Busy(), clock, Random(1), LoopSettings(debounce=timedelta(milliseconds=50)))

    async def main():
        rests = []
        for key in ("a", "b"):
            rests.append(round(loop._rest(await loop._pass(key)), 3))
        clock.seconds += 60
        rests.append(round(loop._rest(await loop._pass("a")), 3))
        rests.append(round(loop._rest(60.0), 3))
        return rests

    # Ten parts of a hundred: nine times the pass, after the rest of the other key; at most 2 s.
    assert asyncio.run(main()) == [0.09, 0.17, 0.09, 2.0]
