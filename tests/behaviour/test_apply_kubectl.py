"""kubectl may apply from its side, then from the server's, and go back."""

from __future__ import annotations

import json

from behaviour.manifests import config_map

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
