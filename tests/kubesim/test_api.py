import asyncio
import json

import pytest

from .in_process import APPLY, JSON_PATCH, KEY, MERGE, STRATEGIC, TABLE, pod, run

PODS = "/api/v1/namespaces/default/pods"


def test_tokens_are_asked_for_and_checked():
    async def test(call):
        refused = await call("GET", PODS, token="wrong")
        assert refused.status == 401
        assert refused.body["reason"] == "Unauthorized"
        made = await call(
            "POST", "/api/v1/namespaces/default/serviceaccounts/default/token", {"spec": {}}
        )
        own = made.body["status"]["token"]
        assert (await call("GET", PODS, token=own)).status == 403  # known, and without a role
        spec = {"audiences": ["elsewhere"]}
        other = await call(
            "POST", "/api/v1/namespaces/default/serviceaccounts/default/token", {"spec": spec}
        )
        token = other.body["status"]["token"]
        assert (await call("GET", PODS, token=token)).status == 401
        call.registry.clock.wall = call.registry.clock.wall.replace(year=2027)
        assert (await call("GET", PODS, token=own)).status == 401

    run(test)


def test_a_token_ends_with_its_account():
    async def test(call):
        accounts = "/api/v1/namespaces/default/serviceaccounts"
        await call("POST", accounts, {"metadata": {"name": "robot"}})
        made = await call("POST", f"{accounts}/robot/token", {"spec": {}})
        own = made.body["status"]["token"]
        assert (await call("GET", PODS, token=own)).status == 403
        await call("DELETE", f"{accounts}/robot")
        assert (await call("GET", PODS, token=own)).status == 401
        await call("POST", accounts, {"metadata": {"name": "robot"}})
        assert (await call("GET", PODS, token=own)).status == 401  # another of that name

    run(test)


def test_stopped_cluster_refuses_and_comes_back_with_its_objects():
    async def test(call):
        assert (await call("POST", PODS, pod("a"))).status == 201
        await call.sim.put(KEY, version="1.35.4", running=False)
        stopped = await call("GET", PODS)
        assert (stopped.status, stopped.body["reason"]) == (503, "ServiceUnavailable")
        await call.sim.put(KEY, version="1.36.1", running=True)
        assert (await call("GET", "/version")).body["gitVersion"] == "v1.36.1"
        assert [i["metadata"]["name"] for i in (await call("GET", PODS)).body["items"]] == ["a"]
        assert (await call("PUT", f"{PODS}/a", {"metadata": {"name": "b"}})).status == 400

    run(test)


@pytest.mark.parametrize(
    ("content_type", "patch"),
    [
        (MERGE, {"metadata": {"labels": {"x": None, "y": "2"}}}),
        (STRATEGIC, {"metadata": {"labels": {"x": None, "y": "2"}}}),
        (
            JSON_PATCH,
            [
                {"op": "test", "path": "/metadata/labels/x", "value": "1"},
                {"op": "remove", "path": "/metadata/labels/x"},
                {"op": "add", "path": "/metadata/labels/y", "value": "2"},
            ],
        ),
    ],
)
def test_patches_change_labels(content_type, patch):
    async def test(call):
        await call("POST", PODS, pod("a", x="1"))
        done = await call("PATCH", f"{PODS}/a", patch, content_type=content_type)
        assert done.status == 200
        assert done.body["metadata"]["labels"] == {"y": "2"}
        before = call.registry.revision
        again = await call("PATCH", f"{PODS}/a", {"metadata": {}}, content_type=MERGE)
        assert again.body["metadata"]["resourceVersion"] == str(before)
        assert call.registry.revision == before

    run(test)


def test_patch_that_carries_an_old_version_is_refused():
    async def test(call):
        await call("POST", PODS, pod("a"))
        refused = await call(
            "PATCH", f"{PODS}/a", {"metadata": {"resourceVersion": "1"}}, content_type=MERGE
        )
        assert refused.status == 409
        assert refused.body["message"] == (
            'Operation cannot be fulfilled on pods "a": the object has been modified; please apply'
            " your changes to the latest version and try again"
        )

    run(test)


