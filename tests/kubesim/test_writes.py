"""What a write touches, guards and leaves alone."""

import asyncio
import json

import pytest

from .in_process import APPLY, MERGE, TABLE, pod, run

PODS = "/api/v1/namespaces/default/pods"
JOBS = "/apis/batch/v1/namespaces/default/jobs"
META = {"metadata": {"name": "a"}}
QUOTAS = "/api/v1/namespaces/default/resourcequotas"


def test_an_apply_leaves_the_status_to_its_own_endpoint():
    status = {"conditions": [{"type": "Mine", "status": "True"}]}

    async def test(call):
        async def apply(path, manager, body):
            body = {"apiVersion": "v1", "kind": "Pod", **body}
            return await call("PATCH", f"{path}?fieldManager={manager}", body, content_type=APPLY)

        meta = {"metadata": {"name": "a"}}
        assert (await apply(f"{PODS}/a", "one", pod("a"))).status == 201
        seen = await apply(f"{PODS}/a", "two", {**meta, "status": status})
        assert seen.status == 200
        assert "Mine" not in [c["type"] for c in seen.body["status"].get("conditions", ())]
        assert "two" not in [m["manager"] for m in seen.body["metadata"]["managedFields"]]
        made = await apply(f"{PODS}/a/status", "two", {**meta, "status": status})
        assert made.status == 200, made.body
        assert "Mine" in [c["type"] for c in made.body["status"]["conditions"]]
        widened = {**meta, "spec": {"activeDeadlineSeconds": 5}, "status": status}
        kept = await apply(f"{PODS}/a/status", "two", widened)
        assert "activeDeadlineSeconds" not in kept.body["spec"]
        (entry,) = [m for m in kept.body["metadata"]["managedFields"] if m["manager"] == "two"]
        assert set(entry["fieldsV1"]) == {"f:status"}
        refused = await apply(
            f"{PODS}/a/status",
            "three",
            {**meta, "status": {"conditions": [{"type": "Mine", "status": "False"}]}},
        )
        assert refused.status == 409

    run(test)


def test_version_zero_guards_nothing():
    async def test(call):
        made = (await call("POST", PODS, pod("a"))).body
        await call("PATCH", f"{PODS}/a", {"metadata": {"labels": {"x": "1"}}}, content_type=MERGE)
        assert (await call("PUT", f"{PODS}/a", made)).status == 409
        made["metadata"]["resourceVersion"] = "0"
        assert (await call("PUT", f"{PODS}/a", made)).status == 200
        assert (await call("PUT", f"{PODS}/a/status", made)).status == 200

    run(test)


def test_being_bound_is_no_new_generation_and_a_negative_grace_is_one_second():
    async def test(call):
        body = pod("a")
        body["spec"]["terminationGracePeriodSeconds"] = -1
        made = (await call("POST", PODS, body)).body
        assert made["spec"]["terminationGracePeriodSeconds"] == 1
        bound = {"target": {"kind": "Node", "name": "n"}, "metadata": {"name": "a"}}
        assert (await call("POST", f"{PODS}/a/binding", bound)).status == 201
        seen = (await call("GET", f"{PODS}/a")).body
        assert (seen["spec"]["nodeName"], seen["metadata"]["generation"]) == ("n", 1)
        patch = {"spec": {"activeDeadlineSeconds": 9}}
        await call("PATCH", f"{PODS}/a", patch, content_type=MERGE)
        assert (await call("GET", f"{PODS}/a")).body["metadata"]["generation"] == 2

    run(test)


def test_an_evicted_pod_says_so():
    async def test(call):
        body = pod("a", node="n")
        body["metadata"]["finalizers"] = ["example.com/hold"]
        await call("POST", PODS, body)
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "a"}}
        assert (await call("POST", f"{PODS}/a/eviction?dryRun=All", eviction)).status == 201
        before = (await call("GET", f"{PODS}/a")).body["status"].get("conditions", ())
        assert "DisruptionTarget" not in [c["type"] for c in before]
        assert (await call("POST", f"{PODS}/a/eviction", eviction)).status == 201
        seen = (await call("GET", f"{PODS}/a")).body
        assert "deletionTimestamp" in seen["metadata"]
        (said,) = [c for c in seen["status"]["conditions"] if c["type"] == "DisruptionTarget"]
        assert (said["status"], said["reason"]) == ("True", "EvictionByEvictionAPI")

    run(test)


def test_discovery_tells_in_which_form_objects_are_stored():
    async def test(call):
        rows = (await call("GET", "/apis/apps/v1")).body["resources"]
        hashes = {row["name"]: row.get("storageVersionHash") for row in rows}
        assert hashes["deployments"] == "8aSe+NMegvE="  # as every kube-apiserver says
        assert hashes["deployments/scale"] is None

    run(test)


