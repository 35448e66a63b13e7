"""A server that is told to end."""

from __future__ import annotations

import subprocess
import sys

import pytest

from behaviour.world import connect
from embedded_stack import EmbeddedStack

AT_ONCE = """
import os, signal, sys
from poolwright.app import server

announce = server._announce

def and_end(*told):
    announce(*told)
    os.kill(os.getpid(), signal.SIGTERM)

server._announce = and_end
server.serve(None, {"server.data_dir": sys.argv[1], "server.port": 0})
"""


@pytest.mark.slow
def test_a_server_that_is_stopped_as_soon_as_it_is_ready_ends_well(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", AT_ONCE, str(tmp_path / "data")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("ready ")


@pytest.mark.slow
def test_watches_end_with_a_whole_answer(tmp_path):
    stack = EmbeddedStack(tmp_path, nodes=1, stays_fast=True)
    stack.start()
    try:
        with (
            connect(stack.kubeconfig) as client,
            client.stream("GET", "api/v1/namespaces", params={"watch": "true"}) as watch,
        ):
            lines = watch.iter_lines()
            assert "ADDED" in next(lines)
            assert stack.server.stop() == 0
            assert all(lines), "to its end, or httpx would have raised"
        assert stack.server.log() == ""
    finally:
        stack.stop()
