"""Whole worlds under faults. More seeds: ``make sim SEEDS=200``."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import structlog

from poolwright.sim.__main__ import replay_command
from poolwright.sim.shrink import shrink
from poolwright.sim.weather import CALM, FaultRates
from poolwright.sim.world import WorldSettings, simulate

FOUND_BUGS = tomllib.loads((Path(__file__).parent / "found_bugs.toml").read_text())["bug"]


@pytest.fixture(autouse=True)
def _quiet():
    before = structlog.get_config()
    quiet = structlog.make_filtering_bound_logger(logging.CRITICAL)
    structlog.configure(wrapper_class=quiet)
    yield
    structlog.configure(**before)


def test_fair_weather_breaks_nothing():
    report = simulate(WorldSettings(seed=0))
    assert report.violations == ()
    assert report.calls > 500


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_no_promise_breaks_under_faults(seed):
    report = simulate(WorldSettings.draw(seed))
    assert report.violations == (), replay_command(report.settings)


@pytest.mark.slow
@pytest.mark.parametrize("bug", FOUND_BUGS, ids=[str(bug["seed"]) for bug in FOUND_BUGS])
def test_what_was_found_once_is_not_found_again(bug):
    report = simulate(WorldSettings.draw(bug["seed"]))
    assert report.violations == (), f"{bug['found']} {replay_command(report.settings)}"


def _digest_in_another_process(seed, hash_seed):
    code = (
        "import logging, structlog;"
        "structlog.configure("
        "wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL));"
        "from poolwright.sim.world import WorldSettings, simulate;"
        f"report = simulate(WorldSettings.draw({seed}));"
        "print(report.digest, report.calls)"
    )
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


@pytest.mark.slow
def test_a_seed_is_a_world():
    one = _digest_in_another_process(2, "1")
    assert int(one[1]) > 500
    assert one == _digest_in_another_process(2, "2")
    assert one[0] != _digest_in_another_process(9, "1")[0]


@pytest.mark.slow
def test_a_world_does_not_depend_on_the_worlds_before_it():
    alone = simulate(WorldSettings.draw(11)).digest
    simulate(WorldSettings.draw(4))
    assert simulate(WorldSettings.draw(11)).digest == alone


def test_seeds_draw_different_worlds():
    drawn = [WorldSettings.draw(seed) for seed in range(50)]
    assert drawn == [WorldSettings.draw(seed) for seed in range(50)]
    assert {s.replicas for s in drawn} == {1, 2, 3}
    assert any(s.rates.lost for s in drawn)
    assert any(not s.rates.lost for s in drawn)


def test_shrinking_leaves_what_the_failure_needs():
    big = WorldSettings(
        seed=1,
        replicas=3,
        rates=FaultRates(lost=0.1, reply_lost=0.1, crash=0.1),
        skew_seconds_max=2.0,
    )
    small = shrink(big, lambda s: s.rates.reply_lost > 0 and s.replicas > 0, tries_max=20)
    assert small.rates == FaultRates(reply_lost=0.1)
    assert (small.replicas, small.skew_seconds_max) == (1, 0.0)
    assert shrink(big, lambda _: False) == big
    assert CALM.lost == 0


def test_replay_command_says_what_differs_from_the_seed():
    drawn = next(d for d in map(WorldSettings.draw, range(100)) if d.rates.lost and d.rates.cut)
    assert replay_command(drawn) == f"python -m poolwright.sim --seed {drawn.seed}"
    small = shrink(drawn, lambda s: s.rates.cut > 0 and s.disturbed == drawn.disturbed)
    assert "--off lost" in replay_command(small)
