"""Requests that real clients made: each gets the recorded status and at least the recorded keys.

The recording was made against a stub, so operations between requests are ended here as they ended
there, and what the stub made up on purpose (a failing pool, a bad combination) is left out.
"""

import json
import re
from pathlib import Path

import pytest

from arm_aks.world import GROUP, SUBSCRIPTION, run

TRACE = Path(__file__).parents[3] / "shared/facts/data/az-trace.jsonl"
LEFT_OUT = (
    # What the stub made up on purpose, and what it did not know to be wrong:
    r"/agentPools/(badreq|failpool)$",
    r"/agentPools/restpool$",  # migStrategy Single without a profile
    r"/maintenanceConfigurations/",
    # Machines are needed for these:
    r"/(machines|deleteMachines)$",
)
CHOSEN = ("maxPods", "nodeImageVersion", "orchestratorVersion", "osDiskSizeGB")
"""Members that the server chose when the recording was made; clients sent them back."""
MADE_UP_KEYS = re.compile(
    # The stub kept an unknown member of 2019, showed effective surge where AKS shows what was
    # declared, and offered an upgrade to pools that are as new as their control plane.
    r"\.storageProfile$|\.upgradeSettings\.max(Surge|Unavailable)$|\.properties\.upgrades"
    r"|\.gpuProfile\.driverType$"
    # It also showed members to api-versions that do not have them.
    r"|agentPoolProfiles\[\]\.gpuProfile\.nvidia"
)


def requests():
    if not TRACE.exists():
        return []
    rows = [json.loads(line) for line in TRACE.read_text().splitlines()]
    return [
        row
        for row in rows
        if "/managedClusters" in row["path"]
        and not any(re.search(pattern, row["path"]) for pattern in LEFT_OUT)
    ]


def keys(value, path=""):
    """Every path of member names; entries of lists count as one."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield f"{path}.{name}"
            yield from keys(member, f"{path}.{name}")
    elif isinstance(value, list):
        for member in value:
            yield from keys(member, f"{path}[]")


def local(row):
    return re.sub(r"/subscriptions/[^/]+", f"/subscriptions/{SUBSCRIPTION}", row["path"])


@pytest.mark.skipif(not TRACE.exists(), reason="the recorded trace is not beside the checkout")
def test_replay():
    async def story(world):
        groups = {re.search("resourceGroups/([^/]+)", r["path"]) for r in requests()}
        for name in sorted({g[1] for g in groups if g}):
            path = GROUP.replace("/rg1", f"/{name}")
            await world.put(path, {"location": "eastus"}, version="2024-11-01")
        await world.feature()
        problems = []
        for row in requests():
            if row["path"].endswith("/abort"):
                await begin(world, local(row).removesuffix("/abort"))
            elif row["method"] != "GET" or row["status"] == 404:
                await world.settle()
            problems += await compare(world, row)
        assert not problems, "\n".join(problems)

    run(story)


async def begin(world, path):
    """Start something that can be aborted."""
    answer = await world.get(path)
    if answer.properties["provisioningState"] == "Succeeded":
        await world.put(path, {"properties": {"count": answer.properties["count"] + 1}})


async def adapt(world, row):
    """The body as the client would have sent it to us."""
    body = row["request_body"]
    if row["method"] != "PUT":
        return body
    there = await world.get(local(row))
    if there.status == 200 and row["status"] == 201:  # another session of the recording
        await world.delete(local(row))
        await world.settle()
        there = await world.get(local(row))
    body = json.loads(json.dumps(body))
    profile = body["properties"].get("gpuProfile") or {}
    profile.pop("driverType", None)  # sent for a Linux pool, which AKS refuses
    if there.status == 200:
        own = there.properties
        put_back(body["properties"], own)
        if "kubernetesVersion" in body["properties"]:
            body["properties"]["kubernetesVersion"] = own["kubernetesVersion"]
        pools = {pool["name"]: pool for pool in own.get("agentPoolProfiles", ())}
        wanted = body["properties"].get("agentPoolProfiles", ())
        for pool in wanted:
            put_back(pool, pools.get(pool["name"], {}))
        known = [pool for pool in wanted if pool["name"] in pools]
        missing = [pool for name, pool in pools.items() if name not in {k["name"] for k in known}]
        if wanted:
            body["properties"]["agentPoolProfiles"] = known + missing
    return body


def put_back(properties, own):
    if "vmSize" in properties:  # a pool: on clusters the name is real
        properties.pop("storageProfile", None)
    for name in CHOSEN:
        if name in properties and name in own:
            properties[name] = own[name]


async def compare(world, row):
    version = re.search("api-version=([^&]+)", row["query"])[1]
    headers = {
        name: value
        for name, value in row["request_headers"].items()
        if name.lower() == "akshttpcustomfeatures"
    }
    body = await adapt(world, row)
    answer = await world.call(row["method"], local(row), body, version=version, headers=headers)
    where = f"{row['method']} {row['path']} {version} ({row['command'][:50]})"
    if answer.status != row["status"]:
        return [f"{where}: {answer.status} instead of {row['status']}: {answer}"]
    if answer.status == 404:
        return []
    missing = sorted(set(keys(row["response_body"])) - set(keys(answer.body)))
    missing = [name for name in missing if not MADE_UP_KEYS.search(name)]
    return [f"{where}: without {', '.join(missing)}"] if missing else []
