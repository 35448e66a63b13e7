"""A bug in what follows a cluster's changes ends that one alone, and it starts over."""

from __future__ import annotations

import asyncio
import contextlib
import json

import pytest

from poolwright.kubesim import quota, watch
from poolwright.kubesim.cache import ObjectCache
from poolwright.kubesim.controllers.state import ClusterState
from poolwright.model import kubernetes as names
from poolwright.sim import loop

from .in_process import cluster, pod
from .test_admission import BINDINGS, CONFIGS, POLICIES, QUOTAS, deployment, policy_of
from .test_custom_resources import CRONTABS, DEFINITIONS, crontab, definition

APPS = "/apis/apps/v1/namespaces/default"
LONG = 600


class Bug(Exception):
    pass


def play(test, **settings):
    """Run ``test(client)`` on virtual time."""

    async def main():
        async with cluster(**settings) as client:
            await asyncio.wait_for(test(client), LONG)

    loop.run(main())


def once(monkeypatch, owner, name, *, when=lambda *_: True):
    """Let a function fail the first time that it is called so."""
    real, failed = getattr(owner, name), []

    def broken(*arguments, **named):
        if not failed and when(*arguments):
            failed.append(arguments)
            raise Bug
        return real(*arguments, **named)

    monkeypatch.setattr(owner, name, broken)
    return failed


def config(name):
    return {"metadata": {"name": name}}


async def create(call, name):
    assert (await call("POST", CONFIGS, config(name))).status == 201


def test_the_others_hear_every_change_and_writers_notice_nothing():
    async def test(call):
        before, bad, after, told = [], [], [], []

        def broken(change):
            bad.append(change)
            raise Bug

        call.registry.subscribe(before.append, [names.CONFIG_MAPS], lost=told.append)
        call.registry.subscribe(broken, [names.CONFIG_MAPS], lost=told.append)
        call.registry.subscribe(after.append, lost=told.append)
        await create(call, "one")
        await create(call, "two")
        for heard in (before, after):
            assert [change.new.name for change in heard] == ["one", "two"]
        assert [change.new.name for change in bad] == ["one"]
        assert [type(error) for error in told] == [Bug]

    play(test)


def test_work_ends_by_a_bug_in_its_listener():
    async def test(call):
        def broken(change):
            raise Bug

        async def work():
            async with call.registry.listening(broken, [names.CONFIG_MAPS]):
                await asyncio.sleep(LONG)

        working = asyncio.ensure_future(work())
        await asyncio.sleep(0)
        await create(call, "one")
        with pytest.raises(Bug):
            await working

    play(test)


def test_watches_that_missed_a_change_end_and_go_on_from_the_last(monkeypatch):
    async def test(call):
        broken = once(monkeypatch, watch, "event_type", when=lambda c, _: c.new.name == "two")
        since = call.registry.revision
        path = f"{CONFIGS}?watch=1&resourceVersion={since}"
        watching = [asyncio.ensure_future(call("GET", path)) for _ in range(2)]
        await asyncio.sleep(1)
        for name in ("one", "two", "three"):
            await create(call, name)
        heard = []
        for watcher in watching:
            lines = [json.loads(line) for line in (await watcher).data.splitlines()]
            assert [line["object"]["metadata"]["name"] for line in lines] == ["one"]
            since = lines[-1]["object"]["metadata"]["resourceVersion"]
            again = await call("GET", f"{CONFIGS}?watch=1&timeoutSeconds=1&resourceVersion={since}")
            heard.append([json.loads(line)["object"] for line in again.data.splitlines()])
        assert broken
        for objects in heard:
            assert [each["metadata"]["name"] for each in objects] == ["two", "three"]

    play(test)


def test_a_quota_is_exact_after_a_bug_in_its_counting(monkeypatch):
    async def test(call):
        spec = {"hard": {"count/configmaps": "2"}}
        await call("POST", QUOTAS, {"metadata": {"name": "q"}, "spec": spec})
        await create(call, "one")
        calls = iter(range(LONG))  # the first asks for room, the second counts what was written
        broken = once(monkeypatch, quota, "usage_of", when=lambda *_: next(calls))
        await create(call, "two")
        assert broken
        assert (await call("POST", CONFIGS, config("three"))).status == 403
        await asyncio.sleep(1)
        shown = (await call("GET", f"{QUOTAS}/q")).body["status"]
        assert shown["used"] == {"count/configmaps": "2"}
        await call("DELETE", f"{CONFIGS}/one")
        await create(call, "three")

    play(test)


def test_what_is_on_its_way_keeps_its_room_while_quotas_are_counted_anew(monkeypatch):
    async def test(call):
        spec = {"hard": {"count/configmaps": "1"}}
        await call("POST", QUOTAS, {"metadata": {"name": "q"}, "spec": spec})
        ledger, kind = call.registry.quotas, call.registry.catalog.kind_of(names.CONFIG_MAPS)
        body = {"metadata": {"name": "one", "namespace": "default"}}
        promise = ledger.admit(kind, body)
        ledger.reload()
        assert (await call("POST", CONFIGS, config("two"))).status == 403
        promise.end()
        await create(call, "two")

    play(test)


