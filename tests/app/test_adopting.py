"""Taking in clusters when the server starts: what is entered, waited for, and refused in a line."""

import asyncio
import base64
import json
from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest

from app.adoptable import DAY, NOW, OWNER, Api, Start, Today, named, pair
from poolwright.app.adopting import adopt_clusters
from poolwright.app.settings import AdoptSettings, ClusterToAdopt, SettingsError, load_settings
from poolwright.kube import adopted, ownership
from poolwright.kube.clusters import HttpClusters
from poolwright.model.errors import Conflict, PoolwrightError, Transient


@pytest.fixture
def api(tmp_path):
    return Api(tmp_path)


def refusal(api, *, is_up=True, **kubeconfig):
    """The line that a start with a kubeconfig ends with; nothing is entered then."""

    async def main():
        start = Start()
        async with api.serving() as served:
            path = served.kubeconfig(**kubeconfig)
            if is_up:
                with pytest.raises(PoolwrightError) as caught:
                    await start.adopt(named(path))
        if not is_up:
            with pytest.raises(PoolwrightError) as caught:
                await start.adopt(named(path))
        assert await start.cluster() is None
        return str(caught.value)

    said = asyncio.run(main())
    assert "\n" not in said
    assert said.startswith(f"kubeconfig {api.folder}/kubeconfig: ")
    return said


# -- what cannot be used ---------------------------------------------------------------------------


def test_a_cluster_that_is_down_is_not_adopted(api):
    said = refusal(api, is_up=False)
    assert f"https://127.0.0.1:{api.port}: ConnectError" in said


@pytest.mark.parametrize("version", ["v1.29.15", "v1.9.11-gke.1"])
def test_a_cluster_that_is_too_old(api, version):
    api.answers["/version"] = (200, {"gitVersion": version})
    assert f"Kubernetes {version} is too old; 1.30 or newer is needed" in refusal(api)


@pytest.mark.parametrize("body", [{"version": "3"}, [1], "hello", b"<html>hello</html>"])
def test_what_is_no_kubernetes(api, body):
    api.answers["/version"] = (200, body)
    said = refusal(api)
    assert "is no Kubernetes API server" in said or "is not JSON" in said


def test_a_user_without_rights(api):
    said = 'nodes is forbidden: User "guest" cannot list resource "nodes"'
    api.answers["/api/v1/nodes"] = (403, {"kind": "Status", "code": 403, "message": said})
    assert said in refusal(api)


def test_a_user_whom_the_cluster_does_not_know(api):
    api.answers["/version"] = (401, {"kind": "Status", "code": 401, "message": "Unauthorized"})
    assert "Unauthorized: it does not know the user" in refusal(api)


def with_certificate(name):
    return {"client-certificate": f"{name}.crt", "client-key": f"{name}.key"}


def test_a_client_certificate_that_ran_out(api, tmp_path):
    pair(tmp_path, "old", until=NOW - DAY)
    said = refusal(api, user=with_certificate("old"))
    assert f"the client certificate expired on {NOW - DAY:%Y-%m-%d}" in said


def test_a_client_certificate_that_does_not_hold_yet(api, tmp_path):
    pair(tmp_path, "early", since=NOW + DAY, until=NOW + 2 * DAY)
    said = refusal(api, user=with_certificate("early"))
    assert f"the client certificate holds from {NOW + DAY:%Y-%m-%d}" in said


def jwt(until):
    parts = ({"alg": "RS256"}, {"exp": until.timestamp()})
    encoded = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts)
    return (b".".join(encoded) + b".c2ln").decode()


def test_a_token_that_ran_out(api, tmp_path):
    said = refusal(api, user={"token": jwt(NOW - DAY)})
    assert f"the token expired on {NOW - DAY:%Y-%m-%d}" in said
    (tmp_path / "token").write_text(jwt(NOW - DAY))
    assert "the token expired on" in refusal(api, user={"tokenFile": "token"})


