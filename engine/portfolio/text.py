"""A portfolio as the text of its file: what differs from the defaults, in TOML."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from engine.model.portfolio import Portfolio

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+\Z")


def portfolio_text(portfolio: Portfolio) -> str:
    """Return the portfolio's TOML."""
    return toml_text(plain(portfolio))


def plain(value: Any) -> Any:
    """Return structs as dictionaries of what differs from their defaults."""
    if isinstance(value, msgspec.Struct):
        fields = {f.name: getattr(value, f.name) for f in msgspec.structs.fields(value)}
        defaults = {f.name: _default(f) for f in msgspec.structs.fields(value)}
        return {name: plain(v) for name, v in fields.items() if v != defaults[name]}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def _default(field: msgspec.structs.FieldInfo) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return field.default


def toml_text(tables: Mapping[str, Any]) -> str:
    """Return TOML: top-level values first, then a section for every table and list of tables."""
    values = {k: v for k, v in tables.items() if not _is_table(v) and not _is_tables(v)}
    parts = [_lines(values)] if values else []
    for key, value in tables.items():
        if _is_table(value):
            parts.append(section_text((key,), value))
        elif _is_tables(value):
            parts += [f"[[{_key(key)}]]\n{_lines(item)}" for item in value]
    return "\n".join(parts)


def section_text(head: Sequence[str], table: Mapping[str, Any]) -> str:
    """Return a table below its header, which has the names that lead to it."""
    return f"[{'.'.join(map(_key, head))}]\n{_lines(table)}"


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(_is_table(item) for item in value)


def _lines(table: Mapping[str, Any]) -> str:
    return "".join(f"{_key(key)} = {_value(value)}\n" for key, value in table.items())


def _key(key: str) -> str:
    return key if _BARE_KEY.match(key) else _quoted(key)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, str):
        return _quoted(value)
    return json.dumps(value) if isinstance(value, bool) else repr(value)


def _quoted(text: str) -> str:
    """Return a string as TOML has it: every character that is not visible by its number."""
    return '"' + "".join(map(_character, text)) + '"'


def _character(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    return character if character.isprintable() else f"\\U{ord(character):08X}"
