"""Every row of the property tables: accepted where it should be, refused where it has a rule."""

from __future__ import annotations

import random

import pytest

from arm_aks.world import CLUSTER, GROUP, NEWEST, PREVIEW, cluster_body, run
from poolwright.arm.api_versions import CONTAINER_SERVICE
from poolwright.arm.properties import agent_pool, managed_cluster
from poolwright.arm.properties.names import known_names
from poolwright.arm.properties.table import STRICT_SINCE, Change, Wire

from . import values
from .cases import ABSENT, Case, Tally, ask, ask_all, nested

SEED = 20261121
NEW_CLUSTER = f"{GROUP}/providers/Microsoft.ContainerService/managedClusters/c2"
BASE = {"count": 1, "vmSize": "Standard_D4s_v5"}
POOL_ROWS = agent_pool.TABLE.rows
CLUSTER_ROWS = managed_cluster.TABLE.rows


def key(row):
    return (row.path, row.released, row.previewed)


def versions_of(row, count, *, wanted=True):
    """Some api-versions that have a row (or have not): the ends, and others by the seed."""
    having = [version for version in CONTAINER_SERVICE if row.is_in(version) is wanted]
    if len(having) <= count:
        return having
    rng = random.Random(f"{SEED}/{row.path}/{row.previewed}")
    inner = rng.sample(having[1:-1], count - 2)
    return [having[0], *sorted(inner), having[-1]]


def pool_values(row):
    found = values.POOL.get(row.path)
    if found is not None:
        return found
    if row.enum and row.type is Wire.STRING:
        return [(choice, {}) for choice in row.enum]
    return [(value, {}) for value in values.BY_TYPE[row.type]]


def is_closed(names, path):
    """Whether the version's model lists the members of this object, so that others are refused."""
    for name in path.split("."):
        if not isinstance(names, dict):
            return False
        names = names.get(name)
    return isinstance(names, dict)


def fitted(row, value, reads, names):
    """The value, and what reads show of it; empty where free members would be refused."""
    free = value in values.BY_TYPE[Wire.OBJECT] or value in values.BY_TYPE[Wire.OBJECTS]
    if free and names is not None and is_closed(names, row.path):
        return type(value)(), {}
    return value, reads


def pool_case(row, wire, version, about, **more):
    path = f"{CLUSTER}/agentPools/np"
    body = {"properties": {**BASE, **wire}}
    return Case(f"{row.path}: {about}", "PUT", path, body, version, row=key(row), **more)


def accepted_pools():
    for row in POOL_ROWS:
        for version in versions_of(row, 8):
            if row.change is Change.READ_ONLY:
                wire = nested(row.path, {} if row.type is Wire.PARENT else "whatever")
                yield pool_case(row, wire, version, "read-only members are ignored")
                continue
            for value, needs in pool_values(row):
                missing = [name for name in needs if name not in visible_names(version)]
                if missing:
                    continue
                reads = {} if row.type is Wire.PARENT else {row.path: value}
                sent, reads = fitted(row, value, reads, agent_pool.names(version))
                wire = nested(row.path, sent, needs)
                yield pool_case(row, wire, version, f"{value!r:.40}", reads=reads)


def visible_names(version):
    return {row.path.split(".")[0] for row in agent_pool.TABLE.visible(version)}


def refused_pools():
    target = agent_pool.TABLE.target
    for row in POOL_ROWS:
        if row.change is Change.READ_ONLY:
            continue
        for version in versions_of(row, 2):
            for value in values.WRONG[row.type]:
                yield pool_case(
                    row, nested(row.path, value), version, f"{value!r:.40} has the wrong type",
                    codes=("UnmarshalError",), status=400, target=f"properties.{row.path}",
                )  # fmt: skip
            bad = []
            if row.enum:
                bad = [["nonsense"]] if row.type is Wire.STRINGS else ["nonsense", "ünï", " "]
            if row.range:
                bad = [row.range[0] - 1, row.range[1] + 1]
            for value in bad:
                yield pool_case(
                    row, nested(row.path, value), version, f"{value!r} is not allowed",
                    codes=("InvalidParameter",), status=400, target=f"{target}.{row.path}",
                )  # fmt: skip


def invisible_pools():
    """A property is unknown to the api-versions before it (or after its end)."""
    listed = known_names("agentPools", "2026-06-01")
    assert listed is not None
    for row in POOL_ROWS:
        found = [v for v in versions_of(row, 8, wanted=False) if v != "2026-06-01"]
        for version in found:
            name = first_unknown(row.path, version)
            if name is None:
                continue
            (value, _), *_ = pool_values(row) or [("x", {})]
            wire = nested(row.path, value)
            if version >= STRICT_SINCE:
                yield pool_case(
                    row, wire, version, "not in this api-version",
                    codes=("UnmarshalError",), status=400, target=name,
                )  # fmt: skip
            else:
                yield pool_case(row, wire, version, "ignored before 2024", reads={row.path: ABSENT})


