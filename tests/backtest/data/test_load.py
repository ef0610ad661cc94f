"""Data files: what is read, and each way in which they are refused in one line."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backtest.data.load import coverage_notes, load_bars, skipped_note
from engine.model.errors import DataError
from engine.model.symbols import DEFAULT_SYMBOLS
from engine.model.times import NS_PER_DAY, NS_PER_MINUTE, Timeframe

DAY = 17_686  # Monday 2018-06-04
START = DAY * NS_PER_DAY
STOP = START + NS_PER_DAY
HEADER = "time,open,high,low,close"


def times(n: int, start: int = START) -> list[str]:
    stamps = start + np.arange(n) * NS_PER_MINUTE
    return [f"{t}Z" for t in np.datetime_as_string(stamps.astype("M8[ns]"), unit="s").tolist()]


def rows(n: int, start: int = START, price: str = "1.17") -> list[str]:
    return [f"{t},{price},{price},{price},{price}" for t in times(n, start)]


def write(directory: Path, name: str, lines: list[str], header: str = HEADER) -> Path:
    path = directory / name
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def write_parquet(directory: Path, name: str, start: int, n: int, zone: str | None = "UTC") -> None:
    stamps = pa.array(start + np.arange(n) * NS_PER_MINUTE).cast(pa.timestamp("ns", zone))
    table = {"time": stamps} | {c: np.full(n, 1.17) for c in ("open", "high", "low", "close")}
    pq.write_table(pa.table(table), directory / name, row_group_size=500)


def load(directory: Path, symbol: str = "EURUSD", **options):
    return loaded(directory, symbol, START, STOP, **options)


def loaded(directory: Path, symbol: str, from_ns: int, to_ns: int, *more, **options):
    return load_bars(directory, [DEFAULT_SYMBOLS[symbol]], from_ns, to_ns, *more, **options).bars[
        symbol
    ]


def refusal(directory: Path, symbol: str = "EURUSD", **options) -> str:
    with pytest.raises(DataError) as caught:
        load(directory, symbol, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 500
    return message


def test_csv_and_parquet_give_the_same_bars(tmp_path):
    """Unknown volume and spread are NaN; other columns do not matter."""
    one, other = tmp_path / "csv", tmp_path / "parquet"
    one.mkdir()
    other.mkdir()
    write(one, "EURUSD_M1_2018_a.csv", [f"{r},9" for r in rows(30)], HEADER + ",comment")
    write_parquet(other, "EURUSD_M1_2018_a.parquet", START, 30)
    bars = load(one)
    assert bars.tobytes() == load(other).tobytes()
    assert len(bars) == 30
    assert np.isnan(bars["spread"]).all()
    assert np.isnan(bars["volume"]).all()


@pytest.mark.parametrize("stamp", ["2018-06-04 00:00:00", "2018-06-04T00:00:00Z"])
def test_csv_times_are_utc_with_or_without_saying_so(tmp_path, stamp):
    """The format says UTC; a zone that says so too may stand there."""
    write(tmp_path, "EURUSD_M1_2018_a.csv", [f"{stamp},1.17,1.17,1.17,1.17"])
    assert load(tmp_path)["time_ns"].tolist() == [START]


def test_only_the_period_and_its_warm_up_are_read(tmp_path):
    """Bars before the anchor are as many as asked for; none opens at or after the end."""
    write_parquet(tmp_path, "EURUSD_M1_2018_a.parquet", START - 2 * NS_PER_DAY, 5 * 1440)
    bars = load(tmp_path, warmup=[(Timeframe.M1, Timeframe.M1, 100)])
    assert bars["time_ns"][0] <= START - 100 * NS_PER_MINUTE
    assert bars["time_ns"][0] >= START - 102 * NS_PER_MINUTE
    assert bars["time_ns"][-1] == STOP - NS_PER_MINUTE
    hours = load(tmp_path, warmup=[(Timeframe.M5, Timeframe.M5, 10)])  # anchored at this Monday
    assert hours["time_ns"][0] <= START - 50 * NS_PER_MINUTE


def test_files_of_a_symbol_are_joined(tmp_path):
    """The warm-up of a year's first day lies in the file of the year before."""
    write(tmp_path, "EURUSD_M1_a_x.csv", rows(60, START - 60 * NS_PER_MINUTE))
    write(tmp_path, "EURUSD_M1_b_x.csv", rows(60))
    bars = load(tmp_path, warmup=[(Timeframe.M1, Timeframe.M1, 50)])
    assert (np.diff(bars["time_ns"]) == NS_PER_MINUTE).all()
    assert len(bars) >= 110


