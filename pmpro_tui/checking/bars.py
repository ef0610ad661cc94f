"""The bars that strategies are checked on: generated ones, or a directory's."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from backtest.data.load import common_start, load_bars
from backtest.series import make_series
from engine.model.bars import Bars
from engine.model.server_clock import ServerClock
from engine.model.symbols import SymbolSpec
from engine.model.times import NS_PER_DAY, NS_PER_HOUR, NS_PER_MINUTE, NS_PER_S, Timeframe
from engine.terminal.simulated.prices.generated import GeneratedSource, hash_key, uniforms
from pmpro_tui.checking.records import BarsWanted
from strategies.base import Columns, Strategy
from strategies.checks.warmup import FACTORS, LEAST_BARS

# Generated bars end at midnight before Monday, 2 March 2026, and begin so many days earlier: four
# weeks of days, six weeks, three months, three quarters, three years.
_END_NS = 1_772_409_600 * NS_PER_S
_DAYS = {
    Timeframe.M1: 28,
    Timeframe.M5: 42,
    Timeframe.M15: 90,
    Timeframe.M30: 90,
    Timeframe.H1: 270,
    Timeframe.H4: 3 * 365,
    Timeframe.D1: 3 * 365,
}
_LAST_NS = 2**62
# Of calendar time, how much has bars: five days a week, less holes.
_TRADED = 0.65
_MISSING_MINUTES = 0.01
_MISSING_HOURS = 0.01


def series_for(
    strategy: Strategy, wanted: BarsWanted, specs: Mapping[str, SymbolSpec], clock: ServerClock
) -> tuple[list[Columns], int]:
    """Return all bars of each input, with history for windows that begin earlier, and their start.

    Raises:
        UserError: there are none.
    """
    needs = [
        (strategy.timeframe, need.timeframe, (1 + max(FACTORS)) * max(need.warmup, LEAST_BARS))
        for need in strategy.inputs
    ]
    symbols = list(dict.fromkeys(need.symbol for need in strategy.inputs))
    if wanted.data:
        minutes, from_ns = _recorded(wanted, [specs[name] for name in symbols], needs)
    else:
        minutes, from_ns = generated(wanted, [specs[name] for name in symbols], needs)
    times = {name: np.ascontiguousarray(bars["time_ns"]) for name, bars in minutes.items()}
    series = [
        make_series(minutes[n.symbol], times[n.symbol], n.timeframe, clock) for n in strategy.inputs
    ]
    return [one.part(0, len(one.close_ns)) for one in series], from_ns


def _recorded(
    wanted: BarsWanted, specs: Sequence[SymbolSpec], needs: list[tuple[Timeframe, Timeframe, int]]
) -> tuple[dict[str, Bars], int]:
    data = Path(wanted.data)
    symbols = [spec.name for spec in specs]
    from_ns = common_start(data, symbols) if wanted.from_ns is None else wanted.from_ns
    to_ns = _LAST_NS if wanted.to_ns is None else wanted.to_ns
    return load_bars(data, specs, from_ns, to_ns, needs, wanted.source).bars, from_ns


def generated(
    wanted: BarsWanted,
    specs: Sequence[SymbolSpec],
    needs: Sequence[tuple[Timeframe, Timeframe, int]],
) -> tuple[dict[str, Bars], int]:
    """Return generated M1 bars with history before, and where the history ends.

    A minute or an hour is missing now and then.
    """
    to_ns = _END_NS if wanted.to_ns is None else wanted.to_ns
    days = _DAYS[needs[0][0]]
    from_ns = to_ns - days * NS_PER_DAY if wanted.from_ns is None else wanted.from_ns
    # Anchors may lie a whole period before.
    history_ns = max(int(n * frame.ns / _TRADED) for _, frame, n in needs)
    first_ns = from_ns - days * NS_PER_DAY // 3 - 7 * NS_PER_DAY - history_ns
    source = GeneratedSource(wanted.seed, specs)
    bars = {spec.name: source.bars(spec.name, first_ns, to_ns) for spec in specs}
    return {name: _with_holes(b, name, wanted.seed) for name, b in bars.items()}, from_ns


def _with_holes(bars: Bars, symbol: str, seed: int) -> Bars:
    times = np.ascontiguousarray(bars["time_ns"])
    minute = uniforms(hash_key(seed, symbol, "minute gap"), times // NS_PER_MINUTE)
    hour = uniforms(hash_key(seed, symbol, "hour gap"), times // NS_PER_HOUR)
    return bars[(minute >= _MISSING_MINUTES) & (hour >= _MISSING_HOURS)]
