"""Quota, restricted sizes and allocation failures on demand, as the real az prints them."""

from __future__ import annotations

import json

import pytest

CLUSTER = "-g scarce --cluster-name c"
V100 = "Standard_NC6s_v3"
URL = (
    "/subscriptions/11111111-1111-1111-1111-111111111111/providers/Poolwright.Cloud"
    "/locations/westus3/scarcity?api-version=2026-01-01"
)
QUOTA = (
    "(QuotaExceeded) Operation could not be completed as it results in exceeding approved "
    "standardNCSv3Family Cores quota. Additional details - Deployment Model: Resource Manager, "
    "Location: westus3, Current Limit: 12, Current Usage: 12, Additional Required: 6, (Minimum) "
    "New Limit Required: 18."
)
NO_QUOTA = (
    "exceeding approved standardNCSv3Family Cores quota. Additional details - Deployment Model: "
    "Resource Manager, Location: westus3, Current Limit: 0, Current Usage: 0, Additional "
    "Required: 6, (Minimum) New Limit Required: 6."
)
ALLOCATION = (
    "(AllocationFailed) Allocation failed. We do not have sufficient capacity for the requested "
    "VM size in this region."
)


@pytest.fixture(scope="module", autouse=True)
def cluster(az):
    az("group create -n scarce -l westus3")
    az("aks create -g scarce -n c -c 1 --no-ssh-key")
    yield
    az("group delete -n scarce --yes --no-wait")


@pytest.fixture
def scarcity(az):
    def put(**properties):
        az("rest --method put --url", URL, "--body", json.dumps({"properties": properties}))

    yield put
    az("rest --method delete --url", URL)


@pytest.fixture
def failed(az):
    """Adds a pool that shall fail; gives what az printed and the pool."""

    def add(name, words=f"-c 1 -s {V100}"):
        result = az(f"aks nodepool add {CLUSTER} -n {name} {words}", check=False)
        assert result.code == 1
        return result.err, az(f"aks nodepool show {CLUSTER} -n {name}").json

    yield add
    for name in az(f"aks nodepool list {CLUSTER} --query [?mode=='User'].name -o tsv").out.split():
        az(f"aks nodepool delete {CLUSTER} -n {name}")


def test_quota_of_a_family(az, scarcity, failed):
    scarcity(quotas={"westus3/standardNCSv3Family": 12})
    usage = {row["name"]["value"]: row for row in az("vm list-usage -l westus3").json}
    assert usage["standardNCSv3Family"]["limit"] == "12"
    printed, pool = failed("many", f"-c 3 -s {V100}")
    assert QUOTA in printed
    assert (pool["provisioningState"], pool["count"]) == ("Failed", 3)
    assert pool["status"]["provisioningError"]["code"] == "QuotaExceeded"
    table = az(f"aks nodepool list {CLUSTER} -o table").table
    assert table["many"]["ProvisioningState"] == "Failed"
    assert table["nodepool1"]["ProvisioningState"] == "Succeeded"
    scarcity(quotas={"westus3/standardNCSv3Family": 24})
    scaled = az(f"aks nodepool scale {CLUSTER} -n many -c 4 --query provisioningState")
    assert scaled.json == "Succeeded"


def test_quota_of_a_region(az, scarcity):
    scarcity(quotas={"westus3/cores": 3})
    result = az("aks create -g scarce -n second -c 1 --no-ssh-key", check=False)
    assert result.code == 1
    assert "(QuotaExceeded)" in result.err
    assert "Total Regional Cores quota" in result.err
    shown = az("aks show -g scarce -n second --query [provisioningState,powerState.code]")
    assert shown.json[0] == "Failed"
    az("aks delete -g scarce -n second --yes")


def test_a_restricted_size(az, scarcity):
    scarcity(restrictions=[{"vmSize": V100, "region": "westus3"}])
    refused = az(f"aks nodepool add {CLUSTER} -n none -c 1 -s {V100}", check=False)
    assert refused.code == 1
    assert f"(VMSizeNotSupported) Virtual Machine size: '{V100}' is not supported" in refused.err
    assert az(f"aks nodepool show {CLUSTER} -n none", check=False).code == 3
    size = f"[?name=='{V100}' && locations[0]=='westus3'].restrictions[].reasonCode"
    skus = URL.replace("Poolwright.Cloud/locations/westus3/scarcity", "Microsoft.Compute/skus")
    filtered = skus + "&$filter=location eq 'westus3'"
    rows = az("rest --method get --url", filtered, "--query", f"value{size}").json
    assert rows == ["NotAvailableForSubscription"]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("AllocationFailed", ALLOCATION),
        ("SkuNotAvailable", "is currently not available in location 'westus3'"),
        ("ZonalAllocationFailed", f"requested VM size {V100} in zone"),
        ("OverconstrainedAllocationRequest", "the condition is too restrictive"),
        ("QuotaExceeded", NO_QUOTA),
    ],
)
def test_the_next_create_fails(az, scarcity, failed, code, message):
    scarcity(failures=[{"code": code, "pool": "unlucky", "times": 1}])
    printed, pool = failed("unlucky")
    assert f"({code})" in printed
    assert message in printed
    assert pool["provisioningState"] == "Failed"
    assert pool["status"]["provisioningError"]["code"] == code
    again = az(f"aks nodepool update {CLUSTER} -n unlucky --labels a=b --query provisioningState")
    assert again.json == "Succeeded"


def test_every_second_create_fails(az, scarcity, failed):
    scarcity(failures=[{"code": "AllocationFailed", "vmSize": V100, "every": 2, "times": None}])
    printed, pool = failed("half", f"-c 2 -s {V100}")
    assert ALLOCATION in printed
    seen = az("rest --method get --url", URL, "--query", "properties.failures[0].seen").json
    assert seen >= 2
    assert pool["provisioningState"] == "Failed"


@pytest.mark.parametrize(
    ("properties", "target"),
    [
        ({"quotas": {"cores": 1}}, "properties.quotas.cores"),
        ({"failures": [{}]}, "properties.failures[0].code"),
        ({"restrictions": [{"vmSize": 1}]}, "properties.restrictions[0].vmSize"),
        ({"nonsense": 1}, "properties.nonsense"),
    ],
)
def test_documents_that_are_refused(az, properties, target):
    before = az("rest --method get --url", URL).json
    body = json.dumps({"properties": properties})
    refused = az("rest --method put --url", URL, "--body", body, check=False)
    assert (refused.code, f'"target":"{target}"' in refused.err) == (1, True), str(refused)
    assert az("rest --method get --url", URL).json == before
