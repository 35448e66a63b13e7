"""When an adopted cluster counts as lost, and what a pool does meanwhile."""

from dataclasses import replace
from datetime import timedelta

import pytest

from plan.pool_world import (
    CLUSTER,
    CLUSTER_STATUS,
    EPOCH,
    IMAGE,
    OLD_IMAGE,
    WALL,
    Sandbox,
    pod,
    pool_spec,
)
from poolwright.model.agent_pool import OperationState, ProvisioningState
from poolwright.model.errors import ErrorDetail
from poolwright.model.instant import Now
from poolwright.model.managed_cluster import MANAGED_CLUSTER, Outage
from poolwright.model.pod import Budget
from poolwright.model.record import Stored
from poolwright.model.version import check_adoptable
from poolwright.plan.contact import (
    ASK_EVERY,
    HEARD_WITHIN,
    IN_A_ROW,
    LOOK_AGAIN,
    LOOK_EVERY,
    LOST_AFTER,
    ContactWorld,
    Failing,
    Sight,
    Signs,
    failed_again,
    must_ask,
    plan_contact,
)
from poolwright.plan.pool import OUTAGE_PATIENCE

STATE = ProvisioningState
SINCE = Now(EPOCH, WALL)
GONE = Outage(EPOCH, WALL, ErrorDetail("KubernetesOperationError", "away since then: no route"))


def look(sight, at=timedelta(0), outage=None, since=SINCE, running="1.35.4"):
    status = replace(CLUSTER_STATUS, outage=outage, running_kubernetes_version=running)
    cluster = Stored(
        kind=MANAGED_CLUSTER, scope="", name="aks1", uid="u", revision=1, generation=1,
        spec=replace(CLUSTER, is_adopted=True), status=status, created_at=WALL, deleted_at=None,
    )  # fmt: skip
    world = ContactWorld(cluster, sight, since if sight.failure else None)
    return plan_contact(world, EPOCH.after(at))


def test_looks_that_failed_in_a_row_count_from_the_first():
    first = failed_again(None, SINCE)
    second = Now(EPOCH.after(IN_A_ROW), WALL + IN_A_ROW)
    assert failed_again(first, second) == Failing(SINCE, second.world)


def test_a_look_that_failed_long_before_others_looked_does_not_count():
    first = failed_again(None, SINCE)
    late = Now(EPOCH.after(IN_A_ROW + SECOND), WALL + IN_A_ROW + SECOND)
    assert failed_again(first, late) == Failing(late, late.world)


AWAY = Sight(failure="no route")
HERE = Sight(version="1.35.4")


SECOND = timedelta(seconds=1)
HEARD = Signs(SECOND, EPOCH)


@pytest.mark.parametrize(
    ("signs", "at", "asks"),
    [
        (HEARD, timedelta(minutes=9), False),
        (replace(HEARD, silent_for=HEARD_WITHIN), SECOND, False),
        (replace(HEARD, silent_for=HEARD_WITHIN + SECOND), SECOND, True),
        (replace(HEARD, silent_for=None), SECOND, True),
        (replace(HEARD, answered_at=None), SECOND, True),
        (replace(HEARD, is_failing=True), SECOND, True),
        (HEARD, ASK_EVERY, True),
    ],
)
def test_a_cluster_whose_watches_bring_something_is_not_asked(signs, at, asks):
    assert must_ask(CLUSTER_STATUS, signs, EPOCH.after(at)) is asks


def test_a_lost_cluster_is_asked_whatever_its_watches_bring():
    assert must_ask(replace(CLUSTER_STATUS, outage=GONE), HEARD, EPOCH)


def test_one_failed_look_is_no_outage():
    plan = look(AWAY, LOST_AFTER - timedelta(seconds=1))
    assert plan.status.outage is None
    assert plan.wake_at == EPOCH.after(LOST_AFTER - timedelta(seconds=1)).after(LOOK_AGAIN)


def test_a_cluster_that_stays_away_is_lost_since_the_first_failed_look():
    plan = look(AWAY, LOST_AFTER)
    assert plan.status.outage.since == EPOCH
    error = plan.status.outage.error
    assert error.code == "KubernetesOperationError"
    assert error.message.endswith("since 2026-06-01T00:00:00Z: no route")
    assert plan.because == error.message
    assert plan.event is None


def test_it_is_told_once_and_again_when_the_reason_is_another():
    outage = look(AWAY, LOST_AFTER).status.outage
    later = look(AWAY, timedelta(hours=1), outage)
    assert (later.status.outage, later.because) == (outage, "")
    other = look(Sight(failure="Unauthorized"), timedelta(hours=1), outage)
    assert other.status.outage.since == EPOCH
    assert "since 2026-06-01T00:00:00Z: Unauthorized" in other.because


def test_a_process_that_starts_knows_the_outage_from_the_record():
    just_now = Now(EPOCH.after(timedelta(hours=2)), WALL)
    plan = look(AWAY, timedelta(hours=2), GONE, since=just_now)
    assert plan.status.outage.since == EPOCH


