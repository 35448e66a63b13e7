"""What the chart renders: valid, locked down, and refused where the values are wrong."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib

import pytest
import yaml

from absent import missing
from helm_chart import ACCOUNT, CHART, VALUES, HelmFailed, one, pod_specs
from live_stack import live_tools
from poolwright.app.settings import load_settings
from poolwright.arm.resource_groups import check_group_name
from poolwright.model.errors import InvalidRequest

pytestmark = pytest.mark.slow

LEAST = CHART / "ci/least.yaml"
FULL = CHART / "ci/full.yaml"
BARE = CHART / "ci/bare.yaml"
UNSERVED = {"NetworkPolicy", "Certificate", "ServiceMonitor"}
"""Kinds that the embedded Kubernetes does not know; the real one knows the first."""
each_values = pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)


@each_values
def test_lint_has_nothing_to_say(helm, values):
    said = helm("lint", "--strict", CHART, "-f", values)
    assert "WARNING" not in said
    assert "ERROR" not in said


@each_values
def test_pods_are_restricted(helm, values):
    """Kubernetes' Pod Security Standards, "restricted", and a root file system nobody writes to."""
    specs = pod_specs(helm.render(values))
    assert specs
    for spec in specs.values():
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
        pod = spec["securityContext"]
        assert pod["runAsNonRoot"] is True
        assert pod["runAsUser"] > 0
        assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
        allowed = {"configMap", "secret", "emptyDir", "projected", "name"}
        assert all(volume.keys() <= allowed for volume in spec["volumes"])
        assert all(volume["emptyDir"]["sizeLimit"] for volume in spec["volumes"] if _empty(volume))
        for container in spec["containers"]:
            context = container["securityContext"]
            assert context == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert not any("hostPort" in port for port in container.get("ports", ()))
        # A Service called poolwright would be POOLWRIGHT_PORT, and that no setting.
        assert spec["enableServiceLinks"] is False


def _empty(volume):
    return "emptyDir" in volume


@each_values
def test_only_the_servers_are_somebody_to_the_cluster(helm, values):
    specs = pod_specs(helm.render(values))
    assert specs["server"]["automountServiceAccountToken"] is True
    if "migrate" in specs:
        assert specs["migrate"]["automountServiceAccountToken"] is False
        assert "serviceAccountName" not in specs["migrate"]


@each_values
def test_no_secret_is_in_what_is_rendered(helm, values):
    objects = helm.render(values)
    assert "Secret" not in {each["kind"] for each in objects}
    text = json.dumps(objects)
    assert "postgresql://" not in text
    assert "secret_sha256" not in text
    server = pod_specs(objects)["server"]["containers"][0]
    assert {entry["name"] for entry in server["env"]} == {
        "POOLWRIGHT_SERVER__STORE",
        "POOLWRIGHT_ARM__CLIENTS",
    }
    assert all("secretKeyRef" in entry["valueFrom"] for entry in server["env"])


@each_values
def test_the_server_takes_the_settings(helm, values, tmp_path):
    """Read as the server reads them; numbers come through helm as floats."""
    text = one(helm.render(values), "ConfigMap")["data"]["poolwright.toml"]
    (tmp_path / "poolwright.toml").write_text(text)
    settings = load_settings(tmp_path / "poolwright.toml", {}, {})
    assert not settings.server.is_loopback
    assert not settings.arm.is_development
    assert not settings.server.migrates
    assert settings.world.speed == 1
    given = yaml.safe_load(values.read_text()).get("settings", {})
    read = tomllib.loads(text)
    for room, values_of_room in given.items():
        assert read[room] | values_of_room == read[room]


def test_settings_arrive(helm, tmp_path):
    objects = helm.render(FULL, namespace="ns")
    (tmp_path / "toml").write_text(one(objects, "ConfigMap")["data"]["poolwright.toml"])
    settings = load_settings(tmp_path / "toml", {}, {})
    assert settings.arm.retry_after_seconds == 2
    assert settings.arm.subscriptions[0].display_name == "Platform"
    assert settings.control.parallel == 32
    assert settings.adopt.cluster_name == "prod"
    assert settings.server.names == (
        "pools.ns.svc",
        "pools.ns.svc.cluster.local",
        "pools.example.com",
    )
    assert settings.server.token_keys == tuple(
        f"/etc/poolwright/tokens/{name}.pem" for name in ("new", "old")
    )
    kubeconfig = yaml.safe_load(one(objects, "ConfigMap")["data"]["kubeconfig"])
    assert kubeconfig["clusters"][0]["cluster"]["server"] == "https://kubernetes.example.com:6443"
    assert kubeconfig["users"][0]["user"] == {"tokenFile": f"{ACCOUNT}/token"}


def test_new_settings_replace_the_pods_and_more_servers_do_not(helm):
    def template(*words):
        return one(helm.render(LEAST, *words), "Deployment")["spec"]["template"]

    assert template() == template("--set", "replicaCount=5")
    assert template() != template("--set", "settings.log.level=debug")


