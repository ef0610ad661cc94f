"""Rows of single events for the journal: orders, signals, bars."""

import math
from typing import Any

from engine.model.bars import BAR_DTYPE, Bars
from engine.model.orders import Intent, IntentState, Outcome
from engine.model.portfolio import Strategy
from engine.model.records import BarsRow, OrderRow, SignalRow
from engine.model.signals import DIRECTION_NAMES, StrategySignal

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
        decision=intent.decision,
        code=intent.code,
    )


def bars_row(name: str, bars: Bars) -> BarsRow:
    """Return closed M1 bars as a row."""
    columns: dict[str, Any] = {field: bars[field].tolist() for field in BAR_DTYPE.names or ()}
    return BarsRow(symbol=name, timeframe_minutes=1, source="terminal", **columns)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
