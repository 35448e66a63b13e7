"""The azapi provider of Terraform, as published, driven by OpenTofu through ``examples/``."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from absent import live_binaries
from server_process import ServerProcess

pytestmark = [pytest.mark.live, pytest.mark.slow]

EXAMPLE = Path(__file__).parent.parent.parent / "examples/terraform/main.tf"
NO_CHANGES, CHANGES = 0, 2
"""Exit codes of ``plan -detailed-exitcode``."""


class Terraform:
    """A working folder with the example in it."""

    def __init__(self, tofu: Path, provider: Path, folder: Path, environment: dict[str, str]):
        self._tofu = tofu
        self._folder = folder
        shutil.copy(EXAMPLE, folder)
        settings = folder / "tofurc"
        settings.write_text(
            "provider_installation {\n"
            f'  dev_overrides {{ "registry.opentofu.org/Azure/azapi" = "{provider.parent}" }}\n'
            "}\n"
        )
        self._environment = {
            **environment,
            "TF_CLI_CONFIG_FILE": str(settings),
            "TF_IN_AUTOMATION": "1",
            # This release knows no "custom"; the endpoints in the environment are what counts.
            "ARM_ENVIRONMENT": "public",
        }

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self._tofu), *words, "-no-color"],
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )

    def apply(self, **variables: int) -> subprocess.CompletedProcess[str]:
        return self("apply", "-auto-approve", *_variables(variables))

    def plan(self, **variables: int) -> int:
        return self("plan", "-detailed-exitcode", *_variables(variables)).returncode

    def output(self):
        return json.loads(self("output", "-json").stdout)["gpu"]["value"]


def _variables(values: dict[str, int]) -> list[str]:
    return [f"-var={name}={value}" for name, value in values.items()]


@pytest.fixture
def terraform(tmp_path):
    tools = live_binaries("tofu", "terraform-provider-azapi")
    server = ServerProcess(tmp_path / "data", config="[arm]\nretry_after_ms = 100\n")
    server.start()
    yield Terraform(*tools.values(), tmp_path, server.environment())
    assert server.stop() == 0


def test_a_pool_is_made_changed_refused_and_destroyed(terraform):
    made = terraform.apply()
    assert made.returncode == 0, made.stderr
    assert "3 added, 0 changed, 0 destroyed" in made.stdout
    assert terraform.output() == {"count": 1, "provisioningState": "Succeeded"}
    assert terraform.plan() == NO_CHANGES

    assert terraform.plan(gpu_nodes=2) == CHANGES
    changed = terraform.apply(gpu_nodes=2)
    assert "0 added, 1 changed, 0 destroyed" in changed.stdout, changed.stderr
    assert terraform.output() == {"count": 2, "provisioningState": "Succeeded"}

    refused = terraform.apply(gpu_nodes=2000)
    assert refused.returncode == 1
    assert "RESPONSE 400" in refused.stderr
    assert "ERROR CODE: InvalidParameter" in refused.stderr
    assert '"target": "agentPoolProfile.count"' in refused.stderr
    assert terraform.plan(gpu_nodes=2) == NO_CHANGES

    gone = terraform("destroy", "-auto-approve")
    assert "3 destroyed" in gone.stdout, gone.stderr
