"""kubectl's output, command by command, is that on the real Kubernetes.

``kubectl_output.json`` holds what kubectl of the pinned version printed there; the live world keeps
it honest (``POOLWRIGHT_TEST_RECORD=1`` writes it anew), the embedded world is held to it.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path

import pytest

from behaviour.kubectl_stories import STORIES
from live_stack import live_tools

HERE = Path(__file__).parent
RECORD = HERE / "kubectl_output.json"
DIFFERENCES = json.loads((HERE / "differences.json").read_text())["kubectl"]

_NORMAL = (
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "<uid>"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "<time>"),
    (re.compile(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}"), "<time>"),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)? [+-]\d{4}"), "<time>"),
    (re.compile(r"/tmp/(LIVE|MERGED)-\d+/"), r"/tmp/\1/"),
    (re.compile(r'resourceVersion: "\d+"'), 'resourceVersion: "<version>"'),
    (re.compile(r"\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\b"), "<ip>"),
    (re.compile(r"\b(web|once)-[a-z0-9]{8,10}(-[a-z0-9]{5})?\b"), r"\1-<hash>"),
    (re.compile(r"pod-template-hash=\w+"), "pod-template-hash=<hash>"),
    (re.compile(r"kube-api-access-[a-z0-9]{5}\b"), "kube-api-access-<hash>"),
    (re.compile(r"(?<![\w.])(\d+[smhd])+(?![\w.])"), "<age>"),
    (re.compile(r"[ \t]+"), " "),
    (re.compile(r" +$", re.M), ""),
    (re.compile(r"^-{3,}$", re.M), "---"),
    # Now and then the real server's repair loop takes a cluster IP it has just given for a leak.
    (re.compile(r"^ Warning ClusterIPNotAllocated .*\n?", re.M), ""),
    (re.compile(r"^Events:\n Type Reason Age From Message\n -.*\n?\Z", re.M), "Events: <none>\n"),
)


def normal(text: str, namespace: str, nodes: list[str], server: str) -> str:
    """Without what differs from run to run."""
    names = (
        (namespace, "{namespace}"),
        *((node, "{node}") for node in nodes),
        (server, "{server}"),
    )
    for value, name in names:
        text = text.replace(value, name)
    for pattern, replacement in _NORMAL:
        text = pattern.sub(replacement, text)
    return text


def play(world, namespace, story):
    """The commands of a story with what they printed."""
    nodes = world.nodes()
    node = nodes[0]
    server = str(world._client.base_url).rstrip("/")
    result = {}
    for index, step in enumerate(STORIES[story]):
        words = step.words.replace("{namespace}", namespace).replace("{node}", node)
        first, *more = _split(words)
        stdin = step.stdin.replace("{node}", node)
        said = world.kubectl(first, *more, stdin=stdin, namespace=namespace)
        if not step.quiet:
            texts = [normal(text, namespace, nodes, server) for text in (said.out, said.err)]
            result[f"{index:02} {step.words}"] = {
                "code": said.code, "out": texts[0].splitlines(), "err": texts[1].splitlines()
            }  # fmt: skip
    return result


def _split(words: str) -> list[str]:
    """As a shell would, but with JSON left whole."""
    if "{" in words:
        return words.split()
    return shlex.split(words)


@pytest.mark.parametrize("story", STORIES)
def test_output_is_that_of_the_real_one(world, namespace, story):
    if world.kubectl_minor != live_tools.kubernetes_version().split(".")[1]:
        pytest.skip("needs kubectl of the version on record (make live-tools)")
    said = play(world, namespace, story)
    recorded = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    if world.name == "live" and os.environ.get("POOLWRIGHT_TEST_RECORD"):
        recorded[story] = said
        RECORD.write_text(json.dumps(recorded, indent=1, ensure_ascii=False) + "\n")
    known = DIFFERENCES if world.name == "embedded" else {}
    different = [
        f"kubectl {command}\n  real     {recorded[story].get(command)}\n  {world.name} {here}"
        for command, here in said.items()
        if here != recorded[story].get(command) and f"{story}: {command}" not in known
    ]
    assert not different, "\n".join([f"{len(different)} of {len(said)} differ", *different])
    same = [f"{story}: {command}" for command in said if said[command] == recorded[story][command]]
    stale = [line for line in same if line in known]
    assert not stale, f"no longer differs: delete the line {stale} from differences.json"
