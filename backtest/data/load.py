"""Bars for research: a directory's files, joined, checked and cut to what a period needs."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from backtest.data.bar_file import BarFile
from backtest.data.files import PATTERN, choose_files, list_files
from backtest.data.grid import bring_to_grid
from engine.model.bars import BAR_DTYPE, Bars
from engine.model.errors import DataError
from engine.model.symbols import SymbolSpec
from engine.model.times import NS_PER_DAY, Timeframe, anchor_ns, iso_utc

# Longer than a weekend with a holiday.
LONG_GAP_NS = 4 * NS_PER_DAY
LOADERS = 2

Warmup = tuple[Timeframe, Timeframe, int]
"""A strategy's timeframe, that of an input, and how many of its bars come before its anchor."""


class UsedFile(NamedTuple):
    """A data file of which bars were taken, by name, and the SHA-256 of its content."""

    name: str
    sha256: str


class Loaded(NamedTuple):
    """Bars by symbol, on the grid of a terminal; what that moved, a line each; their files."""

    bars: dict[str, Bars]
    notes: list[str]
    files: list[UsedFile]


def load_bars(
    data_dir: Path,
    specs: Iterable[SymbolSpec],
    from_ns: int,
    to_ns: int,
    warmup: Sequence[Warmup] = (),
    source: str | None = None,
) -> Loaded:
    """Return each symbol's M1 bars that open before `to_ns`, from far enough back to warm up.

    `spread` and `volume` are NaN where the file does not know them.

    Raises:
        DataError: files are missing, malformed, contradictory, have no bar in the period, or other
            prices and spreads than the symbol's contract.
    """
    files, _ = list_files(data_dir)
    chosen = {spec: choose_files(files, spec.name, data_dir, source) for spec in specs}

    def load(spec: SymbolSpec) -> tuple[Bars, list[str], list[UsedFile]]:
        opened = [BarFile(file) for file in chosen[spec]]
        bars, used = _load_symbol(spec.name, opened, from_ns, to_ns, warmup)
        try:
            notes = bring_to_grid(bars, spec)
        except DataError as error:
            raise DataError(f"{data_dir}: {error}") from None
        return bars, notes, [_used(file.path) for file in used]

    with ThreadPoolExecutor(LOADERS) as pool:  # decoding leaves Python
        loaded = list(pool.map(load, chosen))
    return Loaded(
        {spec.name: bars for spec, (bars, _, _) in zip(chosen, loaded, strict=True)},
        [note for _, notes, _ in loaded for note in notes],
        [file for _, _, used in loaded for file in used],
    )


def _used(path: Path) -> UsedFile:
    try:
        with path.open("rb") as file:
            return UsedFile(path.name, hashlib.file_digest(file, "sha256").hexdigest())
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None


def common_start(data_dir: Path, symbols: Iterable[str]) -> int:
    """Return the open of the first bar of the symbol that starts last.

    Raises:
        DataError: a symbol has no file, or one cannot be read.
    """
    files, _ = list_files(data_dir)
    return max(
        min(int(BarFile(f).time_ns[0]) for f in choose_files(files, symbol, data_dir, None))
        for symbol in symbols
    )


def _load_symbol(
    symbol: str, files: list[BarFile], from_ns: int, to_ns: int, warmup: Sequence[Warmup]
) -> tuple[Bars, list[BarFile]]:
    """Return the bars, and the files that they are from."""
    files.sort(key=lambda f: int(f.time_ns[0]))
    start_ns = _history_start(files, from_ns, warmup)
    parts: list[tuple[BarFile, int, int]] = []
    for file in files:
        start, stop = np.searchsorted(file.time_ns, (start_ns, to_ns))
        if start < stop:
            parts.append((file, int(start), int(stop)))
    for (one, _, one_stop), (other, start, _) in pairwise(parts):
        if one.time_ns[one_stop - 1] >= other.time_ns[start]:
            raise DataError(
                f"{one.path.name} and {other.path.name} overlap at "
                f"{iso_utc(int(other.time_ns[start]))}: choose with --source "
                f"{one.file.source} or {other.file.source}, or move one file away"
            )
    joined = np.empty(sum(stop - start for _, start, stop in parts), BAR_DTYPE)
    at = 0
    for file, start, stop in parts:
        file.read(joined[at : at + stop - start], start)
        at += stop - start
    if not len(joined) or joined["time_ns"][-1] < from_ns:
        first, last = (int(files[0].time_ns[0]), max(int(f.time_ns[-1]) for f in files))
        raise DataError(
            f"{symbol}: no bar from {iso_utc(from_ns)} to {iso_utc(to_ns)}; "
            f"the files hold {iso_utc(first)} to {iso_utc(last)}"
        )
    return joined, [file for file, _, _ in parts]


def _history_start(files: list[BarFile], from_ns: int, warmup: Sequence[Warmup]) -> int:
    """Return the open of the earliest bar that a warm-up needs.

    A bar of n minutes holds at most n of M1, so this many are enough. The oldest one may be cut
    in its middle, and a further input's newest one may be open at the anchor.
    """
    times = np.concatenate([f.time_ns for f in files])
    if any(one.time_ns[-1] >= other.time_ns[0] for one, other in pairwise(files)):
        times.sort()
    start_ns = from_ns
    for primary, timeframe, bars in warmup:
        anchor = int(np.searchsorted(times, anchor_ns(timeframe, anchor_ns(primary, from_ns))))
        first = max(0, anchor - (bars + 2) * int(timeframe))
        if first < len(times):
            start_ns = min(start_ns, int(times[first]))
    return start_ns


def skipped_note(data_dir: Path) -> list[str]:
    """Return a line that names the data files whose names do not parse, if there are any."""
    _, skipped = list_files(data_dir)
    if not skipped:
        return []
    return [f"{data_dir}: skipped, not named {PATTERN}: {', '.join(skipped)}"]


def coverage_notes(bars: Mapping[str, Bars], from_ns: int, to_ns: int) -> list[str]:
    """Return a line for each symbol whose bars begin late or end early in the period."""
    out = []
    for symbol, column in bars.items():
        times = column["time_ns"]
        first = int(times[np.searchsorted(times, from_ns)])
        last = int(times[-1])
        if first - from_ns > LONG_GAP_NS or to_ns - last > LONG_GAP_NS:
            out.append(
                f"{symbol}: the period has bars only from {iso_utc(first)} to {iso_utc(last)}"
            )
    return out
