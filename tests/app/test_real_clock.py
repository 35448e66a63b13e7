"""The world's time: at its speed while the process keeps up, slower while it does not, kept over
restarts.
"""

import asyncio
import time
from datetime import timedelta

import pytest

from poolwright.app import idle_loop
from poolwright.app.real_clock import RealClock
from poolwright.model.errors import InvalidRequest


class Readings:
    """What a clock reads, moved by hand."""

    def __init__(self):
        self.real = 1000.0
        self.idle_seconds = 0.0

    def monotonic(self):
        return self.real

    def idle(self):
        return self.idle_seconds

    def wait(self, seconds):
        self.real += seconds
        self.idle_seconds += seconds

    def work(self, seconds):
        self.real += seconds


def world_seconds(clock):
    return clock.now().world.micros / 1e6


@pytest.mark.parametrize("speed", [1, 60, 100_000])
def test_the_world_runs_at_its_speed_while_there_is_nothing_to_do(speed):
    readings = Readings()
    clock = RealClock(speed, readings=readings)
    readings.wait(2.5)
    assert world_seconds(clock) == pytest.approx(2.5 * speed, rel=1e-6)


@pytest.mark.parametrize("speed", [1, 60, 100_000])
def test_the_world_takes_real_time_while_the_process_is_busy(speed):
    readings = Readings()
    clock = RealClock(speed, readings=readings)
    readings.work(7)
    readings.wait(0.01)
    readings.work(3)
    assert world_seconds(clock) == pytest.approx(10 + 0.01 * speed, rel=1e-6)


def test_speed_1_is_wall_time_whatever_the_process_does():
    readings = Readings()
    clock = RealClock(1, readings=readings)
    for step in range(100):
        (readings.wait if step % 3 else readings.work)(0.25)
    assert world_seconds(clock) == pytest.approx(25, abs=1e-5)


def test_the_world_never_goes_back():
    readings = Readings()
    clock = RealClock(100_000, readings=readings)
    seen = []
    for step in range(60):
        (readings.work, readings.wait, lambda _: None)[step % 3](0.001 * step)
        seen.append(clock.now().world)
    assert seen == sorted(seen)


def test_a_debounce_costs_a_fast_world_half_a_minute():
    readings = Readings()
    clock = RealClock(100_000, readings=readings)

    async def main():
        waiting = asyncio.create_task(clock.sleep(timedelta(milliseconds=1)))
        await asyncio.sleep(0)  # it waits now
        readings.wait(0.05)
        assert world_seconds(clock) == pytest.approx(0.05 * 600, rel=1e-4)
        await waiting
        readings.wait(0.05)
        assert world_seconds(clock) == pytest.approx(0.05 * 600 + 0.05 * 100_000, rel=1e-4)

    asyncio.run(main())


def test_sleepers_of_the_world_wake_in_time_at_top_speed():
    async def main():
        clock = RealClock(100_000)
        begin = clock.now().world
        for hours in (1, 2, 3):
            due = begin.after(timedelta(hours=hours))
            await clock.sleep_until(due)
            assert timedelta(0) <= clock.now().world.since(due) < timedelta(minutes=5)

    idle_loop.run(main())


def test_work_and_executor_jobs_are_not_idle_time():
    async def main():
        before = idle_loop.idle_seconds()
        end = time.process_time() + 0.05
        while time.process_time() < end:
            pass
        await asyncio.get_running_loop().run_in_executor(None, time.sleep, 0.05)
        busy = idle_loop.idle_seconds() - before
        await asyncio.sleep(0.05)
        return busy, idle_loop.idle_seconds() - before - busy

    busy, idle = idle_loop.run(main())
    assert busy < 0.02
    assert 0.03 < idle <= 0.06


def test_the_world_never_goes_back_after_a_kill_and_skips_little(tmp_path):
    path = tmp_path / "clock.json"
    killed = RealClock(100_000, path)
    last = killed.now().world
    skipped = RealClock(600, path).now().world.since(last)
    assert timedelta(0) <= skipped < timedelta(minutes=2)


def test_a_clean_end_skips_nothing_more_than_was_lived(tmp_path):
    path = tmp_path / "clock.json"
    first = RealClock(1, path)
    before = first.now().world
    first.close()
    assert timedelta(0) <= RealClock(1, path).now().world.since(before) < timedelta(seconds=5)


@pytest.mark.parametrize("text", ["", "[]", '{"world_micros": null}', '{"world_micros": 1e999}'])
def test_a_spoilt_file_is_named(tmp_path, text):
    path = tmp_path / "clock.json"
    path.write_text(text)
    with pytest.raises(InvalidRequest, match=r"clock\.json does not say where the world stopped"):
        RealClock(1, path)


def test_at_real_speed_the_disk_is_seldom_asked(tmp_path):
    readings = Readings()
    clock = RealClock(1.0, tmp_path / "clock.json", readings)
    written = set()
    for _ in range(100):
        clock.now()
        written.add((tmp_path / "clock.json").read_text())
        readings.wait(0.1)
    assert 2 <= len(written) <= 6
