"""What each slot's position is made of, and the trades that came of it.

Amounts are the broker's own deals, in whole cents. A finished trade's are split over its members
by their entry shares so that the parts sum to them exactly, as the core splits its own
(`engine.decision.attribution`); today's results and the score are kept from those parts.
"""

import math
from collections.abc import Iterable, Mapping

import msgspec
import numpy as np

from engine.decision.attribution import split_ccy
from engine.decision.money import CURRENCY_DIGITS, round_ccy
from engine.model.orders import Intent, Outcome
from engine.model.reasons import ExitReason
from engine.model.records import Amounts, TradeRow


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What was closed of a position before its end: sums of money, and the orders that did it."""

    gross_ccy: float = 0.0
    commission_ccy: float = 0.0
    swap_ccy: float = 0.0
    orders: tuple[int, ...] = ()


class OpenTrade(msgspec.Struct, frozen=True, kw_only=True):
    """An open position: the order that opened it and whose signal it was."""

    key: str
    book: str
    symbol: str
    direction: int
    lots: float
    entry_ns: int
    entry_price: float
    stop: float
    target: float
    commission_ccy: float
    intent_id: int
    order: int
    deal: int
    shares: dict[str, float]
    parts: Parts = Parts()


class ClosedTrade(msgspec.Struct, frozen=True, kw_only=True):
    """A finished trade; `gross_ccy` is the closing deals' profit, `profit_ccy` net of all costs.

    `parts` are the members' of gross, commission and swap: they sum to the trade's.
    """

    opened: OpenTrade
    exit_ns: int
    exit_price: float
    reason: ExitReason
    commission_ccy: float
    swap_ccy: float
    gross_ccy: float
    profit_ccy: float
    parts: dict[str, Amounts] = {}


class Tally(msgspec.Struct, kw_only=True):
    """One member's results: today's, and the sums its score is made of.

    `sum_ccy` is net; of it `commission_ccy` and `swap_ccy` are costs. All in whole cents.
    """

    today_ccy: float = 0.0
    today_trades: int = 0
    n_trades: int = 0
    n_wins: int = 0
    sum_ccy: float = 0.0
    sum_square: float = 0.0
    commission_ccy: float = 0.0
    swap_ccy: float = 0.0

    def score(self) -> float:
        """Return mean over standard error of the net results a trade; NaN below two trades."""
        if self.n_trades < 2:
            return math.nan
        mean = self.sum_ccy / self.n_trades
        variance = (self.sum_square - self.n_trades * mean * mean) / (self.n_trades - 1)
        return mean / math.sqrt(variance / self.n_trades) if variance > 0.0 else 0.0


class Ledger(msgspec.Struct, kw_only=True):
    """Open trades by slot and every member's tally; saved beside the core's state."""

    account: int
    open: dict[str, OpenTrade] = {}
    tallies: dict[str, Tally] = {}

    def opened(
        self, slot: str, intent: Intent, outcome: Outcome, stop: float, target: float
    ) -> TradeRow:
        """Take a filled entry."""
        trade = OpenTrade(
            key=f"{self.account}-{intent.magic}-{intent.created_ns}",
            book=intent.book,
            symbol=intent.symbol,
            direction=intent.direction,
            lots=outcome.lots,
            entry_ns=outcome.time_ns,
            entry_price=outcome.price,
            stop=stop,
            target=target,
            commission_ccy=outcome.commission_ccy,
            intent_id=intent.id,
            order=outcome.order,
            deal=outcome.deal,
            shares=intent.shares,
        )
        self.open[slot] = trade
        return _row(trade)

    def reduced(self, slot: str, outcome: Outcome, orders: Iterable[int]) -> None:
        """Take a deal that closed a part; the trade ends with the rest."""
        trade = self.open[slot]
        parts = Parts(
            gross_ccy=_cents(trade.parts.gross_ccy + outcome.profit_ccy),
            commission_ccy=_cents(trade.parts.commission_ccy + outcome.commission_ccy),
            swap_ccy=_cents(trade.parts.swap_ccy + outcome.swap_ccy),
            orders=(*trade.parts.orders, *orders),
        )
        self.open[slot] = msgspec.structs.replace(trade, parts=parts)

    def closed(
        self, slot: str, reason: ExitReason, outcome: Outcome
    ) -> tuple[TradeRow, ClosedTrade]:
        """Take a closing deal; every member gets its share of the net result."""
        trade = self.open.pop(slot)
        before = trade.parts
        commission = _cents(trade.commission_ccy + before.commission_ccy + outcome.commission_ccy)
        swap = _cents(before.swap_ccy + outcome.swap_ccy)
        gross = _cents(before.gross_ccy + outcome.profit_ccy)
        done = ClosedTrade(
            opened=trade,
            exit_ns=outcome.time_ns,
            exit_price=outcome.price,
            reason=reason,
            commission_ccy=commission,
            swap_ccy=swap,
            gross_ccy=gross,
            profit_ccy=_cents(gross + commission + swap),
            parts=split(trade.shares, gross, commission, swap),
        )
        for member, part in done.parts.items():
            self._count(member, part)
        row = msgspec.structs.replace(
            _row(trade),
            exit_time_ns=done.exit_ns,
            exit_price=done.exit_price,
            exit_reason=reason.name,
            commission=commission,
            swap=swap,
            profit_loss=done.profit_ccy,
            close_order_ticket=outcome.order,
            close_deal_ticket=outcome.deal,
            parts=done.parts,
        )
        return row, done

    def _count(self, member: str, part: Amounts) -> None:
        tally = self.tallies.setdefault(member, Tally())
        net_ccy = _cents(part.profit_ccy + part.commission_ccy + part.swap_ccy)
        tally.today_ccy = _cents(tally.today_ccy + net_ccy)
        tally.today_trades += 1
        tally.n_trades += 1
        tally.n_wins += net_ccy > 0.0
        tally.sum_ccy = _cents(tally.sum_ccy + net_ccy)
        tally.sum_square += net_ccy * net_ccy
        tally.commission_ccy = _cents(tally.commission_ccy + part.commission_ccy)
        tally.swap_ccy = _cents(tally.swap_ccy + part.swap_ccy)

    def new_day(self) -> None:
        """Start today's results anew."""
        for tally in self.tallies.values():
            tally.today_ccy = 0.0
            tally.today_trades = 0

    def win_rate(self) -> float | None:
        """Return the members' winning results over all of them, None before the first."""
        n_trades = sum(tally.n_trades for tally in self.tallies.values())
        n_wins = sum(tally.n_wins for tally in self.tallies.values())
        return n_wins / n_trades if n_trades else None

    def open_share_ccy(self, profits_ccy: Mapping[str, float]) -> dict[str, float]:
        """Return each member's part of the open profits, which are given by slot."""
        out: dict[str, float] = {}
        for slot, trade in self.open.items():
            for member, share in trade.shares.items():
                out[member] = out.get(member, 0.0) + share * profits_ccy.get(slot, 0.0)
        return out


