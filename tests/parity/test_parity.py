"""What was tested is what trades: the backtest and the whole live path do the same, bit for bit.

`pmpro replay` runs strategy and terminal host processes, gateway, journal and trader; the digest
covers every trade's times, side, volume, prices and money, its members' shares, and the equity at
every batch.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtest.report import digest
from backtest.run import PreparedRun
from backtest.simulate import simulate
from engine.model.bars import Bars
from engine.model.times import NS_PER_DAY, NS_PER_HOUR, NS_PER_MINUTE
from engine.portfolio.compile import CompiledPortfolio, compile_portfolio
from engine.portfolio.file import parse_portfolio
from engine.replay.run import replay
from engine.terminal.simulated.prices.generated import GeneratedSource
from pmpro_tui.cli.backtest.replay import as_result, batches_ns

WEEK = Path(__file__).with_name("week.toml")
# A Wednesday: the night charges triple swap.
START_NS = 1_768_348_800_000_000_000


def generated(compiled: CompiledPortfolio, from_ns: int, to_ns: int) -> dict[str, Bars]:
    """Return generated bars with minutes missing at random, and a hole of one symbol."""
    source = GeneratedSource(7, list(compiled.symbols))
    rng = np.random.default_rng(7)
    out = {}
    for spec in compiled.symbols:
        bars = source.bars(spec.name, from_ns, to_ns)
        keep = rng.random(len(bars)) > 0.02
        out[spec.name] = bars[keep]
    name = compiled.symbols[0].name
    hole = (out[name]["time_ns"] - START_NS) // NS_PER_HOUR == 5
    out[name] = out[name][~hole]
    return out


def both(compiled: CompiledPortfolio, bars: dict[str, Bars], from_ns: int, to_ns: int) -> Any:
    prepared = PreparedRun(compiled, bars, Path(), from_ns, to_ns)
    tested = simulate(compiled, bars, from_ns, to_ns)
    traded = as_result(prepared, replay(compiled, bars, batches_ns(prepared), from_ns=from_ns))
    return tested, traded


@pytest.mark.parametrize("margin_mode", ["hedging", "netting"])
def test_generated_hours_trade_as_tested(margin_mode: str) -> None:
    """Gaps, a hole, the night's triple swap, M5 and M15, both account kinds: all the same."""
    text = WEEK.read_text(encoding="utf-8")
    if margin_mode == "netting":  # a symbol belongs to one book there
        text = text.replace('name = "xau-rsi"\nkind', 'name = "xau-rsi"\nenabled = false\nkind')
        text = text.replace(
            'members = { "jpy-don" = 0.5,', 'members = { "jpy-don" = 0.5, "jpy-ma" = 1,'
        )
        text += '[[book]]\nname = "xau"\nmembers = { "xau-bb" = 1, "xau-rsi" = 1 }\n'
    text = text.replace('currency = "USD"', f'currency = "USD"\nmargin_mode = "{margin_mode}"')
    compiled = compile_portfolio(parse_portfolio(text, "week.toml"))
    # From inside an M5 and an M15 bar, over the night.
    from_ns, to_ns = START_NS + 14 * NS_PER_HOUR + 7 * NS_PER_MINUTE, START_NS + 24 * NS_PER_HOUR
    bars = generated(compiled, START_NS - 40 * NS_PER_DAY, to_ns)

    tested, traded = both(compiled, bars, from_ns, to_ns)

    assert len(tested.trades) > 30
    assert tested.trades.tolist() == traded.trades.tolist()
    assert tested.refused.tolist() == traded.refused.tolist()
    assert digest(tested) == digest(traded)
    assert set(np.unique(tested.trades["reason"])) >= {1, 2, 3}


def pmpro(*arguments: object) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "pmpro_tui.cli.main", *map(str, arguments), "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


@pytest.mark.timeout(600)
def test_the_commands_agree_on_real_bars(data_dir: Path, tmp_path: Path) -> None:
    """The two commands agree on real days, in their documents and in their trade files."""
    period = ("--portfolio", WEEK, "--data", data_dir, "--from", "2018-03-07", "--to", "2018-03-09")
    tested_csv, traded_csv = tmp_path / "tested.csv", tmp_path / "traded.csv"

    tested = pmpro("backtest", "run", *period, "--trades", tested_csv, "--no-store")
    traded = pmpro("replay", *period, "--trades", traded_csv)

    assert tested["trades_count"] > 50
    assert traded["digest"] == tested["digest"]
    assert traded["summary"] == tested["summary"]
    assert traded_csv.read_bytes() == tested_csv.read_bytes()
