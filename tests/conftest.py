"""The order of the suites, and what is said of those that were skipped.

What compares with a real Kubernetes comes last: its tools may still be being built meanwhile.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from pathlib import Path
from urllib.error import HTTPError

import pytest

from absent import live_binaries
from live_stack import COMPONENTS, LiveStack
from poolwright.providers.kwok.node_object import OWNED

HERE = Path(__file__).parent
ACCOUNT = "system:serviceaccount:poolwright:poolwright"
OWNER = "/api/v1/namespaces/kube-system/configmaps/poolwright-owner"
LAST = ("churn", "behaviour", "pool_stories", "live", "conformance_k8s", "deploy")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """After the shuffle; the sort keeps the order within the suites."""
    items.sort(key=_place)


def _place(item) -> int:
    if item.get_closest_marker("live"):
        return LAST.index("live") + 1
    path = Path(item.fspath)
    suite = path.relative_to(HERE).parts[0] if HERE in path.parents else ""
    return LAST.index(suite) + 1 if suite in LAST else 0


def pytest_terminal_summary(terminalreporter):
    """One line per reason, however many tests it skipped."""
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ") if report.longrepr else ""
        for report in terminalreporter.stats.get("skipped", [])
    )
    for reason, count in sorted(reasons.items()):
        terminalreporter.write_line(f"skipped {count}: {reason}")


@pytest.fixture(scope="session")
def shared_cluster(tmp_path_factory):
    """One real Kubernetes for all that manage nodes on it: its KWOK plays only the nodes that ask
    for it, and what the account of deploy/kubernetes asks for is audited.
    """
    live_binaries(*COMPONENTS, "kubectl")
    stack = LiveStack(
        tmp_path_factory.mktemp("shared"), nodes=1, by_annotation=True, audited=[ACCOUNT]
    )
    stack.start()
    yield stack
    stack.stop()


@pytest.fixture(autouse=True)
def given_up(request):
    """The shared cluster is nobody's once a test is over, and has no Nodes of machines: the next
    test comes with its own store.
    """
    yield
    if "shared_cluster" in request.fixturenames:  # by now also what a fixture asked for itself
        stack = request.getfixturevalue("shared_cluster")
        with suppress(HTTPError):
            stack.request("DELETE", OWNER)
        stack.request("DELETE", f"/api/v1/nodes?labelSelector={OWNED}")
