"""Consoles for browsers on this box, or at the other end of a tunnel: a page and a websocket.

The page's script is textual-serve's. What that has not is here: a gate before everything, a number
of consoles at most, sizes and times that end.
"""

import asyncio
import json
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import textual_serve
from aiohttp import WSCloseCode, WSMsgType, web

from pmpro_tui.web.gate import SOCKET_PATH, Gate, Handler
from pmpro_tui.web.page import PAGE, STYLE
from pmpro_tui.web.session import END_S, WebConsole

_STATIC: Final = Path(textual_serve.__file__).with_name("static")
_HEARTBEAT_S: Final = 15.0
# A paste; keys are a few bytes.
_MESSAGE_MOST_BYTES: Final = 64 * 1024
_REQUEST_MOST_BYTES: Final = 1024
_FONT_SIZES: Final = range(6, 73)


class WebServer:
    """Serves one console a page, `sessions_max` at once; `words` start one."""

    def __init__(
        self,
        gate: Gate,
        words: Sequence[str],
        *,
        environment: dict[str, str] | None = None,
        sessions_max: int,
    ) -> None:
        self.gate = gate
        self._words = list(words)
        self._environment = environment or {}
        self._sessions_max = sessions_max
        self._open: set[web.WebSocketResponse] = set()
        self._endings: set[asyncio.Task[None]] = set()
        self._closing = False

    @property
    def n_sessions(self) -> int:
        """How many consoles there are."""
        return len(self._open)

    def app(self) -> web.Application:
        """Return the application; the gate stands before each of its routes."""

        @web.middleware
        async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self.gate.check(request, handler)

        app = web.Application(middlewares=[check], client_max_size=_REQUEST_MOST_BYTES)
        app.on_response_prepare.append(self.gate.protect)
        app.on_shutdown.append(self._close)
        app.on_cleanup.append(self._await_endings)
        app.add_routes(
            [
                web.get("/", self._page),
                web.get("/page.css", self._style),
                web.get(SOCKET_PATH, self._console),
                web.static("/static", _STATIC),
            ]
        )
        return app

    async def run(self, listening: socket.socket, stop: asyncio.Event) -> None:
        """Serve on a socket that listens until told to stop; no console outlives this."""
        # Its log would show the link's token.
        runner = web.AppRunner(self.app(), access_log=None)
        await runner.setup()
        try:
            await web.SockSite(runner, listening).start()
            await stop.wait()
        finally:
            await runner.cleanup()

    async def _page(self, request: web.Request) -> web.Response:
        font_size = _number(request, "fontsize", 16)
        text = PAGE.format(
            host=request.host, font_size=font_size if font_size in _FONT_SIZES else 16
        )
        return web.Response(text=text, content_type="text/html")

    async def _style(self, _: web.Request) -> web.Response:
        return web.Response(text=STYLE, content_type="text/css")

    async def _console(self, request: web.Request) -> web.StreamResponse:
        page = web.WebSocketResponse(
            timeout=END_S, heartbeat=_HEARTBEAT_S, max_msg_size=_MESSAGE_MOST_BYTES
        )
        if self._closing or len(self._open) >= self._sessions_max:
            return web.Response(status=503, text="as many consoles as may be are open: close one\n")
        self._open.add(page)
        try:
            await page.prepare(request)
            console = await WebConsole.start(
                self._words,
                self._environment,
                page,
                columns=_number(request, "width", 80),
                rows=_number(request, "height", 24),
            )
        except BaseException:
            self._open.discard(page)
            raise
        try:
            await _pass_on(page, console)
        finally:
            # On a task of its own: a handler that is cancelled must not leave a console behind.
            await asyncio.shield(self._end(page, console))
        return page

    def _end(self, page: web.WebSocketResponse, console: WebConsole) -> "asyncio.Task[None]":
        """End a console; its place is free once nothing of it is left."""
        ending = asyncio.create_task(console.end())
        self._endings.add(ending)

        def ended(_: "asyncio.Task[None]") -> None:
            self._endings.discard(ending)
            self._open.discard(page)

        ending.add_done_callback(ended)
        return ending

    async def _close(self, _: web.Application) -> None:
        self._closing = True
        pages = list(self._open)
        await asyncio.gather(*(p.close(code=WSCloseCode.GOING_AWAY) for p in pages))

    async def _await_endings(self, _: web.Application) -> None:
        await asyncio.gather(*self._endings, return_exceptions=True)


async def _pass_on(page: web.WebSocketResponse, console: WebConsole) -> None:
    """Take the page's messages until it goes; one that is no message of ours ends it."""
    async for message in page:
        try:
            known = message.type == WSMsgType.TEXT and await console.take(json.loads(message.data))
        except (ValueError, RecursionError, TimeoutError):
            known = False
        if not known:
            await page.close(code=WSCloseCode.POLICY_VIOLATION)


def _number(request: web.Request, name: str, default: int) -> int:
    text = request.query.get(name, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 6 else default
