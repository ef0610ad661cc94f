"""One data file's rows: what is wrong with them, said in a line, and the rows as bars.

Columns `time, open, high, low, close[, volume, spread]` by name; others are ignored. Times are
bar opens in UTC: in parquet a timestamp with zone UTC, in CSV ISO 8601 text (no zone means UTC)
or a date and time with a space.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from backtest.data.files import MarketFile
from engine.files.text_files import decode_text
from engine.kernels.compiled import core_kernel
from engine.model.bars import Bars
from engine.model.errors import ConfigError, DataError
from engine.model.printable import printable
from engine.model.times import FAR_NS, NS_PER_MINUTE, NS_PER_MS, NS_PER_S, iso_utc

PRICES = ("open", "high", "low", "close")
REQUIRED = ("time", *PRICES)
OPTIONAL = ("volume", "spread")
# Fewer bars than this may all be far apart by chance.
_ENOUGH_BARS = 10
# A year at once would take as much again as its bars.
_ROWS_AT_ONCE = 1 << 15

# Casts would import pyarrow.compute: a tenth of a second for a product.
_NS_PER_UNIT = {"s": NS_PER_S, "ms": NS_PER_MS, "us": 1000, "ns": 1}
# What says that a parquet file's times are UTC.
_UTC = re.compile(
    r"(etc/)?(utc|uct|gmt0?|gmt[+-]0|z|zulu|universal|greenwich)|(utc)?[+-]00(:?00)?", re.IGNORECASE
)
_HEADER_MAX_BYTES = 1 << 16

Times = npt.NDArray[np.int64]


class BarFile:
    """An opened file: its checked times at once, its prices on demand."""

    def __init__(self, file: MarketFile) -> None:
        self.file = file
        self.path = file.path
        self._table: Any = None
        if self.path.suffix == ".parquet":
            self._parquet, time = _open_parquet(self.path)
        else:
            self._parquet = None
            self._table = _read_csv(self.path)
            time = self._table.column("time")
        self.time_ns: Times = _times(self.path, time)
        self.time_ns.flags.writeable = False
        _check_times(self.path, self.time_ns)

    def read(self, out: Bars, start: int) -> None:
        """Fill `out` with the checked bars from row `start`; NaN for unknown volume, spread."""
        stop = start + len(out)
        right = True
        for first, table in self._tables(start, stop):
            last = first + table.num_rows
            part = slice(max(start, first), min(stop, last))
            into = out[part.start - start : part.stop - start]
            columns = []
            for name in (*PRICES, *OPTIONAL):
                if name in table.column_names:
                    values = _floats(self.path, name, table.column(name))
                    values = values[part.start - first : part.stop - first]
                else:
                    values = np.full(len(into), np.nan)
                values.flags.writeable = False  # as Arrow's own: one version of the kernel
                columns.append(values)
            right &= fill_bars(into, self.time_ns[part], *columns)
        if not right:
            _check_prices(self.path, out)

    def _tables(self, start: int, stop: int) -> Iterator[tuple[int, Any]]:
        """Yield tables that cover the rows, and the row number each begins with."""
        if self._parquet is None:
            yield 0, self._table
            return
        import pyarrow as pa

        meta = self._parquet.metadata
        counts = [meta.row_group(i).num_rows for i in range(meta.num_row_groups)]
        ends = np.cumsum(counts)
        groups = [
            i
            for i, (n, end) in enumerate(zip(counts, ends, strict=True))
            if end > start and end - n < stop
        ]
        names = [n for n in self._parquet.schema_arrow.names if n in (*PRICES, *OPTIONAL)]
        first = int(ends[groups[0]] - counts[groups[0]]) if groups else start
        with _reading(self.path):
            batches = self._parquet.iter_batches(_ROWS_AT_ONCE, groups, names, use_threads=False)
            for batch in batches:
                if first < stop and first + len(batch) > start:
                    yield first, pa.Table.from_batches([batch])
                first += len(batch)


def _open_parquet(path: Path) -> tuple[Any, Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with _reading(path):
        parquet = pq.ParquetFile(path)
        names = parquet.schema_arrow.names
        _check_names(path, names)
        kind = parquet.schema_arrow.field("time").type
        if not pa.types.is_timestamp(kind) or not _UTC.fullmatch(kind.tz or ""):
            raise DataError(
                f"{path}: column time is {kind}; it must be a timestamp with time zone UTC"
            )
        return parquet, parquet.read(["time"], use_threads=False).column("time")


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what a parquet file's damage raises into one line."""
    import pyarrow as pa

    try:
        yield
    except DataError:
        raise
    except (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError) as e:
        raise DataError(f"{path}: not a readable parquet file: {_one_line(e)}") from None


