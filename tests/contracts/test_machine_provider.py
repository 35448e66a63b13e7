"""The contract of `ports.MachineProvider` (docs/contracts/machine_provider.md), rule by rule.

Runs on every provider that can be had without a cloud; a provider brings a world that can let
world time pass, restart the provider, and show the Node of a machine.
"""

import asyncio
from dataclasses import replace

import pytest

from poolwright.model.cluster_key import ClusterKey
from poolwright.model.errors import (
    InvalidRequest,
    NotFound,
    PoolwrightError,
    Precondition,
    QuotaExceeded,
)
from poolwright.model.kubernetes import NODES
from poolwright.model.machine import MachinePhase
from poolwright.model.scarcity import InjectedFailure, Restriction, Scarcity
from poolwright.ports.kube import PatchKind
from providers.kwok_world import KwokWorld
from providers.live_world import live_world
from providers.world import CLUSTER, World, bootstrap, machine_name, request

WORLDS = {"kwok": KwokWorld, "simulated": World}


@pytest.fixture(params=[*sorted(WORLDS), pytest.param("live kwok", marks=pytest.mark.live)])
def new_world(request):
    if request.param in WORLDS:
        return WORLDS[request.param]
    return live_world(request.getfixturevalue("shared_cluster"))


def running(new_world, story, **settings):
    async def whole():
        world = new_world(**settings)
        async with world.running():
            await story(world, world.cloud)

    new_world.play(whole)


async def settled(world, **asked):
    machine = await world.cloud.create_machine(request(**asked))
    await world.passes(minutes=10)
    return await world.machine(machine.name)


async def cores(provider):
    return (await provider.usage("eastus"))[0].used


def test_m1_a_name_is_created_once(new_world):
    async def story(world, provider):
        first = await provider.create_machine(request())
        assert first.phase is not MachinePhase.RUNNING
        again = await provider.create_machine(request(vm_size="Standard_D4s_v3", generation=9))
        assert (again.uid, again.vm_size, again.generation) == (first.uid, first.vm_size, 1)
        assert len(await provider.list_machines(CLUSTER)) == 1
        assert await cores(provider) == 2

    running(new_world, story)


def test_m1_two_calls_at_once_make_one_machine(new_world):
    async def story(world, provider):
        made = await asyncio.gather(*(provider.create_machine(request()) for _ in range(5)))
        assert len({machine.uid for machine in made}) == 1
        assert await cores(provider) == 2

    running(new_world, story)


@pytest.mark.parametrize(
    ("scarcity", "asked", "error", "code"),
    [
        (Scarcity(default_quota=1), {}, QuotaExceeded, "QuotaExceeded"),
        (
            Scarcity(quotas={"eastus/standarddsv2family": 1}),
            {},
            QuotaExceeded,
            "QuotaExceeded",
        ),
        (
            Scarcity(restrictions=(Restriction("standard_ds2_v2"),)),
            {},
            InvalidRequest,
            "SkuNotAvailable",
        ),
        (
            Scarcity(failures=(InjectedFailure("one", "QuotaExceeded"),)),
            {},
            QuotaExceeded,
            "QuotaExceeded",
        ),
        (Scarcity(), {"vm_size": "Standard_Nonsense"}, InvalidRequest, "InvalidParameter"),
    ],
)
def test_m1_a_refusal_leaves_nothing_behind(new_world, scarcity, asked, error, code):
    async def story(world, provider):
        await provider.set_scarcity("eastus", scarcity)
        with pytest.raises(error) as caught:
            await provider.create_machine(request(**asked))
        assert caught.value.code == code
        assert await provider.list_machines(CLUSTER) == []
        assert await cores(provider) == 0

    running(new_world, story)


def test_m1_what_was_accepted_survives_a_crash(new_world):
    async def story():
        world = new_world()
        async with world.running():
            made = await world.cloud.create_machine(request())
        world.restart()
        async with world.running():
            again = await world.cloud.create_machine(request())
            assert again.uid == made.uid
            await world.passes(minutes=4)
            assert (await world.machine(made.name)).phase is MachinePhase.RUNNING
            assert world.kube.ready(made.name) == "True"

    new_world.play(story)


def test_m2_lists_by_name_pool_and_cluster(new_world):
    async def story(world, provider):
        other = ClusterKey("sub-1", "rg1", "aks2")
        for asked in (
            request(2),
            request(1),
            request(0, pool="apool"),
            request(5, cluster=other),
        ):
            await provider.create_machine(asked)
        names = [m.name for m in await provider.list_machines(CLUSTER)]
        assert names == sorted(names)
        assert len(names) == 3
        pool = [m.name for m in await provider.list_machines(CLUSTER, "gpunp")]
        assert pool == [machine_name(1), machine_name(2)]
        assert len(await provider.list_machines(other)) == 1

    running(new_world, story)


