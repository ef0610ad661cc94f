"""Where the log goes: JSON lines on stdout for the daemon, trouble alone for one-shot commands."""

import logging
import sys
from typing import TextIO

import structlog


def json_lines(level: str, file: TextIO | None = None) -> None:
    """Log one JSON line an event to `file`, stdout for none, at `level` and above."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(file or sys.stdout),
    )


def errors_to_stderr() -> None:
    """Log errors and worse to stderr: a command's answer has stdout for itself."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
