"""Tables of trades and equity, written whole or not at all; shared by backtest and replay.

Signs are the ledger's: commission and swap paid are negative. Times are UTC, prices the symbol's,
money the account's. CSV or parquet, by the file's extension.
"""

import csv
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.files.places import absolute
from engine.model.errors import UserError
from engine.model.times import NS_PER_S

TRADE_COLUMNS = (
    "book",
    "strategy",
    "symbol",
    "direction",
    "lots",
    "entry_time",
    "entry_price",
    "exit_time",
    "exit_price",
    "exit_reason",
    "commission_ccy",
    "swap_ccy",
    "profit_ccy",
)
ATTRIBUTION_COLUMNS = (
    "trade",
    "book",
    "strategy",
    "share_frac",
    "gross_profit_ccy",
    "commission_ccy",
    "swap_ccy",
    "net_profit_ccy",
)
EQUITY_COLUMNS = ("time", "balance_ccy", "equity_ccy", "drawdown_frac")
FORMATS = (".csv", ".parquet")

Column = Sequence[Any] | npt.NDArray[Any]


def check_path(path: Path | None) -> None:
    """Refuse, before any work, a file that cannot be written.

    Raises:
        UserError: unknown extension or no such directory.
    """
    if path is None:
        return
    if path.suffix not in FORMATS:
        raise UserError(f"{path}: write to a file that ends in {' or '.join(FORMATS)}")
    if not absolute(path).parent.is_dir():
        raise UserError(f"{path}: there is no directory {absolute(path).parent}")


def write_trades(path: Path, columns: Mapping[str, Column]) -> None:
    """Write TRADE_COLUMNS; `entry_time` and `exit_time` as int64 ns."""
    _write(path, {name: columns[name] for name in TRADE_COLUMNS}, ("entry_time", "exit_time"))


def write_equity(path: Path, columns: Mapping[str, Column]) -> None:
    """Write EQUITY_COLUMNS; `time` as int64 ns."""
    _write(path, {name: columns[name] for name in EQUITY_COLUMNS}, ("time",))


def write_attribution(path: Path, columns: Mapping[str, Column]) -> None:
    """Write ATTRIBUTION_COLUMNS: one row a trade and member; `trade` counts trades from 1."""
    _write(path, {name: columns[name] for name in ATTRIBUTION_COLUMNS}, ())


def trade_columns(rows: Iterable[Sequence[Any]]) -> dict[str, Column]:
    """Return columns of rows that hold TRADE_COLUMNS in order."""
    columns = list(zip(*rows, strict=True)) or [()] * len(TRADE_COLUMNS)
    return dict(zip(TRADE_COLUMNS, columns, strict=True))


def iso_times(times_ns: npt.ArrayLike) -> list[str]:
    """Return ISO 8601 UTC of each time, to the second; fractions are kept where there are any."""
    times = np.asarray(times_ns, dtype=np.int64)
    unit = "s" if not (times % NS_PER_S).any() else "ns"
    as_text: Any = np.datetime_as_string  # its stubs leave out int64 views of arrays
    text: list[str] = as_text(times.astype("M8[ns]"), unit=unit, timezone="UTC").tolist()
    return text


def _write(path: Path, columns: Mapping[str, Column], times: Sequence[str]) -> None:
    check_path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        if path.suffix == ".csv":
            _write_csv(part, columns, times)
        else:
            _write_parquet(part, columns, times)
        part.replace(path)
    except OSError as e:
        raise UserError(f"{path}: cannot write: {e.strerror or e}") from None
    finally:
        part.unlink(missing_ok=True)


def _write_csv(path: Path, columns: Mapping[str, Column], times: Sequence[str]) -> None:
    cells = [
        iso_times(column) if name in times else _plain(column) for name, column in columns.items()
    ]
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*cells, strict=True))


def _plain(column: Column) -> Sequence[Any]:
    return column.tolist() if isinstance(column, np.ndarray) else column


def _write_parquet(path: Path, columns: Mapping[str, Column], times: Sequence[str]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    words = ("book", "strategy", "symbol", "direction", "exit_reason")
    kinds: dict[str, Any] = {name: pa.string() for name in words} | {"trade": pa.int64()}
    kinds |= {name: pa.timestamp("ns", "UTC") for name in times}
    arrays = {
        name: pa.array(np.asarray(column, np.int64) if name in times else column).cast(
            kinds.get(name, pa.float64())
        )
        for name, column in columns.items()
    }
    pq.write_table(pa.table(arrays), path, compression="zstd")
