"""A scripted picture of 200 strategies for the console's benchmark: what changes is known."""

import math
import random
import time
from collections.abc import Sequence

from msgspec.structs import replace

from engine.model.times import NS_PER_MINUTE
from engine.model.views.snapshot import PositionView, RiskView, Snapshot, StrategyView

N_STRATEGIES = 200
_N_POSITIONS = 20
_N_POINTS = 600
_SYMBOLS = ("EURUSD", "GBPUSD", "USDJPY", "AUDUSD", "XAUUSD")
_KINDS = ("ma_cross", "rsi_reversion", "macd", "donchian_breakout", "stochastic")
_STATES = ("ON", "ON", "ON", "WAITING", "SPENT", "OFF")
_SIGNALS = ("LONG", "FLAT", "SHORT")
_BALANCE_CCY = 100_000.0


class ScriptedSnapshots:
    """Snapshots of an engine; at each step another share of the rows has changed."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._strategies = [_strategy(i) for i in range(N_STRATEGIES)]
        self._positions = [_position(i) for i in range(_N_POSITIONS)]
        self._points = [(i * NS_PER_MINUTE, self._equity_ccy(i)) for i in range(_N_POINTS)]
        self._version = 0
        self.snapshot = self._make()

    def step(self, changed_frac: float) -> None:
        """Change a share of the strategies' and positions' rows, and the gauges."""
        for i in self._some(self._strategies, changed_frac):
            row, step = self._strategies[i], self._rng.uniform(-9.0, 9.0)
            pnl_ccy = round(row.pnl_today_ccy + step, 2)
            self._strategies[i] = replace(row, pnl_today_ccy=pnl_ccy, open_ccy=step)
        for i in self._some(self._positions, changed_frac):
            held, step = self._positions[i], self._rng.uniform(-9.0, 9.0)
            price = round(held.price + 1e-5 * step, held.digits)
            self._positions[i] = replace(held, price=price, profit_ccy=round(step, 2))
        self.snapshot = self._make()

    def _some(self, rows: Sequence[object], frac: float) -> list[int]:
        return self._rng.sample(range(len(rows)), round(frac * len(rows)))

    def _equity_ccy(self, i: int) -> float:
        return _BALANCE_CCY * (1.0 + 0.01 * math.sin(i / 40.0)) + self._rng.uniform(-50.0, 50.0)

    def _make(self) -> Snapshot:
        self._version += 1
        market_ns = (_N_POINTS + self._version // 240) * NS_PER_MINUTE
        if market_ns > self._points[-1][0]:
            self._points = [*self._points[1:], (market_ns, self._equity_ccy(self._version))]
        equity_ccy = self._points[-1][1]
        return Snapshot(
            version=self._version,
            mode="demo",
            account=1,
            server="bench",
            currency="USD",
            state="ACTIVE",
            state_reason="",
            connected=True,
            taken_ns=time.time_ns(),
            market_ns=market_ns,
            data_age_s=0.0,
            speed=1.0,
            latency_ms=3.0,
            journal_backlog=0,
            database="ok",
            strategies=tuple(self._strategies),
            positions=tuple(self._positions),
            risk=_risk(equity_ccy, self._points),
            equity_points=tuple(self._points),
            events=(),
        )


def _strategy(i: int) -> StrategyView:
    symbol, kind = _SYMBOLS[i % len(_SYMBOLS)], _KINDS[i % len(_KINDS)]
    return StrategyView(
        id=i,
        name=f"{symbol[:3].lower()}-{kind.partition('_')[0]}-{i:03}",
        kind=kind,
        symbol=symbol,
        timeframe="M1",
        book=f"{symbol.lower()}-{i % 4}",
        state=_STATES[i % len(_STATES)],  # type: ignore[arg-type]
        signal=_SIGNALS[i % len(_SIGNALS)],  # type: ignore[arg-type]
        confidence=0.5,
        weight_frac=1.0 / N_STRATEGIES,
        pnl_today_ccy=10.0 * math.sin(i),
        trades_today=i % 7,
        score=math.cos(i),
    )


def _position(i: int) -> PositionView:
    return PositionView(
        ticket=700_000 + i,
        owner=f"{_SYMBOLS[i % len(_SYMBOLS)].lower()}-{i % 4}",
        symbol=_SYMBOLS[i % len(_SYMBOLS)],
        direction="BUY" if i % 2 else "SELL",
        lots=0.1 + 0.01 * i,
        entry_price=1.1,
        price=1.1,
        stop=1.09,
        target=1.12,
        profit_ccy=0.0,
        opened_ns=i * NS_PER_MINUTE,
        digits=5,
    )


def _risk(equity_ccy: float, points: Sequence[tuple[int, float]]) -> RiskView:
    high_ccy = max(value for _, value in points)
    return RiskView(
        balance_ccy=_BALANCE_CCY,
        equity_ccy=equity_ccy,
        high_water_ccy=high_ccy,
        drawdown_frac=max(1.0 - equity_ccy / high_ccy, 0.0),
        drawdown_limits_frac=(0.04, 0.08, 0.12),
        tier=0,
        pnl_today_ccy=equity_ccy - _BALANCE_CCY,
        gross_exposure_frac=0.8,
        gross_exposure_max_frac=10.0,
        margin_frac=0.05,
        margin_level_frac=20.0,
        var_frac=0.012,
        volatility_frac=0.006,
        correlation_max=0.4,
    )
