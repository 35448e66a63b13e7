"""Rules of Kubernetes versions: what is on offer, skew, and the steps of an upgrade."""

from __future__ import annotations

from dataclasses import dataclass

from poolwright.model.agent_pool import AgentPoolSpec
from poolwright.model.catalog import (
    default_kubernetes_version,
    kubernetes_minors,
    resolve_kubernetes_version,
)
from poolwright.model.errors import InvalidRequest
from poolwright.model.limits import MINOR_SKEW_MAX
from poolwright.model.managed_cluster import ManagedClusterSpec
from poolwright.model.version import KubernetesVersion

NOT_SUPPORTED = (
    "Version {version} is not supported in this region. Please use [az aks get-versions] command "
    "to get the supported version list in this region. For more information, please check "
    "https://aka.ms/supported-version-list"
)
ABOVE_CONTROL_PLANE = (
    "Node pool version {pool} and control plane version {cluster} are incompatible. {part} version "
    "of node pool version {pool} is bigger than control plane version {cluster}. For more "
    "information, please check https://aka.ms/aks/UpgradeVersionRules"
)
FAR_BELOW = (
    "Node pool version {pool} and control plane version {cluster} are incompatible. Minor version "
    "of node pool cannot be more than 2 versions less than control plane's version. For more "
    "information, please check https://aka.ms/aks/UpgradeVersionRules"
)
ONE_STEP = (
    "Upgrade agent pool version from {old} to {new} is not allowed, you can only upgrade one minor "
    "version at a time. Please use [az aks get-upgrades] command to get the supported upgrade "
    "paths. For more information, please check https://aka.ms/aks/UpgradeVersionRules"
)
NO_DOWNGRADE = (
    "Downgrading agent pool version from {old} to {new} is not allowed. For more information, "
    "please check https://aka.ms/aks/UpgradeVersionRules"
)


@dataclass(frozen=True, slots=True)
class PoolVersion:
    """A version as the user said it and what it means exactly."""

    text: str
    exact: KubernetesVersion
    warnings: tuple[str, ...] = ()


def refuse_version(code: str, message: str, target: str) -> InvalidRequest:
    """A version rule is broken."""
    return InvalidRequest(message, code=code, target=target)


def choose_version(
    text: str,
    old: AgentPoolSpec | None,
    cluster: ManagedClusterSpec,
    *,
    is_new_cluster: bool = False,
) -> PoolVersion:
    """The version of a pool after a request that asks for ``text`` (empty: not given).

    Raises:
        InvalidRequest: not on offer, above or far below the control plane, or no legal step.
    """
    control_plane = KubernetesVersion.parse(cluster.current_kubernetes_version)
    if old is not None and text in {"", old.orchestrator_version}:
        return PoolVersion(
            old.orchestrator_version, KubernetesVersion.parse(old.kubernetes_version)
        )
    if not text or (old is None and text == cluster.kubernetes_version):
        return PoolVersion(cluster.kubernetes_version, control_plane)
    exact = _resolve(text, cluster, control_plane, old)
    if old is not None:
        _check_step(KubernetesVersion.parse(old.kubernetes_version), exact)
    _check_skew(exact, control_plane, cluster.profile)
    return PoolVersion(text, exact)


def _resolve(
    text: str,
    cluster: ManagedClusterSpec,
    control_plane: KubernetesVersion,
    old: AgentPoolSpec | None,
) -> KubernetesVersion:
    if text == str(control_plane) or (old is not None and text == old.kubernetes_version):
        return KubernetesVersion.parse(text)
    exact = resolve_kubernetes_version(text, cluster.profile)
    if exact is None:
        raise refuse_version(
            "AgentPoolK8sVersionNotSupported",
            NOT_SUPPORTED.format(version=text),
            "agentPoolProfile.orchestratorVersion",
        )
    if text == control_plane.minor_text:  # the alias never means more than the control plane has
        return min(exact, control_plane)
    return exact


