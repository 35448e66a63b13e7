"""What a deployment would change, property by property."""

import pytest

from poolwright.arm.template.what_if import merged, property_changes

BEFORE = {
    "location": "eastus",
    "tags": {"team": "a"},
    "properties": {
        "count": 3,
        "vmSize": "Standard_DS2_v2",
        "enableFIPS": False,
        "nodeLabels": {"tier": "web", "old": "x"},
        "nodeTaints": ["sku=gpu:NoSchedule"],
        "upgradeSettings": {"maxSurge": "10%"},
        "agentPoolProfiles": [{"name": "one", "count": 1}, {"name": "two", "count": 2}],
    },
}
SAME = {
    "tags": {"team": "a"},
    "properties": {
        "nodeLabels": {"tier": "web", "old": "x"},
        "nodeTaints": ["sku=gpu:NoSchedule"],
    },
}


def after(tags=None, **properties):
    return {"tags": tags or SAME["tags"], "properties": {**SAME["properties"], **properties}}


def brief(changes):
    return [(c["path"], c["propertyChangeType"], c["before"], c["after"]) for c in changes]


@pytest.mark.parametrize(
    "declared",
    [
        SAME,
        {**SAME, "location": "East US"},
        after(vmSize="standard_ds2_V2"),
        after(enableFIPS=None, upgradeSettings={}),
        after(enableUltraSSD=False, kubeletConfig={}),
        after(agentPoolProfiles=[{"name": "One", "count": 1}]),
    ],
)
def test_no_change(declared):
    assert property_changes(BEFORE, declared) == []


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        (after(count=5), [("properties.count", "Modify", 3, 5)]),
        (after(enableFIPS=True), [("properties.enableFIPS", "Modify", False, True)]),
        (after(maxPods=30), [("properties.maxPods", "Create", None, 30)]),
        (
            after(upgradeSettings={"maxSurge": "33%", "drainTimeoutInMinutes": 5}),
            [
                ("properties.upgradeSettings.maxSurge", "Modify", "10%", "33%"),
                ("properties.upgradeSettings.drainTimeoutInMinutes", "Create", None, 5),
            ],
        ),
        (
            after(nodeLabels={"tier": "Web"}),
            [
                ("properties.nodeLabels.tier", "Modify", "web", "Web"),
                ("properties.nodeLabels.old", "Delete", "x", None),
            ],
        ),
        (
            {"tags": {"team": "a"}},
            [
                ("properties.nodeLabels", "Delete", BEFORE["properties"]["nodeLabels"], None),
                ("properties.nodeTaints", "Delete", ["sku=gpu:NoSchedule"], None),
            ],
        ),
        (
            {"properties": SAME["properties"]},
            [("tags", "Delete", {"team": "a"}, None)],
        ),
    ],
)
def test_changes(declared, expected):
    assert brief(property_changes(BEFORE, declared)) == expected


def test_arrays_have_children():
    (taints,) = property_changes(BEFORE, after(nodeTaints=["a=b:NoSchedule"]))
    assert (taints["path"], taints["propertyChangeType"]) == ("properties.nodeTaints", "Array")
    assert brief(taints["children"]) == [
        ("0", "Create", None, "a=b:NoSchedule"),
        ("0", "Delete", "sku=gpu:NoSchedule", None),
    ]


def test_pools_are_matched_by_name_and_never_deleted():
    (pools,) = property_changes(BEFORE, after(agentPoolProfiles=[{"name": "two", "count": 7}]))
    (two,) = pools["children"]
    assert brief(two["children"]) == [("count", "Modify", 2, 7)]


def test_merged_lays_the_declared_over_what_there_is():
    result = merged(BEFORE, {"properties": {"count": 9, "nodeLabels": {"b": "c"}}})
    assert result["properties"]["count"] == 9
    assert result["properties"]["vmSize"] == "Standard_DS2_v2"
    assert result["properties"]["nodeLabels"] == {"b": "c"}
    assert BEFORE["properties"]["count"] == 3
