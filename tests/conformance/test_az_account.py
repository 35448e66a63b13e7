"""The real az around clusters: subscriptions, groups, tags, features, providers, sizes."""

from __future__ import annotations

import pytest

SUBSCRIPTION = "/subscriptions/11111111-1111-1111-1111-111111111111"
GROUP = f"{SUBSCRIPTION}/resourceGroups/accounts"


@pytest.fixture(scope="module", autouse=True)
def group(az):
    az("group create -n accounts -l eastus --tags team=ml")
    yield
    az("group delete -n accounts --yes")


def test_the_account(az):
    assert az("account show").json["id"] == SUBSCRIPTION.rpartition("/")[2]
    assert az("account list --query [].name -o tsv").out == "Poolwright\n"
    table = az("account list -o table").table
    assert table["Poolwright"]["State"] == "Enabled"
    assert table["Poolwright"]["IsDefault"] == "True"
    az("account set -s Poolwright")
    assert az("account get-access-token --query tokenType -o tsv").out == "Bearer\n"
    assert az("account list-locations -o table").table["East US"]["Name"] == "eastus"
    assert az("account set -s nothere", check=False).code == 1


def test_the_life_of_a_group(az):
    made = az("group create -n Living --location", "West US 2").json
    assert made["location"] == "westus2"
    assert made["properties"]["provisioningState"] == "Succeeded"
    assert az("group show -n LIVING").json["name"] == "Living"
    assert az("group exists -n living").out == "true\n"
    assert az("group list -o table").table["Living"]["Status"] == "Succeeded"
    assert az("group update -n Living --tags a=b").json["tags"] == {"a": "b"}
    assert az("group update -n Living --set tags.c=d").json["tags"] == {"a": "b", "c": "d"}
    assert az("group list --tag a=b --query [].name -o tsv").out == "Living\n"
    az("group delete -n living --yes --no-wait")
    az("group wait -n Living --deleted --interval 1")
    assert az("group exists -n Living").out == "false\n"


def test_groups_that_cannot_be(az):
    missing = az("group show -n nothere", check=False)
    assert missing.code == 3
    assert "(ResourceGroupNotFound) Resource group 'nothere' could not be found." in missing.err
    assert az("group delete -n nothere --yes", check=False).code == 3
    bad = az("group create -l eastus -n", "bad.", check=False)
    assert bad.code == 1
    assert "(InvalidResourceGroup)" in bad.err
    moved = az("group create -n accounts -l westus2", check=False)
    assert moved.code == 1
    assert "(InvalidResourceGroupLocation)" in moved.err


def test_places_that_are_not_there(az):
    refused = az("group create -n onmars -l mars", check=False)
    assert refused.code == 1
    assert (
        "(LocationNotAvailableForResourceGroup) The provided location 'mars' is not available for "
        "resource group. List of available regions is 'eastus,"
    ) in refused.err
    az("group create -n onearth -l germanywestcentral")
    refused = az("aks create -g onearth -n c -l mars --no-ssh-key", check=False)
    assert (
        "(LocationNotAvailableForResourceType) The provided location 'mars' is not available for "
        "resource type 'Microsoft.ContainerService/managedClusters'. List of available regions for "
        "the resource type is 'eastus,"
    ) in refused.err
    az("group delete -n onearth --yes --no-wait")


def test_tags_of_a_group(az):
    tags = az(f"tag update --resource-id {GROUP} --operation merge --tags tier=gold").json
    assert tags["properties"]["tags"] == {"team": "ml", "tier": "gold"}
    az(f"tag update --resource-id {GROUP} --operation delete --tags tier=gold")
    assert az(f"tag list --resource-id {GROUP}").json["properties"]["tags"] == {"team": "ml"}
    assert az("group show -n accounts").json["tags"] == {"team": "ml"}
    assert "team" in [name["tagName"] for name in az("tag list").json]
    assert az(f"tag create --resource-id {GROUP} --tags team=ml").json["name"] == "default"


