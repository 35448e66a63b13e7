"""The real helm; it is the last of the live tools to be built."""

from __future__ import annotations

import pytest

from absent import live_binaries
from helm_chart import Helm


@pytest.fixture(scope="session")
def helm(tmp_path_factory):
    return Helm(live_binaries("helm")["helm"], tmp_path_factory.mktemp("helm"))
