"""Answers to what consoles ask beside the snapshot, on the thread of the client that asks.

From copies of the core (`picture`), and from the database through a reader that has deadlines of
its own: nothing here touches the engine thread.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import numpy as np

from engine.decision import read, signals
from engine.decision.state import Core, Floats, Records
from engine.metrics.risk import correlation
from engine.model.errors import StoreError, Unanswered, UserError
from engine.model.near import meant
from engine.model.reasons import Refusal
from engine.model.views.decisions import Rule, read_rules
from engine.model.views.details import (
    AuditOf,
    BacktestOf,
    Backtests,
    BacktestsOf,
    Correlation,
    Correlations,
    Detail,
    OrdersOf,
    Question,
    RecordOf,
    Rules,
    RulesOf,
    RuleView,
    SlotView,
    StrategyDetail,
    StrategyOf,
    VoteView,
)
from engine.portfolio.compile import CompiledPortfolio
from engine.store import questions
from engine.store.reader import Reader
from engine.trading.trader import Trader


class Decided(NamedTuple):
    """A slot's row of `checks` as it was, and the batch at which it came to be so."""

    checks: bytes
    at_ns: int


class CoreCopy(NamedTuple):
    """One moment of the core; `decided` by slot, only those that decided since the start."""

    compiled: CompiledPortfolio
    outputs: Records
    days: Floats
    covariance: Floats
    n_samples: tuple[int, ...]
    net_frac: tuple[float, ...]
    threshold_frac: float
    decided: dict[str, Decided]


def take_picture(trader: Trader, before: CoreCopy | None) -> CoreCopy:
    """Return the core as it is now, on the engine thread, right after the exposures are marked."""
    core = trader.core
    equity_ccy = read.account(core).equity_ccy
    net_ccy = read.net_ccy(core)
    return CoreCopy(
        compiled=trader.compiled,
        outputs=core.outputs.copy(),
        days=core.days.copy(),
        covariance=core.covariance.copy(),
        n_samples=tuple(read.n_samples(core).tolist()),
        net_frac=tuple((net_ccy / equity_ccy if equity_ccy > 0.0 else net_ccy * np.nan).tolist()),
        threshold_frac=read.limits(core).correlation_threshold_frac,
        decided=_decided(trader, core, {} if before is None else before.decided),
    )


def _decided(trader: Trader, core: Core, before: dict[str, Decided]) -> dict[str, Decided]:
    now_ns = read.account(core).batch_ns
    # Rows that no decision has written yet hold nothing but NaN and zeros.
    asked = np.flatnonzero((core.checks > 0.0).any(axis=(1, 2))).tolist()
    found = {}
    for slot in asked:
        name, checks = trader.names.slots[slot], core.checks[slot].tobytes()
        known = before.get(name)
        found[name] = known if known and known.checks == checks else Decided(checks, now_ns)
    return found


class Details:
    """Answers questions; any thread. `portfolios` and `data`: what a backtest can be made of."""

    def __init__(
        self,
        *,
        picture: Callable[[], CoreCopy | None],
        reader: Reader,
        portfolios: Callable[[], tuple[str, ...]],
        data: str,
    ) -> None:
        self._picture = picture
        self._reader = reader
        self._portfolios = portfolios
        self._data = data

    def answer(self, question: Question) -> Detail:
        """Return the details asked for.

        Raises:
            UserError: there is no such thing.
            Unanswered: what keeps it is away.
        """
        try:
            match question:
                case RulesOf():
                    return rules(self._now(), question.slot)
                case Correlations():
                    return correlations(self._now())
                case StrategyOf():
                    return self._strategy(question)
                case RecordOf():
                    return self._reader.read(lambda session: questions.record(session, question))
                case AuditOf():
                    return self._reader.read(lambda session: questions.audit(session, question))
                case OrdersOf():
                    return self._reader.read(lambda session: questions.orders(session, question))
                case BacktestsOf():
                    return self._backtests(question)
                case BacktestOf():
                    return self._reader.read(lambda session: questions.backtest(session, question))
        except StoreError as error:
            raise Unanswered(f"the database cannot tell: {error}") from None

    def _now(self) -> CoreCopy:
        picture = self._picture()
        if picture is None:
            raise Unanswered("the engine is still starting; ask again in a moment")
        return picture

    def _strategy(self, question: StrategyOf) -> StrategyDetail:
        known = strategy(self._now(), question.name)
        try:
            kept = self._reader.read(lambda session: questions.strategy(session, question))
        except StoreError as error:
            return msgspec.structs.replace(known, database=str(error))
        return msgspec.structs.replace(known, **kept)

    def _backtests(self, question: BacktestsOf) -> Backtests:
        portfolio = self._now().compiled
        try:
            stored, database = self._reader.read(lambda s: questions.backtests(s, question)), "ok"
        except StoreError as error:
            stored, database = (), str(error)
        return Backtests(
            stored=stored,
            portfolios=self._portfolios(),
            symbols=tuple(spec.name for spec in portfolio.symbols[: portfolio.n_traded_symbols]),
            data=self._data,
            database=database,
        )