def test_status_and_spec_are_written_apart():
    async def test(call):
        await call("POST", PODS, pod("a"))
        change = {"status": {"phase": "Running"}, "metadata": {"labels": {"l": "1"}}}
        await call("PATCH", f"{PODS}/a", change, content_type=MERGE)
        assert (await call("GET", f"{PODS}/a")).body["status"]["phase"] == "Pending"
        await call("PATCH", f"{PODS}/a/status", change, content_type=MERGE)
        assert (await call("GET", f"{PODS}/a")).body["status"]["phase"] == "Running"

    run(test)


def test_watch_sees_objects_enter_and_leave_its_selection():
    async def test(call):
        await call("POST", PODS, pod("a", app="x"))
        since = call.registry.revision
        for label in ("y", "x"):
            change = {"metadata": {"labels": {"app": label}}}
            await call("PATCH", f"{PODS}/a", change, content_type=MERGE)
        await call("DELETE", f"{PODS}/a?gracePeriodSeconds=0")
        path = f"{PODS}?watch=1&timeoutSeconds=1&labelSelector=app%3Dx&resourceVersion={since}"
        lines = [json.loads(line) for line in (await call("GET", path)).data.splitlines()]
        assert [line["type"] for line in lines] == ["DELETED", "ADDED", "DELETED"]
        assert lines[0]["object"]["metadata"]["labels"] == {"app": "x"}
        versions = [int(line["object"]["metadata"]["resourceVersion"]) for line in lines]
        assert versions == [since + 1, since + 2, since + 3]

    run(test)


def test_live_watch_by_node_hears_only_of_its_node():
    async def test(call):
        since = call.registry.revision
        selector = "fieldSelector=spec.nodeName%3Dn1"
        path = f"/api/v1/pods?watch=1&timeoutSeconds=1&{selector}&resourceVersion={since}"
        watching = asyncio.ensure_future(call("GET", path))
        await asyncio.sleep(0)
        await call("POST", PODS, pod("a", node="n1"))
        await call("POST", PODS, pod("b", node="n2"))
        await call("POST", PODS, pod("c"))
        binding = {"target": {"kind": "Node", "name": "n1"}}
        assert (await call("POST", f"{PODS}/c/binding", binding)).status == 201
        lines = [json.loads(line) for line in (await watching).data.splitlines()]
        assert [(x["type"], x["object"]["metadata"]["name"]) for x in lines] == [
            ("ADDED", "a"),
            ("ADDED", "c"),
        ]

    run(test)


def test_watch_list_ends_its_beginning_with_a_bookmark():
    async def test(call):
        await call("POST", PODS, pod("a"))
        path = (
            f"{PODS}?watch=1&timeoutSeconds=1&sendInitialEvents=true&allowWatchBookmarks=true"
            "&resourceVersionMatch=NotOlderThan"
        )
        lines = [json.loads(line) for line in (await call("GET", path)).data.splitlines()]
        assert [line["type"] for line in lines] == ["ADDED", "BOOKMARK"]
        annotations = lines[1]["object"]["metadata"]["annotations"]
        assert annotations == {"k8s.io/initial-events-end": "true"}

    run(test)


def test_pages_end_with_everything_seen_once():
    async def test(call):
        for number in range(5):
            await call("POST", PODS, pod(f"p{number}"))
        seen, token = [], ""
        while True:
            page = (await call("GET", f"{PODS}?limit=2&continue={token}")).body
            seen += [item["metadata"]["name"] for item in page["items"]]
            token = page["metadata"].get("continue", "")
            if not token:
                break
        assert seen == ["p0", "p1", "p2", "p3", "p4"]

    run(test)


def test_tables_have_the_columns_that_kubectl_prints():
    async def test(call):
        await call("POST", PODS, pod("a", node="n1"))
        table = (await call("GET", PODS, accept=f"{TABLE},application/json")).body
        assert [c["name"] for c in table["columnDefinitions"]] == [
            "Name", "Ready", "Status", "Restarts", "Age", "IP", "Node", "Nominated Node",
            "Readiness Gates",
        ]  # fmt: skip
        assert table["rows"][0]["cells"] == [
            "a", "0/1", "Pending", "0", "0s", "<none>", "n1", "<none>", "<none>",
        ]  # fmt: skip
        assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"

    run(test)


