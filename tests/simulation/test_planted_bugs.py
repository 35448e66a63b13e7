"""A checker is trusted only after a planted bug made it fail (architecture, E4 and E5).

Each bug is planted here, by wrapping a port or replacing a planner; the product has no switch.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta
from random import Random
from types import SimpleNamespace

import pytest
import structlog

from poolwright.control import agent_pool as controller
from poolwright.control.orphans import OrphansController
from poolwright.kube.client import HttpKube
from poolwright.model.agent_pool import ProvisioningState
from poolwright.model.kubernetes import PODS
from poolwright.plan import drain, rollout
from poolwright.plan.actions import DeleteMachine
from poolwright.plan.plan import SUCCEEDED
from poolwright.ports.store import Check, Delete, Update
from poolwright.sim.checkers.revisions import Revisions
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


def broken_in(seed, decorate, rates):
    """The promises that a world broke."""
    settings = WorldSettings(seed=seed, rates=rates, disturbed=timedelta(hours=2))
    report = simulate(settings, decorate=decorate)
    return {v.rpartition("] ")[2].partition(":")[0] for v in report.violations}


def is_caught(promise, decorate=None, rates=ROUGH, seeds=16):
    """Whether some seed breaks a promise; the first one ends the search."""
    return any(promise in broken_in(seed, decorate or {}, rates) for seed in range(seeds))


@pytest.mark.slow
def test_without_bugs_nothing_breaks():
    assert not any(broken_in(seed, {}, ROUGH) for seed in range(4))


@pytest.mark.slow
def test_random_names_are_caught():
    often = replace(ROUGH, duplicated=0.7)  # one too many could still be the surge machine
    assert not any(broken_in(seed, {}, often) for seed in range(4))
    assert is_caught("machines ≤ count + surge", {"provider": RandomNames}, often)


@pytest.mark.slow
def test_missing_uid_guard_is_caught():
    often = replace(ROUGH, duplicated=0.5)
    assert is_caught("no needless reimage", {"provider": NoUidGuard}, often)


@pytest.mark.slow
def test_missing_generation_check_is_caught():
    assert is_caught("operation ends once", {"store": NoGenerationCheck})


PROMPT = FaultRates(lost=0.02, reply_lost=0.02, delay=0.05)
"""Nothing that is seen is old: nobody can say that he did not know."""


def plan_with(monkeypatch, change):
    """Let the pool planner's plans be changed before they are carried out."""
    plan = controller.plan_agent_pool
    monkeypatch.setattr(
        controller, "plan_agent_pool", lambda world, now: change(world, plan(world, now), now)
    )


@pytest.mark.slow
def test_a_planner_without_a_way_out_is_caught(monkeypatch):
    """E4: nothing leads from too many machines to as many as there shall be."""

    def never_delete(world, made, now):
        if world.pool.deleted_at is not None:
            return made
        kept = [action for action in made.actions if not isinstance(action, DeleteMachine)]
        return replace(made, actions=tuple(kept))

    plan_with(monkeypatch, never_delete)
    assert is_caught("converges", rates=PROMPT)


@pytest.mark.slow
def test_success_that_is_not_real_is_caught(monkeypatch):
    def hasty(world, made, now):
        is_new = world.pool.status.provisioning_state is ProvisioningState.CREATING
        if not is_new or not world.machines or made.end is not None:
            return made
        status = replace(
            made.status, provisioning_state=ProvisioningState.SUCCEEDED, operation_id=None
        )
        return replace(made, status=status, end=SUCCEEDED)

    plan_with(monkeypatch, hasty)
    assert is_caught("success is real")


@pytest.mark.slow
def test_pods_that_are_deleted_instead_of_evicted_are_caught(monkeypatch):
    async def delete(kube, namespace, pod, *, uid):
        await kube.delete(PODS, pod, namespace=namespace, uid=uid)

    monkeypatch.setattr(HttpKube, "evict", delete)
    # A planner that asks before its picture is up to date is what budgets are for.
    monkeypatch.setattr(drain.Allowance, "take", lambda *_: "")
    assert is_caught("no eviction against a budget", rates=PROMPT)


@pytest.mark.slow
def test_operations_that_never_end_are_caught(monkeypatch):
    async def ends(*_, **__):
        return []

    monkeypatch.setattr(controller, "ends", ends)
    assert is_caught("operation ends once", rates=PROMPT)


class Ghosts(Wrapped):
    """Makes a machine of a pool that nobody has, beside each that is asked for."""

    async def create_machine(self, request):
        if request.pool != "sys":  # a world whose beginning breaks promises ends there
            ghost = replace(request, name=f"{request.name}x", pool="ghost")
            await self._real.create_machine(ghost)
        return await self._real.create_machine(request)


@pytest.mark.slow
def test_machines_that_nobody_owns_are_caught(monkeypatch):
    async def nothing(_, key):
        return None

    monkeypatch.setattr(OrphansController, "reconcile", nothing)
    assert is_caught("no orphans", {"provider": Ghosts}, PROMPT)


def test_a_change_that_is_not_told_is_caught():
    said = []
    checker = Revisions(SimpleNamespace(broken=lambda promise, what: said.append(promise)))
    for scope, revision in (("arm/a", 7), ("arm/a", 8), ("cloud/b", 3), ("arm/a", 9)):
        checker.on_change(SimpleNamespace(scope=scope, revision=revision))
    assert not said
    checker.on_change(SimpleNamespace(scope="arm/a", revision=11))
    checker.on_change(SimpleNamespace(scope="cloud/b", revision=3))
    assert said == ["no gaps", "no gaps"]


@pytest.mark.slow
def test_draining_everything_is_caught(monkeypatch):
    def all_at_once(spec, status):
        return replace(rollout_rule(spec, status), surge=0, unavailable=spec.count)

    rollout_rule = rollout.roll_rule
    monkeypatch.setattr(rollout, "roll_rule", all_at_once)
    assert is_caught("ready floor", rates=PROMPT)


@pytest.mark.slow
def test_planner_that_never_rests_is_caught(monkeypatch):
    def restless(world, made, now):
        return replace(made, wake_at=now.after(timedelta(seconds=1)))

    plan_with(monkeypatch, restless)
    assert is_caught("quiescence")


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
