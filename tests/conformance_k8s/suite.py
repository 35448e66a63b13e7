"""Kubernetes' own conformance binary, run spec by exact name against any cluster."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import time
import xml.etree.ElementTree as ET
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
FLAGS = (
    "--provider=skeleton",
    "--allowed-not-ready-nodes=-1",
    "--minStartupPods=0",
    "--system-pods-startup-timeout=0",
    "--dump-logs-on-failure=false",
    "--disable-log-dump=true",
    "--ginkgo.no-color",
    "--ginkgo.silence-skips",
)
DOUBT_SECONDS = 150
_ALONE = ("[Serial]", "[Disruptive]")


@dataclass(frozen=True, slots=True)
class Spec:
    """A spec of the list, and what it takes on a real cluster (outside the list: about, here)."""

    name: str
    seconds: float
    in_scope: bool = True

    @property
    def is_alone(self) -> bool:
        """Whether nothing else may run beside it."""
        return any(mark in self.name for mark in _ALONE)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a spec: passed, failed, or not run (no such spec, or skipped by itself)."""

    name: str
    result: str
    seconds: float
    message: str = ""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why specs outside the list do not pass. ``match`` are regexes of names; of those with
    ``runs`` false it is known without running them.
    """

    why: str
    match: Sequence[str]
    runs: bool = True

    def names(self, name: str) -> bool:
        """Whether it is the reason of this spec."""
        return any(re.search(each, name) for each in self.match)


def specs() -> list[Spec]:
    """The list."""
    return _specs("specs.json")


def outside() -> list[Spec]:
    """Kubernetes' own specs of the same areas outside the list."""
    return _specs("outside.json")


def outside_reasons() -> list[Reason]:
    """Why some of them do not pass; the first that names a spec is its reason."""
    return [Reason(**item) for item in json.loads((HERE / "outside_reasons.json").read_text())]


def _specs(file: str) -> list[Spec]:
    return [Spec(**item) for item in json.loads((HERE / file).read_text())["specs"]]


def shards(chosen: Sequence[Spec], count: int) -> list[list[Spec]]:
    """Specs dealt to processes so that each takes about as long; the longest come first."""
    result: list[list[Spec]] = [[] for _ in range(count)]
    for spec in sorted(chosen, key=lambda item: -item.seconds):
        min(result, key=lambda shard: sum(item.seconds + 1 for item in shard)).append(spec)
    return [shard for shard in result if shard]


def run(
    binary: Path,
    kubectl: Path,
    kubeconfig: Path,
    chosen: Sequence[Spec],
    reports: Path,
    *,
    doubtful: Collection[str] = (),
    processes: int = 4,
    seconds: float = 3600,
) -> list[Outcome]:
    """Run these specs: those that may have company in some processes, then the others alone.

    The doubtful ones, which are expected to fail, have processes of their own and less patience.
    """
    together = [spec for spec in chosen if not spec.is_alone and spec.name not in doubtful]
    alone = [spec for spec in chosen if spec.is_alone]
    doubted = [spec for spec in chosen if not spec.is_alone and spec.name in doubtful]
    command = (str(binary), f"--kubeconfig={kubeconfig}", f"--kubectl-path={kubectl}", *FLAGS)
    rounds = (
        ("together", shards(together, processes), seconds),
        ("alone", [alone] if alone else [], seconds),
        ("doubtful", shards(doubted, 2 * processes), DOUBT_SECONDS),
    )
    outcomes: dict[str, Outcome] = {}
    for name, dealt, patience in rounds:
        outcomes |= _round(command, dealt, reports / name, patience)
    return [outcomes[spec.name] for spec in chosen]


def _round(
    command: Sequence[str], dealt: Sequence[Sequence[Spec]], reports: Path, seconds: float
) -> dict[str, Outcome]:
    """Run each hand of specs in a process, all beside each other."""
    running: list[tuple[Path, Sequence[Spec], subprocess.Popen[bytes]]] = []
    deadline = time.monotonic() + seconds
    try:
        for index, hand in enumerate(dealt):
            folder = reports / str(index)
            folder.mkdir(parents=True, exist_ok=True)
            more = (f"--report-dir={folder}", f"--ginkgo.focus={_focus(hand)}")
            running.append((folder, hand, _start([*command, *more], folder)))
        for _, _, process in running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0, deadline - time.monotonic()))
    finally:
        for _, _, process in running:
            if process.poll() is None:
                process.terminate()  # it reports what it has, and clears up
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    outcomes = {}
    for folder, hand, process in running:
        found = _read(folder / "junit_01.xml")
        for spec in hand:
            lost = f"no result; see {folder}/output (exit code {process.returncode})"
            missing = Outcome(spec.name, "not run", 0, lost)
            outcomes[spec.name] = found.get(spec.name, missing)
    return outcomes


def _focus(shard: Sequence[Spec]) -> str:
    """A regular expression of exactly these names, as Go reads it."""
    names = [re.sub(r"([\\.+*?()|\[\]{}^$])", r"\\\1", spec.name) for spec in shard]
    return f" ({'|'.join(names)})$"  # the name of the whole suite comes before it


def _start(command: list[str], folder: Path) -> subprocess.Popen[bytes]:
    with (folder / "output").open("wb") as output:
        return subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, "HOME": str(folder)},
        )


def _read(junit: Path) -> dict[str, Outcome]:
    """The specs of a report that were run, by name."""
    if not junit.exists():
        return {}
    result = {}
    for case in ET.parse(junit).iter("testcase"):
        status = case.get("status", "")
        if status == "skipped":
            continue
        name = case.get("name", "").removeprefix("[It] ")
        problem = case.find("failure")
        if problem is None:
            problem = case.find("error")
        message = "" if problem is None else problem.get("message") or problem.text or ""
        lines = [line.strip() for line in message.splitlines() if line.strip()]
        outcome = "passed" if status == "passed" else "failed"
        result[name] = Outcome(name, outcome, float(case.get("time", 0)), " | ".join(lines))
    return result