def test_m2_m3_a_machine_goes_with_its_node(new_world):
    async def story(world, provider):
        machine = await settled(world)
        with pytest.raises(Precondition):
            await provider.delete_machine(CLUSTER, machine.name, uid="another")
        assert (await world.machine(machine.name)).phase is MachinePhase.RUNNING
        await provider.delete_machine(CLUSTER, machine.name, uid=machine.uid)
        await provider.delete_machine(CLUSTER, machine.name, uid=machine.uid)
        while await world.machine(machine.name) is not None:
            assert (await world.machine(machine.name)).phase is MachinePhase.DELETING
            await world.passes(seconds=1)
        assert world.kube.node(machine.name) is None
        await provider.delete_machine(CLUSTER, machine.name, uid=machine.uid)

    running(new_world, story)


def test_m4_a_reimaged_machine_begins_anew(new_world):
    async def story(world, provider):
        machine = await settled(world)
        await world.kube.patch(NODES, machine.name, {"metadata": {"labels": {"mine": "1"}}})
        fresh_setup = bootstrap(kubernetes_version="1.35.5")
        with pytest.raises(Precondition):
            await provider.reimage_machine(
                CLUSTER, machine.name, uid="other", generation=2, bootstrap=fresh_setup
            )
        fresh = await provider.reimage_machine(
            CLUSTER, machine.name, uid=machine.uid, generation=2, bootstrap=fresh_setup
        )
        assert fresh.uid != machine.uid
        assert (fresh.name, fresh.instance_id) == (machine.name, machine.instance_id)
        assert (fresh.generation, fresh.phase) == (2, MachinePhase.CREATING)
        await world.passes(minutes=5)
        node = world.kube.node(machine.name)
        assert node["status"]["nodeInfo"]["kubeletVersion"] == "v1.35.5"
        assert node["status"]["nodeInfo"]["systemUUID"] == fresh.uid
        assert "mine" not in node["metadata"]["labels"]
        with pytest.raises(NotFound):
            await provider.reimage_machine(
                CLUSTER, "missing", uid="x", generation=1, bootstrap=fresh_setup
            )

    running(new_world, story)


def test_m5_stop_gives_quota_back_and_start_takes_it(new_world):
    async def story(world, provider):
        machine = await settled(world)
        for _ in range(2):
            await provider.stop_machine(CLUSTER, machine.name, uid=machine.uid)
        assert await cores(provider) == 0
        await world.passes(minutes=2)
        assert (await world.machine(machine.name)).phase is MachinePhase.STOPPED
        assert world.kube.ready(machine.name) != "True"
        await provider.set_scarcity("eastus", Scarcity(default_quota=1))
        with pytest.raises(QuotaExceeded):
            await provider.start_machine(CLUSTER, machine.name, uid=machine.uid)
        assert (await world.machine(machine.name)).phase is MachinePhase.STOPPED
        await provider.set_scarcity("eastus", Scarcity())
        for _ in range(2):
            await provider.start_machine(CLUSTER, machine.name, uid=machine.uid)
        await world.passes(minutes=4)
        again = await world.machine(machine.name)
        assert (again.phase, again.uid) == (MachinePhase.RUNNING, machine.uid)
        assert world.kube.ready(machine.name) == "True"
        assert await cores(provider) == 2

    running(new_world, story)


@pytest.mark.parametrize("call", ["stop_machine", "start_machine"])
def test_m5_stop_and_start_are_guarded(new_world, call):
    async def story(world, provider):
        machine = await settled(world)
        with pytest.raises(Precondition):
            await getattr(provider, call)(CLUSTER, machine.name, uid="another")
        with pytest.raises(NotFound):
            await getattr(provider, call)(CLUSTER, "missing", uid="another")

    running(new_world, story)


def test_m6_changes_tell_every_phase(new_world):
    async def story(world, provider):
        seen = []

        async def listen():
            async for change in provider.changes():
                machine = await world.machine(machine_name(0))
                seen.append((change.pool, machine and machine.phase))

        async with asyncio.TaskGroup() as group:
            task = group.create_task(listen())
            await asyncio.sleep(0)
            machine = await settled(world)
            await provider.delete_machine(CLUSTER, machine.name, uid=machine.uid)
            await world.passes(minutes=2)
            task.cancel()
        phases = list(dict.fromkeys(phase for _, phase in seen))
        assert phases == [
            MachinePhase.CREATING,
            MachinePhase.BOOTSTRAPPING,
            MachinePhase.RUNNING,
            MachinePhase.DELETING,
            None,
        ]
        assert {pool for pool, _ in seen} == {"gpunp"}

    running(new_world, story)