def job(**spec):
    container = {"name": "c", "image": "x:1"}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    return {"metadata": {"name": "a"}, "spec": {"template": template, **spec}}


def test_a_suspended_job_may_be_placed_and_sized_until_it_starts():
    placed = {"nodeSelector": {"pool": "gpu"}, "tolerations": [{"key": "k", "operator": "Exists"}]}

    async def test(call):
        async def change(**spec):
            body = {"spec": {"template": {"spec": spec}}}
            return await call("PATCH", f"{JOBS}/a", body, content_type=MERGE)

        await call("POST", JOBS, job(suspend=True))
        assert (await change(**placed)).status == 200
        container = (await call("GET", f"{JOBS}/a")).body["spec"]["template"]["spec"]["containers"]
        sized = [{**container[0], "resources": {"requests": {"cpu": "2"}}}]
        assert (await change(containers=sized)).status == 200
        refused = await change(containers=[{**container[0], "image": "x:2"}])
        assert refused.status == 422
        assert refused.body["details"]["causes"][0]["field"] == "spec.template.spec"
        resumed = {"spec": {"suspend": False}}
        assert (await call("PATCH", f"{JOBS}/a", resumed, content_type=MERGE)).status == 200
        refused = await change(nodeSelector={"pool": "other"})
        assert refused.body["details"]["causes"][0]["field"] == "spec.template"

    run(test)


def test_an_indexed_job_grows_with_its_parallelism():
    async def test(call):
        await call("POST", JOBS, job(completionMode="Indexed", completions=2, parallelism=2))

        async def change(**spec):
            return await call("PATCH", f"{JOBS}/a", {"spec": spec}, content_type=MERGE)

        assert (await change(completions=3, parallelism=3)).status == 200
        refused = await change(completions=5)
        assert refused.status == 422
        assert "in tandem with spec.parallelism" in refused.body["message"]
        assert (await change(backoffLimitPerIndex=1)).status == 422

    run(test)


async def used(call):
    for _ in range(50):
        await asyncio.sleep(0)
    return (await call("GET", f"{QUOTAS}/q")).body["status"]["used"]


def test_a_quota_counts_storage_and_devices_by_class_and_what_an_update_adds():
    claims = "/api/v1/namespaces/default/persistentvolumeclaims"
    devices = "/apis/resource.k8s.io/v1/namespaces/default/resourceclaims"
    services = "/api/v1/namespaces/default/services"
    hard = {
        "requests.storage": "3Gi",
        "gold.storageclass.storage.k8s.io/requests.storage": "2Gi",
        "gold.storageclass.storage.k8s.io/persistentvolumeclaims": "1",
        "gpu.deviceclass.resource.k8s.io/devices": "3",
        "services.nodeports": "1",
    }

    async def test(call):
        await call("POST", QUOTAS, {"metadata": {"name": "q"}, "spec": {"hard": hard}})
        claim = {
            "metadata": {"name": "c"},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": "gold",
                "resources": {"requests": {"storage": "1Gi"}},
            },
        }
        made = await call("POST", claims, claim)
        assert made.status == 201, made.body
        found = await used(call)
        assert found["requests.storage"] == "1Gi", found
        assert found["gold.storageclass.storage.k8s.io/requests.storage"] == "1Gi"
        assert found["gold.storageclass.storage.k8s.io/persistentvolumeclaims"] == "1"
        claim["metadata"]["name"] = "d"
        assert (await call("POST", claims, claim)).status == 403
        one = {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 2}
        other = [
            {"name": "x", "deviceClassName": "gpu", "count": 1},
            {"name": "y", "deviceClassName": "cpu"},
        ]
        requests = [{"name": "a", "exactly": one}, {"name": "b", "firstAvailable": other}]
        body = {"metadata": {"name": "d"}, "spec": {"devices": {"requests": requests}}}
        made = await call("POST", devices, body)
        assert made.status == 201, made.body
        assert (await used(call))["gpu.deviceclass.resource.k8s.io/devices"] == "3"
        ports = [{"name": "a", "port": 80}, {"name": "b", "port": 81}]
        service = {"metadata": {"name": "s"}, "spec": {"ports": ports, "selector": {"a": "b"}}}
        assert (await call("POST", services, service)).status == 201
        opened = {"spec": {"type": "NodePort"}}
        refused = await call("PATCH", f"{services}/s", opened, content_type=MERGE)
        assert refused.status == 403
        assert "requested: services.nodeports=2" in refused.body["message"]
        fewer = {"spec": {"type": "NodePort", "ports": ports[:1]}}
        assert (await call("PATCH", f"{services}/s", fewer, content_type=MERGE)).status == 200

    run(test)