def test_overlapping_files_are_refused_unless_a_source_is_chosen(tmp_path):
    """Both files are named; outside the period and its warm-up an overlap does not matter."""
    write(tmp_path, "EURUSD_M1_2018_one.csv", rows(60))
    write(tmp_path, "EURUSD_M1_2018_two.csv", rows(60, price="1.18"))
    message = refusal(tmp_path)
    assert "EURUSD_M1_2018_one.csv" in message
    assert "EURUSD_M1_2018_two.csv" in message
    assert "--source" in message
    assert load(tmp_path, source="two")["close"][0] == 1.18
    assert "sources: one, two" in refusal(tmp_path, source="three")
    later = START + 30 * NS_PER_DAY
    write(tmp_path, "EURUSD_M1_2019_one.csv", rows(60, later))
    (tmp_path / "EURUSD_M1_2018_two.csv").unlink()
    write(tmp_path, "EURUSD_M1_2019_two.csv", rows(60, later))
    assert len(load(tmp_path)) == 60


def test_names_that_do_not_parse_are_skipped_and_said(tmp_path):
    """Ticks and strangers do not stop a test; the note names them."""
    write(tmp_path, "EURUSD_M1_2018_a.csv", rows(60))
    write(tmp_path, "EURUSD_ticks_2018_a.csv", ["x"])
    write(tmp_path, "notes.csv", ["x"])
    assert len(load(tmp_path)) == 60
    (note,) = skipped_note(tmp_path)
    assert "EURUSD_ticks_2018_a.csv" in note
    assert "notes.csv" in note


def test_a_symbol_that_ends_early_is_noted(tmp_path):
    """Bars for a tenth of the period are no silent success."""
    write(tmp_path, "EURUSD_M1_2018_a.csv", rows(60))
    bars = loaded(tmp_path, "EURUSD", START, START + 30 * NS_PER_DAY)
    (note,) = coverage_notes({"EURUSD": bars}, START, START + 30 * NS_PER_DAY)
    assert "2018-06-04T00:59:00Z" in note


def test_missing_things_are_named(tmp_path):
    """Directory, symbol, timeframe, period: what is missing and what would help."""
    assert "does not exist" in refusal(tmp_path / "nowhere")
    assert "EURUSD_M1_<PERIOD>_<SOURCE>" in refusal(tmp_path)
    write(tmp_path, "EURUSD_H1_2018_a.csv", rows(60))
    assert "only H1" in refusal(tmp_path)
    write(tmp_path, "EURUSD_M1_2017_a.csv", rows(60, START - 300 * NS_PER_DAY))
    message = refusal(tmp_path)
    assert "no bar from 2018-06-04" in message
    assert "the files hold 2017-08-08" in message


def _swap(lines: list[str], at: int, text: str) -> list[str]:
    return [*lines[:at], text, *lines[at + 1 :]]


STAMPS = times(40)
BAD = {
    "goes back": _swap(rows(40), 20, f"{STAMPS[5]},1.17,1.17,1.17,1.17"),
    "there twice": _swap(rows(40), 20, f"{STAMPS[19]},1.17,1.17,1.17,1.17"),
    "high is below low": _swap(rows(40), 20, f"{STAMPS[20]},1.17,1.16,1.18,1.17"),
    "open is outside": _swap(rows(40), 20, f"{STAMPS[20]},1.19,1.18,1.16,1.17"),
    "close is outside": _swap(rows(40), 20, f"{STAMPS[20]},1.17,1.18,1.16,1.15"),
    "low must be a price": _swap(rows(40), 20, f"{STAMPS[20]},1.17,1.17,0,1.17"),
    "open must be a price": _swap(rows(40), 20, f"{STAMPS[20]},-1.17,1.17,1.17,1.17"),
    "close must be a price": _swap(rows(40), 20, f"{STAMPS[20]},1.17,1.17,1.17,"),
    "high must be a price": _swap(rows(40), 20, f"{STAMPS[20]},1.17,inf,1.17,1.17"),
    "not on the minute": _swap(rows(40), 20, "2018-06-04T00:20:30Z,1.17,1.17,1.17,1.17"),
    "is not UTC": _swap(rows(40), 20, "2018-06-04T00:20:00+02:00,1.17,1.17,1.17,1.17"),
    "'yesterday' is not": _swap(rows(40), 20, "yesterday,1.17,1.17,1.17,1.17"),
    "time is empty": _swap(rows(40), 20, ",1.17,1.17,1.17,1.17"),
    "row 21: open 'abc' is no number": _swap(rows(40), 20, f"{STAMPS[20]},abc,1.17,1.17,1.17"),
    "Expected 5 columns": _swap(rows(40), 20, f"{STAMPS[20]},1.17,1.17,1.17,1.17,7"),
    "no rows": [],
    "bars are at least 60 minutes apart": [f"{t},1.17,1.17,1.17,1.17" for t in times(1440)[::60]],
}


