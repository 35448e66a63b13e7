"""What a client gets where the server has a bug."""

import asyncio
import json

import pytest
from structlog.testing import capture_logs

from poolwright.app.last_answer import LastAnswer


def ask(application, path="/subscriptions/s", method="GET"):
    sent = []

    async def send(message):
        if message["type"] == "http.response.start" and sent:
            raise RuntimeError("Unexpected ASGI message")  # as uvicorn does
        sent.append(message)

    with capture_logs() as lines:
        asyncio.run(LastAnswer(application)({"type": "http", "path": path, "method": method},
                                            None, send))  # fmt: skip
    return sent, lines


async def broken(scope, receive, send):
    raise KeyError("a bug")


def test_arm_clients_get_json_and_the_log_the_traceback():
    (start, body), (line,) = ask(broken, method="PUT")
    assert start["status"] == 500
    assert dict(start["headers"])[b"content-type"].startswith(b"application/json")
    assert json.loads(body["body"])["error"]["code"] == "InternalServerError"
    assert "a bug" not in body["body"].decode()
    assert line["work"] == "PUT /subscriptions/s"
    assert isinstance(line["exc_info"], KeyError)


@pytest.mark.parametrize("path", ["/k8s/s/g/c/api/v1/pods", "/api/v1/nodes", "/apis"])
def test_kubernetes_clients_get_a_status(path):
    (start, body), _ = ask(broken, path)
    status = json.loads(body["body"])
    assert start["status"] == status["code"] == 500
    assert (status["kind"], status["reason"]) == ("Status", "InternalError")


def test_head_has_no_body():
    (start, body), _ = ask(broken, method="HEAD")
    assert start["status"] == 500
    assert body["body"] == b""


def test_what_goes_well_is_left_alone():
    async def fine(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x"})

    sent, lines = ask(fine)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert not lines


def test_an_answer_that_has_begun_is_not_begun_again():
    async def half(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise KeyError("a bug")

    sent, lines = ask(half)
    assert [message["status"] for message in sent] == [200]
    assert len(lines) == 1