def test_a_token_that_holds(api):
    async def main():
        start = Start()
        async with api.serving() as served:
            await start.adopt(named(served.kubeconfig(user={"token": jwt(NOW + DAY)})))
        assert await start.cluster() is not None

    asyncio.run(main())


def test_a_server_certificate_that_ran_out(api, tmp_path):
    pair(tmp_path, "server", until=NOW - DAY)
    assert "certificate has expired" in refusal(api)


def test_a_server_of_another_authority(api, tmp_path):
    pair(tmp_path, "other")
    assert "certificate verify failed" in refusal(api, ca="other")


def test_a_server_of_another_name(api):
    assert "certificate is not valid for 'localhost'" in refusal(api, host="localhost")


# -- what is entered, and waited for ---------------------------------------------------------------


def test_a_cluster_becomes_a_managed_cluster(api):
    async def main():
        start = Start()
        async with api.serving() as served:
            await start.adopt(named(served.kubeconfig()))
        spec = (await start.cluster()).spec
        assert (spec.current_kubernetes_version, spec.adopted_uid) == ("1.35.4", "uid-1")
        assert (await start.control_planes.get(start.key())).version == "1.35.4"

    asyncio.run(main())


@pytest.mark.parametrize("overtaken_at", ["find", "transact"])
def test_replicas_that_start_at_the_same_moment(api, overtaken_at):
    """One enters the cluster while the other is about to."""

    async def main():
        first = Start()
        second = Start(first)
        async with api.serving() as served:
            path = served.kubeconfig()
            store = Overtaken(first.context.store, overtaken_at, lambda: first.adopt(named(path)))
            second.context = replace(second.context, store=store)
            await second.adopt(named(path))
            assert store.overtake is None
        assert (await second.cluster()).spec.adopted_uid == "uid-1"

    asyncio.run(main())


class Overtaken:
    """A store on which something else is done just before a method that writes or looks for
    clusters is first called.
    """

    def __init__(self, store, method, overtake):
        self._store = store
        self._method = method
        self.overtake = overtake

    def __getattr__(self, name):
        method = getattr(self._store, name)
        if name != self._method:
            return method

        async def later(*given):
            is_about_clusters = "ManagedCluster" in repr(given)
            if self.overtake is not None and is_about_clusters:
                overtake, self.overtake = self.overtake, None
                await overtake()
            return await method(*given)

        return later


@pytest.mark.parametrize("trouble", ["down", "unauthorized"])
def test_a_cluster_that_was_adopted_before_is_waited_for(api, trouble):
    async def main():
        first = Start()
        async with api.serving() as served:
            path = served.kubeconfig()
            await first.adopt(named(path))
        second = Start(first)
        if trouble == "down":
            await second.adopt(named(path))
        else:
            api.answers["/version"] = (401, {})
            async with api.serving():
                await second.adopt(named(path))
        plane = await second.control_planes.get(second.key())
        assert plane.server_url == f"https://127.0.0.1:{api.port}"

    asyncio.run(main())


def test_another_cluster_does_not_take_the_place_of_a_known_one(api):
    async def main():
        first = Start()
        async with api.serving() as served:
            path = served.kubeconfig()
            await first.adopt(named(path))
            api.answers["/api/v1/namespaces/kube-system"] = (200, {"metadata": {"uid": "uid-2"}})
            with pytest.raises(PoolwrightError, match="is not the cluster that was adopted as c1"):
                await Start(first).adopt(named(path))
            forbidden = (403, {"message": "forbidden"})
            api.answers["/api/v1/namespaces/kube-system"] = forbidden
            await Start(first).adopt(named(path))
        assert (await first.cluster()).spec.adopted_uid == "uid-1"

    asyncio.run(main())


def test_a_known_cluster_gets_no_second_name(api):
    async def main():
        first = Start()
        async with api.serving() as served:
            path = served.kubeconfig()
            await first.adopt(named(path))
            with pytest.raises(PoolwrightError, match="this cluster is c1 in rg already; use that"):
                await Start(first).adopt(named(path, "c2"))
        assert await first.cluster("c2") is None

    asyncio.run(main())


