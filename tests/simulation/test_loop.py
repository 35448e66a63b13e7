from __future__ import annotations

import asyncio
from datetime import timedelta
from random import Random
from uuid import UUID

import pytest

from poolwright.model.instant import Instant
from poolwright.sim.clock import EPOCH, SimClock
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