def _read_csv(path: Path) -> Any:
    import pyarrow as pa
    from pyarrow import csv

    names = _csv_header(path)
    _check_names(path, names)

    def read(number: Any) -> Any:
        text = pa.binary() if number == pa.binary() else pa.string()
        kinds = dict.fromkeys((*PRICES, *OPTIONAL), number) | {"time": text}
        return csv.read_csv(
            path,
            # By our names: in the file they may carry blanks and a byte-order mark.
            read_options=csv.ReadOptions(column_names=names, skip_rows=1),
            convert_options=csv.ConvertOptions(
                column_types=kinds,
                include_columns=[name for name in names if name in (*REQUIRED, *OPTIONAL)],
                strings_can_be_null=True,
            ),
        )

    try:
        return read(pa.float64())
    except (pa.ArrowException, OSError) as e:
        if "conversion error to double" in str(e):
            _fail_at_cell(path, read(pa.binary()))
        remedy = "; every row needs the header's fields" if "Expected" in str(e) else ""
        raise DataError(f"{path}: {_one_line(e)}{remedy}") from None


def _fail_at_cell(path: Path, table: Any) -> None:
    """Name the first cell that is no number."""
    for name in (n for n in table.column_names if n != "time"):
        for row, cell in enumerate(table.column(name).to_pylist(), 1):
            text = (cell or b"0").decode("utf-8", "backslashreplace")
            try:
                float(text)
            except ValueError:
                raise DataError(
                    f"{path}: row {row}: {name} {text[:40]!r} is no number; write 1.17005"
                ) from None


def _csv_header(path: Path) -> list[str]:
    try:
        with path.open("rb") as lines:
            line = lines.readline(_HEADER_MAX_BYTES)
        first = re.split(r"[\r\n]", decode_text(line, str(path)), maxsplit=1)[0]
    except OSError as e:
        raise DataError(f"{path}: cannot be read: {_one_line(e)}") from None
    except ConfigError as e:
        raise DataError(str(e)) from None
    expected = f"expected the header {','.join(REQUIRED)}"
    if not line:
        raise DataError(f"{path}: the file is empty; {expected}")
    if not first.strip():
        raise DataError(f"{path}: line 1 is blank: delete it; {expected} there")
    if "," not in first:
        raise DataError(f"{path}: line 1 is not comma separated: {first[:60]!r}; {expected}")
    if len(first) == len(line):
        raise DataError(f"{path}: the file has no rows")
    return [name.strip().strip('"').strip() for name in first.split(",")]


def _check_names(path: Path, names: Iterable[str]) -> None:
    there = list(names)
    missing = [name for name in REQUIRED if name not in there]
    if missing:
        raise DataError(
            f"{path}: column {', '.join(missing)} is missing; "
            f"found: {printable(', '.join(there))[:120]}; "
            f"expected: {','.join(REQUIRED)}[,{','.join(OPTIONAL)}]"
        )
    for name in (*REQUIRED, *OPTIONAL):
        if there.count(name) > 1:
            raise DataError(f"{path}: column {name} is there {there.count(name)} times; keep one")


def _times(path: Path, column: Any) -> Times:
    """Return (n,) int64 ns of a timestamp or ISO text column."""
    import pyarrow as pa

    column = column.combine_chunks() if hasattr(column, "combine_chunks") else column
    if not len(column):
        raise DataError(f"{path}: the file has no rows")
    if column.null_count:
        import pyarrow.compute as pc

        row = pc.index(pc.is_null(column), True).as_py()
        raise DataError(f"{path}: row {row + 1}: time is empty; every bar needs its open time")
    if pa.types.is_string(column.type):
        column = _parse_times(path, column)
    ns_per_unit = _NS_PER_UNIT[column.type.unit]
    units = _values(column, np.int64)
    if units.min() < 0 or units.max() >= FAR_NS // ns_per_unit:
        raise DataError(f"{path}: a time is outside 1970 to 2169; check its unit")
    return units * ns_per_unit


