"""StatefulSets: order, updates by partition, and what the status says of revisions."""

# pyright: basic, reportAttributeAccessIssue=false
from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poolwright.plan.kubernetes.stateful_set import plan_stateful_set

from .perfect import Cluster

LABELS = {"app": "db"}


def stateful(image="db:1", **spec):
    template = {"metadata": {"labels": LABELS}, "spec": {"containers": [{"image": image}]}}
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}
    return {
        "metadata": {"name": "db"},
        "spec": {
            "selector": {"matchLabels": LABELS},
            "serviceName": "db",
            "template": template,
            "updateStrategy": rolling,
            **spec,
        },
    }


class World(Cluster):
    def step(self):
        (wire,) = self.of("StatefulSet")
        claims = {c["metadata"]["name"]: c for c in self.of("PersistentVolumeClaim")}
        revisions = self.of("ControllerRevision")
        plan = plan_stateful_set(wire, self.pods(), revisions, {}, self.now, claims)
        self.apply(plan)
        return bool(plan.actions)

    def converge(self, check=lambda: None):
        for _ in range(100):
            moved = self.step()
            check()
            self.run_pods()
            if not moved:
                return
        raise AssertionError("it never comes to rest")

    def change(self, image=None, **spec):
        wire = self.of("StatefulSet")[0]
        wire["spec"].update(spec)
        if image:
            wire["spec"]["template"] = stateful(image)["spec"]["template"]
        wire["metadata"]["generation"] += 1

    def images(self):
        return [p["spec"]["containers"][0]["image"] for p in self.of("Pod")]

    @property
    def status(self):
        return self.of("StatefulSet")[0]["status"]


def made(**spec):
    world = World()
    world.add("StatefulSet", stateful(**spec))
    return world


def names(world):
    return [p.name for p in world.pods()]


def test_pods_come_one_by_one_when_the_one_before_is_ready():
    world = made(replicas=3)
    world.step()
    assert names(world) == ["db-0"]
    world.step()
    assert names(world) == ["db-0"]
    world.run_pods()
    world.step()
    assert names(world) == ["db-0", "db-1"]
    world.converge()
    assert names(world) == ["db-0", "db-1", "db-2"]
    pod = world.of("Pod")[1]
    revision = world.of("ControllerRevision")[0]["metadata"]["name"]
    assert pod["metadata"]["labels"] == {
        "app": "db",
        "statefulset.kubernetes.io/pod-name": "db-1",
        "apps.kubernetes.io/pod-index": "1",
        "controller-revision-hash": revision,
    }
    assert (pod["spec"]["hostname"], pod["spec"]["subdomain"]) == ("db-1", "db")
    status = world.status
    assert (status["currentRevision"], status["updateRevision"]) == (revision, revision)
    assert (status["replicas"], status["readyReplicas"], status["currentReplicas"]) == (3, 3, 3)


def test_parallel_ones_come_and_go_at_once():
    world = made(replicas=3, podManagementPolicy="Parallel")
    world.step()
    assert names(world) == ["db-0", "db-1", "db-2"]
    world.change(replicas=1)
    world.step()
    assert names(world) == ["db-0"]


def test_scale_down_goes_from_the_highest_and_one_by_one():
    world = made(replicas=3)
    world.converge()
    world.change(replicas=1)
    world.step()
    assert names(world) == ["db-0", "db-1"]
    world.step()
    assert names(world) == ["db-0"]


def test_ordinals_may_start_elsewhere():
    world = made(replicas=2, ordinals={"start": 5})
    world.converge()
    assert names(world) == ["db-5", "db-6"]


def test_an_update_goes_down_from_the_highest_to_the_partition():
    world = made(replicas=3)
    world.converge()
    old = world.status["currentRevision"]
    world.change(
        "db:2", updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}
    )
    world.converge()
    assert world.images() == ["db:1", "db:1", "db:2"]
    status = world.status
    assert (status["currentRevision"], status["updateRevision"] != old) == (old, True)
    assert (status["currentReplicas"], status["updatedReplicas"]) == (2, 1)
    # A pod below the partition comes back as it was.
    world.objects.pop(("Pod", "db-0"))
    world.converge()
    assert world.images() == ["db:1", "db:1", "db:2"]
    world.change(updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 0}})
    seen = []
    world.converge(lambda: seen.append(len(world.pods())))
    assert (world.images(), min(seen)) == (["db:2"] * 3, 2)
    assert world.status["currentRevision"] == world.status["updateRevision"] != old


