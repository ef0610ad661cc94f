"""Rows of the portfolio and of its state after a batch, for the journal."""

import math

import numpy as np

from engine.decision import read
from engine.metrics.days import DayReturns, days_per_year
from engine.metrics.performance import sharpe_ratio
from engine.metrics.risk import correlation
from engine.model.records import MetricsRow, PositionItem, PositionsRow
from engine.model.times import NS_PER_DAY, iso_utc
from engine.trading.trader import Trader
from engine.views.gauges import var_frac, volatility_frac
from engine.views.parts import gross_exposure_ccy, position_views

SHARPE_DAYS_MIN = 20


def add_positions_row(trader: Trader) -> None:
    """Record the open positions as they are now."""
    now_ns = read.account(trader.core).batch_ns
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


def add_batch_rows(trader: Trader) -> None:
    """Record open positions and the day's metrics after a batch."""
    add_positions_row(trader)
    account = read.account(trader.core)
    equity = account.equity_ccy
    gross_ccy = gross_exposure_ccy(trader.core)
    trader.recorder.add(
        MetricsRow(
            date=iso_utc(account.server_day * NS_PER_DAY)[:10],
            total_balance=account.balance_ccy,
            equity=equity,
            drawdown_pct=100.0 * account.drawdown_frac,
            daily_pl=equity - account.day_start_equity_ccy,
            win_rate=trader.positions.ledger.win_rate(),
            sharpe_ratio=_sharpe(trader.day_returns),
            leverage=gross_ccy / equity if equity > 0 else 0.0,
            time_ns=account.batch_ns,
            volatility=_finite(volatility_frac(trader.core)),
            value_at_risk=_finite(var_frac(trader.core)) if equity > 0 else None,
            correlations=_correlations(trader),
        )
    )


def _sharpe(ended: DayReturns) -> float | None:
    """Return the Sharpe ratio of the days that ended; None for too few to mean anything."""
    if len(ended.returns) < SHARPE_DAYS_MIN:
        return None
    days = np.array(ended.days, np.int64)
    return _finite(sharpe_ratio(np.array(ended.returns), days_per_year(days)))


def _correlations(trader: Trader) -> dict[str, dict[str, float | None]]:
    """Return the shrunk correlations of the symbols, None where unknown."""
    names = trader.names.symbols
    matrix = correlation(trader.core.covariance).tolist()
    return {
        name: {other: _finite(value) for other, value in zip(names, row, strict=True)}
        for name, row in zip(names, matrix, strict=True)
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