def first_unknown(path, version):
    """The first name of a path that a version does not know; None if it knows all."""
    known = [row.path.lower() for row in agent_pool.TABLE.visible(version)]
    here = ""
    for name in path.split("."):
        here = f"{here}.{name}".lstrip(".")
        if not any(one == here.lower() or one.startswith(f"{here.lower()}.") for one in known):
            return name
    return None


def cluster_values(row):
    found = values.CLUSTER.get(row.path)
    if found is not None:
        return found
    if row.enum:
        return [(choice, {}) for choice in row.enum]
    if row.range:
        return [(bound, {}) for bound in row.range]
    return [(value, {}) for value in values.BY_TYPE[row.type]]


def cluster_case(row, wire, version, about, **more):
    body = cluster_body(wire)
    return Case(f"{row.path}: {about}", "PUT", NEW_CLUSTER, body, version, row=key(row), **more)


def accepted_clusters():
    for row in CLUSTER_ROWS:
        for version in versions_of(row, 5):
            if row.change is Change.READ_ONLY:
                wire = nested(row.path, "whatever")
                yield cluster_case(row, wire, version, "read-only members are ignored")
                continue
            for value, needs in cluster_values(row):
                differs = row.path in values.CLUSTER_READS_DIFFERENTLY or row.type is Wire.PARENT
                reads = {} if differs else {row.path: value}
                names = (managed_cluster.names(version) or {}).get("properties")
                sent, reads = fitted(row, value, reads, names)
                wire = nested(row.path, sent, needs)
                yield cluster_case(row, wire, version, f"{value!r:.40}", reads=reads)


def refused_clusters():
    for row in CLUSTER_ROWS:
        if row.change is Change.READ_ONLY:
            continue
        for version in versions_of(row, 2):
            for value in values.WRONG[row.type]:
                yield cluster_case(
                    row, nested(row.path, value), version, f"{value!r:.40} has the wrong type",
                    codes=("UnmarshalError",), status=400, target=f"properties.{row.path}",
                )  # fmt: skip
            bad = []
            if row.enum:
                bad = [["nonsense"]] if row.type is Wire.STRINGS else ["nonsense", "ünï"]
            if row.range:
                bad = [row.range[0] - 1, row.range[1] + 1]
            for value in bad:
                yield cluster_case(
                    row, nested(row.path, value), version, f"{value!r} is not allowed",
                    codes=("InvalidParameter",), status=400, target=f"properties.{row.path}",
                )  # fmt: skip


GROUPS = {
    "accepted pools": accepted_pools,
    "refused pools": refused_pools,
    "pools of other versions": invisible_pools,
    "accepted clusters": accepted_clusters,
    "refused clusters": refused_clusters,
}


@pytest.mark.parametrize("group", GROUPS)
def test_every_row(group):
    tally = ask_all(list(GROUPS[group]()))
    tally.check()
    reached = tally.accepted if group.startswith("accepted") else tally.refused
    rows = CLUSTER_ROWS if group.endswith("clusters") else POOL_ROWS
    if group.startswith("accepted"):
        spared = {*values.UNTESTED_ACCEPTED, "agentPoolProfiles"}
        expected = {
            key(row) for row in rows if row.change is Change.READ_ONLY or row.path not in spared
        }
    elif group.startswith("refused"):
        expected = {key(row) for row in rows if row.change is not Change.READ_ONLY}
    else:
        return
    assert not expected - reached


def test_there_are_enough_of_them():
    counts = {name: sum(1 for _ in make()) for name, make in GROUPS.items()}
    accepted = counts["accepted pools"] + counts["accepted clusters"]
    assert sum(counts.values()) >= 2000
    assert accepted >= 0.3 * sum(counts.values())


def fixed_rows():
    return [
        row
        for row in POOL_ROWS
        if row.change is Change.IMMUTABLE
        and (row.is_in(NEWEST) or row.is_in(PREVIEW))
        and row.type is not Wire.INSTALL_DRIVER
    ]


def another(row):
    if row.path in values.POOL_OTHER:
        return values.POOL_OTHER[row.path]
    options = [one for one in pool_values(row) if one[0] not in (row.default, "Standard_D4s_v5")]
    return options[-1]


@pytest.mark.parametrize("row", fixed_rows(), ids=lambda row: row.path)
def test_what_is_fixed_stays(row):
    version = PREVIEW if row.is_in(PREVIEW) else NEWEST
    value, needs = another(row)
    tally = Tally()

    async def story(world):
        await world.cluster()
        await world.feature()
        first = pool_case(row, needs, version, "made")
        await ask(world, first, tally)
        await world.settle()
        change = pool_case(
            row, nested(row.path, value, needs), version, "changed",
            codes=("PropertyChangeNotAllowed",), status=400, target=f"properties.{row.path}",
        )  # fmt: skip
        await ask(world, change, tally)

    run(story)
    tally.check()
