"""Indexed jobs and the policies of failure and success, with Kubernetes' own words."""

# pyright: basic, reportAttributeAccessIssue=false
from __future__ import annotations

import random

import pytest

from poolwright.model.pod import Pod
from poolwright.plan.kubernetes.job import FINALIZER, plan_job
from poolwright.plan.kubernetes.job_count import JobPod
from poolwright.plan.kubernetes.job_index import Indexes

from .perfect import Cluster


class World(Cluster):
    def __init__(self):
        super().__init__()
        self.finished = {}

    def step(self):
        (wire,) = self.of("Job")
        now = self.now
        pods = [
            JobPod(
                p,
                FINALIZER in p.finalizers,
                self.finished.setdefault(p.uid, now.world) if p.is_finished else None,
                self.objects["Pod", p.name].get("status", {}),
            )
            for p in map(Pod.from_object, self.of("Pod"))
        ]
        self.apply(plan_job(wire, pods, now))
        self.micros += 1_000_000_000

    def settle(self):
        for _ in range(4):
            self.step()

    def end(self, phase, *, code=1, index=None, **status):
        for pod in self.of("Pod"):
            mine = pod["metadata"].get("annotations", {}).get(INDEX)
            if pod.get("status", {}).get("phase") is None and index in (None, mine):
                ended = {"terminated": {"exitCode": code if phase == "Failed" else 0}}
                containers = [{"name": "main", "state": ended}]
                pod["status"] = {"phase": phase, "containerStatuses": containers, **status}

    @property
    def status(self):
        return self.of("Job")[0]["status"]

    def ending(self):
        last = self.status["conditions"][-1]
        return last["type"], last["reason"], last["message"]


INDEX = "batch.kubernetes.io/job-completion-index"


def made(**spec):
    template = {"metadata": {"labels": {"job": "j"}}, "spec": {"containers": [{"name": "main"}]}}
    world = World()
    job = {"metadata": {"name": "j"}, "spec": {"template": template, **spec}}
    world.add("Job", job)
    world.of("Job")[0]["spec"]["selector"] = {"matchLabels": {"job": "j"}}
    world.step()
    return world


def codes(action, *values):
    on = {"operator": "In", "values": list(values)}
    return {"podFailurePolicy": {"rules": [{"action": action, "onExitCodes": on}]}}


def test_an_exit_code_can_end_the_job():
    world = made(**codes("FailJob", 42))
    (pod,) = world.of("Pod")
    world.end("Failed", code=42)
    world.settle()
    assert world.ending() == (
        "Failed",
        "PodFailurePolicy",
        f"Container main for pod default/{pod['metadata']['name']} failed with exit code 42"
        " matching FailJob rule at index 0",
    )


def test_a_disruption_can_be_ignored():
    rule = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    world = made(backoffLimit=0, podFailurePolicy={"rules": [rule]})
    world.end("Failed", conditions=[{"type": "DisruptionTarget", "status": "True"}])
    world.settle()
    assert "failed" not in world.status
    assert len([p for p in world.pods() if not p.is_finished]) == 1
    world.end("Failed")
    world.settle()
    assert world.ending()[1] == "BackoffLimitExceeded"


def test_each_index_has_its_own_limit():
    world = made(completions=2, parallelism=2, completionMode="Indexed", backoffLimitPerIndex=1)
    world.end("Succeeded", index="1")
    world.end("Failed", index="0")
    world.settle()
    retry = [p for p in world.of("Pod") if p.get("status", {}).get("phase") is None]
    assert retry[0]["metadata"]["annotations"] == {
        INDEX: "0",
        "batch.kubernetes.io/job-index-failure-count": "1",
    }
    world.end("Failed", index="0")
    world.settle()
    assert (world.status["completedIndexes"], world.status["failedIndexes"]) == ("1", "0")
    assert world.ending() == ("Failed", "FailedIndexes", "Job has failed indexes")


def test_an_index_can_fail_at_once_and_too_many_end_the_job():
    world = made(
        completions=3,
        parallelism=3,
        completionMode="Indexed",
        backoffLimitPerIndex=5,
        maxFailedIndexes=0,
        **codes("FailIndex", 7),
    )
    world.end("Failed", code=7, index="2")
    world.settle()
    assert world.ending()[1] == "MaxFailedIndexesExceeded"
    assert world.status["failedIndexes"] == "2"


