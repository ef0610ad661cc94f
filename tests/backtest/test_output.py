import csv

import pyarrow.parquet as pq
import pytest

from backtest.output import (
    EQUITY_COLUMNS,
    TRADE_COLUMNS,
    check_path,
    trade_columns,
    write_equity,
    write_trades,
)
from engine.model.errors import UserError

SECOND = 1_528_070_400 * 10**9
ROW = ("b", "s", "EURUSD", "BUY", 0.29, SECOND, 1.17, SECOND + 60 * 10**9, 1.171, "stop")
ROWS = [(*ROW, -2.03, 0.0, 26.97), (*ROW, -2.03, -0.1, 0.1 + 0.2)]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_both_formats_hold_the_same_rows(tmp_path, suffix):
    """Columns in their order, floats to the last bit, times in UTC."""
    path = tmp_path / f"trades{suffix}"
    write_trades(path, trade_columns(ROWS))
    if suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as lines:
            read = list(csv.DictReader(lines))
        assert tuple(read[0]) == TRADE_COLUMNS
        assert read[0]["entry_time"] == "2018-06-04T00:00:00Z"
        assert float(read[1]["profit_ccy"]) == 0.1 + 0.2
    else:
        table = pq.read_table(path)
        assert tuple(table.column_names) == TRADE_COLUMNS
        assert str(table.schema.field("exit_time").type) == "timestamp[ns, tz=UTC]"
        assert table.column("profit_ccy").to_pylist()[1] == 0.1 + 0.2


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_no_rows_is_a_table_with_columns(tmp_path, suffix):
    """A test without trades writes a file that reads."""
    path = tmp_path / f"none{suffix}"
    write_trades(path, trade_columns([]))
    write_equity(tmp_path / f"equity{suffix}", {name: [] for name in EQUITY_COLUMNS})
    if suffix == ".csv":
        assert path.read_text(encoding="utf-8") == ",".join(TRADE_COLUMNS) + "\n"
    else:
        assert pq.read_table(path).num_rows == 0


def test_a_failed_write_leaves_what_was_there(tmp_path):
    """Nothing half-written: the old file stays, no part remains."""
    path = tmp_path / "trades.csv"
    path.write_text("before", encoding="utf-8")
    columns = trade_columns(ROWS)
    columns["lots"] = [1.0]
    with pytest.raises(ValueError, match="shorter"):
        write_trades(path, columns)
    assert path.read_text(encoding="utf-8") == "before"
    assert [p.name for p in tmp_path.iterdir()] == ["trades.csv"]


def test_a_file_that_cannot_be_written_is_refused_before_any_work(tmp_path):
    """Unknown format and missing directory are one line each."""
    with pytest.raises(UserError, match=r"\.csv or \.parquet"):
        check_path(tmp_path / "trades.xlsx")
    with pytest.raises(UserError, match="no directory"):
        check_path(tmp_path / "no" / "trades.csv")