def test_a_quota_of_pods_that_look_into_namespaces():
    async def test(call):
        selector = {"scopeName": "CrossNamespacePodAffinity", "operator": "Exists"}
        spec = {"hard": {"pods": "1"}, "scopeSelector": {"matchExpressions": [selector]}}
        await call("POST", QUOTAS, {"metadata": {"name": "q"}, "spec": spec})
        term = {"topologyKey": "zone", "labelSelector": {}}
        for name, term_, count in (
            ("near", term, "0"),
            ("far", {**term, "namespaces": ["other"]}, "1"),
        ):
            body = pod(name)
            affinity = {"requiredDuringSchedulingIgnoredDuringExecution": [term_]}
            body["spec"]["affinity"] = {"podAffinity": affinity}
            assert (await call("POST", PODS, body)).status == 201
            assert (await used(call))["pods"] == count

    run(test)


def test_a_watched_table_has_its_columns_once():
    maps = "/api/v1/namespaces/default/configmaps"

    async def test(call):
        for name in "ab":
            await call("POST", maps, {"metadata": {"name": name}})
        query = "watch=true&timeoutSeconds=1&allowWatchBookmarks=true&sendInitialEvents=true"
        query += "&resourceVersionMatch=NotOlderThan"
        watched = await call("GET", f"{maps}?{query}", accept=TABLE)
        events = [json.loads(line) for line in watched.data.splitlines()]
        assert [event["type"] for event in events] == ["ADDED", "ADDED", "BOOKMARK"]
        heads = [event["object"]["columnDefinitions"] for event in events]
        assert [column["name"] for column in heads[0]] == ["Name", "Data", "Age"]
        assert heads[1:] == [None, None]
        since = events[-1]["object"]["metadata"]["resourceVersion"]
        await call("PATCH", f"{maps}/a", {"data": {"x": "1"}}, content_type=MERGE)
        for _ in range(2):  # what is shared between watches has no columns
            query = f"watch=true&timeoutSeconds=1&resourceVersion={since}"
            watched = await call("GET", f"{maps}?{query}", accept=TABLE)
            (event,) = [json.loads(line) for line in watched.data.splitlines()]
            assert event["object"]["columnDefinitions"]

    run(test)


def test_a_namespace_goes_pods_first():
    space = "/api/v1/namespaces/short"

    async def test(call):
        async def look():
            for _ in range(50):
                await asyncio.sleep(0)
            return [
                (await call("GET", f"{space}/{what}")).status for what in ("pods/p", "configmaps/c")
            ]

        await call("POST", "/api/v1/namespaces", {"metadata": {"name": "short"}})
        held = pod("p")
        held["metadata"]["finalizers"] = ["example.com/hold"]
        await call("POST", f"{space}/pods", held)
        await call("POST", f"{space}/configmaps", {"metadata": {"name": "c"}})
        await call("DELETE", space)
        assert await look() == [200, 200]
        assert "deletionTimestamp" in (await call("GET", f"{space}/pods/p")).body["metadata"]
        said = (await call("GET", space)).body["status"]["conditions"]
        assert {(c["type"], c["status"]) for c in said} >= {
            ("NamespaceDeletionContentFailure", "False")
        }
        await call(
            "PATCH", f"{space}/pods/p", {"metadata": {"finalizers": None}}, content_type=MERGE
        )
        assert await look() == [404, 404]
        assert (await call("GET", space)).status == 404

    run(test, controllers=True)


def test_pods_of_a_job_stay_if_nobody_says_otherwise():
    async def test(call):
        await call("POST", JOBS, job())
        held = (await call("DELETE", f"{JOBS}/a")).body
        assert held["metadata"]["finalizers"] == ["orphan"]
        for query, finalizers in (
            ("?propagationPolicy=Foreground", ["foregroundDeletion"]),
            ("", ["foregroundDeletion"]),
        ):
            held = (await call("DELETE", f"{JOBS}/a{query}")).body
            assert held["metadata"]["finalizers"] == finalizers
        body = job()
        body["metadata"]["name"] = "b"
        await call("POST", JOBS, body)
        assert (await call("DELETE", f"{JOBS}/b", {"orphanDependents": False})).status == 200
        assert (await call("GET", f"{JOBS}/b")).status == 404

    run(test)


