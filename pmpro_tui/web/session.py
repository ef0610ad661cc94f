"""One console behind a websocket: a child of its own, ended with its page.

Textual's web driver speaks frames over the child's pipes: a letter (`D` screen or keys, `M` a JSON
message), four bytes of length, most significant first, and so many bytes.
"""

import asyncio
import json
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import structlog
from aiohttp import web

END_S: Final = 3.0
_READY: Final = b"__GANGLION__\n"
_SIZE_MOST: Final = 1000
_FRAME_MOST_BYTES: Final = 16_000_000
_LAST_WORDS_BYTES: Final = 2_000
_DRIVER: Final = {
    "TEXTUAL_DRIVER": "textual.drivers.web_driver:WebDriver",
    "TEXTUAL_COLOR_SYSTEM": "truecolor",
    "TEXTUAL_FPS": "30",
}
_log = structlog.get_logger(__name__)


class WebConsole:
    """A console whose screen goes to a websocket and whose keys come from it."""

    def __init__(self, process: Process, page: web.WebSocketResponse) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._process = process
        self._keys, self._screen, self._errors = process.stdin, process.stdout, process.stderr
        self._page = page
        self._passing = asyncio.create_task(self._pass_screen())
        self._listening = asyncio.create_task(self._read_last_words())

    @classmethod
    async def start(
        cls,
        words: Sequence[str],
        environment: Mapping[str, str],
        page: web.WebSocketResponse,
        *,
        columns: int,
        rows: int,
    ) -> "WebConsole":
        """Start a console, without a shell; `environment` comes beside what this process has."""
        screen = {"COLUMNS": str(_cells(columns)), "ROWS": str(_cells(rows))}
        process = await asyncio.create_subprocess_exec(
            *words,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env={**os.environ, **environment, **_DRIVER, **screen},
            start_new_session=True,
        )
        _log.info("web_console_started", pid=process.pid)
        return cls(process, page)

    async def take(self, message: Any) -> bool:
        """Take what the page sends: keys, size, focus; False for what is none of it.

        Raises:
            TimeoutError: the console takes nothing any more.
        """
        match message:
            case ["stdin", str(keys)]:
                await self._send(b"D", keys.encode("utf-8", "replace"))
            case ["resize", {"width": int(width), "height": int(height)}]:
                await self._tell(
                    {"type": "resize", "width": _cells(width), "height": _cells(height)}
                )
            case ["focus" | "blur" as name, *_]:
                await self._tell({"type": name})
            case ["ping", str() | int() | float() as sent]:
                await self._page.send_str(json.dumps(["pong", sent]))
            case _:
                return False
        return True

    async def end(self) -> None:
        """End the console, at last by force; nothing of it is left when this returns."""
        process = self._process
        try:
            async with asyncio.timeout(END_S):
                await self._tell({"type": "quit"})
                await process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        finally:
            self._keys.close()
            tasks = (self._passing, self._listening)
            await asyncio.wait(tasks, timeout=END_S)  # both have come to an end with their pipes
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        _log.info("web_console_ended", pid=process.pid, exit_code=process.returncode)

    async def _tell(self, message: dict[str, str | int]) -> None:
        await self._send(b"M", json.dumps(message).encode())

    async def _send(self, kind: bytes, body: bytes) -> None:
        with suppress(ConnectionError):  # it has ended: its screen's end says so
            async with asyncio.timeout(END_S):
                self._keys.write(kind + len(body).to_bytes(4, "big") + body)
                await self._keys.drain()

    async def _pass_screen(self) -> None:
        """Pass the screen on until the console ends; then the page is told."""
        with suppress(asyncio.IncompleteReadError, ConnectionError, ValueError):
            while await self._screen.readline() != _READY:
                if self._screen.at_eof():
                    break
            while True:
                kind = await self._screen.readexactly(1)
                n_bytes = int.from_bytes(await self._screen.readexactly(4), "big")
                if n_bytes > _FRAME_MOST_BYTES:
                    break
                body = await self._screen.readexactly(n_bytes)
                if kind == b"D":  # no address is opened and no file handed over
                    await self._page.send_bytes(body)
        await self._page.close()

    async def _read_last_words(self) -> None:
        said = b""
        while chunk := await self._errors.read(4096):
            said = (said + chunk)[-_LAST_WORDS_BYTES:]
        if said:
            text = said.decode(errors="replace").strip()
            _log.error("web_console_said", pid=self._process.pid, text=text)


def _cells(n: int) -> int:
    return min(max(n, 1), _SIZE_MOST)
