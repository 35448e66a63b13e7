"""Small tables: ETags, errors, api-versions, throttling, compute lists and scarcity."""

from datetime import UTC, datetime, timedelta

import pytest

from poolwright.arm import api_versions
from poolwright.arm.errors import Shape, Throttled, status_of, wire_error
from poolwright.arm.etags import check_etag, etag_of
from poolwright.model import errors
from poolwright.model.managed_cluster import DocumentSpec, DocumentStatus
from poolwright.model.record import Kind, Stored
from poolwright.model.scarcity import InjectedFailure, Restriction, Scarcity

from .world import AKS_VERSION, ROOT, play

PASS = None


class Request:
    def __init__(self, method, if_match="", if_none_match=""):
        self.method = method
        self.if_match = if_match
        self.if_none_match = if_none_match


@pytest.mark.parametrize(
    ("method", "etag", "if_match", "if_none_match", "status"),
    [
        # Source: AKS use-etags doc (facts aks-api §5.3), every cell.
        ("PUT", None, "", "", PASS),
        ("PUT", None, "*", "", 412),
        ("PUT", None, "xyz", "", 412),
        ("PUT", None, "", "*", PASS),
        ("PUT", "xyz", "", "", PASS),
        ("PUT", "xyz", "*", "", PASS),
        ("PUT", "xyz", "xyz", "", PASS),
        ("PUT", "xyz", "abc", "", 412),
        ("PUT", "xyz", "", "*", 412),
        ("PATCH", "xyz", "*", "", PASS),
        ("PATCH", "xyz", "xyz", "", PASS),
        ("PATCH", "xyz", "abc", "", 412),
        ("PATCH", None, "xyz", "", PASS),
        ("DELETE", None, "xyz", "", PASS),
        ("DELETE", None, "*", "", PASS),
        ("DELETE", "xyz", "xyz", "", PASS),
        ("DELETE", "xyz", "abc", "", 412),
        ("PUT", "xyz", "", "xyz", 400),
        ("PUT", "xyz", "*", "*", 400),
    ],
)
def test_etag_table(method, etag, if_match, if_none_match, status):
    request = Request(method, if_match, if_none_match)
    if status is PASS:
        check_etag(request, etag)
        return
    with pytest.raises(errors.Refused) as refused:
        check_etag(request, etag)
    assert status_of(refused.value) == status


def test_etag_is_a_guid_that_moves_with_the_revision():
    kind = Kind("Thing", DocumentSpec, DocumentStatus)
    now = datetime(2026, 1, 1, tzinfo=UTC)

    def record(revision):
        return Stored(kind, "s", "n", "uid", revision, 1, DocumentSpec("n"), DocumentStatus(), now)

    first = etag_of(record(1))
    assert [len(part) for part in first.split("-")] == [8, 4, 4, 4, 12]
    assert first == etag_of(record(1))
    assert first != etag_of(record(2))


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.InvalidRequest("x"), 400),
        (errors.Immutable("x"), 400),
        (errors.FeatureNotRegistered("x"), 400),
        (errors.Unsupported("x"), 400),
        (errors.QuotaExceeded("x"), 400),
        (errors.NotFound("x"), 404),
        (errors.Conflict("x"), 409),
        (errors.Conflict("x", code="EtagMismatch"), 409),
        (errors.Precondition("x"), 412),
        (errors.Expired("x"), 410),
        (Throttled("x"), 429),
        (errors.Transient("x"), 503),
    ],
)
def test_status_of_errors(error, status):
    assert status_of(error) == status


def test_error_shapes():
    detail = errors.ErrorDetail("Inner", "why", "a.b")
    error = errors.InvalidRequest("no", target="a", details=(detail,))
    inner = {"code": "Inner", "message": "why", "target": "a.b"}
    assert wire_error(error, Shape.WRAPPED) == {
        "error": {"code": "InvalidParameter", "message": "no", "target": "a", "details": [inner]}
    }
    assert wire_error(error, Shape.FLAT) == {
        "code": "InvalidParameter",
        "details": [inner],
        "message": "no",
        "subcode": "",
        "target": "a",
    }
    assert wire_error(errors.InvalidRequest("no"), Shape.FLAT)["details"] is None


def test_api_versions_are_in_order_and_complete():
    versions = api_versions.CONTAINER_SERVICE
    assert list(versions) == sorted(set(versions))
    for known in ("2019-02-01", "2019-04-01", "2025-10-02-preview", "2026-06-01", "2026-08-01"):
        assert known in versions
    nvidia = api_versions.since("2025-10-02-preview", "2026-08-01")
    assert "2026-08-01" in nvidia
    assert "2026-07-01" not in nvidia
    assert "2025-10-02-preview" in nvidia
    assert "2025-09-02-preview" not in nvidia


