"""Secrets that hold the token of a service account."""

import asyncio
import base64
import logging

import pytest

from poolwright.model.json_value import child
from poolwright.plan.kubernetes.account_secret import TYPE, plan_account_secret
from poolwright.plan.kubernetes.action import DeleteObject

from .in_process import MERGE, run

SECRETS = "/api/v1/namespaces/default/secrets"
ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"
REVIEW = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
NAME, UID = (f"kubernetes.io/service-account.{part}" for part in ("name", "uid"))


def secret(**annotations):
    return {
        "metadata": {
            "name": "s", "namespace": "default", "uid": "1", "resourceVersion": "7",
            "annotations": {NAME: "robot", **annotations},
        },
        "type": TYPE,
    }  # fmt: skip


def encoded(text):
    return base64.b64encode(text.encode()).decode()


def plan(wire, uid="u"):
    account = {"metadata": {"name": "robot", "uid": uid}} if uid else None
    return plan_account_secret(wire, account, b"ca", lambda: "made").actions


def test_what_is_missing_is_filled_in():
    (action,) = plan(secret())
    data = {"ca.crt": "ca", "namespace": "default", "token": "made"}
    assert action.patch["data"] == {key: encoded(value) for key, value in data.items()}
    assert action.patch["metadata"]["annotations"] == {UID: "u"}
    assert action.revision == "7"
    (action,) = plan({**secret(), "data": {"token": "b2xk", "namespace": "eA==", "ca.crt": "eA=="}})
    assert action.patch["data"] == {"ca.crt": encoded("ca")}
    full = {"token": "b2xk", "namespace": "eA==", "ca.crt": encoded("ca")}
    assert plan({**secret(**{UID: "u"}), "data": full}) == ()


@pytest.mark.parametrize(("known", "uid"), [("", None), ("u", None), ("earlier", "u")])
def test_a_secret_of_no_account_goes(known, uid):
    (action,) = plan(secret(**({UID: known} if known else {})), uid)
    assert isinstance(action, DeleteObject)
    assert action.target.uid == "1"


async def until(found):
    for _ in range(200):
        result = await found()
        if result:
            return result
        await asyncio.sleep(0.01)
    raise AssertionError("it never came")


def test_its_token_is_good_as_long_as_secret_and_account_are_there(caplog, capsys):
    caplog.set_level(logging.DEBUG)

    async def test(call):
        async def filled():
            body = (await call("GET", f"{SECRETS}/s")).body
            return body if child(body, "data").get("token") else None

        async def status(token):
            return (await call("POST", REVIEW, {}, token=token)).status

        async def gone():
            return (await call("GET", f"{SECRETS}/s")).status == 404

        async def create():
            metadata = {"name": "s", "annotations": {NAME: "robot"}}
            await call("POST", SECRETS, {"metadata": metadata, "type": TYPE})
            found = await until(filled)
            return found, base64.b64decode(found["data"]["token"]).decode()

        account = {"metadata": {"name": "robot"}}
        made = (await call("POST", ACCOUNTS, account)).body
        found, token = await create()
        assert found["metadata"]["annotations"][UID] == made["metadata"]["uid"]
        assert base64.b64decode(found["data"]["namespace"]) == b"default"
        who = (await call("POST", REVIEW, {}, token=token)).body["status"]["userInfo"]
        assert who["username"] == "system:serviceaccount:default:robot"
        assert who["uid"] == made["metadata"]["uid"]

        await call("DELETE", f"{SECRETS}/s")
        assert await status(token) == 401
        assert (await create())[1] == token
        assert await status(token) == 201
        other = {"data": {"token": encoded("other")}}
        await call("PATCH", f"{SECRETS}/s", other, content_type=MERGE)
        assert await status(token) == 401
        await call("PATCH", f"{SECRETS}/s", {"data": {"token": None}}, content_type=MERGE)
        await until(filled)
        assert await status(token) == 201

        await call("DELETE", f"{ACCOUNTS}/robot")
        assert await status(token) == 401
        await until(gone)
        assert token not in caplog.text + "".join(capsys.readouterr())

    run(test, controllers=True)


def test_one_for_an_account_that_is_not_there_goes():
    async def test(call):
        async def gone():
            return (await call("GET", f"{SECRETS}/s")).status == 404

        metadata = {"name": "s", "annotations": {NAME: "nobody"}}
        assert (await call("POST", SECRETS, {"metadata": metadata, "type": TYPE})).status == 201
        await until(gone)

    run(test, controllers=True)
