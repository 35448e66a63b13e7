"""Variables of a container that come from elsewhere than its spec."""

import pytest

from poolwright.model.kubernetes import CONFIG_MAPS, EVENTS, SECRETS
from providers.test_simulated_pods import NODE, state_of, with_node
from providers.world import CLUSTER, World, play, pod, request


def with_env(name="web", *, env=(), env_from=(), **spec):
    body = pod(name, **spec)
    body["spec"]["containers"][0] |= {"env": list(env), "envFrom": list(env_from)}
    return body


def key(kind, name, which, **more):
    return {f"{kind}KeyRef": {"name": name, "key": which, **more}}


async def made(world):
    await world.kube.create(
        CONFIG_MAPS, {"metadata": {"name": "c"}, "data": {"A": "1", "B": "2"}}, namespace="default"
    )
    secret = {"metadata": {"name": "s"}, "data": {"PASSWORD": "aHVudGVyMg=="}}
    await world.kube.create(SECRETS, secret, namespace="default")


async def env_of(world, name="web"):
    found = await world.cloud.kubelet.execute(CLUSTER, world.kube.pod(name), "main", ["env"])
    return dict(line.split("=", 1) for line in found.stdout.decode().splitlines())


def test_variables_come_from_config_maps_secrets_and_resources():
    async def story(world):
        await made(world)
        env = [
            {"name": "A", "value": "mine"},
            {"name": "SAID", "value": "$(X_PASSWORD)-$(TWO)"},
            {"name": "TWO", "valueFrom": key("configMap", "c", "B")},
            {"name": "AFTER", "value": "$(TWO)"},
            {"name": "NONE", "valueFrom": key("configMap", "c", "Z", optional=True)},
            {"name": "NOWHERE", "valueFrom": key("secret", "z", "Z", optional=True)},
            {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
            {"name": "MILLI", "valueFrom": {
                "resourceFieldRef": {"resource": "requests.cpu", "divisor": "1m"}}},
            {"name": "MIB", "valueFrom": {
                "resourceFieldRef": {"resource": "requests.memory", "divisor": "1Mi"}}},
            {"name": "IPS", "valueFrom": {"fieldRef": {"fieldPath": "status.podIPs"}}},
        ]  # fmt: skip
        env_from = [
            {"configMapRef": {"name": "c"}},
            {"secretRef": {"name": "s"}, "prefix": "X_"},
            {"secretRef": {"name": "missing", "optional": True}},
        ]
        resources = {"requests": {"cpu": "250m", "memory": "64Mi"}}
        await world.kube.bind(with_env(env=env, env_from=env_from, resources=resources), NODE)
        await world.passes(seconds=30)
        found = await env_of(world)
        wanted = {
            "A": "mine", "B": "2", "X_PASSWORD": "hunter2", "SAID": "hunter2-$(TWO)", "TWO": "2",
            "AFTER": "2", "CPU": "2", "MILLI": "250", "MIB": "64",
            "IPS": world.kube.pod("web")["status"]["podIP"],
        }  # fmt: skip
        assert {name: found.get(name) for name in wanted} == wanted
        assert not {"NONE", "NOWHERE"} & found.keys()

    with_node(story)


MISSING = [
    (key("configMap", "none", "A"), 'configmap "none" not found'),
    (key("secret", "none", "A"), 'secret "none" not found'),
    (key("configMap", "c", "Z"), "couldn't find key Z in ConfigMap default/c"),
    (key("secret", "s", "Z"), "couldn't find key Z in Secret default/s"),
]


@pytest.mark.parametrize(("source", "why"), MISSING)
def test_a_container_waits_for_what_its_variables_come_from(source, why):
    async def story(world):
        await made(world)
        await world.kube.bind(with_env(env=[{"name": "V", "valueFrom": source}]), NODE)
        await world.passes(seconds=60)
        waiting = state_of(world.kube.pod("web"))["waiting"]
        assert waiting == {"reason": "CreateContainerConfigError", "message": why}
        assert world.kube.pod("web")["status"]["phase"] == "Pending"
        failed = [e["message"] for e in world.kube.all(EVENTS) if e["reason"] == "Failed"]
        assert failed == [f"Error: {why}"]
        (kind, found), = source.items()  # fmt: skip
        resource = {"configMapKeyRef": CONFIG_MAPS, "secretKeyRef": SECRETS}[kind]
        await world.kube.delete(resource, found["name"], namespace="default")
        body = {"metadata": {"name": found["name"]}, "data": {found["key"]: "eWVz"}}
        await world.kube.create(resource, body, namespace="default")
        await world.passes(seconds=20)
        assert world.kube.pod("web")["status"]["phase"] == "Running"
        assert (await env_of(world))["V"] == ("eWVz" if resource is CONFIG_MAPS else "yes")

    with_node(story)


def test_a_container_keeps_what_it_was_started_with():
    async def story(world):
        await made(world)
        source = key("configMap", "c", "A")
        await world.kube.bind(with_env(env=[{"name": "V", "valueFrom": source}]), NODE)
        await world.passes(seconds=30)
        await world.kube.patch(CONFIG_MAPS, "c", {"data": {"A": "9"}}, namespace="default")
        await world.passes(seconds=30)
        assert (await env_of(world))["V"] == "1"

    with_node(story)


def test_what_a_variable_says_decides_how_a_script_goes_and_its_log_tells():
    async def whole():
        world = World()
        async with world.running():
            await world.cloud.create_machine(request())
            await world.passes(minutes=7)
            await made(world)
            source = key("configMap", "c", "B")
            env = [{"name": "CODE", "valueFrom": source}]
            script = ["sh", "-c", "echo $CODE; exit $CODE"]
            body = with_env(env=env, command=script, restartPolicy="Never")
            await world.kube.bind(body, NODE)
            await world.passes(seconds=30)
            found = world.kube.pod("web")
            assert state_of(found)["terminated"]["exitCode"] == 2
        world.restart()
        async with world.running():
            await world.passes(seconds=30)
            lines = world.cloud.kubelet.logs(CLUSTER, world.kube.pod("web"), "main")
            assert [line async for line in lines] == [b"2\n"]

    play(whole)
