"""What the GPU components of a node print, in lines of the kind that operators look for.

Wording: what these programs log when they start, as their public sources have it:
github.com/NVIDIA/k8s-device-plugin (cmd/nvidia-device-plugin, internal/plugin) and
github.com/NVIDIA/dcgm-exporter (internal/pkg). The first line of each says that it is simulated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from poolwright.providers.simulated.pod_run import EXPORTER_NAME, PLUGIN_NAME
from poolwright.providers.simulated.workload import LogLine

_SOCKETS = "/var/lib/kubelet/device-plugins"
_STEP_SECONDS = 0.02
"""World seconds from one line of a start to the next. Assumed."""


def component_lines(
    component: str, image: str, resources: Sequence[str], port: int, began: datetime
) -> Iterator[LogLine]:
    """The lines of a component's start; none of what is no component.

    ``resources`` are the names under which its node offers GPUs, ``began`` the wall time at which
    the container started.
    """
    version = image.rpartition(":")[2]
    if component == PLUGIN_NAME:
        texts, form = _plugin(version, resources), _klog
    elif component == EXPORTER_NAME:
        texts, form = _exporter(version.partition("-")[0], port), _slog
    else:
        return
    for index, text in enumerate(texts):
        offset = index * _STEP_SECONDS
        yield LogLine(offset, form(text, began + timedelta(seconds=offset)))


def _plugin(version: str, resources: Sequence[str]) -> Iterator[str]:
    yield '"simulated: no driver is asked; the devices are those of the simulated machine"'
    yield f'"Starting NVIDIA Device Plugin" version="{version}"'
    yield f'"Starting FS watcher for {_SOCKETS}"'
    yield '"Starting OS watcher."'
    yield '"Starting Plugins."'
    yield '"Loading configuration."'
    yield '"Retrieving plugins."'
    if not resources:
        yield '"No devices found. Waiting indefinitely."'
    for name in resources:
        socket = f"{_SOCKETS}/{name.replace('.com/', '-')}.sock"
        yield f"\"Starting GRPC server for '{name}'\""
        yield f'"Starting to serve" resourceName="{name}" socket="{socket}"'
        yield f'"Registered device plugin with Kubelet" resourceName="{name}"'


def _exporter(version: str, port: int) -> Iterator[str]:
    yield 'msg="simulated: no DCGM is asked; figures are made up"'
    yield f'msg="Starting dcgm-exporter" Version="{version}"'
    yield 'msg="DCGM successfully initialized!"'
    yield 'msg="Collecting DCP Metrics"'
    yield "msg=\"Falling back to metric file '/etc/dcgm-exporter/default-counters.csv'\""
    yield "msg=\"Initializing system entities of type 'GPU'\""
    yield 'msg="Kubernetes metrics collection enabled!"'
    yield 'msg="Starting webserver"'
    yield f'msg="Listening on" address="[::]:{port}"'


def _klog(text: str, at: datetime) -> str:
    return f"I{at:%m%d %H:%M:%S.%f}       1 main.go] {text}"


def _slog(text: str, at: datetime) -> str:
    milliseconds = f"{at:%Y-%m-%dT%H:%M:%S.%f}"[:-3]
    return f"time={milliseconds}Z level=INFO {text}"
