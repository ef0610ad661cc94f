"""Data files of any content: each is read, or refused in one line; nothing else ever happens."""

import datetime as dt
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.model.errors import DataError
from engine.model.times import NS_PER_MINUTE
from tests.backtest.data.test_load import HEADER, START, STOP, loaded, rows

ANY = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def read_or_refused(directory: Path) -> str:
    """Load EURUSD; return the refusal, "" where the bars were read and are right."""
    try:
        bars = loaded(directory, "EURUSD", START, STOP)
    except DataError as error:
        message = str(error)
        assert message.isprintable()
        assert len(message) < 600
        assert "EURUSD" in message
        return message
    assert (np.diff(bars["time_ns"]) > 0).all()
    assert (bars["low"] > 0).all()
    assert (bars["high"] >= np.maximum(bars["open"], bars["close"])).all()
    assert (bars["low"] <= np.minimum(bars["open"], bars["close"])).all()
    assert np.isfinite(bars["high"]).all()
    assert not (bars["spread"] < 0).any()
    return ""


_ODD = ("nan", "inf", "-inf", "-0.0", "1e308", "1e-320", "1,17", '"', "'", "\0", "\x1b[31m", "")
_CELLS = st.one_of(
    st.sampled_from([*_ODD, "0x1p3", "1.17", "1.170001", "9" * 400, "2018-06-04", "+1.17", "NULL"]),
    st.text(max_size=8),
)
_CSV = b"\n".join([(HEADER + ",volume,spread").encode(), *(f"{r},5,".encode() for r in rows(30))])


@ANY
@given(st.integers(0, 31), st.integers(0, 6), _CELLS)
def test_any_cell(tmp_path, row, column, cell):
    """One cell, or one name of the header, is something else."""
    lines = [line.split(",") for line in _CSV.decode().split("\n")]
    lines[row % len(lines)][column] = cell
    text = "\n".join(map(",".join, lines))
    path = tmp_path / "EURUSD_M1_2018_a.csv"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    read_or_refused(tmp_path)


def mutated(draw, content: bytes) -> bytes:
    """Return the content with some bytes changed, cut out or put in."""
    out = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(out)))
        what = draw(st.sampled_from(["change", "cut", "insert", "end"]))
        some = draw(st.binary(min_size=1, max_size=4))
        if what == "change":
            out[at : at + len(some)] = some
        elif what == "cut":
            del out[at : at + draw(st.integers(1, 40))]
        elif what == "insert":
            out[at:at] = some
        else:
            del out[at:]
    return bytes(out)


@ANY
@given(st.data())
def test_any_damage_to_a_csv_file(tmp_path, data):
    """Half files, odd bytes, joined lines, another encoding."""
    content = mutated(data.draw, _CSV)
    encoding = data.draw(st.sampled_from(["", "", "utf-16", "utf-16-le", "utf-32", "utf-8-sig"]))
    if encoding:
        content = content.decode("latin-1").encode(encoding)
    (tmp_path / "EURUSD_M1_2018_a.csv").write_bytes(content)
    read_or_refused(tmp_path)


@ANY
@given(st.data())
def test_any_damage_to_a_parquet_file(tmp_path, data):
    """Bytes of the footer, of a page's head and of its values."""
    path = tmp_path / "EURUSD_M1_2018_a.parquet"
    pq.write_table(table(30), path, row_group_size=10, compression="none")
    path.write_bytes(mutated(data.draw, path.read_bytes()))
    read_or_refused(tmp_path)


def table(n: int, **columns: pa.Array) -> pa.Table:
    """Return n bars; columns replace those of the same name."""
    stamps = pa.array(START + np.arange(n) * NS_PER_MINUTE).cast(pa.timestamp("ns", "UTC"))
    plain = {name: pa.array(np.full(n, 1.17)) for name in ("open", "high", "low", "close")}
    return pa.table({"time": stamps} | plain | columns)


_ARRAYS = [
    pa.array([1.17] * 30, pa.float32()),
    pa.array(np.full(30, 1.17, np.float16)),
    pa.array([1] * 30, pa.int8()),
    pa.array([2**63] * 30, pa.uint64()),
    pa.array(["1.17"] * 30),
    pa.array(["x"] * 30),
    pa.array([b"\xff"] * 30),
    pa.array([True] * 30),
    pa.array([None] * 30, pa.null()),
    pa.array([[1.17]] * 30),
    pa.array([{"a": 1.0}] * 30),
    pa.array([dt.date(2018, 6, 4)] * 30),
    pa.array(["1.17"] * 30).dictionary_encode(),
    pa.array([1.17] * 30).dictionary_encode(),
    pa.array([dt.timedelta(1)] * 30),
    pa.array(["1.17"] * 30).cast(pa.decimal128(10, 5)),
    pa.array(["1.17"] * 30).cast(pa.decimal256(60, 50)),
    pa.array([float("nan")] * 30),
    pa.array([float("inf")] * 30),
    pa.array([-1.0] * 30),
    pa.array([None, *[1.17] * 29]),
    pa.array([0] * 30, pa.timestamp("ns", "UTC")),
    pa.array([-(2**63)] * 30, pa.timestamp("ns", "UTC")),
    pa.array([None] * 30, pa.timestamp("ms", "UTC")),
]


@ANY
@given(
    st.sampled_from(_ARRAYS),
    st.sampled_from(["time", "open", "high", "low", "close", "volume", "spread"]),
)
def test_any_type_of_a_parquet_column(tmp_path, column, name):
    """A type that holds no prices is refused by name; one that does is read."""
    pq.write_table(table(30, **{name: column}), tmp_path / "EURUSD_M1_2018_a.parquet")
    read_or_refused(tmp_path)
