"""A checker is trusted only after a planted bug made it fail (architecture, E4 and E5).

Each bug is planted here, by wrapping a port or replacing a planner; the product has no switch.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest
import structlog

from poolwright.control import agent_pool as controller
from poolwright.plan import rollout
from poolwright.ports.store import Check, Delete, Update
from poolwright.sim.checkers.state_diagram import may_follow
from poolwright.sim.weather import FaultRates
from poolwright.sim.world import WorldSettings, simulate

ROUGH = FaultRates(lost=0.05, reply_lost=0.08, duplicated=0.15, stalled=0.03, delay=0.5)


@pytest.fixture(autouse=True)
def _quiet():
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.configure(**before)


class Wrapped:
    """A port that is like another one but for what a subclass says."""

    def __init__(self, real):
        self._real = real

    def __getattr__(self, name):
        return getattr(self._real, name)


class NoUidGuard(Wrapped):
    """Destroys whatever has the name, whichever incarnation it is."""

    async def _uid(self, cluster, name, uid):
        machines = await self._real.list_machines(cluster)
        return next((m.uid for m in machines if m.name == name), uid)

    async def delete_machine(self, cluster, name, *, uid):
        await self._real.delete_machine(cluster, name, uid=await self._uid(cluster, name, uid))

    async def reimage_machine(self, cluster, name, *, uid, generation, bootstrap):
        uid = await self._uid(cluster, name, uid)
        return await self._real.reimage_machine(
            cluster, name, uid=uid, generation=generation, bootstrap=bootstrap
        )


class RandomNames(Wrapped):
    """Gives every machine a name of its own."""

    names = Random(1)

    async def create_machine(self, request):
        name = f"{request.name[:-6]}{self.names.randrange(36**3):06d}"
        return await self._real.create_machine(replace(request, name=name))


class NoGenerationCheck(Wrapped):
    """Writes without looking whether the record moved on."""

    async def transact(self, scope, writes):
        def free(write):
            if isinstance(write, Update | Delete | Check):
                return replace(write, expect_generation=None, expect_revision=None)
            return write

        return await self._real.transact(scope, [free(write) for write in writes])


def sweep(decorate, seeds=8, rates=ROUGH):
    """How often each promise broke, over some seeds."""
    broken = Counter()
    for seed in range(seeds):
        settings = WorldSettings(seed=seed, rates=rates, disturbed=timedelta(hours=2))
        report = simulate(settings, decorate=decorate)
        broken.update({v.partition("] ")[2].partition(":")[0] for v in report.violations})
    return broken


@pytest.mark.slow
def test_without_bugs_nothing_breaks():
    assert sweep({}) == {}


@pytest.mark.slow
def test_random_names_are_caught():
    often = replace(ROUGH, duplicated=0.7)  # one too many could still be the surge machine
    assert sweep({}, rates=often) == {}
    assert sweep({"provider": RandomNames}, rates=often)["machines ≤ count + surge"]


@pytest.mark.slow
def test_missing_uid_guard_is_caught():
    assert sweep({"provider": NoUidGuard})["no needless reimage"]


@pytest.mark.slow
def test_missing_generation_check_is_caught():
    broken = sweep({"store": NoGenerationCheck})
    assert broken["operation ends once"] or broken["state diagram"]


@pytest.mark.slow
def test_draining_everything_is_caught(monkeypatch):
    def all_at_once(spec, status):
        return replace(rollout_rule(spec, status), surge=0, unavailable=spec.count)

    rollout_rule = rollout.roll_rule
    monkeypatch.setattr(rollout, "roll_rule", all_at_once)
    assert sweep({})["ready floor"]


@pytest.mark.slow
def test_planner_that_never_rests_is_caught(monkeypatch):
    plan = controller.plan_agent_pool

    def restless(world, now):
        made = plan(world, now)
        soon = now.after(timedelta(seconds=1))
        return replace(made, wake_at=soon)

    monkeypatch.setattr(controller, "plan_agent_pool", restless)
    assert sweep({}, seeds=1)["quiescence"]


def test_diagram_has_the_arrows_of_the_contract():
    from poolwright.model.agent_pool import ProvisioningState as S

    assert may_follow(S.SUCCEEDED, S.UPGRADING)
    assert may_follow(S.UPGRADING, S.CANCELING)
    assert may_follow(S.CANCELING, S.CANCELED)
    assert may_follow(S.CREATING, S.DELETING)
    assert not may_follow(S.CANCELED, S.SUCCEEDED)
    assert not may_follow(S.SUCCEEDED, S.CREATING)
    assert not may_follow(S.UPGRADING, S.SCALING)
    assert not may_follow(S.DELETING, S.SUCCEEDED)
    assert not may_follow(S.CANCELING, S.SUCCEEDED)
