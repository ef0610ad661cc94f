"""Rows for the journal, made from the trader's state."""

import math
from typing import TYPE_CHECKING, Any

import msgspec

from engine.model.bars import BAR_DTYPE, Bars
from engine.model.orders import Intent, IntentState, Outcome
from engine.model.portfolio import Strategy
from engine.model.records import (
    BarsRow,
    MetricsRow,
    OrderRow,
    PositionItem,
    PositionsRow,
    SignalRow,
    StrategyRow,
)
from engine.model.signals import DIRECTION_NAMES, StrategySignal
from engine.model.times import NS_PER_DAY, iso_utc
from engine.runtime.views import position_views

if TYPE_CHECKING:
    from engine.runtime.trader import Trader

_SIGNAL_NAMES = {1: "BUY", -1: "SELL", 0: "HOLD"}


def signal_row(
    strategy: Strategy, signal: StrategySignal, direction: int, time_ns: int
) -> SignalRow:
    """Return the row of a change of a strategy's latched direction."""
    return SignalRow(
        strategy=strategy.name,
        time_ns=time_ns,
        symbol=strategy.symbol,
        signal=_SIGNAL_NAMES[direction],
        confidence=signal.confidence,
        details={
            "direction": DIRECTION_NAMES[direction],
            "stop_distance": _finite(signal.stop_distance),
            "target_distance": _finite(signal.target_distance),
        },
    )


def order_row(intent: Intent, outcome: Outcome, now_ns: int) -> OrderRow:
    """Return an intent with what became of it."""
    unknown = outcome.state == IntentState.UNKNOWN
    return OrderRow(
        magic=intent.magic,
        intent_id=intent.id,
        book=intent.book,
        symbol=intent.symbol,
        action=intent.action,
        direction="BUY" if intent.direction > 0 else "SELL",
        lots=intent.lots,
        stop=intent.stop or None,
        target=intent.target or None,
        state=outcome.state.name,
        retcode=outcome.retcode,
        order_ticket=outcome.order,
        deal_ticket=outcome.deal,
        price=outcome.price or None,
        created_ns=intent.created_ns,
        settled_ns=None if unknown else now_ns,
        detail=outcome.detail,
    )


def bars_row(name: str, bars: Bars) -> BarsRow:
    """Return closed M1 bars as a row."""
    columns: dict[str, Any] = {field: bars[field].tolist() for field in BAR_DTYPE.names or ()}
    return BarsRow(symbol=name, timeframe_minutes=1, source="terminal", **columns)


def add_portfolio_rows(trader: "Trader") -> None:
    """Record every book and strategy as the portfolio has them."""
    slots, now_ns = trader.core.slots, int(trader.core.account[0]["batch_ns"])
    n_books = len({slot.book.name for slot in trader.compiled.slots})
    for index, slot in enumerate(trader.compiled.slots):
        trader.recorder.add(
            StrategyRow(
                name=slot.book.name,
                kind="ENSEMBLE",
                config=msgspec.to_builtins(slot.book),
                enabled=True,
                allocation=float(slots[index]["allocation"]) / n_books,
                time_ns=now_ns,
            )
        )
    for index, strategy in enumerate(trader.compiled.strategies):
        slot = trader.compiled.slots[int(trader.core.members[index]["slot"])]
        if strategy.name == slot.book.name:
            continue
        trader.recorder.add(
            StrategyRow(
                name=strategy.name,
                kind=strategy.kind,
                config=msgspec.to_builtins(strategy),
                enabled=bool(trader.core.outputs[index]["enabled"]),
                allocation=float(trader.core.members[index]["share"]) / n_books,
                time_ns=now_ns,
            )
        )


def add_batch_rows(trader: "Trader") -> None:
    """Record open positions and the day's metrics after a batch."""
    account = trader.core.account[0]
    now_ns = int(account["batch_ns"])
    equity = float(account["equity_ccy"])
    items = [
        PositionItem(
            ticket=view.ticket,
            strategy=view.owner,
            symbol=view.symbol,
            direction=view.direction,
            lot_size=view.lots,
            entry_price=view.entry_price,
            current_price=view.price,
            profit_loss=view.profit_ccy,
            open_time_ns=view.opened_ns,
            stop=_finite(view.stop),
            target=_finite(view.target),
        )
        for view in position_views(trader)
        if view.owner != "EXTERNAL"
    ]
    trader.recorder.add(PositionsRow(time_ns=now_ns, positions=items))
    trader.recorder.add(
        MetricsRow(
            date=iso_utc(int(account["server_day"]) * NS_PER_DAY)[:10],
            total_balance=float(account["balance_ccy"]),
            equity=equity,
            drawdown_pct=100.0 * float(account["drawdown_frac"]),
            daily_pl=equity - float(account["day_start_equity_ccy"]),
            win_rate=trader.positions.ledger.win_rate(),
            sharpe_ratio=None,
            leverage=float(account["gross_exposure_ccy"]) / equity if equity > 0 else 0.0,
            time_ns=now_ns,
        )
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
