"""Each request of the corpus is answered as the real Kubernetes answers it.

``request_answers.json`` holds its answers (``POOLWRIGHT_TEST_RECORD=1`` writes it anew from the
live world, which also keeps it honest); what differs in the embedded world is counted down there.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import httpx
import pytest

from behaviour.manifests import config_map
from behaviour.request_corpus import NAMESPACE, requests, services

HERE = Path(__file__).parent
RECORD = HERE / "request_answers.json"
DIFFERENCES = json.loads((HERE / "differences.json").read_text())["requests"]
_MOVING = (
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "<uid>"),
    (re.compile(r"current: \d+"), "current: <version>"),
    (re.compile(r"\b([Mm]ade[-_])[a-z0-9]{5}\b"), r"\1<hash>"),
    (re.compile(r"\(\d{3,}\)"), "(<version>)"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "<time>"),
    (re.compile(r"(resourceVersion\W+)\d+"), r"\1<version>"),
)


def answer(world, request):
    """What matters of a response: for a refusal its Status, else the code; and the warnings."""
    response = world._client.request(
        request.method,
        request.path.lstrip("/"),
        content=request.body,
        params=request.query,
        headers={**({"Content-Type": request.media} if request.body else {}), **request.headers},
    )
    result = {"code": response.status_code}
    warnings = response.headers.get_list("Warning")
    if warnings:
        result["warnings"] = warnings
    if response.status_code >= 400:
        try:
            status = response.json()
        except ValueError:
            status = {"message": response.text.strip()}
        causes = (status.get("details") or {}).get("causes") or []
        message = status.get("message") or ""
        for cause in sorted(causes, key=lambda cause: -len(cause.get("message", ""))):
            message = message.replace(cause.get("message", ""), "<cause>")
        result["reason"] = status.get("reason")
        result["message"] = message
        result["causes"] = sorted(json.dumps(cause, sort_keys=True) for cause in causes)
    text = json.dumps(result)
    for pattern, replacement in _MOVING:
        text = pattern.sub(replacement, text)
    return json.loads(text)


@pytest.fixture(scope="module")
def corpus(world):
    world.ask("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    path = f"/api/v1/namespaces/{NAMESPACE}"
    account = f"{path}/serviceaccounts/default"
    world.until(lambda: world.ask("GET", account).status_code == 200)
    world.ask("POST", f"{path}/configmaps", config_map("one", a="1"))
    for service in services():
        world.create(f"{path}/services", service)
    yield requests()
    world.delete(path)


def test_answers_are_those_of_the_real_one(world, corpus):
    answers = {request.name: _safely(world, request) for request in corpus}
    if world.name == "live" and os.environ.get("POOLWRIGHT_TEST_RECORD"):
        lines = [f"{json.dumps(name)}: {json.dumps(item)}" for name, item in answers.items()]
        RECORD.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    recorded = json.loads(RECORD.read_text())
    groups = DIFFERENCES.values() if world.name == "embedded" else ()
    known = {name for group in groups for name in group}
    different = {
        name: (recorded.get(name), here)
        for name, here in answers.items()
        if here != recorded.get(name) and name not in known
    }
    if world.name == "embedded" and os.environ.get("POOLWRIGHT_TEST_RECORD"):
        _list_differences(recorded, answers)
        different = {}
    keep = os.environ.get("POOLWRIGHT_TEST_DIFFERENCES")
    if keep:  # all of them, for whoever works on them
        everything = {name: (recorded.get(name), here) for name, here in answers.items()}
        rest = {name: pair for name, pair in everything.items() if pair[0] != pair[1]}
        Path(keep).write_text(json.dumps(rest, indent=1))
    lines = [f"{name}\n  real {there}\n  here {here}" for name, (there, here) in different.items()]
    assert not different, "\n".join([f"{len(different)} of {len(answers)} differ", *lines[:20]])
    stale = [name for name in known if answers.get(name) == recorded.get(name)]
    assert not stale, f"no longer differs: delete the line {stale} from differences.json"


def _list_differences(recorded, answers):
    """Write the list of what differs anew, by what it means to a client."""
    groups: dict[str, list[str]] = {reason: [] for reason in _REASONS}
    for name, here in answers.items():
        there = recorded[name]
        if here == there:
            continue
        good, bad = there["code"] < 400, here["code"] >= 400
        if good:
            groups[_REASONS[0] if bad else _REASONS[4]].append(name)
        elif not bad:
            groups[_REASONS[1]].append(name)
        elif there["code"] >= 500:
            groups[_REASONS[5]].append(name)
        else:
            groups[_REASONS[2 if here["code"] != there["code"] else 3]].append(name)
    document = json.loads((HERE / "differences.json").read_text())
    document["requests"] = {reason: names for reason, names in groups.items() if names}
    text = json.dumps(document, indent=1, ensure_ascii=False)
    (HERE / "differences.json").write_text(text + "\n")


_REASONS = (
    "refused here only: stricter than the real one",
    "accepted here: what is wrong with it has no effect on simulated nodes and is not checked",
    "refused by both, with another code",
    "refused by both, in other words",
    "accepted by both, with other warnings",
    "refused by both; the real one answers 500, which says that it is the server's fault",
)


def _safely(world, request):
    try:
        return answer(world, request)
    except httpx.TransportError as error:
        return {"code": 0, "message": type(error).__name__}
