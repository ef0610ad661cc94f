"""Where the log goes: JSON lines for what runs long, trouble alone for one-shot commands.

A line is made on the caller's thread and handed to the stream in one piece. Making it raises
nothing, whatever it says.
"""

import json
import logging
import sys
from typing import Any, TextIO, cast

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from engine.child.output import Stream
from engine.model.printable import printable_value

_render = structlog.processors.JSONRenderer()


def json_lines(level: str, file: TextIO | Stream | None = None) -> None:
    """Log one JSON line an event to `file`, stdout for none, at `level` and above."""
    stream = file or sys.stdout
    if isinstance(stream, Stream):
        stream.output.note = _missing
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _json_line,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, stream)),
    )


def errors_to_stderr() -> None:
    """Log errors and worse to stderr: a command's answer has stdout for itself."""
    structlog.configure(
        processors=[_printable, *(p for p in _processors() if p is not _printable)],
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )


def _json_line(logger: WrappedLogger, name: str, event: EventDict) -> str:
    try:
        return str(_render(logger, name, event)).replace("\x7f", r"\u007f")
    except Exception as error:  # border: whose text it is must not hear that it cannot be written
        words = {key: str(event.get(key))[:1000] for key in ("event", "level", "timestamp")}
        return json.dumps(words | {"not_rendered": type(error).__name__})


def _processors() -> list[Processor]:
    return list(structlog.get_config()["processors"])


def _printable(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    return {key: printable_value(value) for key, value in event.items()}


def _missing(n: int) -> str:
    line: dict[str, Any] = {"n": n, "event": "log_lines_dropped", "level": "warning"}
    return json.dumps(line)
