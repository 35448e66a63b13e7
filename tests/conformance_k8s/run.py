"""``make conformance-k8s``: Kubernetes' own conformance specs against the embedded Kubernetes.

Prints a line per spec, keeps ``results.json`` (the whole list only) and exits 1 if a spec that the
list of exceptions does not name has not passed.
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

import live_tools

from conformance_k8s import suite
from embedded_stack import EmbeddedStack
from live_stack import LiveStack

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
EXCEPTIONS = HERE / "exceptions.json"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-k", "--match", default="", help="only specs whose name has this regex")
    parser.add_argument("--failed", action="store_true", help="only those that failed last time")
    parser.add_argument("--live", action="store_true", help="on the real stack instead")
    parser.add_argument("--kubeconfig", type=Path, help="on this cluster instead")
    parser.add_argument("--processes", type=int, default=4, help="specs run beside each other")
    parser.add_argument("--seconds", type=float, default=3600, help="the longest it may take")
    parser.add_argument("--reports", type=Path, help="keep what the binary writes there")
    return parser.parse_args()


def _chosen(options: argparse.Namespace) -> list[suite.Spec]:
    chosen = [spec for spec in suite.specs() if re.search(options.match, spec.name)]
    if options.failed:
        last = json.loads(RESULTS.read_text())["specs"]
        chosen = [spec for spec in chosen if last[spec.name]["result"] != "passed"]
    return chosen


def _keep(outcomes: list[suite.Outcome], version: str) -> None:
    specs = {
        item.name: {
            "result": item.result,
            "seconds": round(item.seconds, 1),
            **({"message": item.message.splitlines()[0][:300]} if item.message else {}),
        }
        for item in outcomes
    }
    command = ("git", "-C", str(HERE), "rev-parse", "HEAD")
    commit = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    document = {"kubernetes": version, "commit": commit, "specs": specs}
    RESULTS.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")


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
    if len(chosen) == len(suite.specs()) and not options.live:
        _keep(outcomes, version)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
