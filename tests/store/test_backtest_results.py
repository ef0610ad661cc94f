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
