"""A certificate authority for what is served over TLS."""

from __future__ import annotations

import pytest

from live_stack import Authority


@pytest.fixture
def authority(tmp_path):
    """Of two pairs for localhost: `server`, whose common name is first, and `other`, second."""
    made = Authority(tmp_path)
    made.issue("server", "first", names=("localhost",))
    made.issue("other", "second", names=("localhost",))
    return made