def test_throttling_by_bucket():
    path = f"{ROOT}/providers/Microsoft.ContainerService/locations/eastus/kubernetesVersions"

    async def scenario(world):
        first = [(await world.get(path, version=AKS_VERSION)).status for _ in range(60)]
        refused = await world.get(path, version=AKS_VERSION)
        unlimited = await world.get("/subscriptions")
        world.clock.advance(timedelta(seconds=1))
        return first, refused, unlimited, await world.get(path, version=AKS_VERSION)

    first, refused, unlimited, later = play(scenario, is_throttling=True)
    assert set(first) == {200}
    assert (refused.status, refused.code, refused.headers["retry-after"]) == (429, "Throttled", "1")
    assert unlimited.status == 200
    assert later.status == 200


def test_skus_show_restrictions_of_their_region():
    async def scenario(world):
        world.provider.current = Scarcity(
            restrictions=(
                Restriction("Standard_NC24ads_A100_v4", region="eastus"),
                Restriction("standard_d4s_v3", zones=("2",), reason="QuotaId"),
                Restriction("Standard_D2s_v3", region="westus2"),
            )
        )
        path = f"{ROOT}/providers/Microsoft.Compute/skus"
        answer = await world.get(f"{path}?$filter=location eq 'East US'")
        everywhere = await world.get(path)
        own = await world.get(
            f"{ROOT}/providers/Microsoft.ContainerService/locations/eastus/vmSkus",
            version="2026-01-02-preview",
        )
        return answer.json["value"], everywhere.json["value"], own.json["value"]

    skus, everywhere, own = play(scenario)
    by_name = {sku["name"]: sku for sku in skus}
    a100 = by_name["Standard_NC24ads_A100_v4"]
    assert a100["restrictions"] == [
        {
            "type": "Location",
            "values": ["eastus"],
            "restrictionInfo": {"locations": ["eastus"]},
            "reasonCode": "NotAvailableForSubscription",
        }
    ]
    capabilities = {entry["name"]: entry["value"] for entry in a100["capabilities"]}
    assert (capabilities["vCPUs"], capabilities["GPUs"]) == ("24", "1")
    (zone,) = by_name["Standard_D4s_v3"]["restrictions"]
    assert (zone["type"], zone["restrictionInfo"]["zones"]) == ("Zone", ["2"])
    assert by_name["Standard_D2s_v3"]["restrictions"] == []
    assert len(everywhere) > 10 * len(skus)
    assert own == skus


def test_usages():
    async def scenario(world):
        return await world.get(f"{ROOT}/providers/Microsoft.Compute/locations/eastus/usages")

    assert play(scenario).json["value"] == [
        {
            "currentValue": 8,
            "limit": 100,
            "name": {"value": "cores", "localizedValue": "Total Regional vCPUs"},
            "unit": "Count",
        },
        {
            "currentValue": 0,
            "limit": 48,
            "name": {
                "value": "standardNCADSA100v4Family",
                "localizedValue": "Standard NCADSA100v4 Family vCPUs",
            },
            "unit": "Count",
        },
    ]


def test_kubernetes_versions_and_their_upgrades():
    async def scenario(world):
        path = f"{ROOT}/providers/Microsoft.ContainerService/locations/eastus"
        return (
            await world.get(f"{path}/kubernetesVersions", version=AKS_VERSION),
            await world.get(f"{path}/nodeImageVersions", version="2026-01-02-preview"),
            await world.get(f"{path}/nodeImageVersions", version=AKS_VERSION),
        )

    versions, images, released = play(scenario)
    minors = {minor["version"]: minor for minor in versions.json["values"]}
    assert minors["1.35"]["isDefault"] is True
    assert minors["1.34"]["patchVersions"]["1.34.4"]["upgrades"] == ["1.35.1", "1.35.4"]
    image = images.json["value"][0]
    assert image["fullName"] == f"{image['os']}-{image['sku']}-{image['version']}"
    assert (released.status, released.code) == (400, "NoRegisteredProviderFound")


SCARCITY = f"{ROOT}/providers/Poolwright.Cloud/locations/eastus/scarcity"


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_scarcity_of_no_region(method):
    async def scenario(world):
        path = SCARCITY.replace("eastus", "east-us!")
        return await world.call(method, path, {"properties": {"defaultQuota": 1}})

    refused = play(scenario)
    assert (refused.status, refused.code) == (400, "LocationNotAvailableForResourceType")


