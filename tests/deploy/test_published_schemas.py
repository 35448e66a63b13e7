"""What the chart renders, held against the schemas that others publish for it: Kubernetes' own, the
Prometheus operator's and cert-manager's. Their controllers are not here; their definitions are.
"""

from __future__ import annotations

import subprocess

import pytest
import yaml

from absent import live_binaries
from helm_chart import CHART, VALUES, one
from live_stack import live_tools

pytestmark = pytest.mark.live

FULL = CHART / "ci/full.yaml"
DEFINITIONS = (live_tools.SERVICE_MONITORS, live_tools.CERTIFICATES)
APPLY = ("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-")
NAMESPACE = "schemas"
WORDS = ("--set", f"settings.control.components_namespace={NAMESPACE}")


class Served:
    """A Kubernetes with those definitions, and which kinds of the chart it does not know."""

    def __init__(self, stack, unknown=frozenset()):
        self._stack = stack
        self._unknown = unknown
        self._files = [live_tools.document(each) for each in DEFINITIONS]

    def kubectl(self, *words, stdin=None):
        binary = live_tools.require("kubectl")["kubectl"]
        return subprocess.run(
            [str(binary), "--kubeconfig", str(self._stack.kubeconfig), *map(str, words)],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def prepare(self):
        for file in self._files:
            self._must("apply", "--server-side", "-f", file)
            self._must("wait", "--for=condition=Established", "--timeout=30s", "-f", file)
        self._must("create", "namespace", NAMESPACE)

    def clear(self):
        for file in self._files:
            self.kubectl("delete", "--ignore-not-found", "-f", file)
        self.kubectl("delete", "namespace", "--ignore-not-found", "--wait=false", NAMESPACE)

    def _must(self, *words):
        done = self.kubectl(*words)
        assert done.returncode == 0, done.stderr

    def take(self, objects):
        """Strictly, and without keeping them; what is said of it, and of how many."""
        known = [each for each in objects if each["kind"] not in self._unknown]
        return self.kubectl(*APPLY, stdin=yaml.safe_dump_all(known)), len(known)


@pytest.fixture(scope="module", params=["real", "embedded"])
def served(request):
    live_binaries("kubectl", "helm")
    try:
        if request.param == "real":
            served = Served(request.getfixturevalue("shared_cluster"))
        else:
            served = Served(request.getfixturevalue("embedded"), {"NetworkPolicy"})
    except live_tools.ToolsMissing as error:
        pytest.skip(str(error))
    try:
        served.prepare()
        yield served
    finally:
        served.clear()


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
def test_every_object_is_taken(helm, served, values):
    done, count = served.take(helm.render(values, *WORDS, namespace=NAMESPACE))
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == count


_ENDPOINT = ("spec", "endpoints", 0)
WRONG = {
    "unknown field of a monitor": ("ServiceMonitor", (*_ENDPOINT, "intervall"), "30s", "intervall"),
    "interval of a monitor": ("ServiceMonitor", (*_ENDPOINT, "interval"), "soon", "interval"),
    "secret of a monitor": (
        "ServiceMonitor",
        (*_ENDPOINT, "oauth2", "clientSecret"),
        {"name": "scraper"},
        "clientSecret.key",
    ),
    "unknown field of a certificate": ("Certificate", ("spec", "dnsName"), "a", "dnsName"),
    "algorithm of a certificate": (
        "Certificate",
        ("spec", "privateKey", "algorithm"),
        "DSA",
        "spec.privateKey.algorithm",
    ),
    "usage of a certificate": ("Certificate", ("spec", "usages", 0), "serving", "spec.usages[0]"),
}
"""A kind, where in it is what instead, and what the refusal names."""


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_refused(helm, served, wrong):
    """So it is their schemas that judge."""
    kind, (*path, last), value, named = WRONG[wrong]
    changed = one(helm.render(FULL, *WORDS, namespace=NAMESPACE), kind)
    inner = changed
    for name in path:
        inner = inner[name]
    inner[last] = value
    done, _ = served.take([changed])
    assert done.returncode == 1, done.stdout
    assert named in done.stderr
