"""What is said where a server cannot start: one line, in words."""

from __future__ import annotations


def refusal(error: Exception) -> str:
    """The line; of an error of the operating system the file and the reason, not its number."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)
