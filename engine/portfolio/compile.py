"""Turn a portfolio into the arrays that the decision core runs on."""

from collections.abc import Sequence

import msgspec
import numpy as np

from engine.decision.allocation.allocate import manual_shares
from engine.decision.allocation.shadow import renew_work
from engine.decision.money import CURRENCY_DIGITS
from engine.decision.saved import Names
from engine.decision.state import (
    FIXED_FRACTION,
    FIXED_LOTS,
    KELLY,
    LIMITS,
    MAJORITY,
    MEMBER_CONFIG,
    SLOT_CONFIG,
    SYMBOL_CONFIG,
    UNANIMOUS,
    VOLATILITY_TARGET,
    VOTE,
    WEIGHTED,
    Core,
    Records,
    new_core,
)
from engine.decision.switches import begin
from engine.model.errors import ConfigError
from engine.model.portfolio import (
    RISK_LIMITS,
    AccountSpec,
    BookSpec,
    Portfolio,
    SizingSpec,
    StopsSpec,
    StrategySpec,
    SymbolOverride,
)
from engine.model.symbols import SymbolSpec
from engine.model.times import Timeframe
from engine.portfolio.membership import entry_minutes, memberships, symbol_spec

TIMEFRAMES = {timeframe.name: i for i, timeframe in enumerate(Timeframe)}
_METHODS = {
    "fixed_fraction": FIXED_FRACTION,
    "fixed_lots": FIXED_LOTS,
    "volatility_target": VOLATILITY_TARGET,
    "kelly": KELLY,
}
_QUORUMS = {"majority": MAJORITY, "unanimous": UNANIMOUS}


class Slot(msgspec.Struct, frozen=True):
    """One book's position in one symbol; `members` are indices into the strategies."""

    book: BookSpec
    symbol: str
    members: tuple[int, ...]

    @property
    def name(self) -> str:
        """Return the slot's name in saved state."""
        return f"{self.book.name}/{self.symbol}"


class CompiledPortfolio(msgspec.Struct, frozen=True, kw_only=True):
    """A portfolio in the core's order: symbols, slots and strategies by index.

    Symbols stand in the order of their first strategy; those that are only read follow, then those
    needed only to convert a profit currency.
    """

    portfolio: Portfolio
    symbols: tuple[SymbolSpec, ...]
    strategies: tuple[StrategySpec, ...]
    slots: tuple[Slot, ...]
    n_traded_symbols: int

    @property
    def symbol_index(self) -> dict[str, int]:
        """Return the index of each symbol by name."""
        return {spec.name: i for i, spec in enumerate(self.symbols)}

    @property
    def names(self) -> Names:
        """What stands in the core's arrays, by index."""
        return Names(
            [spec.name for spec in self.symbols],
            [slot.name for slot in self.slots],
            [strategy.name for strategy in self.strategies],
        )

    @property
    def members_by_slot(self) -> dict[str, list[str]]:
        """The names of each slot's members."""
        return {slot.name: [self.strategies[m].name for m in slot.members] for slot in self.slots}

    def with_symbols(self, specs: Sequence[SymbolSpec]) -> "CompiledPortfolio":
        """Return the portfolio with the terminal's own specifications, in the same order."""
        by_name = {spec.name: spec for spec in specs}
        return msgspec.structs.replace(
            self, symbols=tuple(by_name.get(spec.name, spec) for spec in self.symbols)
        )

    def core(self, balance_ccy: float | None = None) -> Core:
        """Return a flat core; disabled strategies start without a vote."""
        account = self.portfolio.account
        closed = np.array(self.portfolio.risk.closed_days, "M8[D]").astype(np.int64)
        core = new_core(
            limits=self.limits(),
            symbols=self._symbols(),
            slots=self._slots(),
            members=self._members(),
            balance_ccy=account.balance_ccy if balance_ccy is None else balance_ccy,
            closed_days=closed,
        )
        begin(core, [s.enabled for s in self.strategies], self.allocations())
        renew_work(core)
        return core

    def limits(self) -> Records:
        """Return the file's limits as the core reads them."""
        limits = np.zeros(1, LIMITS)
        for name in RISK_LIMITS:
            limits[name] = getattr(self.portfolio.risk, name)
        limits["leverage"] = self.portfolio.account.leverage
        limits["stop_out_frac"] = stop_out_frac(self.portfolio.account)
        limits["currency_digits"] = CURRENCY_DIGITS
        release = self.portfolio.risk.drawdown_release
        limits["drawdown_release_days"] = 0 if isinstance(release, str) else release
        return limits

    def _symbols(self) -> Records:
        risk = self.portfolio.risk
        out = symbol_records(self.symbols, self.portfolio.account.currency)
        for i, spec in enumerate(self.symbols):
            override = self.portfolio.symbols.get(spec.name, SymbolOverride())
            out["order_max_lots"][i] = override.order_max_lots or 0.0
            out["restricted"][i] = spec.name in risk.restricted or spec.name in risk.close_only
            first, last = entry_minutes(override.entry_hours)
            out["entry_from_minute"][i], out["entry_to_minute"][i] = first, last
        return out

    def _slots(self) -> Records:
        out = np.zeros(len(self.slots), SLOT_CONFIG)
        numbers: dict[str, int] = {}
        for i, slot in enumerate(self.slots):
            book, sizing = slot.book, slot.book.sizing or SizingSpec()
            stops = slot.book.stops or StopsSpec()
            frames = {TIMEFRAMES[self.strategies[m].timeframe] for m in slot.members}
            row = out[i]
            row["book"] = numbers.setdefault(book.name, len(numbers) + 1)
            row["symbol"] = self.symbol_index[slot.symbol]
            row["first_member"], row["n_members"] = slot.members[0], len(slot.members)
            row["timeframes"] = sum(1 << frame for frame in frames)
            row["combine"] = VOTE if book.combine == "vote" else WEIGHTED
            row["quorum"] = _QUORUMS.get(str(book.quorum), book.quorum)
            row["sizing"] = _METHODS[sizing.method]
            for name in ("enter", "exit", "max_orders_per_day", "max_lots"):
                row[name] = getattr(book, name)
            for name in StopsSpec.__struct_fields__:
                row[name] = getattr(stops, name)
            for name in SizingSpec.__struct_fields__:
                if name in (SLOT_CONFIG.names or ()):
                    row[name] = getattr(sizing, name)
        return out

    def allocations(self) -> list[float]:
        """Return each slot's book's share of the file over the equal share."""
        books = list(dict.fromkeys(slot.book.name for slot in self.slots))
        shares = manual_shares(self.portfolio.allocation.shares, books) * len(books)
        ratios = dict(zip(books, shares.tolist(), strict=True))
        return [ratios[slot.book.name] for slot in self.slots]

    def _members(self) -> Records:
        out = np.zeros(len(self.strategies), MEMBER_CONFIG)
        for i, slot in enumerate(self.slots):
            for m in slot.members:
                strategy = self.strategies[m]
                out[m] = (
                    i,
                    self.symbol_index[strategy.symbol],
                    TIMEFRAMES[strategy.timeframe],
                    slot.book.members[strategy.name],
                )
        return out


