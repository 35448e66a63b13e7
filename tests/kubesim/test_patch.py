import pytest

from poolwright.kubesim.patch import merge, strategic
from poolwright.kubesim.schema import shape_of
from poolwright.model import kubernetes as names

POD = shape_of(names.PODS)
NODE = shape_of(names.NODES)


def containers(*items):
    return {"spec": {"containers": list(items)}}


@pytest.mark.parametrize(
    ("kind", "old", "patch", "new"),
    [
        (
            POD,
            containers({"name": "a", "image": "1"}, {"name": "b", "image": "1"}),
            containers({"name": "b", "image": "2"}, {"name": "c"}),
            containers({"name": "a", "image": "1"}, {"name": "b", "image": "2"}, {"name": "c"}),
        ),
        (
            POD,
            containers({"name": "a"}, {"name": "b"}),
            containers({"name": "a", "$patch": "delete"}),
            containers({"name": "b"}),
        ),
        (
            POD,
            containers({"name": "a"}),
            containers({"$patch": "replace"}, {"name": "z"}),
            containers({"name": "z"}),
        ),
        (  # tolerations and taints are replaced whole
            POD,
            {"spec": {"tolerations": [{"key": "a"}]}},
            {"spec": {"tolerations": [{"key": "b"}]}},
            {"spec": {"tolerations": [{"key": "b"}]}},
        ),
        (
            NODE,
            {"spec": {"taints": [{"key": "a"}]}},
            {"spec": {"taints": [{"key": "b"}]}},
            {"spec": {"taints": [{"key": "b"}]}},
        ),
        (
            NODE,
            {"status": {"conditions": [{"type": "Ready", "status": "False", "reason": "r"}]}},
            {"status": {"conditions": [{"type": "Ready", "status": "True"}]}},
            {"status": {"conditions": [{"type": "Ready", "status": "True", "reason": "r"}]}},
        ),
        (
            POD,
            {"metadata": {"finalizers": ["a", "b"]}},
            {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["c"]}},
            {"metadata": {"finalizers": ["c", "b"]}},
        ),
        (  # what is new stands as early as may be
            POD,
            containers({"name": "a"}, {"name": "b"}),
            containers({"name": "c"}, {"name": "b", "image": "2"}, {"name": "d"}),
            containers({"name": "c"}, {"name": "a"}, {"name": "b", "image": "2"}, {"name": "d"}),
        ),
        (
            POD,
            {"metadata": {"ownerReferences": [{"uid": "1", "name": "a"}]}},
            {"metadata": {"ownerReferences": [{"uid": "2", "name": "b"}]}},
            {
                "metadata": {
                    "ownerReferences": [{"uid": "2", "name": "b"}, {"uid": "1", "name": "a"}]
                }
            },
        ),
        (
            POD,
            {"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}},
            {
                "spec": {
                    "volumes": [
                        {
                            "name": "v",
                            "$retainKeys": ["name", "hostPath"],
                            "hostPath": {"path": "/"},
                        }
                    ]
                }
            },
            {"spec": {"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}},
        ),
        (
            POD,
            {"metadata": {"labels": {"a": "1", "b": "1"}}},
            {"metadata": {"labels": {"a": None}}},
            {"metadata": {"labels": {"b": "1"}}},
        ),
    ],
)
def test_strategic_merge(kind, old, patch, new):
    assert strategic(old, patch, kind) == new


def test_merge_patch_replaces_lists_and_removes_nulls():
    old = {"a": [1, 2], "b": {"c": 1, "d": 2}}
    assert merge(old, {"a": [3], "b": {"c": None}}) == {"a": [3], "b": {"d": 2}}
    assert old == {"a": [1, 2], "b": {"c": 1, "d": 2}}