def _parse_times(path: Path, text: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    plain = pc.replace_substring_regex(pc.utf8_trim_whitespace(text), r"(Z|\+00:?00)$", "")
    try:
        return plain.cast(pa.timestamp("ns")).cast(pa.timestamp("ns", "UTC"))
    except pa.ArrowException:
        row = next((i for i, value in enumerate(plain.to_pylist()) if not _is_time(value)), 0)
        raise DataError(
            f"{path}: row {row + 1}: time {text[row].as_py()[:40]!r} is not UTC in ISO 8601, "
            "such as 2018-06-01T13:05:00Z"
        ) from None


def _is_time(text: str) -> bool:
    import pyarrow as pa

    try:
        pa.scalar(text).cast(pa.timestamp("ns"))
    except pa.ArrowException:
        return False
    return True


def _floats(path: Path, name: str, column: Any) -> npt.NDArray[np.float64]:
    import pyarrow as pa

    try:
        numbers = column if column.type == pa.float64() else column.cast(pa.float64())
        numbers = numbers.combine_chunks()
    except pa.ArrowException as e:
        raise DataError(f"{path}: column {name} is not numeric: {_one_line(e)}") from None
    if numbers.null_count == len(numbers):
        return np.full(len(numbers), np.nan)
    values = _values(numbers, np.float64)
    if not numbers.null_count:
        return values
    bits = np.frombuffer(numbers.buffers()[0], np.uint8)
    known = np.unpackbits(bits, count=numbers.offset + len(numbers), bitorder="little")
    return np.where(known[numbers.offset :], values, np.nan)


def _values(array: Any, dtype: type[np.generic]) -> npt.NDArray[Any]:
    """Return an array as NumPy sees its buffer; `to_numpy` and `fill_null` import pandas."""
    return np.frombuffer(array.buffers()[1], dtype)[array.offset : array.offset + len(array)]


def _check_times(path: Path, time_ns: Times) -> None:
    def fail(row: int, what: str) -> None:
        raise DataError(f"{path}: row {row + 1} ({iso_utc(int(time_ns[row]))}): {what}")

    off_grid = np.flatnonzero(time_ns % NS_PER_MINUTE)
    if len(off_grid):
        fail(int(off_grid[0]), "time is not on the minute; a bar's time is its open")
    steps = np.diff(time_ns)
    wrong = np.flatnonzero(steps <= 0)
    if len(wrong):
        row = int(wrong[0]) + 1
        before = iso_utc(int(time_ns[row - 1]))
        if steps[row - 1] == 0:
            fail(row, "the time is there twice; keep one row a minute")
        fail(row, f"the time goes back (the row before is {before}); sort the rows by time")
    if len(steps) >= _ENOUGH_BARS and steps.min() > NS_PER_MINUTE:
        minutes = int(steps.min()) // NS_PER_MINUTE
        fail(0, f"bars are at least {minutes} minutes apart, but the name says M1; rename the file")


def _check_prices(path: Path, bars: Bars) -> None:
    for name in PRICES:
        column = bars[name]
        wrong = np.flatnonzero(~((column > 0.0) & (column < np.inf)))
        if len(wrong):
            _fail(path, bars, wrong, f"{name} must be a price above 0")
    high, low = bars["high"], bars["low"]
    wrong = np.flatnonzero(high < low)
    if len(wrong):
        _fail(path, bars, wrong, "high is below low; are the columns swapped?")
    for name in ("open", "close"):
        wrong = np.flatnonzero((bars[name] > high) | (bars[name] < low))
        if len(wrong):
            what = f"{name} is outside low to high; are the columns swapped?"
            _fail(path, bars, wrong, what)
    wrong = np.flatnonzero((bars["spread"] < 0.0) | np.isinf(bars["spread"]))
    if len(wrong):
        _fail(path, bars, wrong, "spread must be 0 or more, in price units, or empty")
    wrong = np.flatnonzero((bars["volume"] < 0.0) | (bars["volume"] > VOLUME_MOST))
    if len(wrong):
        _fail(path, bars, wrong, f"volume must be 0 to {VOLUME_MOST:g}, or empty")


def _fail(path: Path, bars: Bars, rows: npt.NDArray[np.intp], what: str) -> None:
    bar = bars[rows[0]]
    values = ", ".join(f"{name} {float(bar[name])!r}" for name in (*PRICES, *OPTIONAL))
    count = f" ({len(rows)} bars)" if len(rows) > 1 else ""
    raise DataError(f"{path}: bar {iso_utc(int(bar['time_ns']))}: {what}: {values}{count}")


def _one_line(error: BaseException) -> str:
    return printable(" ".join(str(error).split()))[:200]


Floats = npt.NDArray[np.float64]

VOLUME_MOST: Final = 1e15
"""Far above any bar's; above it whole numbers get lost."""


@core_kernel
def fill_bars(
    out: Bars,
    time_ns: Times,
    opens: Floats,
    high: Floats,
    low: Floats,
    close: Floats,
    volume: Floats,
    spread: Floats,
) -> bool:
    """Write the columns, (n,) each, into `out`; tell whether all prices may be right.

    That is: above 0 and finite, open and close from low to high; spread and volume 0 or more and
    finite, or NaN.
    """
    wrong = False
    for i in range(len(out)):
        bar = out[i]
        bar["time_ns"] = time_ns[i]
        bar["open"] = opens[i]
        bar["high"] = high[i]
        bar["low"] = low[i]
        bar["close"] = close[i]
        bar["volume"] = volume[i]
        bar["spread"] = spread[i]
        # Between a low above 0 and a finite high everything is; NaN is between nothing.
        wrong |= not ((low[i] > 0.0) & (high[i] < np.inf))
        wrong |= not ((low[i] <= opens[i]) & (opens[i] <= high[i]))
        wrong |= not ((low[i] <= close[i]) & (close[i] <= high[i]))
        wrong |= (spread[i] < 0.0) | (spread[i] == np.inf)
        wrong |= (volume[i] < 0.0) | (volume[i] > VOLUME_MOST)
    return not wrong