def test_controllers_start_over_and_see_what_they_missed(monkeypatch):
    async def test(call):
        await call("POST", f"{APPS}/deployments", deployment("a", 1))
        await asyncio.sleep(1)
        broken = once(monkeypatch, ClusterState, "_set_pod")
        pods = "/api/v1/namespaces/default/pods"
        assert (await call("POST", pods, pod("alone"))).status == 201
        assert broken
        await call("POST", f"{APPS}/deployments", deployment("b", 1))
        await asyncio.sleep(60)
        sets = (await call("GET", f"{APPS}/replicasets")).body["items"]
        assert {each["metadata"]["name"].partition("-")[0] for each in sets} == {"a", "b"}
        assert len((await call("GET", pods)).body["items"]) == 3

    play(test, controllers=True)


def test_caches_that_took_half_a_change_are_read_anew(monkeypatch):
    async def test(call):
        since = call.registry.revision
        path = f"{CONFIGS}?watch=1&resourceVersion={since}"
        watching = asyncio.ensure_future(call("GET", path))
        await asyncio.sleep(1)
        broken = once(monkeypatch, ObjectCache, "apply")
        with contextlib.suppress(Bug):  # unless the server heard of the write earlier by itself
            await call("POST", CONFIGS, config("one"))
        assert broken
        await create(call, "two")
        listed = (await call("GET", CONFIGS)).body["items"]
        assert [each["metadata"]["name"] for each in listed] == ["one", "two"]
        await watching  # ended: what it missed is not known
        assert (await call("PATCH", f"{CONFIGS}/one", {"data": {"a": "1"}},
                           content_type="application/merge-patch+json")).status == 200  # fmt: skip

    play(test)


def denying(plural, group, operation, expression):
    rule = {
        "apiGroups": [group], "apiVersions": ["*"], "operations": [operation],
        "resources": [plural],
    }  # fmt: skip
    return policy_of("keep", expression, matchConstraints={"resourceRules": [rule]})


async def bind(call, policy):
    assert (await call("POST", POLICIES, policy)).status == 201
    bound = {"policyName": "keep", "validationActions": ["Deny"]}
    assert (
        await call("POST", BINDINGS, {"metadata": {"name": "keep"}, "spec": bound})
    ).status == 201


def test_a_definition_goes_with_its_objects_whatever_policies_say_of_these():
    async def test(call):
        await call("POST", DEFINITIONS, definition())
        await call("POST", CRONTABS, crontab())
        await bind(call, denying("crontabs", "stable.example.com", "DELETE", "false"))
        assert (await call("DELETE", f"{CRONTABS}/one")).status == 422
        path = f"{DEFINITIONS}/crontabs.stable.example.com"
        await call("DELETE", path)
        await asyncio.sleep(1)
        assert (await call("GET", path)).status == 404

    play(test)


def test_a_definition_that_may_not_go_yet_holds_up_no_other():
    async def test(call):
        other = definition()
        other["metadata"]["name"] = "crondogs.stable.example.com"
        other["spec"]["names"] = {"plural": "crondogs", "kind": "CronDog"}
        for body in (definition(), other):
            assert (await call("POST", DEFINITIONS, body)).status == 201
        held = "object.metadata.name != 'crontabs.stable.example.com'"
        group = "apiextensions.k8s.io"
        await bind(call, denying("customresourcedefinitions", group, "UPDATE", held))
        for plural in ("crontabs", "crondogs"):
            await call("DELETE", f"{DEFINITIONS}/{plural}.stable.example.com")
        await asyncio.sleep(1)
        left = (await call("GET", DEFINITIONS)).body["items"]
        assert [each["spec"]["names"]["plural"] for each in left] == ["crontabs"]
        await call("DELETE", f"{BINDINGS}/keep")
        await asyncio.sleep(10)
        assert (await call("GET", DEFINITIONS)).body["items"] == []

    play(test)


def test_a_namespace_goes_whatever_the_labels_in_it_say():
    async def test(call):
        await call("POST", "/api/v1/namespaces", config("short"))
        maps = "/api/v1/namespaces/short/configmaps"
        named = {"metadata": {"name": "one", "labels": {"deletionTimestamp": "orphan"}}}
        assert (await call("POST", maps, named)).status == 201
        await call("DELETE", "/api/v1/namespaces/short")
        await asyncio.sleep(10)
        assert (await call("GET", "/api/v1/namespaces/short")).status == 404

    play(test)


def test_only_a_finalizer_says_that_pods_are_let_be():
    async def test(call):
        controllers = "/api/v1/namespaces/default/replicationcontrollers"
        template = {**pod("web", app="a"), "metadata": {"labels": {"app": "a"}}}
        note = {"foregroundDeletion": "orphan"}
        body = {"metadata": {"name": "web", "annotations": note}, "spec": {"template": template}}
        assert (await call("POST", controllers, body)).status == 201
        await call("DELETE", f"{controllers}/web")
        left = await call("GET", f"{controllers}/web")
        assert left.body["metadata"]["finalizers"] == ["orphan"]

    play(test)