def test_a_jobs_policies_have_their_own_defaults():
    async def test(call):
        rule = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}
        policy = {"podFailurePolicy": {"rules": [rule]}}
        made = (await call("POST", JOBS, job(**policy))).body["spec"]
        assert (made["podReplacementPolicy"], made["backoffLimit"]) == ("Failed", 6)
        body = job(completionMode="Indexed", completions=2, backoffLimitPerIndex=1)
        body["metadata"]["name"] = "b"
        made = (await call("POST", JOBS, body)).body["spec"]
        assert made["podReplacementPolicy"] == "TerminatingOrFailed"
        assert made["backoffLimit"] == 2**31 - 1

    run(test)


def test_the_root_certificate_comes_back():
    path = "/api/v1/namespaces/default/configmaps/kube-root-ca.crt"

    async def test(call):
        async def seen():
            for _ in range(50):
                await asyncio.sleep(0)
            return await call("GET", path)

        first = (await seen()).body
        assert (await call("DELETE", path)).status == 200
        again = (await seen()).body
        assert again["data"] == first["data"]
        assert again["metadata"]["uid"] != first["metadata"]["uid"]
        await call("PATCH", path, {"data": {"ca.crt": "mine"}}, content_type=MERGE)
        assert (await seen()).body["data"] == first["data"]

    run(test, controllers=True)


def test_a_kind_that_is_open_at_its_root_has_no_members_for_kubectl():
    schema = {
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": True,
        "properties": {"spec": {"type": "object"}},
    }
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "opens", "kind": "Open"}
    spec = {"group": "x.example.com", "scope": "Namespaced", "names": names, "versions": [version]}

    async def test(call):
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        body = {"metadata": {"name": "opens.x.example.com"}, "spec": spec}
        assert (await call("POST", path, body)).status == 201
        found = (await call("GET", "/openapi/v2")).body["definitions"]["com.example.x.v1.Open"]
        assert set(found) == {"type", "x-kubernetes-group-version-kind"}
        assert found["type"] == "object"

    run(test)


LOOKS = {  # how often a real 1.36 API server told what was wrong, by kind
    "configmaps": (4, 2, 2), "serviceaccounts": (4, 2, 2), "resourcequotas": (3, 1, 1),
}  # fmt: skip


@pytest.mark.parametrize("plural", LOOKS)
def test_what_is_wrong_with_metadata_is_told_as_often_as_it_is_looked_at(plural):
    async def test(call):
        path = f"/api/v1/namespaces/default/{plural}"
        assert (await call("POST", path, {"metadata": {"name": "one"}})).status == 201

        async def told(metadata):
            change = {"metadata": metadata}
            refused = await call("PATCH", f"{path}/one", change, content_type=MERGE)
            return [cause["field"] for cause in refused.body["details"]["causes"]]

        labels, names, domains = LOOKS[plural]
        assert await told({"labels": {"a b": "1"}}) == ["metadata.labels"] * labels
        where = [*["metadata.finalizers"] * names, *["metadata.finalizers[0]"] * domains]
        assert await told({"finalizers": ["a b"]}) == where

    run(test)


def test_creators_own_what_conversion_adds_but_not_the_families_of_addresses():
    sets, services = "/apis/apps/v1/namespaces/default/daemonsets", f"{PODS[:-4]}services"
    mark = "deprecated.daemonset.template.generation"

    def owned(body):
        (entry,) = body["metadata"]["managedFields"]
        return entry["fieldsV1"]

    async def test(call):
        template = {"metadata": {"labels": {"a": "b"}}, "spec": pod("p")["spec"]}
        spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
        made = (await call("POST", f"{sets}?fieldManager=me", {**META, "spec": spec})).body
        assert made["metadata"]["annotations"] == {mark: "1"}
        assert owned(made)["f:metadata"] == {"f:annotations": {".": {}, f"f:{mark}": {}}}
        template["spec"]["hostNetwork"] = True
        put = (await call("PUT", f"{sets}/a?fieldManager=me", {**META, "spec": spec})).body
        assert put["metadata"]["annotations"] == {mark: "2"}

        spec = {"ports": [{"port": 80}]}
        made = (await call("POST", f"{services}?fieldManager=me", {**META, "spec": spec})).body
        assert made["spec"]["ipFamilies"] == ["IPv4"]
        assert not {"f:ipFamilies", "f:ipFamilyPolicy"} & set(owned(made)["f:spec"])
        put = (await call("PUT", f"{services}/a?fieldManager=me", {**META, "spec": spec})).body
        assert put["spec"]["ipFamilyPolicy"] == "SingleStack"
        assert "f:ipFamilyPolicy" not in owned(put)["f:spec"]

    run(test)
