from poolwright.model.machine import MachinePhase
from providers.world import CLUSTER, GPU_SIZE, World, gpu_bootstrap, machine_name, play, request


def test_a_cpu_machine_boots_registers_and_goes():
    async def story():
        world = World()
        name = machine_name(0)
        async with world.running():
            made = await world.cloud.create_machine(request())
            assert made.phase is MachinePhase.CREATING
            await world.passes(minutes=4)
            assert (await world.machine(name)).phase is MachinePhase.RUNNING
            node = world.kube.node(name)
            assert world.kube.ready(name) == "True"
            assert node["status"]["nodeInfo"]["kubeletVersion"] == "v1.35.4"
            await world.cloud.delete_machine(CLUSTER, name, uid=made.uid)
            assert (await world.machine(name)).phase is MachinePhase.DELETING
            await world.passes(minutes=2)
            assert await world.machine(name) is None
            assert world.kube.node(name) is None

    play(story)


def test_a_gpu_machine_takes_about_three_minutes_longer():
    async def story():
        world = World()
        async with world.running():
            await world.cloud.create_machine(
                request(vm_size=GPU_SIZE, setup=gpu_bootstrap(), spot=True)
            )
            await world.passes(minutes=4)
            assert world.kube.ready(machine_name(0)) is None
            await world.passes(seconds=110)
            assert world.kube.ready(machine_name(0)) == "True"

    play(story)