@each_values
def test_pods_stay_off_machines_that_are_only_simulated(helm, values):
    for spec in pod_specs(helm.render(values)).values():
        required = spec["affinity"]["nodeAffinity"][
            "requiredDuringSchedulingIgnoredDuringExecution"
        ]
        assert required["nodeSelectorTerms"][0]["matchExpressions"] == [
            {"key": "poolwright.dev/machine-provider", "operator": "DoesNotExist"}
        ]


@each_values
def test_probes_and_time_to_end(helm, values):
    spec = pod_specs(helm.render(values))["server"]
    container = spec["containers"][0]
    paths = {
        name: (probe["httpGet"]["path"], probe["httpGet"]["scheme"], probe["httpGet"]["port"])
        for name, probe in container.items()
        if name.endswith("Probe")
    }
    assert paths == {
        "startupProbe": ("/livez", "HTTPS", "https"),
        "livenessProbe": ("/livez", "HTTPS", "https"),
        "readinessProbe": ("/readyz", "HTTPS", "https"),
    }
    drain = yaml.safe_load(values.read_text()).get("drainSeconds", 5)
    assert spec["terminationGracePeriodSeconds"] >= drain + 10


def test_a_budget_for_several_servers_only(helm):
    assert one(helm.render(LEAST), "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    alone = helm.render(LEAST, "--set", "replicaCount=1")
    assert "PodDisruptionBudget" not in {each["kind"] for each in alone}


def test_selectors_match_the_servers_and_not_the_job(helm):
    objects = helm.render(FULL)
    server = one(objects, "Deployment")["spec"]["template"]["metadata"]["labels"]
    job = one(objects, "Job")["spec"]["template"]["metadata"]["labels"]
    for selector in (
        one(objects, "Service")["spec"]["selector"],
        one(objects, "Deployment")["spec"]["selector"]["matchLabels"],
        one(objects, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        one(objects, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
    ):
        assert selector.items() <= server.items()
        assert not selector.items() <= job.items()


@each_values
def test_the_rights_are_those_of_the_files_and_the_servers(helm, values):
    objects = helm.render(values)
    roles = {each["metadata"]["name"]: each for each in objects if "rules" in each}
    bindings = [each for each in objects if "roleRef" in each]
    if values == BARE:
        assert not roles
        assert not bindings
        return
    given = [yaml.safe_load(file.read_text()) for file in sorted(CHART.glob("files/*-rules.yaml"))]
    assert len(given) == len(roles) == len(bindings)
    assert all(role["rules"] in given for role in roles.values())
    account = one(objects, "ServiceAccount")["metadata"]["name"]
    for binding in bindings:
        role = roles[binding["roleRef"]["name"]]
        assert role["kind"] == binding["roleRef"]["kind"]
        assert role["metadata"].get("namespace") == binding["metadata"].get("namespace")
        assert binding["subjects"] == [
            {"kind": "ServiceAccount", "name": account, "namespace": "poolwright"}
        ]


NEEDED = {
    "image.repository": "say where the image is",
    "store.existingSecret": "name a Secret with the URL of a PostgreSQL database",
    "clients.existingSecret": "name a Secret that says who may ask for tokens",
}


@pytest.mark.parametrize("path", NEEDED)
def test_what_is_needed_is_asked_for(helm, path):
    with pytest.raises(HelmFailed, match=NEEDED[path]):
        helm.render(LEAST, "--set", f"{path}=")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("replicaCount=0", "at '/replicaCount': minimum"),
        ("replicaCount=two", "at '/replicaCount': got string, want integer"),
        ("replicas=2", "additional properties 'replicas' not allowed"),
        ("image.digest=sha256:12", "at '/image/digest'"),
        ("image.repository=Bad Name", "at '/image/repository'"),
        ("store.url=postgresql://a", "at '/store': additional properties 'url' not allowed"),
        ("cluster.server=http://api", "at '/cluster/server'"),
        ("settings.server.port=1", "at '/settings': additional properties 'server' not allowed"),
        ("settings.arm.is_development=true", "'is_development' not allowed"),
        ("settings.world.speed=60", "additional properties 'speed' not allowed"),
        ("settings.cloud.dealy_factor=1", "additional properties 'dealy_factor' not allowed"),
        ("settings.log.level=loud", "at '/settings/log/level'"),
        ("settings.arm.token_lifetime=1h", "at '/settings/arm/token_lifetime'"),
        ("antiAffinity=firm", "at '/antiAffinity': value must be one of 'soft', 'hard'"),
        ("tls.certManager.enabled=true", "missing property 'name'"),
        ("service.type=ExternalName", "at '/service/type'"),
        ("networkPolicy.storePorts={0}", "at '/networkPolicy/storePorts/0'"),
        ("tokenKeys.keys={../x}", "at '/tokenKeys/keys/0'"),
        (r"podLabels.app\.kubernetes\.io/name=x", "invalid propertyName 'app.kubernetes.io/name'"),
        ("serviceMonitor.enabled=true", "Prometheus must know the CA"),
        ("cluster.location=mars", "at '/cluster/location': value must be one of 'eastus'"),
        ("cluster.name=-x-", "at '/cluster/name'"),
        ("cluster.resourceGroup=a b", "at '/cluster/resourceGroup'"),
        ("settings.control.parallel=0", "at '/settings/control/parallel': minimum: got 0, want 1"),
        ("settings.cloud.failure_weights.driver=2", "maximum: got 2, want 1"),
        ("settings.cloud.failure_weights.diver=1", "invalid propertyName 'diver'"),
        ("settings.cloud.scarcity.default_quota=-1", "minimum: got -1, want 0"),
        ("settings.arm.retry_after_ms=1", "minimum: got 1, want 10"),
        ("settings.arm.token_lifetime=P1W", "at '/settings/arm/token_lifetime'"),
        ("settings.cloud.lease_duration=PT2.9S", "must be between 3 s and 300 s, not PT2.9S"),
        ("settings.control.pools.deadline=PT1H1S", "must be between 1 s and 3600 s"),
        ("settings.arm.token_lifetime=P1DT1M", "must be between 300 s and 86400 s"),
    ],
)
def test_wrong_values_are_refused_by_name(helm, words, said):
    with pytest.raises(HelmFailed, match=re.escape(said)):
        helm.render(LEAST, "--set", words)


def test_bounds_themselves_are_taken(helm, tmp_path):
    given = {
        "cloud": {"lease_duration": "PT4M60S", "delay_factor": 100},
        "control": {"pools": {"deadline": None, "debounce": "PT0S"}, "parallel": 1},
        "arm": {"token_lifetime": "P1D", "locations": ["Mars One"]},
    }
    values = tmp_path / "values.yaml"
    values.write_text(yaml.safe_dump({"settings": given, "cluster": {"location": "marsone"}}))
    text = one(helm.render(LEAST, "-f", values), "ConfigMap")["data"]["poolwright.toml"]
    (tmp_path / "toml").write_text(text)
    settings = load_settings(tmp_path / "toml", {}, {})
    assert settings.cloud.lease_duration.total_seconds() == 300
    assert settings.arm.token_lifetime.total_seconds() == 86_400
    assert settings.adopt.location == "marsone"


@pytest.mark.parametrize(
    ("name", "is_one"),
    [("A-1_(b).c", True), ("ü1", True), ("x" * 90, True), ("x" * 91, False), ("a.", False),
     ("a/b", False), ("a+b", False)],
)  # fmt: skip
def test_a_name_of_a_group_is_one_to_both(helm, tmp_path, name, is_one):
    values = tmp_path / "values.yaml"
    values.write_text(yaml.safe_dump({"cluster": {"resourceGroup": name}}))
    try:
        check_group_name(name)
    except InvalidRequest:
        assert not is_one
        with pytest.raises(HelmFailed, match="at '/cluster/resourceGroup'"):
            helm.render(LEAST, "-f", values)
    else:
        assert is_one
        helm.render(LEAST, "-f", values)


@pytest.fixture(scope="module")
def kubectl(embedded):
    """kubectl, with the namespace of the release."""
    binary = live_tools.find("kubectl") or shutil.which("kubectl")
    if binary is None:
        missing("kubectl")

    def run(*words, stdin=None):
        return subprocess.run(
            [str(binary), "--kubeconfig", str(embedded.kubeconfig), *words],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    for namespace in ("poolwright", "gpu"):
        assert run("create", "namespace", namespace).returncode == 0
    return run


APPLY = ("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-")


@each_values
def test_the_embedded_kubernetes_takes_every_object(helm, kubectl, values):
    """Strictly: by the published schemas, with no field unknown."""
    objects = [each for each in helm.render(values) if each["kind"] not in UNSERVED]
    done = kubectl(*APPLY, stdin=yaml.safe_dump_all(objects))
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(objects)


def test_the_embedded_kubernetes_would_not_take_a_misspelt_one(helm, kubectl):
    objects = helm.render(LEAST)
    one(objects, "Deployment")["spec"]["template"]["spec"]["enableServiceLink"] = False
    done = kubectl(*APPLY, stdin=yaml.safe_dump_all([one(objects, "Deployment")]))
    assert "enableServiceLink" in done.stderr


def test_names_and_ports_in_the_notes(helm, embedded):
    """Helm renders notes only where there is a cluster."""
    helm = helm.at(embedded.kubeconfig)
    words = ("install", "pw", CHART, "--dry-run=client", "-n", "ns")
    notes = helm(*words, "-f", LEAST).partition("NOTES:")[2]
    assert "https://pw.ns.svc\n" in notes
    assert "rollout status deployment/pw\n" in notes
    assert "cat /var/lib/poolwright/tls/ca.pem" in notes
    notes = helm(*words, "-f", BARE, "--set", "service.port=8443").partition("NOTES:")[2]
    assert "get secret certificate " in notes
    assert "https://pw.ns.svc:8443\n" in notes
    assert "No rights were given" in notes