def budget(**spec):
    selector = {"matchLabels": {"app": "x"}}
    return {"metadata": {"name": "b"}, "spec": {"selector": selector, **spec}}


def test_eviction_spends_the_budget_and_then_is_refused():
    async def test(call):
        budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
        await call("POST", budgets, budget(minAvailable=1))
        for name in ("p1", "p2"):
            await call("POST", PODS, pod(name, node="n", app="x"))
            ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
            await call("PATCH", f"{PODS}/{name}/status", {"status": ready}, content_type=MERGE)
        state = {"observedGeneration": 1, "disruptionsAllowed": 1, "desiredHealthy": 1,
                 "currentHealthy": 2, "expectedPods": 2}  # fmt: skip
        await call("PATCH", f"{budgets}/b/status", {"status": state}, content_type=MERGE)
        assert (
            await call("POST", f"{PODS}/p1/eviction", {"metadata": {"name": "p1"}})
        ).status == 201
        assert "deletionTimestamp" in (await call("GET", f"{PODS}/p1")).body["metadata"]
        refused = await call("POST", f"{PODS}/p2/eviction", {"metadata": {"name": "p2"}})
        assert refused.status == 429
        assert refused.body["reason"] == "TooManyRequests"
        assert refused.body["details"]["causes"] == [
            {
                "reason": "DisruptionBudget",
                "message": "The disruption budget b needs 1 healthy pods and has 2 currently",
            }
        ]
        wrong = {"metadata": {"name": "p2"}, "deleteOptions": {"preconditions": {"uid": "other"}}}
        assert (await call("POST", f"{PODS}/p2/eviction", wrong)).status == 409

    run(test)


MAPS = "/api/v1/namespaces/default/configmaps"


def applied(**data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data}


def test_apply_merges_removes_and_refuses_conflicts():
    async def test(call):
        async def apply(manager, body, more=""):
            path = f"{MAPS}/c?fieldManager={manager}{more}"
            return await call("PATCH", path, body, content_type=APPLY)

        assert (await apply("one", applied(a="1", b="1"))).status == 201
        assert (await apply("two", applied(c="1"))).body["data"] == {"a": "1", "b": "1", "c": "1"}
        refused = await apply("two", applied(a="2"))
        assert refused.status == 409
        assert refused.body["message"] == (
            'Apply failed with 1 conflict: conflict with "one": .data.a'
        )
        forced = await apply("two", applied(a="2"), "&force=true")
        assert forced.body["data"] == {"a": "2", "b": "1"}  # c is no longer wanted by anybody
        last = await apply("one", applied(b="1"))
        assert last.body["data"] == {"a": "2", "b": "1"}  # a belongs to two now
        owners = {
            e["manager"]: e["fieldsV1"]["f:data"] for e in last.body["metadata"]["managedFields"]
        }
        assert owners == {"one": {"f:b": {}}, "two": {"f:a": {}}}
        missing = await call("PATCH", f"{MAPS}/c", applied(), content_type=APPLY)
        assert missing.status == 422

    run(test)


def test_finalizer_holds_a_deleted_object_until_it_is_removed():
    async def test(call):
        body = {"metadata": {"name": "c", "finalizers": ["example.com/hold"]}}
        await call("POST", MAPS, body)
        held = (await call("DELETE", f"{MAPS}/c")).body
        assert held["kind"] == "ConfigMap" or held["status"] == "Success"
        assert "deletionTimestamp" in (await call("GET", f"{MAPS}/c")).body["metadata"]
        change = {"metadata": {"finalizers": None}}
        await call("PATCH", f"{MAPS}/c", change, content_type=MERGE)
        assert (await call("GET", f"{MAPS}/c")).status == 404

    run(test)


