"""Who may look: a one-time link becomes a cookie; only under this box's names, only our own pages.

A browser carries any page's requests to any address it can reach, this server's included. So the
name it was called by is checked (a stranger's name may have been pointed here), then the page that
asks (another port of the same box counts as foreign), then the cookie, on the page and on the
websocket alike.
"""

import hmac
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from aiohttp import hdrs, web

COOKIE: Final = "pmpro_web"
SOCKET_PATH: Final = "/ws"
TOKEN_HOLDS_S: Final = 600.0
# What a browser may call this server by, with any port: a tunnel's end may have another.
_OURS: Final = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?")
# Nothing from elsewhere, nothing inline but the styles that the terminal's script makes.
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; font-src 'self'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'{socket}; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_ENTERED: Final = (
    '<!doctype html><title>pmpro</title><meta http-equiv="refresh" content="0;url=/">'
    '<a href="/">To the console</a>'
)
_log = structlog.get_logger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Gate:
    """The checks of one server; `token` opens it once, within `TOKEN_HOLDS_S` of the start."""

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self.token = secrets.token_urlsafe(32)
        self.n_refused = 0
        self._cookie = secrets.token_urlsafe(32)
        self._monotonic_s = monotonic_s
        self._until_s = monotonic_s() + TOKEN_HOLDS_S
        self._used = False

    async def check(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let a request through, take the link, or refuse with a line."""
        if problem := _foreign(request):
            return self._refuse(request, problem)
        token = request.query.get("token")
        if token is not None and request.path == "/" and request.method == hdrs.METH_GET:
            return self._enter(request, token)
        if not _same(request.cookies.get(COOKIE, ""), self._cookie):
            return self._refuse(request, "open the link that `pmpro web` printed")
        return await handler(request)

    async def protect(self, request: web.Request, response: web.StreamResponse) -> None:
        """Add what every answer tells the browser."""
        # Older browsers do not count a websocket of the same name as 'self'.
        socket = f" ws://{request.host}" if _OURS.fullmatch(request.host) else ""
        response.headers.update(_HEADERS)
        response.headers["Content-Security-Policy"] = _POLICY.format(socket=socket)

    def _enter(self, request: web.Request, token: str) -> web.Response:
        if not _same(token, self.token):
            return self._refuse(request, "this is no link of this server: see what it printed")
        if self._used or self._monotonic_s() > self._until_s:
            return self._refuse(request, "this link was used or is too old: start `pmpro web` anew")
        self._used = True
        # A page that goes on by itself: after a redirect from another site's link, a browser
        # would keep the strict cookie back.
        response = web.Response(text=_ENTERED, content_type="text/html")
        response.set_cookie(COOKIE, self._cookie, httponly=True, samesite="Strict", path="/")
        _log.info("web_link_used")
        return response

    def _refuse(self, request: web.Request, problem: str) -> web.Response:
        self.n_refused += 1
        _log.warning("web_refused", path=request.path, reason=problem)
        return web.Response(status=403, text=f"{problem}\n")


def _foreign(request: web.Request) -> str:
    """Return what is wrong with a request's host or origin, "" for nothing."""
    hosts = request.headers.getall(hdrs.HOST, [])
    if len(hosts) != 1 or not _OURS.fullmatch(hosts[0]):
        return "only localhost is served here: tunnel to it"
    origins = request.headers.getall(hdrs.ORIGIN, [])
    if origins not in ([], [f"http://{hosts[0]}"]):
        return "asked by another site's page"
    if not origins and request.path == SOCKET_PATH:
        return "asked by no page"
    return ""


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(), wanted.encode())
