"""One event per line, with fields; never a key, never a document's text.

Every event has an `action` and, where there is one, `request_id`, `file_id` and `seconds`.
"""

import logging
import sys
from typing import Any, TextIO

import structlog

from bookwheel.settings import LogSettings

log: Any = structlog.get_logger("bookwheel")


def set_up_logs(settings: LogSettings, stream: TextIO | None = None) -> None:
    """Log to `stream` (standard error unless given) from now on. Called once, by the command line."""
    out = stream or sys.stderr
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if settings.format == "json"
        else structlog.dev.ConsoleRenderer(colors=out.isatty(), event_key="action")
    )
    processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.EventRenamer("action"),
        structlog.processors.format_exc_info,
        renderer,
    ]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, settings.level.upper())),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=True,
    )
