"""``python -m poolwright.sim``: sweep over seeds, or replay one.

Prints, for each failing seed, what broke, the smallest settings that still break, and the command
that replays it. Exits 1 if any seed failed.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import structlog

from poolwright.sim.shrink import shrink
from poolwright.sim.weather import FaultRates
from poolwright.sim.world import Report, WorldSettings, simulate


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m poolwright.sim", description=__doc__)
    parser.add_argument("--seeds", type=int, default=50, help="how many seeds to run")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, help="run only this one")
    parser.add_argument("--off", default="", help="fault classes to leave out, with commas")
    parser.add_argument("--replicas", type=int, help="instead of what the seed draws")
    parser.add_argument("--minutes", type=float, help="world minutes of disturbance, likewise")
    parser.add_argument("--skew", type=float, help="seconds of clock skew at most, likewise")
    parser.add_argument("--trace", type=Path, help="write the last million port calls there")
    parser.add_argument("--log", action="store_true", help="show the product's own log")
    parser.add_argument("--no-shrink", action="store_true", help="do not look for less")
    return parser


def _settings(seed: int, options: argparse.Namespace) -> WorldSettings:
    settings = WorldSettings.draw(seed)
    off = {name: 0.0 for name in options.off.split(",") if name}
    settings = replace(settings, rates=replace(settings.rates, **off))
    if options.replicas is not None:
        settings = replace(settings, replicas=options.replicas)
    if options.minutes is not None:
        settings = replace(settings, disturbed=timedelta(minutes=options.minutes))
    if options.skew is not None:
        settings = replace(settings, skew_seconds_max=options.skew)
    return settings


def replay_command(settings: WorldSettings) -> str:
    """The one command that runs exactly these settings again."""
    drawn = WorldSettings.draw(settings.seed)
    parts = [f"python -m poolwright.sim --seed {settings.seed}"]
    off = [
        name
        for name in FaultRates.__dataclass_fields__
        if getattr(drawn.rates, name) and not getattr(settings.rates, name)
    ]
    if off:
        parts.append(f"--off {','.join(off)}")
    if settings.replicas != drawn.replicas:
        parts.append(f"--replicas {settings.replicas}")
    if settings.disturbed != drawn.disturbed:
        parts.append(f"--minutes {settings.disturbed.total_seconds() / 60:g}")
    if settings.skew_seconds_max != drawn.skew_seconds_max:
        parts.append(f"--skew {settings.skew_seconds_max:g}")
    return " ".join(parts)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _tell(report: Report, options: argparse.Namespace) -> None:
    settings = report.settings
    verdict = "FAILED" if report.violations else "ok"
    _say(
        f"seed {settings.seed}: {verdict}, trace {report.digest[:16]}, {report.calls} port calls, "
        f"{report.virtual_seconds * settings.speed / 3600:.1f} world hours"
    )
    for violation in report.violations:
        _say(f"    {violation}")
    if report.violations and not options.no_shrink:
        smallest = shrink(settings, lambda candidate: bool(simulate(candidate).violations))
        _say(f"    smallest: {smallest}")
        _say(f"    replay:   {replay_command(smallest)}")
    elif report.violations:
        _say(f"    replay:   {replay_command(settings)}")


def main(arguments: list[str] | None = None) -> int:
    """Run; the exit status."""
    options = _parser().parse_args(arguments)
    level = logging.DEBUG if options.log else logging.CRITICAL
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(level))
    last = options.first + options.seeds
    seeds = range(options.first, last) if options.seed is None else [options.seed]
    failed = 0
    probes: Counter[str] = Counter()
    for seed in seeds:
        keep = 1_000_000 if options.trace else 0
        report = simulate(_settings(seed, options), keep=keep)
        failed += bool(report.violations)
        probes.update(report.probes)
        _tell(report, options)
        if options.trace:
            options.trace.write_text("".join(f"{line}\n" for line in report.tail))
    _say("came about: " + ", ".join(f"{probes[name]} {name}" for name in sorted(probes)))
    _say(f"{len(seeds)} seeds, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