def test_the_first_answer_ends_it():
    plan = look(HERE, timedelta(minutes=3), GONE)
    assert plan.status.outage is None
    assert plan.status.outage_ended_at == EPOCH.after(timedelta(minutes=3))
    assert plan.because == "the cluster answers again after 0:03:00"
    assert plan.event.reason == "ClusterRegained"
    assert plan.wake_at == EPOCH.after(timedelta(minutes=3)).after(LOOK_EVERY)


def test_a_quiet_cluster_is_not_written():
    plan = look(HERE)
    assert plan.status == replace(CLUSTER_STATUS)
    assert (plan.because, plan.event) == ("", None)


def test_the_version_follows_its_owner():
    plan = look(Sight(version="1.36.1"))
    assert plan.spec.current_kubernetes_version == plan.spec.kubernetes_version == "1.36.1"
    assert plan.status.running_kubernetes_version == "1.36.1"
    assert plan.because == "the cluster runs 1.36.1 now"


@pytest.mark.parametrize(
    ("said", "version"),
    [("v1.36.3", "1.36.3"), ("v1.31.0-gke.7", "1.31.0"), ("v1.30.2+k3s1", "1.30.2")],
)
def test_versions_of_servers(said, version):
    assert str(check_adoptable(said)) == version


@pytest.mark.parametrize("said", ["v1.29.15", "v1.9.0-eks.1", "0.30.0", "latest"])
def test_versions_that_are_not_managed(said):
    with pytest.raises(ValueError, match=r"too old|is not a Kubernetes version"):
        check_adoptable(said)


# -- what its pools do meanwhile -------------------------------------------------------------------


def lost(sandbox, since=None):
    outage = replace(GONE, since=since or sandbox.now)
    sandbox.cluster_status = replace(sandbox.cluster_status, outage=outage)


def regained(sandbox):
    sandbox.cluster_status = replace(
        sandbox.cluster_status, outage=None, outage_ended_at=sandbox.now
    )


def test_an_operation_says_that_it_waits_and_goes_on():
    sandbox = Sandbox(pool_spec())
    sandbox.step()
    lost(sandbox)
    waiting = sandbox.plan()
    assert waiting.actions == ()
    assert waiting.end is None
    assert waiting.operation_message == "WaitingForAPIServer: away since then: no route"
    assert waiting.status.message == "away since then: no route"
    sandbox.status = waiting.status
    sandbox.now = sandbox.now.after(OUTAGE_PATIENCE - timedelta(minutes=1))
    assert sandbox.plan().end is None
    regained(sandbox)
    assert sandbox.plan().end is None, "what was late because of the outage has its time again"
    assert sandbox.run().end.state is OperationState.SUCCEEDED


def test_an_operation_does_not_wait_for_ever():
    sandbox = Sandbox(pool_spec())
    sandbox.step()
    lost(sandbox)
    sandbox.status = sandbox.plan().status
    sandbox.now = sandbox.plan().wake_at
    end = sandbox.plan().end
    assert end.state is OperationState.FAILED
    assert end.error == GONE.error


def test_an_operation_that_begins_in_an_outage_has_its_own_patience():
    sandbox = Sandbox(pool_spec())
    lost(sandbox, since=sandbox.now.after(-10 * OUTAGE_PATIENCE))
    plan = sandbox.plan()
    assert plan.end is None
    assert plan.wake_at == sandbox.now.after(OUTAGE_PATIENCE)


def test_a_pool_at_rest_is_left_alone():
    sandbox = Sandbox(pool_spec()).settled(3)
    sandbox.nodes.clear()
    lost(sandbox)
    plan = sandbox.plan()
    assert (plan.actions, plan.status) == ((), sandbox.status)


def test_a_pool_may_be_aborted_and_deleted_meanwhile():
    sandbox = Sandbox(pool_spec())
    sandbox.step()
    lost(sandbox)
    sandbox.status = replace(sandbox.status, is_halted=True)
    assert sandbox.plan().end.state is OperationState.CANCELED
    sandbox.deleted = True
    assert len(sandbox.plan().actions) == 3


def test_a_drain_has_its_time_again_after_an_outage():
    sandbox = Sandbox(pool_spec(count=1, node_image_version=OLD_IMAGE)).settled(1)
    name = next(iter(sandbox.machines))
    sandbox.pods[name] = [pod("p", name)]
    sandbox.budgets = {"default": [Budget("default", "web", {"app": "web"}, 0)]}
    sandbox.change(STATE.UPGRADING_NODE_IMAGE, node_image_version=IMAGE)
    for _ in range(20):
        sandbox.step()
        if any(memory.started_at for memory in sandbox.status.drains.values()):
            break
    started_at = next(iter(sandbox.status.drains.values())).started_at
    lost(sandbox)
    sandbox.status = sandbox.plan().status
    sandbox.now = started_at.after(timedelta(minutes=31))
    regained(sandbox)
    assert sandbox.plan().end is None
    sandbox.now = sandbox.now.after(timedelta(minutes=31))
    assert sandbox.plan().end.error.code == "PodDrainFailure"
