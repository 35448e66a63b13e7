"""Cells of tables as kubectl's printers write them.

Source: k8s.io/apimachinery pkg/util/duration (HumanDuration) and
k8s.io/kubernetes pkg/printers/internalversion/printers.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from poolwright.model.json_value import child, children

UNKNOWN = "<unknown>"
NONE = "<none>"


def human_duration(seconds: int) -> str:
    """A duration in at most two units, coarser the longer it is."""
    if seconds < 0:
        return "0s"
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return _two(minutes, "m", seconds % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if hours < 192:
        return _two(days, "d", hours % 24, "h")
    if days < 730:
        return f"{days}d"
    if days < 365 * 8:
        return _two(days // 365, "y", days % 365, "d")
    return f"{days // 365}y"


def _two(big: int, big_unit: str, small: int, small_unit: str) -> str:
    return f"{big}{big_unit}{small}{small_unit}" if small else f"{big}{big_unit}"


def instant(text: Any) -> datetime | None:
    """A timestamp of the API."""
    return datetime.fromisoformat(text) if isinstance(text, str) and text else None


def age(text: Any, now: datetime) -> str:
    """How long ago a timestamp was."""
    then = instant(text)
    return UNKNOWN if then is None else human_duration(int((now - then).total_seconds()))


def age_of(body: Mapping[str, Any], now: datetime) -> str:
    """How old an object is."""
    return age(body["metadata"].get("creationTimestamp"), now)


def joined(values: Iterable[str]) -> str:
    """Values joined by commas, or ``<none>``."""
    return ",".join(values) or NONE


def labels_text(labels: Mapping[str, Any]) -> str:
    """``k=v`` pairs by key, or ``<none>``."""
    return joined(f"{key}={labels[key]}" for key in sorted(labels))


def selector_text(selector: Mapping[str, Any] | None) -> str:
    """A label selector as text."""
    if selector is None:
        return NONE
    parts = [(k, f"{k}={v}") for k, v in child(selector, "matchLabels").items()]
    for expression in children(selector, "matchExpressions"):
        key, values = expression.get("key", ""), ",".join(sorted(expression.get("values") or ()))
        text = {
            "In": f"{key} in ({values})",
            "NotIn": f"{key} notin ({values})",
            "Exists": key,
            "DoesNotExist": f"!{key}",
        }.get(expression.get("operator", ""), key)
        parts.append((key, text))
    return joined(text for _, text in sorted(parts))


def containers(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The containers of a workload's template."""
    return children(body, "spec", "template", "spec", "containers")


def names_and_images(body: Mapping[str, Any]) -> tuple[str, str]:
    """The wide columns CONTAINERS and IMAGES."""
    found = containers(body)
    return (
        ",".join(str(c.get("name", "")) for c in found),
        ",".join(str(c.get("image", "")) for c in found),
    )


def number(body: Mapping[str, Any], *path: str) -> int:
    """A number at a path, 0 where it is missing."""
    value = child(body, *path[:-1]).get(path[-1])
    return int(value) if isinstance(value, int) else 0