# -- whose a cluster is ----------------------------------------------------------------------------

THEIRS = (
    "the cluster belongs to another store as c1 in rg; start on that store, or end its servers and"
    " give it up: kubectl delete configmap -n kube-system poolwright-owner"
)


def test_of_two_stores_that_come_at_once_one_gets_the_cluster(api):
    async def main():
        starts = Start(), Start()
        async with api.serving() as served:
            wanted = named(served.kubeconfig())
            ends = await asyncio.gather(
                *(start.adopt(wanted) for start in starts), return_exceptions=True
            )
        assert sum(end is None for end in ends) == 1
        for start, end in zip(starts, ends, strict=True):
            entered = await start.cluster()
            if end is None:
                assert entered is not None
            else:
                assert str(end) == f"kubeconfig {wanted.kubeconfig}: {THEIRS}"
                assert entered is None

    asyncio.run(main())


def test_servers_of_one_store_share_its_cluster(api):
    async def main():
        first = Start()
        async with api.serving() as served:
            wanted = named(served.kubeconfig())
            await asyncio.gather(first.adopt(wanted), Start(first).adopt(wanted))
            kept = api.owner
            await Start(first).adopt(wanted)
        assert api.owner == kept
        assert await first.cluster() is not None

    asyncio.run(main())


def test_a_cluster_that_is_given_up_goes_to_the_next_and_not_back(api):
    async def main():
        first, second = Start(), Start()
        async with api.serving() as served:
            wanted = named(served.kubeconfig())
            await first.adopt(wanted)
            api.owner = None
            await second.adopt(wanted)
            with pytest.raises(PoolwrightError, match="belongs to another store as c1 in rg"):
                await Start(first).adopt(wanted)

    asyncio.run(main())


def test_another_cluster_in_the_place_of_a_known_one_is_not_claimed(api):
    async def main():
        first = Start()
        async with api.serving() as served:
            wanted = named(served.kubeconfig())
            await first.adopt(wanted)
            api.owner = None
            api.answers["/api/v1/namespaces/kube-system"] = (200, {"metadata": {"uid": "uid-2"}})
            with pytest.raises(PoolwrightError, match="is not the cluster that was adopted"):
                await Start(first).adopt(wanted)
        assert api.owner is None

    asyncio.run(main())


def test_whoever_may_not_say_so_does_not_get_the_cluster(api):
    said = 'configmaps "poolwright-owner" is forbidden: User "guest" cannot patch it'
    api.answers[OWNER] = (403, {"kind": "Status", "code": 403, "message": said})
    assert said in refusal(api)


def test_a_deleted_managed_cluster_is_given_up_unless_it_is_anothers(api):
    async def main():
        start = Start()
        async with start.control_planes, api.serving():
            wanted = named(api.kubeconfig())
            for owner in (None, {"data": {"store": "theirs"}}):
                await adopt_clusters(start.context, start.control_planes, (wanted,))
                kube = client(start)
                await kube.version()
                api.owner = owner or api.owner
                await start.control_planes.delete(start.key())
                with pytest.raises(Transient, match=r"given up|no running control plane"):
                    await kube.version()
                assert api.owner == owner
                assert await start.control_planes.get(start.key()) is None
                api.owner = None

    asyncio.run(main())


def test_a_managed_cluster_that_is_away_can_be_deleted(api):
    async def main():
        start = Start()
        async with start.control_planes:
            async with api.serving():
                wanted = named(api.kubeconfig())
                await adopt_clusters(start.context, start.control_planes, (wanted,))
            await start.control_planes.delete(start.key())
            assert await start.control_planes.get(start.key()) is None

    asyncio.run(main())


def client(start):
    planes = start.control_planes
    return HttpClusters(planes, planes.transport_for, Today(), Random(1)).kube(start.key())


