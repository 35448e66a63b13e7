"""Whole rollouts, one line per action with its time and reason, for people to read.

``POOLWRIGHT_UPDATE_GOLDEN=1 pytest tests/plan/test_pool_golden.py`` writes them anew.
"""

import os
from pathlib import Path

import pytest

from plan.pool_world import IMAGE, OLD_IMAGE, Sandbox, gpu_spec, name_of, pod, pool_spec
from poolwright.model.agent_pool import ProvisioningState, UpgradeSettings
from poolwright.model.pod import Budget

GOLDEN = Path(__file__).parent.parent / "golden"
STATE = ProvisioningState


def workload(box):
    for index in range(len(box.machines)):
        box.pods.setdefault(name_of(index), []).append(pod(f"web-{index}", name_of(index)))
    return box


def create_managed_gpu():
    return Sandbox(gpu_spec(count=2))


def scale_down():
    return workload(Sandbox(pool_spec()).settled(3)).change(STATE.SCALING, count=1)


def upgrade_with_surge():
    settings = UpgradeSettings(max_surge="33%", node_soak_duration_in_minutes=5)
    spec = pool_spec(node_image_version=OLD_IMAGE, upgrade_settings=settings)
    return workload(Sandbox(spec).settled(3)).change(STATE.UPGRADING, node_image_version=IMAGE)


def upgrade_in_place():
    settings = UpgradeSettings(max_surge="0", max_unavailable="1")
    spec = pool_spec(node_image_version=OLD_IMAGE, upgrade_settings=settings)
    return workload(Sandbox(spec).settled(3)).change(STATE.UPGRADING, node_image_version=IMAGE)


def upgrade_behind_a_budget():
    box = workload(Sandbox(pool_spec(count=2, node_image_version=OLD_IMAGE)).settled(2))
    box.budgets = {"default": [Budget("default", "web", {"app": "web"}, 0)]}
    return box.change(STATE.UPGRADING, node_image_version=IMAGE)


@pytest.mark.parametrize(
    "story",
    [
        create_managed_gpu,
        scale_down,
        upgrade_with_surge,
        upgrade_in_place,
        upgrade_behind_a_budget,
    ],
    ids=lambda story: story.__name__,
)
def test_rollout_reads_as_recorded(story):
    box = story()
    box.run()
    text = "\n".join(box.log) + "\n"
    path = GOLDEN / f"{story.__name__}.golden"
    if os.environ.get("POOLWRIGHT_UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()
