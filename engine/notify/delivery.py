"""The child that sends: the only process that imports apprise, killed when it takes too long.

Below WARNING, apprise and urllib3 print the bot's token. Their loggers stay at WARNING here
whatever the engine logs, and all that this process writes goes through a redacting filter.
"""

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from typing import TextIO

import msgspec

from engine.child.output import take_streams
from engine.child.printed import clean_streams
from engine.child.serve import serve
from engine.model.printable import described, printable
from engine.notify.redact import Redactor

NICE = 10
DETAIL_MAX = 300
QUIET_LOGGERS = ("apprise", "urllib3", "requests", "smtplib", "asyncio")


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """Send a message through a URL; with `check`, only tell whether it could be one."""

    url: str
    title: str = ""
    body: str = ""
    level: str = "info"
    check: bool = False


class DeliveryResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of it. `detail`: the service's name, or why it failed; never a secret."""

    ok: bool
    detail: str


class RedactingFilter(logging.Filter):
    """Rewrites a record before it is written: no secret is in its text, arguments or traceback."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = self._redactor(record.getMessage()), None
        if record.exc_info:
            record.exc_text = self._redactor(logging.Formatter().formatException(record.exc_info))
            record.exc_info = None
        return True


class _RedactingStream:
    """Standard output and error, for what prints without logging."""

    def __init__(self, stream: TextIO, redactor: Redactor) -> None:
        self._stream = stream
        self._redactor = redactor

    def write(self, text: str) -> int:
        self._stream.write(self._redactor(text))
        return len(text)

    def flush(self) -> None:
        self._stream.flush()


class _Complaints(logging.Handler):
    """Keeps the warnings of one delivery: why it failed."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(" ".join(record.getMessage().split()))


def main() -> None:
    """Answer requests until the parent closes the pipe."""
    if hasattr(os, "nice"):
        os.nice(NICE)
    take_streams()
    clean_streams()
    redactor = Redactor()
    sys.stdout = sys.stderr = _RedactingStream(sys.stderr, redactor)
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(RedactingFilter(redactor))
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    decode, encode = msgspec.msgpack.Decoder(Request).decode, msgspec.msgpack.Encoder().encode
    serve(lambda body: encode(answer(decode(body), redactor)))


def answer(request: Request, redactor: Redactor) -> DeliveryResult:
    """Do what is asked; whatever a plugin raises becomes a detail without secrets."""
    redactor.add(request.url)
    with _complaints() as complaints:
        try:
            ok, detail = _carry_out(request)
        except Exception as error:  # border: plugins of many authors
            ok, detail = False, described(error)
    if not ok and complaints.texts:
        detail = "; ".join(complaints.texts[-3:])
    return DeliveryResult(ok=ok, detail=printable(redactor(detail), DETAIL_MAX))


def _carry_out(request: Request) -> tuple[bool, str]:
    import apprise

    for name in QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    asset = apprise.AppriseAsset(app_id="pmpro", app_desc="", app_url="", storage_mode="memory")
    plugin = apprise.Apprise.instantiate(request.url, asset=asset)
    if plugin is None:
        return False, "apprise knows no such URL"
    name = str(plugin.service_name)
    if request.check:
        return True, name
    post = apprise.Apprise(asset=asset)
    post.add(plugin)
    ok = post.notify(
        title=request.title,
        body=request.body,
        notify_type=_notify_type(request.level),
        body_format=apprise.NotifyFormat.TEXT,
    )
    return bool(ok), name if ok else "refused without a reason"


def _notify_type(level: str) -> str:
    return {"critical": "failure", "error": "failure", "warning": "warning"}.get(level, "info")


@contextlib.contextmanager
def _complaints() -> Iterator[_Complaints]:
    complaints, root = _Complaints(), logging.getLogger()
    root.addHandler(complaints)
    try:
        yield complaints
    finally:
        root.removeHandler(complaints)


if __name__ == "__main__":
    main()