@pytest.mark.parametrize("complaint", BAD)
def test_malformed_rows_are_refused_in_a_line_that_names_file_and_fault(tmp_path, complaint):
    """Each names the file; nothing is repaired in silence."""
    write(tmp_path, "EURUSD_M1_2018_a.csv", BAD[complaint])
    message = refusal(tmp_path)
    assert complaint in message
    assert "EURUSD_M1_2018_a.csv" in message


@pytest.mark.parametrize(
    ("header", "complaint"),
    [
        ("time,open,high,low", "column close is missing"),
        ("Date,Open,High,Low,Close", "column time, open, high, low, close is missing"),
        ("time,open,high,low,close,close", "column close is there 2 times"),
        ("time;open;high;low;close", "not comma separated"),
        ("", "line 1 is blank: delete it"),
        (" \t", "line 1 is blank: delete it"),
        ("time,open,low,high,close", "high is below low"),
        ("time,high,open,low,close", "open is outside"),
    ],
)
def test_wrong_headers_are_refused(tmp_path, header, complaint):
    """Columns go by name: missing, doubled and swapped ones are found."""
    line = f"{STAMPS[0]},1.17,1.18,1.16,1.17"
    write(tmp_path, "EURUSD_M1_2018_a.csv", [line], header)
    assert complaint in refusal(tmp_path)


def test_headers_may_carry_blanks_quotes_and_a_byte_order_mark(tmp_path):
    """Names go by what they say, however an export writes them; cells may have blanks too."""
    write(tmp_path, "EURUSD_M1_2018_a.csv", rows(20))
    expected = load(tmp_path).tobytes()
    for header in (
        "time, open, high, low, close",
        '"time","open","high","low","close"',
        ' time ,"open" , high,low\t,close ',
        "\ufefftime,open,high,low,close",
        '\ufeff"time",open,high,low,close',
    ):
        write(tmp_path, "EURUSD_M1_2018_a.csv", rows(20), header)
        assert load(tmp_path).tobytes() == expected, header
    write(tmp_path, "EURUSD_M1_2018_a.csv", [f" {r} ".replace(",", ", ") for r in rows(20)])
    assert load(tmp_path).tobytes() == expected
    path = tmp_path / "EURUSD_M1_2018_a.csv"
    path.write_bytes("\n".join([HEADER, *rows(20)]).replace("\n", "\r").encode())
    assert load(tmp_path).tobytes() == expected


_HEAD = HEADER.encode() + b"\n"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "the file is empty"),
        (b"\n" + _HEAD, "line 1 is blank"),
        (b"\r\n" + _HEAD, "line 1 is blank"),
        (b"\xef\xbb\xbf", "line 1 is blank"),
        (HEADER.encode(), "no rows"),
        (HEADER.encode("utf-16"), "UTF-16; save it as UTF-8"),
        (_HEAD.decode().encode("utf-16-be"), "column time, open, high, low, close is missing"),
        (b"time,open,high,low,cl\xf6se\n", "line 1: byte 0xf6 is not UTF-8"),
        (b"\0" * 100, "not comma separated"),
        (b"x" * 200_000, "not comma separated"),
        (
            _HEAD + b"2018-06-04T00:00:00Z,1.17,1.17,1.17,1\x1b[2J7\n",
            r"close '1\x1b[2J7' is no number",
        ),
        (_HEAD + b"2018-06-04T00:00:00Z,1.17,1\x0017,1.17,1.17\n", r"high '1\x0017' is no number"),
        (_HEAD + b"2018-06-04T00\xff:00,1,1,1,1\n", "invalid UTF8"),
        (_HEAD + b"9999-12-31T00:00:00Z,1,1,1,1\n", "is not UTC in ISO 8601"),
        (_HEAD + b"1969-12-31T23:59:00Z,1,1,1,1\n", "outside 1970 to 2169"),
        (_HEAD + b"2170-01-01T00:00:00Z,1,1,1,1\n", "outside 1970 to 2169"),
    ],
)
def test_what_is_no_table_of_bars_is_told_as_what_it_is(tmp_path, content, complaint):
    """Encodings, blank lines, NUL bytes: the message says which, and shows no control character."""
    (tmp_path / "EURUSD_M1_2018_a.csv").write_bytes(content)
    message = refusal(tmp_path)
    assert complaint in message
    assert message.isprintable()