def test_m7_usage_counts_by_family_with_the_total_first(new_world):
    async def story(world, provider):
        await provider.create_machine(request(0))
        await provider.create_machine(request(1, vm_size="Standard_NC24ads_A100_v4"))
        await provider.create_machine(request(2, spot=True))
        usage = await provider.usage("eastus")
        assert (usage[0].family, usage[0].used) == ("cores", 28)
        used = {u.family: u.used for u in usage if u.used}
        assert used == {
            "cores": 28,
            "lowPriorityCores": 2,
            "standardDSv2Family": 2,
            "StandardNCADSA100v4Family": 24,
        }
        assert (await provider.usage("westus"))[0].used == 0

    running(new_world, story)


def test_m8_scarcity_is_replaced_and_survives_a_crash(new_world):
    async def story():
        world = new_world()
        wanted = Scarcity(
            default_quota=100, failures=(InjectedFailure("two", "AllocationFailed", times=2),)
        )
        async with world.running():
            await world.cloud.set_scarcity("eastus", wanted)
            unknown = InjectedFailure("x", "NoSuchCode")
            with pytest.raises(InvalidRequest):
                await world.cloud.set_scarcity("eastus", replace(wanted, failures=(unknown,)))
            assert await world.cloud.scarcity("eastus") == wanted
            await world.cloud.create_machine(request(0))
        world.restart()
        async with world.running():
            left = await world.cloud.scarcity("eastus")
            assert left.failures[0].seen == 1
            for index in (1, 2, 3):
                await world.cloud.create_machine(request(index))
            await world.passes(minutes=5)
            failed = [
                m.name
                for m in await world.cloud.list_machines(CLUSTER)
                if m.phase is MachinePhase.FAILED
            ]
            assert failed == [machine_name(0), machine_name(1)]

    new_world.play(story)


def test_m8_every_nth_create_fails(new_world):
    async def story(world, provider):
        failure = InjectedFailure("third", "SkuNotAvailable", times=None, every=3)
        await provider.set_scarcity("eastus", Scarcity(failures=(failure,)))
        outcome = []
        for index in range(9):
            try:
                await provider.create_machine(request(index))
                outcome.append("")
            except PoolwrightError as error:
                outcome.append(error.code)
        assert outcome == ["", "", "SkuNotAvailable"] * 3

    running(new_world, story)


@pytest.mark.parametrize(
    "code",
    [
        "AllocationFailed",
        "ZonalAllocationFailed",
        "OverconstrainedAllocationRequest",
        "OverconstrainedZonalAllocationRequest",
        "VMExtensionProvisioningError",
        "OSProvisioningTimedOut",
        "NodesNotReady",
    ],
)
def test_m9_a_failed_machine_says_why_and_stays(new_world, code):
    async def story(world, provider):
        await provider.set_scarcity("eastus", Scarcity(failures=(InjectedFailure("f", code),)))
        machine = await provider.create_machine(request(zone="2"))
        assert machine.failure is None
        await world.passes(minutes=10)
        machine = await world.machine(machine.name)
        assert machine.phase is MachinePhase.FAILED
        assert machine.failure.code == code
        assert "{" not in machine.failure.message
        assert world.kube.ready(machine.name) is None
        assert await cores(provider) == 2
        await provider.delete_machine(CLUSTER, machine.name, uid=machine.uid)
        await world.passes(minutes=2)
        assert await world.machine(machine.name) is None
        assert await cores(provider) == 0

    running(new_world, story)


def test_m9_phase_since_is_when_the_phase_began(new_world):
    async def story(world, provider):
        began = world.clock.now().world
        machine = await provider.create_machine(request())
        assert began <= machine.phase_since <= world.clock.now().world
        await world.passes(minutes=10)
        machine = await world.machine(machine.name)
        assert 60 < machine.phase_since.since(began).total_seconds() < 180

    running(new_world, story)


def test_m10_identities_are_unique(new_world):
    async def story(world, provider):
        for index in range(40):
            await provider.create_machine(request(index))
        first = await world.machine(machine_name(3))
        await provider.delete_machine(CLUSTER, first.name, uid=first.uid)
        await world.passes(minutes=4)
        for index in range(40, 50):
            await provider.create_machine(request(index))
        machines = await provider.list_machines(CLUSTER)
        assert len(machines) == 49
        for attribute in ("uid", "instance_id", "private_ip"):
            assert len({getattr(m, attribute) for m in machines}) == 49

    running(new_world, story)


def test_a_node_that_moved_labels_keeps_them_over_a_report(new_world):
    async def story(world, provider):
        machine = await settled(world)
        await world.kube.patch(
            NODES,
            machine.name,
            {"metadata": {"labels": {"mine": "1"}}},
            kind=PatchKind.MERGE,
        )
        await provider.stop_machine(CLUSTER, machine.name, uid=machine.uid)
        await world.passes(minutes=2)
        assert world.kube.node(machine.name)["metadata"]["labels"]["mine"] == "1"

    running(new_world, story)
