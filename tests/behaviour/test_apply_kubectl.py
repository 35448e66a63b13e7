"""kubectl may apply from its side, then from the server's, and go back."""

from __future__ import annotations

import json

from behaviour.manifests import config_map, deployment

NOTED = "kubectl.kubernetes.io/last-applied-configuration"


def test_what_was_applied_last_is_noted_by_the_server_too(world, namespace):
    path = f"/api/v1/namespaces/{namespace}/configmaps/a"

    def applied(words, *, note=None, **data):
        body = {**config_map("a"), "apiVersion": "v1", "kind": "ConfigMap", "data": data}
        if note is not None:
            body["metadata"]["annotations"] = {"note": note}
        said = world.kubectl(f"apply {words} -f -", stdin=json.dumps(body), namespace=namespace)
        assert said.code == 0, said.err
        return world.get(path)

    first = applied("", one="1", two="2")
    second = applied("--server-side --force-conflicts", one="<1>", note="n")
    noted = second["metadata"]["annotations"][NOTED]
    assert noted != first["metadata"]["annotations"][NOTED]
    assert json.loads(noted)["data"] == {"one": "<1>"}
    assert '{"one":"\\u003c1\\u003e"}' in noted
    assert noted.endswith("}\n")
    assert json.loads(noted)["metadata"]["annotations"] == {"note": "n"}
    other = applied("--server-side --field-manager=other --force-conflicts", one="2")
    assert other["metadata"]["annotations"][NOTED] == noted
    assert applied("", three="3")["data"] == {"three": "3"}


NOTE = {"f:annotations": {f"f:{NOTED}": {}}}
STEPS = (
    # what is said, the value, whether it goes, who holds it then
    ("", "1", True, {"kubectl-client-side-apply"}),
    ("--server-side", "2", True, {"kubectl", "kubectl-last-applied"}),
    ("--server-side", "2", True, {"kubectl", "kubectl-last-applied"}),
    ("", "3", True, {"kubectl", "kubectl-client-side-apply"}),
    ("--server-side --field-manager=other", "4", False, {"kubectl", "kubectl-client-side-apply"}),
    ("--server-side --field-manager=other --force-conflicts", "4", True, None),
    ("--server-side", "5", False, None),
    ("--server-side --force-conflicts", "5", True, None),
    ("", "6", True, None),
)


def test_applying_moves_to_the_server_and_back_without_conflicts(world, namespace):
    path = f"/api/v1/namespaces/{namespace}/configmaps/a"
    for words, value, goes, holders in STEPS:
        text = json.dumps(
            {"apiVersion": "v1", "kind": "ConfigMap", **config_map("a", one=value, two="2")}
        )
        said = world.kubectl(f"apply {words} -f -", stdin=text, namespace=namespace)
        made = world.get(path)
        assert (said.code == 0, made["data"]["one"] == value) == (goes, goes), (words, said.err)
        fields = {item["manager"]: item for item in made["metadata"]["managedFields"]}
        assert holders is None or fields.keys() == holders, words
        if "--server-side" in words and "kubectl-last-applied" in fields:
            moved = made["metadata"]["managedFields"]
            assert [item["manager"] for item in moved] == ["kubectl-last-applied", "kubectl"]
            assert moved[1]["fieldsV1"] == {"f:data": {"f:one": {}, "f:two": {}}}
            assert moved[0]["fieldsV1"] == {"f:metadata": NOTE}
            assert "time" not in moved[0]  # it changed nothing


def test_what_is_made_new_is_owned_with_what_holds_it(world, namespace):
    body = deployment("a", 0)
    body["metadata"]["labels"] = {"a": "b"}
    container = body["spec"]["template"]["spec"]["containers"][0]
    container["env"] = [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]
    container["readinessProbe"] = {"httpGet": {"port": 80}}
    deployments = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    made = world.create(deployments, body, fieldManager="me")
    (mine,) = made["metadata"]["managedFields"]
    fields = mine["fieldsV1"]
    assert fields["f:metadata"] == {"f:labels": {".": {}, "f:a": {}}}
    assert "." not in fields["f:spec"]
    assert "." not in fields["f:spec"]["f:strategy"]
    assert fields["f:spec"]["f:strategy"]["f:rollingUpdate"].keys() == {
        ".",
        "f:maxSurge",
        "f:maxUnavailable",
    }
    spec = fields["f:spec"]["f:template"]["f:spec"]
    (item,) = spec["f:containers"].values()
    assert "." in item["f:resources"]
    assert item["f:env"] == {
        ".": {},
        'k:{"name":"A"}': {
            ".": {},
            "f:name": {},
            "f:valueFrom": {".": {}, "f:fieldRef": {}},
        },
    }
    assert "." in item["f:readinessProbe"]["f:httpGet"]
    # Another who adds to a map does not own the map; who has it whole does.
    maps = f"/api/v1/namespaces/{namespace}/configmaps"
    path = f"{maps}/a"
    world.create(maps, {**config_map("a"), "metadata": {"name": "a", "labels": {"a": "b"}}})
    world.patch(path, {"metadata": {"labels": {"c": "d"}}}, fieldManager="you")
    more = world.patch(path, {"metadata": {"annotations": {"x": "y"}}}, fieldManager="you")
    yours = next(m for m in more["metadata"]["managedFields"] if m["manager"] == "you")
    assert yours["fieldsV1"] == {
        "f:metadata": {"f:annotations": {".": {}, "f:x": {}}, "f:labels": {"f:c": {}}}
    }
