"""A portfolio with other symbols and costs, for a backtest that asks "what if"."""

import msgspec

from engine.model.errors import ConfigError
from engine.model.jobs import Variant
from engine.model.near import meant
from engine.model.portfolio import Portfolio, SymbolOverride
from engine.portfolio.check import portfolio_faults


def varied(portfolio: Portfolio, variant: Variant) -> Portfolio:
    """Return the portfolio with what the variant changes.

    Raises:
        ConfigError: nothing of it trades a symbol that is asked for, or a cost is impossible.
    """
    if variant.symbols:
        portfolio = _only(portfolio, variant.symbols)
    costs = {
        name: value
        for name in ("commission_per_lot_ccy", "spread_points")
        if (value := getattr(variant, name)) is not None
    }
    if not costs:
        return portfolio
    traded = dict.fromkeys(one.symbol for one in portfolio.strategy)
    symbols = portfolio.symbols | {
        name: msgspec.structs.replace(portfolio.symbols.get(name, SymbolOverride()), **costs)
        for name in traded
    }
    changed = msgspec.structs.replace(portfolio, symbols=symbols)
    for complaint in portfolio_faults(changed):
        raise ConfigError(complaint)
    return changed


def _only(portfolio: Portfolio, symbols: tuple[str, ...]) -> Portfolio:
    """Return it with the strategies on these symbols, and the books that still have members."""
    traded = {one.symbol for one in portfolio.strategy}
    if missing := [name for name in symbols if name not in traded]:
        hint = meant(missing[0], traded) or ":"
        raise ConfigError(
            f"no strategy trades {', '.join(missing)}{hint} {', '.join(sorted(traded))}"
        )
    kept = [one for one in portfolio.strategy if one.symbol in symbols]
    names = {one.name for one in kept}
    books = []
    for book in portfolio.book:
        members = {name: share for name, share in book.members.items() if name in names}
        if members:
            books.append(msgspec.structs.replace(book, members=members))
    owners = names | {book.name for book in books}
    shares = {n: share for n, share in portfolio.allocation.shares.items() if n in owners}
    return msgspec.structs.replace(
        portfolio,
        strategy=kept,
        book=books,
        allocation=msgspec.structs.replace(portfolio.allocation, shares=shares),
    )
