"""Files that people write, as text and as TOML: every fault is one line naming file and remedy."""

import re
import tomllib
from pathlib import Path
from typing import Any, Final

from engine.model.errors import ConfigError

TEXT_MAX_BYTES: Final = 2_000_000
"""Far above the largest file that anybody writes; what is longer is another kind of file."""
# tomllib takes the square of the time for keys that are nested deeper.
_DOTS_MAX = 40
_WORDS = re.compile(r"[^\w.\"'-]+")
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def read_text(path: Path) -> str:
    """Return a UTF-8 text file without its byte-order mark.

    Raises:
        ConfigError: the file is missing, unreadable, too long or not UTF-8.
    """
    try:
        with path.open("rb") as file:
            content = file.read(TEXT_MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(f"{path}: cannot be read: no such file") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the path
        raise ConfigError(f"{path}: cannot be read: {_reason(error)}") from None
    if len(content) > TEXT_MAX_BYTES:
        raise ConfigError(f"{path}: longer than {TEXT_MAX_BYTES:,} bytes: is it the right file?")
    return decode_text(content, str(path))


def decode_text(content: bytes, where: str) -> str:
    """Return UTF-8 bytes as text without their byte-order mark; `where` names them in errors.

    Raises:
        ConfigError: the bytes are not UTF-8.
    """
    if content.startswith(_UTF16):
        raise ConfigError(f"{where}: the text is UTF-16; save it as UTF-8")
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"{where}: line {line}: byte {content[error.start]:#04x} is not UTF-8; "
            "save the file as UTF-8"
        ) from None


def parse_toml(text: str, where: str) -> dict[str, Any]:
    """Return the tables of a TOML text; `where` names it in errors.

    Raises:
        ConfigError: the text is not TOML.
    """
    for number, line in enumerate(text.split("\n"), 1):
        if line.count(".") > _DOTS_MAX and any(
            word.count(".") > _DOTS_MAX for word in _WORDS.split(line)
        ):
            raise ConfigError(f"{where}: line {number}: a key is nested deeper than {_DOTS_MAX}")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where}: not TOML: {error}") from None
    except ValueError:
        raise ConfigError(f"{where}: not TOML: a number has thousands of digits") from None
    except RecursionError:
        raise ConfigError(f"{where}: not TOML: lists or tables are nested too deep") from None


def read_toml(path: Path) -> dict[str, Any]:
    """Return the tables of a TOML file; errors as `read_text` and `parse_toml`."""
    return parse_toml(read_text(path), str(path))


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
