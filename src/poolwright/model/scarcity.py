"""Scarcity and faults on demand: what a cloud refuses, by configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import ClassVar

from poolwright.model.bounds import Bounds


@dataclass(frozen=True, slots=True)
class Restriction:
    """A size that a region does not offer. ``reason`` is Azure's: ``NotAvailableForSubscription``
    or ``QuotaId``. An empty ``region`` is every region; empty ``zones`` is the whole region.
    """

    vm_size: str
    region: str = ""
    zones: tuple[str, ...] = ()
    reason: str = "NotAvailableForSubscription"


@dataclass(frozen=True, slots=True)
class InjectedFailure:
    """The next creates fail, or every n-th does.

    ``code`` is the error code of Azure that the machine or the call gets; the cloud knows the
    message and the moment of the codes in its table (``AllocationFailed``,
    ``ZonalAllocationFailed``, ``OverconstrainedAllocationRequest``, ``SkuNotAvailable``,
    ``QuotaExceeded``, ``VMExtensionProvisioningError``, ``NodesNotReady``, …).
    ``times`` creates fail (None: no end) of those that match ``vm_size``, ``region`` and ``pool``
    (empty: any); ``every`` n-th of them (1: each). ``seen`` counts matches so far.
    """

    name: str
    code: str
    vm_size: str = ""
    region: str = ""
    pool: str = ""
    times: int | None = 1
    every: int = 1
    seen: int = 0

    BOUNDS: ClassVar[Bounds] = {"times": (1, inf), "every": (1, inf)}


@dataclass(frozen=True, slots=True)
class Scarcity:
    """All of it. ``quotas`` are vCPUs by ``region/family`` (``*`` for any region), lower case;
    ``default_quota`` holds for families not named.
    """

    quotas: Mapping[str, int] = field(default_factory=dict[str, int])
    default_quota: int = 100_000
    restrictions: tuple[Restriction, ...] = ()
    failures: tuple[InjectedFailure, ...] = ()

    BOUNDS: ClassVar[Bounds] = {"quotas": (0, inf), "default_quota": (0, inf)}


@dataclass(frozen=True, slots=True)
class Usage:
    """vCPUs of one family in one region: used now, and the limit. ``family`` is the quota's wire
    name such as ``standardNCADSA100v4Family``; ``cores`` is the regional total.
    """

    family: str
    used: int
    limit: int
