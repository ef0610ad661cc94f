"""Another portfolio of a portfolio: strategies and books added or removed, all else as it was."""

from collections.abc import Mapping
from typing import Any

from engine.model.errors import ConfigError
from engine.model.portfolio import Portfolio
from engine.portfolio.contents import memberships
from engine.portfolio.file import parse_portfolio
from engine.portfolio.text import plain, toml_text

_ADDABLE = ("strategy", "book", "symbols", "allocation")


def with_added(portfolio: Portfolio, tables: Mapping[str, Any]) -> Portfolio:
    """Return the portfolio with the strategies, books and symbols of a portfolio's tables added.

    A [[book]] of a name that is there gets the members; `allocation` may give `shares`.

    Raises:
        ConfigError: the tables say more than that, change what is there, or something impossible.
    """
    for name in tables.keys() - set(_ADDABLE):
        raise ConfigError(f"[{name}] cannot be added: only {', '.join(_ADDABLE)}")
    if not tables.get("strategy"):
        raise ConfigError("no [[strategy]] to add")
    now = plain(portfolio)
    now["strategy"] = now.get("strategy", []) + list(tables["strategy"])
    now["book"] = _books(now.get("book", []), tables.get("book", []))
    for name, override in tables.get("symbols", {}).items():
        if override != now.setdefault("symbols", {}).setdefault(name, override):
            raise ConfigError(f"[symbols.{name}] is there already and says something else")
    allocation = tables.get("allocation", {})
    for name in allocation.keys() - {"shares"}:
        raise ConfigError(f"allocation.{name} cannot be added: only allocation.shares")
    if shares := allocation.get("shares"):
        before = now.setdefault("allocation", {}).get("shares", {})
        now["allocation"]["shares"] = before | shares
    return _checked(now, "added to the portfolio")


def _books(now: list[dict[str, Any]], added: list[dict[str, Any]]) -> list[dict[str, Any]]:
    books = [dict(book) for book in now]
    by_name = {book["name"]: book for book in books}
    for book in added:
        name = book.get("name", "")
        if name not in by_name:
            books.append(book)
            continue
        for key in book.keys() - {"name", "members"}:
            raise ConfigError(f"book {name!r} is there already: its {key} stays as it is")
        by_name[name]["members"] = by_name[name]["members"] | book.get("members", {})
    return books


def without(portfolio: Portfolio, target: str) -> Portfolio:
    """Return the portfolio without a strategy, or without a book and all its members.

    Raises:
        ConfigError: nothing has that name, or what is left is impossible.
    """
    gone = members_of(portfolio, target)
    now = plain(portfolio)
    now["strategy"] = [s for s in now["strategy"] if s["name"] not in gone]
    for book in now.get("book", []):
        book["members"] = {n: s for n, s in book["members"].items() if n not in gone}
    now["book"] = [book for book in now.get("book", []) if book["members"]]
    shares = now.get("allocation", {}).get("shares", {})
    left = {b["name"] for b in now["book"]} | {s["name"] for s in now["strategy"]}
    if shares:
        now["allocation"]["shares"] = {n: share for n, share in shares.items() if n in left}
    return _checked(now, f"the portfolio without {target}")


def members_of(portfolio: Portfolio, target: str) -> set[str]:
    """Return the strategies that a strategy's or book's name stands for.

    Raises:
        ConfigError: nothing has that name.
    """
    pairs = [(book.name, strategy.name) for book, strategy, _ in memberships(portfolio)]
    gone = {name for _, name in pairs if name == target}
    gone = gone or {name for book, name in pairs if book == target}
    if not gone:
        raise ConfigError(f"no strategy or book is named {target!r}")
    return gone


def _checked(tables: Mapping[str, Any], where: str) -> Portfolio:
    return parse_portfolio(toml_text({k: v for k, v in tables.items() if v != []}), where)
