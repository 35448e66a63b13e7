"""Naming a managed cluster, and the store scopes that belong to it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class ClusterKey:
    """Identifies one managed cluster; all three parts in lower case (ARM ignores case)."""

    subscription: str
    resource_group: str
    name: str

    @classmethod
    def of(cls, subscription: str, resource_group: str, name: str) -> ClusterKey:
        """A key from names in any casing."""
        return cls(subscription.lower(), resource_group.lower(), name.lower())

    @classmethod
    def parse(cls, text: str) -> ClusterKey:
        """The inverse of ``str``.

        Raises:
            ValueError: not three parts.
        """
        subscription, resource_group, name = text.split("/")
        return cls(subscription, resource_group, name)

    def __str__(self) -> str:
        return f"{self.subscription}/{self.resource_group}/{self.name}"

    @property
    def arm_scope(self) -> str:
        """The scope of the cluster's ARM records: the cluster, its pools and operations."""
        return f"arm/{self}"

    @property
    def kube_scope(self) -> str:
        """The scope of the embedded Kubernetes' objects."""
        return f"kube/{self}"


def subscription_scope(subscription: str) -> str:
    """The scope of what hangs directly under a subscription: resource groups, features, …"""
    return f"arm/{subscription.lower()}"


@dataclass(frozen=True, slots=True, order=True)
class PoolKey:
    """Identifies one agent pool; the name is in lower case by the rule for pool names."""

    cluster: ClusterKey
    pool: str

    def __str__(self) -> str:
        return f"{self.cluster}/{self.pool}"
