"""Kubernetes' own conformance binary, run spec by exact name against any cluster."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import time
import xml.etree.ElementTree as ET
from collections.abc import Sequence
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
_ALONE = ("[Serial]", "[Disruptive]")


@dataclass(frozen=True, slots=True)
class Spec:
    """A spec of the list, and what it takes on a real cluster."""

    name: str
    in_scope: bool
    seconds: float

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


def specs() -> list[Spec]:
    """The list."""
    return [Spec(**item) for item in json.loads((HERE / "specs.json").read_text())["specs"]]


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
    processes: int = 4,
    seconds: float = 3600,
) -> list[Outcome]:
    """Run these specs: those that may have company in some processes, then the others alone."""
    together = shards([spec for spec in chosen if not spec.is_alone], processes)
    alone = [spec for spec in chosen if spec.is_alone]
    outcomes: dict[str, Outcome] = {}
    deadline = time.monotonic() + seconds
    for number, round_ in enumerate([together, [alone] if alone else []]):
        running = []
        try:
            for index, shard in enumerate(round_):
                folder = reports / f"{number}-{index}"
                folder.mkdir(parents=True, exist_ok=True)
                command = [str(binary), f"--kubeconfig={kubeconfig}", f"--kubectl-path={kubectl}"]
                command += [*FLAGS, f"--report-dir={folder}", f"--ginkgo.focus={_focus(shard)}"]
                running.append((folder, shard, _start(command, folder)))
            for _, _, process in running:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(max(1, deadline - time.monotonic()))
        finally:
            for _, _, process in running:
                process.kill()
                process.wait()
        for folder, shard, process in running:
            found = _read(folder / "junit_01.xml")
            for spec in shard:
                lost = f"no result; see {folder}/output (exit code {process.returncode})"
                missing = Outcome(spec.name, "not run", 0, lost)
                outcomes[spec.name] = found.get(spec.name, missing)
    return [outcomes[spec.name] for spec in chosen]


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
