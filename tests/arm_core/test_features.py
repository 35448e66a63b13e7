"""Features and providers: their states by the world's clock, and who may use what."""

from datetime import timedelta

import pytest

from poolwright.arm.features import registered_features

from .world import ROOT, SUBSCRIPTION, play

FEATURES = f"{ROOT}/providers/Microsoft.Features/providers/Microsoft.ContainerService/features"
REGISTRATIONS = (
    f"{ROOT}/providers/Microsoft.Features/featureProviders/Microsoft.ContainerService"
    "/subscriptionFeatureRegistrations"
)
VERSION = "2021-07-01"
MINUTES = timedelta(minutes=3)


def state(answer):
    return answer.json["properties"]["state"]


def test_registering_takes_world_time_and_nobody_writes_its_end():
    async def scenario(world):
        states = [state(await world.get(f"{FEATURES}/managedgpu", version=VERSION))]
        answer = await world.call("POST", f"{FEATURES}/managedgpu/register", version=VERSION)
        states.append(state(answer))
        none = await registered_features(world.context, SUBSCRIPTION)
        world.clock.advance(MINUTES)
        revision = await world.store.revision(f"arm/{SUBSCRIPTION}")
        states.append(state(await world.get(f"{FEATURES}/managedgpu", version=VERSION)))
        some = await registered_features(world.context, SUBSCRIPTION)
        again = await world.call("POST", f"{FEATURES}/ManagedGPU/register", version=VERSION)
        states.append(state(again))
        unchanged = revision == await world.store.revision(f"arm/{SUBSCRIPTION}")
        await world.call("POST", f"{FEATURES}/ManagedGPU/unregister", version=VERSION)
        states.append(state(await world.get(f"{FEATURES}/ManagedGPU", version=VERSION)))
        world.clock.advance(MINUTES)
        states.append(state(await world.get(f"{FEATURES}/ManagedGPU", version=VERSION)))
        return answer.json, states, none, some, unchanged

    answer, states, none, some, unchanged = play(scenario)
    assert answer["name"] == "Microsoft.ContainerService/ManagedGPU"
    assert answer["id"] == f"{FEATURES}/ManagedGPU"
    assert answer["type"] == "Microsoft.Features/providers/features"
    assert states == [
        "NotRegistered",
        "Registering",
        "Registered",
        "Registered",
        "Unregistering",
        "Unregistered",
    ]
    assert none == frozenset()
    assert some == {"ManagedGPU"}
    assert unchanged


@pytest.mark.parametrize(
    "name",
    # decisions §1 and §3: the three names of one feature, and those of 2019.
    [
        "ManagedGPUExperiencePreview",
        "ManagedGPUExperience",
        "ManagedGPU",
        "MultiAgentpoolPreview",
        "VMSSPreview",
        "WindowsGPUPreview",
        "SiteFeature",
    ],
)
def test_known_features_can_be_registered(name):
    async def scenario(world):
        return await world.call("POST", f"{FEATURES}/{name}/register", version=VERSION)

    answer = play(scenario, feature_names={"Microsoft.ContainerService": ("SiteFeature",)})
    assert (answer.status, state(answer)) == (200, "Registering")


@pytest.mark.parametrize("method_and_path", [("GET", "Nope"), ("POST", "Nope/register")])
def test_unknown_features(method_and_path):
    method, path = method_and_path

    async def scenario(world):
        return await world.call(method, f"{FEATURES}/{path}", version=VERSION)

    answer = play(scenario)
    assert (answer.status, answer.code) == (404, "FeatureNotFound")


def test_lists():
    async def scenario(world):
        await world.call("POST", f"{FEATURES}/VMSSPreview/register", version=VERSION)
        every = await world.get(f"{ROOT}/providers/Microsoft.Features/features", version=VERSION)
        own = await world.get(FEATURES, version=VERSION)
        wrong = await world.get(
            f"{ROOT}/providers/Microsoft.Features/providers/Nope/features", version=VERSION
        )
        return every.json["value"], own.json["value"], wrong

    every, own, wrong = play(scenario)
    states = {feature["name"]: feature["properties"]["state"] for feature in own}
    assert states["Microsoft.ContainerService/VMSSPreview"] == "Registering"
    assert len(every) > len(own) > 20
    assert (wrong.status, wrong.code) == (404, "InvalidResourceNamespace")


def test_a_request_can_opt_in_by_its_header():
    class Asking:
        def __init__(self):
            asked = "Microsoft.ContainerService/managedgpu, WindowsGPUPreview,Nope"
            self.headers = {"akshttpcustomfeatures": asked}

    async def scenario(world):
        return await registered_features(world.context, SUBSCRIPTION, Asking())

    assert play(scenario) == {"ManagedGPU", "WindowsGPUPreview"}


def test_subscription_feature_registrations():
    async def scenario(world):
        one = f"{REGISTRATIONS}/ManagedGPU"
        missing = await world.get(one, version=VERSION)
        put = await world.put(one, {}, version=VERSION)
        got = await world.get(one, version=VERSION)
        listed = await world.get(REGISTRATIONS, version=VERSION)
        deleted = await world.call("DELETE", one, version=VERSION)
        again = await world.call("DELETE", one, version=VERSION)
        old_form = await world.get(f"{FEATURES}/ManagedGPU", version=VERSION)
        return missing, put, got, listed, deleted, again, old_form

    missing, put, got, listed, deleted, again, old_form = play(scenario)
    assert missing.status == 404
    assert put.json["properties"]["approvalType"] == "AutoApproval"
    assert state(got) == "Registering"
    assert [item["name"] for item in listed.json["value"]] == ["ManagedGPU"]
    assert (deleted.status, again.status) == (200, 204)
    assert state(old_form) == "Unregistering"


def test_provider_registration_by_the_clock():
    provider = f"{ROOT}/providers/microsoft.containerservice"

    async def scenario(world):
        states = [(await world.get(provider)).json["registrationState"]]
        states.append((await world.call("POST", f"{provider}/register")).json["registrationState"])
        world.clock.advance(timedelta(seconds=20))
        shown = await world.get(provider)
        states.append(shown.json["registrationState"])
        states.append(
            (await world.call("POST", f"{provider}/unregister")).json["registrationState"]
        )
        return states, shown.json

    states, shown = play(scenario, is_registration_required=True)
    assert states == ["NotRegistered", "Registering", "Registered", "Unregistering"]
    types = {each["resourceType"]: each for each in shown["resourceTypes"]}
    assert types["managedClusters/agentPools"]["apiVersions"][0] == "2026-08-02-preview"
    assert types["managedClusters"]["defaultApiVersion"] == "2026-08-01"
    assert "East US" in types["managedClusters"]["locations"]
    assert shown["namespace"] == "Microsoft.ContainerService"


def test_without_the_requirement_everything_shows_registered():
    async def scenario(world):
        listed = (await world.get(f"{ROOT}/providers")).json["value"]
        unknown = await world.get(f"{ROOT}/providers/Nope")
        return listed, unknown

    listed, unknown = play(scenario)
    assert {provider["registrationState"] for provider in listed} == {"Registered"}
    assert (unknown.status, unknown.code) == (404, "InvalidResourceNamespace")
