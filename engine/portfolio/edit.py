"""Another portfolio of a portfolio: strategies, books or shares changed, all else as it was."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from engine.decision.allocation.allocate import manual_shares
from engine.model.errors import ConfigError
from engine.model.near import meant
from engine.model.portfolio import Portfolio
from engine.portfolio.file import parse_portfolio
from engine.portfolio.membership import memberships
from engine.portfolio.text import plain, toml_text

_ADDABLE = ("strategy", "book", "symbols", "allocation")


class Shared(NamedTuple):
    """Who shares a whole with a unit: the book whose members do, "" for the account's books."""

    book: str
    unit: str
    share_frac: dict[str, float]


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


def taken_out(portfolio: Portfolio, target: str) -> dict[str, Any]:
    """Return the tables that `without` leaves out: what `with_added` takes to bring them back.

    Raises:
        ConfigError: nothing has that name.
    """
    gone = members_of(portfolio, target)
    now = plain(portfolio)
    books = []
    for book in now.get("book", []):
        members = {n: share for n, share in book["members"].items() if n in gone}
        whole = len(members) == len(book["members"])
        if members:
            books.append(book if whole else {"name": book["name"], "members": members})
    units = {book["name"] for book in books} | gone
    shares = now.get("allocation", {}).get("shares", {})
    kept = {n: share for n, share in shares.items() if n in units}
    tables: dict[str, Any] = {"strategy": [s for s in now["strategy"] if s["name"] in gone]}
    if books:
        tables["book"] = books
    if kept:
        tables["allocation"] = {"shares": kept}
    return tables


def shared(portfolio: Portfolio, target: str) -> Shared:
    """Return the shares that a strategy or book has its own among.

    A strategy beside others in its book has a share of that book; one that is alone in it stands
    for the book, and a book has a share of the account.

    Raises:
        ConfigError: nothing has that name.
    """
    books = {book.name: book for book, _, _ in memberships(portfolio)}
    own = next((book for book in books.values() if target in book.members), None)
    if own is not None and len(own.members) > 1:
        whole = sum(own.members.values())
        return Shared(own.name, target, {n: share / whole for n, share in own.members.items()})
    unit = target if own is None else own.name
    if unit not in books:
        members = [name for book in books.values() for name in book.members]
        hint = meant(target, [*members, *books])
        raise ConfigError(f"no strategy or book is named {target!r}{hint}")
    shares = manual_shares(portfolio.allocation.shares, list(books)).tolist()
    return Shared("", unit, dict(zip(books, shares, strict=True)))


def with_share(portfolio: Portfolio, target: str, share_frac: float) -> Portfolio:
    """Return the portfolio with a share set; what is left goes to the others as they had it.

    The numbers are written in the measure that was there, so that what is added later counts as
    much as before.

    Raises:
        ConfigError: nothing has that name, shares are not manual, or the share is impossible.
    """
    method = portfolio.allocation.method
    if method != "manual":
        raise ConfigError(f"allocation.method is {method!r}, which decides the shares once a day")
    book, unit, shares = shared(portfolio, target)
    if len(shares) == 1:
        raise ConfigError(f"{target} is the only one: it has the whole account")
    if not 0.0 <= share_frac <= 1.0:
        raise ConfigError(f"a share of {share_frac:g}: it is a fraction from 0 to 1")
    if book and not 0.0 < share_frac < 1.0:
        raise ConfigError(f"{unit} shares book {book} with others: disable it, or them, for 0 or 1")
    rest = sum(share for name, share in shares.items() if name != unit)
    equal = 1.0 / (len(shares) - 1)
    changed = {
        name: (1.0 - share_frac) * (share / rest if rest > 0.0 else equal)
        for name, share in shares.items()
    } | {unit: share_frac}
    now = plain(portfolio)
    if book:
        of = next(b for b in now["book"] if b["name"] == book)
        of["members"] = _in_measure(changed, of["members"])
    else:
        of = now.setdefault("allocation", {})
        of["shares"] = _in_measure(changed, of.get("shares", {}))
    return _checked(now, f"the portfolio with another share of {target}")


def _in_measure(shares: Mapping[str, float], before: Mapping[str, float]) -> dict[str, float]:
    """Return shares that sum to 1 as numbers whose mean is that of the ones before."""
    whole = sum(before.values()) / len(before) * len(shares) if before else 0.0
    return {name: share * (whole or 1.0) for name, share in shares.items()}


def members_of(portfolio: Portfolio, target: str) -> set[str]:
    """Return the strategies that a strategy's or book's name stands for.

    Raises:
        ConfigError: nothing has that name.
    """
    pairs = [(book.name, strategy.name) for book, strategy, _ in memberships(portfolio)]
    gone = {name for _, name in pairs if name == target}
    gone = gone or {name for book, name in pairs if book == target}
    if not gone:
        hint = meant(target, [name for pair in pairs for name in pair])
        raise ConfigError(f"no strategy or book is named {target!r}{hint}")
    return gone


def _checked(tables: Mapping[str, Any], where: str) -> Portfolio:
    return parse_portfolio(toml_text({k: v for k, v in tables.items() if v != []}), where)