def test_a_price_is_shown_with_all_its_digits(tmp_path):
    """1.10001 is not 1.1: the last digits are what is wrong."""
    line = f"{STAMPS[20]},1.10001,1.1,1.09999,1.10000"
    write(tmp_path, "EURUSD_M1_2018_a.csv", _swap(rows(40), 20, line))
    assert "open 1.10001, high 1.1, low 1.09999, close 1.1" in refusal(tmp_path)


def test_a_directory_or_a_pipe_is_no_data_file(tmp_path):
    """Nothing waits for a pipe that nobody writes to."""
    os.mkfifo(tmp_path / "EURUSD_M1_2018_a.csv")
    assert "is no file" in refusal(tmp_path)
    (tmp_path / "USDJPY_M1_2018_a.parquet").mkdir()
    assert "is no file" in refusal(tmp_path, "USDJPY")


@pytest.mark.parametrize(
    "zone", ["UTC", "+00:00", "Etc/UTC", "Z", "GMT", "Zulu", "-00:00", "etc/gmt", "utc"]
)
def test_parquet_may_say_utc_in_any_of_its_names(tmp_path, zone):
    """Each tool that writes parquet has its own word for the same zone."""
    write_parquet(tmp_path, "EURUSD_M1_2018_a.parquet", START, 30, zone)
    assert load(tmp_path)["time_ns"].tolist() == [START + i * NS_PER_MINUTE for i in range(30)]


@pytest.mark.parametrize(
    "zone", [None, "Europe/Athens", "Europe/London", "+01:00", "Etc/GMT+1", "EST"]
)
def test_parquet_must_say_utc(tmp_path, zone):
    """A typed time without a zone, or with another one, is some broker's clock."""
    write_parquet(tmp_path, "EURUSD_M1_2018_a.parquet", START, 30, zone)
    assert "time zone UTC" in refusal(tmp_path)


def test_a_broken_parquet_file_is_refused(tmp_path):
    """Half a download is named, not a traceback."""
    (tmp_path / "EURUSD_M1_2018_a.parquet").write_bytes(b"PAR1 and no more")
    assert "not a readable parquet file" in refusal(tmp_path)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_unknown_values_may_stand_between_known_ones(tmp_path, suffix):
    """A null or an empty cell is NaN, wherever it stands and however the file is cut."""
    spreads = [None if i % 3 == 0 else i / 100_000 for i in range(100)]
    if suffix == "csv":
        cells = ["" if s is None else str(s) for s in spreads]
        lines = [f"{r},{c}" for r, c in zip(rows(100), cells, strict=True)]
        write(tmp_path, "EURUSD_M1_2018_a.csv", lines, HEADER + ",spread")
    else:
        stamps = pa.array(START + np.arange(100) * NS_PER_MINUTE).cast(pa.timestamp("ns", "UTC"))
        table = {"time": stamps} | {c: np.full(100, 1.17) for c in ("open", "high", "low", "close")}
        table["spread"] = pa.array(spreads, pa.float64())
        path = tmp_path / "EURUSD_M1_2018_a.parquet"
        pq.write_table(pa.table(table), path, row_group_size=33)
    expected = np.array([np.nan if s is None else s for s in spreads])
    bars = loaded(tmp_path, "EURUSD", START + 10 * NS_PER_MINUTE, STOP)
    np.testing.assert_array_equal(bars["spread"], expected[10:])


