"""A cluster that an earlier version made gets at its start what its built-in objects lack."""

from __future__ import annotations

import asyncio
import contextlib

from poolwright.kubesim.server import KubeSim, KubeSimSettings
from poolwright.model.kubernetes import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, STORAGE_CLASSES

from .fake import FakeClock, FakeIdentity
from .in_process import KEY, MERGE, cluster
from .serving import FakeKubelet

GROUP = "/apis/rbac.authorization.k8s.io/v1"
ROLES, BINDINGS = f"{GROUP}/clusterroles", f"{GROUP}/clusterrolebindings"
CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
AUTO_UPDATE = "rbac.authorization.kubernetes.io/autoupdate"
RESOURCES = {"clusterroles": CLUSTER_ROLES, "clusterrolebindings": CLUSTER_ROLE_BINDINGS}
OWN = {"apiGroups": ["example.com"], "resources": ["things"], "verbs": ["get"]}
PODS = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}


@contextlib.asynccontextmanager
async def started_again(store):
    settings = KubeSimSettings(controllers=False, system_pods=False)
    sim = KubeSim(store, FakeClock(), FakeIdentity(), FakeKubelet(), settings)
    await sim.load()
    running = asyncio.ensure_future(sim.run())
    try:
        for _ in range(1000):  # all that it does at its start, which waits for nothing
            await asyncio.sleep(0)
        yield sim.cluster(KEY).registry
    finally:
        running.cancel()
        await asyncio.wait([running])


def test_what_built_in_roles_lack_is_added_and_nothing_is_taken_away():
    async def main():
        stores = []
        async with cluster(before=lambda store: stores.append(store) or store) as ask:
            roles = {
                item["metadata"]["name"]: item for item in (await ask("GET", ROLES)).body["items"]
            }

            async def put(path, body):
                answer = await ask("PUT", path, body)
                assert answer.status == 200, answer.data

            async def drop(path):
                assert (await ask("DELETE", path)).status == 200

            # As an earlier version made it: rules in the role itself, no roles to gather.
            old = {**roles["view"], "rules": [PODS, OWN]}
            del old["aggregationRule"]
            await put(f"{ROLES}/view", old)
            await drop(f"{ROLES}/system:aggregate-to-view")
            await put(
                f"{ROLES}/system:aggregate-to-edit",
                {
                    **roles["system:aggregate-to-edit"],
                    "rules": [*roles["system:aggregate-to-edit"]["rules"][:-1], OWN],
                },
            )
            discovery = {**roles["system:discovery"], "rules": []}
            discovery["metadata"] = {
                "name": "system:discovery",
                "annotations": {AUTO_UPDATE: "false"},
            }
            await put(f"{ROLES}/system:discovery", discovery)
            await drop(f"{BINDINGS}/system:basic-user")
            await drop(f"{CLASSES}/managed-csi")
            changed = {"allowVolumeExpansion": False}
            answer = await ask("PATCH", f"{CLASSES}/default", changed, content_type=MERGE)
            assert answer.status == 200
            somebody = {"kind": "User", "name": "ann", "apiGroup": "rbac.authorization.k8s.io"}
            answer = await ask(
                "PATCH", f"{BINDINGS}/cluster-admin", {"subjects": [somebody]}, content_type=MERGE
            )
            assert answer.status == 200
            untouched = (await ask("GET", f"{ROLES}/admin")).body

            async with started_again(stores[0]) as registry:

                def read(path):
                    return registry.get(RESOURCES[path.partition("/")[0]], path.partition("/")[2])

                view = read("clusterroles/view")
                assert view["rules"] == [PODS, OWN]  # the controller gathers anew
                assert view["aggregationRule"] == roles["view"]["aggregationRule"]
                parts = read("clusterroles/system:aggregate-to-view")
                assert parts["rules"] == roles["system:aggregate-to-view"]["rules"]
                more = read("clusterroles/system:aggregate-to-edit")["rules"]
                assert more[:-2] == [*roles["system:aggregate-to-edit"]["rules"][:-1], OWN]
                assert [rule["resources"] for rule in more[-2:]] == [
                    ["resourceclaims"],
                    ["resourceclaimtemplates"],
                ]
                assert not read("clusterroles/system:discovery").get("rules")
                subjects = read("clusterrolebindings/cluster-admin")["subjects"]
                assert [subject["name"] for subject in subjects] == ["ann", "system:masters"]
                assert read("clusterrolebindings/system:basic-user")["subjects"]
                assert read("clusterroles/admin") == untouched
                assert registry.get(STORAGE_CLASSES, "managed-csi")["provisioner"]
                assert not registry.get(STORAGE_CLASSES, "default")["allowVolumeExpansion"]
                revision = registry.revision

            async with started_again(stores[0]) as registry:
                assert registry.revision == revision  # nothing is missing, nothing is written

    asyncio.run(main())
