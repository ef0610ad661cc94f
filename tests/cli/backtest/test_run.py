"""`pmpro backtest run` as a process."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pmpro_tui.bench.portfolio import write_bars
from pmpro_tui.cli.backtest.view import sparkline

PORTFOLIO = """
[[strategy]]
name = "ma"
kind = "ma_cross"
symbol = "EURUSD"
params = { fast = 10, slow = 30 }
[[strategy]]
name = "rsi"
kind = "rsi_reversion"
symbol = "USDJPY"
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """A directory with a portfolio file and a year of generated bars."""
    directory = tmp_path_factory.mktemp("world")
    (directory / "data").mkdir()
    write_bars(directory / "data", 2018)
    (directory / "p.toml").write_text(PORTFOLIO, encoding="utf-8")
    return directory


@pytest.fixture
def pmpro(world, monkeypatch):
    """Run a command in the world's directory."""
    monkeypatch.setenv("PMPRO_STATE_DIR", str(world / "state"))

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", "-m", "pmpro_tui.cli.main", *arguments],
            cwd=world,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    return run


def period(*more: str) -> list[str]:
    return ["backtest", "run", "--portfolio", "p.toml", "--data", "data", *more]


WEEK = ("--from", "2018-03-05", "--to", "2018-03-10")


def test_json_is_one_document_and_equal_runs_have_equal_digests(pmpro, world):
    """stdout holds the document alone; the trades file holds as many rows as it says."""
    runs = [
        pmpro(*period(*WEEK, "--json", "--trades", "t.csv", "--equity", "e.csv")) for _ in range(2)
    ]
    documents = [json.loads(run.stdout) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], runs[0].stderr
    one, other = documents
    assert one["digest"] == other["digest"]
    assert one["trades_count"] == one["summary"]["trades_count"] > 10
    with (world / "t.csv").open(encoding="utf-8", newline="") as lines:
        trades = list(csv.DictReader(lines))
    assert len(trades) == one["trades_count"]
    net = round(sum(float(t["profit_ccy"]) for t in trades), 2)
    assert net == one["summary"]["net_profit_ccy"]
    assert one["stored_id"] is None
    assert "not stored" in runs[0].stderr


def test_people_get_tables_and_an_equity_line(pmpro):
    """Figures, a line of blocks, the books; no note where nothing is to be noted."""
    run = pmpro(*period(*WEEK, "--no-store"))
    assert run.returncode == 0, run.stderr
    assert "max drawdown" in run.stdout
    assert "▁" in run.stdout
    assert "rsi" in run.stdout
    assert run.stderr == ""


def test_a_run_explains_a_trade_and_says_who_earned_it(pmpro, world):
    """Rules, votes, size and result for people; sections that sum to the account for machines."""
    run = pmpro(*period(*WEEK, "--no-store", "--explain", "2", "--attribution", "a.csv"))
    assert run.returncode == 0, run.stderr
    for words in ("Strategies, beside", "trade 2, ", "headroom", "value_at_risk", "wanted lots"):
        assert words in run.stdout
    assert run.stdout.count("  ok\n") == 34
    document = json.loads(pmpro(*period(*WEEK, "--no-store", "--explain", "2", "--json")).stdout)
    earned = document["summary"]["net_profit_ccy"]
    for section in ("strategies", "books", "symbols"):
        assert round(sum(row["net_profit_ccy"] for row in document[section]), 2) == earned
    assert document["explained"][0]["trade"] == 2
    with (world / "a.csv").open(encoding="utf-8", newline="") as lines:
        assert round(sum(float(r["net_profit_ccy"]) for r in csv.DictReader(lines)), 2) == earned


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((*WEEK, "--explain", "999999"), "there is no trade 999999"),
        ((*WEEK, "--at", "2018-03-05T10:00"), "--at TIME and --book BOOK go together"),
        ((*WEEK, "--at", "noon", "--book", "ma"), "is no date"),
        ((*WEEK, "--at", "2018-03-05T10:00", "--book", "x"), "books: ma, rsi"),
        ((*WEEK, "--attribution", "t.xlsx"), ".csv or .parquet"),
        ((*WEEK, "--data", "nowhere"), "nowhere does not exist"),
        ((*WEEK, "--portfolio", "none.toml"), "none.toml"),
        (("--from", "2018-03-10", "--to", "2018-03-05"), "must be before"),
        (("--from", "March", "--to", "2018-03-05"), "is no date"),
        ((*WEEK, "--source", "other"), "sources: generated"),
        ((*WEEK, "--trades", "t.xlsx"), ".csv or .parquet"),
        (("--from", "2020-03-05", "--to", "2020-03-06"), "no bar from 2020"),
        (("--from", "2018-03-05"), "--to"),
        (("--from", "2018-03-05", "--to", "9999-12-31"), "from 1970-01-01 to 2169-12-31"),
        (("--from", "0001-01-01", "--to", "2018-03-05"), "from 1970-01-01 to 2169-12-31"),
        (("--from", "2018-03-05", "--to", "2018-03-10T00:00:00.5"), "must be a whole minute"),
        ((*WEEK, "--commission", "inf"), "commission_per_lot_ccy is inf"),
        ((*WEEK, "--spread-points", "1e300"), "spread_points is 1e+300; allowed: 0 to 1e+07"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_two(pmpro, world, arguments, words):
    """What, where and what to do; nothing on stdout, no file left behind."""
    before = sorted(p.name for p in world.iterdir())
    run = pmpro(*period(*arguments, "--json"))
    assert run.returncode == 2
    assert run.stdout == ""
    assert words in run.stderr
    assert run.stderr.count("\n") == 1
    assert sorted(p.name for p in world.iterdir()) == before


def test_a_period_may_end_long_after_the_bars(pmpro):
    """What is not there costs neither time nor memory: the trades are those up to the last bar."""
    to_end = pmpro(*period("--from", "2018-12-27", "--to", "2169-12-31", "--no-store", "--json"))
    year = pmpro(*period("--from", "2018-12-27", "--to", "2019-01-01", "--no-store", "--json"))
    assert to_end.returncode == 0, to_end.stderr
    assert json.loads(to_end.stdout)["digest"] == json.loads(year.stdout)["digest"]


def test_the_line_shows_the_lowest_value_of_each_stretch():
    """A fall of one bar among a thousand is seen."""
    curve = np.full(1000, 100.0)
    curve[500] = 50.0
    line = sparkline(curve.tolist(), 50)
    assert len(line) == 50
    assert line.count("▁") == 1
    assert set(line) == {"▁", "█"}
    assert sparkline([], 10) == ""
    assert sparkline([1.0], 10) == "▁"
