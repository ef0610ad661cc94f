"""`pmpro terminal serve`: a process that an engine elsewhere can use."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.model.broker import OrderRequest
from engine.model.portfolio import Portfolio, StrategySpec
from engine.portfolio.compile import compile_portfolio
from engine.runtime.terminal_start import host_config
from engine.settings.settings import load_settings
from engine.terminal.gateway import Deadlines, Gateway
from engine.terminal.retcodes import classify
from tests.conftest import REPO

pytest.importorskip("cryptography", reason="the extra `terminal` makes certificates")

ARGUMENTS = ["terminal", "serve", "--listen", "127.0.0.1:0", "--mode", "demo"]
PORTFOLIO = '[[strategy]]\nname = "a"\nkind = "ma_cross"\nsymbol = "EURUSD"\n'
COMPILED = compile_portfolio(
    Portfolio(strategy=[StrategySpec(name="a", kind="ma_cross", symbol="EURUSD")])
)


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[dict[str, str]]:
    """What the process says about itself."""
    (tmp_path / "portfolio.toml").write_text(PORTFOLIO)
    environment = {
        **os.environ,
        "PMPRO_STATE_DIR": str(tmp_path / "there"),
        "PMPRO_PORTFOLIO": str(tmp_path / "portfolio.toml"),
        "PYTHONPATH": str(REPO),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "pmpro_tui.cli.main", *ARGUMENTS],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    lines = [process.stdout.readline().split() for _ in range(3)]
    try:
        yield {"address": lines[0][2], "fingerprint": lines[1][1], "token_file": lines[2][1]}
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        process.stdout.close()


def test_an_engines_settings_reach_the_simulated_terminal_there(
    serving: dict[str, str], tmp_path: Path
) -> None:
    """What serve prints, put into the settings of an engine, gives a gateway that connects,
    reads and trades; the token's file is private and its content is not printed."""
    overrides = {
        "state_dir": tmp_path / "here",
        "terminal.module": "mt5",
        "terminal.host": serving["address"],
        "terminal.fingerprint": serving["fingerprint"],
        "terminal.token_file": Path(serving["token_file"]),
    }
    settings = load_settings(mode="paper", overrides=overrides)
    config = host_config(settings, COMPILED, tmp_path / "here", None)
    gateway = Gateway(config, Deadlines(connect_s=60), on_market=lambda update: None)
    try:
        gateway.start()
        assert not gateway.connect().real_money
        (facts,) = gateway.symbol_facts(["EURUSD"])
        (quote,) = gateway.quotes(["EURUSD"])
        assert facts.name == quote.symbol == "EURUSD"
        sent = gateway.send(
            OrderRequest(
                symbol="EURUSD", direction=1, lots=0.1, price=quote.ask, magic=1, comment="pm1"
            )
        )
        # Whether the generated market is open depends on the hour of the demo.
        assert classify(sent).name in ("DONE", "MARKET_CLOSED")
    finally:
        gateway.close()
