"""`pmpro data generate`: bars to try with, the same for the same seed."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from backtest.data.load import load_bars
from engine.model.symbols import DEFAULT_SYMBOLS
from engine.model.times import utc_minute
from tests.cli.conftest import Pmpro

WEEK = ("--from", "2025-01-06", "--to", "2025-01-11", "--symbol", "EURUSD")


def test_files_are_read_back_as_bars_and_repeat(pmpro: Pmpro, home: Path) -> None:
    """Five days of minutes, readable by a backtest; another seed makes others."""
    made = json.loads(pmpro("data", "generate", "one", *WEEK, "--json").stdout)["files"]
    assert [Path(path).name for path in made] == ["EURUSD_M1_20250106-20250111_generated.parquet"]
    assert pmpro("data", "generate", "two", *WEEK).returncode == 0
    assert pmpro("data", "generate", "three", *WEEK, "--seed", "2").returncode == 0
    name = Path(made[0]).name
    tables = [pq.read_table(home / place / name) for place in ("one", "two", "three")]
    assert tables[0] == tables[1]
    assert tables[0] != tables[2]
    period = utc_minute("2025-01-06"), utc_minute("2025-01-11")
    loaded = load_bars(home / "one", [DEFAULT_SYMBOLS["EURUSD"]], *period, [], None)
    bars = loaded.bars["EURUSD"]
    # From Monday, 00:00 UTC until New York's 17:00 on Friday, 22:00 UTC: 118 hours.
    assert len(bars) == 118 * 60
    assert period[0] <= bars["time_ns"][0] < bars["time_ns"][-1] < period[1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("one", *WEEK[:4], "--symbol", "EURUSDD"), "no symbol 'EURUSDD', did you mean 'EURUSD'?"),
        (("/dev/null/x", *WEEK), "cannot make"),
        (
            ("one", "--from", "2025-01-06", "--to", "2025-01-06"),
            "--from 2025-01-06 must be before --to 2025-01-06, which is not included",
        ),
    ],
)
def test_what_cannot_be_made_is_one_line(pmpro: Pmpro, words: tuple[str, ...], said: str) -> None:
    """Wrong use is 2, and nothing is written."""
    done = pmpro("data", "generate", *words)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert said in done.stderr


def test_nothing_is_overwritten(pmpro: Pmpro) -> None:
    """A file that is there is named and kept."""
    assert pmpro("data", "generate", "one", *WEEK).returncode == 0
    done = pmpro("data", "generate", "one", *WEEK)
    assert done.returncode == 2
    assert "generated.parquet exists" in done.stderr


def test_a_last_day_that_is_left_out_is_said(pmpro: Pmpro) -> None:
    """`--to` is not included; where it ends a month a line says what to write."""
    done = pmpro("data", "generate", "a", "--from", "2025-01-30", "--to", "2025-01-31")
    assert done.stderr == (
        "pmpro: --to 2025-01-31 is not included: --to 2025-02-01 ends with that day\n"
    )
    for to in ("2025-01-30", "2025-02-01", "2025-01-31T00:00"):
        said = pmpro("data", "generate", to, "--from", "2025-01-29", "--to", to, "--json").stderr
        assert said == ""