def test_nothing_is_sent_to_a_cluster_that_was_another_stores_when_it_came_back(api):
    async def main():
        first = Start()
        async with api.serving() as served:
            wanted = named(served.kubeconfig())
            await first.adopt(wanted)
        again = Start(first)
        async with again.control_planes:
            await adopt_clusters(again.context, again.control_planes, (wanted,))  # it is away
            api.owner = {**api.owner, "data": {"store": "theirs"}}
            async with api.serving():
                api.asked.clear()
                with pytest.raises(Transient, match="belongs to another store"):
                    await client(again).version()
                assert {path for _, path in api.asked} == {OWNER}

    asyncio.run(main())


def test_a_running_server_finds_out_that_the_cluster_is_anothers(api, monkeypatch):
    monkeypatch.setattr(ownership, "_FRESH", timedelta(0))

    async def main():
        start = Start()
        async with start.control_planes, api.serving():
            wanted = named(api.kubeconfig())
            await adopt_clusters(start.context, start.control_planes, (wanted,))
            kube = client(start)
            assert await kube.version() == "v1.35.4"
            kept, api.owner = api.owner, None
            await start.control_planes.confirm(start.key())
            assert api.owner == kept, "made again"
            api.owner = {**kept, "data": {"store": "theirs"}}
            with pytest.raises(Conflict, match="belongs to another store"):
                await start.control_planes.confirm(start.key())
            for _ in range(2):
                with pytest.raises(Transient, match="belongs to another store"):
                    await kube.version()
            api.owner = kept
            assert await kube.version() == "v1.35.4"

    asyncio.run(main())


# -- several ---------------------------------------------------------------------------------------


def test_several_clusters(api, tmp_path):
    other_folder = tmp_path / "other"
    other_folder.mkdir()
    other = Api(other_folder)
    other.answers["/version"] = (200, {"gitVersion": "v1.36.1"})
    other.answers["/api/v1/namespaces/kube-system"] = (200, {"metadata": {"uid": "uid-2"}})

    async def main():
        start = Start()
        async with api.serving(), other.serving():
            one, two = api.kubeconfig(), other.kubeconfig()
            await start.adopt(named(one), named(two, "c2", location="westus2"))
            assert (await start.cluster("c2")).spec.current_kubernetes_version == "1.36.1"
            assert (await start.cluster("c2")).spec.location == "westus2"
        async with api.serving():  # the other is away
            again = Start(start)
            await again.adopt(named(one), named(two, "c2"))
            assert (await again.control_planes.get(again.key("c2"))).version == "1.36.1"

    asyncio.run(main())


@pytest.mark.parametrize("name", ["by address", "by uid"])
def test_two_names_for_one_cluster(api, tmp_path, name):
    other_folder = tmp_path / "other"
    other_folder.mkdir()
    other = Api(other_folder)

    if name == "by address":  # we may not see who it is
        api.answers["/api/v1/namespaces/kube-system"] = (403, {"message": "forbidden"})

    async def main():
        start = Start()
        async with api.serving(), other.serving():
            one = api.kubeconfig()
            two = api.kubeconfig("again") if name == "by address" else other.kubeconfig()
            with pytest.raises(PoolwrightError, match=r"c1 and c2 are one cluster \(.*\)"):
                await start.adopt(named(one), named(two, "c2"))
        assert await start.cluster() is None

    asyncio.run(main())


def settings(tmp_path, text):
    config = tmp_path / "poolwright.toml"
    config.write_text(text)
    return load_settings(config, {}, {})


TWO = """
[[adopt.clusters]]
kubeconfig = "one.yaml"
cluster_name = "one"
[[adopt.clusters]]
kubeconfig = "two.yaml"
context = "admin@two"
cluster_name = "two"
resource_group = "rg"
location = "westus2"
"""


def test_several_in_a_file(tmp_path):
    found = settings(tmp_path, TWO)
    assert found.adopt.wanted == (
        ClusterToAdopt("one.yaml", "one"),
        ClusterToAdopt("two.yaml", "two", "admin@two", "rg", "westus2"),
    )
    assert (found.world.speed, found.arm.makes_clusters) == (1, False)


