"""The forms that AKS' validation messages have."""

from __future__ import annotations

from poolwright.model.errors import InvalidRequest, Refused


def invalid(target: str, detail: str = "") -> InvalidRequest:
    """A rule of one property is broken.

    Source: recorded (the form without details: azure-cli#22442; with: pattern of its siblings).
    """
    middle = f" Error details: {detail}." if detail else ""
    return InvalidRequest(
        f"The value of parameter {target} is invalid.{middle} Please see "
        "https://aka.ms/aks-naming-rules for more details.",
        code="InvalidParameter",
        target=target,
    )


def bad_request(message: str, *, target: str | None = None, code: str = "BadRequest") -> Refused:
    """A rule that has a message of its own."""
    return InvalidRequest(message, code=code, target=target)