def test_a_group_that_is_not_served_answers_no_status_at_all():
    async def test(call):
        answer = await call("GET", "/apis/nope.io/v1/things")
        assert (answer.status, answer.data) == (404, b"404 page not found\n")

    run(test)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "reason"),
    [
        ("GET", "/api/v1/foos", None, 404, "NotFound"),
        ("POST", PODS, b"{", 400, "BadRequest"),
        ("POST", PODS, b"[]", 400, "BadRequest"),
        ("POST", PODS, b"null", 422, "Invalid"),
        ("POST", PODS, {"metadata": []}, 400, "BadRequest"),
        ("POST", PODS, {"metadata": {"name": 5}}, 400, "BadRequest"),
        ("POST", PODS, {"metadata": {"labels": {"a": 5}}}, 400, "BadRequest"),
        ("POST", PODS, {"metadata": {"name": "x"}, "spec": None}, 422, "Invalid"),
        ("POST", PODS, {"kind": "Node", "metadata": {"name": "x"}}, 400, "BadRequest"),
        ("POST", PODS, {"metadata": {"name": "x", "namespace": "other"}}, 400, "BadRequest"),
        ("POST", f"{PODS}?dryRun=Some", {"metadata": {"name": "x"}}, 422, "Invalid"),
        ("POST", "/api/v1/pods", {"metadata": {"name": "x"}}, 405, "MethodNotAllowed"),
        ("PATCH", f"{PODS}/a", {"metadata": {}}, 415, "UnsupportedMediaType"),
        ("POST", PODS, {"metadata": {"name": "x"}, "spec": {"containers": [None]}}, 422, "Invalid"),
        ("POST", PODS, {"metadata": {"name": "x"}, "spec": {"priority": 2**40}}, 400, "BadRequest"),
        ("GET", f"{PODS}?limit=--5", None, 400, "BadRequest"),
        ("GET", f"{PODS}?limit=%C2%B2", None, 400, "BadRequest"),
        ("DELETE", f"{PODS}/zzz", None, 404, "NotFound"),
        ("DELETE", "/api/v1/namespaces/default", None, 403, "Forbidden"),
        ("GET", f"{PODS}?labelSelector=a%20b", None, 400, "BadRequest"),
        ("GET", f"{PODS}?fieldSelector=spec.x%3D1", None, 400, "BadRequest"),
        ("GET", f"{PODS}?continue=xx", None, 400, "BadRequest"),
        ("GET", f"{PODS}?resourceVersion=x", None, 400, "BadRequest"),
        ("GET", f"{PODS}?resourceVersion=99999", None, 504, "Timeout"),
        ("GET", f"{PODS}/zzz/log", None, 404, "NotFound"),
        ("GET", f"{PODS}/zzz/nope", None, 404, "NotFound"),
        ("PUT", "/api/v1/nodes/n/status", {"metadata": {"name": "n"}}, 404, "NotFound"),
    ],
)
def test_bad_requests_are_refused_as_status_and_change_nothing(method, path, body, status, reason):
    async def test(call):
        before = call.registry.revision
        answer = await call(method, path, body)
        assert (answer.status, answer.body["reason"]) == (status, reason), answer.body
        assert answer.body["kind"] == "Status"
        assert call.registry.revision == before

    run(test)


@pytest.mark.parametrize(
    "patch",
    [
        [{"op": "remove", "path": ""}],
        [{"op": "move", "path": "/metadata/x"}],
        [{"op": "replace", "path": "/spec/nope", "value": 1}],
        [{"op": "add", "path": "/spec/containers/9", "value": {}}],
        [{"op": "add", "path": "/metadata/name/x", "value": 1}],
        [{"op": "test", "path": "/metadata/name", "value": "other"}],
        [{"op": "dance", "path": "/metadata"}],
        [5],
        {},
    ],
)
def test_json_patches_that_do_not_apply_are_refused(patch):
    async def test(call):
        await call("POST", PODS, pod("a"))
        before = call.registry.revision
        answer = await call("PATCH", f"{PODS}/a", patch, content_type=JSON_PATCH)
        assert answer.status in {400, 422}, answer.body
        assert call.registry.revision == before

    run(test)


