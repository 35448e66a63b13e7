"""The part of a container's spec that its life depends on."""

from __future__ import annotations

from dataclasses import dataclass

from poolwright.model.json_value import Json, child
from poolwright.providers.simulated.variable import Source, Variable, read_variables


@dataclass(frozen=True, slots=True)
class StopHook:
    """What comes before a container is asked to end (``preStop``): it waits, or runs a command.
    A request (``httpGet``) is answered at once.
    """

    seconds: float = 0.0
    command: tuple[str, ...] = ()

    @classmethod
    def from_object(cls, wire: Json) -> StopHook | None:
        """Read Kubernetes' JSON form of a hook; None if there is none."""
        if not wire:
            return None
        seconds = child(wire, "sleep").get("seconds") or 0
        return cls(float(seconds), tuple(child(wire, "exec").get("command") or ()))


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """One container. Pods with the same containers share it, so it says nothing of a pod."""

    name: str
    image: str
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    variables: tuple[Variable, ...] = ()
    readiness_seconds: float = 0.0
    always_pull: bool = False
    is_sidecar: bool = False
    stop_hook: StopHook | None = None

    @classmethod
    def from_object(cls, wire: Json) -> ContainerSpec:
        """Read Kubernetes' JSON form."""
        probe = child(wire, "readinessProbe")
        delay = float(probe.get("initialDelaySeconds") or 0) + 1.0 if probe else 0.0
        policy = wire.get("imagePullPolicy")
        return cls(
            name=wire["name"],
            image=wire.get("image") or "",
            command=tuple(wire.get("command") or ()),
            args=tuple(wire.get("args") or ()),
            variables=read_variables(wire),
            readiness_seconds=delay,
            always_pull=policy == "Always",
            is_sidecar=wire.get("restartPolicy") == "Always",
            stop_hook=StopHook.from_object(child(wire, "lifecycle", "preStop")),
        )

    @property
    def sources(self) -> tuple[Source, ...]:
        """Where its variables come from besides its pod, each once."""
        found = (v.source for v in self.variables if v.source is not None)
        return tuple(dict.fromkeys(found))
