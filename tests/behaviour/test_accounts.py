"""What tokens of service accounts are good for, and until when."""

from __future__ import annotations

import pytest

from behaviour.manifests import pod

REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
OWN = "https://kubernetes.default.svc.cluster.local"


@pytest.fixture
def robot(world, namespace):
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    world.create(path, {"metadata": {"name": "robot"}})
    return f"{path}/robot"


def review(world, token, *audiences):
    spec = {"token": token, **({"audiences": list(audiences)} if audiences else {})}
    return world.create(REVIEWS, {"spec": spec})["status"]


def token(world, robot, **spec):
    return world.create(f"{robot}/token", {"spec": spec})["status"]["token"]


def test_a_token_says_whose_it_is(world, robot, namespace):
    uid = world.get(robot)["metadata"]["uid"]
    said = review(world, token(world, robot))
    assert said["authenticated"] is True
    assert said["audiences"] == [OWN]
    assert (said["user"]["username"], said["user"]["uid"]) == (
        f"system:serviceaccount:{namespace}:robot", uid
    )  # fmt: skip
    assert list(said["user"]["extra"]) == ["authentication.kubernetes.io/credential-id"]


def test_a_token_is_for_its_audiences_only(world, robot):
    mine = token(world, robot, audiences=["one", "two"])
    assert review(world, mine, "two", "three")["audiences"] == ["two"]
    assert review(world, mine) == {
        "user": {},
        "error": '[invalid bearer token, token audiences ["one" "two"] is invalid for the target'
        f' audiences ["{OWN}"]]',
    }


def test_a_token_ends_with_its_account(world, robot):
    mine = token(world, robot)
    world.delete(robot)
    world.until_gone(robot)
    gone = {"user": {}, "error": '[invalid bearer token, serviceaccounts "robot" not found]'}
    world.until(lambda: review(world, mine) == gone)
    made = world.create(robot.rpartition("/")[0], {"metadata": {"name": "robot"}})
    uid = made["metadata"]["uid"]
    world.until(lambda: f"service account UID ({uid})" in review(world, mine).get("error", ""))


def test_a_token_ends_with_what_it_is_bound_to(world, robot, namespace):
    path = f"/api/v1/namespaces/{namespace}/pods"
    body = pod("worker")
    body["spec"].update(serviceAccountName="robot", nodeSelector={"nowhere": "yes"})
    uid = world.create(path, body)["metadata"]["uid"]
    bound = {"apiVersion": "v1", "kind": "Pod", "name": "worker"}
    refused = world.ask(
        "POST", f"{robot}/token", {"spec": {"boundObjectRef": {**bound, "uid": "x"}}}
    )
    world.refused(refused, 409, "Conflict")
    mine = token(world, robot, boundObjectRef={**bound, "uid": uid})
    extra = review(world, mine)["user"]["extra"]
    assert extra["authentication.kubernetes.io/pod-uid"] == [uid]
    world.delete(f"{path}/worker", {"gracePeriodSeconds": 0})
    world.until_gone(f"{path}/worker")
    world.until(
        lambda: (
            review(world, mine).get("error")
            == "[invalid bearer token, service account token has been invalidated]"
        )
    )


@pytest.mark.parametrize(
    ("bound", "code", "reason", "message"),
    [
        ({"kind": "Pod", "apiVersion": "v1", "name": "no"}, 404, "NotFound", 'pods "no" not found'),
        (
            {"kind": "ConfigMap", "apiVersion": "v1", "name": "no"},
            400,
            "BadRequest",
            "cannot bind token to object of type /v1, Kind=ConfigMap",
        ),
    ],
)
def test_what_a_token_is_not_bound_to(world, robot, bound, code, reason, message):
    said = world.ask("POST", f"{robot}/token", {"spec": {"boundObjectRef": bound}})
    assert world.refused(said, code, reason)["message"] == message


def test_a_review_without_a_token(world):
    said = world.ask("POST", REVIEWS, {"spec": {}})
    told = world.refused(said, 400, "BadRequest")["message"]
    assert told == "token is required for TokenReview in authentication"