def test_yaml_bodies_are_read_and_aliases_refused():
    async def test(call):
        text = b"metadata:\n  name: c\ndata:\n  day: 2026-01-01\n"
        kind = "application/yaml"
        refused = await call("POST", MAPS, text, content_type=kind)
        assert refused.status == 201
        assert refused.body["data"] == {"day": "2026-01-01"}
        bomb = b"a: &a [x, x]\nb: [*a, *a]\n"
        assert (await call("POST", MAPS, bomb, content_type=kind)).status == 400
        shown = await call("GET", f"{MAPS}/c", accept=kind)
        assert b"day: '2026-01-01'" in shown.data

    run(test)


def test_unknown_fields_are_warned_of_or_refused():
    async def test(call):
        body = {**pod("a"), "extra": 1}
        warned = await call("POST", PODS, body)
        assert ("warning", '299 - "unknown field \\"extra\\""') in warned.headers
        refused = await call("POST", f"{PODS}?fieldValidation=Strict", {**body, "kind": "Pod"})
        assert refused.status == 400
        assert 'strict decoding error: unknown field "extra"' in refused.body["message"]

    run(test)


def test_heartbeat_of_a_rendered_lease_is_the_time_of_reading():
    async def test(call):
        path = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
        mark = {"poolwright.dev/rendered-heartbeat": "true"}
        body = {"metadata": {"name": "n", "annotations": mark}, "spec": {"holderIdentity": "n"}}
        await call("POST", path, body)
        clock = call.registry.clock
        clock.wall = clock.wall.replace(hour=9, second=27)
        lease = (await call("GET", f"{path}/n")).body
        assert lease["spec"]["renewTime"] == "2026-01-02T09:04:20.000000Z"
        listed = (await call("GET", path)).body["items"][0]
        assert listed["spec"]["renewTime"] == lease["spec"]["renewTime"]

    run(test)


def test_a_gated_pod_can_only_be_narrowed_and_let_go():
    async def test(call):
        body = pod("g")
        body["spec"] |= {"schedulingGates": [{"name": "x/a"}], "nodeSelector": {"a": "1"}}
        assert (await call("POST", PODS, body)).status == 201

        async def change(**spec):
            return await call("PATCH", f"{PODS}/g", {"spec": spec}, content_type=MERGE)

        more = await change(schedulingGates=[{"name": "x/a"}, {"name": "x/b"}])
        assert more.body["details"]["causes"][0]["field"] == "spec.schedulingGates[1].name"
        assert "only deletion is allowed" in more.body["message"]
        assert "only additions" in (await change(nodeSelector={"a": "2"})).body["message"]
        assert (await change(nodeSelector={"b": "2"})).status == 200
        assert (await change(schedulingGates=None)).status == 200
        late = await change(nodeSelector={"c": "3"})
        assert "pod updates may not change fields" in late.body["message"]

    run(test)


def test_what_a_client_made_is_its_own_before_the_first_apply():
    async def test(call):
        await call("POST", MAPS, {"metadata": {"name": "c"}, "data": {"a": "1", "b": "1"}})
        wanted = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
        path = f"{MAPS}/c?fieldManager=me"
        same = await call("PATCH", path, {**wanted, "data": {"a": "1"}}, content_type=APPLY)
        assert same.status == 200
        other = await call("PATCH", path, {**wanted, "data": {"b": "2"}}, content_type=APPLY)
        assert other.status == 409
        assert other.body["message"].startswith(
            'Apply failed with 1 conflict: conflict with "test" using v1 at'
        )

    run(test)


def test_tabs_may_stand_inside_braces_of_an_apply():
    async def test(call):
        body = b'\n{\n\t"apiVersion": "v1",\n\t"kind": "ConfigMap", "metadata": {"name": "a",},\n}'
        path = "/api/v1/namespaces/default/configmaps/a?fieldManager=me"
        made = await call("PATCH", path, body, content_type=APPLY)
        assert made.status == 201, made.body

    run(test)


@pytest.mark.parametrize(("timeout", "status"), [("soon", 400), ("3m", 200), ("0s", 200)])
def test_a_timeout_must_be_a_duration(timeout, status):
    async def test(call):
        answer = await call("GET", f"/version?timeout={timeout}")
        assert answer.status == status
        if status != 200:
            assert "invalid timeout specified in the request URL" in answer.body["message"]

    run(test)