def test_one_by_option():
    found = load_settings(None, {}, {"adopt.kubeconfig": "f", "adopt.context": "there"})
    assert found.adopt.wanted == (ClusterToAdopt("f", "kubernetes", "there"),)
    assert AdoptSettings().wanted == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            TWO.replace('"two"', '"ONE"').replace('"rg"', '"PoolWright"'),
            "^adopt.clusters: poolwright/one is",
        ),
        (
            TWO.replace('"two.yaml"\ncontext = "admin@two"', '"one.yaml"'),
            "^adopt.clusters: one and two are one cluster",
        ),
        (TWO.replace('cluster_name = "one"', ""), "cluster_name"),
        (TWO.replace("cluster_name", "name"), r"unknown setting 'adopt\.clusters\[0\]\.name'"),
        (TWO + '[adopt]\nkubeconfig = "f"\n', "^adopt: kubeconfig and clusters: give one"),
        (TWO + "[world]\nspeed = 60\n", "must be 1 with adopt.clusters"),
        ('[adopt]\ncluster_name = "c1"\n', "adopt.cluster_name: says nothing without"),
        (TWO + '[adopt]\ncontext = "there"\n', "adopt.context: says nothing without"),
    ],
)
def test_several_that_cannot_be(tmp_path, text, said):
    if text.startswith(TWO) and "[adopt]" in text:
        text = text.replace(TWO, "") + TWO  # TOML wants a table before its arrays
    with pytest.raises(SettingsError, match=said) as caught:
        settings(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_a_context_by_name(api):
    async def main():
        start = Start()
        async with api.serving() as served:
            path = served.kubeconfig()
            with pytest.raises(PoolwrightError, match="has no context 'there'"):
                await start.adopt(named(path, context="there"))
            await start.adopt(replace(named(path), context="here"))

    asyncio.run(main())


# -- a login that is renewed -----------------------------------------------------------------------


def test_a_login_that_is_renewed_in_the_kubeconfig(api):
    async def main():
        start = Start()
        api.token = b"first"
        async with start.control_planes, api.serving():
            path = api.kubeconfig(user={"token": "first"})
            await adopt_clusters(start.context, start.control_planes, (named(path),))
            clusters = HttpClusters(
                start.control_planes, start.control_planes.transport_for, Today(), Random(1)
            )
            kube = clusters.kube(start.key())
            assert await kube.version() == "v1.35.4"
            before = api.connections
            api.token = b"second"
            for torn in ("", "clusters: ["):
                (api.folder / "kubeconfig").write_text(torn)
                with pytest.raises(Transient, match="Unauthorized"):
                    await kube.version()
            api.kubeconfig(user={"token": "second"})
            assert await kube.version() == "v1.35.4"
            user = await start.control_planes.kubeconfig_user(start.key(), admin=True)
            assert user == {"token": "second"}
            assert api.connections == before, "a token is nothing of a connection"

    asyncio.run(main())


def test_the_connections_of_a_certificate_that_was_renewed_are_closed(api, tmp_path, monkeypatch):
    monkeypatch.setattr(adopted, "_IN_USE", timedelta())
    pair(tmp_path, "one")
    pair(tmp_path, "two")

    async def main():
        start = Start()
        async with start.control_planes, api.serving():
            path = api.kubeconfig(user=with_certificate("one"))
            await adopt_clusters(start.context, start.control_planes, (named(path),))
            assert api.connections == 1
            api.kubeconfig(user=with_certificate("two"))
            await start.control_planes.token(start.key(), admin=True)
            assert api.connections == 2, "what is under way on the old one goes on"
            await start.control_planes.token(start.key(), admin=True)
            for _ in range(1_000):
                if api.connections == 1:
                    break
                await asyncio.sleep(0.01)
            assert api.connections == 1

    asyncio.run(main())
