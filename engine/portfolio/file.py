"""Read a portfolio file and check it: every complaint is one line naming file, key and remedy."""

import re
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec

from engine.files.text_files import parse_toml, read_text
from engine.model.errors import ConfigError
from engine.model.near import nearest
from engine.model.portfolio import Portfolio
from engine.portfolio.check import portfolio_faults

_UNKNOWN_FIELD = re.compile(r"unknown field `(?P<key>[^`]+)`(?: - at `\$(?P<path>[^`]*)`)?")
_AT = re.compile(r" - at `\$\.?(?P<path>[^`]*)`")


def read_portfolio(path: Path) -> Portfolio:
    """Return the checked portfolio in `path`.

    Raises:
        ConfigError: the file is missing, is not TOML, or says something impossible.
    """
    return parse_portfolio(read_text(path), str(path))


def parse_portfolio(text: str, where: str) -> Portfolio:
    """Return the checked portfolio in `text`; `where` names it in errors."""
    tables = parse_toml(text, where)
    try:
        portfolio = msgspec.convert(tables, Portfolio)
    except msgspec.ValidationError as e:
        raise ConfigError(f"{where}: {_explain(str(e))}") from None
    for complaint in portfolio_faults(portfolio):
        raise ConfigError(f"{where}: {complaint}")
    return portfolio


def _explain(message: str) -> str:
    if match := _UNKNOWN_FIELD.search(message):
        path = (match["path"] or "").lstrip(".")
        allowed = _fields_at(path)
        near = nearest(match["key"], allowed)
        hint = f" (did you mean {near}?)" if near else ""
        place = f" in {path}" if path else ""
        return f"unknown key {match['key']!r}{place}{hint}; allowed: {', '.join(allowed)}"
    if match := _AT.search(message):
        options = _choices_at(match["path"]) if "enum" in message else []
        tail = f"; allowed: {', '.join(options)}" if options else ""
        return f"key {match['path']!r}: {message[: match.start()]}{tail}"
    return message


def _type_at(path: str) -> Any:
    """Return the type at a msgspec path such as `strategy[0].sizing`, without its `| None`."""
    kind: Any = Portfolio
    for part in [p for p in re.split(r"[.\[]", path) if p]:
        kind = get_args(kind)[-1] if part.endswith("]") else get_type_hints(kind)[part]
        if type(None) in get_args(kind):
            kind = next(a for a in get_args(kind) if a is not type(None))
    return kind


def _fields_at(path: str) -> list[str]:
    return list(getattr(_type_at(path), "__struct_fields__", ()))


def _choices_at(path: str) -> list[str]:
    return [str(choice) for choice in get_args(_type_at(path))]
