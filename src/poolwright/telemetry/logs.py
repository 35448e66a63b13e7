"""Structured logs: one line per event on stderr, as text for people or as JSON."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from typing import Literal

import structlog

_SECRET_KEYS = frozenset({"authorization", "client_secret", "token", "password", "kubeconfig"})


@dataclass(frozen=True, slots=True)
class LogSettings:
    """How the server logs."""

    level: Literal["debug", "info", "warning", "error"] = "warning"
    """Least level that is written; info has one line per reconcile that did something."""
    format: Literal["text", "json"] = "text"
    """Text for a terminal, or one JSON object per line."""


def _without_secrets(
    logger: object, method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    del logger, method
    return {k: "[secret]" if k.lower() in _SECRET_KEYS else v for k, v in event.items()}


def configure_logs(settings: LogSettings) -> None:
    """Set up structlog and the standard library's logging for the whole process."""
    level = getattr(logging, settings.level.upper())
    renderers: list[structlog.typing.Processor]
    if settings.format == "json":
        renderers = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        plain = structlog.dev.plain_traceback  # the rich one prints locals, and with them secrets
        renderers = [
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)
        ]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.StackInfoRenderer(),
            _without_secrets,
            *renderers,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=max(level, logging.WARNING), stream=sys.stderr, force=True)
    # Connections that clients keep open are cut when the server ends: that is no error.
    logging.getLogger("uvicorn.error").addFilter(
        lambda line: "timeout graceful shutdown" not in line.getMessage()
    )