def test_a_feature_is_registered(az, wait_until):
    feature = "--namespace Microsoft.ContainerService -n GPUDedicatedVHDPreview"
    assert az(f"feature show {feature}").json["properties"]["state"] == "NotRegistered"
    registering = az(f"feature register {feature}")
    assert registering.json["properties"]["state"] == "Registering"
    assert "az provider register -n Microsoft.ContainerService" in registering.err
    name = "Microsoft.ContainerService/GPUDedicatedVHDPreview"
    wait_until(
        lambda: (
            az(f"feature show {feature} -o table").table[name]["RegistrationState"] == "Registered"
        )
    )
    listed = az(
        "feature list -o table --query",
        f"[?contains(name, '{name}')].{{Name:name,State:properties.state}}",
    )
    assert listed.table == {name: {"Name": name, "State": "Registered"}}
    states = az("feature list --namespace Microsoft.ContainerService -o table").table
    assert states[name]["RegistrationState"] == "Registered"
    assert states["Microsoft.ContainerService/ManagedGPU"]
    assert az(f"feature unregister {feature}").json["properties"]["state"] == "Unregistering"


def test_unknown_features_and_namespaces(az):
    unknown = az("feature show --namespace Microsoft.ContainerService -n Nonsense", check=False)
    assert unknown.code == 3
    assert "(FeatureNotFound) The feature 'Nonsense' could not be found." in unknown.err
    foreign = az("feature register --namespace Microsoft.Nonsense -n X", check=False)
    assert foreign.code == 3
    assert "(InvalidResourceNamespace)" in foreign.err


def test_a_provider_is_registered(az):
    assert az("provider register -n Microsoft.ContainerService").out == ""
    az("provider register --namespace Microsoft.ContainerService --wait")
    shown = az("provider show -n Microsoft.ContainerService -o table").table
    assert shown["Microsoft.ContainerService"]["RegistrationState"] == "Registered"
    types = az("provider show -n Microsoft.ContainerService --query resourceTypes[].resourceType")
    assert {"managedClusters", "managedClusters/agentPools"} <= set(types.json)
    assert "Microsoft.Compute" in az("provider list -o table").table
    unknown = az("provider show -n Microsoft.Nope", check=False)
    assert unknown.code == 3
    assert "(InvalidResourceNamespace)" in unknown.err


def test_usage_of_cores(az):
    usages = {row["name"]["value"]: row for row in az("vm list-usage -l eastus").json}
    assert usages["cores"]["localName"] == "Total Regional vCPUs"
    assert usages["standardNCSv3Family"]["limit"] == "100000"
    assert "Total Regional vCPUs" in az("vm list-usage -l eastus -o table").table


def test_sizes_on_offer(az):
    rows = az("vm list-skus -l eastus --size Standard_NC6s_v3").json
    (size,) = rows
    capabilities = {one["name"]: one["value"] for one in size["capabilities"]}
    assert (capabilities["GPUs"], capabilities["vCPUs"]) == ("1", "6")
    assert size["locations"] == ["eastus"]
    assert size["restrictions"] == []


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("{}/resourceGroups/accounts", "MissingApiVersionParameter"),
        ("{}/resourceGroups/accounts?api-version=yesterday", "InvalidApiVersionParameter"),
        ("{}/resourceGroups/nothere?api-version=2024-11-01", "ResourceGroupNotFound"),
        (
            "{}/providers/Microsoft.ContainerService/managedClusters?api-version=1999-01-01",
            "NoRegisteredProviderFound",
        ),
        ("{}/providers/Microsoft.Nope/things?api-version=2024-11-01", "InvalidResourceNamespace"),
    ],
)
def test_rest_calls_that_are_refused(az, url, code):
    refused = az("rest --method get --url", url.format(SUBSCRIPTION), check=False)
    assert refused.code == 1
    assert f'"code":"{code}"' in refused.err


def test_outputs_without_noise(az):
    assert az("group show -n accounts --query location -o tsv --only-show-errors").out == "eastus\n"
    assert "location: eastus" in az("group show -n accounts -o yaml").out
    assert az("group show -n accounts --query [location] -o jsonc --only-show-errors").code == 0
    assert az("group show -n accounts -o none").out == ""