@pytest.mark.parametrize(
    ("rule", "succeed", "ends"),
    [
        ({"succeededIndexes": "0"}, ["0"], True),
        ({"succeededIndexes": "0"}, ["1"], False),
        ({"succeededCount": 2}, ["1", "2"], True),
        ({"succeededCount": 2}, ["1"], False),
        ({"succeededIndexes": "0-1", "succeededCount": 1}, ["1"], True),
        ({"succeededIndexes": "0-1", "succeededCount": 1}, ["2"], False),
    ],
)
def test_some_successes_can_be_enough(rule, succeed, ends):
    policy = {"rules": [rule]}
    world = made(completions=3, parallelism=3, completionMode="Indexed", successPolicy=policy)
    for index in succeed:
        world.end("Succeeded", index=index)
    world.settle()
    if not ends:
        assert not world.status.get("conditions")
        return
    assert world.ending() == ("Complete", "SuccessPolicy", "Matched rules at index 0")
    assert all(p.is_finished for p in world.pods())


def test_a_smaller_indexed_job_stops_what_is_beyond():
    world = made(completions=3, parallelism=3, completionMode="Indexed")
    world.of("Job")[0]["spec"].update(completions=2, parallelism=2)
    world.step()
    found = [p["metadata"]["annotations"][INDEX] for p in world.of("Pod")]
    assert sorted(found) == ["0", "1"]


def test_pods_that_are_stopped_by_suspension_do_not_count():
    world = made(parallelism=2, completions=2)
    world.of("Job")[0]["spec"]["suspend"] = True
    world.settle()
    assert world.pods() == []
    assert "failed" not in world.status
    assert [c["reason"] for c in world.status["conditions"]] == ["JobSuspended"]


def test_another_controller_may_manage_it():
    assert made(managedBy="example.com/other").pods() == []


@pytest.mark.parametrize(
    ("found", "text"),
    [([], ""), ([0], "0"), ([0, 1], "0,1"), ([0, 2, 3, 4, 7], "0,2-4,7")],
)
def test_indexes_are_written_and_read(found, text):
    assert str(Indexes().plus(found)) == text
    assert Indexes.parse(text, 9) == Indexes().plus(found)


def test_indexes_are_a_set():
    numbers = random.Random(5)
    for _ in range(500):
        some, more = ({numbers.randrange(12) for _ in range(numbers.randrange(9))} for _ in "ab")
        one, two = Indexes().plus(some), Indexes().plus(more)
        assert one.union(two) == Indexes().plus(some | more)
        assert one.minus(two) == Indexes().plus(some - more)
        assert one.shared(two) == len(some & more)
        assert (len(one), [n in one for n in range(12)]) == (
            len(some),
            [n in some for n in range(12)],
        )
        assert list(one.free(12, 3)) == [n for n in range(12) if n not in some][:3]


def test_what_is_no_index_counts_for_nothing():
    text = "5-2,x,,-1,2-x,\u00b2,1-3,99999999999999999999"
    assert str(Indexes.parse(text, 9)) == "1-3"
    assert str(Indexes.parse("0-999999999999", 9)) == "0-8"
    assert str(Indexes.parse("2,7-12", 9)) == "2,7,8"


@pytest.mark.parametrize("chosen", ["0-2147483646", "0-5000000,7000000-2147483646"])
def test_huge_ranges_cost_nothing(chosen):
    policy = {"rules": [{"succeededIndexes": chosen, "succeededCount": 2}]}
    most = 2**31 - 1
    world = made(
        completions=most, parallelism=3, completionMode="Indexed", successPolicy=policy,
        backoffLimitPerIndex=1,
    )  # fmt: skip
    world.of("Job")[0]["status"]["completedIndexes"] = "1000-2147483000"
    world.of("Job")[0]["spec"]["successPolicy"] = {"rules": [{"succeededCount": most}]}
    world.end("Succeeded", index="1")
    world.settle()
    assert world.status["completedIndexes"] == "1,1000-2147483000"
    world.of("Job")[0]["spec"]["successPolicy"] = policy
    world.settle()
    assert world.ending()[:2] == ("Complete", "SuccessPolicy")


def test_many_pods_start_some_at_a_time():
    world = made(parallelism=2**31 - 1, completions=2**31 - 1)
    assert len(world.pods()) == 500
