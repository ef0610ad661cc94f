"""Channels from text: `NAME = URL` pairs, any URL that apprise knows."""

import re
from collections.abc import Mapping

from pydantic import SecretStr

from engine.model.errors import ConfigError

CHANNELS_MAX = 16

_PAIR = re.compile(r"\s*([\w.-]+)\s*=\s*(\S+)")
_URL = re.compile(r"[A-Za-z][\w.+-]*://\S+")


def read_channels(text: SecretStr, where: str) -> Mapping[str, SecretStr]:
    """Return the URL of each channel; lines that begin with # are notes.

    Args:
        text: pairs, parted by white space.
        where: names its place in errors, which never repeat any of it but a channel's name.

    Raises:
        ConfigError: something else, the same name twice, or too many.
    """
    lines = text.get_secret_value().splitlines()
    rest = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    channels: dict[str, SecretStr] = {}
    position = 0
    while rest[position:].strip():
        pair = _PAIR.match(rest, position)
        if pair is None:
            after = f" after channel {list(channels)[-1]!r}" if channels else ""
            raise ConfigError(f"{where}: must be lines NAME = URL; something else stands{after}")
        name, url = pair.groups()
        if _URL.fullmatch(url) is None:
            raise ConfigError(f"{where}: channel {name!r} has no URL such as tgram://TOKEN/CHAT")
        if name in channels:
            raise ConfigError(f"{where}: channel {name!r} stands there twice")
        channels[name] = SecretStr(url)
        position = pair.end()
    if len(channels) > CHANNELS_MAX:
        raise ConfigError(f"{where}: {len(channels)} channels, {CHANNELS_MAX} are possible")
    return channels
