"""Structured logs: one line per event on stderr, as text for people or as JSON."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, TextIO, cast

import structlog

_SECRET_KEYS = frozenset({"authorization", "client_secret", "token", "password", "kubeconfig"})


@dataclass(frozen=True, slots=True)
class LogSettings:
    """How the server logs."""

    level: Literal["debug", "info", "warning", "error"] = "warning"
    """Least level that is written; info has one line per reconcile that did something."""
    format: Literal["text", "json"] = "text"
    """Text for a terminal, or one JSON object per line."""


class Stderr:
    """The process's stderr, where a line that cannot be written ends nothing: it may be a file on
    the disk whose trouble the line tells of.
    """

    @staticmethod
    def write(text: str) -> None:
        """Write, if that is possible."""
        with suppress(OSError):
            sys.stderr.write(text)

    @staticmethod
    def flush() -> None:
        """Flush, if that is possible."""
        with suppress(OSError):
            sys.stderr.flush()


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
    before: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        _without_secrets,
    ]
    structlog.configure(
        processors=[*before, *renderers],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", Stderr())),
        cache_logger_on_first_use=True,
    )
    _configure_libraries(max(level, logging.WARNING), before, renderers)


_ANSWERED = (
    "Unsupported upgrade request.",  # refused by the handler: kubectl's SPDY, before WebSocket
    "Invalid HTTP request received.",  # answered with 400
    "timeout graceful shutdown",  # connections that clients keep open are cut at the end
)
"""What uvicorn says where its client gets an answer, or nothing is wrong: not said again."""


def _is_news(line: logging.LogRecord) -> bool:
    said = (line.getMessage(), str(line.exc_info[1]) if line.exc_info else "")
    return not any(known in text for known in _ANSWERED for text in said)


def _configure_libraries(
    level: int,
    before: list[structlog.typing.Processor],
    renderers: list[structlog.typing.Processor],
) -> None:
    """Lines of the standard library's logging, as uvicorn writes them, in the same form."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *before],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    news = logging.getLogger("uvicorn.error")
    if _is_news not in news.filters:
        news.addFilter(_is_news)
