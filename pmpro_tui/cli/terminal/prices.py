"""Recorded prices for `pmpro terminal run`: the bar and tick files of a directory.

Tick files are `<SYMBOL>_ticks_<PERIOD>_<SOURCE>.parquet` with `time` (UTC), `bid` and `ask`.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np

from backtest.data.bar_file import BarFile
from backtest.data.files import MarketFile, list_files
from backtest.data.load import common_start, load_bars
from engine.model.errors import DataError
from engine.model.symbols import DEFAULT_SYMBOLS, SymbolSpec
from engine.model.times import NS_PER_DAY, NS_PER_MS, Timeframe, iso_utc
from engine.terminal.simulated.prices.prices import ReplaySource
from engine.terminal.simulated.prices.recorded_ticks import TICK_DTYPE, RecordedTicks
from pmpro_tui.cli.output import print_note

# Prices before the start, and prices to trade on.
HISTORY_NS = 30 * NS_PER_DAY
TRADED_NS = 60 * NS_PER_DAY

_TICK_NAME = re.compile(r"(?P<symbol>.+?)_ticks_[^_]+_(?P<source>.+)\.parquet")


def first_moment(data: Path, source: str | None) -> int:
    """Return where the symbol that begins last has bars to look back at.

    Raises:
        DataError: no known symbol has bars.
    """
    names = {file.symbol for file in _bar_files(data, source)}
    if not names:
        raise DataError(f"{data}: no M1 file of a known symbol: {', '.join(DEFAULT_SYMBOLS)}")
    return common_start(data, sorted(names)) + HISTORY_NS


def recorded_prices(
    data: Path, source: str | None, start_ns: int, currency: str
) -> tuple[list[SymbolSpec], ReplaySource]:
    """Return the symbols that have prices at the start and convert to `currency`, and the prices.

    Raises:
        DataError: there is none, or a file cannot be read.
    """
    files = [file for file in _bar_files(data, source) if _covers(file, start_ns)]
    ticks = _ticks(data, source, start_ns)
    specs = _convertible({file.symbol for file in files} | ticks.keys(), currency)
    if not specs:
        raise DataError(f"{data}: no symbol has M1 bars at {iso_utc(start_ns)}: choose --start")
    names = {spec.name for spec in specs} & {file.symbol for file in files}
    with_bars = [spec for spec in specs if spec.name in names]
    period = start_ns - HISTORY_NS, start_ns + TRADED_NS
    bars, notes, _ = load_bars(data, with_bars, *period, source=source)
    for note in notes:
        print_note(note)
    return specs, ReplaySource(bars, specs, ticks)


def _bar_files(data: Path, source: str | None) -> list[MarketFile]:
    files, _ = list_files(data)
    return [
        file
        for file in files
        if file.timeframe == Timeframe.M1
        and file.symbol in DEFAULT_SYMBOLS
        and source in (None, file.source)
    ]


def _covers(file: MarketFile, start_ns: int) -> bool:
    times = BarFile(file).time_ns
    return len(times) > 0 and int(times[0]) <= start_ns <= int(times[-1])


def _convertible(names: set[str], currency: str) -> list[SymbolSpec]:
    """Return the symbols whose profits the others convert to the account's currency."""
    specs = [spec for name, spec in DEFAULT_SYMBOLS.items() if name in names]
    pairs = {(spec.base, spec.profit_currency) for spec in specs}
    return [
        spec
        for spec in specs
        if spec.profit_currency == currency
        or {(spec.profit_currency, currency), (currency, spec.profit_currency)} & pairs
    ]


def _ticks(data: Path, source: str | None, start_ns: int) -> dict[str, RecordedTicks]:
    """Return the ticks of the symbols that have some at the start."""
    found: dict[str, RecordedTicks] = {}
    for path in sorted(data.iterdir()):
        match = _TICK_NAME.fullmatch(path.name)
        if not match or match["symbol"] not in DEFAULT_SYMBOLS:
            continue
        if source not in (None, match["source"]):
            continue
        ticks = _read_ticks(path)
        if not len(ticks) or not ticks["time_ns"][0] <= start_ns <= ticks["time_ns"][-1]:
            continue
        if match["symbol"] in found:
            raise DataError(f"{path}: {match['symbol']} has other ticks then: choose by --source")
        found[match["symbol"]] = RecordedTicks(match["symbol"], ticks)
    return found


def _read_ticks(path: Path) -> "np.ndarray[Any, np.dtype[np.void]]":
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.read_table(path, columns=["time", "bid", "ask"])
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
    unit = pa.timestamp("ms", tz="UTC")
    if table.column_names != ["time", "bid", "ask"] or table.schema.field("time").type != unit:
        raise DataError(f"{path}: wants columns time (timestamp[ms, UTC]), bid and ask")
    ticks = np.zeros(table.num_rows, TICK_DTYPE)
    ticks["time_ns"] = table.column("time").to_numpy().astype("<i8") * NS_PER_MS
    for name in ("bid", "ask"):
        ticks[name] = table.column(name).to_numpy()
    return ticks
