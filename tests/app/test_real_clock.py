"""The world's time over restarts."""

from datetime import timedelta

from poolwright.app.real_clock import RealClock


def test_the_world_never_goes_back_after_a_kill_and_skips_little(tmp_path):
    path = tmp_path / "clock.json"
    killed = RealClock(600, path)
    last = killed.now().world
    skipped = RealClock(600, path).now().world.since(last)
    assert timedelta(0) <= skipped < timedelta(minutes=10)


def test_a_clean_end_skips_nothing_more_than_was_lived(tmp_path):
    path = tmp_path / "clock.json"
    first = RealClock(1, path)
    before = first.now().world
    first.close()
    assert timedelta(0) <= RealClock(1, path).now().world.since(before) < timedelta(seconds=5)
