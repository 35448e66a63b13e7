"""``make conformance-k8s``: Kubernetes' own conformance specs against the embedded Kubernetes.

Prints a line per spec, keeps ``results.json`` (the whole list only) and exits 1 if a spec that the
list of exceptions does not name has not passed. With ``--outside``, specs of the same areas that
are not on the list; the result of each is kept whenever it is run.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import live_tools

from conformance_k8s import suite
from embedded_stack import EmbeddedStack
from live_stack import LiveStack

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
EXCEPTIONS = HERE / "exceptions.json"
OUTSIDE = HERE / "outside_results.json"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-k", "--match", default="", help="only specs whose name has this regex")
    parser.add_argument("--failed", action="store_true", help="only those that failed last time")
    parser.add_argument("--outside", action="store_true", help="those outside the list")
    parser.add_argument("--live", action="store_true", help="on the real stack instead")
    parser.add_argument("--kubeconfig", type=Path, help="on this cluster instead")
    parser.add_argument("--processes", type=int, default=4, help="specs run beside each other")
    parser.add_argument("--seconds", type=float, default=3600, help="the longest it may take")
    parser.add_argument("--reports", type=Path, help="keep what the binary writes there")
    return parser.parse_args()


def _chosen(options: argparse.Namespace) -> list[suite.Spec]:
    listed = suite.specs()
    if options.outside:
        idle = [reason for reason in suite.outside_reasons() if not reason.runs]
        listed = [s for s in suite.outside() if not any(r.names(s.name) for r in idle)]
    chosen = [spec for spec in listed if re.search(options.match, spec.name)]
    if options.failed:
        last = _last(OUTSIDE if options.outside else RESULTS)["specs"]
        chosen = [s for s in chosen if last.get(s.name, {}).get("result") != "passed"]
    return chosen


def _last(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text()) if file.exists() else {"specs": {}}


def _record(item: suite.Outcome) -> dict[str, Any]:
    found: dict[str, Any] = {"result": item.result, "seconds": round(item.seconds, 1)}
    if item.message:
        found["message"] = item.message.splitlines()[0][:300]
    return found


def _commit() -> str:
    command = ("git", "-C", str(HERE), "rev-parse", "HEAD")
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def _keep(outcomes: list[suite.Outcome], version: str) -> None:
    specs = {item.name: _record(item) for item in outcomes}
    _write(RESULTS, {"kubernetes": version, "commit": _commit(), "specs": specs})


def _keep_outside(outcomes: list[suite.Outcome], version: str, commit: str) -> None:
    """Each with the commit at which it was run."""
    known = _last(OUTSIDE)["specs"]
    known |= {item.name: {**_record(item), "commit": commit} for item in outcomes}
    kept = {s.name: known[s.name] for s in suite.outside() if s.name in known}
    _write(OUTSIDE, {"kubernetes": version, "specs": kept})


def _write(file: Path, document: dict[str, Any]) -> None:
    file.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")


def main() -> int:
    options = _arguments()
    try:
        tools = live_tools.require("e2e.test", "kubectl")
    except live_tools.ToolsMissing as error:
        print(f"conformance-k8s: {error}", file=sys.stderr)
        return 1
    chosen = _chosen(options)
    folder = Path(tempfile.mkdtemp(prefix="conformance-k8s-"))
    version = live_tools.kubernetes_version()
    stack = None
    if options.kubeconfig is None:
        stack = LiveStack(folder) if options.live else EmbeddedStack(folder, version=version)
        stack.start()
    exceptions = {} if options.live else json.loads(EXCEPTIONS.read_text())
    if options.outside:
        known = suite.outside_reasons()
        doubted = [s for s in chosen if any(r.names(s.name) for r in known)]
        exceptions = {spec.name: "" for spec in doubted}
    commit = _commit()
    began = time.monotonic()
    try:
        outcomes = suite.run(
            tools["e2e.test"],
            tools["kubectl"],
            options.kubeconfig or stack.kubeconfig,
            chosen,
            options.reports or folder / "reports",
            doubtful=exceptions,
            processes=options.processes,
            seconds=options.seconds,
        )
    finally:
        if stack is not None:
            stack.stop()
    for outcome in outcomes:
        print(f"{outcome.result:8} {outcome.seconds:7.1f}  {outcome.name}")
        if outcome.message:
            print(f"         {outcome.message.splitlines()[0][:200]}")
    bad = [item for item in outcomes if item.result != "passed" and item.name not in exceptions]
    passed = sum(item.result == "passed" for item in outcomes)
    print(f"{passed} of {len(outcomes)} passed in {time.monotonic() - began:.0f} s")
    if options.live:
        return 1 if bad else 0
    if options.outside:
        _keep_outside(outcomes, version, commit)
        return 0  # every one that does not pass has its reason: test_conformance.py
    if len(chosen) == len(suite.specs()):
        _keep(outcomes, version)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
