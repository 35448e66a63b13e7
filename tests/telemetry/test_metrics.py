"""How requests to clusters are counted."""

import pytest

from poolwright.telemetry.metrics import Metrics, resource_of


@pytest.mark.parametrize(
    ("path", "resource"),
    [
        ("/k8s/sub/api/cluster/api/v1/nodes/n/status", "nodes/status"),
        ("/k8s/sub/group/cluster/api/v1/namespaces/d/pods", "pods"),
        ("/k8s/sub/group/cluster/apis/apps/v1/namespaces/d/daemonsets/a", "daemonsets"),
        ("/api/v1/nodes", "nodes"),
        ("/api/v1/namespaces/d", "namespaces"),
        ("/version", "other"),
        ("/", "other"),
    ],
)
def test_a_path_names_its_resource(path, resource):
    assert resource_of(path) == resource


def test_requests_are_exposed_by_method_and_resource():
    metrics = Metrics()
    for _ in range(3):
        metrics.sent("PATCH", "/api/v1/nodes/n/status", 100)
        metrics.received(7)
    line = 'poolwright_cluster_requests_total{method="PATCH",resource="nodes/status"} 3.0'
    text = metrics.text().decode()
    assert line in text
    assert "poolwright_cluster_sent_bytes_total 300.0" in text
    assert "poolwright_cluster_received_bytes_total 21.0" in text