def test_scarcity_goes_round():
    document = {
        "properties": {
            "defaultQuota": 10,
            "quotas": {"eastus/standardNCADSA100v4Family": 48, "*/cores": 1000},
            "restrictions": [{"vmSize": "Standard_NC6s_v3", "region": "East US", "zones": ["1"]}],
            "failures": [
                {"code": "AllocationFailed", "vmSize": "Standard_NC6s_v3", "times": None},
                {"name": "second", "code": "SkuNotAvailable", "every": 3, "pool": "gpu"},
            ],
        }
    }

    async def scenario(world):
        put = await world.put(SCARCITY, document, version="2026-01-01")
        kept = world.provider.current
        got = await world.get(SCARCITY, version="2026-01-01")
        again = await world.put(SCARCITY, got.json, version="2026-01-01")
        same = kept == world.provider.current
        deleted = await world.call("DELETE", SCARCITY, version="2026-01-01")
        return put, kept, got, again, same, deleted, world.provider.current

    put, kept, got, again, same, deleted, plenty = play(scenario)
    assert put.status == got.status == again.status == deleted.status == 200
    assert put.json == got.json
    assert same
    assert kept == Scarcity(
        quotas={"eastus/standardncadsa100v4family": 48, "*/cores": 1000},
        default_quota=10,
        restrictions=(Restriction("Standard_NC6s_v3", "eastus", ("1",)),),
        failures=(
            InjectedFailure("0", "AllocationFailed", vm_size="Standard_NC6s_v3", times=None),
            InjectedFailure("second", "SkuNotAvailable", pool="gpu", every=3),
        ),
    )
    assert plenty == Scarcity()


@pytest.mark.parametrize(
    ("properties", "target"),
    [
        ([], "properties"),
        ({"quota": {}}, "properties.quota"),
        ({"defaultQuota": -1}, "properties.defaultQuota"),
        ({"defaultQuota": 10**10}, "properties.defaultQuota"),
        ({"defaultQuota": True}, "properties.defaultQuota"),
        ({"quotas": {"cores": 1}}, "properties.quotas.cores"),
        ({"quotas": {"eastus/NoSuch": 1}}, "properties.quotas.eastus/NoSuch"),
        ({"restrictions": [{"vmSize": "Standard_No"}]}, "properties.restrictions[0].vmSize"),
        ({"failures": [{"code": "X", "vmSize": "No"}]}, "properties.failures[0].vmSize"),
        ({"quotas": {"eastus/cores": "1"}}, "properties.quotas.eastus/cores"),
        ({"quotas": []}, None),
        ({"quotas": [1]}, "properties.quotas"),
        ({"restrictions": {}}, "properties.restrictions"),
        ({"restrictions": [{}]}, "properties.restrictions[0].vmSize"),
        (
            {"restrictions": [{"vmSize": "Standard_D2s_v3", "reason": "y"}]},
            "properties.restrictions[0].reason",
        ),
        (
            {"restrictions": [{"vmSize": "Standard_D2s_v3", "zones": [1]}]},
            "properties.restrictions[0].zones",
        ),
        ({"failures": [{"name": "x"}]}, "properties.failures[0].code"),
        ({"failures": [{"code": "x", "times": 0}]}, "properties.failures[0].times"),
        ({"failures": [{"code": "x", "every": 0}]}, "properties.failures[0].every"),
        ({"failures": [{"code": "x", "often": 1}]}, "properties.failures[0].often"),
        ({"failures": [{"code": "x", "name": "1"}, {"code": "x"}]}, "properties.failures"),
        ({"failures": [7]}, "properties.failures[0]"),
    ],
)
def test_bad_scarcity_is_refused_with_its_path(properties, target):
    async def scenario(world):
        before = world.provider.current
        answer = await world.put(SCARCITY, {"properties": properties}, version="2026-01-01")
        return answer, before == world.provider.current

    answer, unchanged = play(scenario)
    if target is None:  # an empty list is as good as nothing
        assert answer.status == 200
        return
    assert (answer.status, answer.code) == (400, "InvalidParameter")
    assert answer.json["error"]["target"] == target
    assert unchanged


def test_registration_is_required_where_a_setting_asks():
    cluster = f"{ROOT}/resourceGroups/rg1/providers/Microsoft.ContainerService/snapshots/s1"

    async def scenario(world):
        await world.put(f"{ROOT}/resourceGroups/rg1", {"location": "eastus"})
        return await world.put(cluster, {"location": "eastus"}, version=AKS_VERSION)

    answer = play(scenario, is_registration_required=True)
    assert (answer.status, answer.code) == (409, "MissingSubscriptionRegistration")
    assert "namespace 'Microsoft.ContainerService'" in answer.json["error"]["message"]