def rules(now: CoreCopy, slot: str) -> Rules:
    """Return what the rules last said: of every slot in short, of one in full.

    Raises:
        UserError: there is no such slot.
    """
    names = [which.name for which in now.compiled.slots]
    if slot and slot not in names:
        raise UserError(f"no book trades {slot!r} as BOOK/SYMBOL{meant(slot, names)}")
    decided = now.decided.get(slot)
    asked = [] if decided is None else read_rules(decided.checks)
    return Rules(
        slots=tuple(_slot(name, now.decided.get(name)) for name in names),
        slot=slot,
        rules=tuple(RuleView(**rule._asdict()) for rule in asked),
    )


def _slot(name: str, decided: Decided | None) -> SlotView:
    if decided is None:
        return SlotView(name=name)
    said = read_rules(decided.checks)
    used = {rule.name: part for rule in said if not math.isnan(part := _used_frac(rule))}
    nearest = max(used, key=used.__getitem__, default="")
    return SlotView(
        name=name,
        decided_ns=decided.at_ns,
        refusal=next((rule.name for rule in said if not rule.ok), ""),
        nearest=nearest,
        used_frac=used.get(nearest, math.nan),
    )


# Theirs is the least that is allowed: there is no part of it to use up.
_LEAST = {Refusal.STOP_TOO_CLOSE.name.lower(), Refusal.VOLUME_BELOW_MIN.name.lower()}


def _used_frac(rule: Rule) -> float:
    measured = 0.0 < rule.limit < math.inf and rule.name not in _LEAST
    if rule.name == Refusal.DIVERSIFICATION.name.lower() and rule.limit >= 1.0:
        measured = False  # a share of 1 is the whole: below a certain gross nothing is asked
    return rule.value / rule.limit if measured else math.nan


def correlations(now: CoreCopy) -> Correlation:
    """Return the correlation of every symbol with every other one."""
    matrix = correlation(now.covariance)
    return Correlation(
        symbols=tuple(spec.name for spec in now.compiled.symbols),
        matrix=tuple(map(tuple, matrix.tolist())),
        n_samples=now.n_samples,
        net_frac=now.net_frac,
        threshold=now.threshold_frac,
    )


def strategy(now: CoreCopy, name: str) -> StrategyDetail:
    """Return what the engine knows of a strategy without the database.

    Raises:
        UserError: there is no such strategy.
    """
    names = [one.name for one in now.compiled.strategies]
    if name not in names:
        raise UserError(f"no strategy is named {name!r}{meant(name, names)}")
    member = names.index(name)
    slot = next(one for one in now.compiled.slots if member in one.members)
    one, days = now.compiled.strategies[member], now.days[:, member]
    sizing = slot.book.sizing
    return StrategyDetail(
        name=name,
        kind=one.kind,
        symbol=one.symbol,
        timeframe=one.timeframe,
        book=slot.book.name,
        params=one.params,
        combine=slot.book.combine,
        sizing="fixed_fraction" if sizing is None else sizing.method,
        votes=tuple(_vote(now, m) for m in slot.members),
        days_r=tuple(days[~np.isnan(days)].tolist()),
    )


# The rule's source, which reads nothing but `outputs`: a picture has no other part of a core.
_votes: Callable[[Any, int], bool] = getattr(signals.votes, "py_func", signals.votes)


def _vote(now: CoreCopy, member: int) -> VoteView:
    output = read.member(now.outputs, member)
    return VoteView(
        strategy=now.compiled.strategies[member].name,
        votes=bool(_votes(now, member)),
        direction=output.direction,
        confidence=output.confidence,
        share=output.share,
        entry_share=output.entry_share,
    )
