"""A backtest's way into the database and back, as its commands go it."""

import json
import os
import subprocess
import sys

import pytest
from sqlalchemy import text

from backtest.bench import write_bars

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
