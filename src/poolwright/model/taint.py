"""Taints and tolerations: values, text forms and the matching rule of Kubernetes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Any


class TaintEffect(StrEnum):
    """What a taint does to pods that do not tolerate it."""

    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


@dataclass(frozen=True, slots=True, order=True)
class Taint:
    """A node's taint; its text form is ``key=value:Effect`` (``key:Effect`` without a value)."""

    key: str
    value: str
    effect: TaintEffect
    time_added: str = field(default="", compare=False)
    """Since when pods' tolerations of it run, as its writer said."""

    @classmethod
    def parse(cls, text: str) -> Taint:
        """Read the text form.

        Raises:
            ValueError: no effect, an unknown effect, or no key.
        """
        head, separator, effect = text.rpartition(":")
        if not separator:
            raise ValueError(f"taint {text!r} has no effect")
        key, _, value = head.partition("=")
        if not key:
            raise ValueError(f"taint {text!r} has no key")
        return cls(key, value, TaintEffect(effect))

    def __str__(self) -> str:
        return (
            f"{self.key}={self.value}:{self.effect}" if self.value else f"{self.key}:{self.effect}"
        )

    @classmethod
    def from_object(cls, wire: Mapping[str, Any]) -> Taint:
        """Read Kubernetes' JSON form."""
        effect = TaintEffect(wire["effect"])
        return cls(wire["key"], wire.get("value") or "", effect, wire.get("timeAdded") or "")

    def to_object(self) -> dict[str, Any]:
        """Kubernetes' JSON form."""
        value = {"value": self.value} if self.value else {}
        added = {"timeAdded": self.time_added} if self.time_added else {}
        return {"key": self.key, **value, "effect": str(self.effect), **added}


@dataclass(frozen=True, slots=True)
class Toleration:
    """A pod's toleration; an empty key with ``exists`` tolerates every key, an empty effect every
    effect. ``seconds`` bounds how long a NoExecute taint is tolerated; None is for ever.
    """

    key: str = ""
    exists: bool = False
    value: str = ""
    effect: str = ""
    seconds: int | None = None

    @classmethod
    def from_object(cls, wire: Mapping[str, Any]) -> Toleration:
        """Read Kubernetes' JSON form."""
        return _toleration(
            wire.get("key") or "",
            wire.get("operator") == "Exists",
            wire.get("value") or "",
            wire.get("effect") or "",
            wire.get("tolerationSeconds"),
        )

    def tolerates(self, taint: Taint) -> bool:
        """Whether this toleration matches the taint.

        Source: k8s.io/component-helpers scheduling/corev1, ToleratesTaint.
        """
        if self.effect and self.effect != taint.effect:
            return False
        if self.key and self.key != taint.key:
            return False
        if not self.key and not self.exists:
            return False
        return self.exists or self.value == taint.value


_toleration = lru_cache(maxsize=1024)(Toleration)
"""Equal tolerations once: nearly all pods have the same few."""


def untolerated(
    taints: Iterable[Taint], tolerations: Iterable[Toleration], effects: tuple[TaintEffect, ...]
) -> Taint | None:
    """The first taint with one of the effects that nothing tolerates, or None."""
    tolerations = tuple(tolerations)
    for taint in taints:
        if taint.effect in effects and not any(t.tolerates(taint) for t in tolerations):
            return taint
    return None