def split(
    shares: Mapping[str, float], profit_ccy: float, commission_ccy: float, swap_ccy: float
) -> dict[str, Amounts]:
    """Return each member's part of rounded amounts, in the order of `shares` (Σ 1), to the cent."""
    given = np.array(list(shares.values()))
    parts = np.zeros((3, len(given)))
    for amount_ccy, row in zip((profit_ccy, commission_ccy, swap_ccy), parts, strict=True):
        split_ccy(amount_ccy, given, CURRENCY_DIGITS, row)
    return {name: Amounts(*part) for name, part in zip(shares, parts.T.tolist(), strict=True)}


def _cents(amount_ccy: float) -> float:
    rounded: float = round_ccy(amount_ccy, CURRENCY_DIGITS)
    return rounded


def _row(trade: OpenTrade) -> TradeRow:
    return TradeRow(
        trade_key=trade.key,
        strategy=trade.book,
        symbol=trade.symbol,
        direction="BUY" if trade.direction > 0 else "SELL",
        lot_size=trade.lots,
        entry_time_ns=trade.entry_ns,
        entry_price=trade.entry_price,
        stop=None if math.isnan(trade.stop) else trade.stop,
        target=None if math.isnan(trade.target) else trade.target,
        commission=trade.commission_ccy,
        intent_id=trade.intent_id,
        order_ticket=trade.order,
        deal_ticket=trade.deal,
        shares=trade.shares,
    )
