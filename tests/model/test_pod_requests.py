"""What a pod asks a node for, of what its containers and the pod itself say."""

from __future__ import annotations

import pytest

from poolwright.model.pod import pod_requests


def container(cpu, **more):
    return {"resources": {"requests": {"cpu": cpu}}, **more}


@pytest.mark.parametrize(
    ("spec", "cpu"),
    [
        ({"containers": [container("1"), container("500m")]}, 1500),
        ({"containers": [container("1")], "initContainers": [container("3")]}, 3000),
        (
            {
                "containers": [container("1")],
                "initContainers": [container("1", restartPolicy="Always"), container("3")],
            },
            4000,
        ),
        ({"containers": [{"resources": {"limits": {"cpu": "2"}}}]}, 2000),
        ({"containers": [container("1")], "overhead": {"cpu": "250m"}}, 1250),
        ({"containers": [container("1"), {}], **container("3")}, 3000),
        ({"containers": [container("1")], **container("3"), "overhead": {"cpu": "1"}}, 4000),
    ],
)
def test_of_processors(spec, cpu):
    assert pod_requests(spec) == {"cpu": cpu, "pods": 1}


def test_what_a_pod_does_not_ask_for_as_a_whole_is_its_containers():
    gpu = {"resources": {"limits": {"nvidia.com/gpu": "2"}}}
    assert pod_requests({"containers": [gpu], **container("3")}) == {
        "cpu": 3000,
        "nvidia.com/gpu": 2,
        "pods": 1,
    }
