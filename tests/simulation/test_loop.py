from __future__ import annotations

import asyncio
from datetime import timedelta
from random import Random
from uuid import UUID

import pytest

from poolwright.model.instant import Instant
from poolwright.sim.clock import EPOCH, SimClock, WorldTime
from poolwright.sim.identity import SeededIdentity
from poolwright.sim.loop import Deadlock, run


def test_a_week_passes_at_once():
    async def main():
        await asyncio.sleep(7 * 86400)
        return asyncio.get_running_loop().time()

    assert run(main()) == pytest.approx(7 * 86400)


def test_a_world_without_a_future_raises():
    async def main():
        await asyncio.Event().wait()

    with pytest.raises(Deadlock):
        run(main())


def test_threads_are_refused():
    async def main():
        await asyncio.to_thread(print)

    with pytest.raises(RuntimeError, match="deterministic"):
        run(main())


def test_two_times_at_their_speeds():
    async def main():
        clock = SimClock(speed=1000)
        await clock.sleep(timedelta(seconds=2))
        now = clock.now()
        assert now.world == Instant(2_000_000_000)
        assert now.wall == EPOCH + timedelta(seconds=2)
        await clock.sleep_until(Instant(5_000_000_001))
        assert clock.now().world >= Instant(5_000_000_001)
        assert clock.monotonic() == pytest.approx(5)
        before = clock.monotonic()
        await clock.sleep_until(Instant(1))
        assert clock.monotonic() == before

    run(main())


def test_skewed_replicas_disagree_by_their_skew():
    async def main():
        true, ahead = SimClock(), SimClock(skew=timedelta(seconds=3))
        assert ahead.now().world.since(true.now().world) == timedelta(seconds=3)
        await ahead.sleep_until(Instant(63_000_000))
        assert true.now().world == Instant(60_000_000)

    run(main())


def test_identity_is_the_seed():
    one, two, other = (SeededIdentity(Random(s)) for s in (1, 1, 2))
    uids = [one.uid() for _ in range(50)]
    assert uids == [two.uid() for _ in range(50)]
    assert other.uid() not in uids
    assert all(str(UUID(uid)) == uid and UUID(uid).version == 4 for uid in uids)
    assert len(set(uids)) == 50
    assert one.suffix(5) == two.suffix(5)


def test_the_wall_clock_is_set_and_the_world_stands_still():
    async def main():
        time = WorldTime(60)
        clock = SimClock(time=time)
        await clock.sleep(timedelta(seconds=10))
        time.step_wall(timedelta(minutes=-5))
        assert clock.now().wall == EPOCH + timedelta(seconds=10) - timedelta(minutes=5)
        assert clock.now().world == Instant(600_000_000)
        time.stand_still(20)
        time.stand_still(5)
        assert clock.now().world == Instant(600_000_000)
        await clock.sleep(timedelta(seconds=19))
        assert clock.now().world == Instant(600_000_000)
        await clock.sleep_until(Instant(660_000_000))
        assert clock.monotonic() == pytest.approx(31)

    run(main())


class _Enough(Exception):
    pass


def _order_of_cancellation():
    order = []

    async def work(number):
        try:
            await asyncio.sleep(3600)
        finally:
            order.append(number)

    async def main():
        async with asyncio.TaskGroup() as group:
            for number in range(40):
                group.create_task(work(number))
            await asyncio.sleep(1)
            raise _Enough

    with pytest.raises(ExceptionGroup):
        run(main())
    return order


def test_tasks_are_cancelled_in_one_order_whatever_ran_before():
    first = _order_of_cancellation()
    kept = [bytearray(size) for size in range(2000)]
    assert _order_of_cancellation() == first
    assert len(first) == 40
    assert kept
