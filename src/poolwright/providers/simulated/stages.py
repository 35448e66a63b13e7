"""How long the phases of a machine take, and how they fail: data with sources.

The anchor is one field observation: a spot GPU node needs about 4 min 51 s from create to Ready,
roughly three minutes more than a CPU node (facts gpu-stack §0.7). The split between the steps of
a row is assumed; the sums are not. Reboot for MIG: gpu-stack §2.5.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from poolwright.model.catalog import VmSize
from poolwright.model.gpu import InstallProfile
from poolwright.model.instant import Instant
from poolwright.model.machine import Bootstrap, MachinePhase
from poolwright.model.node_capacity import has_driver
from poolwright.providers.simulated.settings import SimulatedCloudSettings


@dataclass(frozen=True, slots=True)
class Subject:
    """What a stage table asks about: the size and what is to be installed."""

    size: VmSize
    bootstrap: Bootstrap

    @property
    def has_driver(self) -> bool:
        """Whether bootstrap installs a GPU driver."""
        return has_driver(self.bootstrap.install_profile)

    @property
    def has_mig(self) -> bool:
        """Whether bootstrap lays out MIG instances, which takes a reboot."""
        return self.has_driver and self.bootstrap.mig_profile is not None

    @property
    def has_gpu_stack(self) -> bool:
        """Whether the node gets the managed components."""
        return self.bootstrap.install_profile is InstallProfile.EVERYTHING


def _always(_: Subject) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Stage:
    """One row: which phase shows while it runs, for how long, and how it fails.

    ``jitter`` is the largest deviation as a share of ``seconds``; ``exit_code`` is the code of
    AKS's bootstrap script for a failure of this step.
    """

    step: str
    phase: MachinePhase
    seconds: float
    jitter: float = 0.15
    applies: Callable[[Subject], bool] = _always
    exit_code: int = 0


_CREATING = MachinePhase.CREATING
_BOOTSTRAPPING = MachinePhase.BOOTSTRAPPING

# Bootstrap steps and their order: gpu-stack §0.6, which also has the exit codes.
_BOOTSTRAP: tuple[Stage, ...] = (
    Stage("driver", _BOOTSTRAPPING, 165, 0.1, lambda s: s.has_driver, 84),  # assumed
    Stage("mig", _BOOTSTRAPPING, 75, 0.15, lambda s: s.has_mig, 123),  # assumed: a reboot
    Stage("gpu-stack", _BOOTSTRAPPING, 12, 0.2, lambda s: s.has_gpu_stack, 227),  # assumed
    Stage("kubelet", _BOOTSTRAPPING, 22, 0.2, exit_code=124),  # assumed: CSE and join
)

CREATE: tuple[Stage, ...] = (
    Stage("allocate", _CREATING, 22, 0.3),  # assumed
    Stage("boot", _CREATING, 68, 0.15),  # CPU row: 22 + 68 + 22 = 112 s, 4 min 51 s - 3 min
    *_BOOTSTRAP,  # GPU row: 112 + 165 + 12 = 289 s, 4 min 51 s
)
REIMAGE: tuple[Stage, ...] = (
    Stage("reimage", _CREATING, 45, 0.2),  # assumed: the OS disk is swapped in place
    Stage("boot", _CREATING, 55, 0.15),  # assumed
    *_BOOTSTRAP,
)
START: tuple[Stage, ...] = (
    Stage("allocate", _CREATING, 22, 0.3),  # as for a create: capacity is taken anew
    Stage("boot", _CREATING, 40, 0.15),  # assumed
    # Instances survive no boot, so the layout is made again (gpu-stack §2.5); no second reboot.
    Stage("mig", _BOOTSTRAPPING, 15, 0.2, lambda s: s.has_mig, 123),  # assumed
    Stage("kubelet", _BOOTSTRAPPING, 12, 0.2),  # assumed
)
STOP: tuple[Stage, ...] = (Stage("deallocate", MachinePhase.RUNNING, 40, 0.25),)  # assumed
DELETE: tuple[Stage, ...] = (Stage("delete", MachinePhase.DELETING, 35, 0.25),)  # assumed


@dataclass(frozen=True, slots=True)
class Segment:
    """From ``begins_at`` on the machine is in this phase, at this step."""

    begins_at: Instant
    phase: MachinePhase
    step: str = ""


@dataclass(frozen=True, slots=True)
class Draw:
    """A drawn course: its segments in order, and where bootstrap fails (exit code 0: nowhere)."""

    segments: tuple[Segment, ...]
    failed_step: str = ""
    exit_code: int = 0


def draw(
    stages: Sequence[Stage],
    subject: Subject,
    *,
    at: Instant,
    end: MachinePhase | None,
    rng: random.Random,
    settings: SimulatedCloudSettings,
) -> Draw:
    """Draw the course of a machine through ``stages`` from ``at`` into the phase ``end``.

    Without ``end`` the machine is gone after the last segment, which is marked by the step
    ``gone``. Instants are whole tenths of a world second, so that neighbours fall together.
    """
    segments: list[Segment] = []
    for stage in stages:
        if not stage.applies(subject):
            continue
        segments.append(Segment(at, stage.phase, stage.step))
        spread = rng.uniform(-stage.jitter, stage.jitter) if settings.jitter else 0.0
        seconds = round(stage.seconds * (1 + spread) * settings.delay_factor, 1)
        at = at.after(timedelta(seconds=seconds))
        if rng.random() < settings.failure_weights.get(stage.step, 0.0):
            segments.append(Segment(at, MachinePhase.FAILED, stage.step))
            return Draw(tuple(segments), stage.step, stage.exit_code)
    if end is None:
        segments.append(Segment(at, MachinePhase.DELETING, GONE))
    else:
        segments.append(Segment(at, end))
    return Draw(tuple(segments))


GONE = "gone"
"""The step of a machine that has ceased; only its Node has still to go."""


def expected_ready(stages: Sequence[Stage], subject: Subject) -> timedelta:
    """How long the stages take on average, for people who ask beforehand."""
    return timedelta(seconds=sum(s.seconds for s in stages if s.applies(subject)))
