"""The order of the suites.

What compares with a real Kubernetes comes last: its tools may still be being built meanwhile.
"""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent
LAST = ("behaviour", "live", "conformance_k8s")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """After the shuffle; the sort keeps the order within the suites."""
    items.sort(key=_place)


def _place(item) -> int:
    path = Path(item.fspath)
    suite = path.relative_to(HERE).parts[0] if HERE in path.parents else ""
    return LAST.index(suite) + 1 if suite in LAST else 0
