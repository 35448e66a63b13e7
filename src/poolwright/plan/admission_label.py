"""Rules for node labels, taints and tags."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from poolwright.model.agent_pool import AgentPoolSpec, PoolMode
from poolwright.model.errors import InvalidRequest
from poolwright.model.taint import Taint, TaintEffect
from poolwright.plan.admission_message import invalid
from poolwright.plan.admission_tag import check_tag_limits

_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_PREFIX = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")

RESERVED_PREFIXES = frozenset({"kubernetes.azure.com", "kubernetes.io"})
"""Source: AKS use-labels."""

SYSTEM_TAINT_KEY = "CriticalAddonsOnly"

SYSTEM_TAINT_REFUSED = (
    "Placing custom taints on system pool is not supported(except 'CriticalAddonsOnly' taint or "
    "taint effect is 'PreferNoSchedule'). Please refer to https://aka.ms/aks/system-taints for "
    "detail"
)
"""Source: recorded."""


def is_qualified_name(key: str) -> bool:
    """Whether this is a Kubernetes qualified name: an optional DNS prefix and a name."""
    prefix, slash, name = key.rpartition("/")
    if slash and (len(prefix) > 253 or not _PREFIX.fullmatch(prefix)):
        return False
    return bool(_NAME.fullmatch(name))


def check_labels(labels: Mapping[str, str]) -> None:
    """Check the syntax of labels, and that none is the service's own.

    Raises:
        InvalidRequest: target ``agentPoolProfile.nodeLabels``.
    """
    for key, value in labels.items():
        if not is_qualified_name(key):
            raise invalid("agentPoolProfile.nodeLabels", f"label key '{key}' is not valid")
        if key.rpartition("/")[0] in RESERVED_PREFIXES:
            raise invalid(
                "agentPoolProfile.nodeLabels",
                f"label key '{key}' has the reserved prefix '{key.rpartition('/')[0]}'",
            )
        if value and not _NAME.fullmatch(value):
            raise invalid(
                "agentPoolProfile.nodeLabels", f"value '{value}' of label '{key}' is not valid"
            )


def check_tags(tags: Mapping[str, str]) -> None:
    """Check ARM's limits of tags, and the tag that new pools must not have.

    Raises:
        InvalidRequest: target ``tags``.
    """
    check_tag_limits(tags)
    for name, value in tags.items():
        # Source: AKS release notes 2025-08-14.
        if name.lower() == "skipgpudriverinstall" and value.lower() == "true":
            raise invalid(
                "agentPoolProfile.tags",
                "the tag SkipGPUDriverInstall is no longer supported; set gpuProfile.driver to "
                "None instead",
            )


def read_taints(texts: Iterable[str], name: str) -> tuple[Taint, ...]:
    """Taints from their text form ``key=value:Effect``.

    Raises:
        InvalidRequest: not a taint, or the same key and effect twice.
    """
    taints: list[Taint] = []
    target = f"agentPoolProfile.{name}"
    for text in texts:
        try:
            taint = Taint.parse(text)
        except ValueError:
            raise invalid(target, f"taint '{text}' is not of the form 'key=value:Effect'") from None
        if not is_qualified_name(taint.key) or (taint.value and not _NAME.fullmatch(taint.value)):
            raise invalid(target, f"taint '{text}' is not of the form 'key=value:Effect'")
        if any(taint.key == t.key and taint.effect == t.effect for t in taints):
            raise invalid(target, f"taint '{taint.key}:{taint.effect}' is given twice")
        taints.append(taint)
    return tuple(taints)


def is_system_taint(taint: Taint) -> bool:
    """Whether a System pool may have this taint."""
    if taint.effect is TaintEffect.PREFER_NO_SCHEDULE:
        return True
    return taint.key == SYSTEM_TAINT_KEY and taint.value == "true"


def check_taints(spec: AgentPoolSpec) -> None:
    """System pools must let system pods in.

    Raises:
        InvalidRequest: code ``SystemPoolHasRestrictedTaint``.
    """
    if spec.mode is not PoolMode.SYSTEM:
        return
    for name, taints in (
        ("nodeTaints", spec.node_taints),
        ("nodeInitializationTaints", spec.node_initialization_taints),
    ):
        if not all(is_system_taint(taint) for taint in taints):
            raise InvalidRequest(
                SYSTEM_TAINT_REFUSED,
                code="SystemPoolHasRestrictedTaint",
                target=f"agentPoolProfile.{name}",
            )
