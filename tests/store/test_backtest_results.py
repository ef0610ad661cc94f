"""A backtest's way into the database and back, as its commands go it."""

import hashlib
import json
import math
import os
import subprocess
import sys

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from backtest.results import TRADES_KEPT
from engine.model.views.details import BacktestOf
from engine.store import migrate, questions
from pmpro_tui.bench.portfolio import write_bars

PORTFOLIO = '[[strategy]]\nname = "ma"\nkind = "ma_cross"\nsymbol = "EURUSD"\n'


@pytest.fixture
def pmpro(tmp_path, database):
    """Run commands with the test's database as URL."""
    url = database.owner.render_as_string(hide_password=False)
    settings = {
        "PMPRO_STATE_DIR": str(tmp_path / "state"),
        "PMPRO_DATABASE__EMBEDDED": "false",
        "PMPRO_DATABASE__URL": url,
    }

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", "-m", "pmpro_tui.cli.main", "backtest", *arguments],
            cwd=tmp_path,
            env=os.environ | settings,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    return run


def test_a_stored_result_tells_its_months_strategies_and_trades(tmp_path, pmpro, operator):
    """Months multiply to the whole return; trades and strategies add up to the net profit."""
    write_bars(tmp_path, 2018)
    (tmp_path / "p.toml").write_text(PORTFOLIO, encoding="utf-8")
    period = ("--from", "2018-03-28", "--to", "2018-04-04")
    ran = pmpro("run", "--portfolio", "p.toml", "--data", ".", *period, "--json")
    assert ran.returncode == 0, ran.stderr
    summary = json.loads(ran.stdout)["summary"]
    with Session(operator) as session:
        told = questions.backtest(session, BacktestOf(id=json.loads(ran.stdout)["stored_id"]))
    assert [month.month for month in told.months] == ["2018-03", "2018-04"]
    grown = math.prod(1.0 + month.return_frac for month in told.months) - 1.0
    assert grown == pytest.approx(summary["total_return_frac"], abs=1e-9)
    assert sum(month.trades_count for month in told.months) == summary["trades_count"]
    assert 0 < len(told.trades) == summary["trades_count"] <= TRADES_KEPT
    net_ccy = summary["net_profit_ccy"]
    for parts in (told.trades, told.months, told.strategies):
        made = [getattr(p, "profit_ccy", None) or getattr(p, "net_profit_ccy", 0.0) for p in parts]
        assert sum(made) == pytest.approx(net_ccy, abs=0.005)
    times = [trade.exit_time for trade in told.trades]
    assert times == sorted(times)
    assert told.trades[0].symbol == "EURUSD"
    assert told.trades[0].strategy == told.strategies[0].strategy == "ma"


def test_a_result_is_stored_with_what_makes_it_again_and_is_shown_as_it_was(
    tmp_path, pmpro, operator
):
    """Columns, hashes and the whole document; `list` and `show` give it back."""
    write_bars(tmp_path, 2018)
    (tmp_path / "p.toml").write_text(PORTFOLIO, encoding="utf-8")
    period = ("--from", "2018-03-05", "--to", "2018-03-08")
    ran = pmpro("run", "--portfolio", "p.toml", "--data", ".", *period, "--json")
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    document = json.loads(ran.stdout)

    with operator.connect() as connection:
        row = connection.execute(text("SELECT * FROM backtest_results")).mappings().one()
    assert row["id"] == document["stored_id"]
    returned = document["summary"]["total_return_frac"]
    assert float(row["total_return"]) == pytest.approx(returned, rel=1e-12)
    assert row["trades_count"] == document["trades_count"] > 0
    assert row["strategy_id"] is None
    for name in ("config_hash", "data_hash", "code_version"):
        assert row[name] == document[name]

    (listed,) = json.loads(pmpro("list", "--json").stdout)["backtests"]
    assert listed["id"] == document["stored_id"]
    shown = json.loads(pmpro("show", str(listed["id"]), "--json").stdout)
    assert shown["summary"] == document["summary"]
    assert shown["digest"] == document["digest"]
    assert "there is no backtest 999" in pmpro("show", "999").stderr
    assert "2018-03-05" in pmpro("list").stdout
    assert "max drawdown" in pmpro("show", str(listed["id"])).stdout