def stop_out_frac(account: AccountSpec) -> float:
    """Return the margin level, equity over margin, below which the broker closes."""
    return account.stop_out_level_percent / 100.0


def compile_portfolio(portfolio: Portfolio) -> CompiledPortfolio:
    """Return the portfolio in the core's order.

    Raises:
        ConfigError: a profit currency has no pair to convert it.
    """
    strategies: list[StrategySpec] = []
    grouped: dict[tuple[str, str], tuple[BookSpec, list[StrategySpec]]] = {}
    for book, strategy, symbol in memberships(portfolio):
        grouped.setdefault((book.name, symbol), (book, []))[1].append(strategy)
    slots = []
    for (_, symbol), (book, members) in grouped.items():
        first = len(strategies)
        strategies += members
        slots.append(Slot(book, symbol, tuple(range(first, len(strategies)))))
    traded = list(dict.fromkeys(s.symbol for s in portfolio.strategy))
    read = dict.fromkeys(name for s in portfolio.strategy for name in s.others)
    specs = [symbol_spec(portfolio, name) for name in dict.fromkeys((*traded, *read))]
    for spec in list(specs):
        pair = _conversion_pair(portfolio, spec)
        if pair is not None and pair.name not in {s.name for s in specs}:
            specs.append(pair)
    return CompiledPortfolio(
        portfolio=portfolio,
        symbols=tuple(specs),
        strategies=tuple(strategies),
        slots=tuple(slots),
        n_traded_symbols=len(traded),
    )


def _conversion_pair(portfolio: Portfolio, spec: SymbolSpec) -> SymbolSpec | None:
    home, away = portfolio.account.currency, spec.profit_currency
    if home == away:
        return None
    for name in (away + home, home + away):
        try:
            return symbol_spec(portfolio, name)
        except TypeError:
            continue
    raise ConfigError(
        f"{spec.name} profits in {away}, the account is in {home}: "
        f"describe {away + home} or {home + away} in [symbols]"
    )


def symbol_records(specs: tuple[SymbolSpec, ...], currency: str) -> Records:
    """Return SYMBOL_CONFIG records; conversions point at the pair among `specs`."""
    index = {spec.name: i for i, spec in enumerate(specs)}
    out = np.zeros(len(specs), SYMBOL_CONFIG)
    for i, spec in enumerate(specs):
        for name in SYMBOL_CONFIG.names or ():
            if hasattr(spec, name):
                out[name][i] = getattr(spec, name)
        direct = spec.profit_currency + currency
        inverse = currency + spec.profit_currency
        if spec.profit_currency == currency:
            out["conversion_symbol"][i] = -1
        else:
            out["conversion_symbol"][i] = index.get(direct, index.get(inverse, -2))
            out["conversion_inverse"][i] = direct not in index
            if out["conversion_symbol"][i] == -2:
                raise ConfigError(f"{spec.name}: no {direct} or {inverse} to convert its profit")
    return out


def points(symbols: Sequence[SymbolSpec]) -> dict[str, float]:
    """Return each symbol's smallest price step."""
    return {spec.name: spec.point for spec in symbols}
