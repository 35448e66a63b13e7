"""Making a failing world smaller: fewer kinds of faults, fewer replicas, less time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields, replace

from poolwright.sim.weather import FaultRates
from poolwright.sim.world import WorldSettings


def _smaller(settings: WorldSettings) -> Iterable[WorldSettings]:
    for field in fields(FaultRates):
        if field.name != "delay" and getattr(settings.rates, field.name):
            yield replace(settings, rates=replace(settings.rates, **{field.name: 0.0}))
    if settings.replicas > 1:
        yield replace(settings, replicas=1)
    if settings.skew_seconds_max:
        yield replace(settings, skew_seconds_max=0.0)
    yield replace(settings, disturbed=settings.disturbed / 2)


def shrink(
    settings: WorldSettings, is_failing: Callable[[WorldSettings], bool], *, tries_max: int = 40
) -> WorldSettings:
    """The smallest settings found, by taking away one thing at a time, that still fail."""
    tries = 0
    is_progressing = True
    while is_progressing:
        is_progressing = False
        for candidate in _smaller(settings):
            if tries >= tries_max:
                return settings
            tries += 1
            if is_failing(candidate):
                settings, is_progressing = candidate, True
                break
    return settings