def test_a_stored_backtest_explains_its_trades_or_says_what_differs(tmp_path, pmpro, operator):
    """From what is stored alone; other data, or a portfolio that is not the one, is refused."""
    write_bars(tmp_path, 2018)
    (tmp_path / "p.toml").write_text(PORTFOLIO, encoding="utf-8")
    period = ("--from", "2018-03-05", "--to", "2018-03-06", "--portfolio", "p.toml")
    ran = pmpro("run", "--data", ".", *period, "--explain", "2", "--json")
    assert ran.returncode == 0, ran.stderr
    first = json.loads(ran.stdout)
    assert first["changes"] == []
    (tmp_path / "p.toml").unlink()

    shown = pmpro("show", "1", "--explain", "2", "--json")
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)["explained"] == first["explained"]
    explained = first["explained"][0]
    at = ("--at", explained["time"], "--book", "ma")
    same = json.loads(pmpro("show", "1", *at, "--json").stdout)["explained"]
    assert same == [{k: v for k, v in explained.items() if k not in ("trade", "result")}]
    assert "headroom" in pmpro("show", "1", "--explain", "1").stdout
    assert "no trade 9999" in pmpro("show", "1", "--explain", "9999").stderr

    moved = tmp_path / "moved"
    moved.mkdir()
    for path in tmp_path.glob("*.parquet"):
        path.rename(moved / path.name)
    assert pmpro("show", "1", "--explain", "2", "--data", str(moved)).returncode == 0
    for name, wrong in (("data_hash", "d"), ("config_hash", "c"), ("code_version", "0")):
        with operator.begin() as connection:
            connection.execute(
                text("UPDATE backtest_results SET results = results || CAST(:changed AS jsonb)"),
                {"changed": json.dumps({name: wrong})},
            )
        refused = pmpro("show", "1", "--explain", "2", "--data", str(moved))
        assert refused.returncode == 2
        assert f"{name} was {wrong}" in refused.stderr
        assert refused.stderr.count("\n") == 1


def test_results_are_compared_side_by_side(tmp_path, pmpro):
    """Every figure and book beside each other, and what is not the same about them."""
    write_bars(tmp_path, 2018)
    for name, fast in (("one", 10), ("two", 20)):
        text_ = PORTFOLIO + f"params = {{ fast = {fast}, slow = 60 }}\n"
        (tmp_path / f"{name}.toml").write_text(text_, encoding="utf-8")
        period = ("--from", "2018-03-05", "--to", "2018-03-06", "--portfolio", f"{name}.toml")
        assert pmpro("run", "--data", ".", *period).returncode == 0
    document = json.loads(pmpro("compare", "1", "2", "--json").stdout)
    assert [b["id"] for b in document["backtests"]] == [1, 2]
    assert document["differing"] == ["config_hash", "digest"]
    shown = pmpro("compare", "1", "2").stdout
    assert "net_profit_ccy" in shown
    assert "book ma" in shown
    assert "differing: portfolio, result" in shown
    assert "at least two" in pmpro("compare", "1").stderr
    assert "no backtest 9" in pmpro("compare", "1", "9").stderr


BOOKS = """
[account]
balance_ccy = 50_000

[[strategy]]
name = "slowest-of-all"
kind = "ma_cross"
symbol = "EURUSD"
params = { fast = 10, slow = 40 }

[[strategy]]
name = "b"
kind = "rsi_reversion"
symbol = "EURUSD"

[[strategy]]
name = "middle"
kind = "momentum"
symbol = "EURUSD"

[[book]]
name = "eur"
members = { slowest-of-all = 0.35, b = 0.4, middle = 0.25 }
enter = 0.3
sizing = { method = "fixed_lots", lots = 0.1 }
"""
PERIOD = ("--from", "2018-03-05", "--to", "2018-03-08")


def order_of(value):
    """Return names of a document in their order, nested ones too."""
    if isinstance(value, dict):
        return [(name, order_of(part)) for name, part in value.items()]
    return [order_of(part) for part in value] if isinstance(value, list) else None