def _check_step(old: KubernetesVersion, new: KubernetesVersion) -> None:
    target = "agentPoolProfile.orchestratorVersion"
    if new < old:
        raise refuse_version(
            "AgentPoolUpgradeVersionNotAllowed", NO_DOWNGRADE.format(old=old, new=new), target
        )
    if (new.major, new.minor) > (old.major, old.minor + 1):
        raise refuse_version(
            "AgentPoolUpgradeVersionNotAllowed", ONE_STEP.format(old=old, new=new), target
        )


def _check_skew(pool: KubernetesVersion, control_plane: KubernetesVersion, profile: str) -> None:
    """A pool is never above the control plane; in 2019 a patch ahead was fine (seed 004)."""
    names = {"pool": pool, "cluster": control_plane}
    code, target = "NodePoolMcVersionIncompatible", "agentPoolProfile.orchestratorVersion"
    if (pool.major, pool.minor) > (control_plane.major, control_plane.minor):
        raise refuse_version(code, ABOVE_CONTROL_PLANE.format(part="Minor", **names), target)
    if pool > control_plane and profile != "preview-2019":
        raise refuse_version(code, ABOVE_CONTROL_PLANE.format(part="Patch", **names), target)
    if control_plane.minor - pool.minor > MINOR_SKEW_MAX:
        raise refuse_version(code, FAR_BELOW.format(**names), target)


def profile_of(text: str) -> str:
    """The rule set that a cluster's version belongs to: ``preview-2019`` for 1.11 to 1.13."""
    is_today = not text or resolve_kubernetes_version(text) is not None
    if is_today or resolve_kubernetes_version(text, "preview-2019") is None:
        return ""
    return "preview-2019"


def choose_cluster_version(text: str, old: ManagedClusterSpec | None, profile: str) -> PoolVersion:
    """The version of a control plane.

    Raises:
        InvalidRequest: not on offer, or no legal step.
    """
    if old is not None and text in {"", old.kubernetes_version}:
        return PoolVersion(
            old.kubernetes_version, KubernetesVersion.parse(old.current_kubernetes_version)
        )
    if not text:
        exact = default_kubernetes_version(profile)
        return PoolVersion(exact.minor_text, exact)
    if old is not None and text == old.current_kubernetes_version:
        return PoolVersion(text, KubernetesVersion.parse(text))
    exact = resolve_kubernetes_version(text, profile)
    if exact is None:
        raise refuse_version(
            "K8sVersionNotSupported",
            NOT_SUPPORTED.format(version=text),
            "properties.kubernetesVersion",
        )
    if old is not None:
        before = KubernetesVersion.parse(old.current_kubernetes_version)
        if exact < before:
            raise refuse_version(
                "K8sVersionNotSupported",
                f"Downgrading Kubernetes version from {before} to {exact} is not allowed.",
                "properties.kubernetesVersion",
            )
        if (exact.major, exact.minor) > (before.major, before.minor + 1):
            raise refuse_version(
                "K8sVersionNotSupported",
                f"Upgrading Kubernetes version {before} to {exact} is not allowed. Upgrading "
                "multiple minor versions in one step is not supported. For more information, "
                "please check https://aka.ms/aks/UpgradeVersionRules",
                "properties.kubernetesVersion",
            )
    return PoolVersion(text, exact)


def upgrades_for(
    version: KubernetesVersion, profile: str = "", *, until: KubernetesVersion | None = None
) -> list[tuple[KubernetesVersion, bool]]:
    """The versions that can be upgraded to in one step, with whether they are previews."""
    steps: list[tuple[KubernetesVersion, bool]] = []
    for minor in kubernetes_minors(profile):
        for patch in minor.patches:
            one_step = (patch.major, patch.minor) <= (version.major, version.minor + 1)
            if patch > version and one_step and (until is None or patch <= until):
                steps.append((patch, minor.is_preview))
    return steps
