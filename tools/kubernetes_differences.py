"""The page of how the embedded Kubernetes compares with the real one, as its suites found."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
SUITE = ROOT / "tests/conformance_k8s"
BEHAVIOUR = ROOT / "tests/behaviour"
_SPECS_SHOWN = 3
"""Specs named under one reason."""
_SHOWN = 12
"""Requests named under one reason; the file has them all."""


def _read(path: Path) -> Any:
    return json.loads(path.read_text())


def page() -> str:
    """The whole page."""
    title = "# The embedded Kubernetes and the real one\n"
    parts = [title, _conformance(), _outside(), _behaviour()]
    return "\n".join(parts)


def _conformance() -> str:
    specs = _read(SUITE / "specs.json")
    results: Mapping[str, Any] = _read(SUITE / "results.json")["specs"]
    reasons: Mapping[str, str] = _read(SUITE / "exceptions.json")
    names = [spec["name"] for spec in specs["specs"]]
    scope = [spec["name"] for spec in specs["specs"] if spec["in_scope"]]

    def passed(among: list[str]) -> str:
        count = sum(results[name]["result"] == "passed" for name in among)
        return f"{count} of {len(among)}"

    text = [
        "## Kubernetes' own conformance specs\n",
        f"`make conformance-k8s` runs e2e.test {specs['kubernetes']} by exact names against a "
        "server started with `poolwright up`: the conformance specs that pass on a real "
        "kube-apiserver, controller manager and scheduler whose nodes run no containers (KWOK). "
        "The others need real containers; use a real cluster for what they test.\n",
        f"**{passed(scope)} pass of those within [scope](../../SCOPE.md), {passed(names)} in "
        "all.** Those that do not:\n",
        "| spec | in scope | why |",
        "|---|---|---|",
    ]
    for spec in specs["specs"]:
        name = spec["name"]
        if results[name]["result"] != "passed":
            why = reasons.get(name) or results[name].get("message", "")
            scoped = "yes" if spec["in_scope"] else "no"
            text.append(f"| {_plain(name)} | {scoped} | {_cell(why)} |")
    text += ["\nThose that do:\n"]
    text += [f"- {_plain(name)}" for name in names if results[name]["result"] == "passed"]
    return "\n".join([*text, ""])


def _outside() -> str:
    """The specs outside the list: how many were run, how many pass, and why not the others."""
    names: list[str] = [spec["name"] for spec in _read(SUITE / "outside.json")["specs"]]
    found: Mapping[str, Any] = _read(SUITE / "outside_results.json")["specs"]
    results = {n: found[n]["result"] for n in names if n in found}
    results = {name: result for name, result in results.items() if result != "not run"}
    passed = [name for name in names if results.get(name) == "passed"]
    others = [name for name in names if name not in passed]
    rows: list[str] = []
    for reason in _read(SUITE / "outside_reasons.json"):
        mine = [n for n in others if any(re.search(each, n) for each in reason["match"])]
        others = [name for name in others if name not in mine]
        tried = sum(name in results for name in mine)
        shown = "; ".join(_plain(name) for name in mine[:_SPECS_SHOWN])
        rest = f"; and {len(mine) - _SPECS_SHOWN} more" if len(mine) > _SPECS_SHOWN else ""
        if mine:
            rows.append(f"| {_cell(reason['why'])} | {len(mine)} | {tried} | {shown}{rest} |")
    if others:
        rows.append(f"| not run yet | {len(others)} | 0 | |")
    text = [
        "### Specs outside the list\n",
        "Kubernetes' suite has more specs of the areas that node pools meet: api-machinery, apps, "
        "scheduling, auth and instrumentation, and of sig-node those about objects, taints, "
        "leases and pods. `python -m conformance_k8s.run --outside` runs them, but for those of "
        "which it is known that they cannot pass.\n",
        f"**Of {len(names)}, {len(results)} were tried and {len(passed)} pass.** The others:\n",
        "| why not | specs | tried | which |",
        "|---|---|---|---|",
        *rows,
    ]
    return "\n".join([*text, ""])


def _behaviour() -> str:
    known = _read(BEHAVIOUR / "differences.json")
    commands = sum(map(len, _read(BEHAVIOUR / "kubectl_output.json").values()))
    requests = len(_read(BEHAVIOUR / "request_answers.json"))
    different = sum(map(len, known["requests"].values()))
    text = [
        "## Behaviour beside the real one\n",
        "`tests/behaviour` tells the same stories, types the same kubectl commands and sends the "
        "same requests to both (`make live-tools`, `make live`).\n",
        "### Stories that end otherwise\n",
        *(_rows("story", known["stories"]) or ["None.\n"]),
        f"### kubectl: {len(known['kubectl'])} of {commands} commands print something else\n",
        *(_rows("command", known["kubectl"]) or ["None.\n"]),
        f"### Requests: {different} of {requests} are answered otherwise\n",
    ]
    for reason, names in known["requests"].items():
        text.append(f"**{len(names)}: {reason}.**\n")
        shown = ", ".join(f"`{name}`" for name in names[:_SHOWN])
        rest = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        text.append(f"{shown}{rest}\n")
    return "\n".join(text)


def _rows(title: str, known: Mapping[str, str]) -> list[str]:
    if not known:
        return []
    rows = [f"| `{_cell(name)}` | {_cell(reason)} |" for name, reason in known.items()]
    return [f"| {title} | why |", "|---|---|", *rows, ""]


def _plain(name: str) -> str:
    return _cell(name.removesuffix(" [Conformance]")).replace("[", "\\[")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