def test_a_stored_backtest_of_books_is_explained_and_repeated(tmp_path, pmpro):
    """From the text that is stored, whose members keep their file's order (by length, as JSONB has
    them, they would be another portfolio); everything is shown in the order in which it ran."""
    write_bars(tmp_path, 2018)
    (tmp_path / "p.toml").write_text(BOOKS, encoding="utf-8")
    named = ("--name", "first\ttry", "--note", "before the news")
    ran = pmpro("run", "--portfolio", "p.toml", "--data", ".", *PERIOD, *named, "--json")
    assert ran.returncode == 0, ran.stderr
    document = json.loads(ran.stdout)
    assert document["trades_count"] > 5
    (tmp_path / "p.toml").unlink()

    explained = pmpro("show", "1", "--explain", "5", "--json")
    assert explained.returncode == 0, explained.stderr
    names = ["slowest-of-all", "b", "middle"]
    assert [v["strategy"] for v in json.loads(explained.stdout)["explained"][0]["votes"]] == names
    repeated = pmpro("repeat", "1", "--trades", "again.csv", "--json")
    assert repeated.returncode == 0, repeated.stderr
    assert json.loads(repeated.stdout) == {
        "id": 1,
        "digest": document["digest"],
        "trades_count": document["trades_count"],
    }
    assert (tmp_path / "again.csv").read_text("utf-8").count("\n") == 1 + document["trades_count"]

    shown = json.loads(pmpro("show", "1", "--json").stdout)
    same = {name: part for name, part in document.items() if name in shown and name != "name"}
    assert {name: shown[name] for name in same} == same
    assert order_of({name: shown[name] for name in same}) == order_of(same)
    compared = pmpro("compare", "1", "1").stdout.splitlines()
    figures = [line.split()[0] for line in compared[3:] if line.split()[0] in document["summary"]]
    assert figures == [name for name in document["summary"] if name != "refused"]

    (tmp_path / "again.toml").write_text(pmpro("show", "1", "--portfolio").stdout, "utf-8")
    rerun = pmpro("run", "--portfolio", "again.toml", "--data", ".", *PERIOD, "--json")
    assert json.loads(rerun.stdout)["digest"] == document["digest"]


def test_a_result_says_what_it_is_and_what_it_was_made_of(tmp_path, pmpro):
    """Name and note as one clean line each, the portfolio's name, period, bars with their files'
    hashes, costs as they were varied, and the id in every answer of `run`."""
    write_bars(tmp_path, 2018)
    (tmp_path / "tight.toml").write_text(PORTFOLIO, encoding="utf-8")
    run = ("run", "--portfolio", "tight.toml", "--data", ".", *PERIOD, "--commission", "2.25")
    text = pmpro(*run, "--name", "cheap\x1b[31m", "--note", "broker B").stdout
    assert "stored as backtest 1: `pmpro backtest show 1`" in text
    (held,) = tmp_path.glob("EURUSD_*.parquet")
    source = held.stem.split("_")[-1]
    document = json.loads(pmpro(*run, "--source", source, "--json").stdout)
    assert (document["stored_id"], document["name"], document["note"]) == (2, "", "")
    made_of = document["made_of"]
    assert (made_of["portfolio"], made_of["source"]) == ("tight", source)
    assert (made_of["from"], made_of["to"]) == ("2018-03-05T00:00:00Z", "2018-03-08T00:00:00Z")
    assert made_of["data"] == str(tmp_path)
    (file,) = made_of["files"]
    content = (tmp_path / file["name"]).read_bytes()
    assert file["sha256"] == hashlib.sha256(content).hexdigest()
    assert made_of["costs"] == [
        {
            "symbol": "EURUSD",
            "spread_points": 8.0,
            "commission_per_lot_ccy": 2.25,
            "swap_long_points": -6.1,
            "swap_short_points": 2.0,
        }
    ]
    newest, first = json.loads(pmpro("list", "--json").stdout)["backtests"]
    assert (newest["id"], newest["portfolio"]) == (2, "tight")
    assert (first["name"], first["note"]) == ("cheap\\x1b[31m", "broker B")
    for answer in (pmpro("list").stdout, pmpro("show", "1").stdout, text):
        assert "\x1b" not in answer
        assert all(word in answer for word in ("cheap", "broker B", "tight"))
    assert "commission per lot and side" in pmpro("show", "1").stdout


def test_a_result_of_an_earlier_version_is_read_and_says_what_it_lacks(
    tmp_path, pmpro, operator, database
):
    """A row from before the texts, over a downgrade and an upgrade: listed, shown and compared;
    what cannot be done with it is one line."""
    write_bars(tmp_path, 2018)
    (tmp_path / "p.toml").write_text(BOOKS, encoding="utf-8")
    run = ("run", "--portfolio", "p.toml", "--data", ".", *PERIOD, "--json")
    document = json.loads(pmpro(*run, "--name", "x").stdout)
    migrate.downgrade(database.owner, "0005")
    with operator.begin() as connection:
        connection.execute(
            text(
                "UPDATE backtest_results SET results = jsonb_set(results - 'own_strategies',"
                ' \'{made_of}\', \'{"name": "old", "portfolio": {}, "data": ".", "source": null}\')'
            )
        )
    shown = pmpro("show", "1", "--json")  # brings the schema up
    assert shown.returncode == 0, shown.stderr
    old = json.loads(shown.stdout)
    assert old["summary"] == document["summary"]
    assert old["notes"][-1].startswith("stored by an earlier version, without its portfolio's text")
    (listed,) = json.loads(pmpro("list", "--json").stdout)["backtests"]
    assert (listed["name"], listed["portfolio"]) == ("", "old")
    assert "not explained or repeated" in pmpro("show", "1").stderr
    assert pmpro("compare", "1", "1").returncode == 0
    for asked in (("show", "1", "--explain", "1"), ("repeat", "1"), ("show", "1", "--portfolio")):
        refused = pmpro(*asked)
        assert refused.returncode == 2
        assert "backtest 1: stored by an earlier version" in refused.stderr
        assert refused.stderr.count("\n") == 1


