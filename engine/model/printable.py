r"""Text of others made fit for a terminal, a log line and a database: the one place that does it.

What a strategy raises, a broker writes, a client claims or a file is called may hold anything.
Every character that is not a visible one is written as Python writes it in a literal: ESC as
`\x1b`, a line feed as `\n`, a right-to-left override as `\u202e`, half a surrogate pair as
`\udcff`. Letters, marks and spaces of every script stay. A clean text stays as it is.
"""

import re
import unicodedata
from collections.abc import Iterable
from typing import Any, Final, TypeVar

import msgspec

TEXT_MAX_CHARS: Final = 2_000
"""The longest text of an event, an error or an answer."""

NAME_MAX_CHARS: Final = 256
"""The longest name, comment or claim."""

# From here on there is room to say how much is missing.
_COUNTED_FROM_CHARS = 60

# Letters and marks by their category, yet nothing is drawn: Default_Ignorable_Code_Point of
# https://www.unicode.org/Public/UCD/latest/ucd/DerivedCoreProperties.txt
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)

# PostgreSQL's texts hold every character but these, its documents neither.
_NOT_STORABLE = re.compile("[\x00\ud800-\udfff]")

_Record = TypeVar("_Record", bound=msgspec.Struct)


def printable(text: str, most_chars: int = TEXT_MAX_CHARS) -> str:
    """Return one line of visible characters; one that is too long ends in "… (n more)"."""
    if len(text) <= most_chars and is_printable(text):
        return text
    # What is beyond cannot be kept: gigabytes cost no more than a long text.
    pieces = [_shown(character) for character in text[: most_chars + 1]]
    if sum(map(len, pieces)) <= most_chars:
        return "".join(pieces)
    counted = most_chars >= _COUNTED_FROM_CHARS
    room_chars = most_chars - len(f"… ({len(text):,} more)" if counted else "…")
    n_kept = 0
    for piece in pieces:
        room_chars -= len(piece)
        if room_chars < 0:
            break
        n_kept += 1
    end = f"… ({len(text) - n_kept:,} more)" if counted else "…"
    return "".join(pieces[:n_kept]) + end


def is_printable(text: str) -> bool:
    """Tell whether every character is a visible one: then `printable` changes none."""
    return text.isprintable() and (text.isascii() or _UNSEEN.search(text) is None)


def printable_name(text: str) -> str:
    """Return a name, comment or claim as `printable` does, and shorter."""
    return printable(text, NAME_MAX_CHARS)


def printable_value(value: Any, most_chars: int = TEXT_MAX_CHARS) -> Any:
    """Return a document of plain values or records with printable texts and keys."""
    if isinstance(value, str):
        return printable(value, most_chars)
    if isinstance(value, dict):
        made = {
            printable_value(key, most_chars): printable_value(item, most_chars)
            for key, item in value.items()
        }
        return value if _same(made.items(), value.items()) else made
    if isinstance(value, list | tuple):
        items = [printable_value(item, most_chars) for item in value]
        if _same(items, value):
            return value
        return items if isinstance(value, list) else tuple(items)
    return printable_record(value, most_chars) if isinstance(value, msgspec.Struct) else value


def printable_record(record: _Record, most_chars: int = NAME_MAX_CHARS) -> _Record:
    """Return a record with printable texts, those in its lists, tables and records too."""
    changed = {}
    for name in record.__struct_fields__:
        value = getattr(record, name)
        made = printable_value(value, most_chars)
        if made is not value:
            changed[name] = made
    return msgspec.structs.replace(record, **changed) if changed else record


def storable_record(record: _Record) -> _Record:
    """Return a record whose texts a database takes: NUL and half characters are written out."""
    values = {name: getattr(record, name) for name in record.__struct_fields__}
    made = {name: _storable(value) for name, value in values.items()}
    changed = {name: value for name, value in made.items() if value is not values[name]}
    return msgspec.structs.replace(record, **changed) if changed else record


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return _NOT_STORABLE.sub(lambda found: _shown(found.group()), value)
    if isinstance(value, dict):
        return {_storable(key): _storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_storable(item) for item in value)
    return storable_record(value) if isinstance(value, msgspec.Struct) else value


def described(error: BaseException, *, bare: tuple[type[BaseException], ...] = ()) -> str:
    """Return an error's class and text, of the `bare` classes the text alone.

    Never raises: `__str__` of a class of others may raise, recurse or return megabytes.
    """
    try:
        text = _exact(str(error))
        name = "" if isinstance(error, bare) else _class_name(error)
    except BaseException as other:  # border: code of others
        return printable(f"{_class_name(error)} (its text cannot be read: {_class_name(other)})")
    return printable(f"{name}: {text}" if name and text else name or text)


def _class_name(error: BaseException) -> str:
    # Not asked of the class, whose own class may have another answer.
    name: str = type.__dict__["__name__"].__get__(type(error))
    return _exact(name)


def _exact(text: str) -> str:
    """Return a text as a plain str: a subclass may say of itself what it likes."""
    return str.__getitem__(text, slice(0, str.__len__(text)))


def _same(one: Iterable[Any], other: Iterable[Any]) -> bool:
    made, given = list(one), list(other)
    return len(made) == len(given) and all(
        a is b or (type(a) is tuple and _same(a, b)) for a, b in zip(made, given, strict=True)
    )


def _shown(character: str) -> str:
    visible = character.isprintable() and _UNSEEN.match(character) is None
    if visible or unicodedata.category(character) == "Zs":
        return character
    return character.encode("unicode_escape").decode("ascii")
