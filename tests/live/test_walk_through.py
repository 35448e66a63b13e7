"""The walk-through of managed GPU pools on a Kubernetes that was there already, with the real az
and kubectl: the same script, and nearly all of it, as on the embedded world.
"""

from __future__ import annotations

import pytest

from absent import live_binaries
from live_stack import COMPONENTS, LiveStack
from server_process import ServerProcess
from walk_through import check_managed_gpu, need_clients, one_az, walk

pytestmark = pytest.mark.live

CONFIG = """
[adopt]
kubeconfig = "{kubeconfig}"
resource_group = "MyResourceGroup"
cluster_name = "MyAKSCluster"
[arm]
retry_after_ms = 100
feature_registration = "PT2S"
[cloud]
delay_factor = 0.02
"""
"""Time is real there, so what takes minutes takes seconds; az asks ten times a second."""


def test_managed_gpu_pools(tmp_path):
    need_clients()
    live_binaries(*COMPONENTS)
    stack = LiveStack(tmp_path / "live", nodes=1, by_annotation=True)
    config = CONFIG.format(kubeconfig=stack.kubeconfig)
    server = ServerProcess(tmp_path / "data", speed=1, config=config)
    stack.start()
    try:
        server.start()
        with one_az(tmp_path, server.environment()) as environment:
            transcript = walk("02_managed_gpu.sh", {**environment, "REAL_KUBERNETES": "1"})
        assert server.stop() == 0
        assert "Traceback" not in server.log()
    finally:
        if server.process is not None:
            server.kill()
        stack.stop()
    check_managed_gpu(transcript, ("byo", "gpual", "gpunp"))
    assert [command.split()[1] for command in transcript.left_out] == ["aks", "exec", "get", "logs"]