def test_reading_data_does_not_import_pandas(tmp_path):
    """It would cost a third of a second in every one-shot command."""
    write_parquet(tmp_path, "EURUSD_M1_2018_a.parquet", START, 100)
    write(tmp_path, "USDJPY_M1_2018_a.csv", rows(100, price="110.5"))
    code = (
        "import sys; from pathlib import Path; from backtest.data.load import load_bars; "
        "import backtest.run; "
        "from engine.model.symbols import DEFAULT_SYMBOLS as s; "
        f"load_bars(Path({str(tmp_path)!r}), [s['EURUSD'], s['USDJPY']], {START}, {STOP}); "
        "sys.exit('pandas' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_parquet_needs_no_compute_functions(tmp_path):
    """Making them takes longer than reading a year of bars."""
    write_parquet(tmp_path, "EURUSD_M1_2018_a.parquet", START, 100)
    code = (
        "import sys; from pathlib import Path; from backtest.data.load import load_bars; "
        "from engine.model.symbols import DEFAULT_SYMBOLS as s; "
        f"load_bars(Path({str(tmp_path)!r}), [s['EURUSD']], {START}, {STOP}); "
        "sys.exit('pyarrow.compute' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_of_every_unit_are_the_same_bars(tmp_path, unit):
    """A file's unit is not the reader's business."""
    write_parquet(tmp_path, "EURUSD_M1_2018_a.parquet", START, 100)
    expected = load(tmp_path)
    path = tmp_path / "EURUSD_M1_2018_a.parquet"
    table = pq.read_table(path)
    at = table.column_names.index("time")
    times = table.column("time").cast(pa.timestamp(unit, "UTC"))
    pq.write_table(table.set_column(at, "time", times), path, row_group_size=33)
    assert load(tmp_path).tobytes() == expected.tobytes()


def test_a_negative_spread_is_refused_and_zero_is_kept(tmp_path):
    """An ask below the bid is an error of the file; a recorded zero is a spread."""
    header = HEADER + ",volume,spread"
    write(tmp_path, "EURUSD_M1_2018_a.csv", [r + ",5,0" for r in rows(20)], header)
    assert load(tmp_path)["spread"].tolist() == [0.0] * 20
    write(tmp_path, "EURUSD_M1_2018_a.csv", [r + ",5,-0.0001" for r in rows(20)], header)
    assert "spread must be 0 or more" in refusal(tmp_path)


# Real samples.


def test_every_malformed_sample_is_refused_in_one_line(tmp_path, data_dir):
    """Whatever a provider's file looks like, it is refused by name or by content."""
    samples = [p for p in sorted((data_dir / "raw_bad").iterdir()) if p.name != "README.md"]
    assert len(samples) > 10
    for i, sample in enumerate(samples):
        directory = tmp_path / str(i)
        directory.mkdir()
        shutil.copyfile(sample, directory / "EURUSD_M1_2018_bad.csv")
        with pytest.raises(DataError) as caught:
            loaded(directory, "EURUSD", 0, 2 * 10**18)
        assert "\n" not in str(caught.value)


def _histdata(sample: Path) -> list[str]:
    cells = [line.split(";") for line in sample.read_text(encoding="utf-8").splitlines() if line]
    return [
        f"{c[0][:4]}-{c[0][4:6]}-{c[0][6:8]}T{c[0][9:11]}:{c[0][11:13]}:00Z,{','.join(c[1:5])}"
        for c in cells
    ]


def test_a_real_crash_is_data_and_a_repeated_hour_is_an_error(tmp_path, data_dir):
    """−9 % in a minute was the market; a clock that jumps back was the provider."""
    raw = data_dir / "raw_bad"
    crash = _histdata(raw / "histdata_XAGUSD_20170706_flash_crash_real_spike.csv")
    write(tmp_path, "XAGUSD_M1_2017_a.csv", crash)
    bars = loaded(tmp_path, "XAGUSD", 0, 2 * 10**18)
    assert bars["low"].min() < 0.93 * bars["open"][0]
    repeated = _histdata(raw / "histdata_SPXUSD_2019_out_of_order_dup_hour.csv")
    write(tmp_path, "SPXUSD_M1_2019_a.csv", repeated)
    with pytest.raises(DataError, match="goes back"):
        loaded(tmp_path, "SPXUSD", 0, 2 * 10**18)


def test_real_years_join_and_pass(data_dir):
    """Both years of a symbol are one series, recorded spreads included where they are."""
    new_year = (np.datetime64("2018-01-01") - np.datetime64("1970-01-01")).astype(int) * NS_PER_DAY
    bars = loaded(
        data_dir,
        "USDJPY",
        int(new_year),
        int(new_year) + 3 * NS_PER_DAY,
        [(Timeframe.M1, Timeframe.M1, 500)],
        "histdata",
    )
    assert np.searchsorted(bars["time_ns"], new_year) >= 500
    assert (np.diff(bars["time_ns"]) > 0).all()