def test_a_result_of_own_code_is_repeated_with_that_code_alone(tmp_path, pmpro):
    """The file that is in the directory now must be what ran; another one is told by its hash."""
    write_bars(tmp_path, 2018)
    (tmp_path / "p.toml").write_text(PORTFOLIO.replace("ma_cross", "my_cross"), encoding="utf-8")
    own = tmp_path / "own"
    own.mkdir()
    file = own / "mine.py"
    source = (
        "from strategies.library.ma_cross import MaCross\n\n\n"
        'class Mine(MaCross):\n    kind = "my_cross"\n'
    )
    file.write_text(source, encoding="utf-8")
    run = ("run", "--portfolio", "p.toml", "--data", ".", *PERIOD, "--strategies", "own")
    ran = pmpro(*run, "--json")
    assert ran.returncode == 0, ran.stderr
    again = ("repeat", "1", "--strategies", "own")
    assert pmpro(*again).returncode == 0
    assert pmpro("show", "1", "--explain", "1", "--strategies", "own").returncode == 0
    missing = pmpro("repeat", "1")
    assert missing.returncode == 2
    assert "my_cross" in missing.stderr
    file.write_text(source + "# other\n", encoding="utf-8")
    other = pmpro(*again)
    assert other.returncode == 2
    for content in (source, source + "# other\n"):
        assert hashlib.sha256(content.encode()).hexdigest() in other.stderr


def test_results_do_not_vanish_with_the_demos_bars(tmp_path):
    """A demo has a database for each directory of bars; what is stored in one is listed, shown,
    compared, explained and repeated while `demo.data` names another, and before that has one."""
    bars = tmp_path / "bars"
    bars.mkdir()
    write_bars(bars, 2018)
    (tmp_path / "p.toml").write_text(BOOKS, encoding="utf-8")

    def pmpro(data: str, *arguments: str) -> str:
        ran = subprocess.run(
            [sys.executable, "-P", "-m", "pmpro_tui.cli.main", *arguments],
            cwd=tmp_path,
            env=os.environ | {"PMPRO_STATE_DIR": str(tmp_path / "state"), "PMPRO_DEMO__DATA": data},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    run = ("backtest", "run", "--portfolio", "p.toml", "--data", "bars", *PERIOD, "--json")
    pmpro("bars", "db", "init")
    first = json.loads(pmpro("bars", *run, "--name", "first"))
    place = first["stored_in"]

    (other,) = json.loads(pmpro("other", "backtest", "list", "--json"))["backtests"]
    assert (other["id"], other["name"], other["stored_in"]) == (1, "first", place)
    assert other["id_text"] == f"{place}:1"
    second = json.loads(pmpro("other", *run, "--name", "second"))
    assert (second["stored_in"], second["stored_id"]) == (place, 2)
    assert json.loads(pmpro("other", "backtest", "repeat", "2", "--json"))["trades_count"] > 5

    pmpro("other", "db", "init")
    third = json.loads(pmpro("other", *run, "--name", "third"))
    assert third["stored_id"] == 1
    assert third["stored_in"] != place
    listed = json.loads(pmpro("other", "backtest", "list", "--json"))["backtests"]
    assert [(row["id_text"], row["name"]) for row in listed] == [
        ("1", "third"),
        (f"{place}:2", "second"),
        (f"{place}:1", "first"),
    ]
    assert json.loads(pmpro("other", "backtest", "show", "1", "--json"))["name"] == "third"
    assert json.loads(pmpro("other", "backtest", "show", "2", "--json"))["name"] == "second"
    explain = ("backtest", "show", f"{place}:1", "--explain", "5", "--json")
    assert json.loads(pmpro("other", *explain))["explained"][0]["trade"] == 5
    compared = json.loads(pmpro("other", "backtest", "compare", "1", f"{place}:1", "--json"))
    assert compared["differing"] == []