def test_on_delete_waits_for_the_user_and_going_back_finds_the_old_revision():
    world = made(replicas=2, updateStrategy={"type": "OnDelete"})
    world.converge()
    world.change("db:2")
    world.converge()
    assert world.images() == ["db:1", "db:1"]
    world.objects.pop(("Pod", "db-1"))
    world.converge()
    assert world.images() == ["db:1", "db:2"]
    world.change("db:1")
    world.converge()
    assert sorted(r["revision"] for r in world.of("ControllerRevision")) == [2, 3]


def test_a_failed_pod_is_made_again():
    world = made(replicas=1)
    world.converge()
    world.objects["Pod", "db-0"]["status"]["phase"] = "Failed"
    world.step()
    assert names(world) == []
    world.converge()
    assert names(world) == ["db-0"]


def test_old_revisions_beyond_the_limit_are_forgotten():
    world = made(replicas=1, revisionHistoryLimit=2)
    for number in range(6):
        world.change(f"db:{number}")
        world.converge()
    assert len(world.of("ControllerRevision")) == 3


@pytest.mark.parametrize("policy", ["OrderedReady", "Parallel"])
@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.sampled_from(["a", "b"]), st.integers(0, 3)), max_size=4
    )
)
@settings(max_examples=60, deadline=None)
def test_it_comes_to_rest_from_anywhere(policy, changes):
    world = made(replicas=2, podManagementPolicy=policy)
    for replicas, image, partition in changes:
        strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": partition}}
        world.change(image, replicas=replicas, updateStrategy=strategy)
        world.step()
        world.run_pods()
    world.converge()
    wanted = world.of("StatefulSet")[0]["spec"]["replicas"]
    assert names(world) == [f"db-{i}" for i in range(wanted)]


CLAIM = {"metadata": {"name": "data", "labels": {"tier": "x"}}, "spec": {"accessModes": ["RWO"]}}


def with_claims(**retention):
    policy = {"whenDeleted": "Retain", "whenScaled": "Retain", **retention}
    return {
        "replicas": 2,
        "volumeClaimTemplates": [CLAIM],
        "persistentVolumeClaimRetentionPolicy": policy,
    }


def owners(world):
    return {
        claim["metadata"]["name"]: [
            (o["kind"], o["name"]) for o in claim["metadata"].get("ownerReferences", ())
        ]
        for claim in world.of("PersistentVolumeClaim")
    }


def test_each_pod_gets_claims_that_outlast_it():
    world = World()
    world.add("StatefulSet", stateful(**with_claims()))
    world.converge()
    assert owners(world) == {"data-db-0": [], "data-db-1": []}
    claim = world.of("PersistentVolumeClaim")[0]
    assert claim["metadata"]["labels"] == {"tier": "x", **LABELS}
    assert claim["spec"] == CLAIM["spec"]
    world.change(replicas=0)
    world.converge()
    assert not world.of("Pod")
    assert owners(world) == {"data-db-0": [], "data-db-1": []}


def test_claims_go_with_the_set_or_with_the_pod_that_goes():
    world = World()
    world.add("StatefulSet", stateful(**with_claims(whenDeleted="Delete", whenScaled="Delete")))
    world.converge()
    goes_with_set = [("StatefulSet", "db")]
    assert owners(world) == {"data-db-0": goes_with_set, "data-db-1": goes_with_set}
    world.change(replicas=1)
    world.step()
    assert owners(world)["data-db-1"] == [("Pod", "db-1")]
    assert owners(world)["data-db-0"] == [("StatefulSet", "db")]
    world.converge()
    kept = {"whenDeleted": "Retain", "whenScaled": "Retain"}
    world.change(persistentVolumeClaimRetentionPolicy=kept)
    world.converge()
    assert owners(world)["data-db-0"] == []
