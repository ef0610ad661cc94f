"""Keep what a channel's URL holds out of every text: tokens, passwords, chats, recipients."""

import base64
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote, unquote

HIDDEN: Final = "***"
# What an address alone looks like: it says where the trouble is and opens nothing.
_HOST = re.compile(r"localhost|\d+(\.\d+){3}|([a-z0-9-]+\.)+[a-z]{2,12}")
_PORT = re.compile(r"\d{1,5}")
_SHORTEST = 4
_SHORTEST_PASSWORD = 2


class Redactor:
    """Replaces the secrets of the URLs it was given, in any spelling a program may print."""

    def __init__(self, urls: Iterable[str] = ()) -> None:
        self._pattern: re.Pattern[str] | None = None
        self._secrets: set[str] = set()
        for url in urls:
            self.add(url)

    def add(self, url: str) -> None:
        """Hide this URL's secrets from now on."""
        found = {form for secret in _secrets(url) for form in _forms(secret)}
        if found <= self._secrets:
            return
        self._secrets |= found
        longest_first = sorted(self._secrets, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)), re.IGNORECASE)

    def __call__(self, text: str) -> str:
        """Return the text without them."""
        return text if self._pattern is None else self._pattern.sub(HIDDEN, text)


def _secrets(url: str) -> set[str]:
    """Return the URL and all parts of it that are no address."""
    _, _, rest = url.partition("://")
    address, _, query = rest.partition("?")
    login, at, place = address.rpartition("@")
    user, _, password = login.partition(":")
    host, *path = place.split("/")
    parts = re.split(r"[:,]", host)
    parts = [part for part in parts if not (_HOST.fullmatch(part) or _PORT.fullmatch(part))]
    parts += [piece for part in path for piece in (part, *re.split(r"[:@,;]", part))]
    parts += [value for pair in query.split("&") for value in re.split(r"[=,;]", pair)[1:]]
    parts += re.split(r"[:@/,;]", user)
    found = {part for part in parts if len(part) >= _SHORTEST}
    if at:
        # A second @ stands in a recipient's address: then this is more than the password.
        pieces = [password, *re.split(r"[:@/]", password)]
        found |= {piece for piece in pieces if len(piece) >= _SHORTEST_PASSWORD}
        pair = f"{unquote(user)}:{unquote(password)}".encode()
        found |= {login, base64.b64encode(pair).decode()}
    return found | {url, rest}


def _forms(secret: str) -> set[str]:
    plain = unquote(secret)
    return {secret, plain, quote(plain), quote(plain, safe="")}
